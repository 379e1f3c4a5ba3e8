//! The process: it neither panics, not even where that is caught, nor ends before it is asked to, and whatever has
//! failed around it, its liveness probe does not ask for its end.

use super::{Evidence, Rule, Run, Violation};

pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let found = evidence.runs.iter().flat_map(of_run);
    found
        .map(|what| Violation::new(Rule::Process, what))
        .collect()
}

fn of_run(run: &Run) -> Vec<String> {
    let mut broken = Vec::new();
    if run.ended_unasked {
        let logs: Vec<_> = run.logs.lines().rev().take(5).collect();
        broken.push(format!("it ended unasked: {logs:#?}"));
    }
    if let Some(line) = run.logs.lines().find(|line| line.contains("panicked at")) {
        broken.push(format!("it panicked: {line}"));
    }
    let metrics = run.metrics.as_deref().unwrap_or_default();
    let panics = metrics.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        name.ends_with("_panics_total").then_some(value)
    });
    if panics.is_some_and(|count| count != "0") {
        broken.push(format!("panics were caught: {panics:?}"));
    }
    let is_live = |answer: &&String| answer.split(' ').nth(1) == Some("200");
    if let Some(answer) = run.livez.as_ref().filter(|answer| !is_live(answer)) {
        broken.push(format!("it reports that it is not alive: {answer}"));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::super::made::run;
    use super::*;

    #[test]
    fn each_sign_of_a_defect_is_found() {
        let fine = "# TYPE a_panics_total counter\na_panics_total 0\n";
        let with = |change: fn(&mut Run)| {
            let mut run = run();
            run.metrics = Some(fine.to_owned());
            change(&mut run);
            of_run(&run).len()
        };
        assert_eq!(with(|_| ()), 0);
        assert_eq!(with(|run| run.ended_unasked = true), 1);
        assert_eq!(
            with(|run| run.metrics = Some("a_panics_total 1\n".to_owned())),
            1
        );
        let alive = |run: &mut Run| run.livez = Some("HTTP/1.0 200 OK\r\n\r\nok".to_owned());
        assert_eq!(with(alive), 0);
        let stuck = |run: &mut Run| run.livez = Some("HTTP/1.0 503 Nope\r\n\r\n".to_owned());
        assert_eq!(with(stuck), 1);
        let output = |run: &mut Run| run.logs = "thread 'x' panicked at src/a.rs:1".to_owned();
        assert_eq!(with(output), 1);
    }
}

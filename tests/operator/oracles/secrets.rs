//! What is shown: no API key and no e-mail address, in no log, status, Event or metric.

use super::{Evidence, Rule, Violation};

/// What is shorter occurs by chance.
const SHORTEST: usize = 6;

pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let secrets: Vec<&String> = evidence
        .secrets
        .iter()
        .filter(|secret| secret.len() >= SHORTEST)
        .collect();
    let shown = |name: &str, text: &str| {
        let mut found = secrets
            .iter()
            .filter(|secret| text.contains(secret.as_str()));
        found
            .next()
            .map(|secret| format!("{name} shows {secret:?}"))
    };
    let mut broken = Vec::new();
    for object in &evidence.objects {
        for revision in &object.revisions {
            broken.extend(shown(
                &object.label(revision),
                &revision.status().to_string(),
            ));
        }
    }
    for run in &evidence.runs {
        broken.extend(shown("the log", &run.logs));
        broken.extend(shown(
            "a metric",
            run.metrics.as_deref().unwrap_or_default(),
        ));
    }
    for (name, text) in &evidence.sinks {
        broken.extend(shown(name, text));
    }
    broken
        .into_iter()
        .map(|what| Violation::new(Rule::Secrets, what))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::made::{evidence, in_sync};
    use super::*;

    #[test]
    fn a_secret_is_found_in_every_sink() {
        let secret = "al@people.example";
        let with = |change: fn(&mut Evidence, String)| {
            let mut all = evidence(vec![in_sync(1, 1)], vec![], vec![]);
            all.secrets = [secret.to_owned(), "short".to_owned()].into();
            change(&mut all, format!("mail to {secret} bounced, in short"));
            check(&all).len()
        };
        assert_eq!(with(|_, _| ()), 0);
        assert_eq!(with(|all, text| all.runs[0].logs = text), 1);
        assert_eq!(with(|all, text| all.runs[0].metrics = Some(text)), 1);
        assert_eq!(
            with(|all, text| all.sinks = vec![("Events".to_owned(), text)]),
            1
        );
        let status = |all: &mut Evidence, text: String| {
            all.objects[0].revisions[0].object["status"]["status"] = json!({ "message": text });
        };
        assert_eq!(with(status), 1);
        // What people write into a spec themselves is theirs.
        let spec = |all: &mut Evidence, text: String| {
            all.objects[0].revisions[0].object["spec"]["displayName"] = json!(text);
        };
        assert_eq!(with(spec), 0);
    }
}

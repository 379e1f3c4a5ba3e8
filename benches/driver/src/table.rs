//! Figures for people: a line each in the terminal, a table in Markdown for the documentation.

use std::fmt::Write;

use crate::figures::{Figure, Figures, Must};

/// One figure in a line of the terminal.
pub(crate) fn line(figure: &Figure) -> String {
    format!(
        "{:<66} {:>12}  {:<16} {}",
        figure.name,
        format!("{} {}", number(figure.median), figure.unit),
        must(figure),
        verdict(figure)
    )
}

/// All of them in Markdown, by section.
pub(crate) fn markdown(figures: &Figures) -> String {
    let mut text = String::new();
    let mut section = None;
    for figure in &figures.all {
        if section != Some(&figure.section) {
            section = Some(&figure.section);
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n| {} | | spread | must | |\n|---|---|---|---|---|\n",
                figure.section
            );
        }
        let _ = writeln!(
            text,
            "| {} | {} {} | {} | {} | {} |",
            figure.name,
            number(figure.median),
            figure.unit,
            spread(figure),
            must(figure),
            verdict(figure)
        );
    }
    text
}

/// How it came out, in a sentence or two.
pub(crate) fn verdict_of(figures: &Figures) -> String {
    let judged = figures.all.iter().filter(|figure| figure.met.is_some());
    let judged = judged.count();
    let missed: Vec<String> = figures
        .all
        .iter()
        .filter(|figure| figure.met == Some(false))
        .map(|figure| format!("“{}: {}”", figure.section, figure.name))
        .collect();
    if missed.is_empty() {
        return format!("All {judged} figures are as they must be.");
    }
    format!(
        "{} of {judged} figures are as they must be; missed: {}.",
        judged - missed.len(),
        missed.join(", ")
    )
}

fn spread(figure: &Figure) -> String {
    if figure.runs.len() < 2 {
        return "one run".to_owned();
    }
    let least = figure.runs.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figure
        .runs
        .iter()
        .copied()
        .fold(f64::NEG_INFINITY, f64::max);
    format!("{} to {}", number(least), number(most))
}

fn must(figure: &Figure) -> String {
    match figure.must {
        Must::Be(wanted) => format!("= {}", number(wanted)),
        Must::AtMost(bound) => format!("≤ {}", number(bound)),
        Must::Nothing => String::new(),
    }
}

fn verdict(figure: &Figure) -> &'static str {
    match figure.met {
        Some(true) => "met",
        Some(false) => "missed",
        None => "",
    }
}

/// As many digits as mean something.
fn number(value: f64) -> String {
    if !value.is_finite() {
        return "?".to_owned();
    }
    let digits = match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 4,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_the_figure_its_spread_and_what_it_must_be() {
        let mut figures = Figures::default();
        figures.about("Memory");
        figures.add("0 objects", "MiB", Must::AtMost(12.0), vec![7.0, 9.5, 8.25]);
        figures.add("writes", "", Must::Be(0.0), vec![1.0]);
        let text = markdown(&figures);
        assert!(
            text.contains("| 0 objects | 8.25 MiB | 7 to 9.50 | ≤ 12 | met |"),
            "{text}"
        );
        assert!(
            text.contains("| writes | 1  | one run | = 0 | missed |"),
            "{text}"
        );
        assert_eq!(
            verdict_of(&figures),
            "1 of 2 figures are as they must be; missed: “Memory: writes”."
        );
    }
}

//! Figures: what was measured, in how many runs, and what it must not exceed. Pure; knows no operator.

use std::collections::BTreeMap;

use serde::Serialize;

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Must {
    /// Exactly that, in every run.
    Be(f64),
    /// At most that: the median.
    AtMost(f64),
    /// It is shown for information.
    Nothing,
}

/// One figure.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figure {
    /// What it is about.
    pub(crate) section: String,
    /// What was measured.
    pub(crate) name: String,
    /// In what.
    pub(crate) unit: &'static str,
    /// In each run.
    pub(crate) runs: Vec<f64>,
    /// What it must be.
    pub(crate) must: Must,
    /// The middle run.
    pub(crate) median: f64,
    /// Whether it is what it must be.
    pub(crate) met: Option<bool>,
}

/// The lines of a plot: points by name.
pub(crate) type Lines = BTreeMap<String, Vec<(f64, f64)>>;

/// Everything that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    /// In the order in which it was measured.
    pub(crate) all: Vec<Figure>,
    /// Series for the plots: by plot and line, points by number of objects.
    pub(crate) series: BTreeMap<&'static str, Lines>,
    #[serde(skip)]
    section: String,
    /// Shown later, with others.
    #[serde(skip)]
    aside: bool,
}

impl Figures {
    /// Of a scenario that runs beside others: shown when it is over.
    pub(crate) fn aside() -> Self {
        Self {
            aside: true,
            ..Self::default()
        }
    }

    /// What follows is about that.
    pub(crate) fn about(&mut self, section: impl Into<String>) {
        self.section = section.into();
        if !self.aside {
            println!("{}", self.section);
        }
    }

    /// Adds a figure and shows it.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        unit: &'static str,
        must: Must,
        runs: Vec<f64>,
    ) {
        let median = median(&runs);
        let met = must.is_met(&runs, median);
        let figure = Figure {
            section: self.section.clone(),
            name: name.into(),
            unit,
            runs,
            must,
            median,
            met,
        };
        if !self.aside {
            println!("  {}", crate::table::line(&figure));
        }
        self.all.push(figure);
    }

    /// Shows the figures of a scenario that ran beside others, after those that are here.
    pub(crate) fn take_in(&mut self, aside: Self) {
        for figure in aside.all {
            if figure.section != self.section {
                self.about(&figure.section);
            }
            self.add(figure.name, figure.unit, figure.must, figure.runs);
        }
        for (plot, lines) in aside.series {
            for (line, points) in lines {
                let known = self.series.entry(plot).or_default();
                known.entry(line).or_default().extend(points);
            }
        }
    }

    /// Adds a point of a plot.
    pub(crate) fn point(&mut self, plot: &'static str, line: &str, at: f64, value: f64) {
        let lines = self.series.entry(plot).or_default();
        lines.entry(line.to_owned()).or_default().push((at, value));
    }
}

impl Must {
    fn is_met(self, runs: &[f64], median: f64) -> Option<bool> {
        match self {
            // Counts are small whole numbers.
            Self::Be(wanted) => Some(runs.iter().all(|run| (run - wanted).abs() < 0.001)),
            Self::AtMost(bound) => Some(median <= bound),
            Self::Nothing => None,
        }
    }
}

/// The middle of these; of two in the middle, half way.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which that share of them lies, between two of them by proportion.
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = share * whole(last);
    let below = sorted.get(floor(place, last));
    let above = sorted.get((floor(place, last) + 1).min(last));
    match (below, above) {
        (Some(below), Some(above)) => below + (above - below) * place.fract(),
        _ => f64::NAN,
    }
}

/// A count as a figure.
#[allow(
    clippy::cast_precision_loss,
    reason = "nothing counted here comes near 2^52"
)]
pub(crate) fn whole(count: usize) -> f64 {
    count as f64
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list: not negative, and below its length"
)]
fn floor(place: f64, last: usize) -> usize {
    (place as usize).min(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]

    use super::*;

    #[test]
    fn quantiles_lie_between_the_values_they_are_taken_from() {
        let values = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(median(&values), 3.0);
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 1.0), 5.0);
        assert_eq!(quantile(&values, 0.625), 3.5);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn figures_from_aside_keep_their_section_and_their_order() {
        let (mut figures, mut aside) = (Figures::default(), Figures::aside());
        figures.about("Before");
        figures.add("first", "s", Must::Nothing, vec![1.0]);
        aside.about("Aside");
        aside.add("second", "s", Must::AtMost(1.0), vec![2.0]);
        aside.point("calls", "ours", 10.0, 1.0);
        figures.take_in(aside);
        let told = figures.all.iter();
        let told: Vec<_> = told
            .map(|one| (&*one.section, &*one.name, one.met))
            .collect();
        assert_eq!(
            told,
            [("Before", "first", None), ("Aside", "second", Some(false))]
        );
        assert_eq!(figures.series["calls"]["ours"], [(10.0, 1.0)]);
    }

    #[test]
    fn a_count_must_be_right_in_every_run_and_a_measure_in_the_middle_one() {
        assert_eq!(Must::Be(5.0).is_met(&[5.0, 5.0], 5.0), Some(true));
        assert_eq!(Must::Be(5.0).is_met(&[5.0, 6.0], 5.5), Some(false));
        assert_eq!(Must::AtMost(5.0).is_met(&[1.0, 2.0, 9.0], 2.0), Some(true));
        assert_eq!(Must::Nothing.is_met(&[4.0], 4.0), None);
    }
}

//! When Fireworks has been out of reach and is back. Pure: times are parameters.

use std::time::Duration;

use crate::time::Moment;

/// Transient failures in a row that make an outage, over at least [`LASTS`].
const FAILURES: u32 = 3;
const LASTS: Duration = Duration::from_secs(10);

/// The transient failures since the last answer.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Outage {
    failures: u32,
    first: Option<Moment>,
    last: Option<Moment>,
}

impl Outage {
    /// Records a transient failure.
    pub fn failed(&mut self, now: Moment) {
        self.failures = self.failures.saturating_add(1);
        self.first.get_or_insert(now);
        self.last = Some(now);
    }

    /// Records an answer. Returns whether it ends an outage.
    pub fn answer_applied(&mut self) -> bool {
        let Self {
            failures,
            first,
            last,
        } = std::mem::take(self);
        let lasted = last.zip(first).map(|(last, first)| last - first);
        failures >= FAILURES && lasted >= Some(LASTS)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any instant would do")]
mod tests {
    use super::*;

    fn ends(failures: &[u64]) -> bool {
        let (mut outage, start) = (Outage::default(), Moment::from_micros(1 << 40));
        for second in failures {
            outage.failed(start + Duration::from_secs(*second));
        }
        outage.answer_applied()
    }

    #[test]
    fn outage_is_three_failures_over_ten_seconds() {
        assert!(ends(&[0, 4, 10]));
        assert!(ends(&[0, 1, 2, 30]));
        for short in [&[][..], &[0], &[0, 60], &[0, 4, 9]] {
            assert!(!ends(short), "{short:?}");
        }
    }

    #[test]
    fn answer_between_failures_begins_the_count_again() {
        let (mut outage, start) = (Outage::default(), Moment::from_micros(1 << 40));
        for second in [0, 10, 20, 30] {
            outage.failed(start + Duration::from_secs(second));
            assert!(!outage.answer_applied());
        }
    }
}

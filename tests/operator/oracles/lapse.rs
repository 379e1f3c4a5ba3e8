//! Where a test moves an operator's clock: how far that was ahead of the true time, and when, as the operator wrote it
//! down step by step. Rules about its pace count by that clock.

use std::path::Path;

/// The steps that a clock has made; none for one that goes as all others do.
#[derive(Clone, Debug, Default)]
pub struct Lapse(Vec<Step>);

/// All in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// True time since 1970.
    at: i64,
    ahead: u64,
    moved: u64,
}

impl Lapse {
    /// What was written beside the file that the clock follows.
    pub fn of(file: &Path) -> Self {
        let mut name = file.as_os_str().to_owned();
        name.push(".steps");
        Self::read(&std::fs::read_to_string(name).unwrap_or_default())
    }

    /// Whole lines alone: the last one may be on its way.
    pub fn read(text: &str) -> Self {
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let step = |line: &str| {
            let mut words = line.split(' ');
            Some(Step {
                at: words.next()?.parse().ok()?,
                ahead: words.next()?.parse().ok()?,
                moved: words.next()?.parse().ok()?,
            })
        };
        Self(whole.lines().filter_map(step).collect())
    }

    /// How far it was moved in all.
    pub fn moved_ms(&self) -> u64 {
        self.0.last().map_or(0, |step| step.moved)
    }

    /// How far it was ahead at that time, in milliseconds since 1970.
    pub fn ahead_ms(&self, unix_ms: i64) -> u64 {
        let made = self.0.partition_point(|step| step.at <= unix_ms);
        let last = made.checked_sub(1).map(|last| self.0[last]);
        last.map_or(0, |step| step.ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_before_counts() {
        let lapse = Lapse::read("1000 200 200\n1002 400 400\n2000 500 600\n2500 8");
        assert_eq!(lapse.moved_ms(), 600);
        let times = [999, 1_000, 1_001, 1_002, 1_999, 3_000];
        let ahead = times.map(|at| lapse.ahead_ms(at));
        assert_eq!(ahead, [0, 200, 200, 400, 400, 500]);
        assert_eq!(Lapse::default().ahead_ms(1_000), 0);
        assert_eq!(Lapse::read("").moved_ms(), 0);
    }
}

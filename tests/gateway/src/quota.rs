//! The account's request limit: a sliding window of 60 s. Pure.

use std::collections::VecDeque;

const WINDOW_MS: u64 = 60_000;

/// When the requests of the last window were answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quota {
    admitted: VecDeque<u64>,
}

impl Quota {
    /// Whether a request at this monotonic millisecond is within the limit; one that is not costs nothing.
    pub(crate) fn admit(&mut self, limit: Option<u32>, elapsed_ms: u64) -> bool {
        let Some(limit) = limit else {
            return true;
        };
        while self
            .admitted
            .front()
            .is_some_and(|at| at + WINDOW_MS <= elapsed_ms)
        {
            self.admitted.pop_front();
        }
        let admitted = self.admitted.len() < usize::try_from(limit).unwrap_or(usize::MAX);
        if admitted {
            self.admitted.push_back(elapsed_ms);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_of_60_s_holds_more_than_the_limit() {
        let mut quota = Quota::default();
        let admitted: Vec<bool> = [0, 10, 20, 59_999, 60_000, 60_001, 60_010]
            .map(|at| quota.admit(Some(2), at))
            .into();
        assert_eq!(admitted, [true, true, false, false, true, false, true]);
    }

    #[test]
    fn without_a_limit_everything_is_admitted() {
        let mut quota = Quota::default();
        assert!((0..10_000).all(|_| quota.admit(None, 0)));
    }
}

//! The number of requests under way: virtual time passes only while there is none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The requests under way. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<Mutex<Tally>>);

#[derive(Debug, Default)]
struct Tally {
    forgotten: u64,
    requests: usize,
}

/// One request, under way until this is dropped.
#[derive(Debug)]
pub struct Guard {
    under_way: UnderWay,
    forgotten: u64,
}

impl UnderWay {
    /// Counts one request.
    #[must_use]
    pub fn begin(&self) -> Guard {
        let mut tally = self.lock();
        tally.requests += 1;
        Guard {
            under_way: self.clone(),
            forgotten: tally.forgotten,
        }
    }

    /// Returns the number of requests under way.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().requests
    }

    /// Leaves out the requests that have begun by now.
    pub fn forget(&self) {
        let mut tally = self.lock();
        tally.forgotten += 1;
        tally.requests = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut tally = self.under_way.lock();
        if tally.forgotten == self.forgotten {
            tally.requests -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_requests_are_not_counted_when_they_end() {
        let under_way = UnderWay::default();
        let (first, second) = (under_way.begin(), under_way.begin());
        assert_eq!(under_way.count(), 2);
        drop(first);
        assert_eq!(under_way.count(), 1);
        under_way.forget();
        let third = under_way.begin();
        drop(second);
        assert_eq!(under_way.count(), 1);
        drop(third);
        assert_eq!(under_way.count(), 0);
    }
}

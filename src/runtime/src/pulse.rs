//! When each of several long answers last showed a sign of life, and how old the oldest of these signs is. Bounded by the
//! answers that were ever named; times are parameters.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Signs of life.
#[derive(Debug)]
pub struct Pulse {
    began: Instant,
    beats: Mutex<HashMap<Box<str>, Instant>>,
}

impl Pulse {
    /// Begins to count at that time.
    #[must_use]
    pub fn new(began: Instant) -> Self {
        Self {
            began,
            beats: Mutex::default(),
        }
    }

    /// Records a sign of life of the answer of that name.
    pub fn beat(&self, name: &str, now: Instant) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        match beats.get_mut(name) {
            Some(last) => *last = now,
            None => {
                beats.insert(name.into(), now);
            }
        }
    }

    /// Returns the age of the oldest last sign; before the first one, the time since the beginning.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        let beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = beats.values().min().copied();
        now.saturating_duration_since(oldest.unwrap_or(self.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn the_oldest_sign_of_life_counts() {
        let began = clock::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let pulse = Pulse::new(began);
        assert_eq!(pulse.age(after(3)), Duration::from_secs(3));
        pulse.beat("a", after(4));
        pulse.beat("b", after(5));
        assert_eq!(pulse.age(after(6)), Duration::from_secs(2));
        pulse.beat("a", after(6));
        assert_eq!(pulse.age(after(6)), Duration::from_secs(1));
    }
}

//! Detects that the store behind the API server went back, as after a restore of etcd from a snapshot: resourceVersions
//! of one store only grow ([KEP-5504]), so an answer with a lower version than the watch had delivered before the request
//! was sent comes from an older store. A version that is no integer switches the comparison off.
//!
//! [KEP-5504]: https://github.com/kubernetes/enhancements/issues/5504

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What one watch has delivered.
#[derive(Debug, Default)]
pub struct Versions {
    state: Mutex<State>,
    record_version: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The newest version; none before the first list, and while the list after a rewind is under way.
    newest: Option<u64>,
    /// Requests sent before the last rewind prove nothing any more.
    rewinds: u64,
    record_version: bool,
    is_off: bool,
}

/// The version that an answer must not fall below, taken when its request is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "the answer is to be compared with it"]
pub struct Floor {
    rewinds: u64,
    version: Option<u64>,
}

impl Floor {
    /// Whether there is nothing to compare with.
    #[must_use]
    pub fn is_unknown(self) -> bool {
        self.version.is_none()
    }
}

impl Versions {
    /// Records a version that the watch or a complete list delivered.
    pub fn record(&self, version: &str) {
        let mut state = self.lock();
        match version.parse() {
            Ok(version) => state.newest = state.newest.max(Some(version)),
            Err(_) => state.is_off = true,
        }
    }

    /// The floor for a list, and for the answer to a write that changes an object.
    pub fn floor(&self) -> Floor {
        let state = self.lock();
        Floor {
            rewinds: state.rewinds,
            version: state.newest.filter(|_| !state.is_off),
        }
    }

    /// The floor for a read of one object that is cached with that version.
    pub fn floor_of(&self, cached: &str) -> Floor {
        let floor = self.floor();
        Floor {
            version: floor.version.and(cached.parse().ok()),
            ..floor
        }
    }

    /// Compares the version of an answer with the floor taken when its request was sent. If the store went back, returns
    /// `true` and makes the watch list again.
    pub fn record_version(&self, floor: Floor, version: &str) -> bool {
        let mut state = self.lock();
        let (Some(least), Ok(found)) = (floor.version, version.parse::<u64>()) else {
            return false;
        };
        if state.is_off || floor.rewinds != state.rewinds || found >= least {
            return false;
        }
        state.record_version = true;
        self.record_version.notify_one();
        true
    }

    /// Returns whether the store went back since the last call, and forgets what was delivered before.
    pub fn take_rewind(&self) -> bool {
        let mut state = self.lock();
        if !state.record_version {
            return false;
        }
        *state = State {
            newest: None,
            rewinds: state.rewinds + 1,
            record_version: false,
            is_off: state.is_off,
        };
        true
    }

    /// Returns once the store has been found to have gone back. For one caller at a time.
    pub async fn rewound(&self) {
        loop {
            let notified = self.record_version.notified();
            if self.lock().record_version {
                return;
            }
            notified.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn lower_version_than_delivered_is_a_rewind() {
        let versions = Versions::default();
        assert!(versions.floor().is_unknown());
        versions.record("90");
        let early = versions.floor();
        versions.record("100");
        versions.record("95");
        // Sent before the newest was delivered: no evidence.
        assert!(!versions.record_version(early, "90"));
        let floor = versions.floor();
        assert!(!versions.record_version(floor, "100"));
        assert!(versions.rewound().now_or_never().is_none() && !versions.take_rewind());
        assert!(versions.record_version(floor, "99"));
        assert!(versions.rewound().now_or_never().is_some());
        assert!(versions.take_rewind() && !versions.take_rewind());
    }

    #[test]
    fn requests_from_before_a_rewind_prove_nothing() {
        let versions = Versions::default();
        versions.record("100");
        let (first, second) = (versions.floor(), versions.floor_of("100"));
        assert!(versions.record_version(first, "50") && versions.take_rewind());
        assert!(!versions.record_version(second, "51"));
        // Until the next list is complete, cached objects are of the former store.
        assert!(versions.floor_of("100").is_unknown());
        versions.record("60");
        assert!(versions.record_version(versions.floor(), "59"));
    }

    #[test]
    fn re_read_object_is_compared_with_its_own_version() {
        let versions = Versions::default();
        versions.record("100");
        assert!(!versions.record_version(versions.floor_of("40"), "40"));
        assert!(versions.record_version(versions.floor_of("40"), "39"));
    }

    #[test]
    fn version_that_is_no_integer_switches_the_comparison_off() {
        let versions = Versions::default();
        versions.record("100");
        let floor = versions.floor();
        versions.record("1-2");
        assert!(!versions.record_version(floor, "50"));
        assert!(versions.floor().is_unknown());
    }
}

//! Ways to make passes fail, for tests only: a panic in the passes of one object, and passes that never end. Part of no
//! release build.

use std::path::PathBuf;
use std::time::Duration;

use fireworks_core::claims::ObjectKey;

/// How passes fail, if at all.
#[derive(Clone, Debug, Default)]
pub struct TestHooks {
    /// The passes of this object panic.
    pub panic_on: Option<ObjectKey>,
    /// While this file exists no pass ends.
    pub stick_at: Option<PathBuf>,
}

impl TestHooks {
    /// Panics if `object` is the one that was named.
    ///
    /// # Panics
    ///
    /// On purpose.
    #[allow(clippy::panic, reason = "the hook exists to panic")]
    pub(super) fn panic_on(&self, object: &ObjectKey) {
        assert!(
            self.panic_on.as_ref() != Some(object),
            "asked for by the test hook"
        );
    }

    /// Waits while the file exists. Called outside the deadline of a pass, as if the pass itself could not be ended.
    pub(super) async fn stick(&self) {
        let Some(file) = &self.stick_at else { return };
        while file.exists() {
            tracing::info!("a pass is stuck, as asked by the test hook");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

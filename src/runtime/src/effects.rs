//! What this process does to the world outside, or asks of it: a name for each, and the one door through
//! which all of it goes. `clippy.toml` refuses what could do such a thing anywhere else, so nothing new
//! can be done without a name here. What exactly is done, and how it went, is the caller's.
//!
//! With the feature `seams` the door has a crash point on either side, where the process dies as if it
//! were killed; the tests kill it at every one of them.

#[cfg(feature = "seams")]
pub mod crash;

/// Names the effects and counts them, so that none can be named and not be among [`Effect::ALL`].
macro_rules! effects {
    ($($(#[doc = $doc:literal])+ $effect:ident = $name:literal,)+) => {
        /// Something that is done outside.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Effect {
            $($(#[doc = $doc])+ $effect,)+
        }

        impl Effect {
            /// Each of them.
            pub const ALL: &[Self] = &[$(Self::$effect),+];

            /// Its name in a crash point.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$effect => $name,)+
                }
            }
        }
    };
}

effects! {
    /// A page of the account's users is read.
    List = "list",
    /// One user is read.
    Get = "get",
    /// One user is changed.
    Patch = "patch",
    /// An object's status is written.
    Status = "status",
    /// An object is read again before its user is changed.
    Verify = "verify",
    /// An Event is published.
    Event = "event",
}

/// Where a crash point lies.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// Nothing has been done.
    Before,
    /// It has been done, and its outcome is not known yet.
    After,
}

/// Does it. `about` is the user or object that it concerns; empty where it concerns all.
pub async fn around<F: Future>(effect: Effect, about: &str, doing: F) -> F::Output {
    let _under_way = UnderWay::begin();
    point(effect, Side::Before, about);
    let done = doing.await;
    point(effect, Side::After, about);
    done
}

/// Lets it count as under way while it is done: for what a library does outside by itself, that has no name above.
pub async fn counted<F: Future>(doing: F) -> F::Output {
    let _under_way = UnderWay::begin();
    doing.await
}

#[cfg(feature = "seams")]
use tally::UnderWay;
#[cfg(feature = "seams")]
pub use tally::{forget_under_way, under_way};

/// How much is done outside at the moment.
#[cfg(feature = "seams")]
mod tally {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// How often all was forgotten, and how much has begun since then and not ended.
    static TALLY: Mutex<(u64, usize)> = Mutex::new((0, 0));

    fn tally() -> MutexGuard<'static, (u64, usize)> {
        TALLY.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much is under way.
    #[must_use]
    pub fn under_way() -> usize {
        tally().1
    }

    /// What has begun before now counts no more.
    pub fn forget_under_way() {
        let mut tally = tally();
        *tally = (tally.0 + 1, 0);
    }

    /// One thing, until it is dropped.
    pub(super) struct UnderWay(u64);

    impl UnderWay {
        pub(super) fn begin() -> Self {
            let mut tally = tally();
            tally.1 += 1;
            Self(tally.0)
        }
    }

    impl Drop for UnderWay {
        fn drop(&mut self) {
            let mut tally = tally();
            if tally.0 == self.0 {
                tally.1 = tally.1.saturating_sub(1);
            }
        }
    }
}

/// Not counted.
#[cfg(not(feature = "seams"))]
struct UnderWay;

#[cfg(not(feature = "seams"))]
impl UnderWay {
    fn begin() -> Self {
        Self
    }
}

#[cfg(feature = "seams")]
fn point(effect: Effect, side: Side, about: &str) {
    crash::point(effect, side, about);
}

#[cfg(not(feature = "seams"))]
fn point(_: Effect, _: Side, _: &str) {}

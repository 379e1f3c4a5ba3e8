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
    /// An object is read again before its user is given power.
    Verify = "verify",
    /// An Event is published.
    Event = "event",
}

/// Where a crash point lies.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// Nothing has been done.
    Before,
    /// It has been done, and nobody has heard of it yet.
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

#[cfg(feature = "seams")]
use counted::UnderWay;
#[cfg(feature = "seams")]
pub use counted::under_way;

/// How much is done outside at the moment.
#[cfg(feature = "seams")]
mod counted {
    use std::sync::atomic::{AtomicUsize, Ordering};

    static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

    /// So many effects are under way.
    #[must_use]
    pub fn under_way() -> usize {
        UNDER_WAY.load(Ordering::Relaxed)
    }

    /// One effect, until it is dropped.
    pub(super) struct UnderWay;

    impl UnderWay {
        pub(super) fn begin() -> Self {
            UNDER_WAY.fetch_add(1, Ordering::Relaxed);
            Self
        }
    }

    impl Drop for UnderWay {
        fn drop(&mut self) {
            UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Nobody asks.
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

//! What is known of a single user, as decisions about it need it.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::User;

use crate::time::Moment;

/// What is known of one remote user.
#[derive(Clone, Debug)]
pub enum Sighting {
    /// Never looked for, or not since the start.
    Never,
    /// A complete list did not show it; not confirmed yet.
    Suspected,
    /// The account has no such user.
    Absent,
    /// Seen.
    Seen {
        /// The user as returned.
        user: Arc<User>,
        /// How old the knowledge is.
        freshness: Freshness,
        /// When the request of the newest evidence was sent.
        sent_at: Moment,
    },
}

/// How old the knowledge of a user is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Freshness {
    /// Read within the last two sweeps.
    Fresh,
    /// Older, but still within what an object in sync may rely on.
    Aged,
    /// Nothing good was seen for max(10 min, 3 sweep periods).
    Stale,
}

/// A read or a change that did not succeed: its class and its words, cleaned.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Failure {
    /// The class of the failure.
    pub kind: Kind,
    /// What was attempted and what came back, bounded and redacted.
    pub message: String,
}

impl Failure {
    /// It is about the way to Fireworks, the key or the account, not about the one user that was asked for.
    #[must_use]
    pub fn concerns_all(&self) -> bool {
        matches!(
            self.kind,
            Kind::Transient | Kind::Throttled | Kind::Unauthenticated | Kind::AccountSuspended
        )
    }

    /// Fireworks could not be reached or failed.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self.kind, Kind::Transient | Kind::NotFound)
    }
}

/// What a pass may know of one user.
#[derive(Clone, Debug)]
pub struct View {
    /// The user itself.
    pub sighting: Sighting,
    /// It was never seen, or not for too long.
    pub is_silent: bool,
    /// The age from which an observation is stale.
    pub stale_after: Duration,
    /// A change whose effect is unknown: only a read begun at this time or later settles it.
    pub settles_at: Option<Moment>,
    /// Why the read that this user waits for, or the last sweep, failed; or a read of another user, where that would
    /// have met any.
    pub failure: Option<Arc<Failure>>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            kind: *error.kind(),
            message: error.to_string(),
        }
    }
}

/// How many other users of the account are admins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OtherAdmins {
    /// That many of the kind that the demotion needs, as last completely listed plus our own answers.
    Known(usize),
    /// The last complete list is too old.
    NotListed,
    /// The demotion of another admin is under way: ask again when it has ended.
    Busy,
    /// There are others, but a demotion that a former process sent may still take effect: only a list
    /// begun at that time or later shows which are left.
    Unsettled(Moment),
    /// The check after demotions failed: no admin is demoted until then, or, with `None`, until a restart.
    Stopped(Option<Moment>),
}

/// What the canary means for a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mask {
    /// The change may leave.
    Trusted,
    /// The change is the canary: the user has to be read immediately before it.
    Unread,
    /// The first change is under way or being judged: ask again when that has ended, or at that time.
    Busy(Moment),
    /// This user lost a field that was not sent: its changes are held until then, or until a second user refutes it.
    UserStopped(Moment),
    /// Two users lost fields that were not sent: no change leaves before that time.
    Stopped(Moment),
}

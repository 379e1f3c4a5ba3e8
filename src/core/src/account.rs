//! One remote account: what is known of its users, which requests may leave, and what the answers mean. It is plain data and
//! makes no call.
//!
//! Each concept has one owner, a struct with private fields that knows nothing of the others. [`Account`] only coordinates: what
//! an answer means for one owner after the other, see `account/apply.rs`. What has to happen outside is taken by
//! [`Account::take_signals`].
//!
//! | owner | concept |
//! |---|---|
//! | `users` | the users as last read, and which of them objects declare |
//! | `updates` | updates of which it is not known whether they took effect |
//! | `absence` | which users are gone, and how sure that is |
//! | `admins` | the last admin is never demoted |
//! | `canary` | whether fields survive that a `PATCH` does not name |
//! | `refresh` | what to read next, and how the last reads ended |
//! | [`limiter`] | which requests may leave |
//! | [`denials`] | the changes that the API key may not make |
//! | [`outage`] | whether Fireworks is out of reach |
//! | [`requests`] | the requests that the account makes by itself |

use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{AccountId, UserId};

use crate::random::Random;
use crate::rules::Rules;
use crate::time::Moment;
use crate::world::Settings;
use absence::Absence;
use admins::Admins;
use canary::Canary;
use denials::Denials;
use limiter::{Limiter, Permit};
use outage::Outage;
use refresh::Refresh;
use requests::Requests;
use updates::Updates;
use users::Users;

mod absence;
mod admins;
mod apply;
mod canary;
mod canonical;
pub mod denials;
mod freshness;
pub mod limiter;
pub mod outage;
mod reading;
mod refresh;
pub mod requests;
pub mod updates;
mod users;
mod view;

pub use absence::Evidence;
pub use admins::{OtherAdmins, Repair, Restore};
pub use canary::Mask;
pub use freshness::Freshness;
pub use limiter::Class;
pub use refresh::{Listing, Schedule};
pub(crate) use users::supersedes;
pub use view::{Entries, Failure, Sighting, View};

/// One remote account.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The version of the API key in use, as of the last step or answer.
    pub key_version: u64,
    /// Which requests may leave.
    pub limiter: Limiter,
    /// The changes that the API key may not make.
    pub denials: Denials,
    pub(crate) rules: Rules,
    /// How long an answer may contradict an earlier change, or a lost change may still take effect.
    settle_window: Duration,
    users: Users,
    updates: Updates,
    absence: Absence,
    admins: Admins,
    canary: Canary,
    refresh: Refresh,
    outage: Outage,
    requests: Requests,
    /// The beginning, until users that were never read since are reported.
    unread_since: Option<Moment>,
    signals: Signals,
}

/// What has to happen outside since the signals were last taken.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Signals {
    /// Users whose objects must be requeued, in that order; one may occur more than once.
    pub requeue: Vec<UserId>,
    /// The same of users whose change was granted a permit: where no object declares the user any more, the permit is released.
    pub granted: Vec<UserId>,
    /// An outage of Fireworks has ended: pending objects need not wait for their back-off.
    pub outage_ended: bool,
    /// What the log and the metrics must show, in that order.
    pub notices: Vec<Notice>,
}

/// An event that the log or the metrics must show.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Notice {
    /// Demotions left the account without an admin: the demoted users are made admin again.
    NoAdminLeft {
        /// The number of users that were demoted.
        demoted: usize,
    },
    /// A user lost a field that was not sent: its updates are held, and a second user is tried.
    FieldCleared {
        /// The user, as the gateway names it.
        user: UserId,
    },
    /// A second user lost a field that was not sent: all updates of the account are stopped.
    FieldClearedAgain {
        /// The second user, as the gateway names it.
        user: UserId,
    },
    /// A list is complete.
    Listed {
        /// The number of its users.
        users: usize,
        /// The time from its first request to its last answer.
        took: Duration,
    },
    /// Rows of a page could not be read.
    MalformedRows(usize),
    /// A list failed, with that error.
    ListFailed(String),
    /// The account is suspended, in that state where it is known.
    AccountSuspended(Option<String>),
    /// The state of the suspended account could not be read, with that error.
    AccountUnread(String),
    /// The account is no longer suspended.
    AccountServed,
    /// An outage of Fireworks has ended.
    OutageEnded,
}

/// What a call was for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Call {
    Update,
    Read,
    Account,
}

impl Account {
    /// Returns an account of which nothing is known, configured by these settings. Jitter is drawn from `seed`: two processes must
    /// not have the same one.
    #[must_use]
    pub fn new(id: AccountId, settings: &Settings, now: Moment, seed: u64) -> Self {
        Self {
            id,
            key_version: 0,
            limiter: Limiter::new(settings.requests_per_minute, now),
            denials: Denials::default(),
            rules: Rules::default(),
            settle_window: settings.settle_window,
            users: Users::new(settings.max_users),
            updates: Updates::default(),
            absence: Absence::default(),
            admins: Admins::new(settings.grants.min_admins(), Random::new(seed).draw()),
            canary: Canary::default(),
            refresh: Refresh::new(settings.sweep_interval, seed),
            outage: Outage::default(),
            requests: Requests::default(),
            unread_since: Some(now),
            signals: Signals::default(),
        }
    }

    /// Returns the account with other rules than those of production, for a test that breaks one of them.
    #[must_use]
    pub fn with_rules(mut self, rules: Rules) -> Self {
        self.rules = rules;
        self.denials.rules = rules;
        self.users.rules = rules;
        self.updates.rules = rules;
        self.absence.rules = rules;
        self.admins.rules = rules;
        self.refresh.rules = rules;
        self
    }

    /// Takes the signals. Whatever changes the account has to take and obey them afterwards.
    #[must_use]
    pub fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    /// Has the objects of these users requeued.
    fn requeue(&mut self, users: impl IntoIterator<Item = UserId>) {
        self.signals.requeue.extend(users);
    }

    /// Sets whether an object that may make calls declares that user. Where none does any more, what no object needs ends.
    pub fn set_managed(&mut self, user: &UserId, is_managed: bool) {
        if self.users.set_managed(user, is_managed) {
            // Whether a field was cleared is asked to the end, whichever objects declare the user.
            if !self.canary.suspects(user) {
                self.refresh.requested.remove(user);
            }
            self.absence.forget(user);
            self.admins.forget(user);
            let affected = self.canary.forget(user);
            self.requeue(affected);
        }
        self.requests.refresh();
    }

    /// Sets whether objects declare the user of which none may make calls: what was seen of it is kept.
    pub fn set_suspended(&mut self, user: &UserId, is_suspended: bool) {
        self.users.set_suspended(user, is_suspended);
    }

    /// Records that a key of a new version is in use: a refusal of the old one does not concern it.
    pub fn key_changed(&mut self, version: u64, now: Moment) {
        self.key_version = self.key_version.max(version);
        self.limiter.key_changed(version);
        self.retry_now(now);
    }

    /// Spends the permit on a call that leaves now. Where none may leave, the permit goes back.
    fn spend(&mut self, permit: Permit, now: Moment) -> bool {
        let is_spent = self.limiter.spend(&permit, now);
        if !is_spent {
            self.limiter.put_back(permit);
        }
        is_spent
    }

    /// Returns whether the call waited for its connection when a pause began: it has not left.
    #[must_use]
    pub fn was_withheld(&self, error: Option<&Error>, now: Moment) -> bool {
        error.is_some_and(Error::is_unsent) && self.limiter.is_paused(now)
    }

    /// Applies what the outcome of a call means for the whole account. A success counts for the key that was in use when the
    /// call left: a newer one may have been used, an older one not.
    fn apply_outcome(&mut self, call: Call, key_version: u64, error: Option<&Error>, now: Moment) {
        self.apply_outage(error, now);
        let Some(error) = error else {
            self.limiter.key_accepted(key_version);
            let is_update = call == Call::Update;
            if call != Call::Account && self.limiter.account_serves(is_update) {
                self.signals.notices.push(Notice::AccountServed);
                self.retry_now(now);
            }
            return;
        };
        match error.kind() {
            Kind::Throttled => self.limiter.throttled(error.retry_after(), now),
            Kind::Unauthenticated => {
                self.limiter
                    .key_refused(error.key_version(), self.key_version, now);
            }
            Kind::Denied | Kind::NotFound | Kind::Rejected => {
                self.limiter.key_accepted(error.key_version());
            }
            Kind::AccountSuspended
                if call != Call::Account && (self.rules.shows_suspension)(*error.kind()) =>
            {
                if self.limiter.account_suspended(call == Call::Update, now) {
                    self.read_account();
                }
            }
            Kind::AccountSuspended | Kind::Transient | Kind::Malformed => {}
        }
        // Whatever the answer was: a server that asks for a pause gets it.
        if error.retry_after().is_some() {
            self.limiter.pause(error.retry_after(), now);
        }
    }

    /// Counts a transient failure, or ends the outage that such failures made.
    fn apply_outage(&mut self, error: Option<&Error>, now: Moment) {
        match error.map(|error| *error.kind()) {
            Some(Kind::Transient) => self.outage.failed(now),
            // A page of a proxy in between is no answer of Fireworks.
            Some(Kind::Malformed) => {}
            _ if self.outage.answer_applied() => {
                self.signals.notices.push(Notice::OutageEnded);
                self.signals.outage_ended = true;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;

//! One remote account: what is known of its users, which requests may leave, and what the answers mean. Every answer is
//! applied here; what has to happen outside is taken by [`Account::take_signals`].

use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{AccountId, UserId};

use crate::time::Moment;
use denials::Denials;
use directory::{Directory, Notice as DirectoryNotice};
use limiter::{Limiter, Permit};
use outage::Outage;
use requests::Requests;

mod canonical;
pub mod denials;
pub mod directory;
pub mod limiter;
pub mod outage;
pub mod requests;
pub mod updates;
mod view;

pub use limiter::Class;
pub use view::{Failure, Freshness, Mask, OtherAdmins, Sighting, View};

/// One remote account.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// The version of the API key in use, as of the last step or answer.
    pub key_version: u64,
    /// What is known of its users.
    pub directory: Directory,
    /// Which requests may leave.
    pub limiter: Limiter,
    /// The changes that the API key may not make.
    pub denials: Denials,
    outage: Outage,
    requests: Requests,
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
    /// An event of the directory.
    Directory(DirectoryNotice),
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
    /// Returns an account of which nothing is known, with its limiter.
    #[must_use]
    pub fn new(id: AccountId, directory: Directory, limiter: Limiter) -> Self {
        Self {
            id,
            key_version: 0,
            directory,
            limiter,
            denials: Denials::default(),
            outage: Outage::default(),
            requests: Requests::default(),
            signals: Signals::default(),
        }
    }

    /// Takes the signals. Whatever changes the account has to take and obey them afterwards.
    #[must_use]
    pub fn take_signals(&mut self) -> Signals {
        self.collect_signals();
        std::mem::take(&mut self.signals)
    }

    fn collect_signals(&mut self) {
        let directory::Signals {
            requeue,
            refresh,
            notices,
        } = self.directory.take_signals();
        self.signals.requeue.extend(requeue);
        let notices = notices.into_iter().map(Notice::Directory);
        self.signals.notices.extend(notices);
        if refresh {
            self.requests.refresh();
        }
    }

    /// A key of a new version is in use: a refusal of the old one does not concern it.
    pub fn key_changed(&mut self, version: u64, now: Moment) {
        self.key_version = self.key_version.max(version);
        self.limiter.key_changed(version);
        self.directory.retry_now(now);
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
                self.directory.retry_now(now);
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
            Kind::AccountSuspended if call != Call::Account => {
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

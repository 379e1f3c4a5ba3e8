//! What is known of the account and of single users, as decisions need it.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{User, UserId};

use super::Account;
use super::admins::{Admins, Known, OtherAdmins};
use super::canary::Mask;
use super::freshness::Freshness;
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

impl Sighting {
    /// Returns the user as last seen.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<User>> {
        match self {
            Self::Seen { user, .. } => Some(user),
            Self::Never | Self::Suspected | Self::Absent => None,
        }
    }
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
    /// No read has shown it yet, or the newest one is stale.
    pub is_stale: bool,
    /// The age from which an observation is stale.
    pub stale_after: Duration,
    /// Two reads in a row have shown the user without an e-mail.
    pub lacks_email: bool,
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

/// The number of entries that an account keeps.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Entries {
    /// Users of the account.
    pub users: usize,
    /// Those of them that objects declare.
    pub declared_users: usize,
    /// Users that are missed.
    pub missing_users: usize,
    /// Users with updates whose effect is unknown.
    pub unclear_changes: usize,
    /// Requested reads that have not ended.
    pub wanted_reads: usize,
}

impl Account {
    /// Returns what is known of that user.
    #[must_use]
    pub fn view(&self, user: &UserId, now: Moment) -> View {
        let limits = self.age_limits();
        let known = self.users.get(user).map(|record| {
            let age = now.saturating_duration_since(record.seen_at);
            (record, limits.freshness(age))
        });
        let sighting = match known {
            _ if self.absence.is_confirmed(user) => Sighting::Absent,
            _ if self.absence.is_missing(user) => Sighting::Suspected,
            Some((record, freshness)) => Sighting::Seen {
                user: record.user.clone(),
                freshness,
                sent_at: record.sent_at,
            },
            None => Sighting::Never,
        };
        View {
            sighting,
            is_stale: known.is_none_or(|(_, freshness)| freshness == Freshness::Stale),
            stale_after: limits.stale_after,
            lacks_email: known.is_some_and(|(record, _)| record.lacks_email()),
            settles_at: self.updates.settles_at(user, self.settle_window),
            failure: self.refresh.failure(user),
        }
    }

    /// Returns users that objects declare and of which nothing is known: never seen, and not known to be absent.
    #[must_use]
    pub fn unseen(&self) -> Vec<UserId> {
        let is_unseen = |user: &&UserId| {
            if self.absence.is_missing(user) {
                !self.absence.is_confirmed(user)
            } else {
                self.users.get(user).is_none()
            }
        };
        let managed = self.users.managed.iter();
        managed.filter(is_unseen).cloned().collect()
    }

    /// Returns whether a read of that user is requested.
    #[must_use]
    pub fn is_requested(&self, user: &UserId) -> bool {
        self.refresh.requested.contains(user)
    }

    /// Returns how many admins would remain if `user` were none, by a list begun at `settled_from` or later: before that,
    /// changes of a former process may still take effect. For a user that counts only those that count are counted, else
    /// all. Where there are none, or another demotion is under way, the user is requeued when that may have changed.
    #[must_use]
    pub fn other_admins(
        &mut self,
        user: &UserId,
        settled_from: Moment,
        now: Moment,
    ) -> OtherAdmins {
        let list_counts_for = self.age_limits().list_counts_for;
        let (admins, known) = self.admins();
        admins.other_admins(user, known, list_counts_for, settled_from, now)
    }

    /// Returns the guard of the last admin, and what it counts admins by.
    pub(super) fn admins(&mut self) -> (&mut Admins, Known<'_>) {
        let known = Known {
            users: &self.users,
            absence: &self.absence,
            updates: &self.updates,
            list: self.refresh.last_list,
        };
        (&mut self.admins, known)
    }

    /// Returns how many admins count, as last listed, and whether demotions are stopped.
    #[must_use]
    pub fn count_admins(&self, now: Moment) -> (usize, bool) {
        let known = Known {
            users: &self.users,
            absence: &self.absence,
            updates: &self.updates,
            list: self.refresh.last_list,
        };
        self.admins.count(known, now)
    }

    /// Returns what the canary means for a change of that user. While it is [`Mask::Busy`], the user is requeued when the canary
    /// has been judged.
    #[must_use]
    pub fn mask(&mut self, user: &UserId, names_display_name: bool, now: Moment) -> Mask {
        let known = self.users.get(user).map(|record| &*record.user);
        self.canary.mask(user, known, names_display_name, now)
    }

    /// Returns whether all changes are stopped since fields were cleared, or tried again one at a time.
    #[must_use]
    pub fn are_updates_stopped(&self) -> bool {
        self.canary.is_stopped()
    }

    /// Returns the number of entries that are kept.
    #[must_use]
    pub fn counts(&self) -> Entries {
        Entries {
            users: self.users.len(),
            declared_users: self.users.managed.len(),
            missing_users: self.absence.len(),
            unclear_changes: self.updates.len(),
            wanted_reads: self.refresh.requested.len(),
        }
    }
}

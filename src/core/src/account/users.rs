//! The users of the account as last read: one compact record per declared user, less of the others. Newer evidence wins.
//! Holds no e-mail text.

mod by_user;
mod undeclared;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::wire::{User, UserId};

use super::freshness::AgeLimits;
use crate::rebase::rebase;
use crate::rules::{Observation, Rules};
use crate::time::Moment;
use by_user::ByUser;
use undeclared::Undeclared;

/// Evidence that contradicts the remote's own `updateTime` is valid after this long: the remote may have been restored from a
/// backup.
const CONTRADICTION_OUTLIVED: Duration = Duration::from_mins(10);
/// All users are checked for stale reads at most this often.
const STALE_CHECK_PAUSE: Duration = Duration::from_secs(5);
/// A user has no e-mail once that many reads in a row have shown none.
const READS_WITHOUT_EMAIL: u8 = 2;

/// The users of the account, and which of them objects declare.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Users {
    pub(super) rules: Rules,
    /// The users that objects declare, and those whose last change matters still.
    records: ByUser<Record>,
    undeclared: ByUser<Undeclared>,
    /// With more users a list has failed.
    pub(super) limit: usize,
    /// Declared by objects that may make calls.
    pub(super) managed: BTreeSet<UserId>,
    /// Declared by objects of which none may make calls.
    suspended: BTreeSet<UserId>,
    /// When users are checked for stale reads.
    stale_check_at: Option<Moment>,
}

/// What is kept of a user that objects declare, or whose last change matters still.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Record {
    pub(super) user: Arc<User>,
    /// When the read that is valid was sent.
    pub(super) sent_at: Moment,
    /// When the newest read that showed the user was sent, valid or not.
    pub(super) seen_at: Moment,
    /// Few users are changed: their record alone is larger.
    change: Option<Box<Change>>,
    /// The last list that showed the user.
    listed: u32,
    /// Its objects were requeued since its last read is stale.
    is_known_stale: bool,
    /// Reads in a row that showed the user without an e-mail, up to [`READS_WITHOUT_EMAIL`].
    without_email: u8,
}

/// The last change of ours that was answered.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Change {
    sent_at: Moment,
    succeeded_at: Moment,
}

/// What an observation of a user changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Observed {
    /// The user as it is known now.
    pub(super) user: Arc<User>,
    /// When a read that showed the user before was sent.
    pub(super) seen_before: Option<Moment>,
    /// The user differs, is new, or was stale before.
    pub(super) is_changed: bool,
    /// The observation replaces an earlier one, and is newer than our last change.
    pub(super) is_newest: bool,
}

impl Record {
    /// Returns whether our last change of the user was sent after that time.
    pub(super) fn is_changed_after(&self, at: Moment) -> bool {
        let change = self.change.as_ref();
        change.is_some_and(|change| change.sent_at > at)
    }

    /// Returns whether enough reads have shown the user without an e-mail.
    pub(super) fn lacks_email(&self) -> bool {
        self.without_email >= READS_WITHOUT_EMAIL
    }

    /// Returns whether a lagging read could contradict our last change.
    fn is_fresh_change(&self, settle: Duration) -> bool {
        let change = self.change.as_ref();
        change.is_some_and(|change| self.sent_at < change.succeeded_at + settle)
    }

    /// Returns whether the newly seen user replaces the record. Without times a read cannot contradict our own fresh change.
    fn is_replaced_by(&self, new: &User, sent_at: Moment, settle: Duration, rules: Rules) -> bool {
        let known = Observation {
            update_time: self.user.update_time,
            sent_at: self.sent_at,
        };
        let newer = Observation {
            update_time: new.update_time,
            sent_at,
        };
        let contradicts = known.update_time.and(newer.update_time).is_none() && *self.user != *new;
        let is_lag = |change: &Change| (rules.is_replica_lag)(sent_at, change.succeeded_at, settle);
        (rules.supersedes)(known, newer)
            && !(contradicts && self.change.as_deref().is_some_and(is_lag))
    }

    /// Records an observation of the user. Returns whether it replaces what is known.
    fn observe(&mut self, user: User, sent_at: Moment, settle: Duration, rules: Rules) -> bool {
        self.seen_at = self.seen_at.max(sent_at);
        let is_replaced = self.is_replaced_by(&user, sent_at, settle, rules);
        if user.email.is_none() {
            self.without_email = next_without_email(self.without_email);
        }
        if is_replaced {
            if user.email.is_some() {
                self.without_email = 0;
            }
            self.sent_at = self.sent_at.max(sent_at);
            if *self.user != user {
                self.user = Arc::new(user);
            }
        }
        is_replaced
    }
}

impl Users {
    /// Returns no users; with more than `max_users` a list has failed.
    pub(super) fn new(max_users: usize) -> Self {
        Self {
            rules: Rules::default(),
            records: ByUser::default(),
            undeclared: ByUser::default(),
            limit: max_users,
            managed: BTreeSet::new(),
            suspended: BTreeSet::new(),
            stale_check_at: None,
        }
    }

    /// Sets whether an object that may make calls declares the user. Returns whether none does any more.
    pub(super) fn set_managed(&mut self, user: &UserId, is_managed: bool) -> bool {
        if is_managed {
            self.managed.insert(user.clone());
            return false;
        }
        self.managed.remove(user)
    }

    /// Sets whether objects declare the user of which none may make calls: what was seen of it is kept.
    pub(super) fn set_suspended(&mut self, user: &UserId, is_suspended: bool) {
        if is_suspended {
            self.suspended.insert(user.clone());
        } else {
            self.suspended.remove(user);
        }
    }

    /// Returns whether an object that may make calls declares the user.
    pub(super) fn is_managed(&self, user: &UserId) -> bool {
        self.managed.contains(user)
    }

    /// Returns whether an object declares the user, be it suspended.
    fn is_declared(&self, user: &UserId) -> bool {
        self.managed.contains(user) || self.suspended.contains(user)
    }

    /// Returns whether observations of the user go into a record of its own.
    pub(super) fn has_record(&self, user: &UserId) -> bool {
        self.is_declared(user) || self.records.contains_key(user)
    }

    /// Returns the record of the user.
    pub(super) fn get(&self, user: &UserId) -> Option<&Record> {
        self.records.get(user)
    }

    /// Returns all records, in no order.
    pub(super) fn records(&self) -> impl Iterator<Item = (&UserId, &Record)> {
        self.records.iter()
    }

    /// Returns the number of users of which something is kept.
    pub(super) fn len(&self) -> usize {
        self.records.len() + self.undeclared.len()
    }

    /// Returns the last list that has shown the user; 0 if none.
    fn listed_in(&self, user: &UserId) -> u32 {
        let whole = self.records.get(user).map(|record| record.listed);
        let brief = || self.undeclared.get(user).map(|one| one.listed);
        whole.or_else(brief).unwrap_or_default()
    }

    /// Returns the managed users that the list of that number did not show.
    pub(super) fn not_listed_in(&self, number: u32) -> impl Iterator<Item = &UserId> {
        let managed = self.managed.iter();
        managed.filter(move |user| self.listed_in(user) != number)
    }

    /// Returns the managed users that no read has shown which was sent at that time or later, or at all.
    pub(super) fn unseen_since(&self, at: Option<Moment>) -> impl Iterator<Item = &UserId> {
        self.managed.iter().filter(move |user| {
            let record = self.records.get(*user);
            record.is_none_or(|record| at.is_none_or(|at| record.seen_at < at))
        })
    }
}

impl Users {
    /// Records an observation of a user that has a record of its own, or gets one by it.
    pub(super) fn observe(&mut self, user: User, sent_at: Moment, settle: Duration) -> Observed {
        let Some(record) = self.records.get_mut(&user.id) else {
            return self.observe_first(user, sent_at);
        };
        let seen_before = Some(record.seen_at);
        let was_stale = std::mem::take(&mut record.is_known_stale);
        let before = record.user.clone();
        let is_replaced = record.observe(user, sent_at, settle, self.rules);
        let change = record.change.as_ref();
        Observed {
            seen_before,
            is_changed: was_stale || before != record.user,
            is_newest: is_replaced && change.is_none_or(|change| sent_at > change.sent_at),
            user: record.user.clone(),
        }
    }

    fn observe_first(&mut self, user: User, sent_at: Moment) -> Observed {
        let user = Arc::new(user);
        let id = user.id.clone();
        let record = Record {
            without_email: u8::from(user.email.is_none()),
            user: user.clone(),
            sent_at,
            seen_at: sent_at,
            change: None,
            listed: self.listed_in(&id),
            is_known_stale: false,
        };
        self.undeclared.remove(&id);
        self.records.insert(id, record);
        Observed {
            user,
            seen_before: None,
            is_changed: true,
            is_newest: false,
        }
    }

    /// Records that the list of that number showed the user. Returns whether it did not before.
    pub(super) fn mark_listed(&mut self, user: &UserId, number: u32) -> bool {
        let listed = self.records.get_mut(user).map(|record| &mut record.listed);
        listed.is_none_or(|listed| std::mem::replace(listed, number) != number)
    }

    /// Records the user as the answer to an update sent at that time shows it. Returns whether it differs from what was known.
    pub(super) fn update_succeeded(
        &mut self,
        id: &UserId,
        user: &Arc<User>,
        sent_at: Moment,
        now: Moment,
    ) -> bool {
        let before = self.records.get(id);
        // Of two changes under way the older may be answered last: newer wins here, too.
        let is_newer = |known: &Record| {
            let newer = known.user.update_time > user.update_time && user.update_time.is_some();
            newer && known.sent_at > sent_at
        };
        if before.is_some_and(is_newer) {
            return false;
        }
        let without_email = before.map_or(0, |known| known.without_email);
        let record = Record {
            without_email: if user.email.is_none() {
                next_without_email(without_email)
            } else {
                0
            },
            user: user.clone(),
            sent_at,
            seen_at: before.map_or(sent_at, |known| known.seen_at.max(sent_at)),
            change: Some(Box::new(Change {
                sent_at,
                succeeded_at: now,
            })),
            listed: self.listed_in(id),
            is_known_stale: false,
        };
        self.undeclared.remove(id);
        let before = self.records.insert(id.clone(), record);
        before.is_none_or(|before| before.user != *user)
    }

    /// Forgets a user that is gone.
    pub(super) fn remove(&mut self, user: &UserId) {
        self.records.remove(user);
        self.undeclared.remove(user);
    }
}

/// Which users were read too long ago, and when their objects are requeued for that: with the next read that fails, and by
/// the clock where no read ends at all, as in a long pause.
impl Users {
    /// Returns the managed users whose last read has become stale, each once.
    pub(super) fn take_stale(&mut self, limits: AgeLimits, now: Moment) -> Vec<UserId> {
        let mut stale = Vec::new();
        // Not in the order of the records, which differs from process to process.
        for id in &self.managed {
            let Some(record) = self.records.get_mut(id) else {
                continue;
            };
            let age = now.saturating_duration_since(record.seen_at);
            if limits.is_stale(age) && !record.is_known_stale {
                record.is_known_stale = true;
                stale.push(id.clone());
            }
        }
        stale
    }

    /// Does the same by the clock. Returns also when to check again: when the next read may have become stale.
    pub(super) fn check_stale(
        &mut self,
        limits: AgeLimits,
        now: Moment,
    ) -> (Vec<UserId>, Option<Moment>) {
        if self.managed.is_empty() {
            return (Vec::new(), None);
        }
        let mut stale = Vec::new();
        if self.stale_check_at.is_none_or(|at| at <= now) {
            stale = self.take_stale(limits, now);
            self.stale_check_at = Some(self.next_stale_check(limits, now));
        }
        (stale, self.stale_check_at)
    }

    fn next_stale_check(&self, limits: AgeLimits, now: Moment) -> Moment {
        let is_relied_on = |(id, record): &(&UserId, &Record)| {
            self.managed.contains(*id) && !record.is_known_stale
        };
        let relied_on = self.records.iter().filter(is_relied_on);
        let oldest = relied_on.map(|(_, record)| record.seen_at).min();
        let due = oldest.unwrap_or(now) + limits.stale_after + Duration::from_millis(1);
        due.max(now + STALE_CHECK_PAUSE)
    }
}

rebase! { Users {
    rebased: records, undeclared;
    fixed: stale_check_at = None;
    kept: rules, limit, managed, suspended;
} }

// No list is in progress: which one showed the user does not matter.
rebase! { Record {
    rebased: sent_at, seen_at, change;
    fixed: listed = 0;
    kept: user, is_known_stale, without_email;
} }

rebase! { Change {
    rebased: sent_at, succeeded_at;
} }

/// Returns the number of reads without an e-mail after one more.
fn next_without_email(reads: u8) -> u8 {
    READS_WITHOUT_EMAIL.min(reads.saturating_add(1))
}

/// Returns whether the observation is newer than the known one: by `updateTime` where both have it, else by when the request
/// was sent.
pub(crate) fn supersedes(known: Observation, new: Observation) -> bool {
    let outlived = new.sent_at.saturating_duration_since(known.sent_at) > CONTRADICTION_OUTLIVED;
    match (known.update_time, new.update_time) {
        (Some(known), Some(new)) if known != new => new > known || outlived,
        _ => new.sent_at >= known.sent_at,
    }
}

//! The users that no object declares. An account may have a hundred times more of them than declared ones, and all that
//! is decided by them is how many admins there are: of each the id and two bits are kept.

use fireworks_api::wire::{User, UserId};

use super::admins::{is_admin, is_counted};
use super::{ByUser, Directory, Listing, Record};
use crate::time::Moment;

/// What is kept of a user that no object declares.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Undeclared {
    pub(super) is_admin: bool,
    pub(super) is_counted: bool,
    /// The last list that showed it.
    pub(super) listed: u32,
}

impl Undeclared {
    fn of(user: &User, listed: u32) -> Self {
        Self {
            is_admin: is_admin(user),
            is_counted: is_counted(user),
            listed,
        }
    }
}

impl Directory {
    /// Records whether objects declare the user of which none may make calls: what was seen of it is kept.
    pub fn set_suspended(&mut self, user: &UserId, is_suspended: bool) {
        if is_suspended {
            self.suspended.insert(user.clone());
        } else {
            self.suspended.remove(user);
        }
    }

    /// Sets the number of users beyond which a list has failed.
    pub fn limit_users(&mut self, max_users: usize) {
        self.max_users = max_users;
    }

    /// The number of users beyond which a list has failed.
    #[must_use]
    pub fn max_users(&self) -> usize {
        self.max_users
    }
}

impl Directory {
    /// Whether an object declares the user, be it suspended.
    pub(super) fn is_declared(&self, user: &UserId) -> bool {
        self.managed.contains(user) || self.suspended.contains(user)
    }

    /// The last list that has shown the user; 0 if none.
    pub(super) fn listed_in(&self, user: &UserId) -> u32 {
        let whole = self.records.get(user).map(|record| record.listed);
        let brief = || self.undeclared.get(user).map(|one| one.listed);
        whole.or_else(brief).unwrap_or_default()
    }

    /// Whether rows about the user are folded into a record of its own.
    pub(super) fn has_record(&self, user: &UserId) -> bool {
        self.is_declared(user)
            || self.records.contains_key(user)
            || self.unconfirmed.contains_key(user)
    }

    /// Folds a row about a user in that no object declares. Returns whether the list shows it for the first time.
    pub(super) fn observe_undeclared(
        &mut self,
        user: User,
        number: u32,
        affected: &mut Vec<UserId>,
    ) -> bool {
        let seen = Undeclared::of(&user, number);
        let before = self.undeclared.get(&user.id).copied();
        let was = |bit: fn(&Undeclared) -> bool| before.as_ref().is_some_and(bit);
        if seen.is_admin && !was(|one| one.is_admin)
            || seen.is_counted && !was(|one| one.is_counted)
        {
            affected.extend(std::mem::take(&mut self.waiting_for_admins));
        }
        if let Some(known) = self.undeclared.get_mut(&user.id) {
            *known = seen;
        } else if self.undeclared.len() < self.max_users {
            self.undeclared.insert(user.id, seen);
        }
        before.is_none_or(|before| before.listed != number)
    }

    /// A complete list that does not show a user which no object declares: no other read will. Its malformed rows may have
    /// been about that user, which then is forgotten until it is shown; no admin is counted that may be gone.
    pub(super) fn forget_omitted(&mut self, listing: &Listing) {
        let number = listing.number;
        self.undeclared.retain(|_, one| one.listed == number);
        let is_rest = |(id, _): &(&UserId, &Record)| !self.is_declared(id);
        let rest = self.records.iter().filter(is_rest);
        let is_over = |(id, record): &(&UserId, &Record)| {
            let is_listed = record.listed == number;
            let is_newer = record.seen_at > listing.began;
            !is_newer && !is_listed || is_listed && !self.is_pending(id, record)
        };
        let over: Vec<UserId> = rest.filter(is_over).map(|(id, _)| id.clone()).collect();
        for id in over {
            let gone = self.records.remove(&id);
            if let Some(record) = gone.filter(|record| record.listed == number) {
                let brief = Undeclared::of(&record.user, number);
                self.undeclared.insert(id, brief);
            }
        }
    }

    /// Whether it matters what exactly was seen of a user although no object declares it any more: a change of ours is
    /// under way, may still take effect, or is so fresh that a lagging read could contradict it.
    pub(super) fn is_pending(&self, id: &UserId, record: &Record) -> bool {
        let settle = self.times.settle_window;
        let is_fresh = record
            .change
            .as_ref()
            .is_some_and(|change| record.sent_at < change.succeeded_at + settle);
        is_fresh
            || self.unconfirmed.contains_key(id)
            || self.demoting.contains_key(id)
            || self.canary.concerns(id)
    }

    /// Where nothing is listed no read shows users which no object declares. What a list showed of them is
    /// kept for as long as admins are counted by it.
    pub(super) fn forget_unmanaged(&mut self, now: Moment) {
        if self.reads.listed_within(self.admins_known_for(), now) {
            return;
        }
        let settle = self.times.settle_window;
        self.unconfirmed
            .retain(|id, one| self.managed.contains(id) || now < one.given_up + settle);
        let is_over = |(id, record): &(&UserId, &Record)| {
            !self.is_declared(id) && !self.is_pending(id, record)
        };
        let over = self.records.iter().filter(is_over);
        let over: Vec<UserId> = over.map(|(id, _)| id.clone()).collect();
        for id in &over {
            self.records.remove(id);
        }
        self.undeclared = ByUser::default();
    }
}

//! The users that no object declares. An account may have a hundred times more of them than declared ones, and all that is
//! decided by them is how many admins there are: of each the id and two bits are kept.

use std::time::Duration;

use fireworks_api::wire::{User, UserId};

use super::{ByUser, Record, Users};
use crate::account::admins::AdminRole;
use crate::account::refresh::Listing;
use crate::rebase::rebase;

/// What is kept of a user that no object declares.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Undeclared {
    pub(super) role: AdminRole,
    /// The last list that showed it.
    pub(super) listed: u32,
}

rebase! { Undeclared {
    fixed: listed = 0;
    kept: role;
} }

impl Users {
    /// Returns whether an undeclared user is an admin; nothing where there is no such user.
    pub(in super::super) fn undeclared_role(&self, user: &UserId) -> Option<AdminRole> {
        self.undeclared.get(user).map(|one| one.role)
    }

    /// Returns all undeclared users, in no order.
    pub(in super::super) fn undeclared(&self) -> impl Iterator<Item = (&UserId, AdminRole)> {
        self.undeclared.iter().map(|(user, one)| (user, one.role))
    }

    /// Records a row of the list of that number about a user that no object declares. Returns whether it is an admin, and
    /// whether the list shows it for the first time.
    pub(in super::super) fn observe_undeclared(
        &mut self,
        user: User,
        number: u32,
    ) -> (AdminRole, bool) {
        let seen = Undeclared {
            role: AdminRole::of(&user),
            listed: number,
        };
        if let Some(known) = self.undeclared.get_mut(&user.id) {
            let before = std::mem::replace(known, seen);
            return (seen.role, before.listed != number);
        }
        if self.undeclared.len() < self.limit {
            self.undeclared.insert(user.id, seen);
        }
        (seen.role, true)
    }

    /// Forgets the undeclared users that a complete list did not show: no other read will. Its malformed rows may have been
    /// about such a user, which then is forgotten until it is shown; no admin is counted that may be gone. `is_pending`: what
    /// exactly was seen of a user matters although no object declares it.
    pub(in super::super) fn forget_omitted(
        &mut self,
        listing: &Listing,
        settle: Duration,
        is_pending: impl Fn(&UserId) -> bool,
    ) {
        let number = listing.number;
        self.undeclared.retain(|_, one| one.listed == number);
        let is_over = |(id, record): &(&UserId, &Record)| {
            let is_listed = record.listed == number;
            let is_newer = record.seen_at > listing.began;
            let is_pending = || record.is_fresh_change(settle) || is_pending(id);
            !is_newer && !is_listed || is_listed && !is_pending()
        };
        for id in self.undeclared_records(is_over) {
            let gone = self.records.remove(&id);
            if let Some(record) = gone.filter(|record| record.listed == number) {
                let role = AdminRole::of(&record.user);
                let brief = Undeclared {
                    role,
                    listed: number,
                };
                self.undeclared.insert(id, brief);
            }
        }
    }

    /// Forgets what lists showed of undeclared users, unless it `is_pending`.
    pub(in super::super) fn forget_undeclared(
        &mut self,
        settle: Duration,
        is_pending: impl Fn(&UserId) -> bool,
    ) {
        let is_over =
            |(id, record): &(&UserId, &Record)| !record.is_fresh_change(settle) && !is_pending(id);
        for id in self.undeclared_records(is_over) {
            self.records.remove(&id);
        }
        self.undeclared = ByUser::default();
    }

    fn undeclared_records(&self, is_meant: impl Fn(&(&UserId, &Record)) -> bool) -> Vec<UserId> {
        let is_undeclared = |(id, _): &(&UserId, &Record)| !self.is_declared(id);
        let records = self.records.iter().filter(is_undeclared).filter(is_meant);
        records.map(|(id, _)| id.clone()).collect()
    }
}

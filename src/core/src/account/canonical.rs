//! The canonical form of an account, for a search of states: two accounts that decide alike from now on, but for when something
//! is tried again, have the same one.

use super::{Account, admins};

use super::outage::Outage;
use crate::rebase::{Rebase, rebase};
use crate::time::Moment;

impl Account {
    /// Gives every time that decides what is known of users and of the API key the place that `place` returns for it, such as
    /// one relative to now within a horizon, and takes every number that only counts up back to its least equivalent.
    ///
    /// # Caveats
    /// Leaves out when reads are tried again, when users that were never read are reported, outages, and the account's own
    /// requests but for the restoring of an admin: an account in use loses them. No list may be in progress, and the signals
    /// have to be taken before. The times of the limiter stay as they are, see
    /// [`Limiter::rebase`](super::limiter::Limiter::rebase).
    pub fn rebase(&mut self, mut place: impl FnMut(Moment) -> Moment) {
        self.absence.rebase(self.refresh.lists);
        Rebase::rebase(self, &mut place);
    }

    /// Forgets which demotions complete lists are checked for, for a search in which no other process demotes.
    pub fn forget_checks(&mut self) {
        self.admins.checks = admins::Checks::default();
    }
}

rebase! { Account {
    rebased: denials, users, updates, admins, canary, refresh, requests;
    fixed: outage = Outage::default(), unread_since = None;
    kept: id, key_version, limiter, rules, settle_window, absence, signals;
} }

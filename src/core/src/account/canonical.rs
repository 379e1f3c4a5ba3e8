//! The canonical form of an account, for a search of states.

use super::Account;
use super::outage::Outage;
use super::requests::Requests;
use crate::time::Moment;

impl Account {
    /// Gives every time that decides what is believed of users and of the API key the place that `place` returns for it, see
    /// [`Directory::rebase`](super::directory::Directory::rebase).
    ///
    /// # Caveats
    /// Leaves out outages and the account's own requests: an account in use loses both. The signals have to be taken before.
    /// The times of the limiter stay as they are, see [`Limiter::rebase`](super::limiter::Limiter::rebase).
    pub fn rebase(&mut self, mut place: impl FnMut(Moment) -> Moment) {
        let Self {
            id: _,
            key_version: _,
            directory,
            limiter: _,
            denials,
            outage,
            requests,
            signals: _,
        } = self;
        directory.rebase(&mut place);
        denials.rebase(&mut place);
        *outage = Outage::default();
        *requests = Requests::default();
    }
}

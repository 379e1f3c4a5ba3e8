//! The outbox: what has to happen outside the directory after it was changed.

use fireworks_api::wire::UserId;

use super::Directory;

/// What has to happen since the signals were last taken.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Signals {
    /// Users whose objects must be requeued, in that order; one may occur more than once.
    pub requeue: Vec<UserId>,
    /// What is to be requested may have changed: a read, or the restoring of an admin.
    pub refresh: bool,
    /// What the log must show, in that order.
    pub notices: Vec<Notice>,
}

/// An event that the log must show.
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
}

impl Directory {
    /// Takes the signals. Whatever calls a method that changes the directory has to take and obey them afterwards.
    #[must_use]
    pub fn take_signals(&mut self) -> Signals {
        std::mem::take(&mut self.signals)
    }

    /// Leaves the users whose objects must be requeued.
    pub(super) fn requeue(&mut self, users: Vec<UserId>) {
        self.signals.requeue.extend(users);
    }
}

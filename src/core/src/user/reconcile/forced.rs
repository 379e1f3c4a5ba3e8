//! The read that a new value of the annotation forces.

use std::time::Duration;

use super::Pass;
use crate::account::limiter::Class;
use crate::claims::Ownership;
use crate::user::desired::Desired;

/// The shortest time between two reads that the annotation of one object forces.
const FORCED_READ_SPACING: Duration = Duration::from_mins(1);

impl Pass<'_> {
    /// Requests a read where the annotation has a new value, and another attempt after a denial. A value that comes too early
    /// is owed its read: the object is requeued for it, and all values until then have that one read.
    ///
    /// An object that waits for its user is owed the read until it holds the user. A suspended one causes no request.
    pub(super) fn force_requested_read(&mut self) {
        let Some(requested) = self.state.object.requested_at else {
            return;
        };
        let object_state = self.object_state();
        let is_new = object_state.requested_at != Some(requested);
        if !is_new && !object_state.is_read_owed {
            return;
        }
        let Some(desired) = self.state.desired.clone() else {
            return;
        };
        self.remember(|object_state| {
            object_state.requested_at = Some(requested);
            object_state.is_read_owed = !desired.suspended;
        });
        if desired.suspended || self.yields_user(&desired) {
            return;
        }
        let now = self.now.at;
        if let Some(from) = object_state.forced_reads_from.filter(|from| now < *from) {
            self.state.forces_read_at = Some(from);
            return;
        }
        self.remember(|object_state| {
            object_state.is_read_owed = false;
            object_state.forced_reads_from = Some(now + FORCED_READ_SPACING);
        });
        self.account.denials.request(&desired.user);
        self.account
            .request_read(&desired.user, Class::DriftRepair, now);
    }

    /// Returns whether the object leaves its user to another object, or to none yet.
    fn yields_user(&mut self, desired: &Desired) -> bool {
        let user = self.user_ref(&desired.user);
        let key = &self.state.object.key;
        match self.claims.ownership(key, &user, self.now.at) {
            Ownership::Mine(_) => false,
            Ownership::Of(_) | Ownership::Released(_) => {
                (self.account.rules.yields_to_owner)(desired)
            }
        }
    }
}

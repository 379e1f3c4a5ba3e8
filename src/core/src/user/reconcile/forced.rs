//! The read that a new value of the annotation forces.

use super::Pass;
use crate::account::limiter::Class;
use crate::claims::Ownership;
use crate::user::desired::Desired;
use crate::user::forced_reads::ForcedRead;

impl Pass<'_> {
    /// Requests a read where the annotation has a new value, and another attempt after a denial. A value that comes too early
    /// is owed its read: the object is requeued for it, and all values until then, of all objects of the user, have that one
    /// read.
    ///
    /// An object that waits for its user is owed the read until it holds the user. A suspended one causes no request.
    pub(super) fn force_requested_read(&mut self) {
        let Some(requested) = self.state.object.requested_at else {
            return;
        };
        let now = self.now.at;
        let object_state = self.object_state();
        let is_new = object_state.requested_at != Some(requested);
        let owed_since = is_new.then_some(now).or(object_state.read_owed_since);
        let (Some(owed_since), Some(desired)) = (owed_since, self.state.desired.clone()) else {
            return;
        };
        self.remember(|object_state| {
            object_state.requested_at = Some(requested);
            object_state.read_owed_since = (!desired.suspended).then_some(owed_since);
        });
        if desired.suspended || self.yields_user(&desired) {
            return;
        }
        let user = self.user_ref(&desired.user);
        let rules = self.account.rules;
        match self.objects.force_read(&user, owed_since, now, rules) {
            ForcedRead::At(at) => {
                self.state.forces_read_at = Some(at);
                return;
            }
            ForcedRead::Now => {
                self.account
                    .request_read(&desired.user, Class::DriftRepair, now);
            }
            ForcedRead::NotNeeded => {}
        }
        self.remember(|object_state| object_state.read_owed_since = None);
        self.account.denials.request(&desired.user);
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

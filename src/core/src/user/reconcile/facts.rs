//! Gathers the facts of one step.

use std::sync::Arc;

use fireworks_api::wire::User;
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::Reason;

use super::Pass;
use crate::account::denials::Denial;
use crate::account::{Mask, OtherAdmins};
use crate::user::desired::Desired;
use crate::user::facts::{
    Gathered, Observed, TAKE_OVER_FOR, facts, may_change, may_demote, refusal,
};
use crate::user::identity::identity;
use crate::user::state::ObjectState;

impl Pass<'_> {
    pub(super) fn observe(&mut self, desired: &Desired, object_state: &ObjectState) -> Observed {
        let now = self.now.at;
        let status = Arc::clone(&self.state.current.status);
        let settled_from = self.settled_from();
        let account = &mut *self.account;
        let rules = account.rules;
        let view = account.view(&desired.user, now);
        let other_admins = if may_demote(desired, &view.sighting, rules) {
            account.other_admins(&desired.user, settled_from, now)
        } else {
            OtherAdmins::NotListed
        };
        let may_change = may_change(desired, &view.sighting, rules);
        let mask = match view.sighting.user() {
            Some(user) if may_change => self.mask(desired, user),
            _ => Mask::Trusted,
        };
        let denial = if may_change {
            self.denial(&status, desired, object_state)
        } else {
            Denial::default()
        };
        let (seen, lacks_email) = (view.sighting.user(), view.lacks_email);
        let seen = seen.map(Arc::as_ref);
        let identity = identity(desired, &status, seen, lacks_email, rules);
        let (uid, generation) = (&self.state.object.uid, self.state.object.generation);
        let user = self.user_ref(&desired.user);
        let key = &self.state.object.key;
        let ownership = self.claims.ownership(key, &user, now);
        let objects = &*self.objects;
        let is_presumed = objects.is_possibly_in_flight(uid);
        let gathered = Gathered {
            view,
            status: &status,
            generation,
            object_state,
            has_matched: objects.has_matched(uid, generation),
            is_suspended: self.account.limiter.suspension().is_some(),
            settled_from: is_presumed.then_some(settled_from),
            ownership,
            may_take_over_now: object_state
                .contending_since
                .is_none_or(|since| now.saturating_duration_since(since) < TAKE_OVER_FOR),
            other_account: self.is_of_another_account(&status),
            identity,
            running_for: now.saturating_duration_since(self.epoch),
            contested: objects.repair_hold(&user, now),
            is_protected: self.settings.grants.protect(&desired.user),
            may_grant: self.settings.grants.allow(&self.state.object.key.namespace),
            other_admins,
            mask,
            denial,
            time: self.now.time,
        };
        let observed = facts(gathered, rules);
        if is_presumed && observed.possibly_in_flight_until.is_none() {
            self.objects.settle(&self.state.object.uid);
        }
        observed
    }

    /// Returns whether the fields that a change does not name are known to survive it.
    fn mask(&mut self, desired: &Desired, user: &User) -> Mask {
        let rules = self.account.rules;
        let names_display_name = (rules.diff)(desired, user).display_name;
        let now = self.now.at;
        self.account.mask(&desired.user, names_display_name, now)
    }

    /// Returns whether a change of the user is denied to the key. What the status of a former process reports counts as denied.
    fn denial(
        &mut self,
        status: &FireworksUserStatus,
        desired: &Desired,
        object_state: &ObjectState,
    ) -> Denial {
        let (epoch, settled_from) = (self.epoch, self.settled_from());
        let account = &mut *self.account;
        let reported = refusal(status, self.state.object.generation, account.rules);
        let (denials, user) = (&mut account.denials, &desired.user);
        if object_state.refusal.is_none() && reported == Some(Reason::PermissionDenied) {
            denials.inherited(user, epoch, settled_from);
        }
        denials.of(user, account.key_version, self.now.at)
    }

    fn is_of_another_account(&self, status: &FireworksUserStatus) -> bool {
        let account = &self.account.id;
        let name = status.name.as_deref();
        name.is_some_and(|name| !account.holds(name))
    }
}

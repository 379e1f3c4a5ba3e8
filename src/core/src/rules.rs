//! The rules of all decisions but the order in which they are made, as one table of pure functions. Production has one table,
//! [`Predicates::PRODUCTION`]. The explorer replaces one entry at a time, to show that its search would notice.

use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use fireworks_api::email::EmailHash;
use fireworks_api::error::{Effect, Kind};
use fireworks_api::wire::{AccountId, Role, State, User, UserId, UserPatch, UserRef};
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions::{self, Message, Reason};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::account::{Evidence, Freshness, OtherAdmins};
use crate::claims::{Claim, Possession, Released};
use crate::grants;
use crate::time::Moment;
use crate::user::desired::{self, Desired, Diff};
use crate::user::facts::{self, Observed};
use crate::user::forced_reads;
use crate::user::guards::{GUARDS, GuardRule};
use crate::user::identity::{self, Identity};
use crate::user::plan::ReadReason;
use crate::user::reconcile::ObjectRead;
use crate::user::state::Refusal;
use crate::user::status::{self, Facts};

/// The answers to our updates that may differ from what was asked before it counts as not applied.
const TRIES: u8 = 2;

/// The rules. Each field documents the rule that its function decides or computes.
#[derive(Clone, Copy, Debug)]
pub struct Predicates {
    /// The guards that hold a change, in order: the first that applies decides.
    pub guards: &'static [GuardRule],
    /// The managed fields that differ. The preset counts only where the spec asks for custom.
    pub diff: fn(&Desired, &User) -> Diff,
    /// A suspended object causes no request.
    pub is_suspended: fn(&Desired) -> bool,
    /// A suspended object is Ready only if the user matches as last seen.
    pub matches_while_suspended: fn(&Desired, &User) -> bool,
    /// The user that an object of that account declares: ids are unique within an account only.
    pub user_of: fn(&AccountId, &UserId) -> UserRef,
    /// The user that claims are compared by.
    pub claimed_user: fn(&UserRef) -> UserRef,
    /// What status records of a claim is read. The object was found when the epoch began, or its namespace was synced, or it has
    /// changed since.
    pub reads_claim: fn(bool) -> bool,
    /// An object with this claim may acquire a user that no object holds.
    pub may_acquire: fn(&Claim) -> bool,
    /// How an object of that namespace takes a user that no object holds, where it may.
    pub takes_released: fn(Option<&Released>, &Arc<str>) -> Option<Possession>,
    /// At the first time a user that is released until the second one goes to the oldest claim.
    pub is_protection_over: fn(Moment, Moment) -> bool,
    /// An object that does not observe leaves the user to the object that holds it.
    pub yields_to_owner: fn(&Desired) -> bool,
    /// A read forced at the first time is one for every value of the annotation since the second, and before.
    pub serves_owed_read: fn(Moment, Moment) -> bool,
    /// The annotation may force another read of a user so long after the last one.
    pub may_force_read: fn(Duration) -> bool,
    /// What was read that long ago shows nothing.
    pub is_stale: fn(Freshness) -> bool,
    /// A user that Fireworks is deleting is not changed.
    pub is_deleting: fn(&User) -> bool,
    /// A user that Fireworks is creating or updating is not changed.
    pub is_updating: fn(&User) -> bool,
    /// The time from which a read settles an unconfirmed update: until then a match is not final.
    pub unsettled_until: fn(&Observed) -> Option<Moment>,
    /// A former process may have sent changes: it held the Lease, or a status shows that it was there.
    pub presumes_former: fn(bool, bool) -> bool,
    /// A read sent at the first time shows every update that a former process sent, which are settled from the second on.
    pub shows_former_updates: fn(Moment, Moment) -> bool,
    /// Only a fresh read shows that the user matches a spec that was not reported in sync before.
    pub is_too_old_for_new_spec: fn(Freshness, &Observed) -> bool,
    /// A user that matches and has an error of its own is not Ready.
    pub has_remote_error: fn(&User) -> bool,
    /// An object that observes sends nothing.
    pub only_observes: fn(&Desired) -> bool,
    /// Two creation times are those of one user.
    pub is_same_identity: fn(Timestamp, Timestamp) -> bool,
    /// The user has the expected e-mail.
    pub is_expected_email: fn(EmailHash, EmailHash) -> bool,
    /// The object accepts the user that was created at that time.
    pub is_identity_approved: fn(&Desired, Timestamp) -> bool,
    /// Whose user has this role matters.
    pub grants_power: fn(&Role) -> bool,
    /// The account had no such user when status was written, and none was accepted since. The gateway returns creation times,
    /// or does not.
    pub was_absent: fn(&FireworksUserStatus, bool) -> bool,
    /// An expected e-mail that the user does not show is read once more.
    pub must_read_email: fn(Identity) -> bool,
    /// The refusal that holds the change.
    pub refusal_in_force: for<'a> fn(&'a Observed) -> Option<&'a Refusal>,
    /// A refusal stands while the user has the values that it had then, and no longer.
    pub is_as_it_was: fn(&User, &User) -> bool,
    /// A value that Fireworks does not store as asked is not sent again.
    pub has_no_tries_left: fn(&Observed) -> bool,
    /// Admins are counted by a recent complete list.
    pub are_admins_uncounted: fn(OtherAdmins) -> bool,
    /// Admins are demoted one after the other.
    pub is_another_demoted: fn(OtherAdmins) -> bool,
    /// A list begun at the first time shows every demotion that a former process sent, which are settled from the second on.
    pub shows_former_demotions: fn(Moment, Moment) -> bool,
    /// An unconfirmed update with this body may have taken the role `admin` from the user.
    pub may_demote: fn(&UserPatch) -> bool,
    /// Lists failed that often in a row: objects go on by single reads.
    pub are_lists_given_up: fn(u32) -> bool,
    /// The number of other admins that the demotion of an admin needs, who counts or does not, given the minimum.
    pub other_admins_needed: fn(bool, usize) -> usize,
    /// The first number of admins is left after demotions, of which the second was needed: no user is made admin again.
    pub are_admins_left: fn(usize, usize) -> bool,
    /// An object that is Ready reports that a read for this reason fails.
    pub must_report_failed_read: fn(ReadReason) -> bool,
    /// The object read before an update is the one that was planned for.
    pub is_object_unchanged: fn(ObjectRead) -> bool,
    /// The update takes the role `custom` from the user: it clears the preset.
    pub leaves_custom: fn(&Desired, &User) -> bool,
    /// An update names the display name only where it differs.
    pub sends_display_name: fn(Diff) -> bool,
    /// The status that reports a reason: at the generation of the spec, with `Ready` and the condition beside it that the
    /// reason stands for.
    pub next_status: fn(&FireworksUserStatus, &Facts<'_>, Reason, &Message) -> FireworksUserStatus,
    /// The reason of `Ready` that status reports of this generation.
    pub reason_at: for<'a> fn(&'a [Condition], i64) -> Option<&'a str>,
    /// What this version of the API key was refused ends with it. Version 0: nothing was refused to it by this process.
    pub ends_with_key: fn(u64) -> bool,
    /// A failure of this kind shows that the account is suspended.
    pub shows_suspension: fn(Kind) -> bool,
    /// The second observation replaces the first.
    pub supersedes: fn(Observation, Observation) -> bool,
    /// A read sent at the first time may show the user as it was before an update answered at the second time.
    pub is_replica_lag: fn(Moment, Moment, Duration) -> bool,
    /// A read sent at the first time shows whether an update given up at the second time took effect.
    pub is_settled: fn(Moment, Moment, Duration) -> bool,
    /// A failed update with this effect is unconfirmed.
    pub may_be_applied: fn(Effect) -> bool,
    /// An answered update settles an unconfirmed one with the same body.
    pub is_same_update: fn(&UserPatch, &UserPatch) -> bool,
    /// A user that is missed by this evidence is gone.
    pub is_absence_confirmed: fn(Evidence) -> bool,
    /// The objects of a user of which a read showed a change are requeued, where any are managed.
    pub must_be_requeued: fn(bool, bool) -> bool,
}

/// What decides which of two observations of a user is newer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Observation {
    /// When the remote user last changed, where the gateway reports it.
    pub update_time: Option<Timestamp>,
    /// When the request was sent that showed it.
    pub sent_at: Moment,
}

impl Predicates {
    /// The rules of the operator.
    pub const PRODUCTION: Self = Self {
        guards: &GUARDS,
        diff: desired::diff,
        is_suspended: |desired| desired.suspended,
        matches_while_suspended: |desired, user| desired::diff(desired, user).is_empty(),
        user_of: |account, user| UserRef {
            account: account.clone(),
            user: user.clone(),
        },
        claimed_user: |user| UserRef {
            account: user.account.clone(),
            user: user.user.folded(),
        },
        reads_claim: |is_found| is_found,
        may_acquire: |claim| claim.claims && claim.reads,
        takes_released: crate::claims::takes_released,
        is_protection_over: |now, until| now >= until,
        yields_to_owner: |desired| !desired.observe,
        serves_owed_read: |read_at, owed_since| read_at >= owed_since,
        may_force_read: |since| since >= forced_reads::SPACING,
        is_stale: |freshness| freshness == Freshness::Stale,
        is_deleting: |user| user.state == State::Deleting,
        is_updating: |user| matches!(user.state, State::Creating | State::Updating),
        unsettled_until: |observed| observed.unsettled_until,
        presumes_former: |had_former, is_reported| had_former || is_reported,
        shows_former_updates: |sent_at, settled_from| sent_at >= settled_from,
        is_too_old_for_new_spec: |freshness, observed| {
            freshness != Freshness::Fresh && !observed.ready_at_generation
        },
        has_remote_error: |user| user.status.as_ref().is_some_and(|status| !status.is_ok()),
        only_observes: |desired| desired.observe,
        is_same_identity: identity::is_same,
        is_expected_email: identity::is_expected,
        is_identity_approved: identity::is_approved,
        grants_power: identity::grants_power,
        was_absent: identity::was_absent,
        must_read_email: |identity| identity == Identity::EmailUnread,
        refusal_in_force: |observed| observed.refusal.as_ref(),
        is_as_it_was: facts::is_as_it_was,
        has_no_tries_left: |observed| observed.tries >= TRIES,
        are_admins_uncounted: |others| others == OtherAdmins::NotListed,
        is_another_demoted: |others| others == OtherAdmins::Busy,
        shows_former_demotions: |began, settled_from| began >= settled_from,
        may_demote: |patch| patch.role != Role::Admin,
        are_lists_given_up: |failures| failures >= 2,
        other_admins_needed: grants::other_admins_needed,
        are_admins_left: |admins, needed| admins >= needed,
        must_report_failed_read: |reason| reason == ReadReason::Canary,
        is_object_unchanged: |read| read == ObjectRead::Same,
        leaves_custom: |desired, user| desired.role != Role::Custom && user.role == Role::Custom,
        sends_display_name: |diff| diff.display_name,
        next_status: status::next,
        reason_at: conditions::reason_at,
        ends_with_key: |version| version > 0,
        shows_suspension: |kind| kind == Kind::AccountSuspended,
        supersedes: crate::account::supersedes,
        is_replica_lag: |sent_at, answered_at, settle| sent_at < answered_at + settle,
        is_settled: |sent_at, given_up, settle| sent_at >= given_up + settle,
        may_be_applied: |effect| effect == Effect::Unknown,
        is_same_update: |unconfirmed, answered| unconfirmed == answered,
        is_absence_confirmed: |evidence| evidence != Evidence::Suspicion,
        must_be_requeued: |is_changed, is_managed| is_changed && is_managed,
    };
}

/// The rules in use. They are no part of any state: two values that differ in them alone are equal.
#[derive(Clone, Copy, Debug)]
pub struct Rules(pub &'static Predicates);

impl Default for Rules {
    fn default() -> Self {
        Self(&Predicates::PRODUCTION)
    }
}

impl Deref for Rules {
    type Target = Predicates;

    fn deref(&self) -> &Predicates {
        self.0
    }
}

impl PartialEq for Rules {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Rules {}

impl Hash for Rules {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

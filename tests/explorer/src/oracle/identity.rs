//! The promises about the identity of users: which user of an id an object has accepted, and what may not be done for another
//! one. Written from what is promised; no production code decides here.

use crate::reconcile::{Reconciliation, number};
use crate::state::State;
use crate::statuses::Reported;
use crate::value::{Part, Phase, Remote, Spec, born};
use crate::world::World;

/// What the statuses of an object have reported.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Identity {
    /// The user of the id that is accepted: 0 is none.
    accepted: u8,
    /// The account had no such user, and none was accepted since.
    was_absent: bool,
}

/// What an object may do for a user.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    Accepted,
    /// It may not make the user an admin.
    Unknown,
    /// Nothing, and it is not Ready.
    Held,
}

impl Identity {
    /// What that status reports, as a former process has left it.
    pub(crate) fn of(status: &Reported) -> Self {
        let accepted = born(status.status.create_time);
        let is_absent = status.reason.as_deref() == Some("UserNotFound");
        Self {
            accepted,
            was_absent: is_absent && accepted == 0,
        }
    }

    /// What an object with that spec may do for that user.
    pub(crate) fn standing(self, spec: Spec, user: Remote) -> Standing {
        if spec.email > 0 {
            return if user.email == spec.email {
                Standing::Accepted
            } else {
                Standing::Held
            };
        }
        let has_power = |role| role != Part::User;
        let is_approved = spec.accepts > 0 && spec.accepts == user.born;
        let is_another = self.accepted > 0 && user.born > 0 && self.accepted != user.born;
        if is_another && !is_approved && (has_power(spec.role) || has_power(user.role)) {
            Standing::Held
        } else if self.was_absent && spec.role == Part::Admin && !is_approved {
            Standing::Unknown
        } else {
            Standing::Accepted
        }
    }
}

/// Which user is accepted once the status is written.
pub(crate) fn after(
    world: &mut World<'_>,
    state: &State,
    pass: &Reconciliation,
    status: u16,
) -> Identity {
    let before = state.objects[pass.object].identity;
    let (user, spec) = (number(world.user_of(pass.object)), world.spec(pass.spec));
    let seen = world.operator.known(state.account, user).seen;
    let Some(seen) = seen.filter(|seen| seen.phase != Phase::Absent) else {
        let reported = world.operator.reported(status);
        let is_absent = reported.reason.as_deref() == Some("UserNotFound");
        return Identity {
            was_absent: before.was_absent || is_absent && before.accepted == 0,
            ..before
        };
    };
    match before.standing(spec, seen) {
        Standing::Accepted => Identity {
            accepted: if seen.born > 0 {
                seen.born
            } else {
                before.accepted
            },
            was_absent: false,
        },
        Standing::Unknown | Standing::Held => before,
    }
}

/// A status is written: it names the user that is accepted.
pub(crate) fn written(
    world: &mut World<'_>,
    state: &State,
    pass: &Reconciliation,
    status: u16,
) -> Option<String> {
    let expected = after(world, state, pass, status).accepted;
    let named = born(world.operator.reported(status).status.create_time);
    (named != expected).then(|| format!("status names user {named}, and {expected} is accepted"))
}

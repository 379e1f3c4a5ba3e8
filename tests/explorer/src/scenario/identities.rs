//! Scenarios in which a user id is freed and taken again, or was not taken before.

use super::Scenario;
use crate::statuses::{ACCEPTED, NOT_FOUND};
use crate::value::{MANY, Part, Phase, Remote, Spec};

impl Scenario {
    pub(super) fn taken_over() -> Self {
        let first = Remote::ready(Part::Admin, 0, 0).person(1, 0);
        let admin = Spec::of(Part::Admin, 0, 0);
        let gone = Remote {
            phase: Phase::Absent,
            ..first
        };
        Self {
            users: vec![gone],
            specs: vec![
                admin,
                Spec {
                    accepts: 2,
                    ..admin
                },
            ],
            statuses: [ACCEPTED; MANY],
            edits: 1,
            drifts: 2,
            drift: vec![first, Remote::ready(Part::User, 0, 0).person(2, 0)],
            ..Self::named("another person takes over the id of an admin")
        }
    }

    pub(super) fn appears() -> Self {
        let there = Remote::ready(Part::User, 0, 0).person(1, 0);
        let admin = Spec::of(Part::Admin, 0, 0);
        let suspended = Spec {
            suspend: true,
            ..admin
        };
        let gone = Remote {
            phase: Phase::Absent,
            ..there
        };
        Self {
            users: vec![gone],
            specs: vec![
                admin,
                Spec {
                    accepts: 1,
                    ..admin
                },
                suspended,
            ],
            statuses: [NOT_FOUND; MANY],
            edits: 2,
            drifts: 1,
            drift: vec![there],
            ..Self::named("a user appears after the object that makes it an admin")
        }
    }

    pub(super) fn pinned() -> Self {
        let user = Remote::ready(Part::User, 0, 0);
        let custom = Spec::of(Part::Custom, 1, 0);
        Self {
            users: vec![user.person(1, 1)],
            specs: vec![Spec { email: 1, ..custom }, custom],
            edits: 1,
            drifts: 1,
            drift: vec![user.person(2, 1), user.person(2, 2), user.person(1, 0)],
            ..Self::named("a user with a pin is created again")
        }
    }
}

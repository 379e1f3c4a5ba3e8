//! Scenarios of what flags let objects grant.

use super::{Faults, Scenario};
use crate::value::{MANY, Part, Remote, Spec};

impl Scenario {
    pub(super) fn namespace_not_allowed() -> Self {
        Self {
            may_grant: false,
            users: vec![
                Remote::ready(Part::User, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            specs: vec![
                Spec::of(Part::User, 0, 1),
                Spec::of(Part::Admin, 0, 2),
                Spec::of(Part::Custom, 1, 0),
            ],
            edits: 2,
            drifts: 1,
            drift: vec![
                Remote::ready(Part::Admin, 0, 0),
                Remote::ready(Part::Custom, 1, 1),
            ],
            crashes: 1,
            budget: Faults {
                count: 1,
                lost: true,
                ..Faults::default()
            },
            ..Self::named("a namespace that may not grant")
        }
    }

    pub(super) fn protected_user() -> Self {
        Self {
            protects: Some(0),
            users: vec![
                Remote::ready(Part::Admin, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            objects: vec![0, 1],
            specs: vec![Spec::of(Part::User, 0, 0), Spec::of(Part::Admin, 0, 1)],
            edits: 1,
            drifts: 1,
            drift: vec![Remote::ready(Part::Admin, 0, 2)],
            crashes: 1,
            ..Self::named("a protected user")
        }
    }

    pub(super) fn two_admins_stay() -> Self {
        Self {
            min_admins: 2,
            users: vec![
                Remote::ready(Part::Admin, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            objects: vec![0, 1],
            specs: vec![Spec::of(Part::Admin, 0, 0), Spec::of(Part::User, 0, 0)],
            first: [0, 1],
            edits: 1,
            crashes: 1,
            ..Self::named("two admins are to be left")
        }
    }
}

const _: () = assert!(
    MANY == 2,
    "with a third user one of the two admins could go"
);

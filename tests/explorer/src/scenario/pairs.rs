//! Scenarios of two processes.

use super::{Faults, Scenario};
use crate::value::{Part, Remote, Spec};

impl Scenario {
    pub(super) fn two_accounts() -> Self {
        let first = Self {
            users: vec![Remote::ready(Part::Admin, 0, 2)],
            specs: vec![Spec::of(Part::User, 0, 0)],
            budget: Faults {
                count: 1,
                revoked: true,
                ..Faults::default()
            },
            ..Self::named("two accounts with a user of the same id")
        };
        let second = Self {
            users: vec![Remote::ready(Part::User, 0, 2)],
            specs: vec![Spec::of(Part::Custom, 1, 0)],
            place: 1,
            budget: Faults::default(),
            ..first.clone()
        };
        Self {
            beside: Some(Box::new(second)),
            ..first
        }
    }

    pub(super) fn two_instances() -> Self {
        let admin = Remote::ready(Part::Admin, 0, 0);
        let first = Self {
            users: vec![admin, admin],
            specs: vec![Spec::of(Part::User, 0, 0)],
            shared: true,
            ..Self::named("two instances, and each demotes an admin")
        };
        let second = Self {
            objects: vec![1],
            ..first.clone()
        };
        Self {
            beside: Some(Box::new(second)),
            ..first
        }
    }
}

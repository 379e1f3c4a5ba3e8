//! Scenarios of two processes.

use super::Scenario;
use crate::value::{Part, Remote, Spec};

impl Scenario {
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

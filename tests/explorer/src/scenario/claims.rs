//! Worlds in which objects claim the same user.

use super::{Faults, Scenario};
use crate::possession::Events;
use crate::statuses::{HELD, WAITING};
use crate::value::{Part, Remote, Spec};

impl Scenario {
    pub(super) fn claimants() -> Self {
        Self {
            objects: vec![0, 0],
            specs: vec![Spec::of(Part::User, 0, 1), Spec::of(Part::User, 0, 2)],
            first: [0, 1],
            edits: 1,
            deletions: 1,
            budget: Faults {
                count: 1,
                lost: true,
                ..Faults::default()
            },
            ..Self::named("two objects claim one user")
        }
    }

    pub(super) fn forged_claim() -> Self {
        Self {
            claims: Some(Events {
                edits: 2,
                creations: 1,
                forgeries: 1,
                ..Events::default()
            }),
            ..Self::named("a tenant writes that it holds the user")
        }
    }

    pub(super) fn two_namespaces() -> Self {
        Self {
            claims: Some(Events {
                edits: 2,
                deletions: 1,
                creations: 2,
                crashes: 1,
                ..Events::default()
            }),
            ..Self::named("objects of two namespaces come, go and change")
        }
    }

    pub(super) fn tenant() -> Self {
        Self {
            users: vec![Remote::ready(Part::Custom, 1, 0)],
            objects: vec![0, 0],
            apart: true,
            statuses: [HELD, WAITING],
            specs: vec![Spec::of(Part::Custom, 1, 0), Spec::of(Part::Custom, 2, 0)],
            first: [0, 1],
            deletions: 1,
            creations: 1,
            crashes: 1,
            ..Self::named("an object of another namespace waits for the user")
        }
    }

    pub(super) fn tenant_of_observed() -> Self {
        let tenant = Self::tenant();
        let observe = Spec {
            observe: true,
            ..tenant.specs[0]
        };
        Self {
            name: "an object of another namespace, and the holder observes",
            specs: vec![tenant.specs[0], tenant.specs[1], observe],
            edits: 2,
            deletions: 0,
            creations: 0,
            ..tenant
        }
    }
}

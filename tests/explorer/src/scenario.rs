//! The worlds that are searched: who is there, what may happen how often, and what the gateway is
//! like. Every budget is one more dimension of the search; the numbers keep each world finite.

mod claims;
mod faults;
mod grants;
mod identities;
mod pairs;

use crate::possession::Events;
use crate::reads::Size;
use crate::statuses::ANOTHER_ACCOUNT;
use crate::value::{MANY, Part, Phase, Remote, Spec};

/// One world.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Remote users, and at the start what they are like.
    pub(crate) users: Vec<Remote>,
    /// The user each object speaks of; the first object is the oldest.
    pub(crate) objects: Vec<usize>,
    /// The specs objects may have; each object begins with the one at its own place in `first`.
    pub(crate) specs: Vec<Spec>,
    pub(crate) first: [u8; MANY],
    /// What another actor may make of the first user.
    pub(crate) drift: Vec<Remote>,
    /// The gateway gives `updateTime`.
    pub(crate) timed: bool,
    /// The gateway is `UPDATING` for a while after a change.
    pub(crate) slow: bool,
    /// The gateway accepts a display name and keeps the old one.
    pub(crate) stubborn: bool,
    /// The gateway refuses the role custom as invalid.
    pub(crate) refuses_custom: bool,
    /// The first API key may make no user custom; the next one may.
    pub(crate) weak_key: bool,
    /// The objects belonged to another account.
    pub(crate) foreign: bool,
    /// The numbers of the statuses that a former process has left.
    pub(crate) statuses: [u16; MANY],
    /// The objects are in namespaces of their own.
    pub(crate) apart: bool,
    /// The number of admins that demotions leave.
    pub(crate) min_admins: usize,
    /// The user that no object may change.
    pub(crate) protects: Option<usize>,
    /// The namespace of the objects may grant powerful roles, and take them away.
    pub(crate) may_grant: bool,
    /// Repairs of each user that the process has made within the hour when it is first looked at.
    pub(crate) repaired: u8,
    pub(crate) edits: u8,
    pub(crate) deletions: u8,
    /// Objects that were deleted are created again.
    pub(crate) creations: u8,
    pub(crate) drifts: u8,
    pub(crate) crashes: u8,
    pub(crate) budget: Faults,
    /// Its place among the accounts of one process, and of its object among all objects.
    pub(crate) place: usize,
    /// A second process manages users of the same account.
    pub(crate) shared: bool,
    /// The second process where the account is shared, else the second account of the process.
    pub(crate) beside: Option<Box<Self>>,
    /// Only what the account reads is modelled, in an account of that size.
    pub(crate) reads: Option<Size>,
    /// Only who holds a user is modelled, with these events.
    pub(crate) claims: Option<Events>,
    /// Only the reads that the annotation forces are modelled.
    pub(crate) forced_reads: bool,
}

/// How often what may go wrong. Faults that a world does not know are not tried in it.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fault of its own")]
pub(crate) struct Faults {
    /// How many of all of these.
    pub(crate) count: u8,
    /// A change is lost before or after it took effect, or takes effect late.
    pub(crate) lost: bool,
    /// A change takes effect a second time, late.
    pub(crate) doubled: bool,
    /// A change is answered by 429 or 409.
    pub(crate) throttled: bool,
    /// The key is revoked for a while.
    pub(crate) revoked: bool,
    /// The account is suspended for a while: neither changes nor reads are served.
    pub(crate) suspended: bool,
    /// Single reads fail for a while.
    pub(crate) gets: bool,
    /// Reads fail.
    pub(crate) reads: bool,
    /// Time passes without a good read.
    pub(crate) outages: bool,
    /// A read of one user is forbidden.
    pub(crate) refused: bool,
    /// Another writer removes the status.
    pub(crate) overwritten: bool,
    /// Reads show the user as it was before the last change.
    pub(crate) stale: bool,
    /// A list omits a user.
    pub(crate) omitted: bool,
    /// Status writes fail, or are lost after they took effect; the read of an object fails.
    pub(crate) kube: bool,
    /// An hour passes: refusals are tried again.
    pub(crate) hours: bool,
}

impl Scenario {
    fn named(name: &'static str) -> Self {
        Self {
            name,
            users: vec![Remote::ready(Part::User, 0, 0)],
            objects: vec![0],
            specs: vec![Spec::of(Part::User, 0, 1), Spec::of(Part::Custom, 1, 0)],
            first: [0; MANY],
            drift: vec![],
            timed: true,
            slow: false,
            stubborn: false,
            refuses_custom: false,
            weak_key: false,
            foreign: false,
            statuses: [0; MANY],
            apart: false,
            min_admins: 1,
            protects: None,
            may_grant: true,
            repaired: 0,
            edits: 0,
            deletions: 0,
            creations: 0,
            drifts: 0,
            crashes: 0,
            budget: Faults::default(),
            place: 0,
            shared: false,
            beside: None,
            reads: None,
            claims: None,
            forced_reads: false,
        }
    }

    /// Whether objects contend for one user: how long they do matters.
    pub(crate) fn contends(&self) -> bool {
        self.objects.len() > 1 && self.objects[0] == self.objects[1]
    }

    /// All worlds, the small ones first.
    pub(crate) fn all() -> Vec<Self> {
        vec![
            Self::second_thoughts(),
            Self::moved(),
            Self::history(),
            Self::no_reads(),
            Self::delayed_repair(),
            Self::unread_canary(),
            Self::suspended_account(),
            Self::refusals(),
            Self::stubborn(),
            Self::weak_key(),
            Self::foreign(),
            Self::policies(),
            Self::deleting(),
            Self::admins(),
            Self::counted_admins(),
            Self::namespace_not_allowed(),
            Self::protected_user(),
            Self::two_admins_stay(),
            Self::cleared_before_canary(),
            Self::taken_over(),
            Self::appears(),
            Self::pinned(),
            Self::forbidden_reads(),
            Self::disputed_status(),
            Self::api_server_away(),
            Self::failing_reads(),
            Self::failing_reads_of_many(),
            Self::forced_reads(),
            Self::two_accounts(),
            Self::two_instances(),
            Self::claimants(),
            Self::forged_claim(),
            Self::two_namespaces(),
            Self::tenant(),
            Self::tenant_of_observed(),
            Self::outages(),
            Self::untimed(),
            Self::drifting(),
            Self::losses(),
        ]
    }

    fn second_thoughts() -> Self {
        Self {
            refuses_custom: true,
            first: [1; MANY],
            edits: 2,
            ..Self::named("second thoughts about a refused value")
        }
    }

    fn moved() -> Self {
        Self {
            stubborn: true,
            drifts: 1,
            drift: vec![Remote::ready(Part::Admin, 0, 2)],
            users: vec![
                Remote::ready(Part::User, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            ..Self::named("a user moves after a refusal")
        }
    }

    fn history() -> Self {
        Self {
            users: vec![Remote::ready(Part::User, 0, 1)],
            repaired: 4,
            drifts: 3,
            drift: vec![Remote::ready(Part::User, 0, 2)],
            ..Self::named("a second manager")
        }
    }

    fn refusals() -> Self {
        Self {
            refuses_custom: true,
            edits: 2,
            drifts: 1,
            drift: vec![Remote::ready(Part::User, 0, 2)],
            crashes: 1,
            budget: Faults {
                count: 2,
                lost: true,
                kube: true,
                hours: true,
                ..Faults::default()
            },
            ..Self::named("a value is refused")
        }
    }

    fn stubborn() -> Self {
        Self {
            stubborn: true,
            edits: 1,
            drifts: 1,
            drift: vec![Remote::ready(Part::Admin, 0, 2)],
            crashes: 1,
            budget: Faults {
                count: 2,
                lost: true,
                kube: true,
                hours: true,
                ..Faults::default()
            },
            specs: vec![Spec::of(Part::User, 0, 1), Spec::of(Part::User, 0, 2)],
            users: vec![
                Remote::ready(Part::User, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            ..Self::named("a value is not stored as asked")
        }
    }

    fn weak_key() -> Self {
        Self {
            weak_key: true,
            users: vec![
                Remote::ready(Part::User, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            specs: vec![
                Spec::of(Part::User, 0, 1),
                Spec::of(Part::Custom, 1, 0),
                Spec::of(Part::Admin, 0, 0),
            ],
            edits: 2,
            drifts: 1,
            crashes: 1,
            budget: Faults {
                count: 2,
                revoked: true,
                throttled: true,
                kube: true,
                ..Faults::default()
            },
            ..Self::named("a key that may not, and a revoked one")
        }
    }

    fn foreign() -> Self {
        Self {
            foreign: true,
            statuses: [ANOTHER_ACCOUNT; MANY],
            edits: 2,
            crashes: 1,
            ..Self::named("an object of another account")
        }
    }

    fn policies() -> Self {
        let observe = Spec {
            observe: true,
            ..Spec::of(Part::User, 0, 1)
        };
        let suspend = Spec {
            suspend: true,
            ..Spec::of(Part::User, 0, 1)
        };
        Self {
            specs: vec![Spec::of(Part::User, 0, 1), observe, suspend],
            edits: 2,
            drifts: 1,
            drift: vec![Remote::ready(Part::User, 2, 2)],
            crashes: 1,
            budget: Faults {
                count: 1,
                lost: true,
                kube: true,
                ..Faults::default()
            },
            ..Self::named("observed, suspended, and back")
        }
    }

    fn deleting() -> Self {
        let gone = Remote {
            phase: Phase::Deleting,
            ..Remote::ready(Part::User, 0, 0)
        };
        let broken = Remote {
            broken: true,
            ..Remote::ready(Part::User, 0, 1)
        };
        Self {
            drift: vec![gone, broken, Remote::ready(Part::User, 0, 0)],
            drifts: 2,
            edits: 1,
            deletions: 1,
            slow: true,
            budget: Faults {
                count: 1,
                reads: true,
                outages: true,
                omitted: true,
                ..Faults::default()
            },
            ..Self::named("the user goes and comes back, and is busy")
        }
    }

    fn admins() -> Self {
        Self {
            users: vec![
                Remote::ready(Part::Admin, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            objects: vec![0, 1],
            specs: vec![Spec::of(Part::Admin, 0, 0), Spec::of(Part::User, 0, 0)],
            first: [1, 1],
            edits: 1,
            crashes: 1,
            budget: Faults {
                count: 1,
                lost: true,
                ..Faults::default()
            },
            ..Self::named("two admins, both to be demoted")
        }
    }

    fn counted_admins() -> Self {
        let admin = Remote::ready(Part::Admin, 0, 0);
        Self {
            users: vec![
                admin,
                Remote {
                    service: true,
                    ..admin
                },
            ],
            objects: vec![0, 1],
            specs: vec![Spec::of(Part::Admin, 0, 0), Spec::of(Part::User, 0, 0)],
            first: [1; MANY],
            edits: 1,
            crashes: 1,
            drifts: 1,
            drift: vec![Remote {
                broken: true,
                ..admin
            }],
            ..Self::named("the other admin is a service account")
        }
    }

    fn cleared_before_canary() -> Self {
        Self {
            users: vec![
                Remote::ready(Part::User, 0, 2),
                Remote::ready(Part::User, 0, 3),
            ],
            objects: vec![0, 1],
            specs: vec![Spec::of(Part::Custom, 1, 0)],
            drifts: 1,
            drift: vec![Remote::ready(Part::User, 0, 0)],
            ..Self::named("a user clears its name before the first change")
        }
    }

    fn drifting() -> Self {
        Self {
            edits: 1,
            drifts: 3,
            drift: vec![
                Remote::ready(Part::Custom, 2, 2),
                Remote::ready(Part::Admin, 0, 1),
            ],
            crashes: 1,
            users: vec![
                Remote::ready(Part::User, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            budget: Faults {
                count: 1,
                stale: true,
                throttled: true,
                ..Faults::default()
            },
            ..Self::named("another actor changes the user")
        }
    }
}

//! Scenarios that are about faults: of reads, of changes on their way, and of the API server.

use super::{Faults, Scenario};
use crate::reads::Size;
use crate::statuses::IN_SYNC;
use crate::value::{MANY, Part, Remote, Spec};

impl Scenario {
    pub(super) fn no_reads() -> Self {
        Self {
            users: vec![Remote::ready(Part::User, 0, 1)],
            drifts: 1,
            drift: vec![Remote::ready(Part::User, 0, 2)],
            budget: Faults {
                count: 5,
                outages: true,
                ..Faults::default()
            },
            specs: vec![Spec::of(Part::User, 0, 1)],
            ..Self::named("no read succeeds for long")
        }
    }

    pub(super) fn delayed_repair() -> Self {
        Self {
            users: vec![Remote::ready(Part::User, 0, 2)],
            specs: vec![Spec::of(Part::User, 0, 1)],
            statuses: [IN_SYNC; MANY],
            budget: Faults {
                count: 1,
                throttled: true,
                revoked: true,
                ..Faults::default()
            },
            ..Self::named("a repair that waits")
        }
    }

    pub(super) fn unread_canary() -> Self {
        Self {
            users: vec![Remote::ready(Part::User, 0, 2)],
            specs: vec![Spec::of(Part::Custom, 1, 0)],
            statuses: [IN_SYNC; MANY],
            budget: Faults {
                count: 1,
                gets: true,
                ..Faults::default()
            },
            ..Self::named("single reads fail before the first change")
        }
    }

    pub(super) fn suspended_account() -> Self {
        Self {
            users: vec![Remote::ready(Part::User, 0, 1)],
            specs: vec![Spec::of(Part::User, 0, 2), Spec::of(Part::User, 0, 1)],
            edits: 1,
            budget: Faults {
                count: 2,
                suspended: true,
                ..Faults::default()
            },
            ..Self::named("the account is suspended for a while")
        }
    }

    pub(super) fn outages() -> Self {
        Self {
            users: vec![Remote::ready(Part::User, 0, 1)],
            specs: vec![Spec::of(Part::User, 0, 1), Spec::of(Part::User, 0, 0)],
            edits: 1,
            drifts: 1,
            drift: vec![Remote::ready(Part::Custom, 2, 1)],
            budget: Faults {
                count: 4,
                reads: true,
                outages: true,
                omitted: true,
                ..Faults::default()
            },
            ..Self::named("reads fail for long")
        }
    }

    pub(super) fn untimed() -> Self {
        Self {
            timed: false,
            edits: 2,
            drifts: 1,
            drift: vec![Remote::ready(Part::User, 0, 2)],
            budget: Faults {
                count: 2,
                lost: true,
                stale: true,
                ..Faults::default()
            },
            specs: vec![Spec::of(Part::User, 0, 1), Spec::of(Part::User, 0, 2)],
            ..Self::named("stale reads without updateTime")
        }
    }

    pub(super) fn losses() -> Self {
        Self {
            edits: 2,
            crashes: 2,
            drifts: 1,
            drift: vec![Remote::ready(Part::User, 0, 2)],
            specs: vec![
                Spec::of(Part::User, 0, 1),
                Spec::of(Part::Custom, 1, 0),
                Spec::of(Part::Custom, 2, 2),
            ],
            budget: Faults {
                count: 3,
                lost: true,
                doubled: true,
                stale: true,
                kube: true,
                ..Faults::default()
            },
            ..Self::named("changes are lost, late and repeated")
        }
    }

    pub(super) fn forbidden_reads() -> Self {
        Self {
            drifts: 1,
            drift: vec![Remote::ready(Part::User, 0, 2)],
            edits: 1,
            crashes: 1,
            budget: Faults {
                count: 3,
                refused: true,
                reads: true,
                ..Faults::default()
            },
            ..Self::named("reads of the user are forbidden")
        }
    }

    pub(super) fn disputed_status() -> Self {
        Self {
            edits: 1,
            crashes: 1,
            budget: Faults {
                count: 5,
                overwritten: true,
                kube: true,
                ..Faults::default()
            },
            ..Self::named("another writer removes the status")
        }
    }

    pub(super) fn api_server_away() -> Self {
        Self {
            users: vec![
                Remote::ready(Part::User, 0, 0),
                Remote::ready(Part::Admin, 0, 0),
            ],
            specs: vec![Spec::of(Part::User, 0, 0), Spec::of(Part::Admin, 0, 0)],
            edits: 2,
            drifts: 1,
            drift: vec![Remote::ready(Part::Admin, 0, 0)],
            budget: Faults {
                count: 4,
                kube: true,
                ..Faults::default()
            },
            ..Self::named("the API server is away")
        }
    }

    pub(super) fn failing_reads() -> Self {
        Self {
            reads: Some(Size { users: 2, pages: 1 }),
            ..Self::named("lists fail, or single reads, or both")
        }
    }

    pub(super) fn failing_reads_of_many() -> Self {
        Self {
            reads: Some(Size { users: 2, pages: 4 }),
            ..Self::named("lists fail, or single reads, or both, of a large account")
        }
    }

    pub(super) fn forced_reads() -> Self {
        Self {
            forced_reads: true,
            ..Self::named("reads are forced by annotation")
        }
    }
}

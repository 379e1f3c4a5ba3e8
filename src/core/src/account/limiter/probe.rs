//! The calls that probe whether a refused key is accepted, or a suspended account serves calls again.

use super::PROBE_EVERY;
use super::suspension::Suspension;
use crate::rebase::rebase;
use crate::time::Moment;

/// The refusal of the key in use.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Refusal {
    pub(super) key_version: u64,
    /// The earliest time of the next probe.
    pub(super) next_probe: Moment,
}

/// The right to probe.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Probe {
    /// The version of the key, and when the probe was due.
    pub(super) of_key: Option<(u64, Moment)>,
    /// When the probe was due.
    pub(super) of_account: Option<Moment>,
}

impl Probe {
    /// Makes the call that is granted the probe of this minute, where one is due. While only changes are refused, a read
    /// proves nothing about the suspension.
    pub(super) fn take(
        refusal: Option<&mut Refusal>,
        suspension: Option<&mut Suspension>,
        is_change: bool,
        now: Moment,
    ) -> Option<Self> {
        let next = now + PROBE_EVERY;
        let of_account = suspension
            .filter(|suspension| is_change || suspension.holds_reads())
            .map(|suspension| std::mem::replace(&mut suspension.next_probe, next));
        let of_key = refusal.map(|refusal| {
            let due = std::mem::replace(&mut refusal.next_probe, next);
            (refusal.key_version, due)
        });
        (of_account.is_some() || of_key.is_some()).then_some(Self { of_key, of_account })
    }

    /// Returns whether it probes if the key is accepted.
    pub(super) const fn is_of_key(&self) -> bool {
        self.of_key.is_some()
    }

    /// Makes a probe that was not sent due again, unless another key was refused since.
    pub(super) fn put_back(
        self,
        refusal: Option<&mut Refusal>,
        suspension: Option<&mut Suspension>,
    ) {
        if let (Some(suspension), Some(due)) = (suspension, self.of_account) {
            suspension.next_probe = suspension.next_probe.min(due);
        }
        if let (Some(refusal), Some((key_version, due))) = (refusal, self.of_key)
            && refusal.key_version == key_version
        {
            refusal.next_probe = refusal.next_probe.min(due);
        }
    }
}

rebase! { Refusal {
    rebased: next_probe;
    kept: key_version;
} }

rebase! { Probe {
    rebased: of_key, of_account;
} }

//! The part of the canonical form that the canary is.

use super::{Canary, Phase, Stop};
use crate::time::Moment;

impl Canary {
    /// Takes part in [`Account::rebase`](super::super::Account::rebase).
    pub(in super::super) fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        let Self {
            phase,
            first,
            stop,
            waiting: _,
        } = self;
        match phase {
            Phase::Reading(_, at) | Phase::Read(_, at, _) => *at = place(*at),
            Phase::Idle | Phase::Flying(..) | Phase::Suspect(..) | Phase::Proven => {}
        }
        if let Some((_, until)) = first {
            *until = place(*until);
        }
        if let Some(Stop { attempt: _, until }) = stop {
            *until = place(*until);
        }
    }
}

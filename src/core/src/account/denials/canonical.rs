//! The canonical form of the refusals, for a search of states.

use super::{Denials, Probes};
use crate::time::Moment;

impl Denials {
    /// Gives every time the place that `place` returns for it.
    pub fn rebase(&mut self, mut place: impl FnMut(Moment) -> Moment) {
        let Self {
            rules: _,
            key_version: _,
            refused,
            released: _,
            retry_from,
            accepted,
            probes,
            demotion,
            refused_since: _,
        } = self;
        let Probes {
            next,
            last,
            turn,
            tried: _,
            requested: _,
            follows_start: _,
        } = probes;
        let turn = turn.as_mut().map(|(_, until)| until);
        let demoted = demotion.as_mut().map(|(_, at)| at);
        let single = [
            accepted.as_mut(),
            next.as_mut(),
            last.as_mut(),
            turn,
            demoted,
        ];
        let maps = refused.values_mut().chain(retry_from.values_mut());
        for at in maps.chain(single.into_iter().flatten()) {
            *at = place(*at);
        }
    }
}

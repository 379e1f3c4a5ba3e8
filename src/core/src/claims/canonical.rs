//! The canonical form of claims, for a search of states.

use super::{Claims, RELEASED_FOR};
use crate::time::Moment;

impl Claims {
    /// Gives every time the place that `place` returns for it. Of what is too long ago to matter only that is kept.
    pub fn rebase(&mut self, now: Moment, mut place: impl FnMut(Moment) -> Moment) {
        let Self {
            by_object: _,
            users,
            recorded: _,
            epoch,
            is_complete,
            released,
            rules: _,
        } = self;
        if let Some(epoch) = epoch {
            *epoch = if *is_complete {
                Moment::default()
            } else {
                place((*epoch).max(now - RELEASED_FOR))
            };
        }
        for claimed in users.values_mut() {
            if let Some(released) = &mut claimed.released {
                released.until = place(released.until.max(now));
            }
        }
        for (until, _) in released {
            *until = place((*until).max(now));
        }
    }

    /// Adds the claims of other objects, which declare other users.
    pub fn extend(&mut self, others: Self) {
        let Self {
            by_object,
            users,
            recorded,
            epoch: _,
            is_complete: _,
            released,
            rules: _,
        } = others;
        self.by_object.extend(by_object);
        self.users.extend(users);
        self.recorded.extend(recorded);
        self.released.extend(released);
        self.released.make_contiguous().sort_unstable();
    }
}

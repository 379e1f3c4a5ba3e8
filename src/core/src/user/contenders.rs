//! Which holders have an Event to come about an object that claims their user too. An Event for each such object would be a way
//! to fill the namespace of the holder with Events, so a holder has at most one an hour.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::claims::Contender;
use crate::time::Moment;

/// The shortest time between two Events about contenders of one holder.
const SPACING: Duration = Duration::from_hours(1);

/// The holders with contenders that appeared in this epoch, by a hash of their UID.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Contenders {
    holders: BTreeMap<u64, Contended>,
}

/// A holder of whose user a contender has appeared.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Contended {
    /// The last contender without an Event.
    last: Option<Contender>,
    reported_at: Option<Moment>,
}

impl Contenders {
    /// Records that an object has begun to claim the user that the holder has.
    pub(crate) fn appeared(&mut self, holder: u64, contender: Contender) {
        self.holders.entry(holder).or_default().last = Some(contender);
    }

    /// Returns whether one has appeared since the holder last had an Event.
    pub(crate) fn is_new(&self, holder: u64) -> bool {
        let contended = self.holders.get(&holder);
        contended.is_some_and(|contended| contended.last.is_some())
    }

    /// Takes the contender that the holder has an Event about now, if it has. Others that appear within the hour after it have
    /// none.
    pub(crate) fn take(&mut self, holder: u64, now: Moment) -> Option<Contender> {
        let contended = self.holders.get_mut(&holder)?;
        let last = contended.last.take()?;
        let is_recent = |at: Moment| now.saturating_duration_since(at) < SPACING;
        if contended.reported_at.is_some_and(is_recent) {
            return None;
        }
        contended.reported_at = Some(now);
        Some(last)
    }

    /// Forgets a holder that is gone.
    pub(crate) fn forget(&mut self, holder: u64) {
        self.holders.remove(&holder);
    }

    /// Forgets all of them: no decision depends on what has an Event.
    pub(crate) fn clear(&mut self) {
        self.holders.clear();
    }

    /// Adds those of other users.
    pub(crate) fn extend(&mut self, others: Self) {
        self.holders.extend(others.holders);
    }

    /// Returns the holders.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &u64> {
        self.holders.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Moment = Moment::from_micros(1 << 40);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn holder_has_one_event_an_hour_however_many_contenders_appear() {
        let mut contenders = Contenders::default();
        assert_eq!(contenders.take(1, AT), None);
        for _ in 0..4_000 {
            contenders.appeared(1, Contender::Elsewhere);
        }
        assert_eq!(contenders.take(1, AT), Some(Contender::Elsewhere));
        assert_eq!(contenders.take(1, AT), None);
        contenders.appeared(1, Contender::Elsewhere);
        contenders.appeared(2, Contender::Elsewhere);
        let soon = AT + SPACING - SECOND;
        assert_eq!(contenders.take(1, soon), None);
        assert_eq!(
            contenders.take(2, soon),
            Some(Contender::Elsewhere),
            "another holder"
        );
        let later = AT + SPACING;
        assert_eq!(contenders.take(1, later), None, "it was passed over");
        contenders.appeared(1, Contender::Elsewhere);
        assert_eq!(contenders.take(1, later), Some(Contender::Elsewhere));
        contenders.forget(1);
        assert_eq!(contenders.holders().count(), 1);
    }
}

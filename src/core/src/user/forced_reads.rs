//! When the annotation last forced a read of each user. It is kept for the user, not for the object: an object that is deleted
//! and created again forces no more reads than one that stays, and neither do several objects of one user.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fireworks_api::wire::UserRef;

use crate::rules::Rules;
use crate::time::Moment;

/// The shortest time between two reads of one user that the annotation forces.
pub(crate) const SPACING: Duration = Duration::from_mins(1);

/// The forced reads of the last minute.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct ForcedReads {
    by_user: BTreeMap<UserRef, Moment>,
    /// The same, the oldest first.
    in_order: VecDeque<(Moment, UserRef)>,
}

/// What is to be done about a read that an object is owed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ForcedRead {
    /// Read the user now.
    Now,
    /// Ask again at that time.
    At(Moment),
    /// Nothing: the annotation of another object has forced it since.
    NotNeeded,
}

impl ForcedReads {
    /// Returns what is to be done about a read of the user that an object is owed since `owed_since`. Where that is to read it
    /// now, it is recorded as done.
    pub(crate) fn request(
        &mut self,
        user: &UserRef,
        owed_since: Moment,
        now: Moment,
        rules: Rules,
    ) -> ForcedRead {
        self.forget_old(now);
        match self.by_user.get(user) {
            Some(read_at) if (rules.serves_owed_read)(*read_at, owed_since) => {
                ForcedRead::NotNeeded
            }
            Some(read_at) if !(rules.may_force_read)(now.saturating_duration_since(*read_at)) => {
                ForcedRead::At(*read_at + SPACING)
            }
            _ => {
                self.by_user.insert(user.clone(), now);
                self.in_order.push_back((now, user.clone()));
                ForcedRead::Now
            }
        }
    }

    /// Returns the number of users of which a read is kept.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        debug_assert_eq!(self.by_user.len(), self.in_order.len());
        self.by_user.len()
    }

    /// Gives every time the place that `place` returns for it, without those that no longer matter.
    pub(crate) fn rebase(&mut self, now: Moment, mut place: impl FnMut(Moment) -> Moment) {
        self.forget_old(now);
        for at in self.by_user.values_mut() {
            *at = place(*at);
        }
        for (at, _) in &mut self.in_order {
            *at = place(*at);
        }
    }

    /// Adds those of other users.
    pub(crate) fn extend(&mut self, others: Self) {
        let Self { by_user, in_order } = others;
        self.by_user.extend(by_user);
        self.in_order.extend(in_order);
        self.in_order.make_contiguous().sort_unstable();
    }

    fn forget_old(&mut self, now: Moment) {
        while let Some((at, user)) = self.in_order.front()
            && now.saturating_duration_since(*at) >= SPACING
        {
            self.by_user.remove(user);
            self.in_order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const AT: Moment = Moment::from_micros(1 << 40);
    const SECOND: Duration = Duration::from_secs(1);

    fn user(id: &str) -> UserRef {
        UserRef {
            account: "acme".parse().unwrap(),
            user: id.parse().unwrap(),
        }
    }

    #[test]
    fn forced_read_serves_every_object_that_was_owed_one_before() {
        let mut reads = ForcedReads::default();
        let alice = user("alice");
        let rules = Rules::default();
        let request = |reads: &mut ForcedReads, user: &UserRef, owed_since, now| {
            reads.request(user, owed_since, now, rules)
        };
        assert_eq!(request(&mut reads, &alice, AT, AT), ForcedRead::Now);
        assert_eq!(request(&mut reads, &user("bob"), AT, AT), ForcedRead::Now);
        let later = AT + SECOND;
        let served = request(&mut reads, &alice, AT, later);
        assert_eq!(served, ForcedRead::NotNeeded);
        let minute = AT + SPACING;
        let request = |reads: &mut ForcedReads, now| reads.request(&alice, later, now, rules);
        assert_eq!(request(&mut reads, later), ForcedRead::At(minute));
        let before = minute - SECOND;
        assert_eq!(request(&mut reads, before), ForcedRead::At(minute));
        assert_eq!(request(&mut reads, minute), ForcedRead::Now);
        assert_eq!(request(&mut reads, minute), ForcedRead::NotNeeded);
    }

    #[test]
    fn forced_reads_of_more_than_a_minute_ago_are_forgotten() {
        let mut reads = ForcedReads::default();
        for number in 0..200u32 {
            let now = AT + SECOND * number;
            let user = user(&format!("user-{number}"));
            let read = reads.request(&user, now, now, Rules::default());
            assert_eq!(read, ForcedRead::Now);
        }
        assert_eq!(reads.len(), 60);
    }
}

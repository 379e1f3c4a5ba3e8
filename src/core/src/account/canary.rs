//! The canary. The gateway is documented to keep the fields that a PATCH does not name. If it did not, every change would
//! clear a display name or an e-mail address. So the first PATCH of an epoch for a user with something to lose goes alone,
//! after a GET of that user. One user whose field is gone is held, since its owner may have cleared the field; a second
//! one stops the changes of the account.

use std::collections::BTreeSet;
use std::time::Duration;

use fireworks_api::wire::{User, UserId, UserPatch};
use retry_backoff::Backoff;

use super::Notice;
use crate::rebase::{Rebase, rebase};
use crate::time::Moment;

/// The GET before the PATCH is good for this long: a permit is waited for in between.
const READ_VALID_FOR: Duration = Duration::from_mins(1);
/// A user whose field was cleared is held for this long where no second user confirms or refutes it.
const HOLD_FOR: Duration = Duration::from_hours(1);
/// How long the account's changes stop after two users lost a field; doubled each time it is found again.
const STOPPED_FOR: Backoff = Backoff {
    base: Duration::from_mins(5),
    cap: Duration::from_hours(1),
};

/// What is known of whether fields survive that a PATCH does not name.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Canary {
    phase: Phase,
    /// The first user that lost a field, and until when it is held.
    first: Option<(UserId, Moment)>,
    stop: Option<Stop>,
    /// Users whose changes wait until the canary has been judged.
    waiting: BTreeSet<UserId>,
}

/// What the canary means for a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mask {
    /// The change may leave.
    Trusted,
    /// The change is the canary: the user has to be read immediately before it.
    Unread,
    /// The first change is under way or being judged: ask again when that has ended, or at that time.
    Busy(Moment),
    /// This user lost a field that was not sent: its changes are held until then, or until a second user refutes it.
    UserStopped(Moment),
    /// Two users lost fields that were not sent: no change leaves before that time.
    Stopped(Moment),
}

#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
enum Phase {
    /// The next change of a user with something to lose is the canary.
    #[default]
    Idle,
    /// A GET of that user, sent at that time or later, comes before its PATCH.
    Reading(UserId, Moment),
    /// The GET, sent then, showed these fields set.
    Read(UserId, Moment, Fields),
    /// The PATCH of that user is under way; before it these fields were set.
    Flying(UserId, Fields),
    /// The answer about that user lacked these fields; one more GET is to confirm it.
    Suspect(UserId, Fields),
    /// They survive.
    Proven,
}

/// The account's changes are stopped.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct Stop {
    attempt: u32,
    until: Moment,
}

/// Fields that a PATCH could clear without naming them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct Fields {
    email: bool,
    display_name: bool,
}

impl Fields {
    fn of(user: &User) -> Self {
        Self {
            email: user.email.is_some(),
            display_name: user.display_name.is_some(),
        }
    }

    /// Those that are set and that the PATCH does not name.
    fn exposed_to(self, names_display_name: bool) -> Self {
        Self {
            display_name: self.display_name && !names_display_name,
            ..self
        }
    }

    /// Those of them that `user` lacks.
    fn missing_in(self, user: &User) -> Self {
        Self {
            email: self.email && user.email.is_none(),
            display_name: self.display_name && user.display_name.is_none(),
        }
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Canary {
    /// Returns what the canary means for a change of that user, of which `known` was seen last. While it is [`Mask::Busy`],
    /// the user is requeued when the canary has been judged.
    pub(super) fn mask(
        &mut self,
        user: &UserId,
        known: Option<&User>,
        names_display_name: bool,
        now: Moment,
    ) -> Mask {
        if let Some(stop) = self.stop.filter(|stop| now < stop.until) {
            return Mask::Stopped(stop.until);
        }
        if let Some((first, until)) = &self.first
            && first == user
            && now < *until
        {
            return Mask::UserStopped(*until);
        }
        let fields = known.map(Fields::of).unwrap_or_default();
        if fields.exposed_to(names_display_name).is_empty() {
            return Mask::Trusted;
        }
        let busy_until = match (&self.phase, self.prepares(now)) {
            (Phase::Proven, _) => return Mask::Trusted,
            (Phase::Read(reader, ..), Some(_)) if reader == user => return Mask::Trusted,
            (Phase::Flying(..) | Phase::Suspect(..), _) => now + READ_VALID_FOR,
            (_, Some((other, until))) if other != user => until,
            _ => return Mask::Unread,
        };
        self.waiting.insert(user.clone());
        Mask::Busy(busy_until)
    }

    /// Records that a read of the user is requested since its change is to be the canary. It is not, while another user's
    /// change is prepared.
    pub(super) fn prepare(&mut self, user: &UserId, now: Moment) {
        let is_free = matches!(
            self.phase,
            Phase::Idle | Phase::Reading(..) | Phase::Read(..)
        );
        if is_free && self.prepares(now).is_none() {
            self.phase = Phase::Reading(user.clone(), now);
        }
    }

    /// Returns whether changes are stopped, or tried again one at a time.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// Returns whether a GET of that user is to show if a field was cleared.
    pub(super) fn suspects(&self, user: &UserId) -> bool {
        matches!(&self.phase, Phase::Suspect(suspect, _) if suspect == user)
    }

    /// Returns whether it is judged by what is known of that user.
    pub(super) fn concerns(&self, user: &UserId) -> bool {
        match &self.phase {
            Phase::Reading(one, _)
            | Phase::Read(one, ..)
            | Phase::Flying(one, _)
            | Phase::Suspect(one, _) => one == user,
            Phase::Idle | Phase::Proven => false,
        }
    }

    /// The user whose GET or PATCH is waited for, while it prepares its change.
    fn prepares(&self, now: Moment) -> Option<(&UserId, Moment)> {
        let (user, since) = match &self.phase {
            Phase::Reading(user, since) | Phase::Read(user, since, _) => (user, *since),
            Phase::Idle | Phase::Flying(..) | Phase::Suspect(..) | Phase::Proven => return None,
        };
        let until = since + READ_VALID_FOR;
        (now < until).then_some((user, until))
    }
}

/// What happens to users. Each method returns the users whose objects must be requeued, or adds them to `affected`.
impl Canary {
    /// Records that a change leaves. It is the canary if a GET came before it and showed what it could clear.
    pub(super) fn update_sent(&mut self, user: &UserId, patch: &UserPatch) {
        if let Phase::Read(reader, _, shown) = &self.phase
            && reader == user
        {
            let exposed = shown.exposed_to(patch.display_name.is_some());
            self.phase = if exposed.is_empty() {
                Phase::Idle
            } else {
                Phase::Flying(user.clone(), exposed)
            };
        }
    }

    /// Records that the user has no change pending, or cannot be read: its turn is over before the PATCH left.
    pub(super) fn give_up(&mut self, user: &UserId) -> Vec<UserId> {
        let prepares =
            matches!(&self.phase, Phase::Reading(one, _) | Phase::Read(one, ..) if one == user);
        self.begin_again_if(prepares)
    }

    /// Records that no object that may make calls declares the user any more.
    pub(super) fn forget(&mut self, user: &UserId) -> Vec<UserId> {
        self.waiting.remove(user);
        self.give_up(user)
    }

    /// Records that the change was answered with `after`. Returns whether one GET has to confirm a loss.
    pub(super) fn update_succeeded(&mut self, after: &User, affected: &mut Vec<UserId>) -> bool {
        let exposed = match &self.phase {
            Phase::Flying(user, exposed) if *user == after.id => *exposed,
            _ => return false,
        };
        let lost = exposed.missing_in(after);
        if lost.is_empty() {
            affected.extend(self.prove());
            return false;
        }
        self.phase = Phase::Suspect(after.id.clone(), lost);
        true
    }

    /// Records that the change was refused or its outcome is unknown: the next one is the canary.
    pub(super) fn update_failed(&mut self, user: &UserId) -> Vec<UserId> {
        self.begin_again_if(matches!(&self.phase, Phase::Flying(flying, _) if flying == user))
    }

    /// Records that the user is gone: no read shows what its answer lacked, and the next change is the canary.
    pub(super) fn user_removed(&mut self, user: &UserId) -> Vec<UserId> {
        if self.suspects(user) {
            self.judge(Phase::Idle)
        } else {
            self.give_up(user)
        }
    }

    /// Records that a GET sent at that time shows the user: it may be the one before the canary.
    pub(super) fn user_read(&mut self, seen: &User, sent_at: Moment) {
        if let Phase::Reading(user, from) = &self.phase
            && *user == seen.id
            && sent_at >= *from
        {
            self.phase = Phase::Read(seen.id.clone(), sent_at, Fields::of(seen));
        }
    }

    /// Records that a read, sent after the change and newer than what was known, shows a user: it may be the one whose answer
    /// lacked a field. Returns what the log must show.
    pub(super) fn user_observed(
        &mut self,
        seen: &User,
        now: Moment,
        affected: &mut Vec<UserId>,
    ) -> Option<Notice> {
        let lost = match &self.phase {
            Phase::Suspect(user, lost) if *user == seen.id => *lost,
            _ => return None,
        };
        if lost.missing_in(seen).is_empty() {
            affected.extend(self.prove());
            return None;
        }
        let user = seen.id.clone();
        let is_other = |(first, _): &(UserId, Moment)| *first != user;
        let is_second = self.first.as_ref().is_some_and(is_other);
        affected.extend(self.judge(Phase::Idle));
        affected.push(user.clone());
        if is_second || self.stop.is_some() {
            let attempt = self.stop.map_or(0, |stop| stop.attempt + 1);
            let until = now + STOPPED_FOR.ceiling(attempt);
            self.stop = Some(Stop { attempt, until });
            return Some(Notice::FieldClearedAgain { user });
        }
        self.first = Some((user.clone(), now + HOLD_FOR));
        Some(Notice::FieldCleared { user })
    }

    /// Fields that are not named survive.
    fn prove(&mut self) -> Vec<UserId> {
        let held = self.first.take().map(|(first, _)| first);
        self.stop = None;
        let waiting = self.judge(Phase::Proven);
        held.into_iter().chain(waiting).collect()
    }

    fn begin_again_if(&mut self, is_over: bool) -> Vec<UserId> {
        if is_over {
            self.judge(Phase::Idle)
        } else {
            Vec::new()
        }
    }

    fn judge(&mut self, phase: Phase) -> Vec<UserId> {
        self.phase = phase;
        std::mem::take(&mut self.waiting).into_iter().collect()
    }
}

rebase! { Canary {
    rebased: phase, first, stop;
    kept: waiting;
} }

rebase! { Stop {
    rebased: until;
    kept: attempt;
} }

impl Rebase for Phase {
    fn rebase(&mut self, place: &mut impl FnMut(Moment) -> Moment) {
        match self {
            Self::Reading(_, at) | Self::Read(_, at, _) => at.rebase(place),
            Self::Idle | Self::Flying(..) | Self::Suspect(..) | Self::Proven => {}
        }
    }
}

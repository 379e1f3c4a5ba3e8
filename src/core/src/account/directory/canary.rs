//! The canary. The gateway is documented to keep the fields that a PATCH does not name. If it did not, every change would
//! clear a display name or an e-mail address. So the first PATCH of an epoch for a user with something to lose goes alone,
//! after a GET of that user. One user whose field is gone is held, since its owner may have cleared the field; a second
//! one stops the changes of the account.

mod canonical;

use std::time::Duration;

use fireworks_api::wire::{User, UserId, UserPatch};
use retry_backoff::Backoff;

use super::{Directory, Notice};
use crate::account::{Class, Mask};
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
            email: user.has_email,
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
            email: self.email && !user.has_email,
            display_name: self.display_name && user.display_name.is_none(),
        }
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl Canary {
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

impl Directory {
    /// Returns what the canary means for a change of that user. While it is [`Mask::Busy`], the user comes out of the
    /// changes' stream when the canary has been judged.
    #[must_use]
    pub fn mask(&mut self, user: &UserId, names_display_name: bool, now: Moment) -> Mask {
        let canary = &self.canary;
        if let Some(stop) = canary.stop.filter(|stop| now < stop.until) {
            return Mask::Stopped(stop.until);
        }
        if let Some((first, until)) = &canary.first
            && first == user
            && now < *until
        {
            return Mask::UserStopped(*until);
        }
        let fields = self.records.get(user).map(|one| Fields::of(&one.user));
        let exposed = fields.unwrap_or_default().exposed_to(names_display_name);
        if exposed.is_empty() {
            return Mask::Trusted;
        }
        let busy_until = match (&canary.phase, canary.prepares(now)) {
            (Phase::Proven, _) => return Mask::Trusted,
            (Phase::Read(reader, ..), Some(_)) if reader == user => return Mask::Trusted,
            (Phase::Flying(..) | Phase::Suspect(..), _) => now + READ_VALID_FOR,
            (_, Some((other, until))) if other != user => until,
            _ => return Mask::Unread,
        };
        self.waiting_for_canary.insert(user.clone());
        Mask::Busy(busy_until)
    }

    /// The change of that user is to be the canary: asks for a GET of it. None is asked for while another user's is
    /// under way, or while this user's failed and waits.
    pub fn request_canary_read(&mut self, user: &UserId, now: Moment) {
        let waits = |at: Option<Moment>| at.is_some_and(|at| now < at);
        let is_failing = self
            .requested_reads
            .get(user)
            .is_some_and(|request_read| waits(request_read.retry_at));
        if self.canary.prepares(now).is_none()
            && !is_failing
            && matches!(
                self.canary.phase,
                Phase::Idle | Phase::Reading(..) | Phase::Read(..)
            )
        {
            self.canary.phase = Phase::Reading(user.clone(), now);
        }
        self.add_request(user, Class::SpecChange, now);
        self.signals.refresh = true;
    }

    /// No change of that user is pending any more: another one may be the canary.
    pub fn give_up_canary(&mut self, user: &UserId) {
        let affected = self.canary_given_up(user);
        self.requeue(affected);
    }

    /// Returns whether changes are stopped, or tried again one at a time.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.canary.stop.is_some()
    }
}

impl Directory {
    /// A change leaves. It is the canary if a GET came before it and showed what it could clear.
    pub(super) fn canary_departs(&mut self, user: &UserId, patch: &UserPatch) {
        if let Phase::Read(reader, _, shown) = &self.canary.phase
            && reader == user
        {
            let exposed = shown.exposed_to(patch.display_name.is_some());
            self.canary.phase = if exposed.is_empty() {
                Phase::Idle
            } else {
                Phase::Flying(user.clone(), exposed)
            };
        }
    }

    /// The user has no change pending, or cannot be read: its turn is over before the PATCH left.
    pub(super) fn canary_given_up(&mut self, user: &UserId) -> Vec<UserId> {
        let prepares = matches!(&self.canary.phase, Phase::Reading(one, _) | Phase::Read(one, ..) if one == user);
        let mut affected = Vec::new();
        if prepares {
            self.judge(Phase::Idle, &mut affected);
        }
        affected
    }

    /// The change was answered with `after`. `true` if one GET has to confirm a loss.
    pub(super) fn canary_succeeded(&mut self, after: &User, affected: &mut Vec<UserId>) -> bool {
        let exposed = match &self.canary.phase {
            Phase::Flying(user, exposed) if *user == after.id => *exposed,
            _ => return false,
        };
        let lost = exposed.missing_in(after);
        if lost.is_empty() {
            self.proven(affected);
            return false;
        }
        self.canary.phase = Phase::Suspect(after.id.clone(), lost);
        true
    }

    /// The change was refused or lost: the next one is the canary.
    pub(super) fn canary_failed(&mut self, user: &UserId, affected: &mut Vec<UserId>) {
        if matches!(&self.canary.phase, Phase::Flying(flying, _) if flying == user) {
            self.judge(Phase::Idle, affected);
        }
    }

    /// The user is gone: no read shows what its answer lacked, and the next change is the canary.
    pub(super) fn canary_removed(&mut self, user: &UserId, affected: &mut Vec<UserId>) {
        if self.canary.suspects(user) {
            self.judge(Phase::Idle, affected);
        }
        affected.extend(self.canary_given_up(user));
    }

    /// A GET shows a user, sent at that time: it may be the one before the canary.
    pub(super) fn canary_read(&mut self, seen: &User, sent_at: Moment) {
        if let Phase::Reading(user, from) = &self.canary.phase
            && *user == seen.id
            && sent_at >= *from
        {
            self.canary.phase = Phase::Read(seen.id.clone(), sent_at, Fields::of(seen));
        }
    }

    /// A read that is believed, sent after the change, shows the user whose answer lacked a field.
    pub(super) fn canary_seen(&mut self, seen: &User, now: Moment, affected: &mut Vec<UserId>) {
        let lost = match &self.canary.phase {
            Phase::Suspect(user, lost) if *user == seen.id => *lost,
            _ => return,
        };
        if lost.missing_in(seen).is_empty() {
            return self.proven(affected);
        }
        let user = seen.id.clone();
        let is_second = self
            .canary
            .first
            .as_ref()
            .is_some_and(|(first, _)| *first != seen.id);
        if is_second || self.canary.stop.is_some() {
            let attempt = self.canary.stop.map_or(0, |stop| stop.attempt + 1);
            let until = now + STOPPED_FOR.ceiling(attempt);
            self.canary.stop = Some(Stop { attempt, until });
            self.signals
                .notices
                .push(Notice::FieldClearedAgain { user });
        } else {
            self.canary.first = Some((seen.id.clone(), now + HOLD_FOR));
            self.signals.notices.push(Notice::FieldCleared { user });
        }
        self.judge(Phase::Idle, affected);
        affected.push(seen.id.clone());
    }

    /// Fields that are not named survive.
    fn proven(&mut self, affected: &mut Vec<UserId>) {
        affected.extend(self.canary.first.take().map(|(first, _)| first));
        self.canary.stop = None;
        self.judge(Phase::Proven, affected);
    }

    fn judge(&mut self, phase: Phase, affected: &mut Vec<UserId>) {
        self.canary.phase = phase;
        affected.extend(std::mem::take(&mut self.waiting_for_canary));
    }
}

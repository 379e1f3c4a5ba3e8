//! The mask canary. The gateway is documented to keep the fields that a PATCH does not name. If it did
//! not, every change would clear a display name or an e-mail address, so until one answer has shown
//! that unnamed fields stay, users that have something to lose are changed one at a time.

use super::super::text;
use super::super::wire::{User, UserId, UserPatch};
use super::{Directory, State};

/// Whether unnamed fields are known to survive a PATCH.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Canary {
    /// No PATCH has shown it yet.
    #[default]
    Untested,
    /// The PATCH of that user is under way; others with something to lose wait.
    Flying(UserId),
    /// The answer about that user lacked fields it had before; one read is to confirm it.
    Suspect(UserId, Lost),
    /// They survive.
    Proven,
    /// They do not: nothing may be changed any more.
    Broken,
}

impl Canary {
    /// Whether a read of that user is to tell if a field was cleared.
    pub(super) fn suspects(&self, user: &UserId) -> bool {
        matches!(self, Self::Suspect(suspect, _) if suspect == user)
    }

    /// Whether it is judged by what is known of that user.
    pub(super) fn concerns(&self, user: &UserId) -> bool {
        self.suspects(user) || matches!(self, Self::Flying(flying) if flying == user)
    }
}

/// Which unnamed fields an answer lacked that were there before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Lost {
    email: bool,
    display_name: bool,
}

/// What the canary means for a change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mask {
    /// The change may leave.
    Trusted,
    /// The first change is still being judged: ask again when that has ended.
    Busy,
    /// Fireworks clears fields that are not sent: no change may leave.
    Broken,
}

impl Directory {
    /// What the canary means for a change of that user. While it is [`Mask::Busy`], the user comes out of the changes'
    /// stream when the canary has been judged.
    #[must_use]
    pub fn mask(&self, user: &UserId) -> Mask {
        let mut state = self.lock();
        let exposed = state
            .records
            .get(user)
            .is_some_and(|record| has_something_to_lose(&record.user));
        match &state.canary {
            Canary::Broken => Mask::Broken,
            Canary::Flying(_) | Canary::Suspect(..) if exposed => {
                state.waiting_for_canary.insert(user.clone());
                Mask::Busy
            }
            Canary::Flying(_) | Canary::Suspect(..) | Canary::Untested | Canary::Proven => {
                Mask::Trusted
            }
        }
    }

    /// Whether changes are stopped for good.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        matches!(self.lock().canary, Canary::Broken)
    }
}

impl State {
    /// A change leaves: it is the canary if none has been judged and it could show something.
    pub(super) fn canary_departs(&mut self, user: &UserId) {
        let exposed = self
            .records
            .get(user)
            .is_some_and(|record| has_something_to_lose(&record.user));
        if self.canary == Canary::Untested && exposed {
            self.canary = Canary::Flying(user.clone());
        }
    }

    /// The change was answered with `after`. `true` if one read has to confirm a loss.
    pub(super) fn canary_answered(
        &mut self,
        patch: &UserPatch,
        after: &User,
        look: &mut Vec<UserId>,
    ) -> bool {
        if self.canary != Canary::Flying(after.id.clone()) {
            return false;
        }
        let before = self
            .records
            .get(&after.id)
            .map(|record| record.user.clone());
        let lost = before
            .map(|before| loses(&before, patch, after))
            .unwrap_or_default();
        if lost == Lost::default() {
            self.judge(Canary::Proven, look);
            return false;
        }
        self.canary = Canary::Suspect(after.id.clone(), lost);
        true
    }

    /// The change was refused or lost: the next one is the canary.
    pub(super) fn canary_failed(&mut self, user: &UserId, look: &mut Vec<UserId>) {
        if self.canary == Canary::Flying(user.clone()) {
            self.judge(Canary::Untested, look);
        }
    }

    /// The user is gone: of what its answer had lost no read will tell, and the next change is the canary.
    pub(super) fn canary_gone(&mut self, user: &UserId, look: &mut Vec<UserId>) {
        if self.canary.suspects(user) {
            self.judge(Canary::Untested, look);
        }
    }

    /// A read shows the user whose answer had lost a field.
    pub(super) fn canary_seen(&mut self, seen: &User, look: &mut Vec<UserId>) {
        let lost = match &self.canary {
            Canary::Suspect(user, lost) if *user == seen.id => *lost,
            _ => return,
        };
        let still =
            (lost.email && !seen.has_email) || (lost.display_name && seen.display_name.is_none());
        let verdict = if still {
            let user = text::clean(seen.id.as_str(), text::MESSAGE_MAX);
            tracing::error!(
                user,
                "Fireworks cleared a field that was not sent: nothing is changed any more"
            );
            Canary::Broken
        } else {
            Canary::Proven
        };
        self.judge(verdict, look);
    }

    fn judge(&mut self, verdict: Canary, look: &mut Vec<UserId>) {
        self.canary = verdict;
        look.extend(self.waiting_for_canary.drain());
    }
}

fn has_something_to_lose(user: &User) -> bool {
    user.has_email || user.display_name.is_some()
}

fn loses(before: &User, patch: &UserPatch, after: &User) -> Lost {
    let named = patch.display_name.is_some();
    Lost {
        email: before.has_email && !after.has_email,
        display_name: before.display_name.is_some() && !named && after.display_name.is_none(),
    }
}

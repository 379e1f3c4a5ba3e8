//! A directory as plain data, for a test that searches states: taken out, compared, shifted in time,
//! and brought back to life. Part of no release build. What is left out is the reader's timetable
//! (when it tries again), which decides nothing of what is believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use fireworks_api::error::{Attempt, Effect, Error, Kind};
use fireworks_api::wire::{UserId, UserPatch};
use fireworks_core::time::Moment;
use tokio::sync::{Notify, mpsc};

use super::fold::Flight;
use super::{Directory, State};

/// What a directory holds.
#[derive(Clone)]
pub struct Frozen(State);

/// The error of a call that failed in that way.
#[must_use]
pub fn failed_call(kind: Kind, effect: Effect) -> Error {
    let mutates = effect == Effect::Unknown;
    Attempt::new("call", mutates, 1).failed(kind, effect, None, "as the test asked")
}

impl Directory {
    /// Takes what it holds.
    #[must_use]
    pub fn freeze(self) -> Frozen {
        Frozen(
            self.state
                .into_inner()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// A directory that holds the same, and the stream of its news.
    #[must_use]
    pub fn thaw(frozen: &Frozen) -> (Self, mpsc::UnboundedReceiver<UserId>) {
        let (changes, stream) = mpsc::unbounded_channel();
        let directory = Self {
            state: Mutex::new(frozen.0.clone()),
            changes,
            wake: Notify::new(),
            restore: Notify::new(),
        };
        (directory, stream)
    }

    /// A change that departed before the directory was frozen.
    #[must_use]
    pub fn resume(&self, user: &UserId, patch: &UserPatch, sent_at: Moment) -> Flight<'_> {
        Flight::resumed(self, user.clone(), patch.clone(), sent_at)
    }
}

impl Frozen {
    /// Forgets when the reader tries again.
    pub fn forget_timetable(&mut self) {
        self.0.reads.forget_timetable();
        self.0.checks = super::admins::Checks::default();
        for want in self.0.wants.values_mut() {
            want.retry_at = None;
            want.attempts = 0;
        }
        // Of the numbers of lists only "the last one or an earlier one" matters.
        let lists = self.0.reads.lists();
        for missing in self.0.missing.values_mut() {
            let is_last = u64::from(missing.since_list == lists);
            missing.since_list = (is_last + 1).min(missing.since_list * 2);
        }
        self.0.reads.renumber_lists(2);
        // No list is under way: which one showed a user does not matter.
        for record in self.0.records.values_mut() {
            record.listed = 0;
        }
        for one in self.0.undeclared.values_mut() {
            one.listed = 0;
        }
    }

    /// Every time it holds.
    pub fn times_mut(&mut self) -> Vec<&mut Moment> {
        let State {
            records,
            ambiguities,
            wants,
            reads,
            ..
        } = &mut self.0;
        let mut times: Vec<&mut Moment> = Vec::new();
        for record in records.values_mut() {
            times.extend([&mut record.sent_at, &mut record.seen_at]);
            if let Some(change) = &mut record.change {
                times.extend([&mut change.sent_at, &mut change.answered_at]);
            }
        }
        times.extend(ambiguities.values_mut().map(|one| &mut one.given_up));
        times.extend(wants.values_mut().map(|want| &mut want.not_before));
        times.extend(reads.complete_mut());
        times
    }

    /// A text that is equal where all that matters is.
    #[must_use]
    pub fn digest(&self) -> String {
        let state = &self.0;
        format!(
            "{:?}",
            (
                state.records.iter().collect::<BTreeMap<_, _>>(),
                state.undeclared.iter().collect::<BTreeMap<_, _>>(),
                state.missing.iter().collect::<BTreeMap<_, _>>(),
                state.ambiguities.iter().collect::<BTreeMap<_, _>>(),
                &state.wants,
                state.demoting.iter().collect::<BTreeMap<_, _>>(),
                [
                    &state.unlisted,
                    &state.waiting_for_admins,
                    &state.waiting_for_canary,
                    &state.interest,
                    &state.suspended,
                    state.reads.list_waiters(),
                ]
                .map(|set| set.iter().collect::<BTreeSet<_>>()),
                &state.canary,
                state.reads.facts(),
                state.last_failure.as_ref().map(|failure| failure.kind),
            )
        )
    }
}

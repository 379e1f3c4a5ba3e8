//! What happens around the operator: reads, what Fireworks and others do to users, pauses and keys.

use crate::account::{Event, Failing, STAMP_NOW, age};
use crate::oracle;
use crate::reconcile::number;
use crate::state::{Barred, Object, Reading, State};
use crate::step::label;
use crate::value::{MANY, Phase, Remote};
use crate::world::{Label, Next, World};

impl World<'_> {
    pub(crate) fn of_reads(&mut self, state: &State, out: &mut Vec<Next>) {
        if state.read.is_some() || state.paused || state.counts {
            return;
        }
        let users = self.scenario.users.len();
        let interesting: Vec<usize> = (0..users)
            .filter(|user| self.is_of_interest(state, *user))
            .collect();
        let mut begin = |user: Option<u8>, shows, free: bool, world: &mut Self| {
            let mut next = *state;
            next.left.faults -= u8::from(!free);
            next.read = Some(Reading {
                user,
                sent: STAMP_NOW,
                shows,
            });
            world.apply(&mut next, Event::Nothing);
            let what = if user.is_some() {
                "GET leaves for user"
            } else {
                "LIST leaves"
            };
            let at = usize::from(user.unwrap_or(0));
            world.push(out, next, label(what, at), free, None);
        };
        for user in &interesting {
            begin(Some(number(*user)), state.remote, true, self);
            let before = state.before[*user].filter(|_| state.left.faults > 0);
            if let Some(before) = before {
                let mut shows = state.remote;
                shows[*user] = before;
                begin(Some(number(*user)), shows, false, self);
            }
        }
        if !interesting.is_empty() {
            begin(None, state.remote, true, self);
        }
    }

    pub(crate) fn read_ends(&mut self, state: &State, read: Reading, out: &mut Vec<Next>) {
        let at = usize::from(read.user.unwrap_or(0));
        let mut idle = *state;
        idle.read = None;
        if state.revoked || state.suspended {
            let mut next = idle;
            let failing = if state.revoked {
                next.counts = true;
                Failing::Key
            } else {
                next.barred = next.barred.max(Barred::Reads);
                Failing::Suspended
            };
            self.fail_read(&mut next, read, failing);
            return self.push(
                out,
                next,
                label("a read is refused, of user", at),
                true,
                None,
            );
        }
        if let (true, Some(user)) = (state.gets_fail, read.user) {
            self.fail_read(&mut idle, read, Failing::Outage);
            idle.ungot[usize::from(user)] = false;
            let what = label("a single read fails, of user", at);
            return self.push(out, idle, what, true, None);
        }
        self.read_shows(
            idle,
            read,
            read.shows,
            label("a read comes back, of user", at),
            true,
            out,
        );
        if state.remote != read.shows {
            let what = label("a read comes back with the newest, of user", at);
            self.read_shows(idle, read, state.remote, what, true, out);
        }
        if state.left.faults == 0 {
            return;
        }
        idle.left.faults -= 1;
        if self.scenario.budget.reads {
            let mut next = idle;
            self.fail_read(&mut next, read, Failing::Outage);
            self.push(out, next, label("a read fails, of user", at), false, None);
        }
        if let (true, Some(user)) = (self.scenario.budget.refused, read.user) {
            let mut next = idle;
            self.apply(&mut next, Event::ReadRefused(user, read.sent));
            next.ungot[usize::from(user)] = false;
            self.push(
                out,
                next,
                label("a read is forbidden, of user", at),
                false,
                None,
            );
        }
        if self.scenario.budget.omitted && read.user.is_none() {
            let mut shows = read.shows;
            shows[0].phase = Phase::Absent;
            self.read_shows(idle, read, shows, label("a list omits user", 0), false, out);
        }
    }

    fn fail_read(&mut self, state: &mut State, read: Reading, failing: Failing) {
        let event = match read.user {
            Some(user) => Event::ReadFailed(user, read.sent, failing),
            None => Event::ListFailed(failing),
        };
        self.apply(state, event);
    }

    fn read_shows(
        &mut self,
        mut state: State,
        read: Reading,
        shows: [Remote; MANY],
        what: Label,
        free: bool,
        out: &mut Vec<Next>,
    ) {
        let there = |user: usize| Some(shows[user]).filter(|remote| remote.phase != Phase::Absent);
        let event = match read.user {
            None => Event::Listed([there(0), there(1)], read.sent),
            Some(user) => match there(usize::from(user)) {
                Some(remote) => Event::Read(user, remote, read.sent),
                None => Event::NotFound(user, read.sent),
            },
        };
        self.apply(&mut state, event);
        if state.barred == Barred::Reads {
            state.barred = Barred::No;
        }
        if let Some(user) = read.user {
            state.ungot[usize::from(user)] = false;
        }
        for user in 0..MANY {
            let asked = read.user.is_none_or(|one| usize::from(one) == user);
            // A user that lists are known to omit is read alone after each list.
            let seen = self.operator.known(state.account, number(user)).seen;
            let omitted = read.user.is_none()
                && there(user).is_none()
                && seen.is_some_and(|seen| seen.phase != Phase::Absent);
            if asked && !omitted {
                state.unread[user] = age(read.sent);
            }
        }
        self.push(out, state, what, free, None);
    }

    /// What the remote does of itself, and what others do to it.
    pub(crate) fn of_remote(&mut self, state: &State, out: &mut Vec<Next>) {
        for user in 0..self.scenario.users.len() {
            let phase = match state.remote[user].phase {
                Phase::Updating => Some(Phase::Ready),
                Phase::Deleting => Some(Phase::Absent),
                Phase::Ready | Phase::Absent => None,
            };
            if let Some(phase) = phase {
                let mut next = *state;
                next.remote[user].phase = phase;
                next.before[user] = None;
                self.push(
                    out,
                    next,
                    label("Fireworks is done with user", user),
                    true,
                    None,
                );
            }
            for place in 0..2 {
                if let Some(late) = state.late_changes[user][place] {
                    let mut next = *state;
                    next.late_changes[user][place] = None;
                    let after = self.after(state.remote[user], late.body);
                    // Of one that an equal, answered change followed, it cannot be known.
                    let known = !late.excused;
                    let broken = oracle::effect(self, state, user, after).filter(|_| known);
                    if state.remote[user].phase != Phase::Absent {
                        self.change(&mut next, user, after, false);
                    }
                    let what = label("a lost PATCH takes effect after all on user", user);
                    self.push(out, next, what, true, broken);
                }
            }
        }
        if state.left.drifts == 0 {
            return;
        }
        for drift in &self.scenario.drift {
            let version = state.remote[0].version;
            let after = Remote { version, ..*drift };
            if after != state.remote[0] {
                let mut next = *state;
                next.left.drifts -= 1;
                let after = Remote {
                    version: version + 1,
                    ..after
                };
                self.change(&mut next, 0, after, false);
                self.push(
                    out,
                    next,
                    label("another actor changes user", 0),
                    false,
                    None,
                );
            }
        }
    }

    /// Pauses, keys and hours.
    pub(crate) fn of_account(&mut self, state: &State, out: &mut Vec<Next>) {
        if state.paused {
            let mut next = *state;
            next.paused = false;
            self.apply(&mut next, Event::PauseEnds);
            self.push(out, next, label("the pause ends", 0), true, None);
        }
        if state.revoked {
            let next = self.with_new_key(*state);
            self.push(out, next, label("a new key is there", 0), true, None);
        } else if state.counts {
            let mut next = *state;
            next.counts = false;
            self.apply(&mut next, Event::KeyAccepted);
            let what = label("a probe finds the key good", 0);
            self.push(out, next, what, true, None);
        }
        if state.gets_fail {
            let mut next = *state;
            next.gets_fail = false;
            self.push(
                out,
                next,
                label("single reads succeed again", 0),
                true,
                None,
            );
        }
        self.of_suspension(state, out);
        if self.scenario.weak_key && state.key == 1 && state.left.drifts > 0 {
            let mut next = *state;
            next.left.drifts -= 1;
            let next = self.with_new_key(next);
            self.push(out, next, label("the key is replaced", 0), false, None);
        }
        if state.left.faults == 0 {
            return;
        }
        let mut next = *state;
        next.left.faults -= 1;
        if self.scenario.budget.revoked && !state.revoked {
            let mut next = next;
            next.revoked = true;
            self.push(out, next, label("the key is revoked", 0), false, None);
        }
        if self.scenario.budget.gets && !state.gets_fail {
            let mut next = next;
            next.gets_fail = true;
            self.push(
                out,
                next,
                label("single reads begin to fail", 0),
                false,
                None,
            );
        }
        if self.scenario.budget.suspended && !state.suspended {
            let mut next = next;
            next.suspended = true;
            self.push(out, next, label("the account is suspended", 0), false, None);
        }
        if self.scenario.budget.hours && state.objects.iter().any(|one| self.is_refused(one)) {
            self.an_hour_passes(&mut next);
            self.push(out, next, label("an hour passes", 0), false, None);
        }
    }

    /// The suspension ends, and what the operator gets to know of it.
    fn of_suspension(&mut self, state: &State, out: &mut Vec<Next>) {
        if state.suspended {
            let mut next = *state;
            next.suspended = false;
            self.push(out, next, label("the suspension ends", 0), true, None);
        }
        if state.barred == Barred::No {
            return;
        }
        let mut next = *state;
        if self.operator.reads_account(state) {
            self.apply(&mut next, Event::AccountRead);
            let what = label("the state of the account is read", 0);
            return self.push(out, next, what, true, None);
        }
        next.may_probe = true;
        self.apply(&mut next, Event::MinuteEnds);
        self.push(out, next, label("a minute passes", 0), true, None);
    }

    fn with_new_key(&mut self, mut state: State) -> State {
        state.key += 1;
        (state.revoked, state.counts) = (false, false);
        self.apply(&mut state, Event::NewKey);
        for object in &mut state.objects {
            object.due |= object.store.generation > 0 && !object.store.deleting;
            object.expected.refused = 0;
            object.expected.missed = 0;
        }
        state
    }

    /// Returns whether status reports a refusal that an hour ends.
    fn is_refused(&mut self, object: &Object) -> bool {
        let reported = self.operator.reported(object.server.status);
        matches!(reported.reason.as_deref(), Some("Rejected" | "NotApplied"))
    }

    fn an_hour_passes(&mut self, state: &mut State) {
        for at in self.objects() {
            self.operator.wait(state, at, None);
            let expected = &mut state.objects[at].expected;
            expected.refused = 0;
            expected.missed = 0;
        }
    }
}

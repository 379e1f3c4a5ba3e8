//! What happens around the operator: reads, what Fireworks and others do to users, pauses and keys.

use crate::belief::{Event, STAMP_NOW, age};
use crate::oracle;
use crate::pass::{EXPIRED, FIGHT, number};
use crate::state::{Object, ObjectStates, Reading, State};
use crate::step::label;
use crate::value::{Life, MANY, Remote};
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
            world.tell(&mut next, Event::Nothing);
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
        if state.revoked {
            let mut next = idle;
            next.counts = true;
            self.fail_read(&mut next, read);
            return self.push(
                out,
                next,
                label("a read is refused, of user", at),
                true,
                None,
            );
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
            self.fail_read(&mut next, read);
            self.push(out, next, label("a read fails, of user", at), false, None);
        }
        if self.scenario.budget.omitted && read.user.is_none() {
            let mut shows = read.shows;
            shows[0].life = Life::Absent;
            self.read_shows(idle, read, shows, label("a list omits user", 0), false, out);
        }
    }

    fn fail_read(&mut self, state: &mut State, read: Reading) {
        let event = match read.user {
            Some(user) => Event::ReadFailed(user, read.sent),
            None => Event::ListFailed,
        };
        self.tell(state, event);
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
        let there = |user: usize| Some(shows[user]).filter(|remote| remote.life != Life::Absent);
        let event = match read.user {
            None => Event::Listed([there(0), there(1)], read.sent),
            Some(user) => match there(usize::from(user)) {
                Some(remote) => Event::Read(user, remote, read.sent),
                None => Event::NotFound(user, read.sent),
            },
        };
        self.tell(&mut state, event);
        for user in 0..MANY {
            let asked = read.user.is_none_or(|one| usize::from(one) == user);
            // Whom lists are known to omit the reader reads one by one after each list.
            let seen = self.believer.known(state.beliefs, number(user)).seen;
            let omitted = read.user.is_none()
                && there(user).is_none()
                && seen.is_some_and(|seen| seen.life != Life::Absent);
            if asked && !omitted {
                state.unread[user] = age(read.sent);
            }
        }
        self.push(out, state, what, free, None);
    }

    /// What the remote does of itself, and what others do to it.
    pub(crate) fn of_remote(&mut self, state: &State, out: &mut Vec<Next>) {
        for user in 0..self.scenario.users.len() {
            let life = match state.remote[user].life {
                Life::Updating => Some(Life::Ready),
                Life::Deleting => Some(Life::Absent),
                Life::Ready | Life::Absent => None,
            };
            if let Some(life) = life {
                let mut next = *state;
                next.remote[user].life = life;
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
                if let Some(zombie) = state.zombies[user][place] {
                    let mut next = *state;
                    next.zombies[user][place] = None;
                    let after = self.after(state.remote[user], zombie.body);
                    // Of one whose like was answered since nobody could know.
                    let known = !zombie.excused;
                    let broken = oracle::effect(self, state, user, after).filter(|_| known);
                    if state.remote[user].life != Life::Absent {
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

    /// Pauses, keys and fights.
    pub(crate) fn of_account(&mut self, state: &State, out: &mut Vec<Next>) {
        let mut then = |what, free, broken, change: &dyn Fn(&mut State), world: &Self| {
            let mut next = *state;
            next.left.faults -= u8::from(broken);
            change(&mut next);
            world.push(out, next, label(what, 0), free, None);
        };
        let wake = |state: &mut State| {
            for object in &mut state.objects {
                object.due |= std::mem::take(&mut object.queued);
            }
        };
        let new_key = |state: &mut State| {
            state.key += 1;
            (state.revoked, state.counts) = (false, false);
            for object in &mut state.objects {
                let there = object.store.generation > 0 && !object.store.deleting;
                object.due |= there;
                object.ghost.refused = false;
                object.ghost.missed = 0;
            }
        };
        if state.paused {
            let end = |state: &mut State| {
                state.paused = false;
                wake(state);
            };
            then("the pause ends", true, false, &end, self);
        }
        if state.revoked {
            then("a new key is there", true, false, &new_key, self);
        } else if state.counts {
            let probe = |state: &mut State| {
                state.counts = false;
                wake(state);
            };
            then("a probe finds the key good", true, false, &probe, self);
        }
        if self.scenario.weak_key && state.key == 1 && state.left.drifts > 0 {
            let rotate = |state: &mut State| {
                state.left.drifts -= 1;
                new_key(state);
            };
            then("the key is replaced", false, false, &rotate, self);
        }
        if self.scenario.budget.revoked && !state.revoked && state.left.faults > 0 {
            then(
                "the key is revoked",
                false,
                true,
                &|state| state.revoked = true,
                self,
            );
        }
        for user in 0..MANY {
            if state.repairs[user] >= FIGHT {
                then(
                    "the fight's pause ends",
                    true,
                    false,
                    &|state| state.repairs[user] = 0,
                    self,
                );
            }
        }
        let any_verdict = |object: &Object| !matches!(object.memory.refusal, 0 | EXPIRED);
        if self.scenario.budget.hours
            && state.left.faults > 0
            && state.objects.iter().any(any_verdict)
        {
            then("an hour passes", false, true, &an_hour_passes, self);
        }
    }
}

fn an_hour_passes(state: &mut State) {
    for object in &mut state.objects {
        let ObjectStates { refusal, .. } = &mut object.memory;
        *refusal = if *refusal == 0 { 0 } else { EXPIRED };
        object.ghost.refused = false;
        object.ghost.missed = 0;
    }
}

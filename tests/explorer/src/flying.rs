//! A PATCH on its way: it arrives or not, is answered or not, and what the waiting pass learns.

use fireworks_api::error::Kind;
use fireworks_core::user::desired;
use fireworks_core::user::plan::Finding;

use crate::belief::Event;
use crate::oracle;
use crate::pass::{FIGHT, Pass, kind_of, number, recall};
use crate::state::{Flight, Refusal, Stage, State};
use crate::step::label;
use crate::value::{Body, Life, Part, Remote};
use crate::world::{Label, Next, World};

impl World<'_> {
    pub(crate) fn of_flight(&mut self, state: &State, at: usize, out: &mut Vec<Next>) {
        let Some(flight) = state.flights[at] else {
            return;
        };
        let budget = self.scenario.budget;
        let faulty = state.left.faults > 0;
        if flight.stage == Stage::Sent {
            self.arrive(state, at, flight, out);
            if faulty && budget.throttled {
                for refusal in [Refusal::Throttled, Refusal::Aborted] {
                    let mut next = *state;
                    next.left.faults -= 1;
                    next.flights[at] = Some(Flight {
                        stage: Stage::Refused(refusal),
                        ..flight
                    });
                    self.push(out, next, label("429 or 409 for object", at), false, None);
                }
            }
        } else {
            self.answer(
                *state,
                at,
                flight,
                label("the PATCH is answered, of object", at),
                true,
                out,
            );
        }
        let applied = matches!(flight.stage, Stage::Applied(_));
        if faulty && budget.doubled && applied {
            let mut next = *state;
            next.left.faults -= 1;
            Self::haunt(&mut next, self.user_of(at), flight, false, true);
            let what = label("the PATCH is answered and still doubled, of object", at);
            self.answer(next, at, flight, what, false, out);
        }
        if faulty && budget.lost && (applied || flight.stage == Stage::Sent) {
            let mut next = *state;
            next.left.faults -= 1;
            next.flights[at] = None;
            self.abandon(&mut next, at, flight, false);
            let user = number(self.user_of(at));
            self.tell(&mut next, Event::Lost(user, flight.body, flight.sent));
            let pass = resumed(
                at,
                &flight,
                label("the PATCH is lost, of object", at),
                false,
            );
            self.retry(next, &pass, &Finding::Unconfirmed, out);
        }
    }

    /// The gateway gets the PATCH.
    fn arrive(&mut self, state: &State, at: usize, flight: Flight, out: &mut Vec<Next>) {
        let user = self.user_of(at);
        let mut next = *state;
        let custom = flight.body.role == Part::Custom;
        let mut broken = None;
        let fate = if state.revoked || (self.scenario.budget.revoked && flight.key < state.key) {
            Stage::Refused(Refusal::Key)
        } else if state.remote[user].life == Life::Absent {
            Stage::Refused(Refusal::NotFound)
        } else if custom && self.scenario.weak_key && flight.key == 1 {
            Stage::Refused(Refusal::Denied)
        } else if custom && self.scenario.refuses_custom {
            Stage::Refused(Refusal::Invalid)
        } else {
            let after = self.after(state.remote[user], flight.body);
            broken = oracle::effect(self, state, user, after);
            self.change(&mut next, user, after, true);
            Stage::Applied(after)
        };
        next.flights[at] = Some(Flight {
            stage: fate,
            ..flight
        });
        self.push(
            out,
            next,
            label("the PATCH arrives, of object", at),
            true,
            broken,
        );
    }

    pub(crate) fn after(&self, remote: Remote, body: Body) -> Remote {
        remote.after(body, self.scenario.slow, self.scenario.stubborn)
    }

    /// The operator gets the answer, and its pass goes on.
    fn answer(
        &mut self,
        mut state: State,
        at: usize,
        flight: Flight,
        what: Label,
        free: bool,
        out: &mut Vec<Next>,
    ) {
        state.flights[at] = None;
        let pass = resumed(at, &flight, what, free);
        let user = number(self.user_of(at));
        let Flight { body, sent, .. } = flight;
        match flight.stage {
            Stage::Sent => {}
            Stage::Applied(after) => {
                self.tell(&mut state, Event::Answered(user, body, sent, after));
                self.learn(&mut state, &pass, &flight, after);
                self.go_on(state, pass, out);
            }
            Stage::Refused(refusal) => {
                let not_found = refusal == Refusal::NotFound;
                self.tell(&mut state, Event::Refused(user, body, sent, not_found));
                match refusal {
                    Refusal::NotFound => self.missing(state, pass, out),
                    Refusal::Key | Refusal::Throttled => {
                        state.paused |= refusal == Refusal::Throttled;
                        state.counts |= refusal == Refusal::Key && flight.key == state.key;
                        self.go_on(state, pass, out);
                    }
                    Refusal::Aborted => {
                        let finding = Finding::Failed(self.failure(Kind::Transient));
                        self.retry(state, &pass, &finding, out);
                    }
                    Refusal::Invalid | Refusal::Denied => {
                        let kind = kind_of(refusal == Refusal::Invalid);
                        let finding = Finding::Refused(self.failure(kind));
                        recall(&mut state, &pass);
                        self.sentence(&mut state, &pass, &finding, flight.key);
                        let seen = self.believer.known(state.beliefs, user).seen;
                        let known = seen.is_some_and(|seen| {
                            let remote = state.remote[usize::from(user)];
                            Remote {
                                version: 0,
                                ..remote
                            } == seen
                        });
                        let object = &mut state.objects[at];
                        object.ghost.refused |= object.store.generation == pass.generation
                            && flight.key == state.key
                            && known;
                        self.report(state, &pass, &finding, true, out);
                    }
                }
            }
        }
    }

    /// The PATCH was applied.
    fn learn(&mut self, state: &mut State, pass: &Pass, flight: &Flight, after: Remote) {
        let user = self.user_of(pass.object);
        if flight.repairs {
            state.repairs[user] = (state.repairs[user] + 1).min(FIGHT);
        }
        for zombie in state.zombies[user].iter_mut().flatten() {
            zombie.excused |= zombie.orphan || zombie.body == flight.body;
        }
        recall(state, pass);
        let answer = after.answer(user, self.scenario.timed);
        let matches = desired::diff(self.desired(pass.spec, user), &answer).is_empty();
        let seen = self.believer.known(state.beliefs, number(user)).seen;
        let is_newest = seen
            == Some(Remote {
                version: 0,
                ..after
            });
        let differs = !matches && after.life != Life::Updating && is_newest;
        let truly = after.matches(self.spec(pass.spec));
        let object = &mut state.objects[pass.object];
        object.possibly_in_flight = false;
        let memory = &mut object.memory;
        (memory.holds_back, memory.failed) = (false, false);
        memory.tries += u8::from(differs);
        if matches {
            memory.matched = pass.generation;
        }
        if object.store.generation == pass.generation {
            object.ghost.answer_applied = truly && state.remote[user] == after;
            let unmoved = state.remote[user] == after;
            let differs = !truly && after.life != Life::Updating;
            object.ghost.missed += u8::from(differs && unmoved && is_newest);
        }
    }
}

/// The pass that waited for that PATCH.
fn resumed(object: usize, flight: &Flight, label: Label, free: bool) -> Pass {
    Pass {
        object,
        spec: flight.spec,
        generation: flight.generation,
        status: flight.status,
        current: flight.current,
        based: flight.based,
        label,
        free,
    }
}

//! A PATCH on its way: it arrives or not, is answered or not, and what the waiting pass learns.

use crate::oracle;
use crate::reconcile::{FIGHT, Reconciliation, number};
use crate::state::{Barred, Flight, Refusal, STANDS, Stage, State};
use crate::step::label;
use crate::turns::{Happened, Turn};
use crate::value::{Body, Part, Phase, Remote};
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
            Self::may_arrive_late(&mut next, self.user_of(at), flight, false, true);
            let what = label("the PATCH is answered and still doubled, of object", at);
            self.answer(next, at, flight, what, false, out);
        }
        if faulty && budget.lost && (applied || flight.stage == Stage::Sent) {
            let mut next = *state;
            next.left.faults -= 1;
            self.abandon(&mut next, at, flight, false);
            let what = label("the PATCH is lost, of object", at);
            let pass = resumed(at, &flight, what, false);
            let turn = Turn::Go(flight.machine, Happened::Lost(flight.key));
            self.go_on(next, &pass, turn, None, out);
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
        } else if state.suspended {
            Stage::Refused(Refusal::Suspended)
        } else if state.remote[user].phase == Phase::Absent {
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

    /// The operator gets the answer, and its reconciliation goes on.
    fn answer(
        &mut self,
        mut state: State,
        at: usize,
        flight: Flight,
        what: Label,
        free: bool,
        out: &mut Vec<Next>,
    ) {
        let pass = resumed(at, &flight, what, free);
        let happened = match flight.stage {
            Stage::Sent => return,
            Stage::Applied(after) => Happened::Applied(after, flight.key),
            Stage::Refused(refusal) => Happened::Refused(refusal, flight.key),
        };
        let done = self.turn(&mut state, at, Turn::Go(flight.machine, happened));
        let user = number(self.user_of(at));
        let seen = self.operator.known(state.account, user).seen;
        // Any other response shows that the key is accepted.
        let is_answered = !matches!(
            flight.stage,
            Stage::Refused(
                Refusal::Key | Refusal::Throttled | Refusal::Aborted | Refusal::Suspended
            )
        );
        state.counts &= !(is_answered && flight.key == state.key);
        match flight.stage {
            Stage::Sent | Stage::Refused(Refusal::NotFound | Refusal::Aborted) => {}
            Stage::Applied(after) => {
                state.barred = Barred::No;
                self.learn(&mut state, &pass, &flight, after, seen);
            }
            Stage::Refused(Refusal::Suspended) => state.barred = Barred::Changes,
            Stage::Refused(Refusal::Throttled) => state.paused = true,
            Stage::Refused(Refusal::Key) => state.counts |= flight.key == state.key,
            Stage::Refused(refusal @ (Refusal::Invalid | Refusal::Denied)) => {
                let known = seen.is_some_and(|seen| is_now(seen, state.remote[usize::from(user)]));
                let object = &mut state.objects[at];
                let here = object.store.generation == pass.generation;
                if here && flight.key == state.key && known {
                    // One object tries again what is denied to the key after ten minutes, which are two ticks.
                    let is_denied = refusal == Refusal::Denied;
                    object.expected.refused = if is_denied { 2 } else { STANDS };
                }
            }
        }
        self.carry_out(state, &pass, done, None, out);
    }

    /// The PATCH was applied.
    fn learn(
        &self,
        state: &mut State,
        pass: &Reconciliation,
        flight: &Flight,
        after: Remote,
        seen: Option<Remote>,
    ) {
        let user = self.user_of(pass.object);
        if flight.repairs && self.scenario.repaired > 0 {
            state.repairs[user] = (state.repairs[user] + 1).min(FIGHT);
        }
        for late in state.late_changes[user].iter_mut().flatten() {
            late.excused |= late.orphan || late.body == flight.body;
        }
        let is_newest = seen.is_some_and(|seen| is_now(seen, after));
        let truly = after.matches(self.spec(pass.spec));
        let unmoved = state.remote[user] == after;
        let object = &mut state.objects[pass.object];
        if object.store.generation == pass.generation {
            object.expected.answer_applied = truly && unmoved;
            let differs = !truly && after.phase != Phase::Updating;
            object.expected.missed += u8::from(differs && unmoved && is_newest);
        }
    }
}

/// Whether that is what is seen.
fn is_now(seen: Remote, remote: Remote) -> bool {
    let version = 0;
    seen == Remote { version, ..remote }
}

/// The reconciliation that waited for that PATCH.
fn resumed(object: usize, flight: &Flight, label: Label, free: bool) -> Reconciliation {
    Reconciliation {
        object,
        spec: flight.spec,
        generation: flight.generation,
        label,
        free,
    }
}

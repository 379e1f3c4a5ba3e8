//! One reconciliation of an object: the production machine decides, and the world answers each of its effects, in all the ways
//! that it may.

use fireworks_core::user::plan::Cause;

use crate::oracle;
use crate::state::{Flight, Stage, Stamp, State};
use crate::turns::{Effect, Happened, Turn};
use crate::value::Part;
use crate::world::{Label, Next, World};

/// Repairs of one user within an hour that make a fight.
pub(crate) const FIGHT: u8 = 5;

/// A reconciliation under way.
#[derive(Clone, Copy)]
pub(crate) struct Reconciliation {
    pub(crate) object: usize,
    pub(crate) spec: u8,
    pub(crate) generation: u8,
    pub(crate) label: Label,
    pub(crate) free: bool,
}

impl World<'_> {
    /// A reconciliation begins.
    pub(crate) fn begin(&mut self, mut state: State, object: usize, out: &mut Vec<Next>) {
        let one = &mut state.objects[object];
        (one.due, one.timer) = (false, 0);
        let pass = Reconciliation {
            object,
            spec: one.store.spec,
            generation: one.store.generation,
            label: Label {
                what: "a pass over object",
                at: number(object),
            },
            free: true,
        };
        self.go_on(state, &pass, Turn::Begin, None, out);
    }

    /// The reconciliation goes on until it waits for the gateway, or ends.
    pub(crate) fn go_on(
        &mut self,
        mut state: State,
        pass: &Reconciliation,
        turn: Turn,
        broken: Option<String>,
        out: &mut Vec<Next>,
    ) {
        let (effect, sent) = self.turn(&mut state, pass.object, turn);
        self.carry_out(state, pass, (effect, sent), broken, out);
    }

    /// The world answers an effect.
    pub(crate) fn carry_out(
        &mut self,
        mut state: State,
        pass: &Reconciliation,
        (effect, sent): (Effect, Stamp),
        broken: Option<String>,
        out: &mut Vec<Next>,
    ) {
        match effect {
            Effect::Read(machine) => self.read_again(state, pass, machine, broken, out),
            Effect::Update(machine, body, cause) => {
                let departed = oracle::departure(self, &state, pass, body, cause);
                let broken = broken.or(departed);
                state.may_probe = false;
                state.flights[pass.object] = Some(Flight {
                    spec: pass.spec,
                    generation: pass.generation,
                    machine,
                    body,
                    repairs: cause == Cause::Drift,
                    sent,
                    key: state.key,
                    stage: Stage::Sent,
                });
                self.push(out, state, pass.label, pass.free, broken);
            }
            Effect::Write(machine, over, status) => {
                let is_current = state.objects[pass.object].server == over;
                if is_current {
                    self.write(state, pass, machine, status, broken, out);
                } else {
                    let turn = Turn::Go(machine, Happened::Superseded);
                    self.go_on(state, pass, turn, broken, out);
                }
            }
            Effect::Finish(timer) => {
                state.objects[pass.object].timer = timer;
                self.push(out, state, pass.label, pass.free, broken);
            }
            Effect::Kept(_) | Effect::Nothing => {}
        }
    }

    /// The re-read of the object, which may fail.
    fn read_again(
        &mut self,
        mut state: State,
        pass: &Reconciliation,
        machine: u32,
        broken: Option<String>,
        out: &mut Vec<Next>,
    ) {
        let at = pass.object;
        if self.scenario.budget.kube && state.left.faults > 0 {
            let mut failed = state;
            failed.left.faults -= 1;
            let pass = pass.failing("the re-read fails, of object");
            let turn = Turn::Go(machine, Happened::Unread);
            self.go_on(failed, &pass, turn, broken.clone(), out);
        }
        let server = state.objects[at].server;
        let is_same = server.generation == pass.generation && !server.deleting;
        let happened = if is_same {
            Happened::ReadSame
        } else {
            if state.objects[at].store != server {
                self.deliver(&mut state, at);
            }
            Happened::ReadNewer
        };
        self.go_on(state, pass, Turn::Go(machine, happened), broken, out);
    }

    /// The API server has the version that the write is based on; the write may still fail.
    fn write(
        &mut self,
        mut state: State,
        pass: &Reconciliation,
        machine: u32,
        status: u16,
        broken: Option<String>,
        out: &mut Vec<Next>,
    ) {
        let at = pass.object;
        let written = oracle::write(self, &state, pass, status);
        let identity = state.objects[at].identity;
        state.objects[at].identity = oracle::identity::after(self, &state, pass, status);
        if self.scenario.budget.kube && state.left.faults > 0 {
            let mut failed = state;
            failed.left.faults -= 1;
            let turn = Turn::Go(machine, Happened::NotWritten);
            let failing = pass.failing("a status write fails, of object");
            failed.objects[at].identity = identity;
            self.go_on(failed, &failing, turn, broken.clone(), out);
            failed.objects[at].identity = state.objects[at].identity;
            let object = &mut failed.objects[at];
            self.operator.status_written(object, at, status);
            let failing = pass.failing("a status write is not answered, of object");
            let broken = broken.clone().or(written.clone());
            self.go_on(failed, &failing, turn, broken, out);
        }
        let demotes = self.demotes(&state, pass);
        let user = number(self.user_of(at));
        // Whether a user is to be set back is known once it has been seen.
        let is_seen = self.operator.known(state.account, user).seen.is_some();
        let object = &mut state.objects[at];
        self.operator.status_written(object, at, status);
        let reason = self.operator.reported(status);
        let is_held = state.paused || state.counts;
        object.expected.repairs = match reason.reason.as_deref() {
            Some("InSync" | "Contested") => true,
            // A demotion may wait for a list, which counts as nothing.
            Some("Throttled" | "Unauthenticated") => {
                object.expected.repairs && is_held && is_seen && !demotes
            }
            _ => false,
        };
        let turn = Turn::Go(machine, Happened::Written(object.server));
        self.go_on(state, pass, turn, broken.or(written), out);
    }

    /// Whether the user was last seen an admin that is to be none.
    fn demotes(&mut self, state: &State, pass: &Reconciliation) -> bool {
        let user = number(self.user_of(pass.object));
        let seen = self.operator.known(state.account, user).seen;
        let is_admin = seen.is_some_and(|seen| seen.role == Part::Admin);
        is_admin && self.spec(pass.spec).role != Part::Admin
    }

    /// Adds a state that may come next.
    pub(crate) fn push(
        &self,
        out: &mut Vec<Next>,
        mut state: State,
        label: Label,
        free: bool,
        broken: Option<String>,
    ) {
        self.witness(&mut state);
        out.push(Next {
            state,
            label,
            free,
            broken,
        });
    }
}

impl Reconciliation {
    /// The same, where that goes wrong.
    fn failing(&self, what: &'static str) -> Self {
        Self {
            label: Label {
                what,
                at: number(self.object),
            },
            free: false,
            ..*self
        }
    }
}

/// A small number.
pub(crate) fn number(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

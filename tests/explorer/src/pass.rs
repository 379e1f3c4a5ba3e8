//! One pass over an object. What is decided and said is production code: the facts, the plan, the
//! body, the status. What carries it out in the operator waits and calls (`reconcile/pass.rs`), so
//! that is modelled here step by step: where to look again, what is remembered, what a step leads to.

use fireworks_api::error::Kind;
use fireworks_core::account::denials::Denial;
use fireworks_core::account::{Mask, OtherAdmins, Sighting};
use fireworks_core::claims::Ownership;
use fireworks_core::time::Moment;
use fireworks_core::user::facts::{self, Gathered, Observed};
use fireworks_core::user::hour::Hour;
use fireworks_core::user::plan::{self, Cause, Finding, Plan, Read, ReadReason, Update};
use fireworks_core::user::state::{ObjectState, Refusal, RepairHold};
use fireworks_core::user::status;
use fireworks_crd::conditions::Reason;
use fireworks_crd::rules::{Rule, kept};
use jiff::Timestamp;

use crate::belief::{Event, SETTLE, STAMP_NOW, age};
use crate::oracle;
use crate::state::{Flight, ObjectStates, Stage, State};
use crate::telling::Telling;
use crate::value::Body;
use crate::world::{Label, Next, World};

/// Repairs of one user within an hour that make a fight. In life they are 5.
pub(crate) const FIGHT: u8 = 2;
/// A verdict whose hour is over.
pub(crate) const EXPIRED: u16 = u16::MAX;

/// A pass under way.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    pub(crate) object: usize,
    pub(crate) spec: u8,
    pub(crate) generation: u8,
    pub(crate) status: u16,
    pub(crate) current: bool,
    pub(crate) based: bool,
    pub(crate) label: Label,
    pub(crate) free: bool,
}

/// What a step leads to.
enum Step {
    Tell(Finding, bool),
    Rest(bool),
}

impl World<'_> {
    /// A pass begins.
    pub(crate) fn begin(&mut self, mut state: State, object: usize, out: &mut Vec<Next>) {
        let one = &mut state.objects[object];
        (one.due, one.timer) = (false, false);
        let label = Label {
            what: "a pass over object",
            at: number(object),
        };
        if one.store.deleting {
            self.push(out, state, label, true, None);
            return;
        }
        let pass = Pass {
            object,
            spec: one.store.spec,
            generation: one.store.generation,
            status: if one.written == 0 {
                one.store.status
            } else {
                one.written
            },
            current: one.current,
            based: true,
            label,
            free: true,
        };
        self.go_on(state, pass, out);
    }

    /// Observes, plans and carries out until there is something to tell or to wait for.
    pub(crate) fn go_on(&mut self, mut state: State, pass: Pass, out: &mut Vec<Next>) {
        let user = self.user_of(pass.object);
        recall(&mut state, &pass);
        let observed = self.observe(&mut state, &pass);
        if observed.ownership == Ownership::Mine {
            state.objects[pass.object].memory.contending = 0;
        }
        let planned = plan::plan(self.desired(pass.spec, user), &observed);
        let step = match planned {
            Plan::InSync => self.in_sync(&mut state, &pass, &observed),
            Plan::Hold(finding @ Finding::TakingOver(_)) => {
                self.wait_for_claim(&mut state, &pass, finding, &observed)
            }
            Plan::Hold(finding) => self.hold(&mut state, &pass, finding, &observed),
            Plan::Read(read) => self.ask(&mut state, &pass, read, &observed),
            Plan::List => {
                self.tell(&mut state, Event::WantList(number(user)));
                match observed.failure.clone() {
                    Some(failure) => Step::Tell(Finding::Failed(failure), false),
                    None => throttled(&mut state, &pass, &observed),
                }
            }
            Plan::ListFrom(at) => self.list_from(&mut state, &pass, at, &observed),
            Plan::AwaitOther(_) => throttled(&mut state, &pass, &observed),
            Plan::Update(update) => {
                let Some(step) = self.prepare(&mut state, &pass, &observed, out) else {
                    let broken = self.depart(&mut state, &pass, &update);
                    return self.push(out, state, pass.label, pass.free, broken);
                };
                step
            }
        };
        match step {
            Step::Rest(timer) => {
                state.objects[pass.object].timer = timer;
                self.push(out, state, pass.label, pass.free, None);
            }
            Step::Tell(finding, timer) => {
                self.report(state, &pass, &finding, timer, out);
            }
        }
    }

    fn observe(&mut self, state: &mut State, pass: &Pass) -> Observed {
        let user = self.user_of(pass.object);
        let shared = self.believer.shared();
        let known = self.believer.known(state.beliefs, number(user));
        let demotes = facts::may_demote(self.desired(pass.spec, user), &known.view.sighting);
        let other_admins = if demotes {
            let settled_from = shared.at(state.started) + SETTLE;
            let micros = shared.micros(settled_from);
            self.believer.other_admins(state, number(user), micros)
        } else {
            OtherAdmins::NotListed
        };
        let said = self.teller.said(pass.status);
        let object = state.objects[pass.object];
        let object_state = self.object_state(object.memory);
        let started = shared.at(state.started);
        let observed = facts::facts(Gathered {
            view: known.view.clone(),
            status: &said.status,
            generation: i64::from(pass.generation),
            object_state: &object_state,
            has_matched: object.memory.matched == pass.generation,
            is_suspended: false,
            settled_from: object.possibly_in_flight.then_some(started + SETTLE),
            ownership: self.ownership(state, pass.object).clone(),
            may_take_over_now: object.memory.contending < 3,
            other_account: self.teller.shared().is_foreign(&said.status),
            running_for: shared.now() - started,
            contested: (state.repairs[user] >= FIGHT).then(|| RepairHold {
                repairs: state.repairs[user].into(),
                until: shared.now(),
                next_repair: Timestamp::UNIX_EPOCH,
            }),
            other_admins,
            mask: Mask::Trusted,
            denial: Denial {
                // Where an hour has passed, the object probes.
                stands: object.memory.refusal != EXPIRED,
                since: None,
            },
            key_version: u64::from(state.key),
            time: Timestamp::UNIX_EPOCH,
        });
        state.objects[pass.object].possibly_in_flight &=
            observed.possibly_in_flight_until.is_some();
        observed
    }

    /// What is remembered, as production has it.
    fn object_state(&self, memory: ObjectStates) -> ObjectState {
        let expired = memory.refusal == EXPIRED;
        let number = if expired { 1 } else { memory.refusal };
        let mut refusal = self.teller.shared().refusal(number);
        if let Some(refusal) = &mut refusal {
            refusal.key_version = u64::from(memory.verdict_key);
            refusal.hour = if expired {
                Hour::of(Timestamp::UNIX_EPOCH, Timestamp::MIN)
            } else {
                Hour::of(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
            };
        }
        ObjectState {
            generation: i64::from(memory.generation),
            refusal,
            tries: memory.tries,
            // Not part of this model: back-off, waits, and what only reports use.
            attempt: 0,
            not_before: None,
            drifted: false,
            report_pending_at: None,
            progress: 0,
            unwritten: 0,
            unread: 0,
            contending_since: None,
            requested_at: None,
            written: None,
        }
    }

    fn calm(&self, state: &mut State, pass: &Pass, observed: &Observed) {
        self.release(state, pass, observed);
        state.objects[pass.object].memory.waiting = 0;
    }

    fn release(&self, state: &mut State, pass: &Pass, observed: &Observed) {
        let owns = observed.ownership == Ownership::Mine;
        if owns && !self.spec(pass.spec).observe {
            state.objects[pass.object].queued = false;
        }
    }

    fn in_sync(&self, state: &mut State, pass: &Pass, observed: &Observed) -> Step {
        self.calm(state, pass, observed);
        let memory = &mut state.objects[pass.object].memory;
        *memory = ObjectStates::of(pass.generation);
        memory.matched = pass.generation;
        Step::Tell(Finding::InSync, false)
    }

    fn hold(
        &mut self,
        state: &mut State,
        pass: &Pass,
        finding: Finding,
        observed: &Observed,
    ) -> Step {
        if self.is_unreported_wait(pass, &finding) {
            self.release(state, pass, observed);
            let step = wait(state, pass, finding);
            if matches!(step, Step::Tell(..)) {
                state.objects[pass.object].memory.waiting = 0;
            }
            return match step {
                Step::Tell(finding, _) => Step::Tell(finding, true),
                step @ Step::Rest(_) => step,
            };
        }
        self.calm(state, pass, observed);
        let timer = match &finding {
            Finding::StillRefused(refusal) => {
                let memory = &mut state.objects[pass.object].memory;
                memory.refusal = self.teller.shared().keep_verdict(refusal);
                memory.verdict_key = u8::try_from(refusal.key_version).unwrap_or_default();
                true
            }
            Finding::NotApplied(_) => {
                self.sentence(state, pass, &finding, state.key);
                true
            }
            Finding::Contested(_) | Finding::LastAdmin => true,
            _ => false,
        };
        Step::Tell(finding, timer)
    }

    /// Another object owns the user.
    fn wait_for_claim(
        &self,
        state: &mut State,
        pass: &Pass,
        finding: Finding,
        observed: &Observed,
    ) -> Step {
        self.release(state, pass, observed);
        let contending = &mut state.objects[pass.object].memory.contending;
        if *contending == 2 {
            Step::Tell(finding, true)
        } else {
            *contending = 1;
            Step::Rest(true)
        }
    }

    /// A guard that time or another object may lift, and status does not show it yet.
    fn is_unreported_wait(&mut self, pass: &Pass, finding: &Finding) -> bool {
        let said = self.teller.said(pass.status);
        finding.guard().is_some_and(|guard| {
            guard.reason() == Reason::Protected
                && !status::shows_hold(&said.status, i64::from(pass.generation), guard)
        })
    }

    /// A refusal is remembered.
    pub(crate) fn sentence(&mut self, state: &mut State, pass: &Pass, finding: &Finding, key: u8) {
        let user = self.user_of(pass.object);
        let known = self.believer.known(state.beliefs, number(user));
        let view = &known.view;
        let Sighting::Seen { user: about, .. } = &view.sighting else {
            return;
        };
        let (reason, message) = self.teller.shared().describe(&Telling {
            before: pass.status,
            generation: pass.generation,
            user,
            spec: self.spec(pass.spec),
            sighting: &view.sighting,
            finding,
        });
        let refusal = Refusal {
            reason,
            message,
            about: about.clone(),
            key_version: 0,
            hour: Hour::of(Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH),
        };
        let memory = &mut state.objects[pass.object].memory;
        memory.refusal = self.teller.shared().keep_verdict(&refusal);
        memory.verdict_key = key;
        memory.tries = 0;
        (memory.holds_back, memory.failed) = (false, false);
    }

    fn ask(&mut self, state: &mut State, pass: &Pass, read: Read, observed: &Observed) -> Step {
        self.release(state, pass, observed);
        let shared = self.believer.shared();
        let user = number(self.user_of(pass.object));
        let from_start = shared.micros(shared.at(state.started));
        let (class, from, at_once) = match read.reason {
            ReadReason::First | ReadReason::Refresh => {
                let is_silence = read.meanwhile == Some(Finding::Stale);
                (0, Some(from_start), !is_silence)
            }
            ReadReason::Absence => (1, Some(from_start), true),
            ReadReason::Settle(at) => (0, Some(shared.micros(at)), true),
            ReadReason::Startup(at) => (0, Some(shared.micros(at)), false),
            ReadReason::Progress | ReadReason::Canary => (0, None, false),
        };
        if let Some(from) = from {
            self.tell(state, Event::RequestedRead(user, class, from));
        }
        match read.meanwhile {
            Some(finding) if at_once => Step::Tell(finding, false),
            Some(finding) => wait(state, pass, finding),
            None if observed.ready_at_generation || observed.refused_at_generation => {
                Step::Rest(age(state.started) < 4)
            }
            None => throttled(state, pass, observed),
        }
    }

    fn list_from(
        &mut self,
        state: &mut State,
        pass: &Pass,
        at: Moment,
        observed: &Observed,
    ) -> Step {
        let is_early = self.believer.shared().now() < at;
        if !is_early {
            let user = number(self.user_of(pass.object));
            self.tell(state, Event::WantList(user));
            if let Some(failure) = observed.failure.clone() {
                return Step::Tell(Finding::Failed(failure), false);
            }
        }
        match wait(state, pass, Finding::DemotionPossiblyInFlight) {
            Step::Tell(finding, _) => Step::Tell(finding, is_early),
            step @ Step::Rest(_) => step,
        }
    }

    /// The permit, and the re-read of the object, which may fail. `None`: the change may leave. In the operator it is
    /// planned once more before; here nothing comes between.
    fn prepare(
        &mut self,
        state: &mut State,
        pass: &Pass,
        observed: &Observed,
        out: &mut Vec<Next>,
    ) -> Option<Step> {
        let at = pass.object;
        if state.objects[at].memory.holds_back {
            return Some(Step::Rest(true));
        }
        if state.paused || state.counts {
            state.objects[at].queued = true;
            return Some(if state.paused {
                throttled(state, pass, observed)
            } else {
                Step::Tell(Finding::KeyRefused, false)
            });
        }
        if !kept(Rule::ObjectsAreReadAgain) {
            return None;
        }
        if self.scenario.budget.kube && state.left.faults > 0 {
            let mut failed = *state;
            failed.left.faults -= 1;
            failed.objects[at].timer = true;
            let label = Label {
                what: "the re-read fails, of object",
                at: number(at),
            };
            self.push(out, failed, label, false, None);
        }
        let server = state.objects[at].server;
        if server.deleting {
            return Some(Step::Rest(false));
        }
        if server.generation != pass.generation {
            self.deliver(state, at);
            return Some(Step::Rest(false));
        }
        None
    }

    /// The PATCH is under way. What promise it breaks, if it does.
    fn depart(&mut self, state: &mut State, pass: &Pass, update: &Update) -> Option<String> {
        let at = pass.object;
        let user = self.user_of(at);
        let body = Body::of(&update.patch);
        let broken = oracle::departure(self, state, pass, body);
        state.objects[at].memory.waiting = 0;
        state.flights[at] = Some(Flight {
            spec: pass.spec,
            generation: pass.generation,
            status: pass.status,
            current: pass.current,
            based: pass.based,
            body,
            repairs: update.cause == Cause::Drift,
            sent: STAMP_NOW,
            key: state.key,
            stage: Stage::Sent,
        });
        self.tell(state, Event::Depart(number(user), body));
        broken
    }

    /// It failed: nothing is sent for a while.
    pub(crate) fn retry(
        &mut self,
        mut state: State,
        pass: &Pass,
        finding: &Finding,
        out: &mut Vec<Next>,
    ) {
        recall(&mut state, pass);
        let memory = &mut state.objects[pass.object].memory;
        (memory.holds_back, memory.failed) = (true, true);
        self.report(state, pass, finding, true, out);
    }

    /// The gateway knows no such user. A read is to tell; from the second time on it is told.
    pub(crate) fn missing(&mut self, mut state: State, pass: Pass, out: &mut Vec<Next>) {
        recall(&mut state, &pass);
        let memory = &mut state.objects[pass.object].memory;
        if memory.failed {
            let finding = Finding::Failed(self.failure(Kind::NotFound));
            return self.retry(state, &pass, &finding, out);
        }
        (memory.holds_back, memory.failed) = (true, true);
        self.go_on(state, pass, out);
    }

    /// Status is made to say so, by a write that may fail.
    pub(crate) fn report(
        &mut self,
        mut state: State,
        pass: &Pass,
        finding: &Finding,
        timer: bool,
        out: &mut Vec<Next>,
    ) {
        let at = pass.object;
        let known = self.believer.known(state.beliefs, number(self.user_of(at)));
        let next = self.teller.next(&Telling {
            before: pass.status,
            generation: pass.generation,
            user: self.user_of(at),
            spec: self.spec(pass.spec),
            sighting: &known.view.sighting,
            finding,
        });
        state.objects[at].timer = timer;
        if next == pass.status || !pass.current {
            return self.push(out, state, pass.label, pass.free, None);
        }
        let broken = oracle::write(self, &state, pass, next);
        if self.scenario.budget.kube && state.left.faults > 0 {
            let mut failed = state;
            failed.left.faults -= 1;
            failed.objects[at].timer = true;
            let lost = |what| Label {
                what,
                at: number(at),
            };
            let label = lost("a status write fails, of object");
            self.push(out, failed, label, false, None);
            failed.objects[at].server.status = next;
            failed.objects[at].current = false;
            let label = lost("a status write is not answered, of object");
            self.push(out, failed, label, false, broken.clone());
        }
        let object = &mut state.objects[at];
        object.server.status = next;
        object.current = pass.based;
        object.written = if pass.based { next } else { 0 };
        self.push(out, state, pass.label, pass.free, broken);
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

/// Another generation starts afresh.
pub(crate) fn recall(state: &mut State, pass: &Pass) {
    let memory = &mut state.objects[pass.object].memory;
    if memory.generation != pass.generation {
        let contending = memory.contending;
        *memory = ObjectStates::of(pass.generation);
        memory.contending = contending;
    }
}

/// A trouble that is told and still there is not talked over by a wait for the next try.
fn throttled(state: &mut State, pass: &Pass, observed: &Observed) -> Step {
    if observed.trouble_stands {
        Step::Rest(false)
    } else if state.counts {
        Step::Tell(Finding::KeyRefused, false)
    } else {
        wait(state, pass, Finding::Throttled)
    }
}

/// A wait is told once it has lasted.
fn wait(state: &mut State, pass: &Pass, finding: Finding) -> Step {
    let waiting = &mut state.objects[pass.object].memory.waiting;
    if *waiting == 2 {
        Step::Tell(finding, false)
    } else {
        *waiting = 1;
        Step::Rest(true)
    }
}

/// The kind of a failure that is told.
pub(crate) fn kind_of(invalid: bool) -> Kind {
    if invalid {
        Kind::Rejected
    } else {
        Kind::Denied
    }
}

/// A small number.
pub(crate) fn number(index: usize) -> u8 {
    u8::try_from(index).unwrap_or(u8::MAX)
}

//! Explains a decision: the facts, and what each guard finds in them. For people: no decision is made by it.

use super::{Pass, Reconcile};
use crate::rules::{Predicates, Rules};
use crate::user::desired::Desired;
use crate::user::facts::Observed;
use crate::user::guards::{Guard, GuardRule, Phase};
use crate::user::messages;
use crate::user::plan::{Finding, Plan, plan};
use crate::user::status::Seen;
use crate::world::{Now, World};
use fireworks_crd::conditions::Message;

/// What a decision is based on.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What the spec asks for.
    pub desired: Desired,
    /// The facts.
    pub observed: Observed,
    /// The guards, in the order in which they apply.
    pub guards: Vec<GuardAnswer>,
}

/// What a guard finds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GuardAnswer {
    /// The guard.
    pub guard: Guard,
    /// The phase of the plan at which it applies.
    pub phase: Phase,
    /// The decision depends on it: the plan has come to its phase, and no guard before it holds the change.
    pub is_asked: bool,
    /// Why the change is held; nothing where the guard finds no cause.
    pub holds: Option<Message>,
}

impl Reconcile {
    /// Returns the facts and the guards of the decision that the next input leads to, unless the spec cannot be followed
    /// or the account is not served. Changes neither the reconciliation nor the world.
    #[must_use]
    pub fn explain(&self, world: &World, now: Now) -> Option<Explanation> {
        let (mut machine, mut world) = (self.clone(), world.clone());
        let mut pass = machine.pass(&mut world, now)?;
        pass.state.current = pass.current();
        let desired = pass.desired_of_object().ok()?;
        pass.state.desired = Some(desired.clone().into());
        let object_state = pass.object_state();
        let observed = pass.observe(&desired, &object_state);
        let guards = pass.guard_answers(&desired, &observed);
        Some(Explanation {
            desired,
            observed,
            guards,
        })
    }
}

impl Pass<'_> {
    fn guard_answers(&self, desired: &Desired, observed: &Observed) -> Vec<GuardAnswer> {
        let rules = self.account.rules;
        let found = match plan(desired, observed, rules) {
            Plan::Hold(finding) => finding.guard(),
            _ => None,
        };
        let is_before = |rule: &GuardRule, holder: &GuardRule| {
            let order = rank(rule.phase).cmp(&rank(holder.phase));
            order.is_lt() || (order.is_eq() && rule.guard.precedes(holder.guard))
        };
        let holder = rules.guards.iter().find(|rule| Some(rule.guard) == found);
        let is_asked = |rule: &GuardRule| match holder {
            Some(holder) => holder.guard == rule.guard || is_before(rule, holder),
            None => is_reached(rule.phase, desired, observed),
        };
        let answer = |rule: &GuardRule| GuardAnswer {
            guard: rule.guard,
            phase: rule.phase,
            is_asked: is_asked(rule),
            holds: (rule.holds)(desired, observed).map(|finding| {
                let facts = self.status_facts(&finding, Seen::from(&observed.sighting));
                messages::describe(&facts).1
            }),
        };
        rules.guards.iter().map(answer).collect()
    }
}

/// A guard that always holds, in place of those of its phase.
const fn marker(phase: Phase) -> GuardRule {
    GuardRule {
        guard: Guard::Canary,
        phase,
        holds: |_, _| Some(Finding::Internal(REACHED)),
    }
}

const REACHED: &str = "reached";

const fn marked(guards: &'static [GuardRule]) -> Predicates {
    Predicates {
        guards,
        ..Predicates::PRODUCTION
    }
}

static OBJECT: Predicates = marked(&[marker(Phase::Object)]);
static USER: Predicates = marked(&[marker(Phase::User)]);
static CHANGE: Predicates = marked(&[marker(Phase::Change)]);

/// Returns whether the plan comes to the guards of that phase where those of the phases before hold nothing: a plan in
/// whose table one guard always holds there is held by it.
fn is_reached(phase: Phase, desired: &Desired, observed: &Observed) -> bool {
    let table = match phase {
        Phase::Object => &OBJECT,
        Phase::User => &USER,
        Phase::Change => &CHANGE,
    };
    plan(desired, observed, Rules(table)) == Plan::Hold(Finding::Internal(REACHED))
}

/// Returns the place of the phase in the order of the plan.
fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Object => 0,
        Phase::User => 1,
        Phase::Change => 2,
    }
}

//! What every step of the world shares: the scenario, the tables of one thread, and the few changes
//! that many steps are made of.

use std::sync::Arc;

use fireworks_api::error::Kind;
use fireworks_core::account::Failure;
use fireworks_core::claims::{Claim, Claims, Ownership};
use fireworks_core::user::desired::Desired;

use crate::belief::{Believer, Event};
use crate::scenario::Scenario;
use crate::state::{Ghost, NEVER, State};
use crate::telling::{Teller, object_key};
use crate::value::{Life, Remote, SPECS, Spec, user_id};

/// What happened, for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Label {
    pub(crate) what: &'static str,
    pub(crate) at: u8,
}

/// One state that may come next.
pub(crate) struct Next {
    pub(crate) state: State,
    pub(crate) label: Label,
    /// It happens also where nothing goes wrong any more.
    pub(crate) free: bool,
    /// The promise that this step breaks.
    pub(crate) broken: Option<String>,
}

/// A scenario with the tables of one thread.
pub(crate) struct World<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) believer: Believer<'a>,
    pub(crate) teller: Teller<'a>,
    desired: Vec<[Desired; 2]>,
    owners: [[Ownership; 2]; 4],
    failures: [Arc<Failure>; 4],
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, believer: Believer<'a>, teller: Teller<'a>) -> Self {
        let failure = |kind| {
            Arc::new(Failure {
                kind,
                message: "as the gateway said".to_owned(),
            })
        };
        Self {
            scenario,
            believer,
            teller,
            desired: scenario
                .specs
                .iter()
                .map(|spec| [spec.desired(0), spec.desired(1)])
                .collect(),
            owners: [0, 1, 2, 3].map(owners),
            failures: [
                Kind::Transient,
                Kind::Rejected,
                Kind::Denied,
                Kind::NotFound,
            ]
            .map(failure),
        }
    }

    pub(crate) fn spec(&self, spec: u8) -> Spec {
        self.scenario.specs[usize::from(spec)]
    }

    pub(crate) fn desired(&self, spec: u8, user: usize) -> &Desired {
        &self.desired[usize::from(spec)][user]
    }

    pub(crate) fn failure(&self, kind: Kind) -> Arc<Failure> {
        let found = self.failures.iter().find(|failure| failure.kind == kind);
        found.unwrap_or(&self.failures[0]).clone()
    }

    pub(crate) fn user_of(&self, object: usize) -> usize {
        self.scenario.objects[object]
    }

    pub(crate) fn objects(&self) -> std::ops::Range<usize> {
        0..self.scenario.objects.len()
    }

    /// Whether the object manages its user, as the store has it.
    fn claims(&self, state: &State, object: usize) -> bool {
        let store = state.objects[object].store;
        store.generation > 0 && !store.deleting && !self.spec(store.spec).observe
    }

    /// Who owns the object's user, by the production index.
    pub(crate) fn ownership(&self, state: &State, object: usize) -> &Ownership {
        let same = |other: usize| self.user_of(other) == self.user_of(object);
        let claims = |other: usize| {
            self.objects().contains(&other) && same(other) && self.claims(state, other)
        };
        let index = usize::from(claims(0)) | usize::from(claims(1)) << 1;
        &self.owners[index][object]
    }

    /// Whether somebody may make calls about the user.
    pub(crate) fn is_of_interest(&self, state: &State, user: usize) -> bool {
        self.objects().any(|object| {
            let store = state.objects[object].store;
            self.user_of(object) == user
                && store.generation > 0
                && !store.deleting
                && !self.spec(store.spec).suspend
        })
    }

    /// Tells the directory; whoever speaks of the users that it announces has a pass to make.
    pub(crate) fn tell(&mut self, state: &mut State, event: Event) {
        let looks = self.believer.tell(state, event);
        if looks == 0 {
            return;
        }
        for object in self.objects() {
            let store = state.objects[object].store;
            let announced = looks & 1 << self.user_of(object) != 0;
            state.objects[object].due |= announced && store.generation > 0 && !store.deleting;
        }
    }

    /// The remote user becomes that; `ours`: by a change of this process.
    pub(crate) fn change(&self, state: &mut State, user: usize, after: Remote, ours: bool) {
        let before = std::mem::replace(&mut state.remote[user], after);
        if before == after {
            return;
        }
        if self.scenario.budget.stale && before.life != Life::Absent {
            state.before[user] = Some(before);
        }
        for object in self.objects().filter(|at| self.user_of(*at) == user) {
            let ghost = &mut state.objects[object].ghost;
            ghost.answer_applied = false;
            if !ours {
                *ghost = Ghost::default();
            }
        }
    }

    /// It is not known any more whether the remote user matches.
    pub(crate) fn doubt(state: &mut State, user: usize) {
        state.matched[user] = [NEVER; SPECS];
    }

    /// What the oracles remember follows the world.
    pub(crate) fn witness(&self, state: &mut State) {
        for (remote, matched) in state.remote.iter().zip(&mut state.matched) {
            for (spec, matched) in self.scenario.specs.iter().zip(matched) {
                if remote.matches(*spec) {
                    *matched = 0;
                }
            }
        }
    }

    /// The store has that version of the object: who reads what follows.
    pub(crate) fn follow_interest(&mut self, state: &mut State, user: usize, before: bool) {
        let after = self.is_of_interest(state, user);
        if before != after {
            let number = u8::try_from(user).unwrap_or_default();
            self.tell(state, Event::Interest(number, after));
        }
    }
}

/// Who owns a user that the first (1), the second (2) or both (3) objects claim, as either sees it.
fn owners(claimants: usize) -> [Ownership; 2] {
    let mut index = Claims::default();
    for object in [0, 1] {
        let claim = Claim {
            user: user_id(0),
            created: jiff::Timestamp::from_second(i64::try_from(object).unwrap_or(0))
                .unwrap_or_default(),
            uid: format!("uid-{object}").into(),
            claims: claimants & 1 << object != 0,
            reads: true,
        };
        let _ = index.set(&object_key(object), Some(claim));
    }
    [0, 1].map(|object| index.ownership(&object_key(object), &user_id(0)))
}

//! Steps in a process that serves another account, too. Each must be what it is without the other account, and leave the other
//! as it is: what waits, is refused, paused, missing, contested or claimed there means nothing here.

use std::collections::BTreeMap;
use std::time::Duration;

use fireworks_core::account::Account;
use fireworks_core::random::Random;
use fireworks_core::user::pending_reports::PendingReports;
use fireworks_core::world::World;

use crate::account;
use crate::operator::{Done, Operator, Tables};
use crate::state::State;
use crate::turns::Step;
use crate::value::user_number;

/// Another account, and what is remembered of its object.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    tables: &'a Tables,
    content: Content,
}

/// What a process holds of it: numbers of its tables.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Content {
    account: u32,
    memory: u32,
    claims: u32,
}

impl<'a> Beside<'a> {
    pub(crate) fn of(tables: &'a Tables, state: &State) -> Self {
        let content = Content {
            account: state.account,
            memory: state.objects[0].memory,
            claims: state.claims,
        };
        Self { tables, content }
    }
}

impl Operator<'_> {
    /// Makes the step beside the other account, and compares what comes of it.
    pub(crate) fn compare(&mut self, key: Step, alone: &Done) {
        let Some(beside) = self.beside else {
            return;
        };
        let entry = (key, beside.content);
        let differs = if let Some(differs) = self.compared.get(&entry) {
            *differs
        } else {
            let object = self.watched(0, key.version);
            let mut world = self.shared().world_beside(&key, beside);
            let mut done = self.shared().act(&key, object, &mut world);
            let differs = self.shared().differs(&mut done, alone, world, beside);
            self.compared.insert(entry, differs);
            differs
        };
        self.differs = self.differs.or(differs);
    }
}

impl Tables {
    /// The world of a process that serves both accounts.
    fn world_beside(&self, key: &Step, beside: Beside<'_>) -> World {
        let Beside { tables, content } = beside;
        let own = Account::clone(&self.accounts.get(key.account));
        let other = Account::clone(&tables.accounts.get(content.account));
        let (first, second) = if self.scenario.place == 0 {
            (own, other)
        } else {
            (other, own)
        };
        let mut objects = (*self.memories.get(key.memory)).clone();
        objects.extend((*tables.memories.get(content.memory)).clone());
        let mut claims = (*self.claims.get(key.claims)).clone();
        claims.extend((*tables.claims.get(content.claims)).clone());
        World {
            account: first,
            others: BTreeMap::from([(second.id.clone(), second)]),
            claims,
            objects,
            pending: PendingReports::default(),
            random: Random::new(0),
            settings: self.settings.clone(),
            epoch: account::at(key.stamps[0]),
            may_have_former: true,
        }
    }

    /// How that world differs from one without the other account after the same step.
    fn differs(
        &self,
        done: &mut Done,
        alone: &Done,
        mut world: World,
        beside: Beside<'_>,
    ) -> Option<&'static str> {
        let Beside { tables, content } = beside;
        let signals = world.take_signals();
        let mut users = signals.requeue.iter().chain(&signals.granted);
        if users.any(|user| user.account != self.account) {
            return Some("a step requeues objects of another account");
        }
        let other = world.account_of(&tables.account);
        if other.as_deref() != Some(&*tables.accounts.get(content.account)) {
            return Some("a step changes another account");
        }
        let mut expected = (*self.memories.get(alone.memory)).clone();
        expected.extend((*tables.memories.get(content.memory)).clone());
        for memory in [&mut expected, &mut world.objects] {
            self.rest(memory, Duration::ZERO);
        }
        if world.objects != expected {
            return Some("a step changes what is remembered of an object of another account");
        }
        let mut claims = (*self.claims.get(alone.claims)).clone();
        claims.extend((*tables.claims.get(content.claims)).clone());
        for claims in [&mut claims, &mut world.claims] {
            self.rest_claims(claims, Duration::ZERO);
        }
        if world.claims != claims {
            return Some("a step changes the claims on users of another account");
        }
        let mut own = world.account_of(&self.account)?.clone();
        done.requeue = self.settle(&mut own, &mut done.stamps, 0);
        for user in signals.requeue.iter().chain(&signals.granted) {
            done.requeue |= 1 << user_number(&user.user);
        }
        done.account = self.accounts.number(own);
        (done.memory, done.claims) = (alone.memory, alone.claims);
        (done != alone).then_some("another account changes what is done")
    }
}

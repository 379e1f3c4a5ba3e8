//! The account without a server: for tests that need the gateway's rules and no HTTP. Time comes in as a value.

use std::collections::BTreeSet;

use axum::http::{Method, Uri};
use jiff::{SignedDuration, Timestamp};

use crate::account::{Account, Effects};
use crate::answer::Answer;
use crate::clock::Now;
use crate::faults::Faults;
use crate::gateway::{self, Call};
use crate::journal::{Change, Journal};
use crate::quota::Quota;
use crate::settings::Switches;
use crate::shared::World;
use crate::user::User;

/// An account that answers requests in this process.
pub struct Model {
    account_id: String,
    world: World,
}

impl Model {
    /// Returns an empty account of that id.
    #[must_use]
    pub fn new(account_id: &str, switches: Switches) -> Self {
        Self {
            account_id: account_id.to_owned(),
            world: World {
                account: Account::default(),
                faults: Faults::default(),
                journal: Journal::default(),
                switches,
                api_keys: Vec::new(),
                keys_ever: BTreeSet::new(),
                quota: Quota::default(),
            },
        }
    }

    /// Puts a user past every rule: new, or instead of the one with its id.
    pub fn put_user(&mut self, user: User, at_ms: u64) {
        self.world.account.put(user, now(at_ms));
    }

    /// Returns all users as they truly are, ordered by id.
    #[must_use]
    pub fn users(&mut self, at_ms: u64) -> Vec<User> {
        self.world.account.all(now(at_ms))
    }

    /// Answers a request with an accepted key, and returns what it changed. `uri` is a path with its query.
    #[must_use]
    pub fn answer(
        &mut self,
        method: &str,
        uri: &str,
        body: &[u8],
        at_ms: u64,
    ) -> (Answer, Vec<Change>) {
        let (Ok(method), Ok(uri)) = (method.parse::<Method>(), uri.parse::<Uri>()) else {
            return (Answer::html(400, "Bad Request"), Vec::new());
        };
        let call = Call::read(&method, &uri);
        let effects = Effects::default();
        gateway::answer(
            &mut self.world,
            &self.account_id,
            &call,
            body,
            true,
            effects,
            now(at_ms),
        )
    }
}

fn now(elapsed_ms: u64) -> Now {
    let passed = SignedDuration::from_millis(i64::try_from(elapsed_ms).unwrap_or(i64::MAX));
    Now {
        wall: Timestamp::UNIX_EPOCH
            .checked_add(passed)
            .unwrap_or(Timestamp::MAX),
        elapsed_ms,
    }
}

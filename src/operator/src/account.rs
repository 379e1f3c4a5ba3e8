//! One Fireworks account: the door through which every call goes. A call needs a permit of the
//! budget; what came back is told to the budget and folded into the directory here, and only here.

pub mod budget;
pub mod directory;
pub mod reader;
pub mod restore;

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use fireworks_api::error::{Effect, Error, Kind};
use fireworks_api::wire::{Page, PageToken, User, UserId, UserPatch};
use fireworks_client::Client;
use fireworks_core::account::denials::Denials;
use fireworks_core::account::outage::Outage;
use fireworks_core::time::Moment;
use operator_runtime::effects;
use tokio::sync::watch;

use crate::account::directory::{Directory, Listing};
use crate::clock;
use crate::locked::Locked;
use crate::metrics::Metrics;
use crate::metrics::labels::{CallOutcome, Class, Verb};
use budget::{Budget, Permit};

/// The client of one account with its budget and what is known of its users.
pub struct Account {
    client: Client,
    budget: Budget,
    directory: Directory,
    denials: Locked<Denials>,
    metrics: Metrics,
    outage: Locked<Outage>,
    /// The number of outages that have ended.
    recovered: watch::Sender<u64>,
}

/// What a call asks for.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Call {
    Patch,
    Get,
    List,
    Account,
}

impl Call {
    fn verb(self) -> Verb {
        match self {
            Self::Patch => Verb::Patch,
            Self::Get | Self::Account => Verb::Get,
            Self::List => Verb::List,
        }
    }
}

/// Why a call brought nothing.
#[derive(Debug)]
pub enum Failed {
    /// It was not sent: the server asked for a pause meanwhile.
    Withheld,
    /// It failed, or the server refused.
    Call(Error),
}

impl Account {
    /// Ties the parts together.
    #[must_use]
    pub fn new(client: Client, budget: Budget, directory: Directory, metrics: Metrics) -> Self {
        Self {
            client,
            budget,
            directory,
            denials: Locked::default(),
            metrics,
            outage: Locked::default(),
            recovered: watch::Sender::new(0),
        }
    }

    /// Returns what changes whenever an outage of Fireworks ends.
    #[must_use]
    pub fn recovered(&self) -> watch::Receiver<u64> {
        self.recovered.subscribe()
    }

    /// The budget in front of every call.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The account as last seen.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The changes that the key may not make.
    pub fn denials(&self) -> MutexGuard<'_, Denials> {
        self.denials.lock()
    }

    /// The client, for names and keys; calls go through this type.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Changes one user by a PATCH; the answer is the newest sighting of it.
    ///
    /// # Errors
    /// [`Failed`]; an error whose effect is unknown is remembered as an ambiguity of the user.
    pub async fn update(
        &self,
        permit: Permit,
        user: &UserId,
        patch: &UserPatch,
    ) -> Result<Arc<User>, Failed> {
        let now = clock::now();
        if !permit.spend(now) {
            return Err(Failed::Withheld);
        }
        let flight = self.directory.depart(user, patch, now);
        let key_version = self.key_version();
        let result = effects::around(
            effects::Effect::Patch,
            user.as_str(),
            self.client.update(user, patch),
        )
        .await;
        if let Err(error) = &result
            && self.was_withheld(error)
        {
            flight.refused(error);
            return Err(Failed::Withheld);
        }
        self.note(Call::Patch, key_version, result.as_ref().err());
        match result {
            Ok(answer) => {
                let after = flight.answered(answer, clock::now());
                self.metrics.mutations_stopped(self.directory.is_stopped());
                let released = self
                    .denials()
                    .accepted(user, key_version, now, clock::now());
                self.directory.requeue(released);
                Ok(after)
            }
            Err(error) => {
                if *error.kind() == Kind::Denied {
                    let key_version = error.key_version();
                    let named = self.denials().refused(user, key_version, now, clock::now());
                    self.directory.requeue(named);
                }
                match error.effect() {
                    Effect::None => flight.refused(&error),
                    Effect::Unknown => flight.lost(clock::now()),
                }
                Err(Failed::Call(error))
            }
        }
    }

    /// Reads one user and folds the answer in.
    pub async fn read(&self, permit: Permit, user: &UserId) {
        let sent_at = clock::now();
        if !permit.spend(sent_at) {
            return self.directory.put_back(user);
        }
        let key_version = self.key_version();
        let result =
            effects::around(effects::Effect::Get, user.as_str(), self.client.get(user)).await;
        if result.as_ref().is_err_and(|error| self.was_withheld(error)) {
            return self.directory.put_back(user);
        }
        self.note(Call::Get, key_version, result.as_ref().err());
        match result {
            Ok(seen) => self.directory.fold_user(seen, sent_at),
            // The budget pauses; the read is due as before when the pause is over.
            Err(error) if *error.kind() == Kind::Throttled => self.directory.put_back(user),
            Err(error) => self
                .directory
                .fail_user(user, &error, sent_at, clock::now()),
        }
        self.metrics.mutations_stopped(self.directory.is_stopped());
    }

    /// Reads one page of the list and folds it in.
    ///
    /// # Errors
    /// [`Failed`]; the caller ends the walk.
    pub async fn list_page(
        &self,
        permit: Permit,
        token: Option<&PageToken>,
        listing: &mut Listing,
    ) -> Result<Page, Failed> {
        let sent_at = clock::now();
        if !permit.spend(sent_at) {
            return Err(Failed::Withheld);
        }
        let key_version = self.key_version();
        let result = effects::around(effects::Effect::List, "", self.client.list(token)).await;
        if result.as_ref().is_err_and(|error| self.was_withheld(error)) {
            return Err(Failed::Withheld);
        }
        self.note(Call::List, key_version, result.as_ref().err());
        let mut page = result.map_err(Failed::Call)?;
        let users = std::mem::take(&mut page.users);
        self.directory.fold_page(listing, users, sent_at);
        self.metrics.malformed_rows(page.malformed);
        self.metrics.mutations_stopped(self.directory.is_stopped());
        Ok(page)
    }

    /// Shows how many wait for the budget, and how fast it lets them go.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate lies between 0 and the limit, which is a u32"
    )]
    pub fn show_waiting(&self) {
        self.metrics
            .budget_rate(self.budget.rate(clock::now()).round() as usize);
        for (class, waiting) in Class::ALL.iter().zip(self.budget.waiting()) {
            self.metrics.budget_waiting(*class, waiting);
        }
    }

    /// Counts a complete list that took that long.
    pub fn listed(&self, users: usize, took: Duration) {
        self.metrics.users_listed(users);
        self.metrics.sweep_finished(took);
    }

    /// Wakes the budget when the key file brings a new key. Runs for as long as the process.
    pub async fn follow_keys(&self) {
        let mut changed = self.client.keys().changed();
        while changed.changed().await.is_ok() {
            let version = *changed.borrow_and_update();
            self.budget.key_changed(version);
            self.directory.retry_now(clock::now());
        }
        std::future::pending::<()>().await;
    }

    /// Reads the account once whenever it turns out to be suspended, for what status reports of it. Runs for as long as
    /// the process.
    pub async fn follow_suspension(&self) {
        loop {
            self.budget.suspension_began().await;
            let state = loop {
                let permit = self.budget.take_for_account().await;
                if !permit.spend(clock::now()) {
                    continue;
                }
                let key_version = self.key_version();
                let result =
                    effects::around(effects::Effect::Get, "", self.client.suspend_state()).await;
                if result.as_ref().is_err_and(|error| self.was_withheld(error)) {
                    continue;
                }
                self.note(Call::Account, key_version, result.as_ref().err());
                break result.unwrap_or_else(|error| {
                    tracing::warn!(%error, "failed to read the state of the suspended account");
                    None
                });
            };
            tracing::warn!(
                suspend_state = state.as_deref(),
                "account suspended, changes wait"
            );
            self.budget.suspension_named(state);
        }
    }

    /// A pause began while the call waited for its connection: it has not left.
    fn was_withheld(&self, error: &Error) -> bool {
        error.is_unsent() && self.budget.is_paused(clock::now())
    }

    fn key_version(&self) -> u64 {
        self.client.keys().current().version
    }

    /// What the outcome of a call means for the whole account. A success speaks for the key that was
    /// there when the call left: a newer one may have been used, an older one not.
    fn note(&self, call: Call, key_version: u64, error: Option<&Error>) {
        let now = clock::now();
        self.note_outage(error, now);
        let Some(error) = error else {
            self.metrics.gateway_request(call.verb(), CallOutcome::Ok);
            self.budget.key_accepted(key_version);
            if call != Call::Account && self.budget.account_serves(call == Call::Patch) {
                tracing::info!("account no longer suspended");
                self.directory.retry_now(now);
            }
            return;
        };
        self.metrics
            .gateway_request(call.verb(), outcome(*error.kind()));
        match error.kind() {
            Kind::Throttled => self.budget.throttled(error.retry_after(), now),
            Kind::Unauthenticated => {
                let current = self.key_version();
                self.budget.key_refused(error.key_version(), current, now);
            }
            Kind::Denied | Kind::NotFound | Kind::Rejected => {
                self.budget.key_accepted(error.key_version());
            }
            Kind::AccountSuspended if call != Call::Account => {
                self.budget.account_suspended(call == Call::Patch, now);
            }
            Kind::AccountSuspended | Kind::Transient | Kind::Malformed => {}
        }
        // Whatever the answer was: a server that asks for a pause gets it.
        if error.retry_after().is_some() {
            self.budget.pause(error.retry_after(), now);
        }
    }

    /// Counts a transient failure, or ends the outage that such failures made.
    fn note_outage(&self, error: Option<&Error>, now: Moment) {
        let mut outage = self.outage.lock();
        match error.map(|error| *error.kind()) {
            Some(Kind::Transient) => outage.failed(now),
            // A page of a proxy in between is no answer of Fireworks.
            Some(Kind::Malformed) => {}
            _ if outage.answered() => {
                tracing::info!("Fireworks reachable again, retrying pending updates");
                self.recovered.send_modify(|outages| *outages += 1);
            }
            _ => {}
        }
    }
}

fn outcome(kind: Kind) -> CallOutcome {
    match kind {
        Kind::Transient => CallOutcome::Transient,
        Kind::Throttled => CallOutcome::Throttled,
        Kind::AccountSuspended => CallOutcome::AccountSuspended,
        Kind::Rejected => CallOutcome::Rejected,
        Kind::Denied => CallOutcome::Denied,
        Kind::Unauthenticated => CallOutcome::Unauthenticated,
        Kind::NotFound => CallOutcome::NotFound,
        Kind::Malformed => CallOutcome::Malformed,
    }
}

//! Carries out the requests of the account: lists, single reads, and the restoring of admins. Which of them are due, when they
//! may leave and what their answers mean is decided in `fireworks_core::account`.

mod mutations;

use std::sync::Arc;

use fireworks_api::error::{Effect, Error, Kind};
use fireworks_api::text;
use fireworks_api::wire::{AccountId, PageToken, User, UserId, UserPatch};
use fireworks_client::Client;
use fireworks_client::gate::Gate;
use fireworks_client::key::ApiKeys;
use fireworks_client::last_check::Permission;
use fireworks_core::account::Repair;
use fireworks_core::account::requests::{Request, Response, SentAt, Todo};
use fireworks_core::account::updates::{Answer, Outcome};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use operator_runtime::hooks::{self, Hooks};
use operator_runtime::lease::Leadership;

use crate::audit::Mutation;
use crate::clock;
use crate::metrics::Metrics;
use crate::metrics::labels::{CallOutcome, Verb};
use crate::shared::Shared;
use mutations::Mutations;

/// The gateway's users of the account, by calls that are counted. The only owner of the client: no request leaves without
/// its hook.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    client: Client,
    metrics: Metrics,
    hooks: Arc<dyn Hooks>,
    leadership: Leadership,
    mutations: Arc<Mutations>,
}

impl Gateway {
    /// Returns the gateway behind that client, for a process that need not ask whether it may make changes.
    #[must_use]
    pub fn new(
        shared: Arc<Shared>,
        client: Client,
        metrics: Metrics,
        hooks: Arc<dyn Hooks>,
    ) -> Self {
        Self {
            shared,
            client,
            metrics,
            hooks,
            leadership: Leadership::always(),
            mutations: Arc::default(),
        }
    }

    /// Returns the gateway of a process that makes changes only while it leads.
    #[must_use]
    pub fn led_by(self, leadership: Leadership) -> Self {
        Self { leadership, ..self }
    }

    /// Returns the account that the calls are about.
    #[must_use]
    pub fn account_id(&self) -> &AccountId {
        self.client.account()
    }

    /// Returns the number of certificate authorities read from the CA file.
    #[must_use]
    pub fn authorities(&self) -> usize {
        self.client.authorities()
    }

    /// Returns the keys that the calls are made with.
    #[must_use]
    pub fn keys(&self) -> &ApiKeys {
        self.client.keys()
    }

    /// Returns the version of the API key in use.
    #[must_use]
    pub fn key_version(&self) -> u64 {
        self.keys().current().version
    }

    /// Sends an update whose permit is spent. This is the one place that asks whether the process may make changes: where it may
    /// not, it is about to end, and the update never ends.
    pub async fn update(&self, user: &UserId, patch: &UserPatch) -> Answer {
        let key_version = self.key_version();
        let call = self.update_as_leader(user, patch);
        let request = request("updateUser", "users", user.as_str());
        let result = self.counted(Verb::Patch, request, call).await;
        Answer {
            result,
            key_version,
        }
    }

    async fn update_as_leader(&self, user: &UserId, patch: &UserPatch) -> Result<User, Error> {
        let Some(within) = self.leadership.begin() else {
            return std::future::pending().await;
        };
        let leadership = self.leadership.clone();
        let permission = Permission {
            within,
            gate: Gate::new(move || leadership.may_begin()),
        };
        let in_flight = self.mutations.begin();
        let result = self.client.update_within(user, patch, permission).await;
        if !matches!(&result, Err(error) if error.effect() == Effect::Unknown) {
            in_flight.responded();
        }
        result
    }

    /// Waits until no update is in flight.
    pub async fn until_idle(&self) {
        self.mutations.until_none_in_flight().await;
    }

    /// Returns whether an update may still take effect: one is in flight, or was not answered within the settle window.
    #[must_use]
    pub fn may_take_effect(&self) -> bool {
        let window = self.shared.read(|world| world.settings.settle_window);
        self.mutations.may_take_effect(window, clock::now())
    }

    async fn page(&self, token: Option<PageToken>) -> Response {
        let call = self.client.list(token.as_ref());
        let request = request("listUsers", "users", "");
        Response::Page(self.counted(Verb::List, request, call).await)
    }

    async fn user(&self, user: UserId) -> Response {
        let call = self.client.get(&user);
        let request = request("getUser", "users", user.as_str());
        let result = self.counted(Verb::Get, request, call).await;
        Response::User(user, result)
    }

    async fn account(&self) -> Response {
        let call = self.client.suspend_state();
        let request = request("getAccount", "accounts", "");
        Response::Account(self.counted(Verb::Get, request, call).await)
    }

    /// Makes a call, and counts it unless it has not left.
    async fn counted<T: Send>(
        &self,
        verb: Verb,
        request: hooks::Request<'_>,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let result = hooks::send(&*self.hooks, request, call).await;
        let outcome = match &result {
            Ok(_) => CallOutcome::Ok,
            Err(error) if self.was_withheld(error) => return result,
            Err(error) => outcome(*error.kind()),
        };
        self.metrics.gateway_request(verb, outcome);
        result
    }

    fn was_withheld(&self, error: &Error) -> bool {
        let now = clock::now();
        let shared = &self.shared;
        shared.read(|world| world.account.was_withheld(Some(error), now))
    }
}

/// Returns the request of that operation, as `tests/gateway/openapi.yaml` calls it.
fn request<'a>(
    operation: &'static str,
    resource: &'static str,
    name: &'a str,
) -> hooks::Request<'a> {
    hooks::Request {
        verb: operation,
        resource: resource.into(),
        name,
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

/// Sends the account's requests as they become due. Runs for as long as the process.
pub async fn run(gateway: Gateway) {
    let mut in_flight: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    let shared = Arc::clone(&gateway.shared);
    loop {
        match shared.next_request(clock::now()) {
            Todo::Send(request) => in_flight.push(carry_out(gateway.clone(), request).boxed()),
            Todo::WakeAt(at) => tokio::select! {
                // The connection of an answered request is free once its own task has run: the next request uses it.
                Some(()) = in_flight.next() => tokio::task::yield_now().await,
                () = shared.changed() => {}
                () = clock::until(at) => {}
            },
        }
    }
}

async fn carry_out(gateway: Gateway, request: Request) {
    let sent = SentAt {
        at: clock::now(),
        key_version: gateway.key_version(),
    };
    let response = match request {
        Request::Page(token) => gateway.page(token).await,
        Request::User(user) => gateway.user(user).await,
        Request::Account => gateway.account().await,
        Request::Restore(repair) => return restore(&gateway, &repair).await,
    };
    let key_version = gateway.key_version();
    gateway.shared.change(|world| {
        world.account.key_version = key_version;
        world.account.apply(response, sent, clock::now());
    });
}

/// Makes a user admin again where demotions left the account without one. No object asks for it.
async fn restore(gateway: &Gateway, repair: &Repair) {
    let user = &repair.user;
    let mutation = Mutation {
        object: None,
        cause: "repair",
        user,
        before: repair.before.as_deref(),
        patch: &repair.patch,
        attempt: repair.attempt,
    };
    let audit = mutation.begin();
    let answer = gateway.update(user, &repair.patch).await;
    let error = answer.result.as_ref().err().map(Error::to_string);
    let shared = &gateway.shared;
    let outcome = shared.change(|world| world.account.end_restore(user, answer, clock::now()));
    audit.end(outcome.as_str(), outcome.answer());
    let user = text::clean(user.as_str(), text::MESSAGE_MAX);
    match outcome {
        Outcome::Applied(_) => tracing::warn!(user, "restored a demoted admin"),
        Outcome::Again
        | Outcome::Missing(_)
        | Outcome::Refused(..)
        | Outcome::Failed(_)
        | Outcome::Unknown(_) => {
            tracing::error!(user, error, "failed to restore a demoted admin, retrying");
        }
    }
}

/// Hands on each new version of the API key. Runs for as long as the process.
pub async fn follow_keys(gateway: Gateway) {
    let mut changed = gateway.keys().changed();
    while changed.changed().await.is_ok() {
        let version = *changed.borrow_and_update();
        let shared = &gateway.shared;
        shared.change(|world| world.account.key_changed(version, clock::now()));
    }
    std::future::pending::<()>().await;
}

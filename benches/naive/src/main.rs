//! A baseline, not an operator to use: it models a **typical peer** of `fireworks-user-operator`, one that is written the
//! way most operators for a remote API are. kube-rs's `Controller` with its defaults (all objects unpruned in the cache,
//! as many passes at once as there are objects), one GET per object and poll, a PATCH where something differs, and a
//! status with the time of the poll in it, written after each poll.
//!
//! It models a careful peer: HTTP connections are kept, its own status writes do not wake it, and it has no limit of
//! requests in which an edit would wait. It knows no guards, no budget, no back-off and no absence; nobody should copy it.

// It is not part of the operator: nothing of it has crash points.
#![allow(clippy::disallowed_methods)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use fireworks_crd::{FireworksUser, FireworksUserStatus};
use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Polls each `FireworksUser` of a namespace. A baseline for measurements, nothing else.
#[derive(Parser)]
#[command(name = "naive-operator")]
struct Arguments {
    /// The namespace to watch
    #[arg(long)]
    namespace: String,
    /// Base URL of the gateway
    #[arg(long, env = "FIREWORKS_BASE_URL")]
    base_url: String,
    /// The account
    #[arg(long, env = "FIREWORKS_ACCOUNT_ID")]
    account_id: String,
    /// Seconds between two polls of an object
    #[arg(long, default_value_t = 60)]
    poll_seconds: u32,
}

/// Why a pass failed: it is repeated after a while.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("kubernetes: {0}")]
    Kube(#[from] kube::Error),
    #[error("fireworks: {0}")]
    Fireworks(#[from] reqwest::Error),
    #[error("json: {0}")]
    Json(#[from] serde_json::Error),
}

struct Context {
    kube: Client,
    http: reqwest::Client,
    users: String,
    key: String,
    poll: Duration,
}

/// The remote user, as far as it is compared.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remote {
    name: String,
    role: String,
    #[serde(default)]
    permission_preset: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    state: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("naive-operator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Error> {
    // Whether this process has a provider already is its own business: it has none.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kube = Client::try_default().await?;
    let (base, account) = (arguments.base_url, arguments.account_id);
    let context = Context {
        kube: kube.clone(),
        // The gateway is a simulator on this machine: no certificates are needed.
        http: reqwest::Client::builder().tls_certs_only([]).build()?,
        users: format!("{base}/v1/accounts/{account}/users"),
        key: std::env::var("FIREWORKS_API_KEY").unwrap_or_default(),
        poll: Duration::from_secs(arguments.poll_seconds.into()),
    };
    let objects: Api<FireworksUser> = Api::namespaced(kube, &arguments.namespace);
    Controller::new(objects, watcher::Config::default())
        .run(reconcile, on_error, Arc::new(context))
        .for_each(|_| async {})
        .await;
    Ok(())
}

async fn reconcile(object: Arc<FireworksUser>, context: Arc<Context>) -> Result<Action, Error> {
    if let Some(left) = until_due(&object, context.poll, Timestamp::now()) {
        return Ok(Action::requeue(left));
    }
    let id = object
        .spec
        .user_id
        .clone()
        .unwrap_or_else(|| object.name_any());
    let url = format!("{}/{id}", context.users);
    let answer = context.http.get(&url).bearer_auth(&context.key).send();
    let mut remote: Remote = answer.await?.error_for_status()?.json().await?;
    let changes = changes(&object, &remote)?;
    if !changes.is_empty() {
        let request = context.http.patch(&url).bearer_auth(&context.key);
        remote = request
            .json(&changes)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
    }
    tell(&object, &remote, &context).await?;
    Ok(Action::requeue(context.poll))
}

fn on_error(_: Arc<FireworksUser>, error: &Error, _: Arc<Context>) -> Action {
    eprintln!("{error}");
    Action::requeue(Duration::from_secs(5))
}

/// How long until the next poll, where this generation was polled already.
fn until_due(object: &FireworksUser, poll: Duration, now: Timestamp) -> Option<Duration> {
    let status = object.status.as_ref()?;
    if status.observed_generation != object.metadata.generation {
        return None;
    }
    let polled = status.conditions.first()?.last_transition_time.0;
    let age = Duration::try_from(now.duration_since(polled).max(SignedDuration::ZERO)).ok()?;
    let left = poll.checked_sub(age)?;
    (!left.is_zero()).then_some(left)
}

/// The body of the PATCH: the role, and what differs.
fn changes(object: &FireworksUser, remote: &Remote) -> Result<Map<String, Value>, Error> {
    let mut changes = Map::new();
    let role = serde_json::to_value(object.spec.role)?;
    if role != remote.role.as_str() {
        changes.insert("role".to_owned(), role.clone());
    }
    let texts = [
        (
            "permissionPreset",
            &object.spec.permission_preset,
            &remote.permission_preset,
        ),
        (
            "displayName",
            &object.spec.display_name,
            &remote.display_name,
        ),
    ];
    for (field, wanted, found) in texts {
        if let Some(wanted) = wanted
            && wanted != found
        {
            changes.insert(field.to_owned(), json!(wanted));
        }
    }
    if !changes.is_empty() {
        changes.insert("role".to_owned(), role);
    }
    Ok(changes)
}

/// Status with the time of this poll, whatever it says.
async fn tell(object: &FireworksUser, remote: &Remote, context: &Context) -> Result<(), Error> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<FireworksUser> = Api::namespaced(context.kube.clone(), &namespace);
    let status = FireworksUserStatus {
        observed_generation: object.metadata.generation,
        name: Some(remote.name.clone()),
        state: remote.state.clone(),
        role: Some(remote.role.clone()),
        conditions: vec![Condition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: "Synced".to_owned(),
            message: "polled".to_owned(),
            last_transition_time: Time(Timestamp::now()),
            observed_generation: object.metadata.generation,
        }],
        ..FireworksUserStatus::default()
    };
    let patch = Patch::Merge(json!({ "status": status }));
    api.patch_status(&object.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

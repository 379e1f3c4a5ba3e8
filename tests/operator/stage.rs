//! The stage of one test: a namespace of the shared control plane, a gateway simulator of its own, and
//! the operator as a process under the shipped RBAC. What a test does with them and asks of them is here;
//! what must hold is in the tests.

mod objects;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Settings, Simulator, User, Verb};
use futures::{StreamExt, stream};
use rig::control_plane::OPERATOR_USER;
use rig::{AuditLog, ControlPlane, Mark, OperatorOptions, Requests, Rest, RigError, until};
use serde_json::Value;
use tokio::runtime::Builder;

use crate::oracles::Rule;
use crate::oracles::recorder::Recorder;
use crate::witness::{Running, Witness};

pub use objects::{condition, manifest, manifests, object_path, objects_path, ready};

/// What most waits are bounded by: far above what anything takes, so that only a fault meets it.
pub const LONG: Duration = Duration::from_mins(1);

/// One test's world. When it ends, the rules of `oracles` are looked at.
pub struct Stage {
    pub plane: &'static ControlPlane,
    pub gateway: Arc<Simulator>,
    pub namespace: String,
    // Looks at the rules when dropped.
    pub witness: Arc<Witness>,
}

/// How the operator is started; the defaults suit most tests.
pub struct Start {
    pub sweep: &'static str,
    pub settle: &'static str,
    pub args: Vec<String>,
    pub env: Vec<(String, String)>,
    /// A key file instead of the key in the environment.
    pub key_file: Option<PathBuf>,
    /// Another namespace than the test's.
    pub namespace: Option<String>,
    /// Another way to the API server than the straight one: a fault proxy's.
    pub kubeconfig: Option<PathBuf>,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            sweep: "1s",
            settle: "1s",
            args: Vec::new(),
            env: Vec::new(),
            key_file: None,
            kubeconfig: None,
            namespace: None,
        }
    }
}

impl Stage {
    /// A namespace of its own and an empty account.
    pub async fn set(prefix: &str) -> Self {
        Self::set_with(prefix, Settings::default()).await
    }

    /// The same with another simulator.
    pub async fn set_with(prefix: &str, settings: Settings) -> Self {
        let plane = tokio::task::spawn_blocking(ControlPlane::shared)
            .await
            .expect("the control plane's thread")
            .expect("a control plane");
        let namespace = plane.create_namespace(prefix).await.expect("a namespace");
        let gateway = Simulator::start(settings).expect("a simulator");
        let gateway = Arc::new(gateway);
        let witness = Witness::new(Recorder::shared(plane), gateway.clone(), &namespace);
        Self {
            plane,
            gateway,
            namespace,
            witness,
        }
    }

    /// This test breaks a rule on purpose, for that reason.
    pub fn expects(&self, rule: Rule, reason: &'static str) {
        self.witness.expects(rule, reason);
    }

    /// An operator for this namespace alone, with a short sweep.
    pub async fn operator(&self) -> Running {
        self.operator_with(Start::default()).await
    }

    pub async fn operator_with(&self, start: Start) -> Running {
        let written = start.key_file.as_ref().map(std::fs::read_to_string);
        if let Some(Ok(key)) = written {
            self.witness.secret(&key);
        }
        let options = self.options(start);
        let started = Running::spawn(&self.witness, &options).await;
        started.expect("an operator that listens")
    }

    /// The command line and environment of such an operator.
    pub fn options(&self, start: Start) -> OperatorOptions {
        let straight = self.plane.operator_kubeconfig();
        let straight = straight.expect("the operator's own token");
        let kubeconfig = start.kubeconfig.as_deref().unwrap_or(straight);
        let mut options = OperatorOptions::new(env!("CARGO_BIN_EXE_operator-under-test"))
            .kubeconfig(kubeconfig)
            .args([
                "--namespace",
                start.namespace.as_ref().unwrap_or(&self.namespace),
            ])
            .args(["--sweep-interval", start.sweep])
            .args(["--settle-window", start.settle])
            .args(start.args);
        options = match start.key_file {
            None => options.gateway(
                &self.gateway.base_url(),
                self.gateway.account_id(),
                &self.gateway.api_key(),
            ),
            Some(file) => options
                .args(["--api-key-file".to_owned(), file.display().to_string()])
                .env("FIREWORKS_BASE_URL", self.gateway.base_url())
                .env("FIREWORKS_ACCOUNT_ID", self.gateway.account_id()),
        };
        for (name, value) in start.env {
            options = options.env(&name, value);
        }
        options
    }

    /// Puts a user into the account, with an e-mail address that must not be shown.
    pub fn user(&self, id: &str, role: &str) {
        let user = User::new(id, role).email(format!("{id}.mail@people.example"));
        self.gateway.put_user(user);
    }

    /// Applies one object of that name with that spec (YAML or JSON flow, such as `{role: user}`).
    pub async fn apply(&self, name: &str, spec: &str) {
        let path = object_path(&self.namespace, name);
        let rest = self.rest();
        let applying = rest.apply_yaml(&path, "kubectl", manifest(name, spec));
        let (status, answer) = applying.await.expect("an answer");
        assert!(matches!(status, 200 | 201), "{answer}");
    }

    /// Applies it with `kubectl`.
    pub async fn try_apply(&self, name: &str, spec: &str) -> Result<String, rig::KubectlError> {
        self.plane
            .apply_yaml(&self.namespace, &manifest(name, spec))
            .await
    }

    /// Runs `kubectl` in this namespace with all rights; what it printed.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String, rig::KubectlError> {
        let args = [&["-n", &self.namespace], args].concat();
        self.plane.kubectl(&args).await
    }

    /// Applies many manifests at once.
    pub async fn apply_all(&self, yaml: &str) {
        let applied = self.plane.apply_yaml(&self.namespace, yaml).await;
        applied.expect("accepted manifests");
    }

    /// Creates objects of these names, all with the same spec, faster than `kubectl` allows.
    pub async fn create_all(&self, names: &[String], spec: &Value) {
        let objects = names.iter().map(|name| (name.clone(), spec.clone()));
        self.create_each(objects).await;
    }

    /// The same, each with a spec of its own.
    pub async fn create_each(&self, objects: impl IntoIterator<Item = (String, Value)>) {
        let (rest, path) = (self.rest(), self.objects_path());
        let creating = stream::iter(objects).for_each_concurrent(8, async |(name, spec)| {
            let object = serde_json::json!({
                "apiVersion": "iam.fireworks.ai/v1alpha1",
                "kind": "FireworksUser",
                "metadata": {"name": name},
                "spec": spec,
            });
            let sent = rest.send("POST", &path, Some(&object)).await;
            let (status, answer) = sent.expect("an answer");
            assert_eq!(status, 201, "{answer}");
        });
        creating.await;
    }

    /// The way to the API server for what is asked often: `kubectl` takes a tenth of a second of a core each time.
    pub fn rest(&self) -> Rest {
        self.plane.rest().expect("a way to the API server")
    }

    /// Where the objects of this namespace are at the API server.
    pub fn objects_path(&self) -> String {
        objects_path(&self.namespace)
    }

    /// The objects of this namespace.
    pub async fn objects(&self) -> Result<Vec<Value>, RigError> {
        let list = self.rest().get(&self.objects_path()).await?;
        Ok(list["items"].as_array().cloned().unwrap_or_default())
    }

    /// Waits until every object of the namespace is in sync at its own generation.
    pub async fn until_all_ready(&self) {
        until(LONG, "everything to be Ready", async || {
            let objects = self.objects().await.map_err(|error| error.to_string())?;
            let waiting = |object: &&Value| {
                let now = &object["metadata"]["generation"];
                let ready = ready(object);
                ready["status"] != "True" || ready["observedGeneration"] != *now
            };
            let names = objects.iter().filter(waiting);
            let names: Vec<_> = names.map(|one| &one["metadata"]["name"]).collect();
            match (names.is_empty(), objects.is_empty()) {
                (true, false) => Ok(()),
                _ => Err(format!("not Ready, of {}: {names:?}", objects.len())),
            }
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"));
    }

    /// Deletes one object and waits until it is gone.
    pub async fn delete(&self, name: &str) {
        let (rest, path) = (self.rest(), object_path(&self.namespace, name));
        let deleted = rest.send("DELETE", &path, None).await;
        let (status, answer) = deleted.expect("an answer");
        assert_eq!(status, 200, "{answer}");
        // Of one that a finalizer keeps the object itself is returned.
        let uid = [&answer["details"]["uid"], &answer["metadata"]["uid"]];
        until(LONG, "the object to be gone", async || {
            let (status, object) = rest.send("GET", &path, None).await.expect("an answer");
            // Or another one was created meanwhile.
            if status == 404 || (status == 200 && !uid.contains(&&object["metadata"]["uid"])) {
                return Ok(());
            }
            Err(object["metadata"].to_string())
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"));
    }

    /// The object as the API server has it.
    pub async fn object(&self, name: &str) -> Value {
        self.find(name).await.expect("an object")
    }

    /// The same, where it may not be there.
    pub async fn find(&self, name: &str) -> Result<Value, RigError> {
        self.rest().get(&object_path(&self.namespace, name)).await
    }

    /// Waits until the object, observed at its own generation, satisfies `holds`.
    pub async fn until_object(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        until(LONG, what, async || {
            let object = self.find(name).await.map_err(|error| error.to_string())?;
            let observed = &object["status"]["observedGeneration"];
            if *observed == object["metadata"]["generation"] && holds(&object) {
                Ok(object)
            } else {
                Err(object["status"].to_string())
            }
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"))
    }

    /// Waits until `Ready` of the object gives that reason at its own generation.
    pub async fn until_reason(&self, name: &str, reason: &str) -> Value {
        let what = format!("{name} to be {reason}");
        self.until_object(name, &what, |object| ready(object)["reason"] == reason)
            .await
    }

    /// Waits until the object is in sync at its own generation.
    pub async fn until_ready(&self, name: &str) -> Value {
        let object = self.until_reason(name, "InSync").await;
        assert_eq!(ready(&object)["status"], "True");
        object
    }

    /// Waits until the journal satisfies `holds`.
    pub async fn until_journal(&self, what: &str, holds: impl FnMut(&[Entry]) -> bool) {
        let held = self.gateway.journal_until(LONG, holds).await;
        assert!(
            held,
            "waited for {what}; journal: {:#?}",
            brief(&self.gateway.journal())
        );
    }

    /// Waits until `count` whole lists were begun after now, which fit on one page each.
    pub async fn until_sweeps(&self, count: usize) {
        let since = self.gateway.last_seq();
        let what = format!("{count} sweeps");
        self.until_journal(&what, |entries| {
            let done = |entry: &&Entry| {
                entry.seq > since && entry.verb == Verb::List && entry.status == Some(200)
            };
            entries.iter().filter(done).count() >= count
        })
        .await;
    }

    /// The calls that reached the gateway after that one.
    pub fn calls_since(&self, seq: u64) -> Vec<Entry> {
        self.gateway.journal_since(seq)
    }

    /// The `PATCHes` for that user that reached the gateway after that call.
    pub fn patches_since(&self, seq: u64, user: &str) -> Vec<Entry> {
        let mut patches = self.patches(user);
        patches.retain(|entry| entry.seq > seq);
        patches
    }

    /// The `PATCHes` that reached the gateway for that user.
    pub fn patches(&self, user: &str) -> Vec<Entry> {
        let of_user =
            |entry: &Entry| entry.verb == Verb::Patch && entry.user.as_deref() == Some(user);
        self.gateway.journal().into_iter().filter(of_user).collect()
    }

    /// Every PATCH that reached the gateway.
    pub fn all_patches(&self) -> Vec<Entry> {
        let journal = self.gateway.journal().into_iter();
        journal.filter(|entry| entry.verb == Verb::Patch).collect()
    }

    /// A place in the audit log to count from.
    pub fn mark(&self) -> Mark {
        self.plane.audit_mark().expect("the audit log")
    }

    /// The operator's status writes in this namespace since then.
    pub fn status_writes(&self, since: Mark) -> Vec<rig::Request> {
        let these = Requests::any()
            .by(OPERATOR_USER)
            .verb("patch")
            .of("fireworksusers/status")
            .namespace(&self.namespace);
        self.audit(since).matching(&these).cloned().collect()
    }

    /// The reasons that status writes gave for `Ready` of that object since then, in order.
    pub fn reasons_written(&self, since: Mark, name: &str) -> Vec<String> {
        let writes = self.status_writes(since).into_iter();
        let reason = |write: rig::Request| {
            let printed = write.body?;
            ready(&printed)["reason"].as_str().map(str::to_owned)
        };
        writes
            .filter(|write| write.name == name)
            .filter_map(reason)
            .collect()
    }

    /// The operator's writes of every kind in this namespace since then, Events included.
    pub fn writes(&self, since: Mark) -> Vec<rig::Request> {
        let these = Requests::any()
            .by(OPERATOR_USER)
            .writes()
            .namespace(&self.namespace);
        self.audit(since).matching(&these).cloned().collect()
    }

    /// The API server shows a write a moment before it is in the audit log: whatever one request more
    /// comes after is there.
    fn audit(&self, since: Mark) -> AuditLog {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        let ask = || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let later = self.rest();
            runtime.expect("a runtime").block_on(later.get(&path))
        };
        // On a thread of its own: this one may have a runtime.
        let later = std::thread::scope(|scope| scope.spawn(ask).join());
        later.expect("an answer").expect("a namespace");
        self.plane.audit_since(since).expect("the audit log")
    }

    /// The reasons of the Events about that object, sorted.
    pub async fn event_reasons(&self, name: &str) -> Vec<String> {
        let events = self.events(name).await;
        let reason = |event: &Value| event["reason"].as_str().unwrap_or_default().to_owned();
        let mut reasons: Vec<_> = events.iter().map(reason).collect();
        reasons.sort();
        reasons
    }

    /// Waits for an Event of that reason about that object: Events come a moment after the status.
    pub async fn until_event(&self, name: &str, reason: &str) {
        let what = format!("an Event {reason} about {name}");
        let seen = until(LONG, &what, async || {
            let reasons = self.event_reasons(name).await;
            if reasons.iter().any(|one| one == reason) {
                Ok(())
            } else {
                Err(format!("{reasons:?}"))
            }
        });
        seen.await.unwrap_or_else(|timeout| panic!("{timeout}"));
    }

    /// Asks for one read of the object's user now: a new value of the annotation.
    pub async fn force_read(&self, name: &str, value: &str) {
        let annotations = serde_json::json!({"iam.fireworks.ai/reconcile-requested-at": value});
        let patch = serde_json::json!({"metadata": {"annotations": annotations}});
        self.merge(name, &patch).await;
    }

    /// Changes the object by a JSON merge patch.
    pub async fn merge(&self, name: &str, patch: &Value) {
        self.merge_at(&object_path(&self.namespace, name), patch)
            .await;
    }

    /// Changes the status by a JSON merge patch, as a user with all rights may.
    pub async fn merge_status(&self, name: &str, status: &Value) {
        let patch = serde_json::json!({ "status": status });
        let at = format!("{}/status", object_path(&self.namespace, name));
        let version = self.merge_at(&at, &patch).await;
        self.witness.wrote_status(&version);
    }

    /// Writes each of these statuses, as an older version of the operator may have left them.
    pub async fn write_statuses(&self, statuses: impl IntoIterator<Item = (String, Value)>) {
        let writing = stream::iter(statuses).for_each_concurrent(8, async |(name, status)| {
            self.merge_status(&name, &status).await;
        });
        writing.await;
    }

    /// The `resourceVersion` that came of it.
    async fn merge_at(&self, at: &str, patch: &Value) -> String {
        let sent = self.rest().send("PATCH", at, Some(patch)).await;
        let (status, answer) = sent.expect("an answer");
        assert_eq!(status, 200, "{answer}");
        let version = answer["metadata"]["resourceVersion"].as_str();
        version.unwrap_or_default().to_owned()
    }

    /// The Events about that object.
    pub async fn events(&self, name: &str) -> Vec<Value> {
        let namespace = &self.namespace;
        let path = format!(
            "/apis/events.k8s.io/v1/namespaces/{namespace}/events?fieldSelector=regarding.name%3D{name}"
        );
        let list = self.rest().get(&path).await.expect("Events");
        list["items"].as_array().cloned().unwrap_or_default()
    }
}

/// What matters of a journal when a test fails.
pub fn brief(entries: &[Entry]) -> Vec<String> {
    let line = |entry: &Entry| {
        let body = entry
            .body
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!(
            "#{} {}ms {} {} {body} -> {:?}",
            entry.seq, entry.received_ms, entry.method, entry.path, entry.status
        )
    };
    entries.iter().map(line).collect()
}

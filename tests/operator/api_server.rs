//! A Kubernetes API that is not always as it should be: it goes away and comes back, or does not know the
//! kind yet. Each test has a control plane of its own, which the others could not bear to share.

use std::path::Path;
use std::sync::Arc;

use fireworks_gateway_simulator::{Entry, Settings, Simulator, User, Verb};
use rig::control_plane::OPERATOR_USER;
use rig::{
    ControlPlane, KubeFault, KubeProxy, OperatorOptions, OperatorProcess, Options, Requests, until,
};
use serde_json::Value;

use crate::churn::held;
use crate::kube_faults::{watches, whole_lists};
use crate::lifecycle::{crd_file, lax, replace_crd, until_reason};
use crate::oracles::recorder::Recorder;
use crate::stage::{LONG, manifest, object_path, ready};
use crate::witness::{Running, Witness};

/// Waits until an object of that namespace is Ready at its own generation.
pub async fn until_ready_in(plane: &ControlPlane, namespace: &str, name: &str) -> Value {
    let what = format!("{namespace}/{name} to be Ready");
    let waited = until(LONG, &what, async || {
        let rest = plane.rest().map_err(|error| error.to_string())?;
        let object = rest.get(&object_path(namespace, name)).await;
        let object = object.map_err(|error| error.to_string())?;
        let observed = &object["status"]["observedGeneration"];
        if *observed == object["metadata"]["generation"] && ready(&object)["status"] == "True" {
            Ok(object)
        } else {
            Err(object["status"].to_string())
        }
    });
    waited.await.unwrap_or_else(|timeout| panic!("{timeout}"))
}

/// A control plane of one's own, for what a shared one must not suffer.
struct Alone {
    // Before the plane, which it asks a last time when it is dropped.
    witness: Arc<Witness>,
    plane: ControlPlane,
    gateway: Arc<Simulator>,
}

impl Alone {
    async fn start() -> Self {
        let plane = tokio::task::spawn_blocking(|| ControlPlane::start(&Options::default()));
        let gateway = Simulator::start(Settings::default()).unwrap();
        gateway.put_user(User::new("alice", "user"));
        let (plane, gateway) = (plane.await.unwrap().unwrap(), Arc::new(gateway));
        let recorder = Arc::new(Recorder::of(&plane));
        Self {
            witness: Witness::new(recorder, gateway.clone(), "default"),
            plane,
            gateway,
        }
    }

    async fn operator(&self) -> Running {
        self.operator_by(self.plane.operator_kubeconfig().unwrap())
            .await
    }

    async fn operator_by(&self, kubeconfig: &Path) -> Running {
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_operator-under-test"))
            .kubeconfig(kubeconfig)
            .gateway(
                &self.gateway.base_url(),
                self.gateway.account_id(),
                &self.gateway.api_key(),
            )
            .args(["--sweep-interval", "1s", "--settle-window", "1s"]);
        Running::spawn(&self.witness, &options).await.unwrap()
    }

    async fn apply(&self, role: &str) {
        self.apply_to("alice", role).await;
    }

    async fn apply_to(&self, name: &str, role: &str) {
        let text = manifest(name, &format!("{{role: {role}}}"));
        self.plane.apply_yaml("default", &text).await.unwrap();
    }

    /// How often a change of that user was asked for.
    fn patches(&self, name: &str) -> usize {
        let of_user = |one: &&Entry| one.verb == Verb::Patch && one.user.as_deref() == Some(name);
        self.gateway.journal().iter().filter(of_user).count()
    }

    async fn until_role(&self, role: &str) {
        until_ready_in(&self.plane, "default", "alice").await;
        assert_eq!(self.gateway.user("alice").unwrap().role, role);
    }
}

/// The code that the path answers with, once it is that one.
async fn until_probe(operator: &OperatorProcess, path: &str, code: u16) {
    let what = format!("{path} to answer {code}");
    let waited = until(LONG, &what, async || match operator.admin_get(path).await {
        Ok((answered, _)) if answered == code => Ok(()),
        other => Err(format!("{other:?}")),
    });
    waited.await.unwrap();
}

#[tokio::test]
async fn an_api_server_that_went_away_and_came_back_is_followed_again() {
    let alone = Alone::start().await;
    alone.apply("contributor").await;
    let operator = alone.operator().await;
    alone.until_role("contributor").await;
    until_probe(&operator, "/readyz", 200).await;
    alone.plane.stop_api_server().unwrap();
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
    assert_eq!(operator.admin_get("/readyz").await.unwrap().0, 200);
    alone.plane.start_api_server().await.unwrap();
    alone.apply("inference-user").await;
    alone.until_role("inference-user").await;
    assert!(operator.is_running().unwrap());
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

/// The spec that the operator knows may be old: an admin made in the console is left alone until the object can be read.
#[tokio::test]
async fn no_user_is_changed_while_the_api_server_is_away() {
    let alone = Alone::start().await;
    alone.gateway.put_user(User::new("root", "admin"));
    alone.apply("contributor").await;
    let operator = alone.operator().await;
    alone.until_role("contributor").await;
    let changed = alone.patches("alice");
    alone.plane.stop_api_server().unwrap();
    let made_admin = |user: &mut User| "admin".clone_into(&mut user.role);
    assert!(alone.gateway.edit_user("alice", made_admin));
    let since = alone.gateway.last_seq();
    let swept = alone.gateway.journal_until(LONG, |entries| {
        let lists = entries
            .iter()
            .filter(|one| one.seq > since && one.verb == Verb::List);
        lists.count() >= 4
    });
    assert!(swept.await);
    assert_eq!(alone.patches("alice"), changed);
    let (_, metrics) = operator.admin_get("/metrics").await.unwrap();
    let age = metrics.lines().find_map(|line| {
        let value = line.strip_prefix("fireworks_user_operator_watch_age_seconds ")?;
        value.parse::<u64>().ok()
    });
    assert!(age.is_some_and(|age| age > 0), "{age:?}");
    alone.plane.start_api_server().await.unwrap();
    let repaired = alone.gateway.journal_until(LONG, |entries| {
        let of_alice =
            |one: &&Entry| one.verb == Verb::Patch && one.user.as_deref() == Some("alice");
        entries.iter().filter(of_alice).count() > changed
    });
    assert!(repaired.await);
    alone.until_role("contributor").await;
}

#[tokio::test]
async fn a_missing_kind_is_awaited_and_logged_once() {
    let alone = Alone::start().await;
    let crd =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("crds/fireworksusers.yaml");
    let crd = crd.to_str().unwrap();
    let gone = ["delete", "-f", crd, "--timeout=30s"];
    alone.plane.kubectl(&gone).await.unwrap();
    let operator = alone.operator().await;
    let complaints = || {
        let logs = operator.logs();
        let reported = logs.lines();
        let reported = reported.filter(|line| line.contains(r#""level":"WARN""#));
        reported.map(str::to_owned).collect::<Vec<_>>()
    };
    let lists = Requests::any()
        .by(OPERATOR_USER)
        .verb("watch")
        .of("fireworksusers");
    until(LONG, "several tries", async || {
        let tries = alone.plane.audit().unwrap().count(&lists);
        if tries >= 3 { Ok(()) } else { Err(tries) }
    })
    .await
    .unwrap();
    assert_eq!(operator.admin_get("/readyz").await.unwrap().0, 503);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
    assert_eq!(complaints().len(), 1, "{:#?}", complaints());
    assert!(alone.gateway.journal().is_empty());

    alone.plane.kubectl(&["apply", "-f", crd]).await.unwrap();
    let established = [
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "-f",
        crd,
    ];
    alone.plane.kubectl(&established).await.unwrap();
    until(LONG, "the kind to be served", async || {
        let text = manifest("alice", "{role: contributor}");
        alone.plane.apply_yaml("default", &text).await
    })
    .await
    .unwrap();
    alone.until_role("contributor").await;
    until_probe(&operator, "/readyz", 200).await;
    assert_eq!(complaints().len(), 1, "{:#?}", complaints());
}

/// The watch is torn off and cannot be taken up before etcd has forgotten all that happened meanwhile.
#[tokio::test]
async fn changes_missed_without_a_watch_are_found_by_a_new_list() {
    let alone = Alone::start().await;
    for name in ["bob", "carl", "dora", "eve"] {
        alone.gateway.put_user(User::new(name, "user"));
    }
    for name in ["alice", "bob", "dora"] {
        alone.apply_to(name, "contributor").await;
    }
    let proxy = KubeProxy::start(&alone.plane).unwrap();
    let operator = alone.operator_by(&proxy.kubeconfig()).await;
    for name in ["alice", "bob", "dora"] {
        until_ready_in(&alone.plane, "default", name).await;
    }
    let listed = proxy.seen(&whole_lists());
    let torn = proxy.fault_once(watches(), KubeFault::Cut);
    let blind = proxy.fault(watches(), KubeFault::DropBefore);
    torn.until_met(LONG, 1).await.unwrap();
    blind.until_met(LONG, 1).await.unwrap();

    // One is as before, one is changed, one is new, one is gone, and one cannot be understood.
    alone.apply_to("alice", "user").await;
    alone.apply_to("alice", "contributor").await;
    alone.apply_to("bob", "inference-user").await;
    alone.apply_to("carl", "contributor").await;
    let gone = ["delete", "fireworksuser", "dora", "--timeout=30s"];
    alone.plane.kubectl(&gone).await.unwrap();
    let strict = std::fs::read_to_string(crd_file()).unwrap();
    replace_crd(&alone.plane, &lax(&strict)).await;
    until(LONG, "the laxer schema to be in force", async || {
        let text = manifest("eve", "{role: emperor}");
        alone.plane.apply_yaml("default", &text).await
    })
    .await
    .unwrap();
    replace_crd(&alone.plane, &strict).await;
    alone.plane.compact().await.unwrap();
    alone.plane.stop_api_server().unwrap();
    alone.plane.start_api_server().await.unwrap();
    blind.heal();

    for name in ["bob", "carl", "alice"] {
        until_ready_in(&alone.plane, "default", name).await;
    }
    until_reason(&alone.plane, "eve", "InvalidSpec").await;
    assert!(proxy.seen(&whole_lists()) > listed);
    let taken = |user: &mut User| "user".clone_into(&mut user.role);
    for name in ["dora", "alice"] {
        assert!(alone.gateway.edit_user(name, taken));
    }
    // Who is still declared is kept so, and who is not is left alone.
    let repaired = alone
        .gateway
        .journal_until(LONG, |_| alone.patches("alice") == 2);
    assert!(repaired.await);
    let counts = ["alice", "bob", "carl", "dora", "eve"].map(|name| alone.patches(name));
    assert_eq!(counts, [2, 2, 1, 1, 0]);
    // Nor is anything remembered of who is gone.
    let (_, metrics) = operator.admin_get("/metrics").await.unwrap();
    for what in ["claim", "object"] {
        assert_eq!(held(&metrics, what), Some(4), "{what} in\n{metrics}");
    }
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

//! A Kubernetes API that is not always as it should be: it goes away and comes back, or does not know the
//! kind yet. Each test has a control plane of its own, which the others could not bear to share.

use std::path::Path;

use fireworks_gateway_simulator::{Settings, Simulator, User, Verb};
use rig::control_plane::OPERATOR_USER;
use rig::{ControlPlane, OperatorOptions, OperatorProcess, Options, Requests, until};
use serde_json::Value;

use crate::stage::{LONG, manifest, ready};

/// Waits until an object of that namespace is Ready at its own generation.
pub async fn until_ready_in(plane: &ControlPlane, namespace: &str, name: &str) -> Value {
    let what = format!("{namespace}/{name} to be Ready");
    let waited = until(LONG, &what, async || {
        let object = plane
            .get_json(&["fireworksuser", name, "-n", namespace])
            .await
            .map_err(|error| error.to_string())?;
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
    plane: ControlPlane,
    gateway: Simulator,
}

impl Alone {
    async fn start() -> Self {
        let plane = tokio::task::spawn_blocking(|| ControlPlane::start(&Options::default()));
        let gateway = Simulator::start(Settings::default()).unwrap();
        gateway.put_user(User::new("alice", "user"));
        Self {
            plane: plane.await.unwrap().unwrap(),
            gateway,
        }
    }

    async fn operator(&self) -> OperatorProcess {
        let options = OperatorOptions::new(env!("CARGO_BIN_EXE_fireworks-user-operator"))
            .kubeconfig(self.plane.operator_kubeconfig().unwrap())
            .gateway(
                &self.gateway.base_url(),
                self.gateway.account_id(),
                &self.gateway.api_key(),
            )
            .args(["--sweep-interval", "1s", "--settle-window", "1s"]);
        OperatorProcess::spawn(&options).await.unwrap()
    }

    async fn apply(&self, role: &str) {
        let text = manifest("alice", &format!("{{role: {role}}}"));
        self.plane.apply_yaml("default", &text).await.unwrap();
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
    // The account is kept as declared meanwhile.
    let edited = |user: &mut User| "user".clone_into(&mut user.role);
    assert!(alone.gateway.edit_user("alice", edited));
    let repaired = alone
        .gateway
        .journal_until(LONG, |entries| {
            let changes = entries.iter().filter(|entry| entry.verb == Verb::Patch);
            changes.filter(|entry| entry.status == Some(200)).count() == 2
        })
        .await;
    assert!(repaired);
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
    assert_eq!(operator.admin_get("/readyz").await.unwrap().0, 200);
    alone.plane.start_api_server().await.unwrap();
    alone.apply("inference-user").await;
    alone.until_role("inference-user").await;
    assert!(operator.is_running().unwrap());
    assert_eq!(operator.admin_get("/livez").await.unwrap().0, 200);
}

#[tokio::test]
async fn a_kind_that_is_not_there_yet_is_waited_for_and_told_once() {
    let alone = Alone::start().await;
    let crd = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds/fireworksusers.yaml");
    let crd = crd.to_str().unwrap();
    let gone = ["delete", "-f", crd, "--timeout=30s"];
    alone.plane.kubectl(&gone).await.unwrap();
    let operator = alone.operator().await;
    let complaints = || {
        let logs = operator.logs();
        let told = logs.lines();
        let told = told.filter(|line| line.contains(r#""level":"WARN""#));
        told.map(str::to_owned).collect::<Vec<_>>()
    };
    let lists = Requests::any()
        .by(OPERATOR_USER)
        .verb("list")
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

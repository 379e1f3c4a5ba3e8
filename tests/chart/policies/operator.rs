//! The operator itself under all policies, with the rights that `deploy/` ships.

use fireworks_gateway_simulator::{Settings, Simulator, User};
use rig::control_plane::OPERATOR_USER;
use rig::{OperatorOptions, OperatorProcess, Requests, until};
use serde_json::Value;

use super::plane::Plane;
use crate::admission::PATIENCE;

const NAMESPACE: &str = "listed-operator";

#[tokio::test]
async fn operator_reconciles_under_all_policies() {
    let plane = Plane::shared().await;
    let gateway = Simulator::start(Settings::default()).unwrap();
    for (id, role) in [
        ("root", "admin"),
        ("ada", "user"),
        ("cus", "user"),
        ("sus", "admin"),
        ("eve", "admin"),
        ("ulf", "contributor"),
        ("ann", "contributor"),
    ] {
        gateway.put_user(User::new(id, role));
    }
    let mark = plane.plane.audit_mark().unwrap();
    let options = OperatorOptions::new(env!("CARGO_BIN_EXE_fireworks-user-operator"))
        .kubeconfig(plane.plane.operator_kubeconfig().unwrap())
        .gateway(
            &gateway.base_url(),
            gateway.account_id(),
            &gateway.api_key(),
        )
        .args(["--namespace", NAMESPACE, "--grant-namespace", NAMESPACE])
        .args(["--sweep-interval", "1s", "--settle-window", "1s"]);
    let operator = OperatorProcess::spawn(&options).await.unwrap();
    let expected = [
        ("ada", "admin"),
        ("ann", "user"),
        ("cus", "custom"),
        ("eve", "admin"),
        ("ulf", "user"),
    ];
    until(PATIENCE, "users as declared", async || {
        let list = plane.plane.get_json(&["fwuser", "-n", NAMESPACE]).await;
        let list = list.map_err(|error| error.to_string())?;
        let is_in_sync = |object: &&Value| object["status"]["conditions"][0]["reason"] == "InSync";
        let items = list["items"].as_array().unwrap().iter();
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        let in_sync: Vec<String> = items.filter(is_in_sync).map(name).collect();
        let is_done = in_sync == expected.map(|(name, _)| name);
        is_done.then_some(()).ok_or(format!("{in_sync:?}"))
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}: {}", operator.logs()));
    for (id, role) in expected {
        assert_eq!(gateway.user(id).unwrap().role, role, "{id}");
    }
    let audit = plane.plane.audit_since(mark).unwrap();
    let its_own = Requests::any().by(OPERATOR_USER).namespace(NAMESPACE);
    let refused = audit.matching(&its_own).find(|one| one.code == 403);
    assert_eq!(refused, None);
    assert!(audit.count(&its_own.writes()) >= expected.len());
}

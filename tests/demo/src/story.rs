//! The story: what a platform team does and what becomes of it, step by step, each checked through the Kubernetes API
//! and through what the gateway was asked. How a step is shown is `scene`'s.

use serde_json::json;

use crate::failure::Failure;
use crate::scene::{Scene, condition};
use crate::screen::Screen;
use crate::world::World;

const READY_MESSAGE: &str =
    r#"-o jsonpath='{.status.conditions[?(@.type=="Ready")].message}{"\n"}'"#;

/// Shows the steps. The first expectation that fails ends it.
pub(crate) async fn run_scenes(screen: &Screen, world: &World) -> Result<(), Failure> {
    let open = |number, headline| Scene::open(screen, world, number, headline);

    let scene = open(1, "The users of the account are imported, and none changes").await?;
    adopt(&scene).await?;
    scene.close().await?;

    let scene = open(2, "A manifest is applied and the account converges").await?;
    converge(&scene).await?;
    scene.close().await?;

    let scene = open(3, "An out-of-band change of a role is reverted").await?;
    undo_drift(&scene).await?;
    scene.close().await?;

    let scene = open(4, "An invalid manifest is rejected with a reason").await?;
    refuse(&scene).await?;
    scene.close().await?;

    let scene = open(5, "A custom role with a permission preset").await?;
    customise(&scene).await?;
    scene.close().await?;

    let scene = open(6, "Observe: drift is reported and no change is sent").await?;
    observe(&scene).await?;
    scene.close().await?;

    let scene = open(7, "A user that does not exist yet").await?;
    appear(&scene).await?;
    scene.close().await?;

    let scene = open(8, "The last admin is protected").await?;
    protect(&scene).await?;
    scene.close().await
}

fn apply(name: &str, spec: &str) -> String {
    format!(
        "kubectl apply -f - <<'EOF'\n\
         apiVersion: iam.fireworks.ai/v1alpha1\n\
         kind: FireworksUser\n\
         metadata: {{name: {name}}}\n\
         spec: {spec}\n\
         EOF"
    )
}

async fn adopt(scene: &Scene<'_>) -> Result<(), Failure> {
    scene.shows_account().await?;
    scene
        .types("kubectl fireworks import --output users")
        .await?;
    // It exits with 1 if one user would be changed.
    scene.types("kubectl fireworks plan -f users -R").await?;
    scene.types("cat users/users/bob.yaml").await?;
    scene.types("kubectl apply -k users").await?;
    for name in ["ada", "alice", "bob", "dave"] {
        scene.until(name, "True", "InSync").await?;
    }
    scene.until_swept().await?;
    scene.check_no_change().await
}

async fn converge(scene: &Scene<'_>) -> Result<(), Failure> {
    scene.types(&apply("bob", "{role: user}")).await?;
    scene
        .types("kubectl wait --for=condition=Ready fwuser/bob --timeout=30s")
        .await?;
    scene.types("kubectl get fwusers").await?;
    scene.until("bob", "True", "InSync").await?;
    let body = scene.only_patch("bob").await?;
    scene.check(
        "one PATCH, with the role and nothing else",
        body == json!({"role": "user"}),
        &body.to_string(),
    )?;
    scene.check_remote("bob", "user", "", "Bob Builder").await
}

async fn undo_drift(scene: &Scene<'_>) -> Result<(), Failure> {
    scene
        .edits("PATCH", "bob", &json!({"role": "admin"}))
        .await?;
    scene.until_patched("bob").await?;
    scene.until("bob", "True", "InSync").await?;
    scene.until_event("bob", "DriftCorrected").await?;
    scene.types("kubectl events --for fwuser/bob").await?;
    scene.check_remote("bob", "user", "", "Bob Builder").await
}

async fn refuse(scene: &Scene<'_>) -> Result<(), Failure> {
    let script = apply("mallory", "{role: custom}");
    let because = "permissionPreset is required when role is custom";
    scene.is_refused(&script, because).await?;
    let script = apply("mallory", "{role: superuser}");
    let because = r#"supported values: "admin", "user", "contributor", "inference-user", "custom""#;
    scene.is_refused(&script, because).await?;
    let there = scene.object("mallory").await;
    scene.check("nothing was stored", there.is_err(), &format!("{there:?}"))?;
    scene.check_no_change().await
}

async fn customise(scene: &Scene<'_>) -> Result<(), Failure> {
    let spec = "{role: custom, permissionPreset: agent, displayName: Alice L.}";
    scene.types(&apply("alice", spec)).await?;
    scene.until("alice", "True", "InSync").await?;
    scene.types("kubectl get fwusers -o wide").await?;
    let body = scene.only_patch("alice").await?;
    scene.check(
        "role, preset and display name went out in one PATCH",
        body == json!({"role": "custom", "permissionPreset": "agent", "displayName": "Alice L."}),
        &body.to_string(),
    )?;
    scene
        .check_remote("alice", "custom", "agent", "Alice L.")
        .await
}

async fn observe(scene: &Scene<'_>) -> Result<(), Failure> {
    let spec = "{role: contributor, managementPolicy: Observe}";
    scene.types(&apply("dave", spec)).await?;
    let object = scene.until("dave", "False", "Drifted").await?;
    scene.types("kubectl get fwuser dave").await?;
    let path = r#"-o jsonpath='{.status.drift}{"\n"}'"#;
    scene
        .types(&format!("kubectl get fwuser dave {path}"))
        .await?;
    let drift = &object["status"]["drift"];
    scene.check(
        "the drift names field, desired and actual value",
        *drift == json!([{"field": "role", "desired": "contributor", "actual": "user"}]),
        &drift.to_string(),
    )?;
    scene.until_swept().await?;
    scene.check_no_change().await
}

async fn appear(scene: &Scene<'_>) -> Result<(), Failure> {
    scene
        .types(&apply("carol", "{role: inference-user}"))
        .await?;
    scene.until("carol", "False", "UserNotFound").await?;
    scene
        .types(&format!("kubectl get fwuser carol {READY_MESSAGE}"))
        .await?;
    scene.check_no_change().await?;
    // Her first single sign-on gives her the account's default role.
    let user =
        json!({"displayName": "Carol Danvers", "role": "user", "email": "carol@example.com"});
    scene.edits("PUT", "carol", &user).await?;
    scene
        .types("kubectl wait --for=condition=Ready fwuser/carol --timeout=30s")
        .await?;
    scene.only_patch("carol").await?;
    let name = "Carol Danvers";
    scene
        .check_remote("carol", "inference-user", "", name)
        .await
}

async fn protect(scene: &Scene<'_>) -> Result<(), Failure> {
    scene.types(&apply("ada", "{role: user}")).await?;
    let object = scene.until("ada", "Unknown", "Protected").await?;
    scene
        .types(&format!("kubectl get fwuser ada {READY_MESSAGE}"))
        .await?;
    let reconciling = condition(&object, "Reconciling");
    let waits = "Reconciling: it waits for another admin";
    scene.check(
        waits,
        reconciling["status"] == "True",
        &reconciling.to_string(),
    )?;
    scene.until_swept().await?;
    scene
        .check_remote("ada", "admin", "", "Ada Lovelace")
        .await?;
    let patch = r#"kubectl patch fwuser ada --type=merge -p '{"spec": {"role": "admin"}}'"#;
    scene.types(patch).await?;
    scene.until("ada", "True", "InSync").await?;
    scene.types("kubectl get fwusers -o wide").await?;
    scene.check_no_change().await
}

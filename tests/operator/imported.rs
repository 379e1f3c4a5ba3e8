//! What `kubectl fireworks import` writes is accepted by the API server, and the operator changes nothing.

use kubectl_fireworks::import::{self, Selection};
use kubectl_fireworks::snapshot;
use rig::until;

use crate::planned::reader;
use crate::stage::{LONG, Stage, ready};

#[path = "../kubectl/nasty.rs"]
mod nasty;

#[tokio::test]
async fn imported_manifests_are_accepted_and_change_nothing() {
    let stage = Stage::set("imported").await;
    nasty::fill(&stage.gateway);
    let snapshot = snapshot::fetch(&mut reader(&stage), &[]).await;
    let manifests = import::manifests(&snapshot, &Selection::default());
    assert!(manifests.files.len() > 300, "{}", manifests.files.len());
    let texts: Vec<&str> = manifests.files.values().map(String::as_str).collect();
    stage.apply_all(&texts.join("---\n")).await;
    let _operator = stage.operator().await;
    until(LONG, "every object to be reported", async || {
        let every = ["fwusers", "-n", &stage.namespace];
        let list = stage.plane.get_json(&every);
        let list = list.await.map_err(|error| error.to_string())?;
        let objects = list["items"].as_array().unwrap();
        let is_quiet = |reason: &str| matches!(reason, "InSync" | "RemoteUpdating" | "RemoteError");
        let reasons = objects
            .iter()
            .map(|object| ready(object)["reason"].as_str().unwrap_or("none"));
        let others: Vec<_> = reasons.filter(|reason| !is_quiet(reason)).collect();
        let is_all = objects.len() == manifests.files.len() && others.is_empty();
        is_all
            .then_some(())
            .ok_or_else(|| format!("{} objects: {others:?}", objects.len()))
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
    assert!(stage.all_patches().is_empty());
}

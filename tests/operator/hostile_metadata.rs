//! Objects that are small but for their metadata, of which a tenant may write as much as the API server stores: one at a
//! time is in memory, and nothing of it is kept.

use std::path::PathBuf;

use fireworks_gateway_simulator::User;
use futures::stream::{self, StreamExt};
use rig::{KubeFault, KubeProxy, until};
use serde_json::{Map, Value, json};

use crate::broken_answers::peak_kib;
use crate::kube_faults::whole_lists;
use crate::stage::{LONG, Stage, Start};
use crate::witness::Running;

/// What large metadata may add to the peak of the process.
const MORE_KIB: u64 = 8 * 1024;
const OBJECTS: usize = 48;

fn name(number: usize) -> String {
    format!("user-{number:02}")
}

/// A value of our own annotation, of a foreign one, or labels: in all some 12 MB.
fn metadata(number: usize) -> Value {
    let text = "x".repeat(250_000);
    match number % 6 {
        0 | 1 => {
            json!({"annotations": {"iam.fireworks.ai/reconcile-requested-at": text}})
        }
        5 => {
            let label = |n: usize| (format!("label-{n:04}"), json!("v".repeat(63)));
            json!({"labels": (0..2_000).map(label).collect::<Map<_, _>>()})
        }
        _ => json!({"annotations": {"example.com/note": text}}),
    }
}

async fn merge_all(stage: &Stage, part: impl Fn(usize) -> Value) {
    let (rest, path) = (stage.plane.rest().unwrap(), stage.objects_path());
    stream::iter(0..OBJECTS)
        .for_each_concurrent(2, async |number| {
            let (path, part) = (format!("{path}/{}", name(number)), part(number));
            // A busy API server may not take it in time.
            let written = until(LONG, "the API server to take it", async || {
                match rest.send("PATCH", &path, Some(&part)).await {
                    Ok((200, _)) => Ok(()),
                    Ok((status, answer)) => Err(format!("{status} {}", answer["message"])),
                    Err(error) => Err(error.to_string()),
                }
            });
            written.await.unwrap_or_else(|timeout| panic!("{timeout}"));
        })
        .await;
}

/// Waits until a metric of that name and labels has at least that value.
async fn until_metric(operator: &Running, series: &str, least: usize) {
    let what = format!("{series} to be {least}");
    until(LONG * 2, &what, async || {
        let (_, text) = operator
            .admin_get("/metrics")
            .await
            .map_err(|e| e.to_string())?;
        let line = text.lines().find(|line| line.contains(series));
        let value = line.and_then(|line| line.rsplit(' ').next());
        match value.and_then(|value| value.parse::<usize>().ok()) {
            Some(value) if value >= least => Ok(()),
            _ => Err(format!("{value:?}")),
        }
    })
    .await
    .unwrap_or_else(|timeout| panic!("{timeout}"));
}

/// The peak of an operator that lists all objects, re-reads each and writes the status of each.
async fn peak(stage: &Stage, kubeconfig: Option<PathBuf>, preset: &str) -> u64 {
    let start = Start {
        args: ["--requests-per-minute", "6000"]
            .map(str::to_owned)
            .to_vec(),
        kubeconfig,
        ..Start::default()
    };
    let operator = stage.operator_with(start).await;
    until_metric(
        &operator,
        r#"objects{ready="True",reason="InSync"}"#,
        OBJECTS,
    )
    .await;
    // Of the same operator, so that statuses of its start do not count.
    let (_, text) = operator.admin_get("/metrics").await.unwrap();
    let written = r#"status_writes_total{reason="InSync"}"#;
    let line = text.lines().find(|line| line.contains(written));
    let before = line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap());
    merge_all(stage, |_| json!({"spec": {"permissionPreset": preset}})).await;
    until_metric(&operator, written, before + OBJECTS).await;
    peak_kib(&operator)
}

#[tokio::test]
async fn large_metadata_adds_little_memory() {
    let stage = Stage::set("hostile").await;
    for number in 0..OBJECTS {
        stage.gateway.put_user(User::new(name(number), "user"));
    }
    let names: Vec<_> = (0..OBJECTS).map(name).collect();
    let spec = json!({"role": "custom", "permissionPreset": "agent"});
    stage.create_all(&names, &spec).await;
    let plain = peak(&stage, None, "reader").await;
    merge_all(&stage, |number| json!({"metadata": metadata(number)})).await;
    let streamed = peak(&stage, None, "writer").await;
    // An API server that refuses to stream a list is asked for pages.
    let proxy = KubeProxy::start(stage.plane).unwrap();
    let _older = proxy.fault(whole_lists(), KubeFault::Unstreamed);
    let paged = peak(&stage, Some(proxy.kubeconfig()), "agent").await;
    let peaks = [plain, streamed, paged];
    eprintln!("peaks in KiB: {peaks:?}");
    assert!(streamed <= plain + MORE_KIB, "KiB: {peaks:?}");
    assert!(paged <= plain + MORE_KIB, "KiB: {peaks:?}");
}

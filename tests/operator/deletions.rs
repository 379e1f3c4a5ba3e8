//! Objects that are deleted or recreated: nothing of a deleted object affects its user or its successor.

use std::io::Read as _;
use std::process::Stdio;

use fireworks_gateway_simulator::{Entry, Fault, Kind, Outcome, Verb};
use rig::until;
use serde_json::{Value, json};

use crate::stage::{LONG, Stage, ready};

#[tokio::test]
async fn a_deleted_object_is_gone_at_once_and_its_user_is_left_alone() {
    let stage = Stage::set("deleted").await;
    stage.user("alice", "user");
    stage.user("bob", "user");
    stage.gateway.seed(450);
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: contributor}").await;
    stage.apply("bob", "{role: user}").await;
    let object = stage.until_ready("alice").await;
    stage.until_ready("bob").await;
    assert_eq!(object["metadata"]["finalizers"], Value::Null);

    stage.delete("alice").await;
    let seq = stage.gateway.last_seq();
    stage
        .gateway
        .edit_user("alice", |user| user.role = "inference-user".into());
    let read_bob = |entry: &&Entry| entry.seq > seq && entry.user.as_deref() == Some("bob");
    stage
        .until_journal("four reads of bob", |all| {
            all.iter().filter(read_bob).count() >= 4
        })
        .await;
    // A read that had left when the object went may still be in the journal; none follows it.
    let of_alice = |entry: &&Entry| entry.user.as_deref() == Some("alice");
    assert!(stage.calls_since(seq).iter().filter(of_alice).count() <= 1);
    let first_bob = stage
        .calls_since(seq)
        .iter()
        .find(|one| one.user.as_deref() == Some("bob"))
        .unwrap()
        .seq;
    assert_eq!(
        stage.calls_since(first_bob).iter().filter(of_alice).count(),
        0
    );
    assert_eq!(stage.gateway.user("alice").unwrap().role, "inference-user");
}

#[tokio::test]
async fn an_object_recreated_during_a_pass_never_shows_the_former_status() {
    let stage = Stage::set("recreated").await;
    stage.user("alice", "user");
    let _operator = stage.operator().await;
    stage.apply("alice", "{role: user}").await;
    stage.until_ready("alice").await;

    let hang = stage.gateway.add_fault(
        Fault::new(Kind::Hang { applied: false })
            .on(Verb::Patch)
            .of("alice"),
    );
    stage.apply("alice", "{role: contributor}").await;
    stage
        .until_journal("the old PATCH to hang", |all| {
            all.iter()
                .any(|entry| entry.verb == Verb::Patch && entry.outcome == Outcome::Pending)
        })
        .await;
    stage.delete("alice").await;
    stage.apply("alice", "{role: inference-user}").await;
    let uid = stage.object("alice").await["metadata"]["uid"].clone();
    let revisions = Revisions::follow(&stage, "alice");
    revisions
        .until_seen(|object| object["metadata"]["uid"] == uid)
        .await;
    stage.gateway.remove_fault(hang);
    let object = stage.until_ready("alice").await;
    assert_eq!(object["metadata"]["uid"], uid);
    assert_eq!(object["status"]["role"], "inference-user");
    let version = object["metadata"]["resourceVersion"].clone();
    revisions
        .until_seen(|object| object["metadata"]["resourceVersion"] == version)
        .await;

    for revision in revisions.seen() {
        assert_eq!(revision["metadata"]["uid"], uid);
        let status = &revision["status"];
        let observed = status["observedGeneration"].as_i64().unwrap();
        assert!(
            observed == -1 || observed == 1,
            "of the old object: {status}"
        );
        if ready(&revision)["status"] == "True" {
            assert_eq!(status["role"], "inference-user", "{status}");
        }
    }
    let roles: Vec<_> = stage
        .patches("alice")
        .iter()
        .map(|one| one.body.clone().unwrap()["role"].clone())
        .collect();
    assert_eq!(roles, ["contributor", "inference-user"]);
    assert_eq!(stage.gateway.user("alice").unwrap().role, "inference-user");
}

/// Every revision of one object as a watch shows it.
struct Revisions {
    file: tempfile::NamedTempFile,
    watch: std::process::Child,
}

impl Revisions {
    fn follow(stage: &Stage, name: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let args = [
            "get",
            "fireworksuser",
            name,
            "-n",
            &stage.namespace,
            "-w",
            "-o",
            "json",
        ];
        let mut command = stage.plane.admin().command(&args);
        command.stdout(file.reopen().unwrap()).stderr(Stdio::null());
        let watch = command.spawn().unwrap();
        Self { file, watch }
    }

    fn seen(&self) -> Vec<Value> {
        let mut text = String::new();
        self.file
            .reopen()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        // The last one may not be written to its end yet.
        serde_json::Deserializer::from_str(&text)
            .into_iter()
            .map_while(Result::ok)
            .collect()
    }

    async fn until_seen(&self, holds: impl Fn(&Value) -> bool) {
        let seen = until(LONG, "a revision", async || {
            let all = self.seen();
            if all.iter().any(&holds) {
                Ok(())
            } else {
                Err(format!("{} others", all.len()))
            }
        });
        seen.await.unwrap_or_else(|timeout| panic!("{timeout}"));
    }
}

impl Drop for Revisions {
    fn drop(&mut self) {
        // Ended already is as good.
        let _ = self.watch.kill();
        let _ = self.watch.wait();
    }
}

/// Another controller's finalizer keeps the object: it makes no call any more, and the next claimant takes
/// over.
#[tokio::test]
async fn an_object_that_is_being_deleted_makes_no_call_and_gives_up_its_claim() {
    let stage = Stage::set("deleting").await;
    stage.user("alice", "user");
    stage.user("lonely", "user");
    stage.user("witness", "user");
    let _operator = stage.operator().await;
    for name in ["alice", "lonely", "witness"] {
        stage.apply(name, "{role: contributor}").await;
        stage.until_ready(name).await;
    }
    let held = json!({"metadata": {"finalizers": ["example.com/held"]}});
    for name in ["alice", "lonely"] {
        stage.merge(name, &held).await;
        let args = ["delete", "fwuser", name, "--wait=false"];
        stage.kubectl(&args).await.unwrap();
    }
    let since = stage.gateway.last_seq();
    stage
        .gateway
        .edit_user("lonely", |user| user.role = "user".into());
    stage.until_sweeps(2).await;
    assert_eq!(stage.patches_since(since, "lonely"), Vec::new());
    assert_eq!(stage.gateway.user("lonely").unwrap().role, "user");

    stage
        .apply("successor", "{userId: alice, role: inference-user}")
        .await;
    stage.until_ready("successor").await;
    assert_eq!(stage.gateway.user("alice").unwrap().role, "inference-user");
    for name in ["alice", "lonely"] {
        stage
            .merge(name, &json!({"metadata": {"finalizers": null}}))
            .await;
    }
}

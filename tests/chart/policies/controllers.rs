//! The controllers of a cluster under the policies: nothing is left behind when a namespace or an owner goes.

use rig::until;
use serde_json::{Value, json};

use super::plane::Plane;
use crate::admission::PATIENCE;

const COLLECTOR: &str = "system:serviceaccount:kube-system:generic-garbage-collector";
const NAMESPACES: &str = "system:serviceaccount:kube-system:namespace-controller";

/// The names of the objects that are left in a namespace.
async fn left(plane: &Plane, namespace: &str) -> Vec<String> {
    let list = plane.plane.get_json(&["fwuser", "-n", namespace]).await;
    let list = list.unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap().to_owned();
    items.map(name).collect()
}

#[tokio::test]
async fn garbage_collector_deletes_and_releases_guarded_objects() {
    let plane = Plane::shared().await;
    for namespace in ["listed-owners", "unlisted-owners"] {
        let collector = plane.acting(COLLECTOR, namespace);
        // An owner that is deleted without its dependents.
        let owner = json!({"metadata": {"ownerReferences": [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": "a", "uid": "11111111-2222-3333-4444-555555555555"}]}});
        let none = json!({"metadata": {"ownerReferences": null}});
        for patch in [owner, none] {
            let (status, answer) = collector.patch("ada", &patch).await;
            assert_eq!(status, 200, "{answer}");
        }
        let (status, answer) = collector
            .patch("ada", &json!({"spec": {"role": "user"}}))
            .await;
        assert_eq!(status, 403, "{answer}");
        for object in ["ada", "cus", "sus"] {
            let (status, answer) = collector.delete(object).await;
            assert_eq!(status, 200, "{answer}");
        }
        assert_eq!(left(&plane, namespace).await, ["ann", "eve", "old", "ulf"]);
    }
}

#[tokio::test]
async fn namespace_controller_empties_a_namespace() {
    let plane = Plane::shared().await;
    for namespace in ["listed-namespace", "unlisted-namespace"] {
        let delete = ["delete", "namespace", namespace, "--wait=false"];
        plane.plane.kubectl(&delete).await.unwrap();
        // A tenant may empty a namespace that is being deleted.
        until(PATIENCE, "a deletion by a tenant", async || {
            match plane.acting("writer", namespace).delete("sus").await {
                (200, _) => Ok(()),
                (status, answer) => Err(format!("{status} {answer}")),
            }
        })
        .await
        .unwrap();
        let (status, answer) = plane.acting(NAMESPACES, namespace).delete("").await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            left(&plane, namespace).await,
            ["old"],
            "held by its finalizer"
        );
        let release = json!({"metadata": {"finalizers": null}});
        let (status, answer) = plane
            .acting("writer", namespace)
            .patch("old", &release)
            .await;
        assert_eq!(status, 200, "{answer}");
        assert!(left(&plane, namespace).await.is_empty());
    }
}

//! The policies on a real API server, as a table: who changes what, where and how. Requests are made in the name of
//! subjects with certain rights, and as dry runs, so that each begins with the same objects.

mod controllers;
mod operator;
mod plane;

use std::fmt::Write as _;

use rig::control_plane::OPERATOR_USER;
use serde_json::{Value, json};

use plane::{GRANTERS, Plane};

/// What an object is changed to, as a merge patch, and the roles that the subject must be allowed to grant.
struct Change {
    what: &'static str,
    object: &'static str,
    patch: Value,
    needs: &'static [&'static str],
}

const ALL: &[&str] = &["admin", "custom"];

fn change(
    what: &'static str,
    object: &'static str,
    patch: Value,
    needs: &'static [&'static str],
) -> Change {
    Change {
        what,
        object,
        patch,
        needs,
    }
}

fn annotated(name: &str) -> Value {
    json!({"metadata": {"annotations": {format!("iam.fireworks.ai/{name}"): "x"}}})
}

/// Changes of the objects that [`plane::OBJECTS`] names.
#[rustfmt::skip]
fn changes() -> Vec<Change> {
    let owner = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "11111111-2222-3333-4444-555555555555"}]}});
    let finalizer = json!({"metadata": {"finalizers": ["example.com/held", "iam.fireworks.ai/offboard"]}});
    let preset = |name: &str| json!({"spec": {"role": "custom", "permissionPreset": name}});
    vec![
        change("grants admin", "ulf", json!({"spec": {"role": "admin"}}), &["admin"]),
        change("grants custom", "ulf", preset("agent"), &["custom"]),
        change("raises custom to admin", "cus", json!({"spec": {"role": "admin", "permissionPreset": null}}), ALL),
        change("takes admin away", "ada", json!({"spec": {"role": "user"}}), &["admin"]),
        change("makes admin custom", "ada", preset("agent"), ALL),
        change("takes custom away", "cus", json!({"spec": {"role": "user", "permissionPreset": null}}), &["custom"]),
        change("changes the preset", "cus", preset("owner"), &["custom"]),
        change("renames an admin", "ada", json!({"spec": {"displayName": "Ada"}}), &["admin"]),
        change("observes an admin", "ada", json!({"spec": {"managementPolicy": "Observe"}}), &["admin"]),
        change("suspends an admin", "ada", json!({"spec": {"suspend": true}}), &["admin"]),
        change("resumes a suspended admin", "sus", json!({"spec": {"suspend": false}}), &["admin"]),
        change("manages an observed admin", "eve", json!({"spec": {"managementPolicy": "Manage"}}), &["admin"]),
        change("sets accept-identity", "ada", annotated("accept-identity"), ALL),
        change("sets accept-claim", "cus", annotated("accept-claim"), ALL),
        change("sets replace-unknown-role", "ulf", annotated("replace-unknown-role"), ALL),
        change("sets abandon-elevation", "ulf", annotated("abandon-elevation"), ALL),
        change("removes accept-claim", "ann", json!({"metadata": {"annotations": {"iam.fireworks.ai/accept-claim": null}}}), ALL),
        change("has an admin collected", "ada", owner.clone(), &["admin"]),
        // What is not guarded.
        change("has a user collected", "ulf", owner, &[]),
        change("changes a user's role", "ulf", json!({"spec": {"role": "contributor"}}), &[]),
        change("renames an observed admin", "eve", json!({"spec": {"displayName": "Eve"}}), &[]),
        change("labels an admin", "ada", json!({"metadata": {"labels": {"a": "b"}}}), &[]),
        change("requests a read", "ada", annotated("reconcile-requested-at"), &[]),
        change("adds finalizers", "ada", finalizer, &[]),
        change("changes nothing", "cus", preset("agent"), &[]),
        change("changes what is being deleted", "old", json!({"spec": {"role": "user"}}), &[]),
        change("releases what is being deleted", "old", json!({"metadata": {"finalizers": null}}), &[]),
    ]
}

/// Objects to create, and the roles that the subject must be allowed to grant.
#[rustfmt::skip]
fn creations() -> Vec<(Value, &'static [&'static str])> {
    let named = |spec: Value| json!({"metadata": {"name": "new"}, "spec": spec});
    let mut accepted = named(json!({"role": "user"}));
    accepted["metadata"]["annotations"] = json!({"iam.fireworks.ai/accept-claim": "new"});
    vec![
        (named(json!({"role": "admin"})), &["admin"]),
        (named(json!({"role": "admin", "suspend": true})), &["admin"]),
        (named(json!({"role": "custom", "permissionPreset": "agent"})), &["custom"]),
        (accepted, ALL),
        (named(json!({"role": "admin", "managementPolicy": "Observe"})), &[]),
        (named(json!({"role": "user"})), &[]),
    ]
}

const DELETIONS: [(&str, &[&str]); 8] = [
    ("ada", &["admin"]),
    ("cus", &["custom"]),
    ("sus", &["admin"]),
    ("ann", &[]),
    ("ulf", &[]),
    ("eve", &[]),
    ("old", &[]),
    // All of them.
    ("", ALL),
];

/// What an answer was, compared with what it has to be.
#[derive(Default)]
struct Table {
    rows: usize,
    wrong: String,
}

impl Table {
    fn row(&mut self, what: &str, is_allowed: bool, (status, answer): (u16, Value)) {
        self.rows += 1;
        let message = answer["message"].as_str().unwrap_or_default();
        let is_right = if is_allowed {
            matches!(status, 200 | 201)
        } else {
            status == 403 && message.contains("ValidatingAdmissionPolicy")
        };
        if !is_right {
            let expected = if is_allowed { "allowed" } else { "refused" };
            writeln!(self.wrong, "{what}: not {expected}: {status} {message}").unwrap();
        }
    }

    #[track_caller]
    fn is_right(&self, least: usize) {
        assert!(self.wrong.is_empty(), "{}", self.wrong);
        assert!(self.rows >= least, "only {} rows", self.rows);
    }
}

/// Every subject, namespace, change and verb: guarded roles are granted and taken away by subjects with the verb `grant` on
/// each role concerned, in a listed namespace, and by no other way.
#[tokio::test]
async fn guarded_roles_need_the_verb_grant_and_grant_namespace() {
    let plane = Plane::shared().await;
    let mut table = Table::default();
    for (subject, grants) in GRANTERS {
        for namespace in ["listed", "unlisted"] {
            let may = |needs: &[&str]| {
                let is_granted = needs.iter().all(|role| grants.contains(role));
                needs.is_empty() || is_granted && namespace == "listed"
            };
            let who = plane.subject(subject, namespace);
            for Change {
                what,
                object,
                patch,
                needs,
            } in changes()
            {
                for (verb, answer) in who.change(object, &patch).await {
                    let what = format!("{subject} in {namespace} {what} by {verb}");
                    table.row(&what, may(needs), answer);
                }
            }
            for (object, needs) in creations() {
                for (verb, answer) in who.create(&object).await {
                    let what = format!("{subject} in {namespace} creates {object} by {verb}");
                    table.row(&what, may(needs), answer);
                }
            }
            for (object, needs) in DELETIONS {
                let what = format!("{subject} in {namespace} deletes {object:?}");
                table.row(&what, may(needs), who.delete(object).await);
            }
        }
    }
    table.is_right(900);
}

/// Only the operator writes a status; a request to it changes nothing else, and no other request changes it.
#[tokio::test]
async fn status_is_written_by_the_operator_alone() {
    let plane = Plane::shared().await;
    let mut table = Table::default();
    let patch = json!({"status": {"observedGeneration": 1, "guard": "forged"}});
    for namespace in ["listed", "unlisted"] {
        for (subject, _) in GRANTERS {
            let who = plane.subject(subject, namespace);
            for (verb, answer) in who.change("ada/status", &patch).await {
                let what = format!("{subject} writes a status in {namespace} by {verb}");
                table.row(&what, false, answer);
            }
            let (status, answer) = who.patch("ulf", &patch).await;
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["status"].get("guard"), None, "{answer}");
        }
        let operator = plane.subject(OPERATOR_USER, namespace);
        for (verb, answer) in operator.change("ada/status", &patch).await {
            table.row(&format!("the operator by {verb}"), true, answer);
        }
        let wide = json!({"status": {"guard": "x"}, "spec": {"role": "user"},
            "metadata": {"annotations": {"iam.fireworks.ai/accept-claim": "ada"}, "finalizers": ["a.b/c"]}});
        let (status, answer) = operator.patch("ada/status", &wide).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["spec"]["role"], "admin");
        for field in ["annotations", "finalizers"] {
            assert_eq!(answer["metadata"].get(field), None, "{answer}");
        }
    }
    table.is_right(30);
}

/// Given all rights on the objects, the operator's `ServiceAccount` still changes its own finalizers and nothing else.
#[tokio::test]
async fn operator_changes_its_own_finalizers_alone() {
    let plane = Plane::shared().await;
    let mut table = Table::default();
    let finalizers = |names: &[&str]| json!({"metadata": {"finalizers": names}});
    for namespace in ["listed", "unlisted"] {
        let operator = plane.subject(OPERATOR_USER, namespace);
        for (object, patch, is_allowed) in [
            ("ada", finalizers(&["iam.fireworks.ai/offboard"]), true),
            ("ulf", finalizers(&["iam.fireworks.ai/elevation"]), true),
            ("ulf", finalizers(&["example.com/other"]), false),
            ("old", finalizers(&["example.com/held"]), true),
            ("old", json!({"metadata": {"finalizers": null}}), false),
        ] {
            for (verb, answer) in operator.change(object, &patch).await {
                let what = format!("finalizers of {object} by {verb}: {patch}");
                table.row(&what, is_allowed, answer);
            }
        }
        for Change {
            what,
            object,
            patch,
            ..
        } in changes()
        {
            let is_allowed = what == "changes nothing";
            for (verb, answer) in operator.change(object, &patch).await {
                table.row(
                    &format!("the operator {what} by {verb}"),
                    is_allowed,
                    answer,
                );
            }
        }
        for (object, _) in creations() {
            for (verb, answer) in operator.create(&object).await {
                table.row(&format!("creates by {verb}"), false, answer);
            }
        }
        for (object, _) in DELETIONS {
            table.row(
                &format!("deletes {object:?}"),
                false,
                operator.delete(object).await,
            );
        }
    }
    table.is_right(200);
}

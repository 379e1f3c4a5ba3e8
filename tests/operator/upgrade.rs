//! An upgrade from a version without the names of guards and with fewer reasons: the statuses that it left are understood.

use std::collections::BTreeMap;

use fireworks_gateway_simulator::{Fault, Kind, User, Verb};
use jiff::{SignedDuration, Timestamp};
use operator_runtime::clock;
use rig::until;
use serde_json::{Value, json};

use crate::stage::{LONG, Stage, Start, brief, ready};

/// Objects for each of the situations, in all 1,000.
const EACH: usize = 40;
const PERMISSION_DENIED: i64 = 7;

/// What the status of the older version reports.
struct Old {
    kind: &'static str,
    reason: &'static str,
    ready: &'static str,
    message: &'static str,
    now: Now,
}

/// What is true when the newer version starts.
#[derive(Clone, Copy, PartialEq)]
enum Now {
    /// The trouble has passed: Ready changes, once.
    InSync,
    /// The same as before, with the user as declared: nothing is written.
    Same,
    /// The same as before, with a user of another role: nothing is written.
    SameAndDiffers,
}

const fn old(
    kind: &'static str,
    reason: &'static str,
    ready: &'static str,
    message: &'static str,
    now: Now,
) -> Old {
    Old {
        kind,
        reason,
        ready,
        message,
        now,
    }
}

/// Every reason but `InvalidSpec`: the API server stores no such object. ACCOUNT, USER and OWNER stand for the object's.
#[rustfmt::skip]
const OLD: &[Old] = &[
    old("in-sync", "InSync", "True", "the remote user matches the spec", Now::Same),
    old("throttled", "Throttled", "Unknown", "waiting for the request budget of the account", Now::InSync),
    old("unavailable", "RemoteUnavailable", "Unknown", "Fireworks could not be reached or failed: 503", Now::InSync),
    old("unconfirmed", "Unconfirmed", "Unknown",
        "a change was sent but not answered: it is not known yet whether it took effect", Now::InSync),
    old("malformed", "MalformedResponse", "Unknown", "the answer could not be understood: no JSON", Now::InSync),
    old("updating", "RemoteUpdating", "Unknown",
        "Fireworks reports the user in state UPDATING; waiting for READY", Now::InSync),
    old("internal", "InternalError", "Unknown", "a defect of the operator: panic; see its log", Now::InSync),
    old("key", "Unauthenticated", "False",
        "Fireworks refuses the API key; a new key is used as soon as it is there", Now::InSync),
    old("error", "RemoteError", "False", "Fireworks reports status INTERNAL for the user: no seat", Now::InSync),
    old("errs", "RemoteError", "False", "Fireworks reports status INTERNAL for the user: no seat", Now::Same),
    old("contested", "Contested", "False",
        "a second manager keeps changing the user back in Fireworks: repairs are slowed down", Now::InSync),
    old("deleting", "RemoteDeleting", "False", "Fireworks is deleting the user", Now::InSync),
    old("deletes", "RemoteDeleting", "False", "Fireworks is deleting the user", Now::Same),
    old("protected", "Protected", "False",
        "USER is the only admin of account ACCOUNT: make another user admin first", Now::InSync),
    old("unread", "Rejected", "False", "Fireworks refuses to show the user: 400 INVALID_ARGUMENT: no", Now::InSync),
    old("unseen", "PermissionDenied", "False",
        "Fireworks refuses to show the user: 403 PERMISSION_DENIED: no", Now::InSync),
    old("missing", "UserNotFound", "False",
        "account ACCOUNT has no user USER; once it appears it is kept as declared", Now::Same),
    old("rejected", "Rejected", "False", "Fireworks refuses the change: 400 INVALID_ARGUMENT: no", Now::SameAndDiffers),
    old("denied", "PermissionDenied", "False",
        "the API key may not do this: 403 PERMISSION_DENIED: no", Now::SameAndDiffers),
    old("unapplied", "NotApplied", "False",
        "Fireworks accepts the change, but its answer still differs in role", Now::SameAndDiffers),
    old("drifted", "Drifted", "False", "only observed, and the remote user differs in role", Now::SameAndDiffers),
    old("suspended", "Suspended", "Unknown", "suspended: no call is made for this object", Now::SameAndDiffers),
    old("rests", "Suspended", "True", "suspended: no call is made for this object", Now::Same),
    old("foreign", "Conflict", "False",
        "this object managed a user of another account than ACCOUNT: delete it and create it again", Now::Same),
    // The last: their owners are older.
    old("owned", "Conflict", "False",
        "user USER is managed by the older object OWNER: delete one of the two", Now::Same),
];

/// Their reason is the same, and its message is another one now: one write each. A refusal that still holds keeps the
/// message it was reported with.
const REWORDED: [&str; 5] = ["missing", "drifted", "suspended", "rests", "owned"];

impl Old {
    /// The user's id: that of an object in sync, where an older object owns it.
    fn user(&self, number: usize) -> String {
        let kind = if self.kind == "owned" {
            "in-sync"
        } else {
            self.kind
        };
        format!("{kind}-{number}")
    }

    fn put_user(&self, stage: &Stage, id: &str) {
        let mut user = User::new(id, "user");
        match self.kind {
            // An owner's, or no owner's.
            "owned" | "missing" => return,
            "errs" => {
                let status = user.status.get_or_insert_default();
                (status.code, status.message) = ("INTERNAL".into(), "no seat".into());
            }
            "deletes" => user.state = "DELETING".into(),
            _ => {}
        }
        stage.gateway.put_user(user);
    }

    fn spec(&self, id: &str) -> Value {
        let differs = self.now == Now::SameAndDiffers;
        let mut spec = json!({"role": if differs { "contributor" } else { "user" }, "userId": id});
        match self.kind {
            "drifted" => spec["managementPolicy"] = json!("Observe"),
            "suspended" | "rests" => spec["suspend"] = json!(true),
            _ => {}
        }
        spec
    }

    /// The status as build 88dfbf3 writes it: no guard, `Protected` always stalled, the name also where no user was seen.
    fn status(&self, stage: &Stage, id: &str, since: Timestamp) -> Value {
        let account = stage.gateway.account_id();
        let owner = format!("{}/{id}", stage.namespace);
        let message = self.message.replace("ACCOUNT", account);
        let message = message.replace("USER", id).replace("OWNER", &owner);
        let condition = |kind: &str, status: &str| {
            json!({"type": kind, "status": status, "reason": self.reason, "message": message,
                "observedGeneration": 1, "lastTransitionTime": since.to_string()})
        };
        let mut conditions = vec![condition("Ready", self.ready)];
        conditions.extend(self.beside().map(|kind| condition(kind, "True")));
        let of = if self.kind == "foreign" {
            "other"
        } else {
            account
        };
        let mut status = json!({"observedGeneration": 1, "userId": id,
            "name": format!("accounts/{of}/users/{id}"), "conditions": conditions});
        if let Some(user) = stage.gateway.user(id) {
            status["state"] = json!(user.state);
            status["role"] = json!(user.role);
            status["createTime"] = json!(user.create_time.map(|time| time.to_string()));
            status["updateTime"] = json!(user.update_time.map(|time| time.to_string()));
            status["status"] = match user.status.unwrap_or_default() {
                remote if remote.message.is_empty() => json!({"code": remote.code}),
                remote => json!({"code": remote.code, "message": remote.message}),
            };
        }
        if self.now == Now::SameAndDiffers {
            status["drift"] =
                json!([{"field": "role", "desired": "contributor", "actual": "user"}]);
        }
        status
    }

    /// The condition that stands beside Ready.
    fn beside(&self) -> Option<&'static str> {
        match (self.reason, self.ready) {
            ("Suspended", _) | (_, "True") => None,
            ("Unauthenticated" | "UserNotFound" | "RemoteError" | "Contested", _)
            | (_, "Unknown") => Some("Reconciling"),
            _ => Some("Stalled"),
        }
    }
}

/// Half of the statuses are days old, the others of the last hour. No whole hour falls into the test.
fn since(number: usize) -> Timestamp {
    let hours = if number.is_multiple_of(2) { 9 * 24 } else { 0 };
    let ago = SignedDuration::from_hours(hours) + SignedDuration::from_mins(20);
    let time = clock::timestamp().saturating_sub(ago).unwrap();
    Timestamp::from_second(time.as_second()).unwrap()
}

/// The reasons that were written, by object; null, where a write holds none.
fn written(stage: &Stage, mark: rig::Mark) -> BTreeMap<String, Vec<Value>> {
    let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for write in stage.status_writes(mark) {
        let body = write.body.unwrap_or_default();
        let reason = ready(&body)["reason"].clone();
        all.entry(write.name).or_default().push(reason);
    }
    all
}

#[tokio::test]
async fn an_upgrade_sends_one_probe_and_writes_only_changes() {
    let stage = Stage::set("upgrade").await;
    stage.gateway.put_user(User::new("root", "admin"));
    let refusal = Fault::new(Kind::error(PERMISSION_DENIED)).on(Verb::Patch);
    stage.gateway.add_fault(refusal.always());
    let (mut specs, mut statuses, mut expected) = (Vec::new(), Vec::new(), BTreeMap::new());
    for old in OLD {
        for number in 0..EACH {
            let (name, id) = (format!("{}-{number}", old.kind), old.user(number));
            old.put_user(&stage, &id);
            specs.push((name.clone(), old.spec(&id)));
            statuses.push((name.clone(), old.status(&stage, &id, since(number))));
            if old.now == Now::InSync {
                expected.insert(name, vec![json!("InSync")]);
            } else if REWORDED.contains(&old.kind) {
                expected.insert(name, vec![json!(old.reason)]);
            } else if old.kind == "in-sync" {
                // Another object claims its user: that it holds it is written, and nothing else.
                expected.insert(name, vec![Value::Null]);
            }
        }
    }
    // The guard still holds this one: it is no longer stalled, and the guard is named.
    let held = old(
        "root",
        "Protected",
        "False",
        "USER is the only admin of account ACCOUNT: make another user admin first",
        Now::Same,
    );
    specs.push(("root".into(), held.spec("root")));
    let mut status = held.status(&stage, "root", since(0));
    status["drift"] = json!([{"field": "role", "desired": "user", "actual": "admin"}]);
    statuses.push(("root".into(), status));
    expected.insert("root".into(), vec![json!("Protected")]);
    assert_eq!(statuses.len(), 1_001);
    stage.create_each(specs).await;
    stage.write_statuses(statuses).await;

    let mark = stage.mark();
    let args = ["--requests-per-minute", "6000"].map(str::to_owned);
    let start = Start {
        args: args.to_vec(),
        ..Start::default()
    };
    let _operator = stage.operator_with(start).await;
    let all = until(LONG * 3, "what has changed to be written", async || {
        let written = written(&stage, mark).len();
        let probed = stage.all_patches().len();
        if written >= expected.len() && probed > 0 {
            Ok(())
        } else {
            Err(format!(
                "{written} of {} written, {probed} probed",
                expected.len()
            ))
        }
    });
    all.await.unwrap_or_else(|timeout| panic!("{timeout}"));
    // Whole sweeps more: nothing follows.
    stage.until_sweeps(20).await;
    let patches = stage.all_patches();
    assert_eq!(patches.len(), 1, "{:#?}", brief(&patches));
    let probed = patches[0].user.as_deref().unwrap_or_default();
    assert!(probed.starts_with("denied-"), "{probed}");
    // Its refusal is a new one, with the words of this version.
    expected.insert(probed.to_owned(), vec![json!("PermissionDenied")]);
    let mut surplus = written(&stage, mark);
    surplus.retain(|name, reasons| expected.get(name) != Some(reasons));
    // On a loaded machine a few wait for longer than 5 s for the read that shows what a former process left: that is reported.
    let waited = [json!("Unconfirmed"), json!("InSync")];
    let late = surplus.extract_if(.., |_, reasons| *reasons == waited);
    assert!(late.count() <= EACH, "too many wait");
    assert!(surplus.is_empty(), "{surplus:#?}");
    assert_eq!(written(&stage, mark).len(), expected.len());
    let root = stage.object("root").await;
    assert_eq!(ready(&root)["status"], "Unknown");
    assert_eq!(root["status"]["guard"], "last-admin");
}

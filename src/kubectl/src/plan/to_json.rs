//! The plan for programs. Its schema is `docs/schemas/plan.v1.json`; a field is added without a new version, and none is
//! removed.

use serde_json::{Map, Value, json};

use super::{Action, Item, Plan};

/// The version of the form.
pub const VERSION: u32 = 1;

/// Returns the plan as JSON.
#[must_use]
pub fn to_json(plan: &Plan) -> Value {
    let counts = plan.counts();
    let number = |action: &Action| counts.get(action).copied().unwrap_or_default();
    let counts: Map<String, Value> = Action::ALL
        .iter()
        .map(|action| (action.as_str().to_owned(), number(action).into()))
        .collect();
    json!({
        "version": VERSION,
        "account": plan.account,
        "takenAt": plan.taken_at,
        "complete": plan.is_complete,
        "failures": plan.failures,
        "items": plan.items.iter().map(item).collect::<Vec<_>>(),
        "summary": {
            "actions": counts,
            "requests": plan.requests,
            "users": plan.users,
            "unmanagedUsers": plan.unmanaged_users,
            "unmanagedAdmins": plan.unmanaged_admins,
        },
        "exitCode": plan.exit().code(),
    })
}

fn item(item: &Item) -> Value {
    let changes = item
        .changes
        .iter()
        .map(|change| json!({"field": change.field, "from": change.from, "to": change.to}));
    let mut json = json!({
        "namespace": item.namespace,
        "name": item.name,
        "file": &*item.place.file,
        "line": item.place.line,
        "user": item.user,
        "action": item.action.as_str(),
        "changes": changes.collect::<Vec<_>>(),
    });
    let texts = [
        ("guard", item.guard.as_ref()),
        (
            "reason",
            Some(&item.reason).filter(|reason| !reason.is_empty()),
        ),
        (
            "message",
            Some(&item.message).filter(|message| !message.is_empty()),
        ),
        ("uncertain", item.uncertain.as_ref()),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            json[name] = text.as_str().into();
        }
    }
    json
}

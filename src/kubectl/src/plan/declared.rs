//! What manifests declare: those that can be planned as the operator keeps them, and those that cannot, with the cause.

use fireworks_api::wire::UserId;
use fireworks_core::user::object::CachedUser;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::{Action, Item, shown};
use crate::input::{Input, Manifest};
use crate::problem::Problem;
use crate::schema::Schema;
use crate::validate;

/// The creation time of all objects: which of several objects is older does not matter, since of two that manage one user
/// none is planned.
const CREATED: &str = "2000-01-01T00:00:00Z";

/// The manifests as the plan takes them.
#[derive(Debug)]
pub struct Declared {
    /// Those that can be planned, each with its object as the text of JSON, which takes the least memory, and its user.
    pub(super) objects: Vec<(Item, String, UserId)>,
    /// Those that cannot.
    pub(super) items: Vec<Item>,
}

impl Declared {
    /// Sorts the manifests. `namespace` is that of manifests that name none.
    #[must_use]
    pub fn of(input: &Input, schema: &Schema, namespace: &str) -> Self {
        let mut declared = Self {
            objects: Vec::new(),
            items: Vec::new(),
        };
        let contested = validate::contested_users(&input.manifests);
        let problems = validate::check_each(input, schema, namespace);
        for (at, (manifest, problems)) in input.manifests.iter().zip(problems).enumerate() {
            let mut item = item(manifest, namespace);
            if !problems.is_empty() {
                item.action = Action::Invalid;
                item.message = problems.iter().map(words).collect::<Vec<_>>().join("; ");
                declared.items.push(item);
            } else if let Some(other) = contested.get(&at) {
                item.action = Action::Conflict;
                item.reason.push_str("Conflict");
                item.message = format!(
                    "{} manages the same user: delete one of the two",
                    other.title()
                );
                declared.items.push(item);
            } else if let Some((object, user)) = object(manifest, namespace, at) {
                declared.objects.push((item, object, user));
            } else {
                item.action = Action::Invalid;
                item.message
                    .push_str("the API server would not accept it: check its metadata");
                declared.items.push(item);
            }
        }
        declared
    }

    /// Returns the users that are declared by manifests which can be planned.
    #[must_use]
    pub fn users(&self) -> Vec<UserId> {
        let mut users: Vec<UserId> = self
            .objects
            .iter()
            .map(|(_, _, user)| user.clone())
            .collect();
        users.sort_unstable();
        users.dedup();
        users
    }
}

fn words(problem: &Problem) -> String {
    format!("{}: {}", problem.field, problem.message)
}

fn item(manifest: &Manifest, namespace: &str) -> Item {
    let name = manifest.metadata("name").unwrap_or_default();
    let user = manifest
        .tree
        .get("spec")
        .and_then(|spec| spec.get("userId"));
    let user = user.and_then(|user| user.text()).unwrap_or(name);
    Item {
        namespace: shown(manifest.metadata("namespace").unwrap_or(namespace)),
        name: shown(name),
        place: manifest.place.clone(),
        user: shown(user),
        action: Action::Unread,
        changes: Vec::new(),
        guard: None,
        reason: String::new(),
        message: String::new(),
        uncertain: None,
    }
}

/// Returns the object as the API server would show it to the operator, and its user.
fn object(manifest: &Manifest, namespace: &str, number: usize) -> Option<(String, UserId)> {
    let name = manifest.metadata("name")?;
    let json = manifest.tree.to_json();
    let annotations = json["metadata"]["annotations"].as_object();
    let annotations = annotations.cloned().unwrap_or_default();
    let annotations: Map<String, Value> = annotations
        .into_iter()
        .filter(|(_, value)| value.is_string())
        .collect();
    let stored = json!({
        "metadata": {
            "name": name,
            "namespace": manifest.metadata("namespace").unwrap_or(namespace),
            "uid": format!("manifest-{number}"),
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": CREATED,
            "annotations": annotations,
        },
        "spec": json["spec"],
    });
    let object = CachedUser::deserialize(&stored).ok()?;
    let user = object.desired(false).ok()?.user;
    Some((stored.to_string(), user))
}

//! What manifests declare: those that can be planned as the operator keeps them, and those that cannot, with the cause.

use fireworks_api::wire::UserId;
use fireworks_core::user::object::CachedUser;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::onto::{Name, Onto};
use super::{Action, Item, shown};
use crate::input::{Input, Manifest};
use crate::problem::{Place, Problem};
use crate::schema::Schema;
use crate::validate;

/// The creation time of all objects: which of several objects is older does not matter, since of two that manage one user
/// none is planned.
const CREATED: &str = "2000-01-01T00:00:00Z";

/// The manifests as the plan takes them.
#[derive(Debug, Default)]
pub struct Declared {
    /// Those that can be planned, each with its object as the text of JSON, which takes the least memory, and its user.
    pub(super) objects: Vec<(Item, String, UserId)>,
    /// Those that cannot.
    pub(super) items: Vec<Item>,
    /// What they meet in a cluster; nothing without one.
    pub(super) onto: Onto,
}

/// Manifests, and how they are understood.
#[derive(Clone, Copy)]
pub struct Manifests<'a> {
    /// The manifests.
    pub input: &'a Input,
    /// Their schema.
    pub schema: &'a Schema,
    /// The namespace of those that name none.
    pub namespace: &'a str,
}

impl Declared {
    /// Sorts the manifests. `namespace` is that of manifests that name none.
    #[must_use]
    pub fn of(input: &Input, schema: &Schema, namespace: &str) -> Self {
        let manifests = Manifests {
            input,
            schema,
            namespace,
        };
        manifests.sorted(&|_| false)
    }

    /// Returns whether there is nothing to plan.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.items.is_empty()
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

impl Manifests<'_> {
    /// Sorts the manifests. Of several that manage one user none is planned, unless a cluster has one of them: then its claim
    /// decides.
    pub(super) fn sorted(&self, is_stored: &dyn Fn(&Name) -> bool) -> Declared {
        let Self {
            input,
            schema,
            namespace,
        } = *self;
        let mut declared = Declared::default();
        let contested = validate::contested_users(&input.manifests);
        let problems = validate::check_each(input, schema, namespace);
        let is_stored = |manifest: &Manifest| {
            let namespace = manifest.metadata("namespace").unwrap_or(namespace);
            let name = manifest.metadata("name").unwrap_or_default();
            is_stored(&(namespace.to_owned(), name.to_owned()))
        };
        for (at, (manifest, problems)) in input.manifests.iter().zip(problems).enumerate() {
            let mut item = item(manifest, namespace);
            let other = contested.get(&at);
            if !problems.is_empty() {
                item.action = Action::Invalid;
                item.message = problems.iter().map(words).collect::<Vec<_>>().join("; ");
                declared.items.push(item);
            } else if let Some(other) = other.filter(|one| !is_stored(one) && !is_stored(manifest))
            {
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
    let namespace = manifest.metadata("namespace").unwrap_or(namespace);
    Item::new(namespace, name, user, manifest.place.clone())
}

impl Item {
    /// Returns one of which nothing is known yet.
    pub(super) fn new(namespace: &str, name: &str, user: &str, place: Place) -> Self {
        Self {
            namespace: shown(namespace),
            name: shown(name),
            place,
            user: shown(user),
            action: Action::Unread,
            changes: Vec::new(),
            guard: None,
            reason: String::new(),
            message: String::new(),
            uncertain: None,
        }
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

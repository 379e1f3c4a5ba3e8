//! Manifests as they would be applied onto the objects of a cluster: spec and annotations from the manifest, all else from the
//! cluster. An object of the cluster that has no manifest any more counts as deleted.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_api::wire::UserId;
use fireworks_core::user::object::CachedUser;
use fireworks_crd::FireworksUserSpec;
use fireworks_crd::conditions::{self, Reason};
use jiff::Timestamp;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use super::declared::Manifests;
use super::{Action, Declared, Item, shown};
use crate::cluster::{Listing, Stored};
use crate::input::Manifest;
use crate::problem::Place;

/// What stands in place of the file for an object without a manifest.
const CLUSTER: &str = "cluster";
const UNSEEN_CLAIMS: &str =
    "an object of a namespace that is not read may hold the user: then this one waits";
const DENIED: &str = "the API key was not allowed to change the user before";
const IMMUTABLE: &str = "spec.userId: cannot be changed, set or removed after creation: delete this object and create \
                         another one";
const BEING_DELETED: &str = "the object is being deleted: its user stays as it is";
const OBSERVER: &str = "the object would be deleted: it only observes its user";
const WAITER: &str =
    "the object would be deleted: its user stays as it is, which another object holds";

/// Namespace and name of an object.
pub(super) type Name = (String, String);

/// What a plan has to know of the cluster beside the objects that it shows.
#[derive(Debug, Default)]
pub(super) struct Onto {
    /// Objects as the cluster has them, where they would change or go, or their manifest is invalid.
    pub(super) former: Vec<String>,
    /// The objects that the manifests change or create.
    pub(super) applied: BTreeSet<Name>,
    /// The objects that would be deleted.
    pub(super) deleted: Vec<Name>,
    /// Users that the API key may not change, as statuses report.
    pub(super) denied: BTreeSet<UserId>,
    /// Further namespaces may have objects.
    pub(super) is_partial: bool,
}

impl Onto {
    /// Returns the former objects, decoded.
    pub(super) fn former(&mut self) -> Vec<CachedUser> {
        let former = std::mem::take(&mut self.former);
        let decoded = former.iter().map(|text| serde_json::from_str(text));
        decoded.filter_map(Result::ok).collect()
    }
}

impl Declared {
    /// Returns the objects of a cluster, with the manifests applied at that time, where there are some. An object without a
    /// manifest counts as deleted where its namespace was asked for or has a manifest. Where a part of the input could not be
    /// read, none does.
    #[must_use]
    pub fn onto(cluster: Listing, manifests: Option<Manifests<'_>>, now: Timestamp) -> Self {
        let Listing {
            objects,
            namespaces,
        } = cluster;
        let key = |one: &Stored| (one.namespace.clone(), one.name.clone());
        let stored: BTreeMap<Name, Stored> =
            objects.into_iter().map(|one| (key(&one), one)).collect();
        let named = manifests.map(|all| all.names()).unwrap_or_default();
        let is_whole = manifests.is_some_and(|all| all.input.problems.is_empty());
        let is_asked = |namespace: &str| match &namespaces {
            Some(namespaces) => namespaces.contains(namespace),
            None => named.iter().any(|(one, _)| one == namespace),
        };
        let declared = manifests.map(|all| all.sorted(&|name| stored.contains_key(name)));
        let mut onto = Onto {
            is_partial: namespaces.is_some(),
            denied: denied(stored.values()),
            ..Onto::default()
        };
        let mut result = Self::default();
        let mut left = stored;
        let Self { objects, items, .. } = declared.unwrap_or_default();
        result.items = items;
        for (item, text, user) in objects {
            let name = (item.namespace.clone(), item.name.clone());
            let met = left.remove(&name);
            result.apply(&mut onto, name, (item, text, user), met, now);
        }
        for (name, one) in left {
            if named.contains(&name) {
                // The API server refuses the manifest: the object stays as it is.
                onto.former.push(one.text);
            } else if is_whole && is_asked(&name.0) {
                result.delete(&mut onto, name, one);
            } else {
                result.keep(&one);
            }
        }
        result.explain_deletions();
        result.onto = onto;
        result
    }

    /// Applies a manifest onto the object that it meets in the cluster, if it does.
    fn apply(
        &mut self,
        onto: &mut Onto,
        name: Name,
        (mut item, text, user): (Item, String, UserId),
        met: Option<Stored>,
        now: Timestamp,
    ) {
        let Some(met) = met else {
            item.uncertain = onto.is_partial.then(|| UNSEEN_CLAIMS.to_owned());
            onto.applied.insert(name);
            self.objects.push((item, created(&text, now), user));
            return;
        };
        match merged(&met, &text) {
            Merged::Same => self.objects.push((item, met.text, user)),
            Merged::Changed(text) => {
                let is_denied = onto.denied.contains(&user);
                item.uncertain = is_denied.then(|| DENIED.to_owned());
                onto.applied.insert(name);
                onto.former.push(met.text);
                self.objects.push((item, text, user));
            }
            Merged::Refused => {
                item.action = Action::Invalid;
                IMMUTABLE.clone_into(&mut item.message);
                onto.former.push(met.text);
                self.items.push(item);
            }
            Merged::BeingDeleted => {
                item.action = Action::Deleted;
                BEING_DELETED.clone_into(&mut item.message);
                self.items.push(item);
            }
        }
    }

    /// Takes an object that no manifest is about.
    fn keep(&mut self, stored: &Stored) {
        let value: Value = serde_json::from_str(&stored.text).unwrap_or_default();
        let mut item = item(stored, &value);
        let object = CachedUser::deserialize(&value).ok();
        if object.as_ref().is_some_and(|one| one.is_being_deleted) {
            item.action = Action::Deleted;
            BEING_DELETED.clone_into(&mut item.message);
            self.items.push(item);
        } else if let (Some(_), Some(user)) = (&object, user_of(stored, &value)) {
            self.objects.push((item, stored.text.clone(), user));
        } else {
            item.action = Action::Invalid;
            let why = object.and_then(|object| object.desired(false).err());
            let why = why.map_or_else(|| "cannot be decoded".to_owned(), |why| why.to_string());
            item.message = shown(&why);
            self.items.push(item);
        }
    }

    fn delete(&mut self, onto: &mut Onto, name: Name, stored: Stored) {
        let value: Value = serde_json::from_str(&stored.text).unwrap_or_default();
        let mut item = item(&stored, &value);
        item.action = Action::Deleted;
        if !value["metadata"]["deletionTimestamp"].is_null() {
            BEING_DELETED.clone_into(&mut item.message);
        } else if !manages(&value) {
            OBSERVER.clone_into(&mut item.message);
        } else if value["status"]["claim"] == "Waiting" {
            WAITER.clone_into(&mut item.message);
        }
        self.items.push(item);
        onto.former.push(stored.text);
        onto.deleted.push(name);
    }

    /// Completes what is shown of deleted objects by whether another object declares the user then.
    fn explain_deletions(&mut self) {
        let is_open = |item: &Item| item.action == Action::Deleted && item.message.is_empty();
        if !self.items.iter().any(is_open) {
            return;
        }
        let mut managed = BTreeSet::new();
        for (_, text, user) in &self.objects {
            if manages(&serde_json::from_str(text).unwrap_or_default()) {
                managed.insert(user.folded());
            }
        }
        for item in self.items.iter_mut().filter(|item| is_open(item)) {
            let user = item.user.parse::<UserId>().ok();
            let then = if user.is_some_and(|user| managed.contains(&user.folded())) {
                "until another object takes it over"
            } else {
                "and no object manages it any more"
            };
            item.message = format!("the object would be deleted: its user stays as it is, {then}");
        }
    }
}

/// What comes of a manifest that meets an object.
enum Merged {
    /// Nothing changes.
    Same,
    /// The object as it would be.
    Changed(String),
    /// The API server would refuse it.
    Refused,
    /// The object is being deleted, whatever the manifest asks for.
    BeingDeleted,
}

/// Returns the object with spec and annotations of the manifest. Annotations that the manifest has not stay, unless the last
/// `kubectl apply` set them.
fn merged(met: &Stored, manifest: &str) -> Merged {
    let mut object: Value = serde_json::from_str(&met.text).unwrap_or_default();
    let manifest: Value = serde_json::from_str(manifest).unwrap_or_default();
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Merged::BeingDeleted;
    }
    if object["spec"]["userId"] != manifest["spec"]["userId"] {
        return Merged::Refused;
    }
    let before: Map<String, Value> = annotations(&object).cloned().unwrap_or_default();
    let mut after = before.clone();
    for name in &met.applied {
        after.remove(*name);
    }
    for name in crate::cluster::ANNOTATIONS {
        if let Some(value) = annotations(&manifest).and_then(|all| all.get(name)) {
            after.insert(name.to_owned(), value.clone());
        }
    }
    let is_same_spec = is_same_spec(&object["spec"], &manifest["spec"]);
    if is_same_spec && before == after {
        return Merged::Same;
    }
    object["metadata"]["annotations"] = after.into();
    if !is_same_spec {
        let generation = object["metadata"]["generation"]
            .as_i64()
            .unwrap_or_default();
        object["metadata"]["generation"] = (generation + 1).into();
        object["spec"] = manifest["spec"].clone();
    }
    Merged::Changed(object.to_string())
}

fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    object["metadata"]["annotations"].as_object()
}

/// Returns whether the API server would store the same spec, defaults included.
fn is_same_spec(stored: &Value, manifest: &Value) -> bool {
    let decoded = |spec: &Value| FireworksUserSpec::deserialize(spec).ok();
    stored == manifest || decoded(stored).is_some_and(|spec| Some(spec) == decoded(manifest))
}

/// Returns a new object, which is younger than those of the cluster.
fn created(text: &str, now: Timestamp) -> String {
    let mut object: Value = serde_json::from_str(text).unwrap_or_default();
    object["metadata"]["creationTimestamp"] = now.to_string().into();
    object.to_string()
}

fn manages(object: &Value) -> bool {
    object["spec"]["managementPolicy"] != "Observe"
}

fn item(stored: &Stored, object: &Value) -> Item {
    let user = object["spec"]["userId"].as_str().unwrap_or(&stored.name);
    let place = Place {
        file: CLUSTER.into(),
        document: 0,
        line: 0,
    };
    Item::new(&stored.namespace, &stored.name, user, place)
}

fn user_of(stored: &Stored, object: &Value) -> Option<UserId> {
    let user = object["spec"]["userId"].as_str().unwrap_or(&stored.name);
    user.parse().ok()
}

/// Returns the users whose change was denied to the API key, as the statuses of their objects report.
fn denied<'a>(objects: impl Iterator<Item = &'a Stored>) -> BTreeSet<UserId> {
    let mut denied = BTreeSet::new();
    for stored in objects.filter(|one| one.text.contains(Reason::PermissionDenied.as_str())) {
        let value: Value = serde_json::from_str(&stored.text).unwrap_or_default();
        let Ok(object) = CachedUser::deserialize(&value) else {
            continue;
        };
        let conditions = object.status().conditions;
        let reason = conditions::reason_at(&conditions, object.generation);
        if reason == Some(Reason::PermissionDenied.as_str()) {
            denied.extend(user_of(stored, &value));
        }
    }
    denied
}

impl Manifests<'_> {
    /// Returns the objects that the manifests are about.
    fn names(&self) -> BTreeSet<Name> {
        let name = |manifest: &Manifest| {
            let namespace = manifest.metadata("namespace").unwrap_or(self.namespace);
            Some((namespace.to_owned(), manifest.metadata("name")?.to_owned()))
        };
        self.input.manifests.iter().filter_map(name).collect()
    }
}

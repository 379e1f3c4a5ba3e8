//! What is known of the objects, kept in step with the watch: the cache of them, and the index of their claims, which is
//! up to date before any pass sees the object. Decides nothing about any user.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fireworks_core::claims::ObjectKey;
use fireworks_core::user::object::CachedUser;
use fireworks_core::world::World;
use fireworks_crd::conditions::Reason;
use kube::Resource;
use operator_runtime::versions::Versions;
use operator_runtime::watch::{Error, Event, Verb};

use super::queue::{Trigger, WorkQueue};
use crate::api_object::ApiObject;
use crate::clock;
use crate::context::Context;
use crate::rights::Right;
use crate::scopes::ScopeId;

/// In the metric, for a status that is not there yet, or is none of ours.
const UNREPORTED: &str = "Untold";

/// The objects as last seen.
#[derive(Default)]
pub(super) struct Cache {
    objects: Mutex<HashMap<ObjectKey, Arc<CachedUser>>>,
    /// The namespace of the last object that was new. Lists are in the order of namespaces.
    namespace: Mutex<Arc<str>>,
}

impl Cache {
    /// The object of that name.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<CachedUser>> {
        self.lock().get(key).cloned()
    }

    /// Returns all objects.
    pub(super) fn all(&self) -> Vec<Arc<CachedUser>> {
        self.lock().values().cloned().collect()
    }

    /// Lets it share its names with the object that it replaces, or its namespace with the last new one: equal names are in
    /// memory once.
    fn share_names(&self, object: &mut CachedUser) {
        if let Some(before) = self.get(&object.key) {
            object.key = before.key.clone();
            if object.uid == before.uid {
                object.uid = before.uid.clone();
            }
            return;
        }
        let mut last = self
            .namespace
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *last == object.key.namespace {
            object.key.namespace = last.clone();
        } else {
            *last = object.key.namespace.clone();
        }
    }

    /// Keeps it; what it replaces.
    fn put(&self, object: CachedUser) -> Option<Arc<CachedUser>> {
        self.lock().insert(object.key.clone(), Arc::new(object))
    }

    fn remove(&self, key: &ObjectKey) -> Option<Arc<CachedUser>> {
        self.lock().remove(key)
    }

    /// Those of the scope that a complete list did not show.
    fn not_listed(&self, scope: Option<&str>, listed: &HashSet<ObjectKey>) -> Vec<Arc<CachedUser>> {
        let objects = self.lock();
        let is_gone = |object: &&Arc<CachedUser>| {
            let key = &object.key;
            scope.is_none_or(|namespace| *key.namespace == *namespace) && !listed.contains(key)
        };
        objects.values().filter(is_gone).cloned().collect()
    }

    /// Whether it holds that very version.
    fn holds(&self, object: &CachedUser) -> bool {
        let counts = self.get(&object.key);
        counts.is_some_and(|counts| counts.uid == object.uid && counts.version == object.version)
    }

    /// The objects of which that holds.
    fn keys_of(&self, holds: impl Fn(&CachedUser) -> bool) -> Vec<ObjectKey> {
        let objects = self.lock();
        let objects = objects.iter().filter(|(_, object)| holds(object));
        objects.map(|(key, _)| key.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectKey, Arc<CachedUser>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows the watch of one namespace, or of all.
pub(super) struct Index {
    ctx: Arc<Context>,
    cache: Arc<Cache>,
    queue: Arc<WorkQueue>,
    scope: ScopeId,
    listing: Option<HashSet<ObjectKey>>,
    failing: bool,
    /// That was logged.
    is_failure_logged: bool,
    /// The store went back, and the list after that is not complete yet.
    rewinding: bool,
}

impl Index {
    /// Of that scope.
    pub(super) fn new(
        ctx: Arc<Context>,
        cache: Arc<Cache>,
        queue: Arc<WorkQueue>,
        scope: ScopeId,
    ) -> Self {
        ctx.metrics.watch_failing(ctx.scopes.label(scope), false);
        Self {
            ctx,
            cache,
            queue,
            scope,
            listing: None,
            failing: false,
            is_failure_logged: false,
            rewinding: false,
        }
    }

    /// The path of the objects it is about: those of one namespace, or all.
    pub(super) fn path(&self) -> String {
        ApiObject::url_path(&(), self.namespace())
    }

    /// What the watch has delivered.
    pub(super) fn versions(&self) -> Arc<Versions> {
        self.ctx.scopes.versions(self.scope)
    }

    fn namespace(&self) -> Option<&str> {
        self.ctx.scopes.namespace(self.scope)
    }

    fn was_synced(&self) -> bool {
        self.ctx.scopes.is_synced(self.scope)
    }

    /// Something came from the watch.
    pub(super) fn observe(&mut self, event: Event<ApiObject>) {
        match event {
            Event::Rewound => self.store_rewound(),
            Event::Listing => self.listing = Some(HashSet::new()),
            Event::Listed(arrived) => self.listed(arrived.object),
            Event::ListComplete => self.synced(),
            Event::Applied(arrived) => self.apply(arrived.object),
            Event::Deleted(arrived) => {
                self.recovered();
                self.removed(&arrived.object);
            }
            Event::Begun => self.begun(),
            Event::Alive => self.recovered(),
            Event::Failed(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.failing, true) {
            self.show_failing();
        }
        if let Some(verb) = error.refused_verb() {
            let right = match verb {
                Verb::List => Right::List,
                Verb::Watch => Right::Watch,
            };
            let scope = self.ctx.scopes.label(self.scope);
            self.ctx
                .rights
                .refused(right, scope, error, operator_runtime::clock::now());
            return;
        }
        if std::mem::replace(&mut self.is_failure_logged, true) {
            return;
        }
        let namespace = self.namespace().unwrap_or("all namespaces");
        tracing::warn!(%error, namespace, "watch failed, retrying");
    }

    fn begun(&self) {
        let scope = self.ctx.scopes.label(self.scope);
        for right in [Right::List, Right::Watch] {
            self.ctx.rights.granted(right, scope);
        }
    }

    fn store_rewound(&mut self) {
        self.rewinding = true;
        self.ctx.metrics.store_rewound();
        let namespace = self.namespace().unwrap_or("all namespaces");
        tracing::warn!(
            namespace,
            "the API server's store went back to an earlier version, as after a restore of etcd: listing all objects"
        );
    }

    fn listed(&mut self, object: CachedUser) {
        if let Some(listing) = &mut self.listing {
            listing.insert(object.key.clone());
        }
        if self.rewinding {
            let requested = object.requested_at;
            let (uid, generation) = (&object.uid, object.generation);
            let shared = &self.ctx.shared;
            shared.change_objects(|objects| objects.rewound(uid, generation, requested));
        } else if self.was_synced() {
            // A version means the same object for as long as the store does not go back.
            if self.cache.holds(&object) {
                return;
            }
        } else {
            self.ctx.shared.change(|world| world.object_found(&object));
        }
        self.apply(object);
    }

    fn apply(&mut self, object: CachedUser) {
        self.recovered();
        put(&self.ctx, &self.cache, &self.queue, object);
    }

    fn removed(&self, object: &CachedUser) {
        if let Some(before) = self.cache.remove(&object.key) {
            count(&self.ctx, &before, -1);
        }
        let shared = &self.ctx.shared;
        let requeue = shared.change(|world| world.object_removed(object, clock::now()));
        self.queue.add_all(&requeue);
    }

    /// The list is complete: what it did not show was deleted while there was no watch.
    fn synced(&mut self) {
        self.recovered();
        self.rewinding = false;
        if let Some(listing) = self.listing.take() {
            for object in self.cache.not_listed(self.namespace(), &listing) {
                self.removed(&object);
            }
        }
        if !self.was_synced() && self.ctx.scopes.record_synced(self.scope) {
            self.serve_late();
        }
    }

    /// The scope was synced only after serving had begun: its objects, and those which one of them may have kept from
    /// their users, are reconciled now.
    fn serve_late(&self) {
        let scopes = &self.ctx.scopes;
        let namespace = scopes.label(self.scope);
        self.ctx.metrics.watch_failing(namespace, false);
        tracing::info!(namespace, "synced, served from now on");
        let all_seen = !scopes.has_unseen();
        if all_seen {
            self.ctx.shared.change(|world| world.claims.complete());
        }
        let awaits = |object: &CachedUser| {
            let is_of_scope = scopes.covers(self.scope, &object.key.namespace);
            let is_held = object.reported.is_some_and(Reason::names_another_claim);
            is_of_scope || (all_seen && is_held)
        };
        self.queue.add_all(&self.cache.keys_of(awaits));
    }

    fn show_failing(&self) {
        let namespace = self.ctx.scopes.label(self.scope);
        self.ctx.metrics.watch_failing(namespace, self.failing);
    }

    fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            self.show_failing();
        }
        if std::mem::take(&mut self.is_failure_logged) {
            tracing::info!("watch recovered");
        }
    }
}

/// Keeps the object and requeues what that concerns.
fn put(ctx: &Context, cache: &Cache, queue: &WorkQueue, mut object: CachedUser) {
    cache.share_names(&mut object);
    let key = object.key.clone();
    let account = ctx.account();
    let change = |world: &mut World| world.object_changed(&account, &object, clock::now());
    let requeue = ctx.shared.change(change);
    queue.add_all(&requeue);
    count(ctx, &object, 1);
    if let Some(before) = cache.put(object) {
        count(ctx, &before, -1);
    }
    queue.add(&key, Trigger::Object);
}

/// Keeps an object that a re-read showed, unless the watch has brought a later version of it since. The watch brings
/// what is older than that no more than once, and no user is changed by it: each change re-reads its object.
pub(super) fn put_newer(ctx: &Context, cache: &Cache, queue: &WorkQueue, object: CachedUser) {
    let version = |object: &CachedUser| object.version.parse::<u64>().ok();
    // One that is not kept at all was deleted: only the watch can show whether it is back.
    let is_newer = cache
        .get(&object.key)
        .is_some_and(|kept| version(&kept) < version(&object));
    if is_newer {
        put(ctx, cache, queue, object);
    }
}

/// Changes the number of objects whose status has that reason.
fn count(ctx: &Context, object: &CachedUser, by: i64) {
    let reported = object.reported;
    if let Some(guard) = object.guard {
        ctx.metrics.guard_holds(guard.as_str(), by);
    }
    let ready = reported.map_or("Unknown", |reason| reason.ready_state().ready());
    let reason = reported.map_or(UNREPORTED, Reason::as_str);
    ctx.metrics.objects(ready, reason, by);
}

//! Reads an object from the API server, right before its user is changed: what the watch brought may be old.

use std::time::Duration;

use fireworks_core::user::object::CachedUser;
use fireworks_core::user::reconcile::ObjectRead;
use kube::Api;
use operator_runtime::clock;

use crate::api_object::ApiObject;
use crate::context::Context;
use crate::rights::Right;

/// Deadline of the re-read of an object: a permit is held meanwhile.
const DEADLINE: Duration = Duration::from_secs(5);

/// Reads the object again.
pub(super) async fn read(ctx: &Context, object: &CachedUser) -> ObjectRead {
    let key = &object.key;
    let api: Api<ApiObject> = Api::namespaced(ctx.kube.clone(), &key.namespace);
    let call = api.get_opt(&key.name);
    let versions = ctx.scopes.versions_in(&key.namespace);
    let floor = versions.map(|versions| versions.floor_of(&object.version));
    let read = tokio::time::timeout(DEADLINE, call).await;
    if matches!(read, Ok(Ok(_))) {
        ctx.rights.reads.end();
        ctx.rights.granted(Right::Get, &key.namespace);
    }
    match read {
        Ok(Ok(Some(ApiObject { object: now, .. }))) => {
            let record_version = versions
                .zip(floor)
                .is_some_and(|(versions, floor)| versions.record_version(floor, &now.version));
            let is_same = now.uid == object.uid && now.generation == object.generation;
            if is_same && !record_version && !now.is_being_deleted {
                return ObjectRead::Same;
            }
            // A closed channel means that the process is ending.
            let _ = ctx.newer.send(now);
            ObjectRead::Newer
        }
        Ok(Ok(None)) => ObjectRead::NotFound,
        Ok(Err(kube::Error::Api(refusal))) if refusal.is_forbidden() => {
            let now = clock::now();
            ctx.rights
                .refused(Right::Get, &key.namespace, &refusal, now);
            ObjectRead::Refused
        }
        Ok(Err(error)) => {
            tracing::debug!(%key, %error, "object not read again, its user is not changed");
            unavailable(ctx, object)
        }
        Err(_) => unavailable(ctx, object),
    }
}

/// Logs it, once per outage.
fn unavailable(ctx: &Context, object: &CachedUser) -> ObjectRead {
    if ctx.rights.reads.begin() {
        let object = &object.key;
        tracing::warn!(%object, "object not read again: no user is changed until the API server answers; retrying");
    }
    ObjectRead::Unavailable
}

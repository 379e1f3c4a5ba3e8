//! Many objects at once, by REST: made, edited, counted. Knows what a manifest looks like.

use std::time::SystemTime;

use fireworks_gateway_simulator::User;
use futures::stream::{self, StreamExt, TryStreamExt};
use rig::Rest;
use serde_json::{Value, json};

use crate::broken::{Broken, Sound, ensure};

/// Requests under way at once: more make the API server slower, not faster.
pub(crate) const AT_ONCE: usize = 12;
/// Objects on one page of a list.
const PAGE: usize = 1000;

fn objects(namespace: &str) -> String {
    format!("/apis/iam.fireworks.ai/v1alpha1/namespaces/{namespace}/fireworksusers")
}

/// The path of an object.
pub(crate) fn object(namespace: &str, name: &str) -> String {
    format!("{}/{name}", objects(namespace))
}

/// The spec that asks for the user as it is.
pub(crate) fn spec_of(user: &User) -> Value {
    let mut spec = json!({"role": user.role});
    let texts = [
        ("permissionPreset", &user.permission_preset),
        ("displayName", &user.display_name),
    ];
    for (field, text) in texts {
        if !text.is_empty() {
            spec[field] = json!(text);
        }
    }
    if user.service_account {
        spec["serviceAccount"] = json!(true);
    }
    spec
}

/// Makes an object for each user.
pub(crate) async fn create(rest: &Rest, namespace: &str, users: &[User]) -> Sound<()> {
    let path = objects(namespace);
    let path = path.as_str();
    stream::iter(users)
        .map(|user| async move {
            let body = json!({
                "apiVersion": "iam.fireworks.ai/v1alpha1",
                "kind": "FireworksUser",
                "metadata": {"name": user.id, "namespace": namespace},
                "spec": spec_of(user),
            });
            let (status, answer) = rest.send("POST", path, Some(&body)).await?;
            ensure(status == 201, || format!("POST {}: {answer}", user.id))
        })
        .buffer_unordered(AT_ONCE)
        .try_for_each(|()| async { Ok(()) })
        .await
}

/// Changes the spec of an object by a merge patch; when the request left, in milliseconds since the epoch.
pub(crate) async fn edit(rest: &Rest, namespace: &str, name: &str, spec: &Value) -> Sound<f64> {
    let path = object(namespace, name);
    let body = json!({ "spec": spec });
    let left = unix_ms()?;
    let (status, answer) = rest.send("PATCH", &path, Some(&body)).await?;
    ensure(status == 200, || format!("PATCH {name}: {answer}"))?;
    Ok(left)
}

/// Gives each of these objects that display name.
pub(crate) async fn rename_all(
    rest: &Rest,
    namespace: &str,
    names: &[String],
    display_name: &str,
) -> Sound<()> {
    let spec = json!({"displayName": display_name});
    let spec = &spec;
    stream::iter(names)
        .map(|name| edit(rest, namespace, name, spec))
        .buffer_unordered(AT_ONCE)
        .try_for_each(|_| async { Ok(()) })
        .await
}

/// How many objects are Ready of the spec as it is, and how many there are.
pub(crate) async fn ready(rest: &Rest, namespace: &str) -> Sound<(usize, usize)> {
    let (mut ready, mut all) = (0, 0);
    let mut after = String::new();
    loop {
        let path = format!("{}?limit={PAGE}&continue={after}", objects(namespace));
        let (status, list) = rest.send("GET", &path, None).await?;
        ensure(status == 200, || format!("GET {path}: {list}"))?;
        let items = list["items"].as_array();
        let items = items.ok_or_else(|| Broken::new("a list without items"))?;
        ready += items.iter().filter(|object| is_ready(object)).count();
        all += items.len();
        match list["metadata"]["continue"].as_str() {
            Some(next) if !next.is_empty() => next.clone_into(&mut after),
            _ => return Ok((ready, all)),
        }
    }
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let generation = &object["metadata"]["generation"];
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Ready"
            && condition["status"] == "True"
            && condition["observedGeneration"] == *generation
    })
}

/// The wall clock, which the simulator's journal tells too.
pub(crate) fn unix_ms() -> Sound<f64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(since.as_secs_f64() * 1000.0)
}

/// The same in whole milliseconds, as the journal tells it.
pub(crate) fn now_ms() -> Sound<i64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_millis())?)
}

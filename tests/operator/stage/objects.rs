//! Objects: their manifests, where they are at the API server, and what they report.

use serde_json::Value;

/// Where the objects of that namespace are at the API server.
pub fn objects_path(namespace: &str) -> String {
    format!("/apis/iam.fireworks.ai/v1alpha1/namespaces/{namespace}/fireworksusers")
}

/// Where that object is.
pub fn object_path(namespace: &str, name: &str) -> String {
    format!("{}/{name}", objects_path(namespace))
}

/// A manifest of one object.
pub fn manifest(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: iam.fireworks.ai/v1alpha1\nkind: FireworksUser\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

/// Manifests of objects of these names, all with the same spec.
pub fn manifests(names: &[String], spec: &str) -> String {
    let all: Vec<_> = names.iter().map(|name| manifest(name, spec)).collect();
    all.join("---\n")
}

/// The `Ready` condition of an object.
pub fn ready(object: &Value) -> &Value {
    condition(object, "Ready")
}

/// The condition of that type; null where there is none.
pub fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let all = object["status"]["conditions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    all.iter()
        .find(|one| one["type"] == kind)
        .unwrap_or(&Value::Null)
}

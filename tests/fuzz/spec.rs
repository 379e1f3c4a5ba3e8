//! A spec as JSON, judged by the schema of the resource and by the operator: what the schema admits the operator must
//! follow, and what it refuses must do no harm. The schema's rules in CEL are written here once more in JSON Schema, save
//! the one that compares with the object as it was; that the API server takes both alike is a matter of the tests of
//! the running operator.

use std::sync::LazyLock;

use fireworks_api::text::MESSAGE_MAX;
use fireworks_core::user::object::CachedUser;
use jsonschema::Validator;
use serde_json::{Value, json};

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let crd = include_str!("../../crds/fireworksusers.yaml");
    let crd: Value = serde_saphyr::from_str(crd).expect("YAML");
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let spec = crd.pointer(spec).expect("a schema of the spec");
    jsonschema::draft202012::new(&translated(spec)).expect("a schema")
});

/// A rule of the schema in CEL, in JSON Schema.
fn rule(cel: &str) -> Value {
    let string = |pattern: &str| json!({"type": "string", "pattern": pattern});
    let custom = json!({"required": ["role"], "properties": {"role": {"const": "custom"}}});
    let preset = |is: &str| json!({"permissionPreset": {"type": is}});
    match cel {
        rule if rule.starts_with(r"!self.matches('[\\x00-") => {
            let tags = r"\u{e0000}-\u{e007f}";
            let others = r"\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb";
            json!({"not": string(&format!("[{others}{tags}]"))})
        }
        r"!self.matches('^[\\s\\p{Z}\\x{200c}\\x{200d}]|[\\s\\p{Z}\\x{200c}\\x{200d}]$')" => {
            // To the API server \s is these, to JSON Schema more.
            let edge = r"[\t\n\f\r \p{Z}\u200c\u200d]";
            json!({"not": string(&format!("^{edge}|{edge}$"))})
        }
        r"self.matches('^[^@\\s\\p{Z}\\x00-\\x1f\\x7f-\\x9f]+@[^@\\s\\p{Z}\\x00-\\x1f\\x7f-\\x9f]+$')" =>
        {
            let part = r"[^@\p{Z}\x00-\x1f\x7f-\x9f]+";
            json!({"pattern": format!("^{part}@{part}$")})
        }
        "self.matches('^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$')" => {
            json!({"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"})
        }
        "self.matches('^[A-Za-z0-9][A-Za-z0-9._~+-]{0,127}$') && !self.endsWith('.')" => {
            let shape = json!({"pattern": "^[A-Za-z0-9][A-Za-z0-9._~+-]{0,127}$"});
            json!({"allOf": [shape, {"not": string(r"\.$")}]})
        }
        "self.role != 'custom' || has(self.permissionPreset)" => {
            let there = json!({"required": ["permissionPreset"], "properties": preset("string")});
            json!({"if": custom, "then": there})
        }
        "self.role == 'custom' || !has(self.permissionPreset)" => {
            json!({"if": custom, "else": {"properties": preset("null")}})
        }
        changes if changes.contains("oldSelf") => json!({}),
        unknown => panic!("a rule that is not written here: {unknown}"),
    }
}

/// A schema of the API server's dialect in that of JSON Schema: `nullable`, and the rules.
fn translated(schema: &Value) -> Value {
    let Value::Object(fields) = schema else {
        return schema.clone();
    };
    let mut all = fields.clone();
    if let Some(Value::Object(properties)) = all.get_mut("properties") {
        properties
            .values_mut()
            .for_each(|property| *property = translated(property));
    }
    if all.remove("nullable") == Some(json!(true)) {
        let of = all["type"].take();
        all["type"] = json!([of, "null"]);
    }
    if let Some(rules) = all.remove("x-kubernetes-validations") {
        let rules = rules.as_array().into_iter().flatten();
        let reported: Vec<_> = rules
            .map(|each| rule(each["rule"].as_str().expect("a rule")))
            .collect();
        all.insert("allOf".into(), reported.into());
    }
    all.into()
}

/// Decodes it, and asks what is wanted.
pub(crate) fn target(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Value>(data) else {
        return;
    };
    let metadata = json!({"name": "alice", "creationTimestamp": "2026-01-01T00:00:00Z"});
    let object = json!({"metadata": metadata, "spec": spec});
    let object: CachedUser =
        serde_json::from_value(object).expect("one odd spec stops no other object");
    let admitted = SCHEMA.is_valid(&spec);
    let (desired, claim) = (
        object.desired(false),
        object.claim(&"acme".parse().unwrap(), false),
    );
    match &desired {
        Ok(desired) => assert_eq!(
            claim.map(|claim| (claim.user.user, claim.reads)),
            Some((desired.user.clone(), !desired.suspended))
        ),
        Err(error) => {
            let reported = error.to_string();
            assert!(reported.chars().count() <= MESSAGE_MAX + 100, "bounded");
            assert!(!reported.chars().any(char::is_control), "one clean line");
            assert!(claim.is_none_or(|claim| !claim.reads), "no call is made");
        }
    }
    assert!(
        desired.is_ok() || !admitted,
        "admitted: {spec}: {desired:?}"
    );
    let flat = spec.as_object().is_some_and(|fields| {
        fields
            .values()
            .all(|value| !value.is_object() && !value.is_array())
    });
    if flat {
        assert!(
            desired.is_err() || admitted,
            "not admitted: {spec}: {desired:?}"
        );
    }
}

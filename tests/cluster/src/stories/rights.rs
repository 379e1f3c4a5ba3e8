//! The rights that `deploy/` gives, held against what the API server was asked for by the operator in all the stories.

use std::collections::BTreeSet;

use rig::Requests;
use serde_json::Value;

use super::World;
use super::installed::{DEPLOY, OPERATOR, SYSTEM};
use crate::failure::{Failure, Result, ensure};

/// Nothing is granted that was never used, and nothing was asked for that is not granted.
pub(crate) async fn what_is_granted_is_what_was_used(world: &World<'_>) -> Result {
    let install = format!("{DEPLOY}/install.yaml");
    let kubectl = world.node.kubectl();
    let shipped = kubectl
        .run(&["create", "--dry-run=client", "-o", "json", "-f", &install])
        .await?;
    // One document after the other.
    let shipped = serde_json::Deserializer::from_str(&shipped).into_iter::<Value>();
    let shipped: Vec<Value> = shipped.collect::<std::result::Result<_, _>>()?;
    let role = shipped
        .iter()
        .find(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == OPERATOR);
    let role =
        role.ok_or_else(|| Failure::new("deploy/install.yaml has no role for the operator"))?;
    let granted = granted(role);
    let operator = format!("system:serviceaccount:{SYSTEM}:{OPERATOR}");
    let audit = world.node.audit()?;
    let mut used = BTreeSet::new();
    for request in audit.matching(&Requests::any().by(&operator)) {
        let resource = match request.subresource.as_str() {
            "" => request.resource.clone(),
            subresource => format!("{}/{subresource}", request.resource),
        };
        ensure(request.code != 403, || format!("refused: {request:?}"))?;
        used.insert((request.group.clone(), resource, request.verb.clone()));
    }
    ensure(!used.is_empty(), || {
        format!("{operator} has asked for nothing")
    })?;
    ensure(granted == used, || {
        let unused: Vec<_> = granted.difference(&used).collect();
        let missing: Vec<_> = used.difference(&granted).collect();
        format!("granted and never used: {unused:?}; used and not granted: {missing:?}")
    })
}

/// Group, resource and verb of everything the role allows.
fn granted(role: &Value) -> BTreeSet<(String, String, String)> {
    let words = |rule: &Value, key: &str| -> Vec<String> {
        let list = rule[key].as_array().into_iter().flatten();
        list.filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    };
    let mut granted = BTreeSet::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in words(rule, "apiGroups") {
            for resource in words(rule, "resources") {
                for verb in words(rule, "verbs") {
                    granted.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    granted
}

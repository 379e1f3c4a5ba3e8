//! The rights that `deploy/` gives, held against what the API server was asked for by the operator in all the scenarios.

use std::collections::BTreeSet;

use rig::{Request, Requests};
use serde_json::Value;

use super::World;
use super::installed::{DEPLOY, OPERATOR, SYSTEM};
use crate::failure::{Failure, Result, ensure};

/// The API group of roles and of their bindings.
const RBAC: &str = "rbac.authorization.k8s.io";

/// The role for the Lease in the operator's namespace, and its binding.
const LEASE_ROLE: &str = "fireworks-user-operator-lease";

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
    let role_of = |kind: &str, name: &str| {
        let is_named =
            |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
        let role = shipped.iter().find(is_named);
        role.ok_or_else(|| Failure::new(format!("deploy/install.yaml has no {kind} {name}")))
    };
    let mut granted = granted(role_of("ClusterRole", OPERATOR)?);
    granted.extend(self::granted(role_of("Role", LEASE_ROLE)?));
    let operator = format!("system:serviceaccount:{SYSTEM}:{OPERATOR}");
    let audit = world.node.audit()?;
    let refused = refused(&audit.requests, &operator);
    ensure(refused.is_none(), || format!("refused: {refused:?}"))?;
    let mut used = BTreeSet::new();
    for request in audit.matching(&Requests::any().by(&operator)) {
        let resource = match request.subresource.as_str() {
            "" => request.resource.clone(),
            subresource => format!("{}/{subresource}", request.resource),
        };
        if !request.unauthorized {
            used.insert((request.group.clone(), resource, request.verb.clone()));
        }
    }
    ensure(!used.is_empty(), || {
        format!("{operator} has asked for nothing")
    })?;
    // A watch begins with the list itself. Lists are made where the API server cannot stream them, and each time a watch
    // is resumed, every five minutes: longer than these scenarios take.
    let list = used
        .iter()
        .find(|(_, resource, verb)| resource == "fireworksusers" && verb == "watch");
    if let Some((group, resource, _)) = list.cloned() {
        used.insert((group, resource, "list".to_owned()));
    }
    ensure(granted == used, || {
        let unused: Vec<_> = granted.difference(&used).collect();
        let missing: Vec<_> = used.difference(&granted).collect();
        format!("granted and never used: {unused:?}; used and not granted: {missing:?}")
    })
}

/// What the operator was refused while it had the rights that are shipped. Who uninstalls it takes them away before its Pod
/// has ended: what it asks for in between is refused rightly.
fn refused<'a>(requests: &'a [Request], operator: &str) -> Option<&'a Request> {
    let mut in_order: Vec<_> = requests.iter().collect();
    in_order.sort_by(|one, other| one.at.cmp(&other.at));
    let mut given = false;
    in_order.into_iter().find(|request| {
        let is_named = [OPERATOR, LEASE_ROLE].contains(&&*request.name);
        let of_rights = request.group == RBAC && is_named;
        if of_rights && request.is_write() && (200..300).contains(&request.code) {
            // A binding comes after what it binds, in every installation; either may be the first to go.
            let bound = request.resource.ends_with("bindings");
            given = request.verb != "delete" && (given || bound);
        }
        given && request.user == operator && request.unauthorized
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

#[cfg(test)]
mod tests {
    use super::*;

    const BY: &str = "system:serviceaccount:fireworks-system:fireworks-user-operator";

    fn rights(at: &str, verb: &str, resource: &str) -> Request {
        Request {
            user: "admin".to_owned(),
            group: RBAC.to_owned(),
            name: OPERATOR.to_owned(),
            ..request(at, verb, resource, 200)
        }
    }

    fn watch(at: &str, unauthorized: bool) -> Request {
        Request {
            unauthorized,
            ..request(at, "watch", "fireworksusers", 0)
        }
    }

    fn request(at: &str, verb: &str, resource: &str, code: u16) -> Request {
        Request {
            id: at.to_owned(),
            at: at.to_owned(),
            user: BY.to_owned(),
            user_agent: String::new(),
            verb: verb.to_owned(),
            group: String::new(),
            resource: resource.to_owned(),
            subresource: String::new(),
            namespace: String::new(),
            name: String::new(),
            code,
            streams_list: false,
            unauthorized: false,
            body: None,
        }
    }

    #[test]
    fn what_is_asked_for_after_the_rights_went_is_refused_rightly() {
        let requests = [
            rights("01", "patch", "clusterroles"),
            rights("02", "patch", "clusterrolebindings"),
            watch("03", false),
            rights("04", "delete", "clusterrolebindings"),
            watch("05", true),
            rights("06", "delete", "clusterroles"),
        ];
        assert_eq!(refused(&requests, BY), None);
    }

    #[test]
    fn what_is_refused_while_the_rights_are_there_is_found_in_whatever_order_it_was_logged() {
        let requests = [
            watch("05", true),
            rights("01", "create", "roles"),
            rights("02", "delete", "roles"),
            rights("03", "create", "roles"),
            rights("04", "create", "rolebindings"),
            rights("06", "delete", "rolebindings"),
        ];
        assert_eq!(refused(&requests, BY), Some(&requests[0]));
    }

    #[test]
    fn a_deletion_of_rights_that_failed_takes_nothing_away() {
        let gone = Request {
            code: 404,
            ..rights("03", "delete", "clusterrolebindings")
        };
        let requests = [
            rights("01", "create", "clusterroles"),
            rights("02", "create", "clusterrolebindings"),
            gone,
            watch("04", true),
        ];
        assert_eq!(refused(&requests, BY), Some(&requests[3]));
    }
}

//! Reads a call to the API server as the audit log names it: verb, resource and name, from method and path. Pure.

use crate::audit::Request;

/// What is asked by this method on this path with this query. A path that is no resource's has an empty one.
pub(super) fn read(method: &str, path: &str, query: &str, user_agent: &str) -> Request {
    let mut parts = path.trim_matches('/').split('/');
    let group = match parts.next() {
        Some("api") => "",
        Some("apis") => parts.next().unwrap_or_default(),
        _ => return request(method, user_agent),
    };
    let rest: Vec<&str> = parts.skip(1).collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, resource, more @ ..] => {
            (*namespace, [&[*resource], more].concat())
        }
        rest => ("", rest.to_vec()),
    };
    let part = |n: usize| rest.get(n).copied().unwrap_or_default().to_owned();
    let watches = query
        .split('&')
        .any(|pair| matches!(pair, "watch" | "watch=1" | "watch=true"));
    let named = rest.len() > 1;
    let verb = match method {
        "GET" if watches => "watch",
        "GET" if named => "get",
        "GET" => "list",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if named => "delete",
        "DELETE" => "deletecollection",
        other => other,
    };
    Request {
        verb: verb.to_owned(),
        streams_list: query
            .split('&')
            .any(|pair| pair == "sendInitialEvents=true"),
        group: group.to_owned(),
        resource: part(0),
        name: part(1),
        subresource: part(2),
        namespace: namespace.to_owned(),
        ..request(method, user_agent)
    }
}

fn request(method: &str, user_agent: &str) -> Request {
    Request {
        id: String::new(),
        at: String::new(),
        user: String::new(),
        user_agent: user_agent.to_owned(),
        verb: method.to_ascii_lowercase(),
        group: String::new(),
        resource: String::new(),
        subresource: String::new(),
        namespace: String::new(),
        name: String::new(),
        code: 0,
        streams_list: false,
        unauthorized: false,
        body: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_as_in_the_audit_log() {
        const USERS: &str = "/apis/iam.fireworks.ai/v1alpha1/namespaces/a/fireworksusers";
        for (method, path, query, reported) in [
            ("GET", USERS, "limit=100", "list a fireworksusers"),
            ("GET", USERS, "&watch=true&x=1", "watch a fireworksusers"),
            ("GET", "/x/bob", "", "get /x/bob"),
            ("GET", "/bob", "", "get a fireworksusers bob"),
            (
                "PATCH",
                "/bob/status",
                "",
                "patch a fireworksusers bob status",
            ),
            ("DELETE", "/bob", "", "delete a fireworksusers bob"),
            ("POST", "", "", "create a fireworksusers"),
        ] {
            let whole = if path == USERS || path == "/x/bob" {
                path.to_owned()
            } else {
                format!("{USERS}{path}")
            };
            let call = read(method, &whole, query, "");
            let words = [
                &call.verb,
                &call.namespace,
                &call.resource,
                &call.name,
                &call.subresource,
            ];
            let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
            let words = words.into_iter().cloned().collect::<Vec<_>>().join(" ");
            if path == "/x/bob" {
                assert_eq!(words, "get");
            } else {
                assert_eq!(words, reported);
            }
        }
        let all = read(
            "GET",
            "/apis/iam.fireworks.ai/v1alpha1/fireworksusers",
            "",
            "",
        );
        assert_eq!(
            (all.verb.as_str(), all.resource.as_str()),
            ("list", "fireworksusers")
        );
        let core = read("GET", "/api/v1/namespaces/a/events/e", "", "");
        assert_eq!((core.group.as_str(), core.name.as_str()), ("", "e"));
    }
}

//! The names of requests, and the hook around each. Knows no server and no kind.

use std::borrow::Cow;

use futures::future::{self, BoxFuture, FutureExt};
use http::Method;

/// A request to a server, in the words of the API server's audit log.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Request<'a> {
    /// `get`, `list`, `watch`, `create`, `patch` and so on. Of a request to another server, the operation's name in the
    /// server's own description.
    pub verb: &'static str,
    /// The plural of the resource, followed by `/` and the subresource where there is one.
    pub resource: Cow<'a, str>,
    /// The object's name; empty where the URL contains none.
    pub name: &'a str,
}

impl<'a> Request<'a> {
    /// Returns the request of this method and URL to the API server. A URL that is not of a resource is its own resource.
    #[must_use]
    pub fn to_api_server(method: &Method, path: &'a str, is_watch: bool) -> Self {
        let mut parts = path.trim_matches('/').split('/');
        let above = match parts.next() {
            Some("api") => 1,
            Some("apis") => 2,
            _ => return Self::named(method, path.into(), "", is_watch),
        };
        let parts: Vec<&str> = parts.skip(above).collect();
        let parts = match parts[..] {
            ["namespaces", _, _, ..] => &parts[2..],
            _ => &parts,
        };
        match *parts {
            [resource] => Self::named(method, resource.into(), "", is_watch),
            [resource, name] => Self::named(method, resource.into(), name, is_watch),
            [resource, name, subresource] => {
                let resource = format!("{resource}/{subresource}");
                Self::named(method, resource.into(), name, is_watch)
            }
            _ => Self::named(method, path.into(), "", is_watch),
        }
    }

    fn named(method: &Method, resource: Cow<'a, str>, name: &'a str, is_watch: bool) -> Self {
        let verb = match *method {
            _ if is_watch => "watch",
            Method::GET if name.is_empty() => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            _ => "get",
        };
        Self {
            verb,
            resource,
            name,
        }
    }
}

/// Called around each request. `()` adds nothing.
pub trait Hooks: Send + Sync + 'static {
    /// Returns a future that sends the request by awaiting `sending`, which ends when the response has arrived or is given
    /// up. The caller uses the response once the returned future has ended; it may drop that future at any time.
    fn around<'a>(&'a self, request: Request<'a>, sending: BoxFuture<'a, ()>) -> BoxFuture<'a, ()>;
}

impl Hooks for () {
    fn around<'a>(&'a self, _: Request<'a>, sending: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        sending
    }
}

/// Sends a request with its hook around it, and returns the response. Never ends where the hook ends without having sent
/// the request.
pub async fn send<T: Send>(
    hooks: &dyn Hooks,
    request: Request<'_>,
    sending: impl Future<Output = T> + Send,
) -> T {
    let mut response = None;
    let sending = async { response = Some(sending.await) };
    hooks.around(request, sending.boxed()).await;
    match response {
        Some(response) => response,
        None => future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_to_the_api_server_are_named_as_in_its_audit_log() {
        let users = "/apis/iam.fireworks.ai/v1alpha1/namespaces/team-a/fireworksusers";
        let one = format!("{users}/alice");
        let status = format!("{users}/alice/status");
        let everywhere = "/apis/iam.fireworks.ai/v1alpha1/fireworksusers";
        let events = "/apis/events.k8s.io/v1/namespaces/team-a/events";
        for (method, path, is_watch, verb, resource, name) in [
            (Method::GET, &*one, false, "get", "fireworksusers", "alice"),
            (
                Method::PATCH,
                &status,
                false,
                "patch",
                "fireworksusers/status",
                "alice",
            ),
            (Method::GET, users, false, "list", "fireworksusers", ""),
            (Method::GET, users, true, "watch", "fireworksusers", ""),
            (Method::GET, everywhere, false, "list", "fireworksusers", ""),
            (Method::POST, events, false, "create", "events", ""),
            (
                Method::DELETE,
                &one,
                false,
                "delete",
                "fireworksusers",
                "alice",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/team-a",
                false,
                "get",
                "namespaces",
                "team-a",
            ),
            (
                Method::GET,
                "/api/v1/namespaces",
                false,
                "list",
                "namespaces",
                "",
            ),
            (Method::GET, "/version", false, "list", "/version", ""),
        ] {
            let expected = Request {
                verb,
                resource: resource.into(),
                name,
            };
            let request = Request::to_api_server(&method, path, is_watch);
            assert_eq!(request, expected, "{method} {path}");
        }
    }
}

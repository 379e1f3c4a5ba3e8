//! The API server's audit log: who asked for what. It counts requests where they arrive, so a test need not trust
//! anything the operator reports about itself. Reads only; what is logged is decided by `audit-policy.yaml`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::error::RigError;

/// What an API server has to log for [`AuditLog`] to read: the policy it is started with.
pub const POLICY: &str = include_str!("audit-policy.yaml");

/// The annotation by which the API server logs whether the request was allowed: `allow` or `forbid`.
const DECISION: &str = "authorization.k8s.io/decision";

/// A place in the log: everything before it was logged before the mark was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark(u64);

/// Requests that reached the API server, in the order they were answered. Watches count when they begin.
#[derive(Debug, Clone, Default)]
pub struct AuditLog {
    /// One entry per request.
    pub requests: Vec<Request>,
}

/// One request for a Kubernetes resource. What does not apply is empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The API server's id of the request.
    pub id: String,
    /// When it arrived: RFC 3339 with microseconds.
    pub at: String,
    /// Who asked, e.g. `system:serviceaccount:NAMESPACE:NAME`.
    pub user: String,
    /// The program that asked, as it calls itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Of a watch seen by a fault proxy: it begins with a list of everything.
    pub streams_list: bool,
    /// The API group; empty for the core group.
    pub group: String,
    /// The plural resource, e.g. `configmaps`.
    pub resource: String,
    /// For example `status`.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// That it was refused for want of rights; what admission refuses has the same status.
    pub unauthorized: bool,
    /// The body that was sent, where the policy logs it: writes of `fireworksusers` and of their status.
    pub body: Option<Value>,
}

impl Request {
    /// Whether it was meant to change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}

/// Reads one property of a request.
type Property = fn(&Request) -> &str;

/// Which requests: those that have every property that is set.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    properties: Vec<(Property, String)>,
    writes: bool,
}

impl Requests {
    /// All of them.
    #[must_use]
    pub fn any() -> Self {
        Self::default()
    }

    /// Those of this user.
    #[must_use]
    pub fn by(self, user: &str) -> Self {
        self.property(|request| &request.user, user)
    }

    /// Those with this verb.
    #[must_use]
    pub fn verb(self, verb: &str) -> Self {
        self.property(|request| &request.verb, verb)
    }

    /// Watches that begin with a list of everything, as a fault proxy sees them.
    #[must_use]
    pub fn streamed_lists(self) -> Self {
        self.verb("watch").property(
            |request| if request.streams_list { "yes" } else { "" },
            "yes",
        )
    }

    /// Those that mean to change something, whatever the verb.
    #[must_use]
    pub fn writes(self) -> Self {
        Self {
            writes: true,
            ..self
        }
    }

    /// Those for the resource, given as `RESOURCE` for the thing itself or `RESOURCE/SUBRESOURCE`.
    #[must_use]
    pub fn of(self, resource: &str) -> Self {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        self.property(|request| &request.resource, resource)
            .property(|request| &request.subresource, subresource)
    }

    /// Those in this namespace.
    #[must_use]
    pub fn namespace(self, namespace: &str) -> Self {
        self.property(|request| &request.namespace, namespace)
    }

    /// Those for the object of this name.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.property(|request| &request.name, name)
    }

    /// Whether `request` is one of them.
    #[must_use]
    pub fn include(&self, request: &Request) -> bool {
        (!self.writes || request.is_write())
            && self
                .properties
                .iter()
                .all(|(property, wanted)| property(request) == wanted)
    }

    fn property(mut self, property: Property, wanted: &str) -> Self {
        self.properties.push((property, wanted.to_owned()));
        self
    }
}

impl AuditLog {
    /// The requests that are among `these`.
    pub fn matching(&self, these: &Requests) -> impl Iterator<Item = &Request> {
        self.requests
            .iter()
            .filter(|request| these.include(request))
    }

    /// How many requests are among `these`.
    #[must_use]
    pub fn count(&self, these: &Requests) -> usize {
        self.matching(these).count()
    }

    /// Reads what was logged after `mark`.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn read(path: &Path, mark: Mark) -> Result<Self, RigError> {
        let (lines, _) = whole_lines(path, mark)?;
        let mut log = Self::default();
        let mut places = HashMap::new();
        for line in lines.lines() {
            let event: Event = serde_json::from_str(line).map_err(|error| RigError::Answer {
                what: "read the audit log".to_owned(),
                why: error.to_string(),
            })?;
            log.add(event, &mut places);
        }
        Ok(log)
    }

    /// The mark for everything logged so far.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn end(path: &Path) -> Result<Mark, RigError> {
        Ok(whole_lines(path, Mark::default())?.1)
    }

    /// A watch is logged when it begins and when it ends: one request all the same.
    fn add(&mut self, event: Event, places: &mut HashMap<String, usize>) {
        let request = Request::from(event);
        let place = places.get(&request.id);
        if let Some(known) = place.and_then(|place| self.requests.get_mut(*place)) {
            known.code = request.code;
        } else {
            places.insert(request.id.clone(), self.requests.len());
            self.requests.push(request);
        }
    }
}

/// What the file holds after `mark`, up to the last line that is whole, and the mark of that line's end.
fn whole_lines(path: &Path, mark: Mark) -> Result<(String, Mark), RigError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(mark.0))?;
        file.read_to_end(&mut bytes)
    });
    match read {
        // Nothing was logged yet.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        read => {
            read.map_err(RigError::io(format!(
                "read the audit log {}",
                path.display()
            )))?;
        }
    }
    bytes.truncate(
        bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1),
    );
    let end = Mark(mark.0 + bytes.len() as u64);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), end))
}

/// A line of the log, as far as it is of interest here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    verb: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Reference,
    #[serde(default)]
    response_status: Answer,
    request_object: Option<Value>,
    request_received_timestamp: String,
    #[serde(default)]
    annotations: HashMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    code: u16,
}

impl From<Event> for Request {
    fn from(event: Event) -> Self {
        let Reference {
            resource,
            subresource,
            namespace,
            name,
            api_group,
        } = event.object_ref;
        Self {
            id: event.audit_id,
            at: event.request_received_timestamp,
            user: event.user.username,
            user_agent: event.user_agent,
            verb: event.verb,
            group: api_group,
            resource,
            subresource,
            namespace,
            name,
            code: event.response_status.code,
            streams_list: false,
            unauthorized: event
                .annotations
                .get(DECISION)
                .is_some_and(|it| it == "forbid"),
            body: event.request_object,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn line(id: &str, verb: &str, name: &str) -> String {
        format!(
            r#"{{"kind":"Event","auditID":"{id}","stage":"ResponseComplete","verb":"{verb}","user":{{"username":"eve"}},
            "objectRef":{{"resource":"configmaps","namespace":"a","name":"{name}","apiVersion":"v1"}},
            "responseStatus":{{"metadata":{{}},"code":200}},"requestReceivedTimestamp":"2026-01-01T00:00:00.000000Z"}}"#
        )
        .replace('\n', " ")
    }

    #[test]
    fn refusals_by_rbac_and_by_admission_differ() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        let decided = |decision: &str| {
            let annotations = format!(r#","annotations":{{"{DECISION}":"{decision}"}}}}"#);
            let line = line(decision, "create", "x");
            line.replace("200", "403")
                .strip_suffix('}')
                .unwrap()
                .to_owned()
                + &annotations
        };
        let lines = [decided("allow"), decided("forbid")].join("\n");
        std::fs::write(&path, lines + "\n").unwrap();

        let log = AuditLog::read(&path, Mark::default()).unwrap();
        let seen: Vec<_> = log
            .requests
            .iter()
            .map(|it| (it.code, it.unauthorized))
            .collect();
        assert_eq!(seen, [(403, false), (403, true)]);
    }

    #[test]
    fn requests_are_counted_once_and_only_after_the_mark() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        assert_eq!(AuditLog::end(&path).unwrap(), Mark::default());

        std::fs::write(&path, format!("{}\n", line("1", "get", "x"))).unwrap();
        let mark = AuditLog::end(&path).unwrap();
        let more = [
            line("2", "watch", ""),
            line("3", "patch", "x"),
            line("2", "watch", ""),
        ]
        .join("\n");
        std::fs::write(
            &path,
            format!("{}\n{more}\n{{\"half a li", line("1", "get", "x")),
        )
        .unwrap();

        let log = AuditLog::read(&path, mark).unwrap();
        assert_eq!(log.count(&Requests::any()), 2);
        assert_eq!(log.count(&Requests::any().by("eve").writes()), 1);
        assert_eq!(
            log.count(
                &Requests::any()
                    .verb("patch")
                    .of("configmaps")
                    .namespace("a")
                    .name("x")
            ),
            1
        );
        assert_eq!(log.count(&Requests::any().of("configmaps/status")), 0);
    }
}

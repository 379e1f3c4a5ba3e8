//! Faults as data, and which of them hits which call. Pure: carrying one out is `server`'s work.

use serde::{Deserialize, Serialize};

use crate::{journal::Verb, settings::ErrorShape};

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum Kind {
    /// A google.rpc error; nothing is applied.
    Error {
        /// The number in the body; any number.
        code: i64,
        /// HTTP status; none: the one that goes with the code.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Shape of the body.
        #[serde(default)]
        shape: ErrorShape,
        /// Text of the error; none: a fixed one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// A proxy's HTML page with status 502; nothing is applied.
    Html502,
    /// No answer until the client goes away or the fault is taken back; then the call goes on normally.
    Hang {
        /// Apply the call first, so that only its reply hangs.
        #[serde(default)]
        applied: bool,
    },
    /// Apply the call, then reset the connection without a reply.
    ApplyThenDrop,
    /// Reset the connection; nothing is applied.
    DropBeforeApply,
    /// 429 with any text as `retry-after` (seconds or a date) and `retry-after-ms`.
    Throttle {
        /// Header `retry-after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
        /// Header `retry-after-ms`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<String>,
    },
    /// Apply the change; the user is UPDATING for a time, or until its state is edited.
    StuckUpdating {
        /// Milliseconds; none: until edited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<u64>,
    },
    /// Apply the change; reads show the user before it for a time.
    ReplicaLag {
        /// Milliseconds.
        for_ms: u64,
    },
    /// Wait, then go on normally.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
}

impl Kind {
    /// The name the journal and the control pages use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::Html502 => "html502",
            Self::Hang { .. } => "hang",
            Self::ApplyThenDrop => "applyThenDrop",
            Self::DropBeforeApply => "dropBeforeApply",
            Self::Throttle { .. } => "throttle",
            Self::StuckUpdating { .. } => "stuckUpdating",
            Self::ReplicaLag { .. } => "replicaLag",
            Self::Delay { .. } => "delay",
        }
    }

    /// A google.rpc error in the plain shape, under its own HTTP status.
    #[must_use]
    pub fn error(code: i64) -> Self {
        Self::Error {
            code,
            status: None,
            shape: ErrorShape::Plain,
            message: None,
        }
    }

    /// Whether it explains an answer that the gateway must not give.
    pub(crate) fn breaks_answer(&self) -> bool {
        match self {
            Self::Error { .. } | Self::Html502 | Self::Throttle { .. } => true,
            Self::Hang { .. }
            | Self::ApplyThenDrop
            | Self::DropBeforeApply
            | Self::StuckUpdating { .. }
            | Self::ReplicaLag { .. }
            | Self::Delay { .. } => false,
        }
    }

    /// Whether it means anything for this verb.
    fn suits(&self, verb: Verb) -> bool {
        match self {
            Self::StuckUpdating { .. } | Self::ReplicaLag { .. } => {
                matches!(verb, Verb::Patch | Verb::Post)
            }
            _ => true,
        }
    }
}

/// A fault and the calls it is meant for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Only calls of this verb; none: every verb.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verb: Option<Verb>,
    /// Only calls about this user id; none: every call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// From which matching call on, counted from 1.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many calls it hits; 0: every one.
    #[serde(default = "one")]
    pub times: u64,
    /// What goes wrong.
    #[serde(rename = "fault")]
    pub kind: Kind,
}

fn one() -> u64 {
    1
}

impl Fault {
    /// The next call, whatever it is.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            verb: None,
            user: None,
            nth: 1,
            times: 1,
            kind,
        }
    }

    /// Only calls of this verb.
    #[must_use]
    pub fn on(mut self, verb: Verb) -> Self {
        self.verb = Some(verb);
        self
    }

    /// Only calls about this user.
    #[must_use]
    pub fn of(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// From the nth matching call on, counted from 1.
    #[must_use]
    pub fn from_nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// This many calls.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Every matching call until it is taken back.
    #[must_use]
    pub fn always(self) -> Self {
        self.times(0)
    }

    fn matches(&self, verb: Verb, user: Option<&str>) -> bool {
        self.verb.is_none_or(|wanted| wanted == verb)
            && self
                .user
                .as_deref()
                .is_none_or(|wanted| user == Some(wanted))
            && self.kind.suits(verb)
    }
}

/// A fault in place, with what it has seen so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Armed {
    /// Number of the fault, for taking it back.
    pub id: u64,
    /// The fault.
    #[serde(flatten)]
    pub fault: Fault,
    /// Matching calls so far.
    pub seen: u64,
    /// Calls hit so far.
    pub hits: u64,
}

/// All faults in place, in the order they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    last_id: u64,
    armed: Vec<Armed>,
}

impl Faults {
    pub(crate) fn add(&mut self, fault: Fault) -> u64 {
        self.last_id += 1;
        self.armed.push(Armed {
            id: self.last_id,
            fault,
            seen: 0,
            hits: 0,
        });
        self.last_id
    }

    pub(crate) fn clear(&mut self) {
        self.armed.clear();
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.armed.len();
        self.armed.retain(|armed| armed.id != id);
        self.armed.len() < before
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.armed.iter().any(|armed| armed.id == id)
    }

    pub(crate) fn list(&self) -> Vec<Armed> {
        self.armed.clone()
    }

    /// The fault that hits this call: the oldest that matches and still has hits left. Every matching fault counts the
    /// call, so that "the second PATCH" means the same whatever else is in place.
    pub(crate) fn take(&mut self, verb: Verb, user: Option<&str>) -> Option<(u64, Kind)> {
        let mut taken = None;
        for armed in self
            .armed
            .iter_mut()
            .filter(|armed| armed.fault.matches(verb, user))
        {
            armed.seen += 1;
            let due = armed.seen >= armed.fault.nth;
            let left = armed.fault.times == 0 || armed.hits < armed.fault.times;
            if taken.is_none() && due && left {
                armed.hits += 1;
                taken = Some((armed.id, armed.fault.kind.clone()));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn hits(faults: &mut Faults, calls: &[(Verb, Option<&str>)]) -> Vec<Option<&'static str>> {
        calls
            .iter()
            .map(|(verb, user)| faults.take(*verb, *user).map(|(_, kind)| kind.name()))
            .collect()
    }

    #[test]
    fn the_nth_matching_call_is_hit_as_often_as_asked() {
        let mut faults = Faults::default();
        faults.add(
            Fault::new(Kind::Html502)
                .on(Verb::Patch)
                .of("alice")
                .from_nth(2)
                .times(2),
        );
        let patch = (Verb::Patch, Some("alice"));
        let other = (Verb::Patch, Some("bob"));
        let read = (Verb::Get, Some("alice"));
        assert_eq!(
            hits(&mut faults, &[patch, other, read, patch, patch, patch]),
            [None, None, None, Some("html502"), Some("html502"), None]
        );
    }

    #[test]
    fn two_faults_for_the_same_call_are_used_one_after_the_other() {
        let mut faults = Faults::default();
        faults.add(Fault::new(Kind::Html502));
        faults.add(Fault::new(Kind::ApplyThenDrop));
        let call = (Verb::List, None);
        assert_eq!(
            hits(&mut faults, &[call, call, call]),
            [Some("html502"), Some("applyThenDrop"), None]
        );
    }

    #[test]
    fn a_fault_about_changes_never_hits_a_read() {
        let mut faults = Faults::default();
        faults.add(Fault::new(Kind::ReplicaLag { for_ms: 5 }).always());
        let calls = [
            (Verb::Get, Some("a")),
            (Verb::List, None),
            (Verb::Patch, Some("a")),
        ];
        assert_eq!(hits(&mut faults, &calls), [None, None, Some("replicaLag")]);
    }

    #[test]
    fn faults_are_written_as_documented() {
        let text = r#"{"verb":"PATCH","user":"alice","nth":2,"times":0,
                       "fault":{"kind":"throttle","retryAfter":"2"}}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        let expected = Fault::new(Kind::Throttle {
            retry_after: Some("2".into()),
            retry_after_ms: None,
        });
        assert_eq!(
            fault,
            expected.on(Verb::Patch).of("alice").from_nth(2).always()
        );
        assert!(serde_json::from_str::<Fault>(r#"{"fault":{"kind":"sulk"}}"#).is_err());
    }
}

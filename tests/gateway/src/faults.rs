//! Which fault hits which call: by verb, user and number, or by a seed. Pure: what can go wrong is in `faults/kind.rs`,
//! carrying it out is `server`'s work.

use serde::{Deserialize, Serialize};

use crate::journal::Verb;

pub mod chaos;
pub mod kind;

use chaos::Chance;
pub use chaos::Chaos;
pub use kind::{Kind, RawBody, Rewrite};

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
    chance: Option<(u64, Chance)>,
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

    /// Takes all back, those that a seed chooses included.
    pub(crate) fn clear(&mut self) {
        self.armed.clear();
        self.chance = None;
    }

    /// Lets a seed choose from now on, or no longer. Calls are counted from 1 again.
    pub(crate) fn set_chaos(&mut self, chaos: Option<Chaos>) {
        self.last_id += 1;
        self.chance = chaos.map(|chaos| (self.last_id, Chance::new(chaos)));
    }

    pub(crate) fn chaos(&self) -> Option<&Chaos> {
        self.chance.as_ref().map(|(_, chance)| chance.chaos())
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.armed.len();
        self.armed.retain(|armed| armed.id != id);
        self.armed.len() < before
    }

    pub(crate) fn contains(&self, id: u64) -> bool {
        self.armed.iter().any(|armed| armed.id == id)
            || self.chance.as_ref().is_some_and(|(own, _)| *own == id)
    }

    pub(crate) fn list(&self) -> Vec<Armed> {
        self.armed.clone()
    }

    /// The fault that makes a new connection deaf. Only faults of that kind count connections.
    pub(crate) fn take_connection(&mut self) -> Option<u64> {
        let deaf = |armed: &Armed| armed.fault.kind == Kind::Deaf;
        self.hit(deaf).map(|(id, _)| id)
    }

    /// The fault that makes every connection deaf, those that are open included.
    pub(crate) fn deafness(&self) -> Option<u64> {
        let all = |armed: &&Armed| armed.fault.kind == Kind::Deaf && armed.fault.times == 0;
        self.armed.iter().find(all).map(|armed| armed.id)
    }

    /// The fault that hits this call: the oldest that matches and still has hits left, or else one that the seed
    /// chooses. Every matching fault counts the call, so that "the second PATCH" means the same whatever else is in
    /// place.
    pub(crate) fn take(&mut self, verb: Verb, user: Option<&str>) -> Option<(u64, Kind)> {
        let armed = self.hit(|armed| armed.fault.matches(verb, user));
        let chosen = self.chance.as_mut().and_then(|(id, chance)| {
            let kind = chance.take(verb, user)?;
            Some((*id, kind))
        });
        armed.or(chosen)
    }

    fn hit(&mut self, meant: impl Fn(&Armed) -> bool) -> Option<(u64, Kind)> {
        let mut taken = None;
        for armed in self.armed.iter_mut().filter(|armed| meant(armed)) {
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

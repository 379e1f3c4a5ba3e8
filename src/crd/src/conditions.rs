//! The conditions of a `FireworksUser`: the closed set of reasons, what each means for `Ready`,
//! `Reconciling` and `Stalled`, and how a new list follows from the last one.
//!
//! Pure: no clock, no client, no async. The caller hands in the time and writes the result.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Why `Ready` is what it is. The same word stands in the condition, the Event and the metric.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Reason {
    /// The remote user matches the spec.
    InSync,
    /// The call waits for the request budget, or Fireworks answered 429.
    Throttled,
    /// Fireworks could not be reached or failed while there was work to do.
    RemoteUnavailable,
    /// The account is suspended or out of funds while there was work to do.
    AccountSuspended,
    /// It is not known whether a change took effect.
    Unconfirmed,
    /// The answer could not be understood or was about another user.
    MalformedResponse,
    /// Fireworks is still creating or updating the user.
    RemoteUpdating,
    /// Another object holds the user, and may be about to release it.
    TakingOver,
    /// A defect of the operator: the pass panicked or did not end in time.
    InternalError,
    /// The API key was refused.
    Unauthenticated,
    /// The account has no such user.
    UserNotFound,
    /// The fields match, but Fireworks reports an error for the user.
    RemoteError,
    /// Fireworks refuses the value.
    Rejected,
    /// The key may not do this.
    PermissionDenied,
    /// Fireworks refuses to show the user; of a change that decides nothing.
    ReadRefused,
    /// Fireworks accepts the change but does not store it as asked.
    NotApplied,
    /// A guard holds the change until time or another object lifts it.
    Protected,
    /// A guard holds the change until a person lifts it.
    ProtectedStalled,
    /// Another object owns the user, or the object belonged to another account.
    Conflict,
    /// The namespace of the object may not grant the role, or take it away.
    NamespaceNotAllowed,
    /// Observed only, and the remote user differs.
    Drifted,
    /// Another actor keeps changing the user back; repairs are slowed down.
    Contested,
    /// Fireworks is deleting the user.
    RemoteDeleting,
    /// The spec cannot be read or breaks the rules.
    InvalidSpec,
    /// Suspended, and the last observation does not show a match.
    Suspended,
    /// Suspended, and the last observation matches the spec.
    SuspendedInSync,
}

/// The verdict on `Ready`, and which of `Reconciling` and `Stalled` goes with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReadyState {
    /// `Ready=True`.
    Ready,
    /// `Ready=Unknown`, `Reconciling`: normal progress, or a fault that passes by itself.
    Progressing,
    /// `Ready=False`, `Reconciling`: wrong now, looked at again by itself.
    Failing,
    /// `Ready=False`, `Stalled`: a person has to act.
    Stalled,
    /// `Ready=Unknown` alone: suspended.
    Idle,
}

impl Reason {
    /// Every reason, for tests and tables.
    pub const ALL: [Self; 26] = [
        Self::InSync,
        Self::Throttled,
        Self::RemoteUnavailable,
        Self::AccountSuspended,
        Self::Unconfirmed,
        Self::MalformedResponse,
        Self::RemoteUpdating,
        Self::TakingOver,
        Self::InternalError,
        Self::Unauthenticated,
        Self::UserNotFound,
        Self::RemoteError,
        Self::Rejected,
        Self::PermissionDenied,
        Self::ReadRefused,
        Self::NotApplied,
        Self::Protected,
        Self::ProtectedStalled,
        Self::Conflict,
        Self::NamespaceNotAllowed,
        Self::Drifted,
        Self::Contested,
        Self::RemoteDeleting,
        Self::InvalidSpec,
        Self::Suspended,
        Self::SuspendedInSync,
    ];

    /// The `PascalCase` word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "InSync",
            Self::Throttled => "Throttled",
            Self::RemoteUnavailable => "RemoteUnavailable",
            Self::AccountSuspended => "AccountSuspended",
            Self::Unconfirmed => "Unconfirmed",
            Self::MalformedResponse => "MalformedResponse",
            Self::RemoteUpdating => "RemoteUpdating",
            Self::TakingOver => "TakingOver",
            Self::InternalError => "InternalError",
            Self::Unauthenticated => "Unauthenticated",
            Self::UserNotFound => "UserNotFound",
            Self::RemoteError => "RemoteError",
            Self::Rejected => "Rejected",
            Self::PermissionDenied => "PermissionDenied",
            Self::ReadRefused => "ReadRefused",
            Self::NotApplied => "NotApplied",
            Self::Protected | Self::ProtectedStalled => "Protected",
            Self::Conflict => "Conflict",
            Self::NamespaceNotAllowed => "NamespaceNotAllowed",
            Self::Drifted => "Drifted",
            Self::Contested => "Contested",
            Self::RemoteDeleting => "RemoteDeleting",
            Self::InvalidSpec => "InvalidSpec",
            Self::Suspended | Self::SuspendedInSync => "Suspended",
        }
    }

    /// The reason that a condition `Ready` of that status and reason reports, if it is one of ours.
    #[must_use]
    pub fn reported(ready: &str, reason: &str) -> Option<Self> {
        let is_told = |one: &Self| one.as_str() == reason && one.ready_state().ready() == ready;
        Self::ALL.into_iter().find(is_told)
    }

    /// Whether it reports that another object holds the user.
    #[must_use]
    pub fn names_another_claim(self) -> bool {
        matches!(self, Self::Conflict | Self::TakingOver)
    }

    /// What the reason means for the conditions.
    #[must_use]
    pub fn ready_state(self) -> ReadyState {
        match self {
            Self::InSync | Self::SuspendedInSync => ReadyState::Ready,
            Self::Throttled
            | Self::RemoteUnavailable
            | Self::AccountSuspended
            | Self::Unconfirmed
            | Self::MalformedResponse
            | Self::RemoteUpdating
            | Self::TakingOver
            | Self::InternalError
            | Self::Protected => ReadyState::Progressing,
            Self::Unauthenticated | Self::UserNotFound | Self::RemoteError | Self::Contested => {
                ReadyState::Failing
            }
            Self::Rejected
            | Self::PermissionDenied
            | Self::ReadRefused
            | Self::NotApplied
            | Self::ProtectedStalled
            | Self::Conflict
            | Self::NamespaceNotAllowed
            | Self::Drifted
            | Self::RemoteDeleting
            | Self::InvalidSpec => ReadyState::Stalled,
            Self::Suspended => ReadyState::Idle,
        }
    }
}

impl ReadyState {
    /// The status of `Ready`.
    #[must_use]
    pub fn ready(self) -> &'static str {
        match self {
            Self::Ready => "True",
            Self::Progressing | Self::Idle => "Unknown",
            Self::Failing | Self::Stalled => "False",
        }
    }

    /// The condition that stands beside `Ready`, if any.
    #[must_use]
    pub fn companion(self) -> Option<&'static str> {
        match self {
            Self::Ready | Self::Idle => None,
            Self::Progressing | Self::Failing => Some("Reconciling"),
            Self::Stalled => Some("Stalled"),
        }
    }
}

/// The message of a condition, for people: the operator's text, and the remote's if there is one.
///
/// Messages can neither be compared nor searched, so that no decision depends on their wording:
///
/// ```compile_fail
/// use fireworks_user_operator::conditions::Message;
/// let _ = Message::from("a") == Message::from("b");
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Message {
    /// A change of this text is a change of the condition.
    ours: String,
    /// Bounded and cleaned. A change of this text alone is no change.
    remote: Option<String>,
}

impl Message {
    /// Returns a message with text of the remote, which must be bounded and cleaned.
    #[must_use]
    pub fn with_remote(ours: impl Into<String>, remote: impl Into<String>) -> Self {
        Self {
            ours: ours.into(),
            remote: Some(remote.into()),
        }
    }

    /// Returns the text of the condition.
    #[must_use]
    pub fn render(&self) -> String {
        match self.remote.as_deref().filter(|remote| !remote.is_empty()) {
            Some(remote) => format!("{}: {remote}", self.ours),
            None => self.ours.clone(),
        }
    }

    /// Returns whether `written` differs from this message in the remote's text at most. Decides only whether a
    /// condition is written again.
    fn is_shown_by(&self, written: &str) -> bool {
        match written.strip_prefix(self.ours.as_str()) {
            Some("") => true,
            Some(rest) => self.remote.is_some() && rest.starts_with(": "),
            None => false,
        }
    }
}

impl<T: Into<String>> From<T> for Message {
    fn from(ours: T) -> Self {
        Self {
            ours: ours.into(),
            remote: None,
        }
    }
}

/// The condition of that type, if it is there.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether `Ready` is True for this generation of the spec.
#[must_use]
pub fn is_ready_at(conditions: &[Condition], generation: i64) -> bool {
    find(conditions, "Ready").is_some_and(|ready| {
        ready.status == "True" && ready.observed_generation == Some(generation)
    })
}

/// Returns the time since which `Ready` is False; `now`, if it is not.
#[must_use]
pub fn false_since(conditions: &[Condition], now: Timestamp) -> Timestamp {
    let ready = find(conditions, "Ready").filter(|ready| ready.status == "False");
    ready.map_or(now, |ready| ready.last_transition_time.0)
}

/// The reason of `Ready`, if its condition speaks of this generation.
#[must_use]
pub fn reason_at(conditions: &[Condition], generation: i64) -> Option<&str> {
    find(conditions, "Ready")
        .filter(|ready| ready.observed_generation == Some(generation))
        .map(|ready| ready.reason.as_str())
}

/// The whole list that says `reason` of `generation`. Conditions of other types than ours are
/// dropped: the status belongs to the operator. `lastTransitionTime` moves only with the status.
#[must_use]
pub fn next(
    previous: &[Condition],
    reason: Reason,
    message: &Message,
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let ready_state = reason.ready_state();
    let make = |kind: &str, status: &str| {
        let old = find(previous, kind);
        let since = old
            .filter(|old| old.status == status)
            .map(|old| old.last_transition_time.clone());
        let text = old
            .filter(|old| old.reason == reason.as_str() && message.is_shown_by(&old.message))
            .map_or_else(|| message.render(), |old| old.message.clone());
        Condition {
            last_transition_time: since.unwrap_or(Time(truncate_to_seconds(now))),
            message: text,
            observed_generation: Some(generation),
            reason: reason.as_str().to_owned(),
            status: status.to_owned(),
            type_: kind.to_owned(),
        }
    };
    let mut conditions = vec![make("Ready", ready_state.ready())];
    conditions.extend(ready_state.companion().map(|kind| make(kind, "True")));
    conditions
}

/// Conditions carry whole seconds, as the API server stores them.
fn truncate_to_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn ready_is_never_true_beside_reconciling_or_stalled() {
        for reason in Reason::ALL {
            let list = next(&[], reason, &"x".into(), 1, at(5));
            let ready = find(&list, "Ready").map(|c| c.status.clone());
            if ready.as_deref() == Some("True") {
                assert_eq!(list.len(), 1, "{reason:?}");
            } else {
                assert!(list.len() == 2 || reason == Reason::Suspended, "{reason:?}");
            }
        }
    }

    #[test]
    fn every_reason_is_read_back_from_its_condition() {
        for reason in Reason::ALL {
            let list = next(&[], reason, &"x".into(), 1, at(5));
            let reported =
                find(&list, "Ready").map(|ready| Reason::reported(&ready.status, &ready.reason));
            assert_eq!(reported, Some(Some(reason)));
        }
        assert_eq!(Reason::reported("False", "InSync"), None);
        assert_eq!(Reason::reported("True", "Wonderful"), None);
    }

    #[test]
    fn every_condition_speaks_of_the_generation_it_was_made_for() {
        for reason in Reason::ALL {
            for condition in next(&[], reason, &"x".into(), 7, at(5)) {
                assert_eq!(condition.observed_generation, Some(7));
                assert_eq!(condition.reason, reason.as_str());
            }
        }
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let first = next(&[], Reason::Rejected, &"a".into(), 1, at(5));
        let second = next(&first, Reason::NotApplied, &"b".into(), 2, at(9));
        assert_eq!(second[0].last_transition_time.0, at(5));
        let third = next(&second, Reason::InSync, &"c".into(), 2, at(12));
        assert_eq!(third[0].last_transition_time.0, at(12));
    }

    #[test]
    fn other_words_of_the_remote_are_no_change() {
        let said = |remote: &str| Message::with_remote("refused", remote);
        let first = next(&[], Reason::Rejected, &said("request 1"), 1, at(5));
        assert_eq!(
            next(&first, Reason::Rejected, &said("request 2"), 1, at(9)),
            first
        );
        let other = Message::from("refused by a guard");
        assert_ne!(next(&first, Reason::Rejected, &other, 1, at(9)), first);
        let bare = Message::from("refused");
        assert_eq!(
            next(&first, Reason::Rejected, &bare, 1, at(9))[0].message,
            "refused"
        );
    }

    #[test]
    fn conditions_of_another_generation_are_not_of_this_one() {
        let list = next(&[], Reason::InSync, &"x".into(), 3, at(5));
        assert!(is_ready_at(&list, 3));
        assert!(!is_ready_at(&list, 4));
        assert_eq!(reason_at(&list, 3), Some("InSync"));
        assert_eq!(reason_at(&list, 4), None);
    }
}

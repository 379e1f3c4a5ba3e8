//! What can go wrong in a call, classified where the knowledge is: here. What follows from a class
//! (when to look again, what to report) is decided elsewhere. Pure; nothing here makes a call.
//! Texts are ours, or the gateway's after cleaning: no key, no e-mail address, no HTML.

mod hint;

use std::fmt;
use std::time::Duration;

use super::text;
pub use hint::{RETRY_AFTER_MAX, RETRY_AFTER_MIN, retry_after, retry_delay};

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The gateway or the way to it is ill; the same call may succeed later.
    Transient,
    /// The account's request limit is used up; [`Error::retry_after`] may say for how long.
    Throttled,
    /// The account is suspended or out of funds: no change is accepted.
    AccountSuspended,
    /// The gateway understood and will not do it; the same call will not succeed later.
    Rejected,
    /// The key may not do this.
    Denied,
    /// The key was not accepted; see [`Error::key_version`].
    Unauthenticated,
    /// The gateway says that there is no such thing.
    NotFound,
    /// The answer is none: undecodable, oversized, redirected, or about something else.
    Malformed,
}

/// Whether a failed update may nevertheless have been applied. A failed read never is more than
/// [`Effect::None`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing changed: the request never left, or was refused.
    None,
    /// It may have been applied, or may yet be.
    Unknown,
}

/// The `google.rpc` codes, by their numbers on the wire, and one more name that stands in their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "google.rpc.Code defines them")]
#[repr(u8)]
pub enum Code {
    Ok = 0,
    Cancelled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
    /// No code of `google.rpc`, hence no number: suspended accounts are refused with this name.
    PreconditionFailed = 255,
}

impl Code {
    /// All of `google.rpc`, each at the index that is its number.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Cancelled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code with this number, if there is one.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        usize::try_from(number)
            .ok()
            .and_then(|index| Self::ALL.get(index))
            .copied()
    }

    /// The code with this name, exactly as protobuf writes it, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter().chain([Self::PreconditionFailed]);
        all.find(|code| code.name() == name)
    }

    /// The code's name as protobuf writes it, such as `INVALID_ARGUMENT`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Cancelled => "CANCELLED",
            Self::Unknown => "UNKNOWN",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
        }
    }
}

/// The code of a body, if it decides: an error other than OK is stated.
fn deciding_code(body_code: Option<Code>) -> Option<Code> {
    body_code.filter(|code| *code != Code::Ok)
}

/// Returns the class of an answer that is no success.
///
/// The statuses 402 and 412 mean one thing only. Else the code in the body decides where it is an
/// error, because one HTTP status stands for several codes; else the HTTP status does. A redirect, or
/// a success with an error in it, is malformed whatever its body contains: it is no answer to the
/// request that was sent.
#[must_use]
pub fn classify(http: u16, body_code: Option<Code>) -> Kind {
    if http < 400 {
        return Kind::Malformed;
    }
    if matches!(http, 402 | 412) {
        return Kind::AccountSuspended;
    }
    match deciding_code(body_code) {
        Some(code) => classify_code(code),
        None => match http {
            401 => Kind::Unauthenticated,
            // Without a code in the body these may come from any proxy or firewall on the way.
            403 | 404 => Kind::Malformed,
            429 => Kind::Throttled,
            408 | 409 | 499 => Kind::Transient,
            400..=499 | 501 => Kind::Rejected,
            500..=599 => Kind::Transient,
            _ => Kind::Malformed,
        },
    }
}

fn classify_code(code: Code) -> Kind {
    match code {
        Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Kind::Transient,
        Code::ResourceExhausted => Kind::Throttled,
        Code::InvalidArgument
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::AlreadyExists
        | Code::Unimplemented => Kind::Rejected,
        Code::PreconditionFailed => Kind::AccountSuspended,
        Code::PermissionDenied => Kind::Denied,
        Code::Unauthenticated => Kind::Unauthenticated,
        Code::NotFound => Kind::NotFound,
        Code::Ok => Kind::Malformed,
    }
}

/// Whether an update that was answered like this may have been applied: not when the answer is a
/// refusal, nor when a conflict aborted it.
fn effect_of_answer(kind: Kind, http: u16, code: Option<Code>) -> Effect {
    match kind {
        Kind::Throttled
        | Kind::AccountSuspended
        | Kind::Rejected
        | Kind::Denied
        | Kind::Unauthenticated
        | Kind::NotFound => Effect::None,
        Kind::Transient if code == Some(Code::Aborted) || (code.is_none() && http == 409) => {
            Effect::None
        }
        Kind::Transient | Kind::Malformed => Effect::Unknown,
    }
}

/// A call that failed: what was attempted on what, why, and what is known about its effect.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    attempt: Attempt,
    kind: Kind,
    effect: Effect,
    http: Option<u16>,
    code: Option<Code>,
    message: Box<str>,
    retry_after: Option<Duration>,
    unsent: bool,
}

/// The call that was made: all that an error must know about it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Such as `update user alice`.
    what: Box<str>,
    mutates: bool,
    key_version: u64,
}

impl Attempt {
    /// Returns the attempt to do `what`, made with the key of that version.
    #[must_use]
    pub fn new(what: &str, mutates: bool, key_version: u64) -> Self {
        Self {
            what: text::clean(what, text::MESSAGE_MAX).into(),
            mutates,
            key_version,
        }
    }

    /// Returns the error of a call that ended without a usable answer from the gateway.
    #[must_use]
    pub fn failed(self, kind: Kind, effect: Effect, http: Option<u16>, message: &str) -> Error {
        let effect = if self.mutates { effect } else { Effect::None };
        let message = text::clean(message, text::MESSAGE_MAX).into();
        Error(Box::new(Inner {
            attempt: self,
            kind,
            effect,
            http,
            code: None,
            message,
            retry_after: None,
            unsent: false,
        }))
    }

    /// Returns the error of an answer that is no success.
    #[must_use]
    pub fn refused(
        self,
        http: u16,
        body_code: Option<Code>,
        message: &str,
        retry_after: Option<Duration>,
    ) -> Error {
        let code = deciding_code(body_code);
        let kind = classify(http, code);
        let mut error = self.failed(
            kind,
            effect_of_answer(kind, http, code),
            Some(http),
            message,
        );
        error.0.code = code;
        error.0.retry_after = retry_after;
        error
    }
}

impl Error {
    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// Whether the call may have changed something all the same.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect
    }

    /// The version of the key the call was made with.
    #[must_use]
    pub fn key_version(&self) -> u64 {
        self.0.attempt.key_version
    }

    /// How long the answer asked the client to wait: from [`RETRY_AFTER_MIN`] to [`RETRY_AFTER_MAX`].
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The gateway's words after cleaning, else a few of our own. One line, never empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The code in the body, where it decided.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        self.0.code
    }

    /// Marks a call that never had a connection to leave on.
    #[must_use]
    pub fn unsent(mut self) -> Self {
        self.0.unsent = true;
        self
    }

    /// Whether the call never left: there was no connection.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        self.0.unsent
    }

    /// The HTTP status, where there was an answer.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        self.0.http
    }
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.attempt.what)?;
        match (self.http, self.code) {
            (Some(http), Some(code)) => write!(f, "{http} {}: ", code.name())?,
            (Some(http), None) => write!(f, "{http}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests;

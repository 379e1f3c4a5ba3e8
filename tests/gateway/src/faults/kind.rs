//! What can go wrong, as data. Unless a kind differs the call itself is carried out, and its answer
//! suffers.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{journal::Verb, settings::ErrorShape, user::User};

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
    /// 429 with any text as `retry-after` (seconds or a date) and `retry-after-ms`.
    Throttle {
        /// Header `retry-after`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
        /// Header `retry-after-ms`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<String>,
    },
    /// Any answer at all; nothing is applied unless asked for.
    Raw {
        /// HTTP status.
        status: u16,
        /// Value of `content-type`.
        #[serde(default)]
        content_type: String,
        /// The body: a text, or a list of bytes.
        #[serde(default)]
        body: RawBody,
        /// Carry the call out first.
        #[serde(default)]
        applied: bool,
    },
    /// A redirect to another place; nothing is applied.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where to.
        location: String,
    },

    /// No answer until the client goes away or the fault is taken back; then the call goes on normally.
    Hang {
        /// Apply the call first, so that only its reply hangs.
        #[serde(default)]
        applied: bool,
    },
    /// The head of the answer and half its body come, and the rest when the fault is taken back.
    HangInBody,
    /// Connections are accepted, and nothing that comes over them is read until the fault is taken back. Counts
    /// connections, not calls: verb and user are ignored. With `times` 0 those that are open go deaf, too.
    Deaf,
    /// Apply the call, then reset the connection without a reply.
    ApplyThenDrop,
    /// Reset the connection; nothing is applied.
    DropBeforeApply,
    /// Reset the connection, and apply the call later all the same.
    Zombie {
        /// Milliseconds after its arrival; none: when the fault is taken back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
        /// Leave the client waiting instead of resetting the connection.
        #[serde(default)]
        hang: bool,
    },
    /// Wait, then go on normally.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// The body comes byte by byte.
    SlowBody {
        /// Milliseconds before each byte.
        every_ms: u64,
    },
    /// The connection ends in the middle of the body, whose length was announced.
    Truncated,
    /// After the body come blanks.
    Oversized {
        /// How many; none: without end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },

    /// The body breaks off in the middle, and the answer claims that this is all of it.
    InvalidJson,
    /// The right body under another `content-type`.
    WrongContentType {
        /// The other type.
        content_type: String,
    },
    /// A small body that claims to be compressed and becomes more than 150 MB of blanks.
    GzipBomb,
    /// The answer is about another user.
    WrongUser {
        /// The id it is about.
        id: String,
    },
    /// Keys of the user, or of every row, are as given here: unknown values, nulls, wrong types, unheard-of fields.
    Altered {
        /// Keys and their values.
        #[serde(default)]
        set: Map<String, Value>,
        /// Keys that are not there.
        #[serde(default)]
        remove: Vec<String>,
    },

    /// Bytes of the body in place of a text, wherever it stands: what no JSON writer makes.
    Replaced {
        /// The text.
        from: String,
        /// What comes in its place.
        to: RawBody,
    },

    /// A change is answered with the user as it is, and not applied.
    Ignored,
    /// A change is applied, with something else in place of what was asked for.
    Normalised {
        /// How the display name is rewritten.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        display_name: Option<Rewrite>,
        /// Role in place of any other.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        /// Preset in place of any other, unless it is empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permission_preset: Option<String>,
    },
    /// Apply the change; the user is UPDATING for a time, or until its state is edited.
    StuckUpdating {
        /// Milliseconds; none: until edited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<u64>,
    },
    /// Apply the change; the user is in a state for a time, or until it is edited.
    StuckState {
        /// Name of the state.
        state: String,
        /// Milliseconds; none: until edited.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_ms: Option<u64>,
    },
    /// Apply the change; reads show the user before it for a time.
    ReplicaLag {
        /// Milliseconds.
        for_ms: u64,
    },
    /// Another actor edits the account just before the call is carried out.
    Meanwhile {
        /// Users that are put, past every rule.
        #[serde(default)]
        put: Vec<User>,
        /// Ids of users that are removed.
        #[serde(default)]
        remove: Vec<String>,
    },

    /// A list with a page token is refused: the token has expired.
    ExpiredToken,
    /// A page names itself as the page after it.
    RepeatedToken,
    /// Every row of the page comes twice.
    DuplicatedRows,
    /// The page leaves users out.
    OmittedUsers {
        /// Their ids.
        ids: Vec<String>,
    },
}

/// A body of [`Kind::Raw`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RawBody {
    /// Text.
    Text(String),
    /// Anything.
    Bytes(Vec<u8>),
}

impl Default for RawBody {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl RawBody {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

/// What becomes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Rewrite {
    /// In lower case.
    LowerCase,
    /// Without blanks.
    NoBlanks,
}

impl Rewrite {
    pub(crate) fn of(self, text: &str) -> String {
        match self {
            Self::LowerCase => text.to_lowercase(),
            Self::NoBlanks => text.replace(' ', ""),
        }
    }
}

impl Kind {
    /// The name the journal and the control pages use.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Error { .. } => "error",
            Self::Html502 => "html502",
            Self::Throttle { .. } => "throttle",
            Self::Raw { .. } => "raw",
            Self::Redirect { .. } => "redirect",
            Self::Hang { .. } => "hang",
            Self::HangInBody => "hangInBody",
            Self::Deaf => "deaf",
            Self::ApplyThenDrop => "applyThenDrop",
            Self::DropBeforeApply => "dropBeforeApply",
            Self::Zombie { .. } => "zombie",
            Self::Delay { .. } => "delay",
            Self::SlowBody { .. } => "slowBody",
            Self::Truncated => "truncated",
            Self::Oversized { .. } => "oversized",
            Self::InvalidJson => "invalidJson",
            Self::WrongContentType { .. } => "wrongContentType",
            Self::GzipBomb => "gzipBomb",
            Self::WrongUser { .. } => "wrongUser",
            Self::Altered { .. } => "altered",
            Self::Replaced { .. } => "replaced",
            Self::Ignored => "ignored",
            Self::Normalised { .. } => "normalised",
            Self::StuckUpdating { .. } => "stuckUpdating",
            Self::StuckState { .. } => "stuckState",
            Self::ReplicaLag { .. } => "replicaLag",
            Self::Meanwhile { .. } => "meanwhile",
            Self::ExpiredToken => "expiredToken",
            Self::RepeatedToken => "repeatedToken",
            Self::DuplicatedRows => "duplicatedRows",
            Self::OmittedUsers { .. } => "omittedUsers",
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
            Self::Error { .. }
            | Self::Html502
            | Self::Throttle { .. }
            | Self::Raw { .. }
            | Self::Redirect { .. }
            | Self::InvalidJson
            | Self::WrongContentType { .. }
            | Self::GzipBomb
            | Self::Altered { .. }
            | Self::Replaced { .. }
            | Self::DuplicatedRows => true,
            // What they break is not in the words of one answer.
            Self::Hang { .. }
            | Self::HangInBody
            | Self::Deaf
            | Self::ApplyThenDrop
            | Self::DropBeforeApply
            | Self::Zombie { .. }
            | Self::Delay { .. }
            | Self::SlowBody { .. }
            | Self::Truncated
            | Self::Oversized { .. }
            | Self::WrongUser { .. }
            | Self::Ignored
            | Self::Normalised { .. }
            | Self::StuckUpdating { .. }
            | Self::StuckState { .. }
            | Self::ReplicaLag { .. }
            | Self::Meanwhile { .. }
            | Self::ExpiredToken
            | Self::RepeatedToken
            | Self::OmittedUsers { .. } => false,
        }
    }

    /// Whether it means anything for this verb.
    pub(crate) fn suits(&self, verb: Verb) -> bool {
        match self {
            Self::Deaf => false,
            Self::Zombie { .. }
            | Self::Ignored
            | Self::Normalised { .. }
            | Self::StuckUpdating { .. }
            | Self::StuckState { .. }
            | Self::ReplicaLag { .. } => matches!(verb, Verb::Patch | Verb::Post),
            Self::WrongUser { .. } => matches!(verb, Verb::Get | Verb::Patch | Verb::Post),
            Self::ExpiredToken
            | Self::RepeatedToken
            | Self::DuplicatedRows
            | Self::OmittedUsers { .. } => verb == Verb::List,
            _ => true,
        }
    }
}

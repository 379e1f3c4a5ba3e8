//! A user of the account as the simulator stores it. No rules (see `account`), no gateway JSON (see `wire`): the serde
//! form here is that of the control pages, `/_users`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The state in which a user accepts everything.
pub const READY: &str = "READY";
/// The state while a change is being carried out.
pub const UPDATING: &str = "UPDATING";

/// A `google.rpc.Status` as the gateway shows it: the code is an enum name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RemoteStatus {
    /// Name of a google.rpc code, `OK` for no error; any text may be put here.
    pub code: String,
    /// Developer-facing text.
    pub message: String,
}

impl Default for RemoteStatus {
    fn default() -> Self {
        Self {
            code: "OK".into(),
            message: String::new(),
        }
    }
}

/// One remote user. An empty string means "unset", as in protobuf.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct User {
    /// The last segment of the resource name.
    pub id: String,
    /// Human-readable name.
    pub display_name: String,
    /// Whether it is a service account.
    pub service_account: bool,
    /// Role, in the remote spelling. An out-of-band edit may put any text here.
    pub role: String,
    /// Permission preset; only valid with the role `custom`.
    pub permission_preset: String,
    /// E-mail address.
    pub email: String,
    /// State name. An out-of-band edit may put any text here; empty means unset.
    pub state: String,
    /// Status, or none.
    pub status: Option<RemoteStatus>,
    /// When it was created; none: set when it is put into the account.
    pub create_time: Option<Timestamp>,
    /// When it last changed; the account sets it, always later than before.
    pub update_time: Option<Timestamp>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            id: String::new(),
            display_name: String::new(),
            service_account: false,
            role: "user".into(),
            permission_preset: String::new(),
            email: String::new(),
            state: READY.into(),
            status: Some(RemoteStatus::default()),
            create_time: None,
            update_time: None,
        }
    }
}

impl User {
    /// A READY user with this id and role, and nothing else set.
    #[must_use]
    pub fn new(id: impl Into<String>, role: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            role: role.into(),
            ..Self::default()
        }
    }

    /// The same user with this permission preset.
    #[must_use]
    pub fn preset(mut self, preset: impl Into<String>) -> Self {
        self.permission_preset = preset.into();
        self
    }

    /// The same user with this display name.
    #[must_use]
    pub fn display_name(mut self, name: impl Into<String>) -> Self {
        self.display_name = name.into();
        self
    }

    /// The same user with this e-mail address.
    #[must_use]
    pub fn email(mut self, email: impl Into<String>) -> Self {
        self.email = email.into();
        self
    }

    /// The same user in this state.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = state.into();
        self
    }

    /// The same user with this status.
    #[must_use]
    pub fn status(mut self, code: impl Into<String>, message: impl Into<String>) -> Self {
        self.status = Some(RemoteStatus {
            code: code.into(),
            message: message.into(),
        });
        self
    }

    /// The same user, as a service account.
    #[must_use]
    pub fn service_account(mut self) -> Self {
        self.service_account = true;
        self
    }
}

//! The users of an account as they were read at one time. A snapshot in a file has no e-mail address, so that a pipeline that
//! plans from it needs no key and learns no address.

mod fetch;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fireworks_api::error::Kind;
use fireworks_api::text;
use fireworks_api::wire::{AccountId, Role, State, User, UserId, decode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use fetch::fetch;

/// The version of the file's form.
const VERSION: u32 = 1;
/// The name that a user gets in the file whose id looks like an e-mail address. No manifest can declare it.
pub(crate) const REDACTED_ID: &str = "<redacted>";

/// The users of an account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// The account.
    pub account: AccountId,
    /// When they were read.
    pub taken_at: Timestamp,
    /// The users.
    pub users: BTreeMap<UserId, User>,
    /// Users that single reads showed and the list did not.
    pub omitted: BTreeSet<UserId>,
    /// The number of rows that could not be read.
    pub malformed: usize,
    /// Why the list is incomplete, if it is.
    pub failure: Option<Failed>,
    /// Declared users whose single read failed.
    pub unread: BTreeMap<UserId, Failed>,
    /// Users whose display name contains an e-mail address, which the file does not have.
    pub hidden_names: BTreeSet<UserId>,
    /// E-mail addresses are known, as hashes.
    pub has_emails: bool,
}

/// Why something could not be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failed {
    /// The class of the failure.
    pub kind: Kind,
    /// What was attempted and what came back, fit to be shown.
    pub message: String,
}

/// Why a file is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum NoSnapshot {
    /// It cannot be decoded.
    #[error("the snapshot cannot be used: it is not JSON of the expected form")]
    Form,
    /// It has another version.
    #[error("the snapshot cannot be used: it has version {0}, and this program reads version 1")]
    Version(u32),
    /// The name of the account is not one.
    #[error("the snapshot cannot be used: account: {0}")]
    Account(#[from] fireworks_api::wire::InvalidId),
}

/// The file.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    version: u32,
    account: String,
    taken_at: Timestamp,
    complete: bool,
    malformed_rows: usize,
    /// In the form of the gateway.
    users: Vec<Value>,
}

impl Snapshot {
    /// Returns one of an account of which nothing was read yet.
    #[must_use]
    pub fn new(account: AccountId, taken_at: Timestamp) -> Self {
        Self {
            account,
            taken_at,
            users: BTreeMap::new(),
            omitted: BTreeSet::new(),
            malformed: 0,
            failure: None,
            unread: BTreeMap::new(),
            hidden_names: BTreeSet::new(),
            has_emails: true,
        }
    }

    /// Returns whether every user of the account is known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failure.is_none() && self.malformed == 0
    }

    /// Returns the text of the file, one user a line.
    #[must_use]
    pub fn to_file(&self) -> String {
        let mut redacted = 0;
        let rows = self.users.values().map(|user| {
            let id = user.id.as_str();
            let id = if text::clean(id, id.len().max(1)) == id {
                id.to_owned()
            } else {
                redacted += 1;
                format!("{REDACTED_ID}{redacted}")
            };
            row(user, &format!("accounts/{}/users/{id}", self.account))
        });
        let rows: Vec<String> = rows.map(|row| format!("    {row}")).collect();
        let header = json!({
            "version": VERSION, "account": self.account.as_str(), "takenAt": self.taken_at,
            "complete": self.failure.is_none(), "malformedRows": self.malformed,
        });
        let Value::Object(header) = header else {
            return String::new();
        };
        let mut file = String::from("{\n");
        for (name, value) in &header {
            let _ = writeln!(file, "  {}: {value},", json!(name));
        }
        file += "  \"users\": [\n";
        file += &rows.join(",\n");
        file += "\n  ]\n}\n";
        file
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// [`NoSnapshot`] where it is none.
    pub fn from_file(text: &str) -> Result<Self, NoSnapshot> {
        let stored: Stored = serde_json::from_str(text).map_err(|_| NoSnapshot::Form)?;
        if stored.version != VERSION {
            return Err(NoSnapshot::Version(stored.version));
        }
        let account: AccountId = stored.account.parse()?;
        let mut snapshot = Self::new(account, stored.taken_at);
        snapshot.has_emails = false;
        snapshot.malformed = stored.malformed_rows;
        snapshot.failure = (!stored.complete).then(|| Failed {
            kind: Kind::Transient,
            message: "the snapshot is incomplete".to_owned(),
        });
        for row in &stored.users {
            let Ok(user) = decode::user(row.to_string().as_bytes(), &snapshot.account) else {
                snapshot.malformed += 1;
                continue;
            };
            if row["displayNameRedacted"] == true {
                snapshot.hidden_names.insert(user.id.clone());
            }
            snapshot.users.insert(user.id.clone(), user);
        }
        Ok(snapshot)
    }
}

/// Returns the user as the gateway sends it, without its e-mail address.
fn row(user: &User, name: &str) -> Value {
    let User {
        id: _,
        role,
        permission_preset,
        display_name,
        email: _,
        service_account,
        state,
        status,
        create_time,
        update_time,
    } = user;
    let mut row = Map::new();
    let mut set = |field: &str, value: Value| drop(row.insert(field.to_owned(), value));
    set("name", name.into());
    if *role != Role::Other("".into()) {
        set("role", shown(role.as_str()));
    }
    if let Some(preset) = permission_preset {
        set("permissionPreset", shown(preset));
    }
    match display_name {
        Some(name) if holds_address(name) => set("displayNameRedacted", true.into()),
        Some(name) => set("displayName", name.to_string().into()),
        None => {}
    }
    if *service_account {
        set("serviceAccount", true.into());
    }
    if *state != State::Unspecified {
        set("state", shown(state.as_str()));
    }
    if let Some(status) = status {
        set(
            "status",
            json!({"code": shown(&status.code), "message": shown(&status.message)}),
        );
    }
    for (field, time) in [("createTime", create_time), ("updateTime", update_time)] {
        if let Some(time) = time {
            set(field, json!(time));
        }
    }
    Value::Object(row)
}

/// Returns a text of the gateway without e-mail addresses. What is changed by that is a name that no manifest can have.
fn shown(text: &str) -> Value {
    text::clean(text, text.len().max(1)).into()
}

/// Returns whether the text contains what looks like an e-mail address.
#[must_use]
pub fn holds_address(text: &str) -> bool {
    text::clean(text, text.len().max(1)).contains("<redacted>")
}

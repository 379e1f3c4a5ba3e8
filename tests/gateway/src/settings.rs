//! What a simulator starts with, and the switches that may be moved while it runs: one switch for every fact about the
//! real gateway that is not known for sure. Values only.

use std::{fmt, net::SocketAddr};

use serde::{Deserialize, Serialize};

/// The key that is valid when none is given. It opens nothing but simulators.
pub const TEST_KEY: &str = "fw_0000000000_not_a_real_key";

/// How answers show fields that are not set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnsetStyle {
    /// The key is not there.
    Absent,
    /// `""`, `false`, `0`, `[]`; null for messages. What grpc-gateway does by default.
    #[default]
    Zero,
    /// Always null.
    Null,
}

/// The shapes in which error bodies have been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrorShape {
    /// `{"code", "message", "details"}`.
    #[default]
    Plain,
    /// The same inside `{"error": …}`.
    Wrapped,
    /// Plain, with the name of the code in place of its number.
    Named,
    /// Wrapped, with the name of the code in place of its number.
    WrappedNamed,
}

impl ErrorShape {
    /// Every shape.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Wrapped, Self::Named, Self::WrappedNamed];
}

/// Behaviours that may be changed at any moment, in process or by `/_switches`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent unknown of the real gateway"
)]
pub struct Switches {
    /// A PATCH whose body holds `name` is refused.
    pub reject_name_in_body: bool,
    /// LIST leaves service accounts out, unless the filter asks for `service_account`.
    pub omit_service_accounts_from_list: bool,
    /// A PATCH replaces every field a caller may set: an absent key is cleared.
    pub full_replace_patch: bool,
    /// Answers carry no `updateTime`.
    pub no_update_time: bool,
    /// Answers carry no `email`: the key may not see it.
    pub no_email: bool,
    /// A PATCH that changes nothing moves `updateTime` all the same.
    pub touch_on_noop_patch: bool,
    /// A PATCH that would leave the account without an admin is refused with `FAILED_PRECONDITION`.
    pub refuse_last_admin_demotion: bool,
    /// Every answer carries fields no client knows.
    pub extra_fields: bool,
    /// Roles the account may not hand out: refused with `INVALID_ARGUMENT`.
    pub disabled_roles: Vec<String>,
    /// How unset fields are shown.
    pub unset_style: UnsetStyle,
    /// The shape of the gateway's own errors.
    pub error_shape: ErrorShape,
    /// The account's `suspendState`. With any other than `UNSUSPENDED` changes are refused, with 412 where it is
    /// blocked and with 402 where money is missing.
    pub suspend_state: Option<String>,
    /// Reads of users are refused like changes while the account is suspended.
    pub suspend_reads: bool,
    /// Milliseconds a user stays UPDATING after a PATCH that changed something.
    pub patch_updating_ms: Option<u64>,
    /// Requests per 60 s window that are answered; above it 429. None: no limit.
    pub requests_per_minute: Option<u32>,
    /// Milliseconds before a request is looked at; with a spread, their median.
    pub latency_ms: u64,
    /// How much they vary from request to request: the standard deviation of their logarithm (a lognormal distribution),
    /// in hundredths. 50 makes 120 ms 384 ms at the 99th percentile; 0 makes them all the same.
    pub latency_spread: u32,
}

/// What a simulator starts with.
#[derive(Clone)]
pub struct Settings {
    /// The one account it knows.
    pub account_id: String,
    /// Keys it accepts.
    pub api_keys: Vec<String>,
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many seeded users it starts with.
    pub users: usize,
    /// Seed of the seeded users' roles and names.
    pub seed: u64,
    /// Switches at the start.
    pub switches: Switches,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account_id: "acme".into(),
            api_keys: vec![TEST_KEY.into()],
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            users: 0,
            seed: 0,
            switches: Switches::default(),
        }
    }
}

// Written by hand so that no key is ever printed.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("account_id", &self.account_id)
            .field("api_keys", &self.api_keys.len())
            .field("listen", &self.listen)
            .field("users", &self.users)
            .field("seed", &self.seed)
            .field("switches", &self.switches)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn debug_output_never_shows_a_key() {
        let settings = Settings {
            api_keys: vec!["fw_canary".into()],
            ..Settings::default()
        };
        assert!(!format!("{settings:?}").contains("canary"));
    }

    #[test]
    fn a_misspelt_switch_is_refused() {
        let refused = serde_json::from_str::<Switches>(r#"{"fullReplacePatsh": true}"#);
        assert!(
            refused
                .unwrap_err()
                .to_string()
                .contains("fullReplacePatsh")
        );
    }
}

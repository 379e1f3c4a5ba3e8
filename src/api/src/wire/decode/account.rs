//! Reads what is of use of an account: whether it is suspended, and why. Pure.

use serde::de::MapAccess;

use super::{Fields, Flaw, Loose, NOT_JSON, Scalar, enum_name, object, parse, skip};
use crate::text;
use crate::wire::AccountId;

/// More than any name of a state takes.
const STATE_MAX: usize = 64;
/// The values of `suspendState` in the order of the API's enum.
const SUSPEND_STATES: [&str; 5] = [
    "UNSUSPENDED",
    "FAILED_PAYMENTS",
    "CREDIT_DEPLETED",
    "MONTHLY_SPEND_LIMIT_EXCEEDED",
    "BLOCKED_BY_ABUSE_RULE",
];

/// Returns the `suspendState` of the account in `body`, which must be that one, fit to be shown.
///
/// # Errors
/// Why the answer cannot be used.
pub fn suspend_state(body: &[u8], account: &AccountId) -> Result<Option<String>, Flaw> {
    let raw: RawAccount = parse(body).ok_or(NOT_JSON)?;
    let named = match &raw.name {
        Loose::Text(name) => name.strip_prefix("accounts/"),
        _ => None,
    };
    if named != Some(account.as_str()) {
        return Err("the response is about another account");
    }
    Ok(match raw.suspend_state {
        Loose::Text(state) => Some(text::clean(&state, STATE_MAX)),
        Loose::Number(number) => Some(enum_name(&SUSPEND_STATES, number).into_owned()),
        _ => None,
    })
}

object! {
    RawAccount {
        name: Scalar = "name",
        suspend_state: Scalar = "suspendState" | "suspend_state",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn suspend_state_is_read_of_the_own_account_alone() {
        let read = |body: &str| suspend_state(body.as_bytes(), &"acme".parse().unwrap());
        let own =
            r#"{"name":"accounts/acme","suspendState":"CREDIT_DEPLETED","email":"a@example.com"}"#;
        assert_eq!(read(own), Ok(Some("CREDIT_DEPLETED".to_owned())));
        assert_eq!(read(r#"{"name":"accounts/acme"}"#), Ok(None));
        let numbered = r#"{"name":"accounts/acme","suspendState":3}"#;
        let expected = "MONTHLY_SPEND_LIMIT_EXCEEDED".to_owned();
        assert_eq!(read(numbered), Ok(Some(expected)));
        let mail = r#"{"name":"accounts/acme","suspendState":"bob@example.com\nx"}"#;
        assert_eq!(read(mail), Ok(Some("<redacted> x".to_owned())));
        for other in [
            r#"{"name":"accounts/acme2","suspendState":"CREDIT_DEPLETED"}"#,
            r#"{"suspendState":"CREDIT_DEPLETED"}"#,
            r#"{"code":5,"message":"no"}"#,
            "[]",
            "",
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }
}

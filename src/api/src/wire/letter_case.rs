//! Whether an answer names the account in other letters: upper and lower case make different ids, and a person does not
//! see that an answer is about another account. Looks at answers only that could not be used.

use super::{AccountId, check_id};

/// Returns the id in other letters by which `body` names the account, if it does.
#[must_use]
pub fn other_letters<'a>(body: &'a [u8], account: &AccountId) -> Option<&'a str> {
    let body = std::str::from_utf8(body).ok()?;
    let named = body.split("accounts/").skip(1);
    named
        .filter_map(|rest| rest.split('/').next())
        .filter(|id| check_id(id).is_ok())
        .find(|id| id.eq_ignore_ascii_case(account.as_str()) && *id != account.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_id_in_other_letters_is_returned() {
        let account: AccountId = "Acme".parse().unwrap();
        let found = |body: &str| other_letters(body.as_bytes(), &account).map(str::to_owned);
        let named = |id: &str| format!(r#"{{"users":[{{"name":"accounts/{id}/users/a"}}]}}"#);
        assert_eq!(found(&named("acme")).as_deref(), Some("acme"));
        for other in ["Acme", "acmee", "b", ""] {
            assert_eq!(found(&named(other)), None, "{other}");
        }
        assert_eq!(found("accounts/"), None);
    }
}

//! Values for tests: whatever a test is not about is absent.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "for tests")]

use fireworks_api::wire::{AccountId, PageToken, Role, State, User, decode};

/// Returns a user that is ready and has no more than its role.
#[must_use]
pub fn user(id: &str, role: Role) -> User {
    User {
        id: id.parse().unwrap(),
        role,
        permission_preset: None,
        display_name: None,
        has_email: false,
        service_account: false,
        state: State::Ready,
        status: None,
        create_time: None,
        update_time: None,
    }
}

/// Returns the token of a next page.
#[must_use]
pub fn page_token(text: &str) -> PageToken {
    let account: AccountId = "acme".parse().unwrap();
    let body = format!("{{\"users\":[],\"nextPageToken\":\"{text}\"}}");
    decode::page(body.as_bytes(), &account)
        .unwrap()
        .next
        .unwrap()
}

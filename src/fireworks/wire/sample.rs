//! A user for tests: whatever a test is not about is absent.

use super::{PageToken, Role, State, User};

/// A user that is ready and has no more than its role.
#[allow(clippy::unwrap_used, reason = "a test names it")]
pub(crate) fn user(id: &str, role: Role) -> User {
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

/// The token of a next page.
pub(crate) fn token(text: &str) -> PageToken {
    PageToken(text.into())
}

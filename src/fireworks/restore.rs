//! Makes users admin again where the check after demotions found the account without an admin. An action of the account:
//! it needs no object, takes permits of the top class, and is retried until a check or an answer shows an admin.

use std::sync::Arc;

use super::account::{Account, Failed};
use super::budget::Class;
use super::directory::Restore;
use super::error::Kind;
use super::text;
use super::wire::{UserId, UserPatch};
use crate::runtime::clock;

/// Does what the directory asks for. Runs for as long as the process.
pub async fn run(account: Arc<Account>) {
    loop {
        let directory = account.directory();
        match directory.next_restore(clock::now()) {
            Restore::Idle => directory.restore_woken().await,
            Restore::At(at) => tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                () = directory.restore_woken() => {}
            },
            Restore::User(user, patch) => restore(&account, &user, &patch).await,
        }
    }
}

async fn restore(account: &Account, user: &UserId, patch: &UserPatch) {
    let permit = account.budget().take(Class::Owed).await;
    let directory = account.directory();
    // While it waited for the permit a list may have shown an admin.
    if !matches!(directory.next_restore(clock::now()), Restore::User(next, _) if next == *user) {
        return;
    }
    let shown = text::clean(user.as_str(), text::MESSAGE_MAX);
    let is_gone = match account.update(permit, user, patch).await {
        Ok(_) => {
            tracing::warn!(user = shown, "made a demoted user admin again");
            false
        }
        // The permit waits for the end of the pause.
        Err(Failed::Withheld) => return,
        Err(Failed::Call(error)) => {
            tracing::error!(user = shown, %error, "a demoted user could not be made admin again, retrying");
            *error.kind() == Kind::NotFound
        }
    };
    directory.restore_tried(user, is_gone);
}

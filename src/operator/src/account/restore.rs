//! Makes users admin again where the check after demotions found the account without an admin. An action of the account:
//! it needs no object, takes permits of the top class, and is retried until a check or an answer shows an admin.

use std::sync::Arc;

use fireworks_api::error::{Effect, Kind};
use fireworks_api::text;
use fireworks_api::wire::User;

use super::budget::Class;
use crate::account::directory::{Repair, Restore};
use crate::account::{Account, Failed};
use crate::audit::Mutation;
use crate::clock;

/// Does what the directory asks for. Runs for as long as the process.
pub async fn run(account: Arc<Account>) {
    loop {
        let directory = account.directory();
        match directory.next_restore(clock::now()) {
            Restore::Idle => directory.restore_woken().await,
            Restore::At(at) => tokio::select! {
                () = clock::until(Some(at)) => {}
                () = directory.restore_woken() => {}
            },
            Restore::User(repair) => restore(&account, &repair).await,
        }
    }
}

async fn restore(account: &Account, repair: &Repair) {
    let user = &repair.user;
    let permit = account.budget().take(Class::Owed).await;
    let directory = account.directory();
    // While it waited for the permit a list may have shown an admin.
    if !matches!(directory.next_restore(clock::now()), Restore::User(next) if next.user == *user) {
        return;
    }
    let audit = Mutation {
        object: None,
        cause: "repair",
        user,
        before: repair.before.as_deref(),
        patch: &repair.patch,
        attempt: repair.attempt,
    };
    let audit = audit.begin();
    let result = account.update(permit, user, &repair.patch).await;
    audit.end(outcome(&result), result.as_deref().ok());
    let shown = text::clean(user.as_str(), text::MESSAGE_MAX);
    let is_gone = match result {
        Ok(_) => {
            tracing::warn!(user = shown, "restored a demoted admin");
            false
        }
        // The permit waits for the end of the pause.
        Err(Failed::Withheld) => return,
        Err(Failed::Call(error)) => {
            tracing::error!(user = shown, %error, "failed to restore a demoted admin, retrying");
            *error.kind() == Kind::NotFound
        }
    };
    directory.restore_tried(user, is_gone);
}

/// Returns what came of it, for the audit record.
fn outcome(result: &Result<Arc<User>, Failed>) -> &'static str {
    match result {
        Ok(_) => "applied",
        Err(Failed::Withheld) => "deferred",
        Err(Failed::Call(error)) => match (error.kind(), error.effect()) {
            (Kind::NotFound, _) => "not_found",
            (Kind::Throttled | Kind::Unauthenticated, _) => "deferred",
            (Kind::Rejected | Kind::Denied, _) => "refused",
            (_, Effect::Unknown) => "unknown",
            (_, Effect::None) => "failed",
        },
    }
}

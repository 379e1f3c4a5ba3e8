//! The one reader of the account: sweeps, and reads that somebody waits for. Takes its orders from
//! the directory's agenda, waits for the budget in place, and knows no object and no spec.

use std::sync::Arc;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::UserId;
use fireworks_core::account::Failure;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use super::budget::{Class, Permit};
use crate::account::directory::Listing;
use crate::account::{Account, Failed};
use crate::clock;

/// A list that is told to slow down more often than this has failed.
const THROTTLES_PER_LIST: u32 = 20;

/// Reads what the agenda asks for. Runs for as long as the process.
pub async fn run(account: Arc<Account>) {
    let mut under_way: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    let urgency = watch::Sender::new(Class::Sweep);
    loop {
        let agenda = account.directory().agenda(clock::now());
        if let Some(now) = agenda.urgency {
            urgency.send_if_modified(|before| std::mem::replace(before, now) != now);
        }
        if agenda.list.is_some() {
            under_way.push(list(account.clone(), urgency.subscribe()).boxed());
        }
        for (user, class) in agenda.reads {
            under_way.push(read(account.clone(), user, class).boxed());
        }
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = account.directory().woken() => {}
            () = clock::until(agenda.wake_at) => {}
        }
    }
}

async fn read(account: Arc<Account>, user: UserId, class: Class) {
    let permit = account.budget().take(class).await;
    // Meanwhile a list may have shown the user, or its object may have gone.
    if account.directory().is_still_needed(&user) {
        account.read(permit, &user).await;
    }
}

/// Waits for a permit; who becomes more urgent meanwhile waits on in the other class.
async fn permit(account: &Account, urgency: &mut watch::Receiver<Class>) -> Permit {
    loop {
        let class = *urgency.borrow_and_update();
        tokio::select! {
            permit = account.budget().take(class) => return permit,
            Ok(()) = urgency.changed() => {}
        }
    }
}

async fn list(account: Arc<Account>, urgency: watch::Receiver<Class>) {
    let directory = account.directory();
    match walk(&account, urgency).await {
        Ok(Walk::Complete(listing)) => {
            let took = clock::now() - listing.began();
            tracing::debug!(
                users = listing.users(),
                took_ms = took.as_millis(),
                "listed the account"
            );
            account.listed(listing.users(), took);
            directory.finish_list(&listing, clock::now());
        }
        Ok(Walk::Stopped(listing)) => directory.stop_list(&listing, clock::now()),
        Err(failure) => {
            tracing::warn!(error = %failure.message, "failed to list the account's users");
            directory.fail_list(failure, clock::now());
        }
    }
}

enum Walk {
    Complete(Listing),
    Stopped(Listing),
}

/// Walks the pages. It stops after the first one where reading one by one is cheaper.
async fn walk(account: &Account, mut urgency: watch::Receiver<Class>) -> Result<Walk, Failure> {
    let mut listing = Listing::new(clock::now());
    let mut token = None;
    let mut first = true;
    let mut patience = THROTTLES_PER_LIST;
    loop {
        let permit = permit(account, &mut urgency).await;
        let page = match account
            .list_page(permit, token.as_ref(), &mut listing)
            .await
        {
            Ok(page) => page,
            Err(Failed::Withheld) => continue,
            // The budget pauses; the same page is asked for again when the pause is over.
            Err(Failed::Call(error)) if is_patient(&error, &mut patience) => continue,
            Err(Failed::Call(error)) => return Err(Failure::from(&error)),
        };
        if page.malformed > 0 {
            tracing::warn!(
                rows = page.malformed,
                "skipped malformed rows in the list of users"
            );
        }
        listing.counts(page.malformed);
        let max_users = account.directory().max_users();
        if let Err(why) = listing.check(&page, max_users) {
            return Err(Failure {
                kind: Kind::Malformed,
                message: format!("list users: {why}"),
            });
        }
        let goes_on = !first
            || account
                .directory()
                .learn_total(page.total, page.next.is_none(), clock::now());
        first = false;
        match page.next {
            None => return Ok(Walk::Complete(listing)),
            Some(_) if !goes_on => return Ok(Walk::Stopped(listing)),
            Some(next) => token = Some(next),
        }
    }
}

fn is_patient(error: &Error, patience: &mut u32) -> bool {
    let throttled = *error.kind() == Kind::Throttled && *patience > 0;
    *patience = patience.saturating_sub(1);
    throttled
}

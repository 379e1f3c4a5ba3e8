//! Reads the users of an account: the whole list, and those that are declared and not in it.

use std::collections::BTreeSet;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{PageToken, UserId};

use super::{Failed, Snapshot};
use crate::clock;
use crate::progress::Progress;
use crate::reader::Reader;

/// The most users of an account.
const USERS_MAX: usize = 100_000;
/// Users that a list does not show and of which each is read; of more only these are, and a second list confirms the others.
const PROBES: usize = 3;

/// Reads the account. `declared` are the users that manifests declare. What fails is recorded in the snapshot.
pub async fn fetch(reader: &mut Reader, declared: &[UserId]) -> Snapshot {
    let mut snapshot = Snapshot::new(reader.account().clone(), clock::now());
    let pages = list(reader, &mut snapshot).await;
    if let Some(failure) = &snapshot.failure
        && is_hopeless(failure.kind)
    {
        return snapshot;
    }
    let missing = |snapshot: &Snapshot| -> Vec<UserId> {
        let is_missing = |user: &&UserId| !snapshot.users.contains_key(*user);
        declared.iter().filter(is_missing).cloned().collect()
    };
    let absent = missing(&snapshot);
    if absent.len() <= pages + PROBES {
        read_each(reader, &mut snapshot, &absent).await;
        return snapshot;
    }
    let before = snapshot.users.len();
    read_each(reader, &mut snapshot, &absent[..PROBES]).await;
    let is_shown = snapshot.users.len() > before || !snapshot.unread.is_empty();
    if is_shown || !snapshot.is_complete() {
        read_each(reader, &mut snapshot, &absent[PROBES..]).await;
    } else {
        list(reader, &mut snapshot).await;
    }
    snapshot
}

/// Returns whether every other request would fail in the same way.
fn is_hopeless(kind: Kind) -> bool {
    match kind {
        Kind::Unauthenticated
        | Kind::AccountSuspended
        | Kind::Denied
        | Kind::NotFound
        | Kind::Throttled => true,
        Kind::Transient | Kind::Rejected | Kind::Malformed => false,
    }
}

/// Reads the list into the snapshot, and returns the number of its pages.
async fn list(reader: &mut Reader, snapshot: &mut Snapshot) -> usize {
    let mut seen = BTreeSet::new();
    let (mut token, mut pages, mut empty) = (None::<PageToken>, 0, 0);
    let (mut tokens, mut progress) = (BTreeSet::new(), Progress::default());
    snapshot.malformed = 0;
    loop {
        let page = match reader.page(token.as_ref()).await {
            Ok(page) => page,
            Err(error) => {
                snapshot.failure = Some(Failed::from(&error));
                return pages;
            }
        };
        pages += 1;
        snapshot.malformed += page.malformed;
        let rows = page.users.len() + page.malformed;
        let before = seen.len();
        for user in page.users {
            seen.insert(user.id.clone());
            snapshot.users.insert(user.id.clone(), user);
        }
        empty = if rows == 0 { empty + 1 } else { 0 };
        let Some(next) = page.next else {
            return pages;
        };
        progress.page(seen.len(), page.total);
        let is_new = tokens.insert(next.as_str().to_owned());
        let stalls = !is_new || (rows > 0 && page.malformed == 0 && seen.len() == before);
        if stalls || empty >= 50 || seen.len() > USERS_MAX {
            snapshot.failure = Some(Failed {
                kind: Kind::Malformed,
                message: "list users: the pages repeat themselves or have no end".to_owned(),
            });
            return pages;
        }
        token = Some(next);
    }
}

async fn read_each(reader: &mut Reader, snapshot: &mut Snapshot, users: &[UserId]) {
    for user in users {
        match reader.user(user).await {
            Ok(found) => {
                snapshot.omitted.insert(user.clone());
                snapshot.users.insert(user.clone(), found);
            }
            Err(error) if *error.kind() == Kind::NotFound => {}
            Err(error) => {
                snapshot.unread.insert(user.clone(), Failed::from(&error));
            }
        }
    }
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        Self {
            kind: *error.kind(),
            message: error.to_string(),
        }
    }
}

//! The account as the plan changes it: a copy of the snapshot, which answers every request of the operator's decisions as the
//! gateway would.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_api::error::{Attempt, Effect, Error, Kind};
use fireworks_api::wire::{AccountId, Page, PageToken, State, User, UserId, UserPatch, decode};
use jiff::Timestamp;

use crate::snapshot::{Failed, Snapshot};

/// The number of users on a page.
const PAGE: usize = 200;

const DENIED: &str = "the API key may not change the user, as the status of its object reports";

/// The users, and what cannot be read.
pub(super) struct Remote<'a> {
    account: &'a AccountId,
    users: BTreeMap<UserId, User>,
    listed: Vec<UserId>,
    malformed: usize,
    failure: Option<&'a Failed>,
    unread: &'a BTreeMap<UserId, Failed>,
    /// Users that the API key may not change.
    denied: BTreeSet<UserId>,
}

impl<'a> Remote<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, denied: BTreeSet<UserId>) -> Self {
        let omitted: &BTreeSet<UserId> = &snapshot.omitted;
        let listed = snapshot
            .users
            .keys()
            .filter(|user| !omitted.contains(*user));
        Self {
            account: &snapshot.account,
            users: snapshot.users.clone(),
            listed: listed.cloned().collect(),
            malformed: snapshot.malformed,
            failure: snapshot.failure.as_ref(),
            unread: &snapshot.unread,
            denied,
        }
    }

    /// Answers a page of the list. Where the list failed, so does its last page.
    pub(super) fn page(&self, token: Option<&PageToken>) -> Result<Page, Error> {
        let begin = token
            .and_then(|token| token.as_str().parse().ok())
            .unwrap_or(0);
        let end = self.listed.len().min(begin + PAGE);
        let is_last = end == self.listed.len();
        if let Some(failure) = self.failure.filter(|_| is_last) {
            return Err(failed("list users", failure));
        }
        let rows = self.listed.get(begin..end).unwrap_or_default();
        let users = rows.iter().filter_map(|user| self.users.get(user).cloned());
        Ok(Page {
            users: users.collect(),
            malformed: if begin == 0 { self.malformed } else { 0 },
            next: if is_last { None } else { self.token(end) },
            total: u64::try_from(self.listed.len()).ok(),
        })
    }

    fn token(&self, at: usize) -> Option<PageToken> {
        let body = format!("{{\"users\":[],\"nextPageToken\":\"{at}\"}}");
        decode::page(body.as_bytes(), self.account).ok()?.next
    }

    /// Answers the read of one user.
    pub(super) fn user(&self, user: &UserId) -> Result<User, Error> {
        let what = format!("get user {user}");
        match (self.users.get(user), self.unread.get(user), self.failure) {
            (Some(found), ..) => Ok(found.clone()),
            (None, Some(failure), _) => Err(failed(&what, failure)),
            // The list does not show that there is none.
            (None, None, Some(failure)) if failure.kind != Kind::NotFound => {
                Err(failed(&what, failure))
            }
            (None, None, _) => {
                let attempt = Attempt::new(&what, false, super::KEY_VERSION);
                Err(attempt.failed(Kind::NotFound, Effect::None, Some(404), "no such user"))
            }
        }
    }

    /// Changes a user, and answers it as it is then. A change that was denied before is denied again.
    pub(super) fn update(
        &mut self,
        user: &UserId,
        patch: &UserPatch,
        now: Timestamp,
    ) -> Result<User, Error> {
        let mut after = self.user(user)?;
        if self.denied.contains(user) {
            let what = format!("update user {user}");
            let attempt = Attempt::new(&what, true, super::KEY_VERSION);
            return Err(attempt.failed(Kind::Denied, Effect::None, Some(403), DENIED));
        }
        let UserPatch {
            role,
            permission_preset,
            display_name,
        } = patch;
        let value = |text: &str| (!text.is_empty()).then(|| Box::from(text));
        after.role = role.clone();
        if let Some(preset) = permission_preset {
            after.permission_preset = value(preset);
        }
        if let Some(name) = display_name {
            after.display_name = value(name);
        }
        if after.state != State::Unspecified {
            after.state = State::Ready;
        }
        after.update_time = after.update_time.map(|_| now);
        self.users.insert(user.clone(), after.clone());
        Ok(after)
    }
}

fn failed(what: &str, failure: &Failed) -> Error {
    let attempt = Attempt::new(what, false, super::KEY_VERSION);
    attempt.failed(failure.kind, Effect::None, None, &failure.message)
}

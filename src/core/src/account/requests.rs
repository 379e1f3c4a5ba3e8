//! The requests that the account makes by itself: lists, single reads, the read of the suspended account, and the restoring
//! of admins. Each waits for its permit; [`Account::next_request`] hands it on when it may leave, and `apply` takes its
//! answer.

use std::collections::BTreeMap;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{Page, PageToken, User, UserId};

use super::admins::{Repair, Restore};
use super::limiter::{CallId, Class, Next, Permit};
use super::refresh::{Listing, Schedule};
use super::updates::{Answer, Outcome, UpdateInFlight};
use super::{Account, Call, Failure, Notice};
use crate::rebase::rebase;
use crate::time::Moment;

/// A list whose requests are answered with 429 more often than this has failed.
const THROTTLES_PER_LIST: u32 = 20;

/// One request, to be sent now: its permit is spent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// Read a page of the list: the first, or that one.
    Page(Option<PageToken>),
    /// Read one user.
    User(UserId),
    /// Read the account itself.
    Account,
    /// Make a user admin again.
    Restore(Repair),
}

/// What to do next for the account.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Todo {
    /// Send this request now.
    Send(Request),
    /// Ask again at that time, or after the account was changed.
    WakeAt(Option<Moment>),
}

/// The answer to a request.
#[derive(Debug)]
pub enum Response {
    /// To [`Request::Page`].
    Page(Result<Page, Error>),
    /// To [`Request::User`] about that user.
    User(UserId, Result<User, Error>),
    /// To [`Request::Account`]: its `suspendState`, where it has one.
    Account(Result<Option<String>, Error>),
}

/// When a request was sent, and with which version of the API key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SentAt {
    /// The time.
    pub at: Moment,
    /// The version of the key.
    pub key_version: u64,
}

/// What waits for a permit.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Waiting {
    Page,
    User(UserId),
    Account,
    Restore,
}

/// One walk over the pages of the list.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Walk {
    listing: Listing,
    token: Option<PageToken>,
    is_first: bool,
    patience: u32,
    class: Class,
    /// The permit that the next page waits for.
    queued: Option<CallId>,
}

/// The state of the account's own requests.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Requests {
    waiting: BTreeMap<CallId, Waiting>,
    walk: Option<Walk>,
    restoring: Option<UpdateInFlight>,
    /// What is to be read may have changed.
    is_due: bool,
    /// When to look again without a change.
    due_at: Option<Moment>,
}

// Only the restoring under way is kept: what else is due is found again.
rebase! { Requests {
    rebased: restoring;
    fixed: waiting = BTreeMap::new(), walk = None, is_due = true, due_at = None;
} }

impl Requests {
    pub(super) fn refresh(&mut self) {
        self.is_due = true;
    }

    fn is_restoring(&self) -> bool {
        let is_restore = |waiting: &Waiting| *waiting == Waiting::Restore;
        self.restoring.is_some() || self.waiting.values().any(is_restore)
    }
}

impl Account {
    /// Returns the next request that may leave now, or when to ask again.
    pub fn next_request(&mut self, now: Moment) -> Todo {
        let is_due = self.requests.due_at.is_some_and(|at| at <= now);
        if std::mem::take(&mut self.requests.is_due) || is_due {
            self.queue_requests(now);
        }
        loop {
            match self.limiter.next_grant(now) {
                Next::Change(user) => self.signals.granted.push(user),
                Next::Call(call, permit) => {
                    if let Some(request) = self.permitted(call, permit, now) {
                        return Todo::Send(request);
                    }
                }
                Next::WakeAt(at) => {
                    return Todo::WakeAt(at.into_iter().chain(self.requests.due_at).min());
                }
            }
        }
    }

    /// Has what is due wait for a permit.
    fn queue_requests(&mut self, now: Moment) {
        let Schedule {
            list,
            urgency,
            reads,
            wake_at,
            is_sweep_begun: _,
        } = self.schedule(now);
        self.requests.due_at = wake_at;
        if let Some(class) = list {
            self.begin_walk(class, now);
        }
        if let Some(class) = urgency {
            self.raise_walk(class);
        }
        for (user, class) in reads {
            let call = self.limiter.enqueue_call(class);
            self.requests.waiting.insert(call, Waiting::User(user));
        }
        if self.requests.is_restoring() {
            return;
        }
        match self.admins.checks.next_restore(&self.users, now) {
            Restore::Idle => {}
            Restore::At(at) => {
                self.requests.due_at = wake_at.into_iter().chain([at]).min();
            }
            Restore::User(_) => {
                let call = self.limiter.enqueue_call(Class::Owed);
                self.requests.waiting.insert(call, Waiting::Restore);
            }
        }
    }

    pub(super) fn read_account(&mut self) {
        let call = self.limiter.enqueue_account_read();
        self.requests.waiting.insert(call, Waiting::Account);
    }

    fn begin_walk(&mut self, class: Class, now: Moment) {
        self.requests.walk = Some(Walk {
            listing: Listing::new(now),
            token: None,
            is_first: true,
            patience: THROTTLES_PER_LIST,
            class,
            queued: None,
        });
        self.queue_page();
    }

    /// Has the next page of the list wait for a permit.
    fn queue_page(&mut self) {
        if let Some(walk) = &mut self.requests.walk {
            let call = self.limiter.enqueue_call(walk.class);
            self.requests.waiting.insert(call, Waiting::Page);
            walk.queued = Some(call);
        }
    }

    /// The list is of that class now: a page that waits does so in the other queue.
    fn raise_walk(&mut self, class: Class) {
        let Some(walk) = &mut self.requests.walk else {
            return;
        };
        if walk.class == class {
            return;
        }
        walk.class = class;
        if let Some(call) = walk.queued.take() {
            self.limiter.cancel_call(call);
            self.requests.waiting.remove(&call);
            self.queue_page();
        }
    }

    /// Returns the request that has its permit now, unless it is needed no longer.
    fn permitted(&mut self, call: CallId, permit: Permit, now: Moment) -> Option<Request> {
        let waiting = self.requests.waiting.remove(&call);
        match waiting {
            Some(Waiting::Page) => {
                self.requests.walk.as_mut()?.queued = None;
                if self.spend(permit, now) {
                    let walk = self.requests.walk.as_ref()?;
                    return Some(Request::Page(walk.token.clone()));
                }
                self.queue_page();
            }
            Some(Waiting::User(user)) => {
                // Meanwhile a list may have shown the user, or its object may have gone.
                if !self.is_still_needed(&user) {
                    self.limiter.put_back(permit);
                } else if self.spend(permit, now) {
                    return Some(Request::User(user));
                } else {
                    self.put_back(&user);
                }
            }
            Some(Waiting::Account) => {
                if self.spend(permit, now) {
                    return Some(Request::Account);
                }
                self.read_account();
            }
            Some(Waiting::Restore) => return self.permitted_restore(permit, now),
            None => self.limiter.put_back(permit),
        }
        None
    }

    fn permitted_restore(&mut self, permit: Permit, now: Moment) -> Option<Request> {
        self.requests.is_due = true;
        // While it waited a list may have shown an admin.
        let Restore::User(repair) = self.admins.checks.next_restore(&self.users, now) else {
            self.limiter.put_back(permit);
            return None;
        };
        self.requests.restoring = self.begin_update(permit, &repair.user, &repair.patch, now);
        self.requests.restoring.as_ref()?;
        Some(Request::Restore(repair))
    }

    /// Applies the answer to a request.
    pub fn apply(&mut self, response: Response, sent: SentAt, now: Moment) {
        self.requests.is_due = true;
        match response {
            Response::Page(result) => self.end_page(result, sent, now),
            Response::User(user, result) => self.end_read(&user, result, sent, now),
            Response::Account(result) => self.end_account_read(result, sent, now),
        }
    }

    fn end_read(&mut self, user: &UserId, result: Result<User, Error>, sent: SentAt, now: Moment) {
        let error = result.as_ref().err();
        if self.was_withheld(error, now) {
            return self.put_back(user);
        }
        self.apply_outcome(Call::Read, sent.key_version, error, now);
        match result {
            Ok(seen) => self.apply_read(seen, sent.at),
            // The limiter pauses; the read is due as before when the pause is over.
            Err(error) if *error.kind() == Kind::Throttled => self.put_back(user),
            Err(error) => self.apply_failed_read(user, &error, sent.at, now),
        }
    }

    fn end_account_read(
        &mut self,
        result: Result<Option<String>, Error>,
        sent: SentAt,
        now: Moment,
    ) {
        let error = result.as_ref().err();
        if self.was_withheld(error, now) {
            return self.read_account();
        }
        self.apply_outcome(Call::Account, sent.key_version, error, now);
        let state = result.unwrap_or_else(|error| {
            let notice = Notice::AccountUnread(error.to_string());
            self.signals.notices.push(notice);
            None
        });
        let notice = Notice::AccountSuspended(state.clone());
        self.signals.notices.push(notice);
        let waiting = self.limiter.suspension_named(state);
        self.signals.granted.extend(waiting);
    }

    fn end_page(&mut self, result: Result<Page, Error>, sent: SentAt, now: Moment) {
        let error = result.as_ref().err();
        if self.was_withheld(error, now) {
            return self.queue_page();
        }
        self.apply_outcome(Call::Read, sent.key_version, error, now);
        let Some(mut walk) = self.requests.walk.take() else {
            return;
        };
        match result {
            Ok(page) => match self.apply_rows(&mut walk, page, sent.at, now) {
                Ok(true) => {
                    self.requests.walk = Some(walk);
                    self.queue_page();
                }
                Ok(false) => self.end_walk(&walk, now),
                Err(failure) => self.fail_walk(failure, now),
            },
            // The limiter pauses; the same page is read again when the pause is over.
            Err(error) if *error.kind() == Kind::Throttled && walk.patience > 0 => {
                walk.patience -= 1;
                self.requests.walk = Some(walk);
                self.queue_page();
            }
            Err(error) => self.fail_walk(Failure::from(&error), now),
        }
    }

    /// Applies the rows of a page. Returns whether another page is to be read.
    fn apply_rows(
        &mut self,
        walk: &mut Walk,
        mut page: Page,
        sent_at: Moment,
        now: Moment,
    ) -> Result<bool, Failure> {
        let users = std::mem::take(&mut page.users);
        self.apply_page(&mut walk.listing, users, sent_at);
        if page.malformed > 0 {
            let notice = Notice::MalformedRows(page.malformed);
            self.signals.notices.push(notice);
        }
        walk.listing.counts(page.malformed);
        let checked = walk.listing.check(&page, self.users.limit);
        checked.map_err(|why| Failure {
            kind: Kind::Malformed,
            message: format!("list users: {why}"),
        })?;
        let is_first = std::mem::replace(&mut walk.is_first, false);
        let is_last_page = page.next.is_none();
        let goes_on = !is_first || self.learn_total(page.total, is_last_page, now);
        walk.token = page.next;
        Ok(goes_on && !is_last_page)
    }

    /// The list is complete, or stops after one page where reading one by one is cheaper.
    fn end_walk(&mut self, walk: &Walk, now: Moment) {
        if walk.token.is_some() {
            return self.stop_list(&walk.listing, now);
        }
        self.signals.notices.push(Notice::Listed {
            users: walk.listing.users,
            took: now - walk.listing.began,
        });
        self.finish_list(&walk.listing, now);
    }

    fn fail_walk(&mut self, failure: Failure, now: Moment) {
        let notice = Notice::ListFailed(failure.message.clone());
        self.signals.notices.push(notice);
        self.fail_list(failure, now);
    }

    /// Applies how the restoring of an admin ended. A user that is gone is not tried again.
    pub fn end_restore(&mut self, user: &UserId, answer: Answer, now: Moment) -> Outcome {
        self.requests.is_due = true;
        let Some(update) = self.requests.restoring.take() else {
            return Outcome::Again;
        };
        let was_withheld = self.was_withheld(answer.result.as_ref().err(), now);
        let outcome = self.end_update(update, answer, now);
        if !was_withheld {
            let is_gone = matches!(outcome, Outcome::Missing(_));
            self.restore_tried(user, is_gone);
        }
        outcome
    }
}

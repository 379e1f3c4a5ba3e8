//! The reads of an account as it asks for them, and when: lists fail, or single reads, or both, in every order. The other
//! scenarios make reads at any time. Times are not made relative here, so that the search ends at a fixed time.

use std::time::Duration;

use fireworks_api::error::{Attempt, Effect, Error, Kind};
use fireworks_api::wire::{Page, PageToken, Role, User};
use fireworks_core::account::requests::{Request, Response, SentAt, Todo};
use fireworks_core::account::{Account, Class, Sighting};
use fireworks_core::time::Moment;
use fireworks_core::world;

use crate::model::Model;
use crate::operator::Tables;
use crate::value::user_id;
use crate::world::{Label, Next};

/// When the process begins.
const BEGINNING: Moment = Moment::from_micros(1 << 40);
/// The time after which reads go on to fail or to succeed as they do then.
const CHANGING: Duration = Duration::from_mins(6);
/// The time at which the search ends.
const END: Duration = Duration::from_mins(20);
/// The number of times that lists or single reads begin or cease to fail.
const CHANGES: u8 = 3;
/// Within this time of the last change a read that an object waits for has succeeded: it backs off for up to five minutes.
const READ_WITHIN: Duration = Duration::from_mins(6);
/// Within this time every user has been read: a failing sweep backs off for up to five and a half minutes.
const SWEPT_WITHIN: Duration = Duration::from_mins(12);
const KEY_VERSION: u64 = 1;

/// The size of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Users that objects declare; an object waits for a read of the first.
    pub(crate) users: usize,
    /// Pages of the list. The first shows the declared users.
    pub(crate) pages: usize,
}

/// One state.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct State {
    /// A number of the table of accounts.
    account: u32,
    now: Moment,
    lists_fail: bool,
    gets_fail: bool,
    /// When that changed last.
    since: Moment,
    changes: u8,
    /// Time has passed since the last request: something may change.
    may_change: bool,
}

/// The model.
pub(crate) struct Reads<'a> {
    tables: &'a Tables,
    size: Size,
}

impl<'a> Reads<'a> {
    pub(crate) fn new(tables: &'a Tables, size: Size) -> Self {
        Self { tables, size }
    }

    /// The account makes its next request, which is answered at once, or waits.
    fn advance(&self, state: &State) -> State {
        let mut account = Account::clone(&self.tables.accounts.get(state.account));
        let mut next = *state;
        next.may_change = false;
        match account.next_request(state.now) {
            Todo::Send(request) => {
                let sent = SentAt {
                    at: state.now,
                    key_version: KEY_VERSION,
                };
                if let Some(response) = self.response(state, request) {
                    account.apply(response, sent, state.now);
                }
            }
            Todo::WakeAt(at) => {
                next.now = at.unwrap_or(BEGINNING + END).min(BEGINNING + END);
                next.may_change = true;
            }
        }
        if account.take_signals().outage_ended {
            account.retry_now(state.now);
        }
        next.account = self.tables.accounts.number(account);
        next
    }

    fn response(&self, state: &State, request: Request) -> Option<Response> {
        match request {
            Request::Page(_) if state.lists_fail => Some(Response::Page(Err(unavailable()))),
            Request::Page(token) => Some(Response::Page(Ok(self.page(token.as_ref())))),
            Request::User(user) => {
                let result = if state.gets_fail {
                    Err(unavailable())
                } else {
                    Ok(builders::user(user.as_str(), Role::User))
                };
                Some(Response::User(user, result))
            }
            // No account is suspended, and no user demoted.
            Request::Account | Request::Restore(_) => None,
        }
    }

    fn page(&self, token: Option<&PageToken>) -> Page {
        let number = token.map_or(0, |token| token.as_str().len());
        let declared = (0..self.size.users).map(user);
        let others = (0..10).map(|other| {
            let id = format!("other-{number}-{other}");
            builders::user(&id, Role::User)
        });
        let is_last = number + 1 == self.size.pages;
        Page {
            users: if number == 0 {
                declared.collect()
            } else {
                others.collect()
            },
            malformed: 0,
            next: (!is_last).then(|| builders::page_token(&"x".repeat(number + 1))),
            total: u64::try_from(self.size.pages * 200).ok(),
        }
    }

    /// What changes at a time at which the account waits; an object asks for a read of the first user then.
    fn changed(&self, state: &State, change: impl FnOnce(&mut State)) -> State {
        let mut account = Account::clone(&self.tables.accounts.get(state.account));
        account.request_read(&user_id(0), Class::SpecChange, state.now);
        let mut next = State {
            account: self.tables.accounts.number(account),
            since: state.now,
            changes: state.changes - 1,
            ..*state
        };
        change(&mut next);
        next
    }

    /// When the request was sent that showed the user last.
    fn seen_at(&self, state: &State, at: usize) -> Option<Moment> {
        let account = self.tables.accounts.get(state.account);
        match account.view(&user_id(at), state.now).sighting {
            Sighting::Seen { sent_at, .. } => Some(sent_at),
            Sighting::Never | Sighting::Suspected | Sighting::Absent => None,
        }
    }

    /// The promise that this state breaks: where single reads succeed, users are read; and where lists do, unless fewer users
    /// are declared than there are pages, which are never listed.
    fn broken(&self, state: &State) -> Option<String> {
        let is_listed = !state.lists_fail && self.size.users >= self.size.pages;
        if state.gets_fail && !is_listed {
            return None;
        }
        let lasted = state.now - state.since;
        (0..self.size.users).find_map(|at| {
            let within = if at == 0 { READ_WITHIN } else { SWEPT_WITHIN };
            let seen_at = self.seen_at(state, at);
            let is_read = seen_at.is_some_and(|seen_at| seen_at >= state.since);
            (lasted > within && !is_read)
                .then(|| format!("user {at} was not read for {lasted:?} although reads succeed"))
        })
    }
}

impl Model for Reads<'_> {
    type State = State;

    fn first(&mut self) -> State {
        let settings = world::Settings {
            settle_window: self.tables.settings.settle_window,
            ..builders::settings()
        };
        let id = self.tables.account.clone();
        let mut account = Account::new(id, &settings, BEGINNING, 1).with_rules(self.tables.rules);
        account.key_version = KEY_VERSION;
        for at in 0..self.size.users {
            account.set_managed(&user_id(at), true);
        }
        account.open();
        account.request_read(&user_id(0), Class::SpecChange, BEGINNING);
        let _ = account.take_signals();
        State {
            account: self.tables.accounts.number(account),
            now: BEGINNING,
            lists_fail: false,
            gets_fail: false,
            since: BEGINNING,
            changes: CHANGES,
            may_change: true,
        }
    }

    fn ends(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        if state.now >= BEGINNING + END {
            return;
        }
        let next = self.advance(state);
        let what = if next.may_change {
            "time passes, and the account wakes"
        } else {
            "the account makes a request"
        };
        out.push(Next {
            broken: self.broken(&next),
            state: next,
            label: Label { what, at: 0 },
            free: true,
        });
    }

    fn begins(&mut self, state: &State, out: &mut Vec<Next<State>>) {
        if state.changes == 0 || !state.may_change || state.now > BEGINNING + CHANGING {
            return;
        }
        let lists = self.changed(state, |next| next.lists_fail = !next.lists_fail);
        let gets = self.changed(state, |next| next.gets_fail = !next.gets_fail);
        for (state, what) in [
            (lists, "lists begin or cease to fail"),
            (gets, "single reads begin or cease to fail"),
        ] {
            out.push(Next {
                state,
                label: Label { what, at: 0 },
                free: false,
                broken: None,
            });
        }
    }

    fn at_rest(&mut self, state: &State) -> Result<(), String> {
        self.broken(state).map_or(Ok(()), Err)
    }

    fn lines(&mut self, state: &State) -> Vec<String> {
        let after = |at: Moment| format!("{:?}", at - BEGINNING);
        let mut lines = vec![format!(
            "after {}: lists fail {}, single reads fail {}",
            after(state.now),
            state.lists_fail,
            state.gets_fail
        )];
        for at in 0..self.size.users {
            lines.push(format!(
                "user {at} seen after {:?}",
                self.seen_at(state, at).map(after)
            ));
        }
        lines
    }
}

fn user(at: usize) -> User {
    builders::user(user_id(at).as_str(), Role::User)
}

fn unavailable() -> Error {
    Attempt::new("read users", false, KEY_VERSION).failed(
        Kind::Transient,
        Effect::None,
        Some(503),
        "unavailable",
    )
}

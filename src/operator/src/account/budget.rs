//! The request budget of one account: every call needs a [`Permit`] from here.
//!
//! A token bucket bounded by a 60 s window, pauses asked for by the server, the hold after a refused
//! key, and the queue of those who wait. A pass never waits: it takes a permit or registers its user,
//! and the grant re-triggers that user later. Only tasks of the account wait in place: the
//! reader, and what makes users admin again. Knows no HTTP.

mod pace;
mod queue;
mod state;
mod suspension;
mod turns;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fireworks_api::wire::UserId;
use fireworks_core::time::Moment;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock;
use pace::Pace;
use queue::{Waiter, Who};
use state::{Grant, Probe, Refused, State};
pub use suspension::Name;
use suspension::Turn;
use turns::Turns;

/// What rates are given for.
const MINUTE: Duration = Duration::from_mins(1);
/// No window of this length sees more calls than the limit. A second longer than what is promised: calls take
/// different times to arrive, and the server counts them when they do.
const WINDOW: Duration = Duration::from_secs(61);
/// A grant that nobody used by then goes back.
const GRANT_LIFETIME: Duration = Duration::from_secs(10);
/// While the key is refused, one call in this time asks whether it still is.
const PROBE_EVERY: Duration = Duration::from_mins(1);
/// A 429 without a usable `Retry-After` pauses the account for this long.
const PAUSE_UNSAID: Duration = Duration::from_secs(5);
/// No pause is longer, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_mins(10);
/// Waiters that have left but still stand in a queue, before it is tidied.
const LEAVERS_MAX: usize = 64;
/// Calls that may leave at once after a quiet time.
const BURST: u32 = 60;

/// How urgent a call is; the first named goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// A change that the operator owes the account whatever objects ask for.
    Owed,
    /// Somebody changed a spec.
    SpecChange,
    /// The remote user drifted from its spec.
    DriftRepair,
    /// A user seems to be gone.
    AbsenceCheck,
    /// The regular look at everything.
    Sweep,
}

const CLASSES: usize = 5;

/// Why no permit was given.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Because {
    /// The rate is used up; others are ahead.
    Budget,
    /// The server asked for a pause.
    Paused,
    /// The API key was refused; one probe a minute asks again.
    KeyRefused,
    /// The account is suspended; one probe a minute asks again.
    AccountSuspended,
}

/// Registered, and to be re-triggered with a grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Waiting {
    /// When it began to wait.
    pub since: Moment,
    /// What it waits for.
    pub because: Because,
}

/// The account's budget. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    wake: Notify,
    suspension_began: Notify,
    grants: mpsc::UnboundedSender<UserId>,
}

/// The right to send one call. Dropped unspent, it goes back at once, and so does the probe that it was.
pub struct Permit {
    budget: Budget,
    probe: Option<Probe>,
    spent: bool,
}

impl Permit {
    /// Uses the permit up: the call leaves now. `false` if a pause began meanwhile: nothing may leave.
    #[must_use]
    pub fn spend(mut self, now: Moment) -> bool {
        let mut state = self.budget.lock();
        if state.paused_until.is_some_and(|until| now < until) {
            return false;
        }
        state.sent.push_back(now);
        state.held -= 1;
        drop(state);
        // When the window has room again is known only now.
        self.budget.shared.wake.notify_one();
        self.spent = true;
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.spent {
            let mut state = self.budget.lock();
            state.held -= 1;
            state.put_token_back();
            state.put_probe_back(self.probe);
            drop(state);
            self.budget.shared.wake.notify_one();
        }
    }
}

impl Budget {
    /// A budget of `per_minute` calls in any 60 s, and the stream of users whose grant has come.
    #[must_use]
    pub fn new(per_minute: u32, now: Moment) -> (Self, mpsc::UnboundedReceiver<UserId>) {
        let (grants, granted) = mpsc::unbounded_channel();
        let burst = f64::from(per_minute.min(BURST));
        let state = State {
            per_minute,
            pace: Pace::new(per_minute, now),
            burst,
            tokens: burst,
            refilled: now,
            sent: VecDeque::new(),
            paused_until: None,
            refused: None,
            suspended: None,
            account_read: None,
            queues: Default::default(),
            places: HashMap::new(),
            numbers: 0,
            turns: Turns::default(),
            granted: HashMap::new(),
            held: 0,
        };
        let shared = Shared {
            state: Mutex::new(state),
            wake: Notify::new(),
            suspension_began: Notify::new(),
            grants,
        };
        (
            Self {
                shared: Arc::new(shared),
            },
            granted,
        )
    }

    /// A permit for a call about `user` now, or a place in the queue. Among equally urgent ones the
    /// lanes take turns: a lane is whatever shall not wait for the crowd of another, such as a namespace.
    ///
    /// # Errors
    /// [`Waiting`] if there is none now; the user comes out of the grants' stream later.
    pub fn try_take(
        &self,
        user: &UserId,
        lane: &str,
        class: Class,
        now: Moment,
    ) -> Result<Permit, Waiting> {
        let mut state = self.lock();
        let blocked = state.blocked(now);
        let paused = matches!(blocked, Some((Because::Paused, _)));
        // While the key is refused a grant is the probe: it is good although all others wait.
        if !paused && let Some(grant) = state.granted.remove(user) {
            return Ok(self.permit(&mut state, grant.probe));
        }
        let is_suspended = state.suspended.is_some();
        let is_next = if is_suspended {
            state.is_probe(user, now)
        } else {
            state.is_next(user, class)
        };
        if blocked.is_none() && is_next && state.take_token(now) {
            state.places.remove(user);
            state.went(class as usize);
            let probe = state.probed(true, now);
            return Ok(self.permit(&mut state, probe));
        }
        let since = state.enqueue(user, &lane.into(), class, now);
        drop(state);
        self.shared.wake.notify_one();
        Err(Waiting {
            since,
            because: match blocked {
                Some((because, _)) => because,
                None if is_suspended => Because::AccountSuspended,
                None => Because::Budget,
            },
        })
    }

    /// While the account is suspended: whether it is that user's turn to ask if that is over. Otherwise it has a place
    /// among those that wait for that turn.
    #[must_use]
    pub fn await_turn(&self, user: &UserId, lane: &str, class: Class, now: Moment) -> bool {
        let mut state = self.lock();
        if state.granted.contains_key(user) {
            return true;
        }
        state.enqueue(user, &lane.into(), class, now);
        drop(state);
        self.shared.wake.notify_one();
        false
    }

    /// Waits for a permit. For the reader, which holds no slot of a pass meanwhile.
    pub async fn take(&self, class: Class) -> Permit {
        loop {
            let (grant, granted) = oneshot::channel();
            let waiter = Waiter {
                who: Who::Call(grant),
            };
            self.lock().queues[class as usize].push(&"".into(), waiter);
            self.shared.wake.notify_one();
            // The sender is only dropped with the whole budget, or together with a permit.
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }

    /// Waits for a permit to read the account itself, before all other calls, also while it is suspended.
    pub async fn take_for_account(&self) -> Permit {
        loop {
            let (grant, granted) = oneshot::channel();
            self.lock().account_read = Some(grant);
            self.shared.wake.notify_one();
            if let Ok(permit) = granted.await {
                return permit;
            }
        }
    }

    /// The user has no call to make any more: its place and its grant are free.
    pub fn release(&self, user: &UserId) {
        let mut state = self.lock();
        state.places.remove(user);
        if let Some(grant) = state.granted.remove(user) {
            state.put_token_back();
            state.put_probe_back(grant.probe);
            drop(state);
            self.shared.wake.notify_one();
        }
    }

    /// The server answered 429: a pause, and a slower pace after it.
    pub fn throttled(&self, wait: Option<Duration>, now: Moment) {
        self.lock().pace.complain(now);
        self.pause(wait, now);
    }

    /// The server asked for a pause: nothing leaves before it ends.
    pub fn pause(&self, wait: Option<Duration>, now: Moment) {
        let mut state = self.lock();
        let until = now + wait.unwrap_or(PAUSE_UNSAID).min(PAUSE_MAX);
        if state.paused_until.is_none_or(|old| old < until) {
            state.paused_until = Some(until);
            // No burst when it ends: the bucket is empty then.
            state.tokens = 0.0;
            state.refilled = until;
            state.pace.rest_until(until);
        }
    }

    /// Whether nothing may leave now because the server asked for a pause.
    #[must_use]
    pub fn is_paused(&self, now: Moment) -> bool {
        self.lock().paused_until.is_some_and(|until| now < until)
    }

    /// The server refused the key of that version.
    pub fn key_refused(&self, key_version: u64, current: u64, now: Moment) {
        if key_version == current {
            let next_probe = now + PROBE_EVERY;
            self.lock().refused = Some(Refused {
                key_version,
                next_probe,
            });
        }
    }

    /// Returns whether the server refused the key in use: calls wait for another one, or for a probe that is accepted.
    #[must_use]
    pub fn is_key_refused(&self) -> bool {
        self.lock().refused.is_some()
    }

    /// The server took a key of that version.
    pub fn key_accepted(&self, key_version: u64) {
        let mut state = self.lock();
        if state
            .refused
            .as_ref()
            .is_some_and(|refused| key_version >= refused.key_version)
        {
            state.refused = None;
            drop(state);
            self.shared.wake.notify_one();
        }
    }

    /// A key of a new version is there: a refusal of the old one says nothing of it.
    pub fn key_changed(&self, version: u64) {
        let mut state = self.lock();
        if state
            .refused
            .as_ref()
            .is_some_and(|refused| version > refused.key_version)
        {
            state.refused = None;
            drop(state);
            self.shared.wake.notify_one();
        }
    }

    /// A change, or else a read, was refused because the account is suspended: changes wait from now on, and reads if
    /// one was refused so.
    pub fn account_suspended(&self, is_change: bool, now: Moment) {
        if self.lock().suspend(is_change, now) {
            self.shared.suspension_began.notify_one();
        }
        self.shared.wake.notify_one();
    }

    /// A change, or else a read, succeeded. `true` if that ends a suspension.
    #[must_use]
    pub fn account_serves(&self, is_change: bool) -> bool {
        let mut state = self.lock();
        if state.suspended.is_none() {
            return false;
        }
        let ended = state.resume(is_change);
        drop(state);
        self.shared.wake.notify_one();
        ended
    }

    /// Waits for a suspension to begin.
    pub async fn suspension_began(&self) {
        self.shared.suspension_began.notified().await;
    }

    /// The state of the suspended account was read, or could not be: who waits for a change is re-triggered to report it.
    pub fn suspension_named(&self, name: Option<String>) {
        let mut state = self.lock();
        let Some(suspended) = state.suspended.as_mut() else {
            return;
        };
        suspended.name = name.map_or(Name::Unknown, |name| Name::Known(name.into()));
        let waiting = state.waiting_users();
        drop(state);
        for user in waiting {
            // A closed stream means that the process is ending.
            let _ = self.shared.grants.send(user);
        }
    }

    /// The state of the suspended account; `None` where it is not suspended.
    #[must_use]
    pub fn suspension(&self) -> Option<Name> {
        let state = self.lock();
        state.suspended.as_ref().map(|one| one.name.clone())
    }

    /// How many users wait, in the order of the classes. The reader's own calls are not counted.
    #[must_use]
    pub fn waiting(&self) -> [usize; CLASSES] {
        let mut waiting = [0; CLASSES];
        for place in self.lock().places.values() {
            waiting[place.class as usize] += 1;
        }
        waiting
    }

    /// The pace of calls now, in calls a minute.
    #[must_use]
    pub fn rate(&self, now: Moment) -> f64 {
        self.lock().pace.rate(now)
    }

    /// Hands out grants as tokens come. Runs for as long as the process.
    pub async fn run(&self) {
        loop {
            let wake_at = self.grant_all(clock::now());
            tokio::select! {
                () = clock::until(wake_at) => {}
                () = self.shared.wake.notified() => {}
            }
        }
    }

    /// Grants what can be granted now; the answer is when to look again.
    fn grant_all(&self, now: Moment) -> Option<Moment> {
        loop {
            let mut state = self.lock();
            state.expire_grants(now);
            let probe_at = state.probe_at().filter(|at| *at > now);
            let granted = state.granted.values().map(|grant| grant.expires);
            let soonest = granted.chain(probe_at).min();
            let Some((class, turn)) = state.next_turn(now) else {
                return soonest;
            };
            if let Some((_, until)) = state.blocked(now) {
                return Some(until);
            }
            if !state.take_token(now) {
                let token = state.next_token_at(class, now);
                return Some(soonest.map_or(token, |at| token.min(at)));
            }
            let who = match turn {
                Turn::Account => state.account_read.take().map(Who::Call),
                Turn::Probe(user) => Some(Who::User(user, 0)),
                Turn::Queue => state.pop(class).map(|waiter| waiter.who),
            };
            let Some(who) = who else {
                continue;
            };
            state.went(class);
            let probe = state.probed(matches!(who, Who::User(..)), now);
            match who {
                Who::User(user, _) => {
                    state.places.remove(&user);
                    let expires = now + GRANT_LIFETIME;
                    state.granted.insert(user.clone(), Grant { expires, probe });
                    drop(state);
                    // A closed stream means that the process is ending.
                    let _ = self.shared.grants.send(user);
                }
                Who::Call(grant) => {
                    let permit = self.permit(&mut state, probe);
                    drop(state);
                    // A waiter that is gone drops the permit, which puts the token back.
                    let _ = grant.send(permit);
                }
            }
        }
    }

    fn permit(&self, state: &mut State, probe: Option<Probe>) -> Permit {
        state.held += 1;
        Permit {
            budget: self.clone(),
            probe,
            spent: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;

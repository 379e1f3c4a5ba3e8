//! The gateway for reading: the only place that knows the client, and the only type that sends requests.

use std::collections::VecDeque;
use std::time::Duration;

use fireworks_api::error::{Error, Kind};
use fireworks_api::wire::{AccountId, Page, PageToken, User, UserId};
use fireworks_client::gate::Gate;
use fireworks_client::key::ApiKeys;
use fireworks_client::{Client, Settings, SetupError};
use tokio::time::{Instant, sleep_until};

use crate::clock;

/// The most requests in any minute, burst included.
const PER_MINUTE: usize = 60;
const MINUTE: Duration = Duration::from_mins(1);
/// How often a request that was answered with 429 is sent again.
const TRIES: u32 = 3;
/// The pause after a 429 that asks for none, and the longest that is obeyed.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// Reads users of one account. It has no method that changes anything:
///
/// ```compile_fail
/// # async fn change(
/// #     mut reader: kubectl_fireworks::reader::Reader,
/// #     user: fireworks_api::wire::UserId,
/// #     patch: fireworks_api::wire::UserPatch,
/// # ) {
/// reader.update(&user, &patch).await;
/// # }
/// ```
///
/// while one that reads compiles:
///
/// ```
/// # async fn read(
/// #     mut reader: kubectl_fireworks::reader::Reader,
/// #     user: fireworks_api::wire::UserId,
/// # ) {
/// let _ = reader.user(&user).await;
/// # }
/// ```
#[derive(Debug)]
pub struct Reader {
    client: Client,
    /// When the requests of the last minute were sent.
    sent: VecDeque<Instant>,
    /// The number of requests so far.
    requests: usize,
}

impl Reader {
    /// Returns a reader by these settings. Makes no request.
    ///
    /// # Errors
    /// Settings that cannot work.
    pub fn new(settings: Settings, keys: ApiKeys) -> Result<Self, SetupError> {
        Ok(Self {
            client: Client::new(settings, keys, Gate::new(|| true))?,
            sent: VecDeque::new(),
            requests: 0,
        })
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        self.client.account()
    }

    /// Returns the number of requests that were sent.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests
    }

    /// Reads a page of the list of users: the first, or that one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn page(&mut self, token: Option<&PageToken>) -> Result<Page, Error> {
        let mut tries = 0;
        loop {
            self.take_turn().await;
            match self.client.list(token).await {
                Err(error) if may_retry(&error, &mut tries) => pause(&error).await,
                ended => return ended,
            }
        }
    }

    /// Reads one user.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn user(&mut self, user: &UserId) -> Result<User, Error> {
        let mut tries = 0;
        loop {
            self.take_turn().await;
            match self.client.get(user).await {
                Err(error) if may_retry(&error, &mut tries) => pause(&error).await,
                ended => return ended,
            }
        }
    }

    /// Waits until one more request may be sent, and counts it.
    async fn take_turn(&mut self) {
        if self.sent.len() == PER_MINUTE
            && let Some(oldest) = self.sent.pop_front()
        {
            sleep_until(oldest + MINUTE).await;
        }
        self.sent.push_back(clock::monotonic());
        self.requests += 1;
    }
}

fn may_retry(error: &Error, tries: &mut u32) -> bool {
    *tries += 1;
    *error.kind() == Kind::Throttled && *tries <= TRIES
}

async fn pause(error: &Error) {
    let pause = error.retry_after().unwrap_or(PAUSE);
    sleep_until(clock::monotonic() + pause.clamp(Duration::from_secs(1), PAUSE_MAX)).await;
}

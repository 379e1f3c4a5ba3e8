//! The gateway over HTTP: lists a page of users, gets one, updates one, and gets the account's state. Knows HTTP and
//! Fireworks, and does not know that Kubernetes exists. Every call ends within one deadline, reads a bounded
//! answer, follows no redirect and is made once: whether and when to repeat one is for the caller,
//! who gets a [`User`], a [`Page`] or an [`Error`] that says what is known.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use fireworks_api::error::{self, Attempt, Effect, Error, Kind};
use fireworks_api::text;
use fireworks_api::wire::{
    AccountId, Page, PageToken, User, UserId, UserPatch, decode, letter_case,
};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Body, Certificate, Method, Proxy, Response, Url};
use tokio::time::{Instant, timeout_at};

mod authorities;
pub mod causes;
mod clock;
pub mod gate;
pub mod key;
pub mod last_check;
pub mod url;

use gate::Gate;
use key::{ApiKey, ApiKeys};
use last_check::{LastCheck, Permission};
use url::{BaseUrl, ProxyUrl};

/// How long a connection may take, name resolution and TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a whole call may take, to the last byte of the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the body of a 429 may take: its status and headers are what matters.
const THROTTLED_BODY_TIMEOUT: Duration = Duration::from_secs(1);
/// Shorter than the idle limits of usual load balancers, so that a call seldom meets a connection
/// which is just being closed: its effect would be unknown.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// As many as the passes that call at once, by default: what is closed after each crowd is opened again for the next.
const IDLE_CONNECTIONS: usize = 16;
/// The largest answer that is read, in bytes.
const BODY_MAX: usize = 4 * 1024 * 1024;
/// The most rows the gateway puts on one page.
const PAGE_SIZE: &str = "200";
const USER_AGENT: &str = concat!("fireworks-user-operator/", env!("CARGO_PKG_VERSION"));
/// What is escaped in one segment of a path: everything but RFC 3986's unreserved characters.
pub const PATH_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Whom to talk to, and how to get there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the gateway is.
    pub base_url: BaseUrl,
    /// The account whose users are managed.
    pub account: AccountId,
    /// A PEM file of further certificate authorities to trust, besides the system's.
    pub ca_file: Option<PathBuf>,
    /// A proxy for calls over HTTPS; none is ever taken from the environment.
    pub https_proxy: Option<ProxyUrl>,
    /// Returns the wall-clock time, by which a `Retry-After` date is converted to a duration.
    pub wall_clock: fn() -> jiff::Timestamp,
}

/// Why no client can be made. One line, naming the setting.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of certificate authorities cannot be read.
    #[error("cannot read the CA file {}: {reason}", path.display())]
    CaUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::ErrorKind,
    },
    /// The file of certificate authorities holds none.
    #[error("the CA file {} holds no PEM certificate", path.display())]
    CaEmpty {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file of authorities is damaged.
    #[error("the CA file {}: certificate {number} of {of} is damaged", path.display())]
    CaUnusable {
        /// The file.
        path: PathBuf,
        /// Its place in the file, from 1.
        number: usize,
        /// How many the file holds.
        of: usize,
    },
    /// The proxy's address cannot be used.
    #[error("the HTTPS proxy's URL cannot be used")]
    Proxy,
    /// No certificate authority is known, so no HTTPS server could be trusted.
    #[error(
        "cannot set up TLS: the system has no certificate authorities; install some or give a CA file"
    )]
    NoAuthorities,
    /// A mistake in the program: `main` installs the process-wide cryptography first.
    #[error("cannot set up TLS: no cryptography provider is installed")]
    NoCryptography,
}

/// The gateway's users of one account. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// `…/v1/accounts/{account}/users`
    users_url: Url,
    account: AccountId,
    keys: ApiKeys,
    call_timeout: Duration,
    authorities: usize,
    wall_clock: fn() -> jiff::Timestamp,
}

impl Client {
    /// A client by these settings; makes no call. Reads the CA file, once. A call whose connection is
    /// made while `gate` is shut fails without having left.
    ///
    /// # Errors
    /// Settings that cannot work: see [`SetupError`].
    pub fn new(settings: Settings, keys: ApiKeys, gate: Gate) -> Result<Self, SetupError> {
        let mut users_url = settings.base_url.url().clone();
        let path = format!(
            "{}/v1/accounts/{}/users",
            users_url.path().trim_end_matches('/'),
            utf8_percent_encode(settings.account.as_str(), PATH_SEGMENT)
        );
        users_url.set_path(&path);
        let authorities = match &settings.ca_file {
            Some(path) if !settings.base_url.is_plain() => authorities::read(path)?,
            _ => Vec::new(),
        };
        let count = authorities.len();
        let http = http_client(&settings, authorities, gate)?;
        Ok(Self {
            http,
            users_url,
            account: settings.account,
            wall_clock: settings.wall_clock,
            keys,
            call_timeout: CALL_TIMEOUT,
            authorities: count,
        })
    }

    /// Returns the number of certificate authorities read from the CA file.
    #[must_use]
    pub fn authorities(&self) -> usize {
        self.authorities
    }

    /// The account whose users these are.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.account
    }

    /// The keys the calls are made with.
    #[must_use]
    pub fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    /// One page of the account's users, 200 rows at most: the first, or the one `page` names.
    ///
    /// # Errors
    /// Any [`Kind`]; the effect is always none.
    pub async fn list(&self, page: Option<&PageToken>) -> Result<Page, Error> {
        let mut url = self.users_url.clone();
        url.query_pairs_mut().append_pair("pageSize", PAGE_SIZE);
        if let Some(page) = page {
            url.query_pairs_mut()
                .append_pair("pageToken", page.as_str());
        }
        let exchange = self.exchange(Method::GET, url, "list users", None);
        let (http, body, attempt) = exchange.await?;
        match decode::page(&body, &self.account) {
            // Rows of an account in other letters are all skipped: nothing else would name the cause.
            Ok(page) if page.users.is_empty() && page.malformed > 0 => {
                match letter_case::other_letters(&body, &self.account) {
                    Some(_) => Err(self.unusable(attempt, http, &body, "no usable row")),
                    None => Ok(page),
                }
            }
            Ok(page) => Ok(page),
            Err(flaw) => Err(self.unusable(attempt, http, &body, flaw)),
        }
    }

    /// One user.
    ///
    /// # Errors
    /// Any [`Kind`], also [`Kind::Malformed`] when the response is about another user; the effect is
    /// always none.
    pub async fn get(&self, user: &UserId) -> Result<User, Error> {
        let what = format!("get user {user}");
        let exchange = self.exchange(Method::GET, self.user_url(user), &what, None);
        let (http, body, attempt) = exchange.await?;
        self.user_in(&body, user)
            .map_err(|flaw| self.unusable(attempt, http, &body, flaw))
    }

    /// Changes the fields that `patch` holds, and returns the user as the gateway now sees it.
    ///
    /// # Errors
    /// Any [`Kind`], also [`Kind::Malformed`] when the response is about another user. The update may
    /// have been applied unless [`Error::effect`] says [`Effect::None`]. A future that is dropped
    /// halfway leaves the effect unknown, too.
    pub async fn update(&self, user: &UserId, patch: &UserPatch) -> Result<User, Error> {
        self.update_within(user, patch, Permission::always()).await
    }

    /// As [`Client::update`], for a process that may make updates only now: the update leaves only while the gate is open at the
    /// moment at which its head is written, and has ended within the time of the permission.
    ///
    /// # Errors
    /// As [`Client::update`]; without effect where the gate was shut.
    pub async fn update_within(
        &self,
        user: &UserId,
        patch: &UserPatch,
        permission: Permission,
    ) -> Result<User, Error> {
        let what = format!("update user {user}");
        let update = Some((patch, permission));
        let exchange = self.exchange(Method::PATCH, self.user_url(user), &what, update);
        let (http, body, attempt) = exchange.await?;
        self.user_in(&body, user)
            .map_err(|flaw| self.unusable(attempt, http, &body, flaw))
    }

    /// An answer that cannot be used. An account in other letters is named.
    fn unusable(&self, attempt: Attempt, http: u16, body: &[u8], flaw: decode::Flaw) -> Error {
        let Some(named) = letter_case::other_letters(body, &self.account) else {
            return malformed(attempt, http, flaw);
        };
        let asked = self.account.as_str();
        let words = format!(
            "asked for account {asked}, but the response is about {named}: ids are case-sensitive, check FIREWORKS_ACCOUNT_ID"
        );
        attempt.failed(Kind::Malformed, Effect::Unknown, Some(http), &words)
    }

    /// Returns the account's `suspendState`, cleaned, where it has one.
    ///
    /// # Errors
    /// Any [`Kind`], also [`Kind::Malformed`] when the answer is about another account; the effect is
    /// always none.
    pub async fn suspend_state(&self) -> Result<Option<String>, Error> {
        let mut url = self.users_url.clone();
        let path = url.path().trim_end_matches("/users").to_owned();
        url.set_path(&path);
        let what = format!("get account {}", self.account);
        let exchange = self.exchange(Method::GET, url, &what, None);
        let (http, body, attempt) = exchange.await?;
        decode::suspend_state(&body, &self.account).map_err(|flaw| malformed(attempt, http, flaw))
    }

    fn user_url(&self, user: &UserId) -> Url {
        let mut url = self.users_url.clone();
        let path = format!(
            "{}/{}",
            url.path(),
            utf8_percent_encode(user.as_str(), PATH_SEGMENT)
        );
        url.set_path(&path);
        url
    }

    fn user_in(&self, body: &[u8], asked: &UserId) -> Result<User, decode::Flaw> {
        let user = decode::user(body, &self.account)?;
        if user.id == *asked {
            Ok(user)
        } else {
            Err("the response is about another user")
        }
    }

    /// One exchange. A success hands back its status and body; whether they are any good is the
    /// caller's to find out, who gets the attempt for the error it may have to make.
    async fn exchange(
        &self,
        method: Method,
        url: Url,
        what: &str,
        update: Option<(&UserPatch, Permission)>,
    ) -> Result<(u16, Vec<u8>, Attempt), Error> {
        let within = update.as_ref().map(|(_, permission)| permission.within);
        let within = within.map_or(self.call_timeout, |within| within.min(self.call_timeout));
        let deadline = clock::now() + within;
        let key = self.keys.current();
        let attempt = Attempt::new(what, update.is_some(), key.version);
        let request = self
            .http
            .request(method, url)
            .header(AUTHORIZATION, key.header.clone());
        let mut was_refused = None;
        let request = match update {
            Some((body, permission)) => request.json(body).build().map(|mut request| {
                let bytes = request.body().and_then(Body::as_bytes).unwrap_or_default();
                let bytes = Bytes::copy_from_slice(bytes);
                let (body, refused) = LastCheck::new(bytes, permission.gate);
                was_refused = Some(refused);
                *request.body_mut() = Some(Body::wrap(body));
                request
            }),
            None => request.build(),
        };
        let sending = async { self.http.execute(request?).await };
        let response = match timeout_at(deadline, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) if was_refused.is_some_and(|refused| refused.load(Ordering::Relaxed)) => {
                let words = "not sent, since this process may not make updates any more";
                let failed = attempt.failed(Kind::Transient, Effect::None, None, words);
                return Err(failed.unsent());
            }
            Ok(Err(error)) => return Err(unanswered(attempt, &error)),
            Err(_) => {
                let words = "no response in time";
                return Err(attempt.failed(Kind::Transient, Effect::Unknown, None, words));
            }
        };
        let status = response.status();
        if status.is_success() {
            let http = status.as_u16();
            return match read_body(response, deadline).await {
                Ok(body) => Ok((http, body, attempt)),
                Err(stop @ BodyError::TooLarge) => Err(malformed(attempt, http, stop.words())),
                Err(stop) => {
                    Err(attempt.failed(Kind::Transient, Effect::Unknown, Some(http), stop.words()))
                }
            };
        }
        Err(self.refusal(attempt, response, deadline, &key).await)
    }

    /// Returns the error of an answer that is no success, with the message of its body.
    async fn refusal(
        &self,
        attempt: Attempt,
        response: Response,
        deadline: Instant,
        key: &ApiKey,
    ) -> Error {
        let http = response.status().as_u16();
        if response.status().is_redirection() {
            return attempt.refused(http, None, "a redirect, which is not followed", None);
        }
        let wait = error::retry_after(response.headers(), (self.wall_clock)());
        let html = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        // A pause begins when the whole answer was read: that must not take long.
        let deadline = match http {
            429 => deadline.min(clock::now() + THROTTLED_BODY_TIMEOUT),
            _ => deadline,
        };
        match read_body(response, deadline).await {
            Ok(body) => {
                let said = decode::error_body(&body);
                let code = said.as_ref().and_then(|said| said.code);
                // The longer one where headers and body differ.
                let wait = wait.max(said.as_ref().and_then(|said| said.retry_delay));
                let words = match said {
                    Some(said) => said.message.unwrap_or_default().into_string(),
                    None => decode::plain_words(&body, html),
                };
                let words = text::clean(&key.redact(&words), text::MESSAGE_MAX);
                attempt.refused(
                    http,
                    code,
                    if words.is_empty() {
                        "no message"
                    } else {
                        &words
                    },
                    wait,
                )
            }
            // These mean one thing only; with the others the lost body was to decide.
            Err(stop) if matches!(http, 401 | 402 | 412 | 429) => {
                attempt.refused(http, None, stop.words(), wait)
            }
            Err(stop @ BodyError::TooLarge) => attempt.refused(http, None, stop.words(), wait),
            Err(stop) => attempt.failed(Kind::Transient, Effect::Unknown, Some(http), stop.words()),
        }
    }
}

fn malformed(attempt: Attempt, http: u16, flaw: decode::Flaw) -> Error {
    attempt.failed(Kind::Malformed, Effect::Unknown, Some(http), flaw)
}

/// No answer came. Before there was a connection nothing can have been done.
fn unanswered(attempt: Attempt, error: &reqwest::Error) -> Error {
    let cause = causes::root(error);
    if error.is_connect() {
        let words = format!("cannot connect: {cause}");
        attempt
            .failed(Kind::Transient, Effect::None, None, &words)
            .unsent()
    } else {
        let words = format!("the connection broke: {cause}");
        attempt.failed(Kind::Transient, Effect::Unknown, None, &words)
    }
}

#[derive(Clone, Copy, Debug)]
enum BodyError {
    TooLarge,
    Broken,
    TooSlow,
}

impl BodyError {
    fn words(self) -> &'static str {
        match self {
            Self::TooLarge => "the response is too large",
            Self::Broken => "the response ended early",
            Self::TooSlow => "the response did not end in time",
        }
    }
}

/// The whole body, read chunk by chunk so that never more than the cap is held.
async fn read_body(mut response: Response, deadline: Instant) -> Result<Vec<u8>, BodyError> {
    if response
        .content_length()
        .is_some_and(|length| length > BODY_MAX as u64)
    {
        return Err(BodyError::TooLarge);
    }
    let mut body = Vec::new();
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() <= BODY_MAX => {
                body.extend_from_slice(&chunk);
            }
            Ok(Ok(Some(_))) => return Err(BodyError::TooLarge),
            Ok(Ok(None)) => return Ok(body),
            Ok(Err(_)) => return Err(BodyError::Broken),
            Err(_) => return Err(BodyError::TooSlow),
        }
    }
}

fn http_client(
    settings: &Settings,
    authorities: Vec<Certificate>,
    gate: Gate,
) -> Result<reqwest::Client, SetupError> {
    // Without it building a client would panic.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(SetupError::NoCryptography);
    }
    let accept = [(ACCEPT, http::HeaderValue::from_static("application/json"))];
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(accept.into_iter().collect())
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connector_layer(gate)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS);
    if let Some(proxy) = &settings.https_proxy {
        builder = builder.proxy(Proxy::https(proxy.url().clone()).map_err(|_| SetupError::Proxy)?);
    }
    // Plain HTTP needs no authority, and must work where the system has no authorities.
    if settings.base_url.is_plain() {
        return builder
            .tls_certs_only([])
            .build()
            .map_err(|_| SetupError::NoAuthorities);
    }
    if !authorities.is_empty() {
        builder = builder.tls_certs_merge(authorities);
    }
    builder.build().map_err(|_| SetupError::NoAuthorities)
}

#[cfg(test)]
mod tests;

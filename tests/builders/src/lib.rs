//! Values for tests: whatever a test is not about is absent, and nothing stands in the way.
//!
//! The suites depend on this crate. The unit tests of `fireworks-core` include this file as a module, since for them the
//! types of their own crate are not those that a dependency knows.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "for tests")]

use std::time::Duration;

use fireworks_api::wire::{AccountId, PageToken, Role, State, User, decode};
use fireworks_core::account::{Account, Mask, OtherAdmins, Sighting};
use fireworks_core::claims::{Ownership, Possession};
use fireworks_core::grants::Grants;
use fireworks_core::time::Moment;
use fireworks_core::user::desired::Desired;
use fireworks_core::user::facts::Observed;
use fireworks_core::user::identity::Identity;
use fireworks_core::user::messages;
use fireworks_core::user::plan::Finding;
use fireworks_core::user::status::{self, Facts, Seen};
use fireworks_core::world::Settings;
use fireworks_crd::FireworksUserStatus;
use jiff::Timestamp;

/// The settle window of [`settings`].
pub const SETTLE_WINDOW: Duration = Duration::from_secs(30);
/// The sweep interval of [`settings`].
pub const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Returns the account of all tests that need only one.
#[must_use]
pub fn account_id() -> AccountId {
    "acme".parse().unwrap()
}

/// Returns the settings of a process as it is installed, for small accounts.
#[must_use]
pub fn settings() -> Settings {
    Settings {
        observe_only: false,
        settle_window: SETTLE_WINDOW,
        sweep_interval: SWEEP_INTERVAL,
        requests_per_minute: 300,
        max_users: 1_000,
        grants: Grants::default(),
    }
}

/// Returns an account of which nothing is known yet, with 60 requests a minute and at most 100,000 users.
#[must_use]
pub fn account(at: Moment, seed: u64) -> Account {
    let settings = Settings {
        requests_per_minute: 60,
        max_users: 100_000,
        ..settings()
    };
    Account::new(account_id(), &settings, at, seed)
}

/// Returns a user that is ready and has no more than its role.
#[must_use]
pub fn user(id: &str, role: Role) -> User {
    User {
        id: id.parse().unwrap(),
        role,
        permission_preset: None,
        display_name: None,
        email: None,
        service_account: false,
        state: State::Ready,
        status: None,
        create_time: None,
        update_time: None,
    }
}

/// Returns a spec that asks for the role alone.
#[must_use]
pub fn desired(id: &str, role: Role) -> Desired {
    Desired {
        user: id.parse().unwrap(),
        role,
        permission_preset: None,
        display_name: None,
        observe: false,
        suspended: false,
        service_account: false,
        expected_email: None,
        accepts_identity: None,
        replaces_role: None,
    }
}

/// Returns the facts of an object that owns its user, in an account with another admin: what differs is changed.
#[must_use]
pub fn observed(sighting: Sighting) -> Observed {
    Observed {
        sighting,
        unsettled_until: None,
        possibly_in_flight_until: None,
        failure: None,
        ownership: Ownership::Mine(Possession::Held),
        may_take_over: false,
        other_account: false,
        identity: Identity::Accepted,
        ready_at_generation: false,
        refused_at_generation: false,
        has_matched: false,
        converged_at_generation: false,
        matched_at_generation: false,
        silent_too_long: false,
        refusal: None,
        tries: 0,
        contested: None,
        is_protected: false,
        may_grant: true,
        other_admins: OtherAdmins::Known(1),
        mask: Mask::Trusted,
        trouble_stands: false,
    }
}

/// Returns what a status of generation 1 is made of.
#[must_use]
pub fn facts<'a>(
    account: &'a AccountId,
    desired: Option<&'a Desired>,
    seen: Seen<'a>,
    finding: &'a Finding,
) -> Facts<'a> {
    Facts {
        generation: 1,
        account,
        desired,
        seen,
        identity: match seen {
            Seen::User(_) => Identity::Accepted,
            Seen::Nobody | Seen::Unknown => Identity::Unseen,
        },
        finding,
        claim: None,
        is_contended: false,
        spec_manager: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Returns the status that reports the facts, after that one.
#[must_use]
pub fn reported(previous: &FireworksUserStatus, facts: &Facts<'_>) -> FireworksUserStatus {
    let (reason, message) = messages::describe(facts);
    status::next(previous, facts, reason, &message)
}

/// Returns the token of a next page.
#[must_use]
pub fn page_token(text: &str) -> PageToken {
    let body = format!("{{\"users\":[],\"nextPageToken\":\"{text}\"}}");
    let page = decode::page(body.as_bytes(), &account_id());
    page.unwrap().next.unwrap()
}

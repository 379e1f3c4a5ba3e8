//! Small measurements of what runs once for each user: a page of the directory, the plan, the comparison of a status.
//! `make bench` runs them. Nothing is asserted here: how much is allocated is counted by the tests.

// A program of its own: it reads the real clock, and what it is made of is known to be right.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::fmt::Write;
use std::time::Duration;

use builders::account_id;
use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use fireworks_api::wire::{Page, Role, decode};
use fireworks_core::account::denials::Denial;
use fireworks_core::account::{Account, Listing, Mask, OtherAdmins, Sighting};
use fireworks_core::claims::{Ownership, Possession};
use fireworks_core::rules::Rules;
use fireworks_core::time::Moment;
use fireworks_core::user::desired::Desired;
use fireworks_core::user::facts::{self, Gathered};
use fireworks_core::user::identity::Identity;
use fireworks_core::user::plan::{Finding, Plan, plan};
use fireworks_core::user::state::ObjectState;
use fireworks_core::user::status::Seen;
use fireworks_core::user::status_patch::difference;
use fireworks_crd::FireworksUserStatus;
use fireworks_user_operator::api_object::ApiObject;
use kube::core::WatchEvent;
use serde_json::{Map, json};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const PAGE: usize = 200;
const USERS: usize = 10_000;

fn main() {
    divan::main();
}

/// The body of a page as the gateway sends it.
fn body(first: usize) -> Vec<u8> {
    let mut rows = String::new();
    for number in first..first + PAGE {
        let comma = if number == first { "" } else { "," };
        write!(
            rows,
            r#"{comma}{{"name":"accounts/acme/users/user-{number:05}","displayName":"Ada Lovelace {number}",
            "serviceAccount":false,"createTime":"2026-01-01T00:00:00.000001Z","role":"contributor","email":"u@example.com",
            "state":"READY","status":{{"code":"OK","message":""}},"updateTime":"2026-01-02T00:00:00.000001Z",
            "permissionPreset":""}}"#
        )
        .unwrap();
    }
    format!(r#"{{"users":[{rows}],"nextPageToken":"next","totalSize":{USERS}}}"#).into_bytes()
}

fn page(first: usize) -> Page {
    decode::page(&body(first), &account_id()).unwrap()
}

/// An account of which objects declare every user.
fn remote() -> Account {
    let mut account = builders::account(Moment::from_micros(1 << 40), 1);
    for number in 0..USERS {
        account.set_managed(&desired(number).user, true);
    }
    account
}

#[divan::bench]
fn a_page_of_200_users_parsed(bencher: Bencher<'_, '_>) {
    let (body, account) = (body(0), account_id());
    bencher
        .counter(ItemsCount::new(PAGE))
        .bench(|| decode::page(black_box(&body), &account).unwrap());
}

/// The page says what is known already, as every page of a sweep in sync does.
#[divan::bench]
fn a_page_of_200_users_folded(bencher: Bencher<'_, '_>) {
    let mut remote = remote();
    let now = Moment::from_micros(1 << 40);
    remote.apply_page(&mut Listing::new(now), page(0).users, now);
    bencher
        .counter(ItemsCount::new(PAGE))
        .with_inputs(|| (Listing::new(now), page(0).users))
        .bench_local_values(|(mut listing, users)| {
            remote.apply_page(&mut listing, users, Moment::from_micros(1 << 40));
            listing
        });
}

fn desired(number: usize) -> Desired {
    Desired {
        display_name: Some(format!("Ada Lovelace {number}").into()),
        ..builders::desired(&format!("user-{number:05}"), Role::Contributor)
    }
}

/// The status of an object in sync.
fn reported(desired: &Desired, sighting: &Sighting) -> FireworksUserStatus {
    let account = account_id();
    let facts = builders::facts(
        &account,
        Some(desired),
        Seen::from(sighting),
        &Finding::InSync,
    );
    builders::reported(&FireworksUserStatus::default(), &facts)
}

#[divan::bench]
fn a_plan_for_each_of_10_000_users_in_sync(bencher: Bencher<'_, '_>) {
    let (mut remote, now) = (remote(), Moment::from_micros(1 << 40));
    let mut listing = Listing::new(now);
    for first in (0..USERS).step_by(PAGE) {
        remote.apply_page(&mut listing, page(first).users, now);
    }
    let desired: Vec<Desired> = (0..USERS).map(desired).collect();
    let first = remote.view(&desired.first().unwrap().user, now);
    let status = reported(desired.first().unwrap(), &first.sighting);
    let object_state = ObjectState {
        generation: 1,
        ..ObjectState::default()
    };
    let plan_one = |desired: &Desired| {
        let gathered = Gathered {
            view: remote.view(&desired.user, now),
            status: &status,
            generation: 1,
            object_state: &object_state,
            has_matched: true,
            is_suspended: false,
            settled_from: None,
            ownership: Ownership::Mine(Possession::Held),
            may_take_over_now: false,
            other_account: false,
            identity: Identity::Accepted,
            running_for: Duration::ZERO,
            contested: None,
            is_protected: false,
            may_grant: true,
            other_admins: OtherAdmins::Known(2),
            mask: Mask::Trusted,
            denial: Denial::default(),
            time: jiff::Timestamp::UNIX_EPOCH,
        };
        let observed = facts::facts(gathered, Rules::default());
        plan(desired, &observed, Rules::default())
    };
    assert_eq!(plan_one(desired.first().unwrap()), Plan::InSync);
    bencher.counter(ItemsCount::new(USERS)).bench_local(|| {
        desired
            .iter()
            .map(plan_one)
            .filter(|plan| *plan == Plan::InSync)
            .count()
    });
}

fn sighting_of(number: usize) -> Sighting {
    let (mut remote, now) = (remote(), Moment::from_micros(1 << 40));
    remote.apply_page(&mut Listing::new(now), page(0).users, now);
    remote.view(&desired(number).user, now).sighting
}

/// What a pass in sync ends with: the status as it would be, compared with the one that is there.
#[divan::bench]
fn a_status_that_has_not_changed(bencher: Bencher<'_, '_>) {
    let (account, desired, sighting) = (account_id(), desired(7), sighting_of(7));
    let previous = reported(&desired, &sighting);
    let seen = Seen::from(&sighting);
    let facts = builders::facts(&account, Some(&desired), seen, &Finding::InSync);
    bencher.bench_local(|| builders::reported(&previous, &facts) == previous);
}

/// An object as the watch brings it, after a change of its spec by kubectl and a status of ours.
#[divan::bench]
fn an_object_that_arrives(bencher: Bencher<'_, '_>) {
    let status = reported(&desired(7), &sighting_of(7));
    let fields = |part: &str, names: &[&str]| {
        let names = names.iter().map(|name| (format!("f:{name}"), json!({})));
        json!({format!("f:{part}"): names.collect::<Map<_, _>>()})
    };
    let reported = [
        "conditions",
        "createTime",
        "name",
        "observedGeneration",
        "role",
        "state",
        "updateTime",
        "userId",
    ];
    let object = json!({
        "apiVersion": "iam.fireworks.ai/v1alpha1", "kind": "FireworksUser",
        "metadata": {
            "name": "user-00007", "namespace": "ml-platform", "uid": "6f7d1bb5-8e5c-4a44-9df0-ef1d6f0a9a33",
            "generation": 2, "resourceVersion": "123456", "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [
                {"manager": "kubectl", "operation": "Apply", "apiVersion": "iam.fireworks.ai/v1alpha1",
                    "time": "2026-01-02T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields("spec", &["displayName", "role"])},
                {"manager": "fireworks-user-operator", "operation": "Update", "apiVersion": "iam.fireworks.ai/v1alpha1",
                    "time": "2026-01-03T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields("status", &reported),
                    "subresource": "status"},
            ],
        },
        "spec": {"displayName": "Ada Lovelace 7", "managementPolicy": "Manage", "role": "contributor"},
        "status": status,
    });
    let text = format!(r#"{{"type":"MODIFIED","object":{object}}}"#);
    bencher.bench(|| serde_json::from_str::<WatchEvent<ApiObject>>(black_box(&text)).unwrap());
}

/// The body of a status write.
#[divan::bench]
fn a_status_that_has_changed(bencher: Bencher<'_, '_>) {
    let previous = FireworksUserStatus::default();
    let next = reported(&desired(7), &sighting_of(7));
    bencher.bench_local(|| {
        let json = |status| serde_json::to_string(status).unwrap();
        let (old, new) = (json(&previous), json(&next));
        serde_json::to_string(&difference(&old, &new).unwrap()).unwrap()
    });
}

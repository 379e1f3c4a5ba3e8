//! Lists of every size, and lists that shift, repeat, omit and break while they are read: no user is missed, none is
//! held for gone that is there, and no walk over the pages is endless. Most of it by the production client, budget,
//! directory and reader against the simulator, without Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fireworks_api::wire::{AccountId, UserId};
use fireworks_client::gate::Gate;
use fireworks_client::key::ApiKeys;
use fireworks_client::{Client, Settings};
use fireworks_core::account::Sighting;
use fireworks_core::account::limiter::Class;
use fireworks_core::world::{self, World};
use fireworks_gateway_simulator::{
    Entry, Fault, Kind, RawBody, Settings as GatewaySettings, Simulator, User, Verb,
};
use fireworks_user_operator::account::{self, Gateway};
use fireworks_user_operator::clock;
use fireworks_user_operator::metrics::Metrics;
use fireworks_user_operator::shared::{Requeue, Shared};
use futures::future::join_all;
use rig::until;
use serde_json::json;

use crate::stage::{Stage, brief, manifest};

/// Far above what reading the largest account takes.
const LONG: Duration = Duration::from_mins(2);
/// Long enough that no sweep but the first is due.
const HOURLY: Duration = Duration::from_hours(1);

fn sighting(shared: &Shared, user: &UserId) -> Sighting {
    let now = clock::now();
    shared.read(|world| world.account.view(user, now).sighting)
}

fn request_list(shared: &Shared, user: &UserId) {
    shared.change(|world| {
        let account = &mut world.account;
        account.request_list(user, Class::SpecChange);
    });
}

/// An account that is read for objects which speak of some of its users. What their passes would do is done here:
/// who is suspected to be gone is asked for.
struct Reading {
    gateway: Simulator,
    shared: Arc<Shared>,
    managed: Vec<UserId>,
    /// Who was ever held for gone.
    gone: Arc<Mutex<BTreeSet<String>>>,
}

impl Reading {
    /// Begins to read; ends with the test's runtime.
    fn begin(gateway: Simulator, managed: &[String]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let account: AccountId = gateway.account_id().parse().unwrap();
        let settings = Settings {
            wall_clock: operator_runtime::clock::timestamp,
            base_url: gateway.base_url().parse().unwrap(),
            account: account.clone(),
            ca_file: None,
            https_proxy: None,
        };
        let keys = ApiKeys::fixed(gateway.api_key()).unwrap();
        let client = Client::new(settings, keys, Gate::new(|| true)).unwrap();
        let settings = world::Settings {
            settle_window: Duration::from_secs(1),
            sweep_interval: HOURLY,
            requests_per_minute: 6_000,
            max_users: 100_000,
            ..builders::settings()
        };
        let metrics = Metrics::new("test");
        let world = World::new(account, settings, clock::now(), 1);
        let (shared, mut requeued) = Shared::new(world, metrics.clone());
        let shared = Arc::new(shared);
        let managed: Vec<UserId> = managed.iter().map(|id| id.parse().unwrap()).collect();
        shared.change(|world| {
            for user in &managed {
                world.account.set_managed(user, true);
            }
            world.account.open();
        });
        let gone: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (reconciled, noted) = (shared.clone(), gone.clone());
        tokio::spawn(async move {
            while let Some(Requeue::Changed(of) | Requeue::Granted(of)) = requeued.recv().await {
                let user = of.user;
                match sighting(&reconciled, &user) {
                    Sighting::Suspected => reconciled.change(|world| {
                        let account = &mut world.account;
                        account.request_read(&user, Class::AbsenceCheck, clock::now());
                    }),
                    Sighting::Absent => {
                        noted.lock().unwrap().insert(user.to_string());
                    }
                    Sighting::Never | Sighting::Seen { .. } => {}
                }
            }
        });
        let requests = Gateway::new(shared.clone(), client, metrics, Arc::new(()));
        tokio::spawn(account::run(requests));
        Self {
            gateway,
            shared,
            managed,
            gone,
        }
    }

    /// Waits until all users have been seen, but for `nobody`, which is known to be gone.
    async fn until_all_is_known(&self, what: &str) {
        let known = async || {
            let unclear = self.managed.iter().filter(|user| {
                let seen = sighting(&self.shared, user);
                match user.as_str() {
                    "nobody" => !matches!(seen, Sighting::Absent),
                    _ => !matches!(seen, Sighting::Seen { .. }),
                }
            });
            let unclear: Vec<_> = unclear.collect();
            if unclear.is_empty() {
                Ok(())
            } else {
                Err(format!("{what}: {unclear:?}"))
            }
        };
        until(LONG, "all users to be known", known)
            .await
            .unwrap_or_else(|timeout| panic!("{timeout}\n{:#?}", brief(&self.gateway.journal())));
        let gone = self.gone.lock().unwrap().clone();
        assert!(gone.iter().all(|one| one == "nobody"), "{what}: {gone:?}");
    }

    fn calls(&self, verb: Verb) -> Vec<Entry> {
        let journal = self.gateway.journal().into_iter();
        journal.filter(|entry| entry.verb == verb).collect()
    }
}

fn account_of(users: usize) -> Simulator {
    let settings = GatewaySettings {
        users,
        ..GatewaySettings::default()
    };
    Simulator::start(settings).unwrap()
}

fn id(number: usize) -> String {
    format!("user-{number:05}")
}

/// `nobody`, and enough users of such an account that reading it as a list is worth it: all of a small one.
fn interest_in(users: usize) -> Vec<String> {
    let step = if users > 1_000 { 100 } else { 1 };
    // The first few are left to be removed.
    let first = if users > 10 { 10 } else { 0 };
    let some = (first..users).step_by(step);
    let around_the_edges = [199, 200, 201, 399, 400, users.saturating_sub(1)];
    let edges = around_the_edges.into_iter().filter(|one| *one < users);
    let all: BTreeSet<usize> = some.chain(edges).collect();
    let names = all.into_iter().map(id);
    names.chain(["nobody".to_owned()]).collect()
}

#[tokio::test]
async fn accounts_of_every_size_are_read_whole_with_no_call_too_many() {
    let sizes = [0, 1, 50, 51, 199, 200, 201, 10_001];
    join_all(sizes.map(async |users| {
        let reading = Reading::begin(account_of(users), &interest_in(users));
        reading.until_all_is_known(&format!("{users} users")).await;
        let lists = reading.calls(Verb::List);
        assert_eq!(lists.len(), users.div_ceil(200).max(1), "{users} users");
        let reads = reading.calls(Verb::Get);
        assert_eq!(reads.len(), 1, "{users} users: {:?}", brief(&reads));
    }))
    .await;
}

/// A user before the page goes or comes while the list is read, so that a row is never shown, or shown twice.
#[tokio::test]
async fn rows_that_move_while_a_list_is_read_hide_no_user() {
    let sizes = [201, 401, 10_001];
    let went = |number| Kind::Meanwhile {
        put: Vec::new(),
        remove: vec![id(number)],
    };
    let came = |number: usize| Kind::Meanwhile {
        put: vec![User::new(format!("a-{number}"), "user")],
        remove: Vec::new(),
    };
    let both = sizes
        .into_iter()
        .flat_map(|users| [(users, true), (users, false)]);
    join_all(both.map(async |(users, goes)| {
        let gateway = account_of(users);
        for page in 2..=6_u64 {
            let number = usize::try_from(page).unwrap();
            let kind = if goes { went(number) } else { came(number) };
            gateway.add_fault(Fault::new(kind).on(Verb::List).from_nth(page));
        }
        let reading = Reading::begin(gateway, &interest_in(users));
        let what = format!("{users} users, goes: {goes}");
        reading.until_all_is_known(&what).await;
        let asked: BTreeSet<_> = reading.calls(Verb::Get).into_iter().collect_users();
        assert_eq!(asked.contains("user-00200"), goes, "{what}: {asked:?}");
    }))
    .await;
}

/// The users that calls were about.
trait Users {
    fn collect_users(self) -> BTreeSet<String>;
}

impl<I: Iterator<Item = Entry>> Users for I {
    fn collect_users(self) -> BTreeSet<String> {
        self.filter_map(|entry| entry.user).collect()
    }
}

#[tokio::test]
async fn a_list_whose_pages_go_in_circles_ends_and_proves_nothing() {
    let gateway = account_of(450);
    let circle = Fault::new(Kind::RepeatedToken).on(Verb::List).always();
    gateway.add_fault(circle);
    let reading = Reading::begin(gateway, &interest_in(450));
    // It stays wanted until one succeeds; without it the next would come with the next sweep.
    let absent_user = "nobody".parse().unwrap();
    request_list(&reading.shared, &absent_user);
    // The third walk begins: two have ended.
    let begins = |entry: &Entry| {
        let query = entry.query.as_deref().unwrap_or_default();
        entry.verb == Verb::List && !query.contains("pageToken")
    };
    let third = |all: &[Entry]| all.iter().filter(|entry| begins(entry)).count() >= 3;
    assert!(reading.gateway.journal_until(LONG, third).await);
    let lists = reading.calls(Verb::List);
    let walks: Vec<usize> = lists
        .iter()
        .enumerate()
        .filter(|(_, entry)| begins(entry))
        .map(|(place, _)| place)
        .collect();
    // The second page has the token of the first.
    assert!(
        walks[1] - walks[0] <= 3 && walks[2] - walks[1] <= 3,
        "{walks:?}"
    );
    assert_eq!(*reading.gone.lock().unwrap(), BTreeSet::new());
    reading.gateway.clear_faults();
    reading.until_all_is_known("after the circle").await;
}

fn broken_lists() -> BTreeMap<&'static str, Kind> {
    let raw = |status, body: RawBody| Kind::Raw {
        status,
        content_type: "application/json".to_owned(),
        body,
        applied: false,
    };
    let set = |what: serde_json::Value| Kind::Altered {
        set: what.as_object().cloned().unwrap(),
        remove: Vec::new(),
    };
    BTreeMap::from([
        ("expired token", Kind::ExpiredToken),
        ("rows twice", Kind::DuplicatedRows),
        (
            "omitted",
            Kind::OmittedUsers {
                ids: vec![id(20), id(250)],
            },
        ),
        ("truncated", Kind::Truncated),
        ("cut", Kind::InvalidJson),
        ("bomb", Kind::GzipBomb),
        ("endless", Kind::Oversized { bytes: None }),
        ("reset", Kind::DropBeforeApply),
        ("empty", raw(200, RawBody::default())),
        ("bytes", raw(200, RawBody::Bytes(vec![0, 159, 146, 150]))),
        ("html", Kind::Html502),
        ("not found", raw(404, RawBody::Text("{}".to_owned()))),
        (
            "elsewhere",
            Kind::Redirect {
                status: 307,
                location: "http://127.0.0.1:9/".to_owned(),
            },
        ),
        (
            "unheard of",
            set(json!({"state": "SLEEPING", "shoes": [1]})),
        ),
        (
            "nulls",
            set(json!({"state": null, "email": null, "status": null})),
        ),
        ("wrong types", set(json!({"role": 7}))),
        ("stranger", set(json!({"name": "accounts/other/users/x"}))),
    ])
}

#[tokio::test]
async fn a_broken_page_hides_no_user_and_proves_no_absence() {
    let both = broken_lists().into_iter();
    let both = both.flat_map(|(name, kind)| [(name, kind.clone(), 1), (name, kind, 2)]);
    join_all(both.map(async |(name, kind, page)| {
        let gateway = account_of(401);
        gateway.add_fault(Fault::new(kind).on(Verb::List).from_nth(page));
        let reading = Reading::begin(gateway, &interest_in(401));
        let what = format!("{name} on page {page}");
        // Also where rows were skipped: the next list shows them.
        let absent_user: UserId = "nobody".parse().unwrap();
        until(LONG, &what, async || {
            let shared = &reading.shared;
            let is_requested = shared.read(|world| world.account.is_requested(&absent_user));
            match sighting(shared, &absent_user) {
                Sighting::Absent => Ok(()),
                _ if is_requested => Err("is asked for".to_owned()),
                other => {
                    request_list(shared, &absent_user);
                    Err(format!("{other:?}"))
                }
            }
        })
        .await
        .unwrap_or_else(|timeout| panic!("{timeout}"));
        reading.until_all_is_known(&what).await;
    }))
    .await;
}

#[tokio::test]
async fn an_object_whose_row_slips_through_a_list_stays_as_it_is() {
    let stage = Stage::set("shift").await;
    stage.gateway.seed(201);
    let ids = [199, 200].map(id);
    for user in &ids {
        stage.user(user, "user");
    }
    let specs = ids.each_ref().map(|user| manifest(user, "{role: user}"));
    stage.apply_all(&specs.join("---\n")).await;
    let _operator = stage.operator().await;
    stage.until_all_ready().await;
    let mark = stage.mark();
    let hidden = ids[1].as_str();
    let checks = |all: &[Entry]| {
        let reads = all
            .iter()
            .filter(|entry| entry.verb == Verb::Get && entry.user.as_deref() == Some(hidden));
        reads.filter(|entry| entry.status == Some(200)).count()
    };
    let before = checks(&stage.gateway.journal());
    // Whichever list is read next: its second page comes after a user has gone.
    let gone = Kind::Meanwhile {
        put: Vec::new(),
        remove: vec![id(3)],
    };
    let page = |entry: &Entry| {
        entry
            .query
            .as_deref()
            .unwrap_or_default()
            .contains("pageToken")
    };
    let ends = |all: &[Entry]| {
        let last = all.iter().rfind(|entry| entry.verb == Verb::List);
        last.is_some_and(|entry| page(entry) && entry.status.is_some())
    };
    stage.until_journal("the end of a list", ends).await;
    stage
        .gateway
        .add_fault(Fault::new(gone).on(Verb::List).from_nth(2));
    stage
        .until_journal("a read of the hidden user", |all| checks(all) > before)
        .await;
    stage.until_sweeps(2).await;
    assert_eq!(stage.status_writes(mark).len(), 0);
    assert_eq!(stage.all_patches().len(), 0);
}

//! What follows from a class: what the directory, the plan and the status make of a call that failed, through the
//! production reader, plan and report, without Kubernetes.

use std::sync::Arc;
use std::time::Duration;

use fireworks_api::error::Kind;
use fireworks_api::wire::{Role, User, UserRef};
use fireworks_client::Client;
use fireworks_core::account::Sighting;
use fireworks_core::account::limiter::{BlockedBy, Class};
use fireworks_core::account::requests::{Request, Response, SentAt, Todo};
use fireworks_core::account::updates::Outcome;
use fireworks_core::rules::Rules;
use fireworks_core::time::Moment;
use fireworks_core::user::desired::{Desired, Diff};
use fireworks_core::user::facts::Observed;
use fireworks_core::user::plan::{Cause, Finding, Plan, Update, plan};
use fireworks_core::user::status::Seen;
use fireworks_core::world;
use fireworks_crd::FireworksUserStatus;
use fireworks_crd::conditions;
use fireworks_user_operator::account::{self, Gateway};
use fireworks_user_operator::clock;
use fireworks_user_operator::metrics::Metrics;
use fireworks_user_operator::shared::{Requeue, Shared};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::calls::{Answer, KEY, Server, alice, client, patch};
use crate::tables::{Meaning, codes, meanings};

/// Far above what anything takes, so that only a fault meets it.
const LONG: Duration = Duration::from_secs(30);
/// No back-off is longer.
const BACKOFF_MAX: Duration = Duration::from_mins(5);

/// One account whose gateway has given answers.
struct World {
    server: Server,
    shared: Arc<Shared>,
    client: Client,
    gateway: Gateway,
    requeued: UnboundedReceiver<Requeue>,
}

impl World {
    async fn new() -> Self {
        let server = Server::start().await;
        let metrics = Metrics::new("test");
        let world = world::World::new(
            builders::account_id(),
            builders::settings(),
            clock::now(),
            1,
        );
        let (shared, requeued) = Shared::new(world, metrics.clone());
        let shared = Arc::new(shared);
        let client = client(&server.url, KEY);
        let gateway = Gateway::new(shared.clone(), client.clone(), metrics, Arc::new(()));
        shared.change(|world| {
            world.account.set_managed(&alice(), true);
            world.account.open();
        });
        Self {
            server,
            shared,
            client,
            gateway,
            requeued,
        }
    }

    /// One answer of that class, under a code of the class, or without one.
    fn answers(&self, class: Kind) {
        let (status, body) = match codes().iter().find(|code| code.class == Some(class)) {
            Some(code) => {
                let body = format!(r#"{{"code":{},"message":"a canary"}}"#, code.number);
                // The code decides: under a status of another class.
                let status = if code.http == 503 { 400 } else { 503 };
                (status, body)
            }
            None if class == Kind::AccountSuspended => (412, String::new()),
            None => (404, "<html>no such page</html>".to_owned()),
        };
        self.server.answers(Answer {
            status,
            headers: Vec::new(),
            body: body.into_bytes(),
        });
    }

    /// The facts of a pass over an object with work pending.
    fn observed(&self) -> Observed {
        let view = |world: &world::World| world.account.view(&alice(), clock::now());
        let view = self.shared.read(view);
        Observed {
            unsettled_until: view.settles_at,
            failure: view.failure,
            ..builders::observed(view.sighting)
        }
    }

    /// One read of the user, as the account makes it.
    async fn read(&self) {
        let sent = SentAt {
            at: clock::now(),
            key_version: self.gateway.key_version(),
        };
        let result = self.client.get(&alice()).await;
        let response = Response::User(alice(), result);
        self.shared.change(|world| {
            world.account.key_version = sent.key_version;
            world.account.apply(response, sent, clock::now());
        });
    }

    fn request_read(&self) {
        let now = clock::now();
        self.shared.change(|world| {
            let account = &mut world.account;
            account.request_read(&alice(), Class::SpecChange, now);
        });
    }

    fn is_paused(&self) -> bool {
        let now = clock::now();
        self.shared
            .read(|world| world.account.limiter.is_paused(now))
    }

    async fn until_requeued(&mut self, what: &str) {
        let requeued_in_time = tokio::time::timeout(LONG, self.requeued.recv()).await;
        assert_eq!(
            requeued_in_time.unwrap_or_else(|_| panic!("not requeued: {what}")),
            Some(Requeue::Changed(UserRef {
                account: "acme".parse().unwrap(),
                user: alice(),
            }))
        );
    }
}

fn desired() -> Desired {
    builders::desired(alice().as_str(), Role::Contributor)
}

fn user(role: Role) -> Arc<User> {
    Arc::new(builders::user(alice().as_str(), role))
}

/// `Ready`, the condition beside it, and the reason that reports a finding.
fn reported(finding: &Finding) -> (String, Option<String>, String) {
    let (account, desired) = (builders::account_id(), desired());
    let facts = builders::facts(&account, Some(&desired), Seen::Unknown, finding);
    let next = builders::reported(&FireworksUserStatus::default(), &facts);
    assert_eq!(next.observed_generation, Some(facts.generation));
    let ready = conditions::find(&next.conditions, "Ready").unwrap();
    let beside = next.conditions.iter().find(|one| one.type_ != "Ready");
    (
        ready.status.clone(),
        beside.map(|one| one.type_.clone()),
        ready.reason.clone(),
    )
}

fn expected_of_a_read(meaning: &Meaning) -> (String, Option<String>, String) {
    let (ready, beside, _) = expected(meaning);
    (ready, beside, meaning.read_reason.to_owned())
}

fn expected(meaning: &Meaning) -> (String, Option<String>, String) {
    let Meaning {
        ready,
        beside,
        reason,
        ..
    } = meaning;
    (
        (*ready).to_owned(),
        Some((*beside).to_owned()),
        (*reason).to_owned(),
    )
}

/// Nothing is read now, and something is within the longest back-off.
fn assert_backs_off(world: &World, what: &str) {
    let now = clock::now();
    let schedule = world.shared.change(|world| world.account.schedule(now));
    assert!(
        schedule.list.is_none() && schedule.reads.is_empty(),
        "{what}: {schedule:?}"
    );
    let wait = schedule.wake_at.expect("a time to look again") - now;
    assert!(!wait.is_zero() && wait <= BACKOFF_MAX, "{what}: {wait:?}");
}

/// The account takes no call now, for that reason.
fn assert_blocked(world: &World, blocked_by: BlockedBy, within: Duration) {
    let now = clock::now();
    let take = |world: &mut world::World, now: Moment| {
        let limiter = &mut world.account.limiter;
        limiter.try_take(&alice(), "ns", Class::SpecChange, now)
    };
    let waiting = world.shared.change(|world| take(world, now)).err().unwrap();
    assert_eq!(waiting.blocked_by, blocked_by);
    let later = world.shared.change(|world| {
        world.account.limiter.cancel(&alice());
        take(world, now + within)
    });
    assert!(later.is_ok(), "{blocked_by:?} ends");
}

#[tokio::test]
async fn a_failed_list_is_reported_of_objects_with_work_pending() {
    for meaning in meanings() {
        let what = format!("LIST {:?}", meaning.class);
        let mut world = World::new().await;
        world.answers(meaning.class);
        world.request_read();
        let reading = tokio::spawn(account::run(world.gateway.clone()));
        if meaning.class == Kind::Throttled {
            until(|| world.is_paused()).await;
            reading.abort();
            let _ = reading.await;
            // The page waits for the end of the pause, and leaves then.
            assert!(world.is_paused(), "{what}");
            let after = clock::now() + Duration::from_secs(6);
            let todo = world.shared.next_request(after);
            assert_eq!(todo, Todo::Send(Request::Page(None)), "{what}");
            // A wait is reported when it has lasted; nothing has failed.
            let Plan::Read(read) = plan(&desired(), &world.observed(), Rules::default()) else {
                panic!("{what}");
            };
            assert_eq!(read.meanwhile, None, "{what}");
            assert_eq!(reported(&Finding::Throttled), expected(&meaning), "{what}");
            continue;
        }
        world.until_requeued(&what).await;
        reading.abort();
        let _ = reading.await;
        let Plan::Read(read) = plan(&desired(), &world.observed(), Rules::default()) else {
            panic!("{what}");
        };
        assert_eq!(
            reported(&read.meanwhile.expect("a failure")),
            expected_of_a_read(&meaning),
            "{what}"
        );
        if meaning.class == Kind::Unauthenticated {
            assert_blocked(&world, BlockedBy::KeyRefused, Duration::from_secs(61));
        } else {
            assert_backs_off(&world, &what);
        }
    }
}

#[tokio::test]
async fn a_failed_get_is_reported_of_objects_with_work_pending() {
    for meaning in meanings() {
        let what = format!("GET {:?}", meaning.class);
        let world = World::new().await;
        // No list has succeeded: a user that is not found proves nothing.
        world.request_read();
        world.answers(meaning.class);
        world.read().await;
        let Plan::Read(read) = plan(&desired(), &world.observed(), Rules::default()) else {
            panic!("{what}");
        };
        if meaning.class == Kind::Throttled {
            assert_eq!(read.meanwhile, None, "{what}");
            assert_blocked(&world, BlockedBy::Paused, Duration::from_secs(6));
            continue;
        }
        assert_eq!(
            reported(&read.meanwhile.expect("a failure")),
            expected_of_a_read(&meaning),
            "{what}"
        );
        if meaning.class == Kind::Unauthenticated {
            assert_blocked(&world, BlockedBy::KeyRefused, Duration::from_secs(61));
        }
    }
}

#[tokio::test]
async fn a_user_not_found_after_a_list_that_succeeded_is_gone() {
    let world = World::new().await;
    let body = br#"{"users":[{"name":"accounts/acme/users/bob","role":"user"}],"totalSize":1}"#;
    world.server.answers(Answer {
        status: 200,
        headers: Vec::new(),
        body: body.to_vec(),
    });
    let reading = tokio::spawn(account::run(world.gateway.clone()));
    let suspected = || {
        let sighting = world.observed().sighting;
        matches!(sighting, Sighting::Suspected)
    };
    until(suspected).await;
    reading.abort();
    let _ = reading.await;
    world.answers(Kind::NotFound);
    world.read().await;
    let Plan::Hold(finding) = plan(&desired(), &world.observed(), Rules::default()) else {
        panic!("absence is a finding");
    };
    let gone = (
        "False".to_owned(),
        Some("Reconciling".to_owned()),
        "UserNotFound".to_owned(),
    );
    assert_eq!(reported(&finding), gone);
}

/// An object in sync at its generation stays so, whatever a read comes to.
#[tokio::test]
async fn a_read_that_fails_changes_nothing_for_an_object_in_sync() {
    for meaning in meanings() {
        let world = World::new().await;
        world.answers(meaning.class);
        world.read().await;
        let observed = world.observed();
        let never_seen = Observed {
            ready_at_generation: true,
            refused_at_generation: false,
            matched_at_generation: true,
            ..observed.clone()
        };
        let Plan::Read(read) = plan(&desired(), &never_seen, Rules::default()) else {
            panic!("{:?}", meaning.class);
        };
        assert_eq!(read.meanwhile, None, "{:?}", meaning.class);
        let seen = Observed {
            sighting: Sighting::Seen {
                user: user(Role::Contributor),
                freshness: fireworks_core::account::Freshness::Aged,
                sent_at: clock::now(),
            },
            ..never_seen
        };
        assert_eq!(
            plan(&desired(), &seen, Rules::default()),
            Plan::InSync,
            "{:?}",
            meaning.class
        );
    }
}

/// What a PATCH of each class comes to, and what is reported of it. `None`: it takes its place in the queue again.
#[tokio::test]
async fn a_patch_that_fails_is_lost_refused_or_asked_again_by_its_class() {
    for meaning in meanings() {
        let what = format!("PATCH {:?}", meaning.class);
        let world = World::new().await;
        world.answers(meaning.class);
        let update = Update {
            user: alice(),
            patch: patch(),
            diff: Diff {
                role: true,
                ..Diff::default()
            },
            before: user(Role::User),
            cause: Cause::SpecChange,
        };
        let outcome = send(&world, &update).await;
        let unsettled = world.observed().unsettled_until.is_some();
        match (meaning.class, outcome) {
            // The bytes have left: it may have been applied.
            (Kind::Transient, Outcome::Unknown(_)) => {
                assert!(unsettled, "{what}");
                let reason = reported(&Finding::Unconfirmed);
                assert_eq!((&*reason.0, &*reason.2), ("Unknown", "Unconfirmed"));
            }
            (Kind::Malformed, Outcome::Unknown(failure)) => {
                assert!(unsettled, "{what}");
                assert_eq!(
                    reported(&Finding::Failed(failure)),
                    expected(&meaning),
                    "{what}"
                );
            }
            (Kind::Rejected | Kind::Denied, Outcome::Refused(failure)) => {
                assert!(!unsettled, "{what}");
                assert_eq!(
                    reported(&Finding::Refused(failure)),
                    expected(&meaning),
                    "{what}"
                );
            }
            (Kind::Throttled, Outcome::Again) => {
                assert!(!unsettled, "{what}");
                assert_blocked(&world, BlockedBy::Paused, Duration::from_secs(6));
            }
            (Kind::Unauthenticated, Outcome::Again) => {
                assert!(!unsettled, "{what}");
                assert_eq!(reported(&Finding::KeyRefused), expected(&meaning), "{what}");
                assert_blocked(&world, BlockedBy::KeyRefused, Duration::from_secs(61));
            }
            (Kind::AccountSuspended, Outcome::Again) => {
                assert!(!unsettled, "{what}");
                let finding = Finding::AccountSuspended(None);
                assert_eq!(reported(&finding), expected(&meaning), "{what}");
                let blocked_by = BlockedBy::AccountSuspended;
                assert_blocked(&world, blocked_by, Duration::from_secs(61));
            }
            (Kind::NotFound, Outcome::Missing(_)) => {
                assert!(!unsettled, "{what}");
                assert!(
                    matches!(world.observed().sighting, Sighting::Suspected),
                    "{what}"
                );
            }
            (_, outcome) => panic!("{what} came to {outcome:?}"),
        }
    }
}

/// Sends the update as its object's reconciliation does.
async fn send(world: &World, update: &Update) -> Outcome {
    let now = clock::now();
    let (user, patch) = (&update.user, &update.patch);
    let in_flight = world.shared.change(|world| {
        let limiter = &mut world.account.limiter;
        let permit = limiter.try_take(user, "ns", Class::SpecChange, now);
        let permit = permit.unwrap_or_else(|_| panic!("a permit"));
        let begun = world.account.begin_update(permit, user, patch, now);
        begun.expect("nothing pauses")
    });
    let answer = world.gateway.update(user, patch).await;
    let key_version = world.gateway.key_version();
    world.shared.change(|world| {
        world.account.key_version = key_version;
        world.account.end_update(in_flight, answer, clock::now())
    })
}

async fn until(holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, waited)
        .await
        .expect("it came to hold");
}

//! Accounts that do not have enough for everybody: one whose limit others use up, and one with a very low limit. They run
//! beside other scenarios, since they take long and little.

use std::time::{Duration, Instant};

use fireworks_gateway_simulator::{Entry, User};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::latency::plain;
use super::standing::Standing;
use crate::broken::Sound;
use crate::edits::{self, Edits};
use crate::figures::{Figures, Must, median, whole};
use crate::gateway::{FOREIGN, Gateway};
use crate::load;
use crate::sweeps::most_within;
use crate::world::World;

/// What others use up.
const LIMIT: u32 = 6_000;
/// Somebody else's calls in a second: a tenth more than the limit.
const FOREIGN_A_SECOND: u32 = 110;
const CROWDED: Duration = Duration::from_mins(5);
/// Objects edited meanwhile, one after the other.
const EDITED: usize = 14;
const EDIT_EVERY: Duration = Duration::from_secs(20);
const EDITED_TO: &str = "Edited in a crowd";
/// The account with a low limit is looked at after this time.
const LEARNT: Duration = Duration::from_mins(10);

/// An account of its own with users that have drifted, which keep the operator at work, and a namespace with their
/// objects; and who they are.
async fn drifted(world: &World, namespace: &str, users: &[User]) -> Sound<(Gateway, Vec<User>)> {
    let gateway = world.account(0, &[]).await?;
    world.namespace(namespace).await?;
    let standing = Standing {
        world,
        gateway: &gateway,
        namespace,
    };
    // Whose object asks for no display name does not care about another one.
    let named = users.iter().filter(|user| !user.display_name.is_empty());
    let named: Vec<User> = named.cloned().collect();
    standing.grow(&named).await?;
    let drift = json!({"displayName": "Drifted"});
    let edits = named.iter().map(|user| (user.id.clone(), drift.clone()));
    gateway.edit_all(edits.collect()).await?;
    Ok((gateway, named))
}

/// Others take the whole limit for five minutes.
pub(crate) async fn crowded(world: &World, users: &[User], figures: &mut Figures) -> Sound<()> {
    let (gateway, users) = drifted(world, "crowded", users).await?;
    gateway
        .switch(json!({ "requestsPerMinute": LIMIT }))
        .await?;
    let standing = Standing {
        world,
        gateway: &gateway,
        namespace: "crowded",
    };
    let names = plain(&users);
    let names = names.get(..EDITED).unwrap_or(&names);
    let since = gateway.last_seq().await?;
    let begun = Instant::now();
    let (over, ended) = watch::channel(false);
    let others = others(&gateway, &users[0].id, ended);
    let ours = async {
        // They are there first.
        sleep(Duration::from_secs(2)).await;
        let operator = standing.start(&[]).await?;
        edit_slowly(&standing, names).await?;
        sleep(CROWDED.saturating_sub(begun.elapsed())).await;
        let seq = gateway.last_seq().await?;
        over.send_replace(true);
        sleep(Duration::from_mins(1)).await;
        let made = gateway.named_so(names, EDITED_TO).await?;
        Sound::Ok((operator, seq, names.len() - made))
    };
    let (others, ours) = tokio::join!(others, ours);
    others?;
    let (operator, end, lost) = ours?;
    let calls = gateway.calls_since(since).await?;
    operator.stop().await?;
    let from = calls.first().map_or(0, |call| call.received_ms) + 60_000;
    let (during, after): (Vec<&Entry>, Vec<&Entry>) =
        calls.iter().partition(|call| call.seq <= end);
    let later: Vec<_> = during
        .into_iter()
        .filter(|call| call.received_ms >= from)
        .collect();
    figures.about("Others take the whole account limit for five minutes");
    share(&later, figures);
    recovery(&later, &after, figures);
    let name = format!(
        "{} edits made meanwhile: lost a minute after it",
        names.len()
    );
    figures.add(name, "", Must::Be(0.0), vec![whole(lost)]);
    Ok(())
}

/// An edit of each of them, while the crowd is there.
async fn edit_slowly(standing: &Standing<'_>, names: &[String]) -> Sound<()> {
    let mut ticks = interval(EDIT_EVERY);
    let spec = json!({ "displayName": EDITED_TO });
    for name in names {
        ticks.tick().await;
        load::edit(&standing.world.rest, standing.namespace, name, &spec).await?;
    }
    Ok(())
}

fn is_ours(call: &Entry) -> bool {
    call.user_agent.as_deref() != Some(FOREIGN)
}

/// How much was ours from the second minute on.
fn share(during: &[&Entry], figures: &mut Figures) {
    let refused = |call: &&&Entry| call.status == Some(429);
    let span = during.last().map_or(0, |last| last.received_ms)
        - during.first().map_or(0, |first| first.received_ms);
    let minutes = Duration::from_millis(span).as_secs_f64() / 60.0;
    let own = during.iter().filter(|call| is_ours(call)).count();
    let all_refused = during.iter().filter(refused).count();
    let own_refused = during
        .iter()
        .filter(|call| is_ours(call))
        .filter(refused)
        .count();
    let of_limit = 100.0 * whole(own) / minutes / f64::from(LIMIT);
    let name = "from the second minute on: our calls, of the limit";
    figures.add(name, "%", Must::AtMost(6.0), vec![of_limit]);
    let of_refused = 100.0 * whole(own_refused) / whole(all_refused.max(1));
    let name = format!("from the second minute on: our 429s, of all {all_refused}");
    figures.add(name, "%", Must::AtMost(1.0), vec![of_refused]);
}

/// How it went on without the others.
fn recovery(during: &[&Entry], after: &[&Entry], figures: &mut Figures) {
    let last = during.last().map_or(0, |last| last.received_ms);
    let before = during
        .iter()
        .filter(|call| is_ours(call))
        .filter(|call| call.received_ms + 60_000 > last)
        .count();
    let own = after.iter().filter(|call| is_ours(call));
    let own: Vec<u64> = own.map(|call| call.received_ms).collect();
    let burst = most_within(Duration::from_secs(1), &own);
    let name = "the minute after: most of our calls in any second";
    figures.add(name, "", Must::AtMost(10.0), vec![whole(burst)]);
    let name = "our calls in the last minute with them";
    figures.add(name, "", Must::Nothing, vec![whole(before)]);
    let name = "our calls in the minute after";
    figures.add(name, "", Must::Nothing, vec![whole(own.len())]);
}

/// Calls of others, whether they are answered or refused.
async fn others(gateway: &Gateway, user: &str, mut ended: watch::Receiver<bool>) -> Sound<()> {
    let mut ticks = interval(Duration::from_secs(1) / FOREIGN_A_SECOND);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let stranger = gateway.stranger();
    let mut under_way = tokio::task::JoinSet::new();
    while !*ended.borrow_and_update() {
        ticks.tick().await;
        let (stranger, user) = (stranger.clone(), user.to_owned());
        under_way.spawn(async move { stranger.call(&user).await });
        while let Some(done) = under_way.try_join_next() {
            done??;
        }
    }
    while let Some(done) = under_way.join_next().await {
        done??;
    }
    Ok(())
}

/// An account with ten calls a minute, for as long as `bench` runs, and at least until it can be judged.
pub(crate) async fn slow(
    world: &World,
    users: &[User],
    mut bench: watch::Receiver<bool>,
    figures: &mut Figures,
) -> Sound<()> {
    let (gateway, users) = drifted(world, "slow", users).await?;
    gateway.switch(json!({"requestsPerMinute": 10})).await?;
    let standing = Standing {
        world,
        gateway: &gateway,
        namespace: "slow",
    };
    let operator = standing.start(&[]).await?;
    sleep(LEARNT).await;
    let since = gateway.last_seq().await?;
    let begun = Instant::now();
    let names = plain(&users);
    let edits = Edits {
        rest: &world.rest,
        gateway: &gateway,
        namespace: "slow",
        names: &names,
        count: 5,
        every: Duration::from_mins(1),
        mark: "Before repairs",
    };
    let travelled = edits::run(&edits).await?;
    // An error means that the bench has ended, too.
    let _ = bench.wait_for(|ended| *ended).await;
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let calls = gateway.calls_since(since).await?;
    operator.stop().await?;
    figures.about("An account with 10 calls a minute, after ten minutes");
    let refused = calls.iter().filter(|call| call.status == Some(429));
    let refused: Vec<u64> = refused.map(|call| call.received_ms).collect();
    let most = whole(most_within(Duration::from_mins(5), &refused));
    let name = format!("most 429s in any five minutes, of {minutes:.0}");
    figures.add(name, "", Must::AtMost(1.0), vec![most]);
    let ahead = travelled.iter().map(|one| whole(one.overtaken_by));
    let name = "an edit: repairs before it, worst of 5";
    figures.add(name, "", Must::AtMost(1.0), vec![ahead.fold(0.0, f64::max)]);
    let waits: Vec<f64> = travelled.iter().map(|one| one.ms / 1000.0).collect();
    let name = "an edit: wait, median";
    figures.add(name, "s", Must::Nothing, vec![median(&waits)]);
    let rate = whole(calls.len()) / minutes;
    figures.add("calls a minute", "", Must::Nothing, vec![rate]);
    Ok(())
}

//! Accounts that do not have enough for everybody: one whose limit others use up, and one with a very low limit. They run
//! beside other stories, since they take long and little.

use std::time::{Duration, Instant};

use fireworks_gateway_simulator::{Entry, User};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::latency::plain;
use super::standing::Standing;
use crate::broken::Sound;
use crate::edits::{self, Edits};
use crate::figures::{Figures, Must, median, whole};
use crate::gateway::{FOREIGN, Gateway};
use crate::world::World;

/// What others use up.
const LIMIT: u32 = 6_000;
/// Somebody else's calls in a second: a tenth more than the limit.
const FOREIGN_A_SECOND: u32 = 110;
const CROWDED: Duration = Duration::from_mins(5);
/// The account with a low limit is looked at after this time.
const LEARNT: Duration = Duration::from_mins(10);

/// A figure, until it can be told.
pub(crate) type Later = (String, &'static str, Must, Vec<f64>);

/// Figures of a story that ran beside others.
pub(crate) struct Told {
    pub(crate) about: String,
    pub(crate) figures: Vec<Later>,
}

impl Told {
    /// Now.
    pub(crate) fn tell(self, figures: &mut Figures) {
        figures.about(self.about);
        for (name, unit, must, runs) in self.figures {
            figures.add(name, unit, must, runs);
        }
    }
}

/// An account of its own with drifted users, which keep the operator at work, and a namespace.
async fn drifted(world: &World, namespace: &str, users: &[User]) -> Sound<Gateway> {
    let gateway = world.account(0, &[]).await?;
    world.namespace(namespace).await?;
    let standing = Standing {
        world,
        gateway: &gateway,
        namespace,
    };
    let named: Vec<User> = users
        .iter()
        .filter(|user| !user.display_name.is_empty())
        .cloned()
        .collect();
    standing.grow(&named).await?;
    let drift = json!({"displayName": "Drifted"});
    let edits = named.iter().map(|user| (user.id.clone(), drift.clone()));
    gateway.edit_all(edits.collect()).await?;
    Ok(gateway)
}

/// Others take the whole limit for five minutes.
pub(crate) async fn crowded(world: &World, users: &[User]) -> Sound<Told> {
    let gateway = drifted(world, "crowded", users).await?;
    gateway
        .switch(json!({ "requestsPerMinute": LIMIT }))
        .await?;
    let standing = Standing {
        world,
        gateway: &gateway,
        namespace: "crowded",
    };
    let since = gateway.last_seq().await?;
    let begun = Instant::now();
    let (over, ended) = watch::channel(false);
    let others = others(&gateway, &users[0].id, ended);
    let ours = async {
        // They are there first.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let operator = standing.start(&[]).await?;
        tokio::time::sleep(CROWDED.saturating_sub(begun.elapsed())).await;
        let seq = gateway.last_seq().await?;
        over.send_replace(true);
        tokio::time::sleep(Duration::from_mins(1)).await;
        Sound::Ok((operator, seq))
    };
    let (others, ours) = tokio::join!(others, ours);
    others?;
    let (operator, end) = ours?;
    let calls = gateway.calls_since(since).await?;
    let from = calls.first().map_or(0, |call| call.received_ms) + 60_000;
    let (during, after): (Vec<&Entry>, Vec<&Entry>) =
        calls.iter().partition(|call| call.seq <= end);
    let later: Vec<_> = during
        .into_iter()
        .filter(|call| call.received_ms >= from)
        .collect();
    operator.stop().await?;
    Ok(Told {
        about: "Others take the whole account limit for five minutes".to_owned(),
        figures: share(&later, &after),
    })
}

/// How much was ours from the second minute on, and how it went on without the others.
fn share(during: &[&Entry], after: &[&Entry]) -> Vec<Later> {
    let ours = |call: &&&Entry| call.user_agent.as_deref() != Some(FOREIGN);
    let refused = |call: &&&Entry| call.status == Some(429);
    let percent = |part: usize, all: usize| vec![100.0 * whole(part) / whole(all.max(1))];
    let span = during.last().map_or(0, |last| last.received_ms)
        - during.first().map_or(0, |first| first.received_ms);
    let minutes = Duration::from_millis(span).as_secs_f64() / 60.0;
    let own = during.iter().filter(ours).count();
    let all_refused = during.iter().filter(refused).count();
    let own_refused = during.iter().filter(ours).filter(refused).count();
    let of_limit = 100.0 * whole(own) / minutes / f64::from(LIMIT);
    let mut a_second = [0_usize; 61];
    let begun = after.first().map_or(0, |first| first.received_ms);
    for call in after.iter().filter(ours) {
        let second = usize::try_from((call.received_ms - begun) / 1000).unwrap_or(60);
        if let Some(count) = a_second.get_mut(second.min(60)) {
            *count += 1;
        }
    }
    let burst = a_second.iter().copied().max().unwrap_or(0);
    vec![
        (
            "our calls, of the limit".to_owned(),
            "%",
            Must::AtMost(6.0),
            vec![of_limit],
        ),
        (
            format!("our 429s, of all {all_refused}"),
            "%",
            Must::AtMost(1.0),
            percent(own_refused, all_refused),
        ),
        (
            "the minute after: most of our calls in a second".to_owned(),
            "",
            Must::AtMost(10.0),
            vec![whole(burst)],
        ),
    ]
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
) -> Sound<Told> {
    let gateway = drifted(world, "slow", users).await?;
    gateway.switch(json!({"requestsPerMinute": 10})).await?;
    let standing = Standing {
        world,
        gateway: &gateway,
        namespace: "slow",
    };
    let operator = standing.start(&[]).await?;
    tokio::time::sleep(LEARNT).await;
    let since = gateway.last_seq().await?;
    let begun = Instant::now();
    let names = plain(users);
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
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    let ahead: Vec<f64> = travelled
        .iter()
        .map(|one| whole(one.overtaken_by))
        .collect();
    let worst = ahead.iter().copied().fold(0.0, f64::max);
    let waits: Vec<f64> = travelled.iter().map(|one| one.ms / 1000.0).collect();
    Ok(Told {
        about: "An account with 10 calls a minute, after ten minutes".to_owned(),
        figures: vec![
            (
                format!("429s in five minutes, over {minutes:.0} minutes"),
                "",
                Must::AtMost(1.0),
                vec![whole(refused) / minutes * 5.0],
            ),
            (
                "an edit: repairs before it, worst of 5".to_owned(),
                "",
                Must::AtMost(1.0),
                vec![worst],
            ),
            (
                "an edit: wait, median".to_owned(),
                "s",
                Must::Nothing,
                vec![median(&waits)],
            ),
            (
                "calls a minute".to_owned(),
                "",
                Must::Nothing,
                vec![whole(calls.len()) / minutes],
            ),
        ],
    })
}

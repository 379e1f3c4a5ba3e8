//! Thousands of changes that wait for the budget: an edit goes before them, and all of them are made in time.

use std::time::{Duration, Instant};

use fireworks_gateway_simulator::User;
use serde_json::json;

use super::latency::plain;
use super::standing::Standing;
use crate::broken::Sound;
use crate::edits::{self, Edits, Travelled};
use crate::figures::{Figures, Must, whole};
use crate::load;
use crate::sweeps::most_within;
use crate::world::{CONVERGED, Operator, Start};

/// How many wait.
const CROWD: usize = 5_000;
/// So many wait when the burst begins to end; a while later it is over, and most have begun to tell that they wait.
const STILL_WAITING: f64 = 4_000.0;
const A_WHILE: Duration = Duration::from_secs(5);
/// Of any class: what waits is a matter of the operator's own.
const WAITING: &str = "rate_limiter_waiting{";
const EDITS: usize = 10;
const EVERY: Duration = Duration::from_millis(1_500);
const NEIGHBOUR: &str = "neighbour";
/// The account's whole limit.
const LIMIT: u32 = 6_000;

/// An edit while drift repairs wait.
pub(crate) async fn behind_drift(
    standing: &Standing<'_>,
    users: &[User],
    figures: &mut Figures,
) -> Sound<()> {
    figures.about(format!(
        "An edit while {CROWD} drift repairs wait behind 300 calls a minute"
    ));
    let (calm, drifted) = plain_and_others(users);
    let name = json!({"displayName": "Drifted"});
    let edits = drifted.iter().map(|user| (user.id.clone(), name.clone()));
    standing.gateway.edit_all(edits.collect()).await?;
    let operator = standing.start(&[]).await?;
    operator.until_metric(WAITING, STILL_WAITING).await?;
    tokio::time::sleep(A_WHILE).await;
    let edits = Edits {
        rest: &standing.world.rest,
        gateway: standing.gateway,
        namespace: standing.namespace,
        names: &calm,
        count: EDITS,
        every: EVERY,
        mark: "Before drift",
    };
    tell(&edits::run(&edits).await?, 1.0, figures);
    operator.stop().await?;
    // The repairs that are left.
    standing.settle().await
}

/// Some users whom nobody touches, and the crowd. Whose object asks for no display name does not care about another one.
fn plain_and_others(users: &[User]) -> (Vec<String>, Vec<&User>) {
    let (few, many) = users.split_at(users.len().min(100));
    let named = many.iter().filter(|user| !user.display_name.is_empty());
    (plain(few), named.take(CROWD).collect())
}

fn tell(travelled: &[Travelled], most: f64, figures: &mut Figures) {
    let overtaken = travelled.iter().map(|one| whole(one.overtaken_by));
    let worst = overtaken.fold(0.0, f64::max);
    let name = format!(
        "calls for others before its own, worst of {}",
        travelled.len()
    );
    figures.add(name, "", Must::AtMost(most), vec![worst]);
    let ms: Vec<f64> = travelled.iter().map(|one| one.ms).collect();
    figures.add("from apply to PATCH, each edit", "ms", Must::Nothing, ms);
}

/// An edit in one namespace while the specs of another wait. `neighbours` have no objects yet.
pub(crate) async fn beside_a_crowd(
    standing: &Standing<'_>,
    users: &[User],
    neighbours: &[User],
    figures: &mut Figures,
) -> Sound<()> {
    figures.about(format!(
        "An edit while {CROWD} specs of another namespace wait behind 300 calls a minute"
    ));
    let (world, gateway) = (standing.world, standing.gateway);
    world.namespace(NEIGHBOUR).await?;
    let beside = Standing {
        namespace: NEIGHBOUR,
        ..*standing
    };
    beside.grow(neighbours).await?;
    let crowd: Vec<String> = users
        .iter()
        .take(CROWD)
        .map(|user| user.id.clone())
        .collect();
    load::rename_all(&world.rest, standing.namespace, &crowd, "Crowd").await?;
    let start = Start {
        namespaces: &[standing.namespace, NEIGHBOUR],
        gateway,
        arguments: &[],
    };
    let operator = world.operator(start).await?;
    operator.until_metric(WAITING, STILL_WAITING).await?;
    tokio::time::sleep(A_WHILE).await;
    let names = plain(neighbours);
    let edits = Edits {
        rest: &world.rest,
        gateway,
        namespace: NEIGHBOUR,
        names: &names,
        count: EDITS,
        every: EVERY,
        mark: "Beside a crowd",
    };
    tell(&edits::run(&edits).await?, 2.0, figures);
    operator.stop().await?;
    // As if all had been made: the next scenario begins in sync.
    let made = crowd
        .into_iter()
        .map(|id| (id, json!({"displayName": "Crowd"})));
    gateway.edit_all(made.collect()).await?;
    standing.settle().await
}

/// All specs change while no operator runs; one with the whole limit of the account makes them true.
pub(crate) async fn roll_out(
    standing: &Standing<'_>,
    users: &[User],
    figures: &mut Figures,
) -> Sound<()> {
    let changed = users.len();
    figures.about(format!("{changed} specs changed, {LIMIT} calls a minute"));
    let (world, gateway) = (standing.world, standing.gateway);
    let names: Vec<String> = users.iter().map(|user| user.id.clone()).collect();
    load::rename_all(&world.rest, standing.namespace, &names, "Rolled out").await?;
    gateway
        .switch(json!({ "requestsPerMinute": LIMIT }))
        .await?;
    let (mark, seq) = (world.mark()?, gateway.last_seq().await?);
    let begun = Instant::now();
    let operator = standing.start(&["--requests-per-minute", "6000"]).await?;
    operator
        .until_metric_seldom(CONVERGED, whole(changed))
        .await?;
    let seconds = begun.elapsed().as_secs_f64();
    let least = whole(changed) / f64::from(LIMIT) * 60.0;
    let name = "from the start of the operator until all have converged";
    figures.add(name, "s", Must::AtMost(1.05 * least), vec![seconds]);
    let calls = gateway.calls_since(seq).await?;
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    figures.add("429s", "", Must::Be(0.0), vec![whole(refused)]);
    let times: Vec<u64> = calls.iter().map(|call| call.received_ms).collect();
    let most = most_within(Duration::from_mins(1), &times);
    figures.add(
        "most calls in any 60 s",
        "",
        Must::AtMost(f64::from(LIMIT)),
        vec![whole(most)],
    );
    let (status, _) = world.writes_since(mark, standing.namespace)?;
    let patches = calls.len() - calls.iter().filter(|call| call.body.is_none()).count();
    let each = |count| vec![whole(count) / whole(changed)];
    figures.add("PATCHes a change", "", Must::Be(1.0), each(patches));
    figures.add(
        "status writes a change, most of which waited for more than 5 s",
        "",
        Must::AtMost(2.0),
        each(status),
    );
    tell_operator(&operator, figures)?;
    operator.stop().await?;
    gateway.switch(json!({ "requestsPerMinute": null })).await
}

fn tell_operator(operator: &Operator, figures: &mut Figures) -> Sound<()> {
    let taken = operator.taken()?;
    figures.add("CPU in all", "s", Must::Nothing, vec![taken.cpu]);
    figures.add("RSS", "MiB", Must::Nothing, vec![taken.rss]);
    Ok(())
}

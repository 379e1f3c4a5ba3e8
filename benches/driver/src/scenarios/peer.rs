//! The same work done by a typical peer: one GET per object and minute, a status with a time in it each time. Both at
//! once, each with its own namespace and account, at a gateway as far away as one in the real world.

use std::time::Duration;

use fireworks_gateway_simulator::{Entry, User, Verb};
use rig::{Requests, until};
use serde_json::json;

use super::latency::plain;
use super::standing::Standing;
use crate::broken::{Sound, ensure};
use crate::edits::{self, Edits, Travelled};
use crate::figures::{Figures, Must, quantile, whole};
use crate::gateway::Gateway;
use crate::load;
use crate::process::{self, Taken};
use crate::world::{LONG, World};

const NAMESPACE: &str = "naive";
const OUR_NAMESPACE: &str = "beside-naive";
const OURS: &str = "fireworks-user-operator";
const PEER: &str = "the naive baseline";
const MINUTE: Duration = Duration::from_mins(1);
/// The baseline's poll of all objects is over when no call has come for so long.
const RESTS_MS: f64 = 4_000.0;
/// Edits of each side in a minute: enough to meet the peer's polls.
const EDITS: usize = 120;

/// What one side did within a minute, and where it stood after it.
struct Side {
    calls: f64,
    writes: f64,
    cpu: f64,
    taken: Taken,
}

/// Sets both up, and watches them for two minutes; in the second one objects are edited.
pub(crate) async fn measure(world: &World, users: &[User], figures: &mut Figures) -> Sound<()> {
    figures.about(format!(
        "Beside the naive baseline, {} objects each",
        users.len()
    ));
    let away = json!({"latencyMs": 120, "latencySpread": 50});
    world.namespace(OUR_NAMESPACE).await?;
    let standing = Standing {
        world,
        gateway: &world.account(0, &[]).await?,
        namespace: OUR_NAMESPACE,
    };
    standing.grow(users).await?;
    standing.gateway.switch(away.clone()).await?;
    let account = world.account(0, &[]).await?;
    account.put_all(users).await?;
    account.switch(away).await?;
    world.namespace(NAMESPACE).await?;
    load::create(&world.rest, NAMESPACE, users).await?;
    let naive = world.naive(NAMESPACE, &account)?;
    let operator = standing.start(&[]).await?;
    operator.until_ready().await?;
    until_polled(&account, users.len()).await?;

    let (mark, ours, theirs) = (
        world.mark()?,
        standing.gateway.last_seq().await?,
        account.last_seq().await?,
    );
    let before = (operator.taken()?, process::taken(naive.id())?);
    tokio::time::sleep(MINUTE).await;
    let after = (operator.taken()?, process::taken(naive.id())?);
    let (status, events) = world.writes_since(mark, standing.namespace)?;
    let ours = Side {
        calls: whole(standing.gateway.calls_since(ours).await?.len()),
        writes: whole(status + events),
        cpu: after.0.cpu - before.0.cpu,
        taken: after.0,
    };
    let log = world.plane.audit_since(mark)?;
    let writes = Requests::any().writes().namespace(NAMESPACE);
    let polls = account.calls_since(theirs).await?;
    let theirs = Side {
        calls: whole(polls.len()),
        writes: whole(log.count(&writes)),
        cpu: after.1.cpu - before.1.cpu,
        taken: after.1,
    };
    let gets = whole(gets(&polls));
    let wanted = whole(users.len());
    ensure((gets - wanted).abs() <= wanted * 0.05, || {
        format!("the baseline is not what it should be: {gets} GETs in a minute, not {wanted}")
    })?;
    compare(&ours, &theirs, figures);

    let names = plain(users);
    let edit = |namespace, gateway, mark| Edits {
        rest: &world.rest,
        gateway,
        namespace,
        names: &names,
        count: EDITS,
        every: MINUTE / u32::try_from(EDITS).unwrap_or(u32::MAX),
        mark,
    };
    let (ours, theirs) = (
        edit(standing.namespace, standing.gateway, "Beside"),
        edit(NAMESPACE, &account, "Peer"),
    );
    let (ours, theirs) = tokio::join!(edits::run(&ours), edits::run(&theirs));
    compare_edits(&ours?, &theirs?, whole(users.len()), figures);
    operator.stop().await?;
    naive.kill()?;
    Ok(())
}

fn gets(calls: &[Entry]) -> usize {
    calls.iter().filter(|call| call.verb == Verb::Get).count()
}

/// Until the baseline has polled everybody once and rests: whatever a minute from then on shows is one poll of each.
async fn until_polled(account: &Gateway, users: usize) -> Sound<()> {
    let polled = until(LONG, "the baseline's first poll", async || {
        let calls = account.calls_since(0).await;
        let calls = calls.map_err(|broken| broken.to_string())?;
        let now = load::unix_ms().map_err(|broken| broken.to_string())?;
        let rests = calls
            .last()
            .is_some_and(|last| now - edits::arrival(last) > RESTS_MS);
        if calls.len() >= users && rests {
            Ok(())
        } else {
            Err(format!("{} calls", calls.len()))
        }
    });
    Ok(polled.await?)
}

fn compare(ours: &Side, theirs: &Side, figures: &mut Figures) {
    let mut pair = |name: &str, unit, must, ours: f64, theirs: f64| {
        figures.add(format!("{name}: {PEER}"), unit, Must::Nothing, vec![theirs]);
        figures.add(format!("{name}: {OURS}"), unit, must, vec![ours]);
    };
    let fewer = Must::AtMost(theirs.calls / 100.0);
    pair("calls in a minute", "", fewer, ours.calls, theirs.calls);
    let none = Must::Be(0.0);
    pair(
        "writes to Kubernetes in a minute",
        "",
        none,
        ours.writes,
        theirs.writes,
    );
    let rss = Must::AtMost(theirs.taken.rss);
    pair("RSS", "MiB", rss, ours.taken.rss, theirs.taken.rss);
    let cpu = Must::AtMost(theirs.cpu);
    pair("CPU in a minute", "s", cpu, ours.cpu, theirs.cpu);
    figures.point("rss", PEER, 1000.0, theirs.taken.rss);
    figures.point("calls", PEER, 1000.0, theirs.calls);
}

fn compare_edits(ours: &[Travelled], theirs: &[Travelled], at: f64, figures: &mut Figures) {
    let quantiles = |travelled: &[Travelled]| {
        let ms: Vec<f64> = travelled.iter().map(|one| one.ms).collect();
        (quantile(&ms, 0.5), quantile(&ms, 0.99))
    };
    let ((our_median, our_p99), (median, p99)) = (quantiles(ours), quantiles(theirs));
    let mut pair = |name: &str, ours: f64, theirs: f64| {
        figures.add(format!("{name}: {PEER}"), "ms", Must::Nothing, vec![theirs]);
        figures.add(
            format!("{name}: {OURS}"),
            "ms",
            Must::AtMost(theirs),
            vec![ours],
        );
    };
    pair("from apply to PATCH, median", our_median, median);
    pair("from apply to PATCH, p99", our_p99, p99);
    figures.point("latency", "the naive baseline, median", at, median);
    figures.point("latency", "the naive baseline, p99", at, p99);
}

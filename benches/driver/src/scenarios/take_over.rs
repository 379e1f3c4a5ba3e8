//! Two replicas: how soon a fresh installation has reported all users, and how soon a standby makes a pending change
//! after the leader was asked to end.

use std::time::Instant;

use fireworks_gateway_simulator::User;
use rig::control_plane::OPERATOR_NAMESPACE;
use rig::until;
use serde_json::json;

use super::latency::plain;
use super::standing::Standing;
use crate::broken::{Sound, ensure};
use crate::edits::arrival;
use crate::figures::{Figures, Must, whole};
use crate::load;
use crate::world::{CONVERGED, LONG, World};

const RUNS: usize = 3;
const ELECTED: &str = "--leader-election";

/// Objects without a status, users that match, and no Lease.
pub(crate) async fn fresh(world: &World, users: &[User], figures: &mut Figures) -> Sound<()> {
    figures.about(format!("A fresh installation, {} objects", users.len()));
    let mut seconds = Vec::new();
    for run in 0..RUNS {
        let namespace = format!("fresh-{run}");
        world.namespace(&namespace).await?;
        let standing = Standing {
            world,
            gateway: &world.account(0, &[]).await?,
            namespace: &namespace,
        };
        standing.gateway.put_all(users).await?;
        load::create(&world.rest, &namespace, users).await?;
        forget_leases(world).await?;
        let begun = Instant::now();
        let operator = standing.start(&[ELECTED]).await?;
        operator.until_metric(CONVERGED, whole(users.len())).await?;
        seconds.push(begun.elapsed().as_secs_f64());
        operator.stop().await?;
    }
    figures.add("until all are Ready", "s", Must::AtMost(5.0), seconds);
    Ok(())
}

/// The leader is asked to end, and one object is edited at once.
pub(crate) async fn hand_over(
    standing: &Standing<'_>,
    users: &[User],
    figures: &mut Figures,
) -> Sound<()> {
    figures.about(format!("A hand-over, {} objects", users.len()));
    let names = plain(users);
    let (mut seconds, mut requests) = (Vec::new(), Vec::new());
    for (run, name) in (0..RUNS).zip(&names) {
        let leader = standing.start(&[ELECTED]).await?;
        let compared = "reconcile_total{result=\"unchanged\"}";
        leader.until_metric(compared, whole(users.len())).await?;
        let standby = standing.start(&[ELECTED]).await?;
        standby.until_ready().await?;
        let seq = standing.gateway.last_seq().await?;
        let stopped = load::unix_ms()?;
        let spec = json!({"displayName": format!("Taken over {run}")});
        let rest = &standing.world.rest;
        // The signal is sent first.
        let (ended, edited) = tokio::join!(
            leader.stop(),
            load::edit(rest, standing.namespace, name, &spec)
        );
        ended.and(edited)?;
        let update = until(LONG, "the update", async || {
            let patches = standing.gateway.patches_since(seq).await;
            let patches = patches.map_err(|broken| broken.to_string())?;
            patches.into_iter().next().ok_or("none yet".to_owned())
        });
        let update = update.await?;
        standby
            .until_metric("gateway_requests_total{verb=\"patch\"", 1.0)
            .await?;
        seconds.push((arrival(&update) - stopped) / 1000.0);
        let calls = standing.gateway.calls_since(seq).await?;
        let before = calls.iter().filter(|call| call.seq < update.seq);
        requests.push(whole(before.count()));
        standby.stop().await?;
    }
    figures.add(
        "from SIGTERM to the first PATCH of the other replica",
        "s",
        Must::AtMost(3.0),
        seconds,
    );
    figures.add("requests before it", "", Must::Nothing, requests);
    Ok(())
}

/// Removes the Leases of former runs.
async fn forget_leases(world: &World) -> Sound<()> {
    let path = format!("/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases");
    let (status, answer) = world.rest.send("DELETE", &path, None).await?;
    ensure(status == 200, || format!("DELETE {path}: {answer}"))
}

//! An edit at rest: from the request that changes a spec to the PATCH at the gateway, while sweeps go on.

use std::time::Duration;

use fireworks_gateway_simulator::{User, Verb};
use serde_json::json;

use super::standing::Standing;
use crate::broken::Sound;
use crate::edits::{self, Edits};
use crate::figures::{Figures, Must, quantile, whole};
use crate::world::CONVERGED;

/// What is edited, how often and beside what.
pub(crate) struct Rest {
    pub(crate) objects: usize,
    pub(crate) edits: usize,
    pub(crate) every: Duration,
    pub(crate) runs: usize,
}

/// Edits that are not measured.
const WARM_UP: usize = 3;
/// Edits at a gateway far away.
const FAR_AWAY: usize = 80;

/// Users whose edits need no second look at the object: neither admins nor custom.
pub(crate) fn plain(users: &[User]) -> Vec<String> {
    let plain = users
        .iter()
        .filter(|user| !matches!(user.role.as_str(), "admin" | "custom"));
    plain.map(|user| user.id.clone()).collect()
}

/// Edits one object after the other: the median of each run, and the 99th percentile of all runs together; then once more
/// with a gateway as far away as one in the real world. The median of all runs.
pub(crate) async fn measure(
    standing: &Standing<'_>,
    users: &[User],
    rest: &Rest,
    figures: &mut Figures,
) -> Sound<f64> {
    figures.about("An edit at rest, sweeps running: from apply to PATCH");
    let names = plain(users);
    let operator = standing
        .start(&["--sweep-interval", "1s", "--requests-per-minute", "6000"])
        .await?;
    operator.until_ready().await?;
    let compared = "reconcile_total{result=\"unchanged\"}";
    operator.until_metric(compared, whole(rest.objects)).await?;
    let mut edits = Edits {
        rest: &standing.world.rest,
        gateway: standing.gateway,
        namespace: standing.namespace,
        names: &names,
        count: WARM_UP,
        every: rest.every,
        mark: "Warm up",
    };
    let before = operator.metric(CONVERGED).await?;
    edits::run(&edits).await?;
    // The last one has become a PATCH; its status is none of those that are counted.
    operator
        .until_metric(CONVERGED, before + whole(WARM_UP))
        .await?;
    let (since, mark) = (standing.gateway.last_seq().await?, standing.world.mark()?);
    let (mut medians, mut all) = (Vec::new(), Vec::new());
    edits.count = rest.edits;
    for run in 0..rest.runs {
        let text = format!("Edit {} {run}", rest.objects);
        let travelled = edits::run(&Edits {
            mark: &text,
            ..edits
        })
        .await?;
        let ms: Vec<f64> = travelled.iter().map(|one| one.ms).collect();
        medians.push(quantile(&ms, 0.5));
        all.extend(ms);
    }
    let far = far_away(standing, &edits, rest.objects).await?;
    let calls = standing.gateway.calls_since(since).await?;
    let patches = calls.iter().filter(|call| call.verb == Verb::Patch).count();
    let reads = calls.len() - patches;
    // A status is written right after the answer to its PATCH.
    operator.stop().await?;
    let (status, _) = standing.world.writes_since(mark, standing.namespace)?;
    let edited = rest.edits * rest.runs;
    let of = format!("{} objects", rest.objects);
    let at = whole(rest.objects);
    let p99 = quantile(&all, 0.99);
    let line = "fireworks-user-operator";
    let median = quantile(&all, 0.5);
    figures.point("latency", &format!("{line}, median"), at, median);
    figures.point("latency", &format!("{line}, p99"), at, p99);
    figures.add(format!("{of}: median"), "ms", Must::AtMost(10.0), medians);
    figures.add(
        format!("{of}: p99 of {edited}"),
        "ms",
        Must::AtMost(50.0),
        vec![p99],
    );
    let per_edit = |count| vec![whole(count) / whole(edited + FAR_AWAY)];
    figures.add(
        format!("{of}: PATCHes an edit"),
        "",
        Must::Be(1.0),
        per_edit(patches),
    );
    figures.add(
        format!("{of}: status writes an edit"),
        "",
        Must::Be(1.0),
        per_edit(status),
    );
    figures.add(
        format!("{of}: reads meanwhile"),
        "",
        Must::Nothing,
        vec![whole(reads)],
    );
    for (name, share) in [("median", 0.5), ("p99", 0.99)] {
        figures.add(
            format!("{of}, gateway 120 ms away: {name} of {FAR_AWAY}"),
            "ms",
            Must::Nothing,
            vec![quantile(&far, share)],
        );
    }
    Ok(median)
}

/// Edits at a gateway whose answers take their time. It hears an edit when it arrives, so this shows whether edits wait
/// for the answers of others.
async fn far_away(standing: &Standing<'_>, edits: &Edits<'_>, objects: usize) -> Sound<Vec<f64>> {
    let away = json!({"latencyMs": 120, "latencySpread": 50});
    standing.gateway.switch(away).await?;
    let text = format!("Far away {objects}");
    let travelled = edits::run(&Edits {
        mark: &text,
        count: FAR_AWAY,
        ..*edits
    })
    .await?;
    let near = json!({"latencyMs": 0, "latencySpread": 0});
    standing.gateway.switch(near).await?;
    Ok(travelled.iter().map(|one| one.ms).collect())
}

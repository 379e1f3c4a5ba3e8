//! Edits of single objects at a steady pace, and how long each took to reach the gateway.

use std::collections::HashMap;
use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Verb};
use rig::{Rest, until};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::broken::{Broken, Sound, ensure};
use crate::figures::whole;
use crate::gateway::Gateway;
use crate::load;
use crate::world::LONG;

/// Who edits what, and how often.
pub(crate) struct Edits<'a> {
    pub(crate) rest: &'a Rest,
    pub(crate) gateway: &'a Gateway,
    pub(crate) namespace: &'a str,
    /// The objects, in turn.
    pub(crate) names: &'a [String],
    pub(crate) count: usize,
    pub(crate) every: Duration,
    /// What tells these edits from all others.
    pub(crate) mark: &'a str,
}

/// One edit on its way.
pub(crate) struct Travelled {
    /// Milliseconds from sending the edit to the arrival of its PATCH at the gateway, rounded up.
    pub(crate) ms: f64,
    /// `PATCHes` for others that arrived in between.
    pub(crate) overtaken_by: usize,
}

/// Edits, and waits until each edit has become a PATCH.
pub(crate) async fn run(edits: &Edits<'_>) -> Sound<Vec<Travelled>> {
    let since = edits.gateway.last_seq().await?;
    let mut ticks = interval(edits.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = Vec::new();
    for (number, name) in (0..edits.count).zip(edits.names.iter().cycle()) {
        ticks.tick().await;
        let text = format!("{} {number}", edits.mark);
        let spec = json!({ "displayName": text });
        let at = load::edit(edits.rest, edits.namespace, name, &spec).await?;
        left.push((text, at));
    }
    ensure(left.len() == edits.count, || "nobody to edit".to_owned())?;
    let arrived = until(LONG, "every edit to become a PATCH", async || {
        let calls = edits.gateway.calls_since(since).await;
        let calls = calls.map_err(|broken| broken.to_string())?;
        let patches = patches(&calls);
        let missing = left
            .iter()
            .find(|(text, _)| !patches.contains_key(text.as_str()));
        match missing {
            Some((text, _)) => Err(format!("{text:?} is missing")),
            None => Ok(calls),
        }
    });
    let calls = arrived.await?;
    let patches = patches(&calls);
    let travelled = left.iter().map(|(text, at)| {
        let own = patches.get(text.as_str());
        let own = own.ok_or_else(|| Broken::new("a PATCH has vanished"))?;
        let begun = *at;
        let ahead =
            |call: &&Entry| call.verb == Verb::Patch && call.seq < own.seq && arrival(call) > begun;
        Ok(Travelled {
            ms: arrival(own) - begun,
            overtaken_by: calls.iter().filter(ahead).count(),
        })
    });
    travelled.collect()
}

/// When a call arrived, in milliseconds since the epoch. The journal tells whole ones: the next is the latest it can have
/// been.
pub(crate) fn arrival(call: &Entry) -> f64 {
    let ms = usize::try_from(call.received_unix_ms).unwrap_or_default();
    whole(ms) + 1.0
}

/// The first PATCH with each display name.
fn patches(calls: &[Entry]) -> HashMap<&str, &Entry> {
    let mut found = HashMap::new();
    for call in calls.iter().filter(|call| call.verb == Verb::Patch) {
        if let Some(text) = name_of(call) {
            found.entry(text).or_insert(call);
        }
    }
    found
}

fn name_of(call: &Entry) -> Option<&str> {
    call.body.as_ref()?.get("displayName")?.as_str()
}

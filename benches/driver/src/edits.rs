//! Edits of single objects at a steady pace, and how long each took to reach the gateway.

use std::collections::HashMap;
use std::time::Duration;

use fireworks_gateway_simulator::{Entry, Verb};
use rig::{Rest, until};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::broken::{Sound, ensure};
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

/// Edits, and waits until each edit has become a PATCH, or a later one of the same object has.
pub(crate) async fn run(edits: &Edits<'_>) -> Sound<Vec<Travelled>> {
    let since = edits.gateway.last_seq().await?;
    let mut ticks = interval(edits.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = Vec::new();
    for (number, name) in (0..edits.count).zip(edits.names.iter().cycle()) {
        ticks.tick().await;
        let spec = json!({ "displayName": format!("{} {number}", edits.mark) });
        let at = load::edit(edits.rest, edits.namespace, name, &spec).await?;
        left.push((name.as_str(), at));
    }
    ensure(left.len() == edits.count, || "nobody to edit".to_owned())?;
    let arrived = until(LONG, "every edit to become a PATCH", async || {
        let calls = edits.gateway.calls_since(since).await;
        let calls = calls.map_err(|broken| broken.to_string())?;
        let patches = arrived(&calls, edits.mark);
        let all = (0..).zip(&left);
        let own = all.map(|(number, (name, _))| own(&patches, name, number));
        let own: Vec<Option<Entry>> = own.map(Option::<&Entry>::cloned).collect();
        match own.iter().position(Option::is_none) {
            Some(number) => Err(format!("edit {number} is missing")),
            None => Ok((own.into_iter().flatten().collect::<Vec<_>>(), calls)),
        }
    });
    let (own, calls) = arrived.await?;
    let travelled = left.iter().zip(&own).map(|((_, begun), own)| {
        let ahead = |call: &&Entry| {
            call.verb == Verb::Patch && call.seq < own.seq && arrival(call) > *begun
        };
        Travelled {
            ms: arrival(own) - begun,
            overtaken_by: calls.iter().filter(ahead).count(),
        }
    });
    Ok(travelled.collect())
}

/// When a call arrived, in milliseconds since the epoch. The journal tells whole ones: the next is the latest it can have
/// been.
pub(crate) fn arrival(call: &Entry) -> f64 {
    let ms = usize::try_from(call.received_unix_ms).unwrap_or_default();
    whole(ms) + 1.0
}

/// The edits with that mark that arrived: by user, their numbers and calls in the order of arrival.
fn arrived<'a>(calls: &'a [Entry], mark: &str) -> HashMap<&'a str, Vec<(usize, &'a Entry)>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for call in calls.iter().filter(|call| call.verb == Verb::Patch) {
        if let (Some(user), Some(number)) = (call.user.as_deref(), number_of(call, mark)) {
            found.entry(user).or_default().push((number, call));
        }
    }
    found
}

/// The call that brought this edit, or the first that brought a later one of the same user: an edit that is overtaken by
/// the next one is none of its own any more.
fn own<'a>(
    patches: &HashMap<&str, Vec<(usize, &'a Entry)>>,
    name: &str,
    number: usize,
) -> Option<&'a Entry> {
    let mut of_user = patches.get(name)?.iter();
    let (_, call) = of_user.find(|(found, _)| *found >= number)?;
    Some(call)
}

fn number_of(call: &Entry, mark: &str) -> Option<usize> {
    let name = call.body.as_ref()?.get("displayName")?.as_str()?;
    name.strip_prefix(mark)?.trim_start().parse().ok()
}

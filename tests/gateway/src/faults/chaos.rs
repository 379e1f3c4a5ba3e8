//! Faults chosen by a seed. The choice for a call depends on the seed, its verb, its user and how many calls of that
//! verb about that user came before: never on what happens at the same time, so that one seed is one story.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::journal::Verb;

/// Which calls a seed hits, and with what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chaos {
    /// The seed.
    pub seed: u64,
    /// Of a thousand calls, how many are hit.
    pub per_mille: u16,
    /// What hits them; of these the seed chooses among those that mean anything for the call's verb.
    pub kinds: Vec<Kind>,
    /// Only calls of these verbs; empty: every verb.
    #[serde(default)]
    pub verbs: Vec<Verb>,
    /// Only that number of first calls of a verb about a user, so that it ends by itself; 0: all.
    #[serde(default)]
    pub first: u64,
}

/// A chaos in place, with the calls so far.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    chaos: Chaos,
    calls: HashMap<(Verb, Option<String>), u64>,
}

impl Chance {
    pub(crate) fn new(chaos: Chaos) -> Self {
        let calls = HashMap::new();
        Self { chaos, calls }
    }

    pub(crate) fn chaos(&self) -> &Chaos {
        &self.chaos
    }

    /// Counts the call and returns what hits it.
    pub(crate) fn take(&mut self, verb: Verb, user: Option<&str>) -> Option<Kind> {
        let count = self.calls.entry((verb, user.map(str::to_owned)));
        let count = count.or_default();
        *count += 1;
        let nth = *count;
        let Chaos { verbs, first, .. } = &self.chaos;
        if !verbs.is_empty() && !verbs.contains(&verb) || *first > 0 && nth > *first {
            return None;
        }
        let number = number(self.chaos.seed, verb, user, nth);
        if number % 1000 >= u64::from(self.chaos.per_mille) {
            return None;
        }
        let fitting = self.chaos.kinds.iter().filter(|kind| kind.suits(verb));
        let fitting: Vec<_> = fitting.collect();
        let count = u64::try_from(fitting.len()).ok().filter(|one| *one > 0)?;
        let choice = usize::try_from((number / 1000) % count).ok()?;
        fitting.get(choice).map(|kind| (*kind).clone())
    }
}

/// FNV-1a over what identifies the call, stirred by `SplitMix64`'s last step: the same on every machine.
fn number(seed: u64, verb: Verb, user: Option<&str>, nth: u64) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let verb = [verb as u8, u8::from(user.is_some())];
    let user = user.unwrap_or_default().as_bytes();
    let parts = [&seed.to_le_bytes()[..], &verb, user, &nth.to_le_bytes()];
    for byte in parts.into_iter().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance(seed: u64, per_mille: u16) -> Chance {
        Chance::new(Chaos {
            seed,
            per_mille,
            kinds: vec![Kind::Html502, Kind::Ignored, Kind::Truncated],
            verbs: Vec::new(),
            first: 0,
        })
    }

    fn story(chance: &mut Chance, verb: Verb, user: &str) -> Vec<Option<&'static str>> {
        (0..200)
            .map(|_| chance.take(verb, Some(user)).map(|kind| kind.name()))
            .collect()
    }

    #[test]
    fn one_seed_is_one_story_whatever_comes_between() {
        let alone = story(&mut chance(7, 300), Verb::Patch, "alice");
        let mut busy = chance(7, 300);
        let between: Vec<_> = (0..200)
            .map(|_| {
                busy.take(Verb::Get, Some("alice"));
                busy.take(Verb::Patch, Some("bob"));
                busy.take(Verb::List, None);
                busy.take(Verb::Patch, Some("alice"))
                    .map(|kind| kind.name())
            })
            .collect();
        assert_eq!(alone, between);
        assert_ne!(alone, story(&mut chance(8, 300), Verb::Patch, "alice"));
        assert_ne!(alone, story(&mut chance(7, 300), Verb::Patch, "bob"));
    }

    #[test]
    fn about_as_many_calls_are_hit_as_asked_and_with_every_kind_that_fits() {
        let hit = |per_mille| {
            let all = story(&mut chance(1, per_mille), Verb::Patch, "alice").into_iter();
            all.flatten().collect::<Vec<_>>()
        };
        assert_eq!(hit(0).len(), 0);
        assert_eq!(hit(1000).len(), 200);
        assert!((60..140).contains(&hit(500).len()));
        for kind in ["html502", "ignored", "truncated"] {
            assert!(hit(1000).contains(&kind), "{kind}");
        }
        let reads = story(&mut chance(1, 1000), Verb::Get, "alice");
        assert!(!reads.contains(&Some("ignored")), "it is about changes");
    }

    #[test]
    fn it_ends_by_itself_and_keeps_to_its_verbs() {
        let mut chance = chance(1, 1000);
        chance.chaos.first = 3;
        chance.chaos.verbs = vec![Verb::Patch];
        assert_eq!(story(&mut chance, Verb::Get, "alice"), vec![None; 200]);
        let hit = story(&mut chance, Verb::Patch, "alice");
        assert!(hit[..3].iter().all(Option::is_some) && hit[3..].iter().all(Option::is_none));
    }
}

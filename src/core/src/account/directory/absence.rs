//! Which users are gone, and how sure that is. A complete list that does not show a user only raises a
//! suspicion. A definite answer about that user settles it. Where many are missed, one more complete
//! list does, which costs less, but only after reads of a few of them found no user: lists may omit users
//! which a read shows. A user that counts as gone by lists alone is read once more, a few in each later sweep.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_api::wire::UserId;
use fireworks_crd::rules::{Rule, kept};

use super::{Directory, Listing};
use crate::account::Class;
use crate::time::Moment;

/// A user that is missed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Missing {
    pub(super) evidence: Evidence,
    /// Number of the complete list that raised the suspicion, or by which that was known; 0 where a read that came
    /// without a suspicion found no user.
    pub(super) since_list: u64,
}

/// Reads of users that one list did not show which have to find no user before a second list is evidence: all of them
/// where they are fewer.
const PROBES: usize = 3;

/// The users that one list did not show.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    suspected: usize,
    not_found: usize,
}

impl Batch {
    /// The number of reads that are still to find no user.
    fn unproven(self) -> usize {
        PROBES
            .min(self.suspected + self.not_found)
            .saturating_sub(self.not_found)
    }
}

/// What a user is missed by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Evidence {
    /// One list, or the answer to a change.
    Suspicion,
    /// A second complete list.
    Lists,
    /// A definite answer to a read.
    Read,
}

impl Missing {
    pub(super) fn is_confirmed(&self) -> bool {
        self.evidence != Evidence::Suspicion || !kept(Rule::AbsenceIsConfirmed)
    }
}

impl Directory {
    /// The server said of a change that there is no such user.
    pub(super) fn suspect(&mut self, user: &UserId) {
        let since_list = self.reads.lists();
        let missing = Missing {
            evidence: Evidence::Suspicion,
            since_list,
        };
        self.missing.entry(user.clone()).or_insert(missing);
    }

    /// A complete list without malformed rows: who is of interest and was not in it is missed.
    pub(super) fn settle_absences(
        &mut self,
        listing: &Listing,
        number: u64,
        affected: &mut Vec<UserId>,
    ) {
        let (managed, began) = (&self.managed, listing.began);
        let (records, settle) = (&self.records, self.times.settle_window);
        self.unconfirmed.retain(|id, one| {
            // Of a user that is gone, and that no object declares, no read shows anything.
            let known = managed.contains(id) || records.contains_key(id);
            known || began < one.given_up + settle
        });
        self.omitted.retain(|id| managed.contains(id));
        let lists_tell = listing.users() > 0 && self.omitted.is_empty();
        let is_unseen = |id: &&UserId| self.listed_in(id) != listing.number;
        let batches = self.batches();
        let is_proven = |list: u64| {
            batches
                .get(&list)
                .is_some_and(|batch| batch.unproven() == 0)
        };
        let unseen: Vec<UserId> = managed.iter().filter(is_unseen).cloned().collect();
        for id in unseen {
            let seen_since = self
                .records
                .get(&id)
                .is_some_and(|record| record.seen_at > began);
            if seen_since || self.omitted.contains(&id) {
                continue;
            }
            match self.missing.get(&id) {
                Some(missing) if missing.is_confirmed() => {
                    self.satisfy(&id, began);
                }
                Some(missing)
                    if missing.since_list < number
                        && lists_tell
                        && is_proven(missing.since_list) =>
                {
                    self.confirm_absence(&id, Evidence::Lists, began, affected);
                }
                Some(_) => {}
                None => {
                    let missing = Missing {
                        evidence: Evidence::Suspicion,
                        since_list: number,
                    };
                    self.missing.insert(id.clone(), missing);
                    self.satisfy(&id, began);
                    affected.push(id);
                }
            }
        }
    }

    /// The user is gone, unless a change of ours was answered since.
    pub(super) fn confirm_absence(
        &mut self,
        id: &UserId,
        evidence: Evidence,
        sent_at: Moment,
        affected: &mut Vec<UserId>,
    ) {
        let record = self.records.get(id);
        if record
            .and_then(|record| record.change.as_ref())
            .is_some_and(|change| change.sent_at > sent_at)
        {
            return;
        }
        self.records.remove(id);
        self.undeclared.remove(id);
        self.omitted.remove(id);
        let suspected = self
            .missing
            .get(id)
            .filter(|missing| !missing.is_confirmed());
        let since_list = match evidence {
            Evidence::Read => suspected.map_or(0, |missing| missing.since_list),
            _ => self.reads.lists(),
        };
        let before = self.missing.insert(
            id.clone(),
            Missing {
                evidence,
                since_list,
            },
        );
        let news = before.is_none_or(|missing| !missing.is_confirmed());
        if self.satisfy(id, sent_at) || news {
            affected.push(id.clone());
        }
        if !self.managed.contains(id) {
            self.missing.remove(id);
        }
        self.canary_removed(id, affected);
    }

    /// The users that are missed, by the list that did not show them.
    fn batches(&self) -> BTreeMap<u64, Batch> {
        let mut batches: BTreeMap<u64, Batch> = BTreeMap::new();
        for missing in self.missing.values() {
            let batch = batches.entry(missing.since_list).or_default();
            match missing.evidence {
                Evidence::Suspicion => batch.suspected += 1,
                Evidence::Read => batch.not_found += usize::from(missing.since_list > 0),
                Evidence::Lists => {}
            }
        }
        batches
    }

    /// Whether the reads that are due cost more than a list, with what it takes for the list to be evidence. Of the users
    /// that are missed only those are left in `due` which are read before such a list. Of users that are missed together
    /// some are asked for a moment later, since each object has a pass of its own: they count from the first one on.
    pub(super) fn costs_more_than_a_list(&self, due: &mut Vec<(UserId, Class)>) -> bool {
        let pages = self.reads.pages();
        let is_suspected = |id: &UserId| {
            let missing = self.missing.get(id);
            missing.is_some_and(|missing| missing.evidence == Evidence::Suspicion)
        };
        let asked = due.iter().filter(|(id, _)| is_suspected(id)).count();
        let others = due.len() - asked;
        // A list whose rows are malformed would leave the same users to be read after it.
        let is_of_use = !self.reads.last_list_was_empty() && !self.reads.last_list_was_malformed();
        // One that is known to omit users proves nothing.
        if asked == 0 || !is_of_use || !self.omitted.is_empty() {
            return is_of_use && others > pages;
        }
        let (mut suspected, mut unproven) = (0, 0);
        for batch in self.batches().into_values() {
            suspected += batch.suspected;
            unproven += batch.unproven();
        }
        if others + suspected <= pages + unproven {
            return false;
        }
        let under_way = self.reads.getting().filter(|id| is_suspected(id)).count();
        let mut probes = unproven.saturating_sub(under_way);
        due.retain(|(id, _)| {
            let is_probe = is_suspected(id);
            let stays = !is_probe || probes > 0;
            probes -= usize::from(is_probe && stays);
            stays
        });
        unproven == 0 || others > pages
    }

    /// A complete list is over: its period begins, and users that lists cannot show are read one by one, those of its
    /// malformed rows among them. Of those that are gone by earlier lists alone, no more than the list had pages.
    pub(super) fn after_list(&mut self, listing: &Listing, number: u64, now: Moment) {
        self.schedule_sweep(now);
        let by_lists = self.missing.iter().filter(|(_, missing)| {
            missing.evidence == Evidence::Lists && missing.since_list < number
        });
        let doubtful = by_lists.map(|(id, _)| id).take(self.reads.pages());
        let omitted = self.omitted.intersection(&self.managed);
        let is_hidden =
            |id: &&UserId| self.listed_in(id) != listing.number && !self.missing.contains_key(*id);
        let hidden = self
            .managed
            .iter()
            .filter(is_hidden)
            .take(listing.malformed);
        let rest: BTreeSet<UserId> = omitted.chain(doubtful).chain(hidden).cloned().collect();
        self.reads.sweep_also(rest);
    }
}

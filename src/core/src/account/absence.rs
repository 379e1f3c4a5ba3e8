//! Which users are gone, and how sure that is. A complete list that does not show a user only raises a
//! suspicion. A definite answer about that user settles it. Where many are missed, one more complete
//! list does, which costs less, but only after reads of a few of them found no user: lists may omit users
//! which a read shows. A user that counts as gone by lists alone is read once more, a few in each later sweep.

use std::collections::{BTreeMap, BTreeSet};

use fireworks_api::wire::UserId;

use super::Class;
use crate::rules::Rules;

/// Reads of users that one list did not show which have to find no user before a second list is evidence: all of them
/// where they are fewer.
const PROBES: usize = 3;

/// The users that are missed, and those that lists omit.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Absence {
    pub(super) rules: Rules,
    missing: BTreeMap<UserId, Missing>,
    /// Users that a read showed, and the complete list before it did not.
    omitted: BTreeSet<UserId>,
}

/// A user that is missed.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Missing {
    evidence: Evidence,
    /// Number of the complete list that raised the suspicion, or by which that was known; 0 where a read that came
    /// without a suspicion found no user.
    since_list: u64,
}

/// What a user is missed by.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Evidence {
    /// One list, or the answer to a change.
    Suspicion,
    /// A second complete list.
    Lists,
    /// A definite answer to a read.
    Read,
}

/// What a complete list means for a user that it did not show.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conclusion {
    /// It is suspected to be gone from now on.
    Suspected,
    /// The list confirms that it is gone.
    Confirmed,
    /// It is known to be gone.
    Known,
}

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

impl Absence {
    /// Returns whether the user is missed, be it confirmed or not.
    pub(super) fn is_missing(&self, user: &UserId) -> bool {
        self.missing.contains_key(user)
    }

    /// Returns whether it is confirmed that the user is gone.
    pub(super) fn is_confirmed(&self, user: &UserId) -> bool {
        let missing = self.missing.get(user);
        missing.is_some_and(|missing| (self.rules.is_absence_confirmed)(missing.evidence))
    }

    /// Returns whether lists omit the user although it is there.
    pub(super) fn is_omitted(&self, user: &UserId) -> bool {
        self.omitted.contains(user)
    }

    /// Returns the number of users that are missed.
    pub(super) fn len(&self) -> usize {
        self.missing.len()
    }

    /// Records that the server answered a change that there is no such user; `lists`: the complete lists so far.
    pub(super) fn suspect(&mut self, user: &UserId, lists: u64) {
        let missing = Missing {
            evidence: Evidence::Suspicion,
            since_list: lists,
        };
        self.missing.entry(user.clone()).or_insert(missing);
    }

    /// Records that a page of a list shows the user.
    pub(super) fn user_listed(&mut self, user: &UserId) {
        self.omitted.remove(user);
    }

    /// Records that a single read shows the user; `is_listed`: a complete list was made.
    pub(super) fn user_read(&mut self, user: &UserId, is_listed: bool) {
        if self.missing.remove(user).is_some() && is_listed {
            self.omitted.insert(user.clone());
        }
    }

    /// Forgets that the user is missed. Returns whether it was.
    pub(super) fn forget(&mut self, user: &UserId) -> bool {
        self.missing.remove(user).is_some()
    }

    /// Concludes from the complete list of that `number` among the complete ones, without malformed rows, what it means for
    /// the users that it did not show. An empty list is no evidence.
    pub(super) fn conclude(
        &mut self,
        unseen: Vec<UserId>,
        number: u64,
        is_empty: bool,
    ) -> Vec<(UserId, Conclusion)> {
        let is_confirmed = self.rules.is_absence_confirmed;
        let is_evidence = !is_empty && self.omitted.is_empty();
        let batches = self.batches();
        let is_proven = |list: u64| {
            let batch = batches.get(&list);
            batch.is_some_and(|batch| batch.unproven() == 0)
        };
        let mut conclusions = Vec::new();
        for id in unseen {
            if self.omitted.contains(&id) {
                continue;
            }
            let conclusion = match self.missing.get(&id) {
                Some(missing) if is_confirmed(missing.evidence) => Conclusion::Known,
                Some(missing)
                    if missing.since_list < number
                        && is_evidence
                        && is_proven(missing.since_list) =>
                {
                    Conclusion::Confirmed
                }
                Some(_) => continue,
                None => {
                    self.suspect(&id, number);
                    Conclusion::Suspected
                }
            };
            conclusions.push((id, conclusion));
        }
        conclusions
    }

    /// Records that the user is gone by that evidence; `lists`: the complete lists so far. Returns whether that was not known.
    pub(super) fn confirm(&mut self, user: &UserId, evidence: Evidence, lists: u64) -> bool {
        self.omitted.remove(user);
        let before = self.missing.get(user);
        let is_confirmed = self.rules.is_absence_confirmed;
        let suspected = before.filter(|missing| !is_confirmed(missing.evidence));
        let is_new = before.is_none_or(|missing| !is_confirmed(missing.evidence));
        let since_list = match evidence {
            Evidence::Read => suspected.map_or(0, |missing| missing.since_list),
            Evidence::Suspicion | Evidence::Lists => lists,
        };
        let missing = Missing {
            evidence,
            since_list,
        };
        self.missing.insert(user.clone(), missing);
        is_new
    }

    /// Forgets which users lists omit, of those that are not managed.
    pub(super) fn retain_omitted(&mut self, managed: &BTreeSet<UserId>) {
        self.omitted.retain(|id| managed.contains(id));
    }

    /// Returns the users to be read one by one after the complete list of that number: those that lists omit, and of those
    /// that are gone by earlier lists alone at most that many.
    pub(super) fn to_read_after_list<'a>(
        &'a self,
        managed: &'a BTreeSet<UserId>,
        number: u64,
        most: usize,
    ) -> impl Iterator<Item = &'a UserId> {
        let by_lists = self.missing.iter().filter(move |(_, missing)| {
            missing.evidence == Evidence::Lists && missing.since_list < number
        });
        let doubtful = by_lists.map(|(id, _)| id).take(most);
        self.omitted.intersection(managed).chain(doubtful)
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

    /// Returns whether the reads that are due cost more than a list of that many pages, with what it takes for the list to be
    /// evidence. Of the users that are missed only those are left in `due` which are read before such a list. Of users that are
    /// missed together some are requested a moment later, since each object has a pass of its own: they count from the first
    /// one on. `is_of_use`: a list may show what is to be known; `in_progress`: users that are being read.
    pub(super) fn costs_more_than_a_list<'a>(
        &self,
        due: &mut Vec<(UserId, Class)>,
        pages: usize,
        is_of_use: bool,
        in_progress: impl Iterator<Item = &'a UserId>,
    ) -> bool {
        let is_suspected = |id: &UserId| {
            let missing = self.missing.get(id);
            missing.is_some_and(|missing| missing.evidence == Evidence::Suspicion)
        };
        let asked = due.iter().filter(|(id, _)| is_suspected(id)).count();
        let others = due.len() - asked;
        // A list that is known to omit users proves nothing.
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
        let in_progress = in_progress.filter(|id| is_suspected(id)).count();
        let mut probes = unproven.saturating_sub(in_progress);
        due.retain(|(id, _)| {
            let is_probe = is_suspected(id);
            let stays = !is_probe || probes > 0;
            probes -= usize::from(is_probe && stays);
            stays
        });
        unproven == 0 || others > pages
    }

    /// Takes part in [`Account::rebase`](super::Account::rebase). Of the numbers of lists only "the last one or an earlier one"
    /// matters; `lists`: the complete lists so far.
    pub(super) fn rebase(&mut self, lists: u64) {
        let Self {
            rules: _,
            missing,
            omitted: _,
        } = self;
        for missing in missing.values_mut() {
            let is_last = u64::from(missing.since_list == lists);
            missing.since_list = (is_last + 1).min(missing.since_list * 2);
        }
    }
}

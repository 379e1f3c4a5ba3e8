//! Who is gone, and how sure that is. A complete list that does not show a user only raises a
//! suspicion. A definite answer about that user settles it; where many are missed, one more complete
//! list does, which costs less. Lists may omit users whom a read shows, so whoever is held for gone by
//! lists alone is read once more, a few in each later sweep.

use std::collections::HashSet;

use tokio::time::Instant;

use super::super::budget::Class;
use super::super::wire::UserId;
use super::{Listing, State};
use crate::rules::{Rule, kept};

/// A user that is missed.
#[derive(Clone, Debug)]
pub(super) struct Missing {
    pub(super) evidence: Evidence,
    /// Number of the complete list by which that was known.
    pub(super) since_list: u64,
}

/// What a user is missed by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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

impl State {
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
        look: &mut Vec<UserId>,
    ) {
        let (interest, began) = (&self.interest, listing.began);
        let (records, settle) = (&self.records, self.times.settle_window);
        self.ambiguities.retain(|id, one| {
            // Of a user that is gone, and that no object declares, no read shows anything.
            let known = interest.contains(id) || records.contains_key(id);
            known || began < one.given_up + settle
        });
        self.unlisted.retain(|id| interest.contains(id));
        let lists_tell = listing.users() > 0 && self.unlisted.is_empty();
        let is_unseen = |id: &&UserId| self.listed_in(id) != listing.number;
        let unseen: Vec<UserId> = interest.iter().filter(is_unseen).cloned().collect();
        for id in unseen {
            let seen_since = self
                .records
                .get(&id)
                .is_some_and(|record| record.seen_at > began);
            if seen_since || self.unlisted.contains(&id) {
                continue;
            }
            match self.missing.get(&id) {
                Some(missing) if missing.is_confirmed() => {
                    self.satisfy(&id, began);
                }
                Some(missing) if missing.since_list < number && lists_tell => {
                    self.confirm_absence(&id, Evidence::Lists, began, look);
                }
                Some(_) => {}
                None => {
                    let missing = Missing {
                        evidence: Evidence::Suspicion,
                        since_list: number,
                    };
                    self.missing.insert(id.clone(), missing);
                    self.satisfy(&id, began);
                    look.push(id);
                }
            }
        }
    }

    /// The user is gone, unless a change of ours was answered since.
    pub(super) fn confirm_absence(
        &mut self,
        id: &UserId,
        evidence: Evidence,
        sent_at: Instant,
        look: &mut Vec<UserId>,
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
        self.unlisted.remove(id);
        let since_list = self.reads.lists();
        let before = self.missing.insert(
            id.clone(),
            Missing {
                evidence,
                since_list,
            },
        );
        let news = before.is_none_or(|missing| !missing.is_confirmed());
        if self.satisfy(id, sent_at) || news {
            look.push(id.clone());
        }
        if !self.interest.contains(id) {
            self.missing.remove(id);
        }
        self.canary_gone(id, look);
    }

    /// How many single reads would be made. Of users that are missed together some are asked for a
    /// moment later, since each object has a pass of its own: they count from the first one on.
    pub(super) fn reads_ahead(&self, due: &[(UserId, Class)]) -> usize {
        if due.iter().all(|(_, class)| *class != Class::AbsenceCheck) {
            return due.len();
        }
        let suspected = self
            .missing
            .values()
            .filter(|missing| !missing.is_confirmed());
        due.len().max(suspected.count())
    }

    /// A complete list is over: its period begins, and whom lists cannot show is read one by one. Of
    /// those held for gone by earlier lists alone, no more than the list had pages.
    pub(super) fn after_list(&mut self, number: u64, now: Instant) {
        self.schedule_sweep(now);
        let by_lists = self.missing.iter().filter(|(_, missing)| {
            missing.evidence == Evidence::Lists && missing.since_list < number
        });
        let doubtful = by_lists.map(|(id, _)| id).take(self.reads.pages());
        let unlisted = self.unlisted.intersection(&self.interest);
        let rest: HashSet<UserId> = unlisted.chain(doubtful).cloned().collect();
        self.reads.sweep_also(rest);
    }
}

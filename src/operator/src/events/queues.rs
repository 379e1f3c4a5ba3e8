//! Which Event is published next. Events about changes of users: up to 1,000 wait, five a second leave. All others: a
//! queue for each namespace, served round-robin, two a second together and one a second for each namespace. Pure: the
//! time is a parameter.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Item;

/// Events about changes of users that may wait.
const CHANGES_MAX: usize = 1_000;
/// Other Events that may wait in all namespaces together.
const OTHERS_MAX: usize = 1_000;
/// Other Events that may wait in one namespace.
const NAMESPACE_MAX: usize = 100;
/// Time between two Events about changes of users.
const CHANGE_SPACING: Duration = Duration::from_millis(200);
/// Time between two other Events.
const OTHER_SPACING: Duration = Duration::from_millis(500);
/// Time between two other Events of one namespace.
const NAMESPACE_SPACING: Duration = Duration::from_secs(1);

/// The Events that wait.
#[derive(Debug, Default)]
pub(super) struct Queues {
    changes: VecDeque<Item>,
    next_change: Option<Instant>,
    others: BTreeMap<String, Flow>,
    others_waiting: usize,
    next_other: Option<Instant>,
    /// Counts the other Events that left: the turn of each namespace's last one.
    turn: u64,
}

/// The Events of one namespace.
#[derive(Debug, Default)]
struct Flow {
    waiting: VecDeque<Item>,
    last_turn: u64,
    not_before: Option<Instant>,
}

/// What may be published.
#[derive(Debug)]
pub(super) enum Next {
    /// This one.
    Now(Box<Item>),
    /// None before that time.
    At(Instant),
    /// None waits.
    Nothing,
}

impl Queues {
    /// Adds one; false where too many wait.
    pub(super) fn add(&mut self, item: Item) -> bool {
        if item.draft.about_change {
            let fits = self.changes.len() < CHANGES_MAX;
            if fits {
                self.changes.push_back(item);
            }
            return fits;
        }
        let namespace = item.about.namespace.clone().unwrap_or_default();
        let waiting = self.others.get(&namespace);
        let waiting = waiting.map_or(0, |flow| flow.waiting.len());
        if waiting >= NAMESPACE_MAX || self.others_waiting >= OTHERS_MAX {
            return false;
        }
        self.others_waiting += 1;
        let flow = self.others.entry(namespace).or_default();
        flow.waiting.push_back(item);
        true
    }

    /// Takes the one that may be published at `now`.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.forget_idle(now);
        let change_at = (!self.changes.is_empty()).then(|| self.next_change.unwrap_or(now));
        if change_at.is_some_and(|at| at <= now)
            && let Some(item) = self.changes.pop_front()
        {
            self.next_change = Some(now + CHANGE_SPACING);
            return Next::Now(Box::new(item));
        }
        let other_at = match self.next_namespace(now) {
            None => None,
            Some((at, namespace)) if at <= now => {
                if let Some(item) = self.take_other(&namespace, now) {
                    return Next::Now(Box::new(item));
                }
                None
            }
            Some((at, _)) => Some(at),
        };
        match [change_at, other_at].into_iter().flatten().min() {
            Some(at) => Next::At(at),
            None => Next::Nothing,
        }
    }

    /// The namespace whose turn it is, and when: of those that may publish first, the one served longest ago.
    fn next_namespace(&self, now: Instant) -> Option<(Instant, String)> {
        let earliest = self.next_other.unwrap_or(now).max(now);
        let waiting = self.others.iter();
        let waiting = waiting.filter(|(_, flow)| !flow.waiting.is_empty());
        let at = |flow: &Flow| flow.not_before.unwrap_or(earliest).max(earliest);
        let first = waiting.min_by_key(|(_, flow)| (at(flow), flow.last_turn))?;
        Some((at(first.1), first.0.clone()))
    }

    fn take_other(&mut self, namespace: &str, now: Instant) -> Option<Item> {
        let flow = self.others.get_mut(namespace)?;
        let item = flow.waiting.pop_front()?;
        self.turn += 1;
        flow.last_turn = self.turn;
        flow.not_before = Some(now + NAMESPACE_SPACING);
        self.others_waiting = self.others_waiting.saturating_sub(1);
        self.next_other = Some(now + OTHER_SPACING);
        Some(item)
    }

    /// A namespace is kept while Events of it wait, or its last one is too recent for another.
    fn forget_idle(&mut self, now: Instant) {
        self.others.retain(|_, flow| {
            !flow.waiting.is_empty() || flow.not_before.is_some_and(|at| at > now)
        });
    }
}

#[cfg(test)]
mod tests {
    use fireworks_core::user::events::EventDraft;
    use k8s_openapi::api::core::v1::ObjectReference;

    use super::*;

    fn item(namespace: usize) -> Item {
        Item {
            about: ObjectReference {
                namespace: Some(format!("namespace-{namespace}")),
                ..ObjectReference::default()
            },
            draft: EventDraft {
                reason: "Conflict",
                action: String::new(),
                text: String::new(),
                warning: false,
                about_change: false,
            },
        }
    }

    /// 50,000 namespaces cause an Event each, in bursts.
    #[test]
    fn events_forget_namespaces_that_have_none() {
        let mut queues = Queues::default();
        let mut now = operator_runtime::clock::now();
        let mut published = 0;
        for burst in 0..10 {
            for namespace in 0..5_000 {
                queues.add(item(burst * 5_000 + namespace));
            }
            assert!(queues.others.len() <= OTHERS_MAX + 2, "{burst}");
            assert_eq!(queues.others_waiting, OTHERS_MAX);
            for _ in 0..100 {
                match queues.next(now) {
                    Next::Now(_) => published += 1,
                    Next::At(at) => now = at,
                    Next::Nothing => break,
                }
            }
        }
        assert_eq!(published, 500);
        while !matches!(queues.next(now), Next::Nothing) {
            now += OTHER_SPACING;
        }
        now += NAMESPACE_SPACING;
        assert!(matches!(queues.next(now), Next::Nothing));
        assert_eq!((queues.others.len(), queues.others_waiting), (0, 0));
    }
}

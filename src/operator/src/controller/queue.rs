//! The work queue: the objects that are to be reconciled. Each waits once, and none has two passes at once. An object that
//! is added while its pass is under way waits again when that has ended, since the pass may have begun with the object as it
//! was before. Namespaces are served round-robin, and the objects of one namespace in their order: thousands of objects of
//! one namespace delay another by one turn. Holds names only.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fireworks_core::claims::ObjectKey;
use tokio::sync::Notify;

/// A queue that held more (all objects, after a start) gives its memory back once it is empty.
const KEPT: usize = 1_024;

/// Why an object wants a look; the last named goes for the first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Trigger {
    /// The watch brought it, and nothing else is known to have happened.
    Object,
    /// Anything else.
    Other,
}

/// Objects that want a look.
#[derive(Default)]
pub(super) struct WorkQueue {
    state: Mutex<State>,
    joined: Notify,
}

#[derive(Default)]
struct State {
    /// The names that wait in each namespace: no namespace is without one.
    waiting: HashMap<Arc<str>, VecDeque<Arc<str>>>,
    /// The namespaces of `waiting`, the next to serve first.
    next_namespaces: VecDeque<Arc<str>>,
    /// The objects of `waiting`.
    counts: HashMap<ObjectKey, Trigger>,
    /// Whose passes are under way, and why they want another one, if they do.
    under_way: HashMap<ObjectKey, Option<Trigger>>,
}

impl WorkQueue {
    /// The object wants a look.
    pub(super) fn add(&self, key: &ObjectKey, trigger: Trigger) {
        if self.lock().add(key, trigger) {
            self.joined.notify_one();
        }
    }

    /// These objects want a look, whatever they look like.
    pub(super) fn add_all(&self, keys: &[ObjectKey]) {
        for key in keys {
            self.add(key, Trigger::Other);
        }
    }

    /// The next one, and why; its pass begins. For one caller at a time.
    pub(super) async fn next(&self) -> (ObjectKey, Trigger) {
        loop {
            let joined = self.joined.notified();
            if let Some(next) = self.lock().pop() {
                return next;
            }
            joined.await;
        }
    }

    /// Its pass has ended.
    pub(super) fn done(&self, key: &ObjectKey) {
        let mut state = self.lock();
        if let Some(trigger) = state.under_way.remove(key).flatten()
            && state.add(key, trigger)
        {
            self.joined.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `true` if one more waits.
    fn add(&mut self, key: &ObjectKey, trigger: Trigger) -> bool {
        if let Some(another) = self.under_way.get_mut(key) {
            *another = (*another).max(Some(trigger));
            return false;
        }
        if let Some(before) = self.counts.get_mut(key) {
            *before = trigger.max(*before);
            return false;
        }
        self.counts.insert(key.clone(), trigger);
        let ObjectKey { namespace, name } = key;
        if let Some(names) = self.waiting.get_mut(namespace) {
            names.push_back(name.clone());
        } else {
            let names = VecDeque::from([name.clone()]);
            self.waiting.insert(namespace.clone(), names);
            self.next_namespaces.push_back(namespace.clone());
        }
        true
    }

    fn pop(&mut self) -> Option<(ObjectKey, Trigger)> {
        let namespace = self.next_namespaces.pop_front()?;
        let names = self.waiting.get_mut(&namespace)?;
        let name = names.pop_front()?;
        if names.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.next_namespaces.push_back(namespace.clone());
        }
        let key = ObjectKey { namespace, name };
        // An object that waits has a trigger.
        let trigger = self.counts.remove(&key).unwrap_or(Trigger::Other);
        if self.counts.is_empty() && self.counts.capacity() > KEPT {
            self.counts = HashMap::new();
            (self.waiting, self.next_namespaces) = (HashMap::new(), VecDeque::new());
        }
        self.under_way.insert(key.clone(), None);
        Some((key, trigger))
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn key(number: usize) -> ObjectKey {
        key_in("ns", number)
    }

    fn key_in(namespace: &str, number: usize) -> ObjectKey {
        ObjectKey {
            namespace: namespace.into(),
            name: number.to_string().into(),
        }
    }

    fn add(queue: &WorkQueue, namespace: &str, numbers: std::ops::Range<usize>) {
        for number in numbers {
            queue.add(&key_in(namespace, number), Trigger::Object);
        }
    }

    /// Takes that many objects, and ends their passes.
    fn served(queue: &WorkQueue, count: usize) -> Vec<String> {
        let next = || {
            let (key, _) = queue.next().now_or_never()?;
            queue.done(&key);
            Some(key.to_string())
        };
        std::iter::from_fn(next).take(count).collect()
    }

    fn next(queue: &WorkQueue) -> Option<String> {
        let (key, _) = queue.next().now_or_never()?;
        Some(key.name.to_string())
    }

    #[test]
    fn each_waits_once_and_in_its_order() {
        let queue = WorkQueue::default();
        for number in [1, 2, 1, 3, 2] {
            queue.add(&key(number), Trigger::Object);
        }
        let handed: Vec<_> = std::iter::from_fn(|| next(&queue)).collect();
        assert_eq!(handed, ["1", "2", "3"]);
    }

    #[test]
    fn work_queue_serves_namespaces_round_robin() {
        let queue = WorkQueue::default();
        add(&queue, "a", 0..3);
        add(&queue, "b", 0..2);
        add(&queue, "c", 0..1);
        let expected = ["a/0", "b/0", "c/0", "a/1", "b/1", "a/2"];
        assert_eq!(served(&queue, 10), expected);
        // A namespace that has just been served waits behind the others.
        add(&queue, "a", 0..2);
        assert_eq!(served(&queue, 1), ["a/0"]);
        add(&queue, "b", 0..1);
        add(&queue, "a", 2..3);
        assert_eq!(served(&queue, 10), ["a/1", "b/0", "a/2"]);
    }

    #[test]
    fn work_queue_delays_a_namespace_by_one_turn_of_a_busy_one() {
        let queue = WorkQueue::default();
        add(&queue, "busy", 0..4_000);
        served(&queue, 1_000);
        for number in 0..100 {
            add(&queue, "quiet", number..number + 1);
            // The busy one keeps adding.
            add(&queue, "busy", 4_000 + number..4_001 + number);
            let served = served(&queue, 2);
            assert!(served.contains(&format!("quiet/{number}")), "{served:?}");
        }
    }

    #[test]
    fn no_object_has_two_passes_at_once_and_no_requeue_is_lost() {
        let queue = WorkQueue::default();
        queue.add(&key(1), Trigger::Object);
        assert_eq!(next(&queue), Some("1".into()));
        queue.add(&key(1), Trigger::Object);
        queue.add(&key(1), Trigger::Object);
        queue.add(&key(2), Trigger::Object);
        assert_eq!((next(&queue), next(&queue)), (Some("2".into()), None));
        queue.done(&key(1));
        queue.done(&key(2));
        assert_eq!((next(&queue), next(&queue)), (Some("1".into()), None));
        queue.done(&key(1));
        assert_eq!(next(&queue), None);
    }

    #[test]
    fn of_several_requeues_the_more_urgent_counts_also_during_a_pass() {
        let queue = WorkQueue::default();
        let (object, other) = (Trigger::Object, Trigger::Other);
        for (wishes, counts) in [
            (&[object, object][..], object),
            (&[object, other, object][..], other),
        ] {
            for trigger in wishes {
                queue.add(&key(1), *trigger);
            }
            assert_eq!(queue.next().now_or_never(), Some((key(1), counts)));
            for trigger in wishes {
                queue.add(&key(1), *trigger);
            }
            queue.done(&key(1));
            assert_eq!(queue.next().now_or_never(), Some((key(1), counts)));
            queue.done(&key(1));
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_new_one_and_by_one_that_comes_again() {
        let queue = WorkQueue::default();
        let waiting = async { [queue.next().await, queue.next().await].map(|(key, _)| key.name) };
        let acting = async {
            tokio::task::yield_now().await;
            queue.add(&key(1), Trigger::Object);
            tokio::task::yield_now().await;
            queue.add(&key(1), Trigger::Object);
            queue.done(&key(1));
        };
        let (names, ()) = tokio::join!(waiting, acting);
        assert_eq!(names, ["1".into(), "1".into()]);
    }

    #[test]
    fn long_work_queue_gives_its_memory_back() {
        let queue = WorkQueue::default();
        add(&queue, "busy", 0..5_000);
        for number in 0..5_000 {
            add(&queue, &format!("namespace-{number}"), 0..1);
        }
        assert_eq!(served(&queue, 20_000).len(), 10_000);
        let state = queue.lock();
        assert_eq!((state.waiting.capacity(), state.counts.capacity()), (0, 0));
        assert_eq!(
            (state.next_namespaces.capacity(), state.under_way.len()),
            (0, 0)
        );
    }
}

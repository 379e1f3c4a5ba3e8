//! The line of objects that want a look: each waits once, first come, first served, and none has two passes at once. Who
//! wants another look while its pass is under way waits again when that has ended, since the pass may have begun with
//! the object as it was before. Holds names only.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::claims::ObjectKey;

/// A line that held more (all objects, after a start) gives its memory back once it is empty.
const KEPT: usize = 1_024;

/// Objects that want a look.
#[derive(Default)]
pub(super) struct Line {
    state: Mutex<State>,
    joined: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<ObjectKey>,
    /// Those in `waiting`.
    held: HashSet<ObjectKey>,
    /// Whose passes are under way, and whether they want another one.
    under_way: HashMap<ObjectKey, bool>,
}

impl Line {
    /// The object wants a look.
    pub(super) fn join(&self, key: &ObjectKey) {
        if self.lock().join(key) {
            self.joined.notify_one();
        }
    }

    /// These objects want a look.
    pub(super) fn join_all(&self, keys: &[ObjectKey]) {
        for key in keys {
            self.join(key);
        }
    }

    /// The next one; its pass begins. For one caller at a time.
    pub(super) async fn next(&self) -> ObjectKey {
        loop {
            let joined = self.joined.notified();
            if let Some(key) = self.lock().pop() {
                return key;
            }
            joined.await;
        }
    }

    /// Its pass has ended.
    pub(super) fn leave(&self, key: &ObjectKey) {
        let mut state = self.lock();
        let wants_another = state.under_way.remove(key) == Some(true);
        if wants_another && state.join(key) {
            self.joined.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// `true` if one more waits.
    fn join(&mut self, key: &ObjectKey) -> bool {
        if let Some(wants_another) = self.under_way.get_mut(key) {
            *wants_another = true;
            return false;
        }
        let is_new = self.held.insert(key.clone());
        if is_new {
            self.waiting.push_back(key.clone());
        }
        is_new
    }

    fn pop(&mut self) -> Option<ObjectKey> {
        let key = self.waiting.pop_front()?;
        self.held.remove(&key);
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            (self.waiting, self.held) = (VecDeque::new(), HashSet::new());
        }
        self.under_way.insert(key.clone(), false);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn key(number: usize) -> ObjectKey {
        ObjectKey {
            namespace: "ns".into(),
            name: number.to_string().into(),
        }
    }

    fn next(line: &Line) -> Option<String> {
        line.next().now_or_never().map(|key| key.name.to_string())
    }

    #[test]
    fn each_waits_once_and_in_its_order() {
        let line = Line::default();
        for number in [1, 2, 1, 3, 2] {
            line.join(&key(number));
        }
        let handed: Vec<_> = std::iter::from_fn(|| next(&line)).collect();
        assert_eq!(handed, ["1", "2", "3"]);
    }

    #[test]
    fn none_has_two_passes_at_once_and_no_wish_is_lost() {
        let line = Line::default();
        line.join(&key(1));
        assert_eq!(next(&line), Some("1".into()));
        line.join(&key(1));
        line.join(&key(1));
        line.join(&key(2));
        assert_eq!((next(&line), next(&line)), (Some("2".into()), None));
        line.leave(&key(1));
        line.leave(&key(2));
        assert_eq!((next(&line), next(&line)), (Some("1".into()), None));
        line.leave(&key(1));
        assert_eq!(next(&line), None);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_new_one_and_by_one_that_comes_again() {
        let line = Line::default();
        let waiting = async { [line.next().await, line.next().await].map(|key| key.name) };
        let acting = async {
            tokio::task::yield_now().await;
            line.join(&key(1));
            tokio::task::yield_now().await;
            line.join(&key(1));
            line.leave(&key(1));
        };
        let (names, ()) = tokio::join!(waiting, acting);
        assert_eq!(names, ["1".into(), "1".into()]);
    }

    #[test]
    fn a_long_line_gives_its_memory_back() {
        let line = Line::default();
        for number in 0..5_000 {
            line.join(&key(number));
        }
        while let Some(name) = next(&line) {
            line.leave(&key(name.parse().unwrap_or_default()));
        }
        let state = line.lock();
        assert_eq!((state.waiting.capacity(), state.held.capacity()), (0, 0));
        assert_eq!(state.under_way.len(), 0);
    }
}

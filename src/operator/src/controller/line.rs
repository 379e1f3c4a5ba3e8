//! The line of objects that want a look: each waits once, first come, first served, and none has two passes at once. Who
//! wants another look while its pass is under way waits again when that has ended, since the pass may have begun with
//! the object as it was before. Holds names only.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fireworks_core::claims::ObjectKey;
use tokio::sync::Notify;

/// A line that held more (all objects, after a start) gives its memory back once it is empty.
const KEPT: usize = 1_024;

/// Why an object wants a look; the last named goes for the first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Wish {
    /// The watch brought it, and nothing else is known to have happened.
    Object,
    /// Anything else.
    Other,
}

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
    held: HashMap<ObjectKey, Wish>,
    /// Whose passes are under way, and why they want another one, if they do.
    under_way: HashMap<ObjectKey, Option<Wish>>,
}

impl Line {
    /// The object wants a look.
    pub(super) fn join(&self, key: &ObjectKey, wish: Wish) {
        if self.lock().join(key, wish) {
            self.joined.notify_one();
        }
    }

    /// These objects want a look, whatever they look like.
    pub(super) fn join_all(&self, keys: &[ObjectKey]) {
        for key in keys {
            self.join(key, Wish::Other);
        }
    }

    /// The next one, and why; its pass begins. For one caller at a time.
    pub(super) async fn next(&self) -> (ObjectKey, Wish) {
        loop {
            let joined = self.joined.notified();
            if let Some(next) = self.lock().pop() {
                return next;
            }
            joined.await;
        }
    }

    /// Its pass has ended.
    pub(super) fn leave(&self, key: &ObjectKey) {
        let mut state = self.lock();
        if let Some(wish) = state.under_way.remove(key).flatten()
            && state.join(key, wish)
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
    fn join(&mut self, key: &ObjectKey, wish: Wish) -> bool {
        if let Some(another) = self.under_way.get_mut(key) {
            *another = (*another).max(Some(wish));
            return false;
        }
        if let Some(before) = self.held.get_mut(key) {
            *before = wish.max(*before);
            return false;
        }
        self.held.insert(key.clone(), wish);
        self.waiting.push_back(key.clone());
        true
    }

    fn pop(&mut self) -> Option<(ObjectKey, Wish)> {
        let key = self.waiting.pop_front()?;
        // Who waits is held.
        let wish = self.held.remove(&key).unwrap_or(Wish::Other);
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            (self.waiting, self.held) = (VecDeque::new(), HashMap::new());
        }
        self.under_way.insert(key.clone(), None);
        Some((key, wish))
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
        let (key, _) = line.next().now_or_never()?;
        Some(key.name.to_string())
    }

    #[test]
    fn each_waits_once_and_in_its_order() {
        let line = Line::default();
        for number in [1, 2, 1, 3, 2] {
            line.join(&key(number), Wish::Object);
        }
        let handed: Vec<_> = std::iter::from_fn(|| next(&line)).collect();
        assert_eq!(handed, ["1", "2", "3"]);
    }

    #[test]
    fn none_has_two_passes_at_once_and_no_wish_is_lost() {
        let line = Line::default();
        line.join(&key(1), Wish::Object);
        assert_eq!(next(&line), Some("1".into()));
        line.join(&key(1), Wish::Object);
        line.join(&key(1), Wish::Object);
        line.join(&key(2), Wish::Object);
        assert_eq!((next(&line), next(&line)), (Some("2".into()), None));
        line.leave(&key(1));
        line.leave(&key(2));
        assert_eq!((next(&line), next(&line)), (Some("1".into()), None));
        line.leave(&key(1));
        assert_eq!(next(&line), None);
    }

    #[test]
    fn of_several_wishes_the_stronger_one_counts_before_and_while_its_pass_is_under_way() {
        let line = Line::default();
        let (object, other) = (Wish::Object, Wish::Other);
        for (wishes, counts) in [
            (&[object, object][..], object),
            (&[object, other, object][..], other),
        ] {
            for wish in wishes {
                line.join(&key(1), *wish);
            }
            assert_eq!(line.next().now_or_never(), Some((key(1), counts)));
            for wish in wishes {
                line.join(&key(1), *wish);
            }
            line.leave(&key(1));
            assert_eq!(line.next().now_or_never(), Some((key(1), counts)));
            line.leave(&key(1));
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_a_new_one_and_by_one_that_comes_again() {
        let line = Line::default();
        let waiting = async { [line.next().await, line.next().await].map(|(key, _)| key.name) };
        let acting = async {
            tokio::task::yield_now().await;
            line.join(&key(1), Wish::Object);
            tokio::task::yield_now().await;
            line.join(&key(1), Wish::Object);
            line.leave(&key(1));
        };
        let (names, ()) = tokio::join!(waiting, acting);
        assert_eq!(names, ["1".into(), "1".into()]);
    }

    #[test]
    fn a_long_line_gives_its_memory_back() {
        let line = Line::default();
        for number in 0..5_000 {
            line.join(&key(number), Wish::Object);
        }
        while let Some(name) = next(&line) {
            line.leave(&key(name.parse().unwrap_or_default()));
        }
        let state = line.lock();
        assert_eq!((state.waiting.capacity(), state.held.capacity()), (0, 0));
        assert_eq!(state.under_way.len(), 0);
    }
}

//! The priority scheduler: which class gets the next token. It is the most urgent one that waits, except for one token in ten,
//! which goes to the class that was passed over most often. That is never the token right after one of a less urgent class: a
//! class that becomes the most urgent waits for at most one token of another class. Knows neither tokens nor requests.

use super::CLASSES;

/// A class that waits is passed over at most this often; then it is served out of order.
const PASSED_OVER_MAX: u32 = 9;

/// How often each class was passed over since it was last served.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Priorities {
    passed_over: [u32; CLASSES],
    last_served: usize,
}

impl Priorities {
    /// Returns the class to serve next, of those that wait.
    pub(super) fn next(&self, waiting: [bool; CLASSES]) -> Option<usize> {
        let urgent = waiting.iter().position(|waits| *waits)?;
        if self.last_served > urgent {
            return Some(urgent);
        }
        let classes = waiting.iter().zip(self.passed_over).enumerate();
        let due = classes
            .filter(|(class, (waits, times))| {
                *class > urgent && **waits && *times >= PASSED_OVER_MAX
            })
            .max_by_key(|(_, (_, times))| *times);
        Some(due.map_or(urgent, |(class, _)| class))
    }

    /// Records that `served` got a token while these waited.
    pub(super) fn served(&mut self, served: usize, waiting: [bool; CLASSES]) {
        self.last_served = served;
        for (class, times) in self.passed_over.iter_mut().enumerate() {
            if class == served || waiting.get(class) != Some(&true) {
                *times = 0;
            } else if class > served {
                *times += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(priorities: &mut Priorities, waiting: [bool; CLASSES], count: usize) -> Vec<usize> {
        let next = || {
            let class = priorities.next(waiting)?;
            priorities.served(class, waiting);
            Some(class)
        };
        std::iter::from_fn(next).take(count).collect()
    }

    #[test]
    fn class_passed_over_gets_one_token_in_ten_and_delays_the_most_urgent_by_one() {
        let mut priorities = Priorities::default();
        let one_low = order(&mut priorities, [true, false, false, true, false], 20);
        assert_eq!(one_low.iter().filter(|class| **class == 3).count(), 2);
        assert_eq!(one_low.iter().position(|class| *class == 3), Some(9));
        let mut priorities = Priorities::default();
        // Owed changes are sent one at a time.
        let mut waiting = [true; CLASSES];
        waiting[0] = false;
        let all = order(&mut priorities, waiting, 100);
        for low in 2..CLASSES {
            let had = all.iter().filter(|class| **class == low).count();
            assert!((8..=10).contains(&had), "{had} of 100 for {low}");
        }
        let in_a_row = all
            .windows(2)
            .any(|pair| pair.iter().all(|class| *class > 1));
        assert!(!in_a_row, "{all:?}");
        assert_eq!(priorities.next([false; CLASSES]), None);
    }

    #[test]
    fn class_that_stops_waiting_is_not_due() {
        let mut priorities = Priorities::default();
        order(&mut priorities, [true, false, false, true, false], 9);
        priorities.served(0, [true, false, false, false, false]);
        assert_eq!(priorities.next([true, false, false, true, false]), Some(0));
    }

    #[test]
    fn class_that_becomes_the_most_urgent_gets_the_next_token() {
        let mut priorities = Priorities::default();
        order(&mut priorities, [false, true, false, true, false], 9);
        assert_eq!(
            priorities.next([false, true, false, true, false]),
            Some(3),
            "it is due"
        );
        assert_eq!(priorities.next([true, true, false, true, false]), Some(0));
        priorities.served(0, [true, true, false, true, false]);
        assert_eq!(
            priorities.next([false, true, false, true, false]),
            Some(3),
            "and still is"
        );
    }
}

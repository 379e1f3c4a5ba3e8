//! Which class has the next token: the most urgent one that waits, but for one token in ten, which goes
//! to whoever is passed over by the others. That is never the token right after a less urgent class had
//! one: what becomes the most urgent has the next token, and waits for one token of another class at most.
//! Pure; knows neither tokens nor waiters.

use super::CLASSES;

/// A class that waits is passed over so often; then it has a token out of its turn.
const PASSED_OVER_MAX: u32 = 9;

/// How often each class was passed over since it last had a token.
#[derive(Debug, Default)]
pub(super) struct Turns {
    passed_over: [u32; CLASSES],
    last: usize,
}

impl Turns {
    /// The class whose turn it is, of those that wait.
    pub(super) fn next(&self, waits: [bool; CLASSES]) -> Option<usize> {
        let urgent = waits.iter().position(|waits| *waits)?;
        if self.last > urgent {
            return Some(urgent);
        }
        let classes = waits.iter().zip(self.passed_over).enumerate();
        let due = classes
            .filter(|(class, (waits, times))| {
                *class > urgent && **waits && *times >= PASSED_OVER_MAX
            })
            .max_by_key(|(_, (_, times))| *times);
        Some(due.map_or(urgent, |(class, _)| class))
    }

    /// That class had a token while these waited.
    pub(super) fn went(&mut self, went: usize, waits: [bool; CLASSES]) {
        self.last = went;
        for (class, times) in self.passed_over.iter_mut().enumerate() {
            if class == went || waits.get(class) != Some(&true) {
                *times = 0;
            } else if class > went {
                *times += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(turns: &mut Turns, waits: [bool; CLASSES], count: usize) -> Vec<usize> {
        let next = || {
            let class = turns.next(waits)?;
            turns.went(class, waits);
            Some(class)
        };
        std::iter::from_fn(next).take(count).collect()
    }

    #[test]
    fn who_is_passed_over_has_one_token_in_ten_and_the_most_urgent_waits_for_one_at_most() {
        let mut turns = Turns::default();
        let one_low = order(&mut turns, [true, false, false, true, false], 20);
        assert_eq!(one_low.iter().filter(|class| **class == 3).count(), 2);
        assert_eq!(one_low.iter().position(|class| *class == 3), Some(9));
        let mut turns = Turns::default();
        // What is owed to the account is one request at a time.
        let mut waits = [true; CLASSES];
        waits[0] = false;
        let all = order(&mut turns, waits, 100);
        for low in 2..CLASSES {
            let had = all.iter().filter(|class| **class == low).count();
            assert!((8..=10).contains(&had), "{had} of 100 for {low}");
        }
        let in_a_row = all
            .windows(2)
            .any(|pair| pair.iter().all(|class| *class > 1));
        assert!(!in_a_row, "{all:?}");
        assert_eq!(turns.next([false; CLASSES]), None);
    }

    #[test]
    fn who_stops_waiting_is_owed_nothing() {
        let mut turns = Turns::default();
        order(&mut turns, [true, false, false, true, false], 9);
        turns.went(0, [true, false, false, false, false]);
        assert_eq!(turns.next([true, false, false, true, false]), Some(0));
    }

    #[test]
    fn what_becomes_the_most_urgent_has_the_next_token() {
        let mut turns = Turns::default();
        order(&mut turns, [false, true, false, true, false], 9);
        assert_eq!(
            turns.next([false, true, false, true, false]),
            Some(3),
            "it is due"
        );
        assert_eq!(turns.next([true, true, false, true, false]), Some(0));
        turns.went(0, [true, true, false, true, false]);
        assert_eq!(
            turns.next([false, true, false, true, false]),
            Some(3),
            "and still is"
        );
    }
}

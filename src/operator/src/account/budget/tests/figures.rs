//! What the budget is worth in figures: how soon an edit leaves whatever else waits, how much of the limit
//! is used, and what becomes of the rate where others use the account too. Time is what the test says it is.

use futures::future::{BoxFuture, FutureExt};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// Users that wait for their calls, before a server that lets so many calls through in any minute.
struct Scene {
    budget: Budget,
    grants: mpsc::UnboundedReceiver<UserId>,
    now: Moment,
    allowed: usize,
    accepted: VecDeque<Moment>,
    /// Whom our calls were about, in order; the sweep's are about nobody.
    calls: Vec<Option<UserId>>,
    looked_at: usize,
    /// Those that were answered, and those that were refused.
    sent: Vec<(Moment, UserId)>,
    refused: Vec<Moment>,
    says_when: bool,
    sweep: Option<BoxFuture<'static, Permit>>,
    sweeps: usize,
}

impl Scene {
    fn new(limit: u32, allowed: usize) -> Self {
        let now = clock::now();
        let (budget, grants) = Budget::new(limit, now);
        Self {
            budget,
            grants,
            now,
            allowed,
            accepted: VecDeque::new(),
            calls: Vec::new(),
            looked_at: 0,
            sent: Vec::new(),
            refused: Vec::new(),
            says_when: false,
            sweep: None,
            sweeps: 0,
        }
    }

    /// One call reaches the server.
    fn arrives(&mut self) -> bool {
        while self
            .accepted
            .front()
            .is_some_and(|at| self.now - *at >= MINUTE)
        {
            self.accepted.pop_front();
        }
        let accepts = self.accepted.len() < self.allowed;
        if accepts {
            self.accepted.push_back(self.now);
        }
        accepts
    }

    /// The answer to a call of ours.
    fn call(&mut self, user: Option<&UserId>) -> bool {
        self.calls.push(user.cloned());
        let accepts = self.arrives();
        if !accepts {
            self.refused.push(self.now);
            let free = self.accepted.front().map(|at| *at + MINUTE - self.now);
            self.budget
                .throttled(free.filter(|_| self.says_when), self.now);
        }
        accepts
    }

    fn ask(&mut self, user: &UserId, lane: &str, class: Class) {
        if let Ok(permit) = self.budget.try_take(user, lane, class, self.now) {
            assert!(permit.spend(self.now), "no pause began since");
            if self.call(Some(user)) {
                self.sent.push((self.now, user.clone()));
            } else {
                self.ask(user, lane, class);
            }
        }
    }

    /// The users of these names ask at once.
    fn crowd(&mut self, prefix: &str, count: usize, lane: &str, class: Class) {
        for number in 0..count {
            self.ask(&user(&format!("{prefix}-{number}")), lane, class);
        }
    }

    /// Everything that can happen now; the answer is when to look again.
    fn settle(&mut self) -> Option<Moment> {
        loop {
            let wake_at = self.budget.grant_all(self.now);
            let mut quiet = true;
            while let Ok(granted) = self.grants.try_recv() {
                quiet = false;
                let name = granted.as_str();
                let (lane, class) = if name.starts_with("drift") {
                    ("crowd", Class::DriftRepair)
                } else {
                    (
                        if name.starts_with("lone") {
                            "lone"
                        } else {
                            "crowd"
                        },
                        Class::SpecChange,
                    )
                };
                self.ask(&granted, lane, class);
            }
            if let Some(permit) = self.sweep.as_mut().and_then(FutureExt::now_or_never) {
                quiet = false;
                if permit.spend(self.now) {
                    self.sweeps += 1;
                    self.call(None);
                }
                self.sweep_always();
            }
            if quiet {
                return wake_at;
            }
        }
    }

    /// From now on a sweep always wants its next page.
    fn sweep_always(&mut self) {
        let budget = self.budget.clone();
        self.sweep = Some(async move { budget.take(Class::Sweep).await }.boxed());
        let _ = self.sweep.as_mut().and_then(FutureExt::now_or_never);
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.settle().filter(|at| *at <= end) {
            self.now = at.max(self.now + Duration::from_millis(1));
        }
        self.now = end;
        self.settle();
    }

    /// Lets one more token come, and says who had it: nobody where it was the sweep.
    fn next_token(&mut self) -> Option<UserId> {
        loop {
            if let Some(call) = self.calls.get(self.looked_at) {
                self.looked_at += 1;
                return call.clone();
            }
            let at = self.settle().expect("somebody waits");
            self.now = at.max(self.now + Duration::from_millis(1));
        }
    }
}

#[test]
fn an_edit_has_the_next_token_while_five_thousand_repairs_and_a_sweep_wait() {
    let mut scene = Scene::new(300, usize::MAX);
    scene.crowd("drift", 5_000, "crowd", Class::DriftRepair);
    scene.sweep_always();
    scene.pass(Duration::from_secs(2));
    for number in 0..200 {
        // The repairs have waited for anything from seconds to minutes; the sweep may be due, or has just been.
        for _ in 0..=number % 22 {
            scene.next_token();
        }
        let edit = user(&format!("edit-{number}"));
        scene.looked_at = scene.calls.len();
        scene.ask(&edit, "crowd", Class::SpecChange);
        assert_eq!(scene.next_token(), Some(edit), "edit {number}");
    }
    assert!(scene.now - clock::now() > Duration::from_mins(5));
}

#[test]
fn an_edit_in_one_namespace_leaves_within_two_tokens_while_five_thousand_of_another_wait() {
    let mut scene = Scene::new(300, usize::MAX);
    scene.crowd("edit", 5_000, "crowd", Class::SpecChange);
    scene.sweep_always();
    scene.pass(Duration::from_secs(2));
    for number in 0..200 {
        for _ in 0..number % 23 {
            scene.next_token();
        }
        let lone = user(&format!("lone-{number}"));
        scene.looked_at = scene.calls.len();
        scene.ask(&lone, "lone", Class::SpecChange);
        let two = [scene.next_token(), scene.next_token()];
        assert!(two.contains(&Some(lone)), "edit {number}: {two:?}");
    }
}

#[test]
fn a_sweep_goes_on_while_thousands_of_changes_wait_and_takes_a_tenth_at_most() {
    for class in [Class::SpecChange, Class::DriftRepair] {
        let mut scene = Scene::new(300, usize::MAX);
        let prefix = if class == Class::DriftRepair {
            "drift"
        } else {
            "edit"
        };
        scene.crowd(prefix, 5_000, "crowd", class);
        scene.sweep_always();
        scene.pass(Duration::from_mins(10));
        let calls = scene.sent.len() + scene.sweeps;
        assert!((2_900..=3_000 + 60).contains(&calls), "{calls} calls");
        let share = scene.sweeps * 100 / calls;
        assert!((8..=10).contains(&share), "{share} % are the sweep's");
    }
}

#[test]
fn ten_thousand_changes_use_the_whole_limit_and_are_never_told_to_slow_down() {
    let mut scene = Scene::new(6_000, 6_000);
    scene.crowd("edit", 10_000, "crowd", Class::SpecChange);
    let (began, mut last) = (scene.now, scene.now);
    while scene.sent.len() < 10_000 {
        last = scene.now;
        scene.pass(Duration::from_millis(100));
        assert!(scene.now - began < MINUTE * 3, "{} done", scene.sent.len());
    }
    assert_eq!(scene.refused.len(), 0);
    let took = last - began;
    assert!(took <= Duration::from_secs(105), "{took:?}");
}

#[test]
fn while_others_take_the_whole_account_we_take_next_to_nothing_and_come_back_without_a_burst() {
    let mut scene = Scene::new(300, 6_000);
    scene.crowd("edit", 3_000, "crowd", Class::SpecChange);
    let began = scene.now;
    let (mut theirs_refused, mut ours, mut ours_refused) = (0, 0, 0);
    // They ask for twice what the account has, evenly.
    for tick in 0..5 * 60 * 200 {
        theirs_refused += usize::from(!scene.arrives());
        scene.pass(Duration::from_millis(5));
        if tick == 60 * 200 {
            (ours, ours_refused) = (scene.sent.len(), scene.refused.len());
            theirs_refused = 0;
        }
    }
    let minutes = 4;
    let refused = scene.refused.len() - ours_refused;
    let calls = scene.sent.len() - ours + refused;
    assert!(calls <= minutes * 6_000 * 6 / 100, "{calls} calls of ours");
    assert!(
        refused * 100 <= refused + theirs_refused,
        "{refused} of ours, {theirs_refused} of theirs"
    );
    // The others are gone.
    let mut a_minute_ago = scene.sent.len();
    let mut last = usize::MAX;
    while scene.sent.len() < 3_000 {
        scene.pass(MINUTE);
        let calls = scene.sent.len() - a_minute_ago;
        assert!(
            calls <= last.saturating_add(45),
            "{last} calls, then {calls}"
        );
        (a_minute_ago, last) = (scene.sent.len(), calls);
        assert!(scene.now - began < MINUTE * 60, "{} done", scene.sent.len());
    }
    let mut users: Vec<_> = scene.sent.iter().map(|(_, user)| user.clone()).collect();
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 3_000, "each of them, and none twice");
    assert_eq!(scene.sent.len(), 3_000);
}

#[test]
fn an_account_of_ten_calls_a_minute_refuses_one_in_five_minutes_and_edits_still_go_first() {
    for says_when in [false, true] {
        let mut scene = Scene::new(300, 10);
        scene.says_when = says_when;
        scene.crowd("drift", 5_000, "crowd", Class::DriftRepair);
        scene.sweep_always();
        scene.pass(MINUTE * 10);
        let before = scene.refused.len();
        for number in 0..60 {
            scene.pass(Duration::from_secs(53));
            let edit = user(&format!("edit-{number}"));
            scene.ask(&edit, "crowd", Class::SpecChange);
            let asked = scene.calls.len();
            scene.pass(Duration::from_secs(37));
            let mut calls = scene.calls[asked..].iter();
            let ahead = calls.position(|user| user.as_ref() == Some(&edit));
            assert!(
                ahead.is_some_and(|ahead| ahead <= 1),
                "{ahead:?} calls went before edit {number}"
            );
        }
        let refused = &scene.refused[before..];
        assert!(refused.len() <= 18, "{} refused", refused.len());
        let apart = refused.windows(2).map(|two| two[1] - two[0]).min();
        assert!(apart.is_none_or(|apart| apart >= MINUTE * 5), "{apart:?}");
        let calls = scene.sent.len() + scene.sweeps;
        assert!(calls > 5 * 90, "{calls} calls in an hour and a half");
    }
}

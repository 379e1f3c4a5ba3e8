//! The rate limiter in figures: how soon an edit leaves whatever else waits, how much of the limit is used, and what becomes
//! of the rate where others use the account too.

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// Changes that wait for their calls, before a server that accepts a number of calls in any minute.
struct Scenario {
    driver: Driver,
    began: Moment,
    allowed: usize,
    accepted: VecDeque<Moment>,
    /// The users of our calls in order; `None` for those of the sweep.
    calls: Vec<Option<UserId>>,
    /// The number of calls that [`Self::next_token`] has returned.
    seen: usize,
    /// The calls that were accepted, and those that were refused.
    sent: Vec<(Moment, UserId)>,
    refused: Vec<Moment>,
    has_retry_after: bool,
    sweep: Option<CallId>,
    sweeps: usize,
}

impl Scenario {
    fn new(limit: u32, allowed: usize) -> Self {
        let driver = Driver::new(limit);
        Self {
            began: driver.now,
            driver,
            allowed,
            accepted: VecDeque::new(),
            calls: Vec::new(),
            seen: 0,
            sent: Vec::new(),
            refused: Vec::new(),
            has_retry_after: false,
            sweep: None,
            sweeps: 0,
        }
    }

    fn now(&self) -> Moment {
        self.driver.now
    }

    /// Whether the server accepts a call that arrives now.
    fn arrives(&mut self) -> bool {
        let now = self.now();
        while self.accepted.front().is_some_and(|at| now - *at >= MINUTE) {
            self.accepted.pop_front();
        }
        let accepts = self.accepted.len() < self.allowed;
        if accepts {
            self.accepted.push_back(now);
        }
        accepts
    }

    /// Whether the server accepts a call of ours.
    fn call(&mut self, user: Option<&UserId>) -> bool {
        self.calls.push(user.cloned());
        let accepts = self.arrives();
        if !accepts {
            let now = self.now();
            self.refused.push(now);
            let free = self.accepted.front().map(|at| *at + MINUTE - now);
            let wait = free.filter(|_| self.has_retry_after);
            self.driver.limiter.throttled(wait, now);
        }
        accepts
    }

    fn ask(&mut self, user: &UserId, flow: &str, class: Class) {
        if let Ok(permit) = self.driver.try_take(user.as_str(), flow, class) {
            assert!(self.driver.spend_permit(permit), "no pause began since");
            if self.call(Some(user)) {
                self.sent.push((self.now(), user.clone()));
            } else {
                self.ask(user, flow, class);
            }
        }
    }

    /// Changes of users of these names ask at once.
    fn burst(&mut self, prefix: &str, count: usize, flow: &str, class: Class) {
        for number in 0..count {
            self.ask(&user(&format!("{prefix}-{number}")), flow, class);
        }
    }

    /// Makes everything happen that can happen now; returns when something can next.
    fn settle(&mut self) -> Option<Moment> {
        loop {
            let wake_at = self.driver.grant_all();
            let mut is_settled = true;
            while let Some(granted) = self.driver.granted.pop_front() {
                is_settled = false;
                let name = granted.as_str();
                let flow = if name.starts_with("lone") {
                    "lone"
                } else {
                    "busy"
                };
                let class = if name.starts_with("drift") {
                    Class::DriftRepair
                } else {
                    Class::SpecChange
                };
                self.ask(&granted, flow, class);
            }
            let permits = &mut self.driver.permits;
            if let Some(permit) = self.sweep.and_then(|sweep| permits.remove(&sweep)) {
                is_settled = false;
                if self.driver.spend_permit(permit) {
                    self.sweeps += 1;
                    self.call(None);
                }
                self.sweep_always();
            }
            if is_settled {
                return wake_at;
            }
        }
    }

    /// From now on the next page of a sweep always waits.
    fn sweep_always(&mut self) {
        self.sweep = Some(self.driver.limiter.enqueue_call(Class::Sweep));
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        while let Some(at) = self.settle().filter(|at| *at <= end) {
            self.driver.now = at.max(self.now() + Duration::from_millis(1));
        }
        self.driver.now = end;
        self.settle();
    }

    /// Waits for one more token; returns the user whose change got it, or `None` for the sweep.
    fn next_token(&mut self) -> Option<UserId> {
        loop {
            if let Some(call) = self.calls.get(self.seen) {
                self.seen += 1;
                return call.clone();
            }
            let at = self.settle().expect("a call waits");
            self.driver.now = at.max(self.now() + Duration::from_millis(1));
        }
    }
}

#[test]
fn an_edit_has_the_next_token_while_five_thousand_repairs_and_a_sweep_wait() {
    let mut scenario = Scenario::new(300, usize::MAX);
    scenario.burst("drift", 5_000, "busy", Class::DriftRepair);
    scenario.sweep_always();
    scenario.pass(Duration::from_secs(2));
    for number in 0..200 {
        // The repairs have waited for seconds to minutes; the sweep is due, or has just been served.
        for _ in 0..=number % 22 {
            scenario.next_token();
        }
        let edit = user(&format!("edit-{number}"));
        scenario.seen = scenario.calls.len();
        scenario.ask(&edit, "busy", Class::SpecChange);
        assert_eq!(scenario.next_token(), Some(edit), "edit {number}");
    }
    assert!(scenario.now() - scenario.began > Duration::from_mins(5));
}

#[test]
fn an_edit_in_one_namespace_leaves_within_two_tokens_while_five_thousand_of_another_wait() {
    let mut scenario = Scenario::new(300, usize::MAX);
    scenario.burst("edit", 5_000, "busy", Class::SpecChange);
    scenario.sweep_always();
    scenario.pass(Duration::from_secs(2));
    for number in 0..200 {
        for _ in 0..number % 23 {
            scenario.next_token();
        }
        let lone = user(&format!("lone-{number}"));
        scenario.seen = scenario.calls.len();
        scenario.ask(&lone, "lone", Class::SpecChange);
        let two = [scenario.next_token(), scenario.next_token()];
        assert!(two.contains(&Some(lone)), "edit {number}: {two:?}");
    }
}

#[test]
fn a_sweep_goes_on_while_thousands_of_changes_wait_and_takes_a_tenth_at_most() {
    for class in [Class::SpecChange, Class::DriftRepair] {
        let mut scenario = Scenario::new(300, usize::MAX);
        let prefix = if class == Class::DriftRepair {
            "drift"
        } else {
            "edit"
        };
        scenario.burst(prefix, 5_000, "busy", class);
        scenario.sweep_always();
        scenario.pass(Duration::from_mins(10));
        let calls = scenario.sent.len() + scenario.sweeps;
        assert!((2_900..=3_000 + 60).contains(&calls), "{calls} calls");
        let share = scenario.sweeps * 100 / calls;
        assert!((8..=10).contains(&share), "{share} % are the sweep's");
    }
}

#[test]
fn ten_thousand_changes_use_the_whole_limit_and_are_never_throttled() {
    let mut scenario = Scenario::new(6_000, 6_000);
    scenario.burst("edit", 10_000, "busy", Class::SpecChange);
    let (began, mut last) = (scenario.now(), scenario.now());
    while scenario.sent.len() < 10_000 {
        last = scenario.now();
        scenario.pass(Duration::from_millis(100));
        assert!(
            scenario.now() - began < MINUTE * 3,
            "{} done",
            scenario.sent.len()
        );
    }
    assert_eq!(scenario.refused.len(), 0);
    let took = last - began;
    assert!(took <= Duration::from_secs(105), "{took:?}");
}

#[test]
fn rate_yields_to_others_that_use_the_whole_limit_and_recovers_without_a_burst() {
    let mut scenario = Scenario::new(300, 6_000);
    scenario.burst("edit", 3_000, "busy", Class::SpecChange);
    let began = scenario.now();
    let (mut theirs_refused, mut ours, mut ours_refused) = (0, 0, 0);
    // They ask for twice what the account has, evenly.
    for tick in 0..5 * 60 * 200 {
        theirs_refused += usize::from(!scenario.arrives());
        scenario.pass(Duration::from_millis(5));
        if tick == 60 * 200 {
            (ours, ours_refused) = (scenario.sent.len(), scenario.refused.len());
            theirs_refused = 0;
        }
    }
    let minutes = 4;
    let refused = scenario.refused.len() - ours_refused;
    let calls = scenario.sent.len() - ours + refused;
    assert!(calls <= minutes * 6_000 * 6 / 100, "{calls} calls of ours");
    assert!(
        refused * 100 <= refused + theirs_refused,
        "{refused} of ours, {theirs_refused} of theirs"
    );
    // The others are gone.
    let mut a_minute_ago = scenario.sent.len();
    let mut last = usize::MAX;
    while scenario.sent.len() < 3_000 {
        scenario.pass(MINUTE);
        let calls = scenario.sent.len() - a_minute_ago;
        assert!(
            calls <= last.saturating_add(45),
            "{last} calls, then {calls}"
        );
        (a_minute_ago, last) = (scenario.sent.len(), calls);
        assert!(
            scenario.now() - began < MINUTE * 60,
            "{} done",
            scenario.sent.len()
        );
    }
    let mut users: Vec<_> = scenario.sent.iter().map(|(_, user)| user.clone()).collect();
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 3_000, "each of them, and none twice");
    assert_eq!(scenario.sent.len(), 3_000);
}

#[test]
fn ten_requests_per_minute_refuse_one_in_five_minutes_and_edits_go_first() {
    for has_retry_after in [false, true] {
        let mut scenario = Scenario::new(300, 10);
        scenario.has_retry_after = has_retry_after;
        scenario.burst("drift", 5_000, "busy", Class::DriftRepair);
        scenario.sweep_always();
        scenario.pass(MINUTE * 10);
        let before = scenario.refused.len();
        for number in 0..60 {
            scenario.pass(Duration::from_secs(53));
            let edit = user(&format!("edit-{number}"));
            scenario.ask(&edit, "busy", Class::SpecChange);
            let asked = scenario.calls.len();
            scenario.pass(Duration::from_secs(37));
            let mut calls = scenario.calls[asked..].iter();
            let ahead = calls.position(|user| user.as_ref() == Some(&edit));
            assert!(
                ahead.is_some_and(|ahead| ahead <= 1),
                "{ahead:?} calls went before edit {number}"
            );
        }
        let refused = &scenario.refused[before..];
        assert!(refused.len() <= 18, "{} refused", refused.len());
        let apart = refused.windows(2).map(|two| two[1] - two[0]).min();
        assert!(apart.is_none_or(|apart| apart >= MINUTE * 5), "{apart:?}");
        let calls = scenario.sent.len() + scenario.sweeps;
        assert!(calls > 5 * 90, "{calls} calls in an hour and a half");
    }
}

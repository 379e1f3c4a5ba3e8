//! What holds of the rate limiter in any order of events: calls that leave, wait, are cancelled or come late, pauses, and a
//! refused key.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const CLASS: [Class; CLASSES] = [
    Class::Owed,
    Class::SpecChange,
    Class::DriftRepair,
    Class::AbsenceCheck,
    Class::Sweep,
];

#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    Ask { user: u8, class: usize },
    Leave { user: u8 },
    Take { class: usize },
    CancelTake,
    SpendHeld,
    DropHeld,
    Throttled(Option<u16>),
    Refused,
    NewKey,
}

/// The outcome of a pass.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Sends,
    Waits,
    IsCancelled,
    ComesLate,
}

fn step() -> impl Strategy<Value = Step> {
    let class = 0..CLASSES;
    prop_oneof![
        4 => (1..20_000_u64).prop_map(Step::Pass),
        8 => (0..40_u8, class.clone()).prop_map(|(user, class)| Step::Ask { user, class }),
        1 => (0..40_u8).prop_map(|user| Step::Leave { user }),
        2 => class.prop_map(|class| Step::Take { class }),
        1 => Just(Step::CancelTake),
        2 => Just(Step::SpendHeld),
        1 => Just(Step::DropHeld),
        1 => prop::option::of(0..900_u16).prop_map(Step::Throttled),
        1 => Just(Step::Refused),
        1 => Just(Step::NewKey),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        6 => Just(Outcome::Sends),
        1 => Just(Outcome::Waits),
        1 => Just(Outcome::IsCancelled),
        1 => Just(Outcome::ComesLate),
    ]
}

/// All callers of one limiter.
struct Callers {
    driver: Driver,
    outcomes: Box<dyn Iterator<Item = Outcome>>,
    /// Users that need a call, and the class.
    needs: BTreeMap<u8, usize>,
    late: Vec<(Moment, u8)>,
    takes: Vec<CallId>,
    outstanding: Vec<Permit>,
    key: u64,
    sent: Vec<Moment>,
    pauses: Vec<(Moment, Moment)>,
    /// Users that wait in the most urgent class.
    urgent: BTreeSet<u8>,
    /// Tokens of other classes since the most urgent had one, while a change waited in it.
    overtaken: u32,
    most_overtaken: u32,
}

fn name(user: u8) -> UserId {
    super::user(&format!("u{user}"))
}

impl Callers {
    fn new(limit: u32, outcomes: Vec<Outcome>) -> Self {
        Self {
            driver: Driver::new(limit),
            outcomes: Box::new(outcomes.into_iter().cycle()),
            needs: BTreeMap::new(),
            late: Vec::new(),
            takes: Vec::new(),
            outstanding: Vec::new(),
            key: 1,
            sent: Vec::new(),
            pauses: Vec::new(),
            urgent: BTreeSet::new(),
            overtaken: 0,
            most_overtaken: 0,
        }
    }

    fn now(&self) -> Moment {
        self.driver.now
    }

    fn send(&mut self, permit: Permit) -> bool {
        let sent = self.driver.spend_permit(permit);
        if sent {
            self.sent.push(self.now());
        }
        sent
    }

    /// Records that a token went to that user, or to one of another class.
    fn served(&mut self, user: u8, is_urgent: bool) {
        self.urgent.remove(&user);
        self.overtaken = if is_urgent || self.urgent.is_empty() {
            0
        } else {
            self.overtaken + 1
        };
        self.most_overtaken = self.most_overtaken.max(self.overtaken);
    }

    /// A pass over that user.
    fn pass(&mut self, user: u8) {
        let id = name(user);
        let Some(class) = self.needs.get(&user).copied() else {
            return self.leave(user);
        };
        let had_grant = self.driver.limiter.granted.contains_key(&id);
        let flow = format!("flow-{}", user % 3);
        let taken = self.driver.try_take(id.as_str(), &flow, CLASS[class]);
        let Ok(permit) = taken else {
            if class == 0 {
                self.urgent.insert(user);
            }
            return;
        };
        if !had_grant {
            self.served(user, class == 0);
        }
        match self.outcomes.next().unwrap() {
            Outcome::Sends | Outcome::ComesLate => {
                if self.send(permit) {
                    self.needs.remove(&user);
                } else {
                    self.pass(user);
                }
            }
            Outcome::Waits => {
                self.outstanding.push(permit);
                self.needs.remove(&user);
            }
            Outcome::IsCancelled => {
                self.driver.limiter.put_back(permit);
                let at = self.now() + Duration::from_secs(1);
                self.late.push((at, user));
            }
        }
    }

    fn leave(&mut self, user: u8) {
        self.needs.remove(&user);
        self.urgent.remove(&user);
        self.driver.limiter.cancel(&name(user));
    }

    /// Grants what can be granted; returns when the next grant may be, and the users that have one.
    fn grant(&mut self) -> (Option<Moment>, Vec<u8>) {
        let wake_at = self.driver.grant_all();
        let granted = self.driver.granted.drain(..);
        let granted: Vec<u8> = granted
            .map(|id| id.as_str()[1..].parse().unwrap())
            .collect();
        for user in &granted {
            let is_urgent = self.urgent.contains(user);
            self.served(*user, is_urgent);
        }
        (wake_at, granted)
    }

    /// Makes everything happen that can happen now; returns when something can next.
    fn settle(&mut self) -> Option<Moment> {
        loop {
            let (wake_at, granted) = self.grant();
            let mut is_settled = granted.is_empty();
            for user in granted {
                match self.outcomes.next().unwrap() {
                    Outcome::ComesLate => self.late.push((self.now() + GRANT_LIFETIME * 2, user)),
                    _ => self.pass(user),
                }
            }
            for take in std::mem::take(&mut self.takes) {
                match self.driver.permits.remove(&take) {
                    Some(permit) => {
                        is_settled = false;
                        let _ = self.send(permit);
                    }
                    None => self.takes.push(take),
                }
            }
            let late = std::mem::take(&mut self.late).into_iter();
            let (due, later): (Vec<_>, Vec<_>) = late.partition(|(at, _)| *at <= self.now());
            self.late = later;
            for (_, user) in due {
                is_settled = false;
                self.pass(user);
            }
            if is_settled {
                let late = self.late.iter().map(|(at, _)| *at);
                return late.chain(wake_at).min();
            }
        }
    }

    fn until(&mut self, end: Moment) {
        let mut wakes = 0;
        while let Some(at) = self.settle().filter(|at| *at <= end) {
            self.driver.now = at.max(self.now() + Duration::from_millis(1));
            wakes += 1;
            assert!(wakes < 20_000, "it wakes again and again");
        }
        self.driver.now = self.now().max(end);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Pass(ms) => self.until(self.now() + Duration::from_millis(ms)),
            Step::Ask { user, class } => {
                let before = self.needs.get(&user).copied().unwrap_or(class);
                self.needs.insert(user, class.min(before));
                self.pass(user);
            }
            Step::Leave { user } => self.leave(user),
            Step::Take { class } => {
                let take = self.driver.limiter.enqueue_call(CLASS[class]);
                self.takes.push(take);
            }
            Step::CancelTake => {
                if let Some(take) = self.takes.pop() {
                    self.driver.limiter.cancel_call(take);
                }
            }
            Step::SpendHeld => {
                if let Some(permit) = self.outstanding.pop() {
                    let _ = self.send(permit);
                }
            }
            Step::DropHeld => {
                if let Some(permit) = self.outstanding.pop() {
                    self.driver.limiter.put_back(permit);
                }
            }
            Step::Throttled(seconds) => {
                let wait = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                let now = self.now();
                self.driver.limiter.throttled(wait, now);
                let pause = wait.unwrap_or(PAUSE_DEFAULT).min(PAUSE_MAX);
                self.pauses.push((now, now + pause));
            }
            Step::Refused => {
                let now = self.now();
                self.driver.limiter.key_refused(self.key, self.key, now);
            }
            Step::NewKey => {
                self.key += 1;
                self.driver.limiter.key_changed(self.key);
            }
        }
        self.settle();
    }

    /// From now on nothing goes wrong.
    fn end_well(&mut self) {
        self.outcomes = Box::new(std::iter::repeat(Outcome::Sends));
        for permit in std::mem::take(&mut self.outstanding) {
            self.driver.limiter.put_back(permit);
        }
        self.step(&Step::NewKey);
        // The longest pause, and the slowest rate for the largest number of calls.
        self.until(self.now() + PAUSE_MAX + Duration::from_hours(1));
    }
}

fn most_in_a_minute(sent: &[Moment]) -> usize {
    let minute = Duration::from_mins(1);
    let within = |(index, first): (usize, &Moment)| {
        let beyond = sent[index..].iter().take_while(|at| **at - *first < minute);
        beyond.count()
    };
    sent.iter().enumerate().map(within).max().unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_minute_sees_more_than_the_limit_no_pause_a_call_and_no_key_is_lost(
        limit in prop_oneof![1..30_u32, Just(300)],
        steps in prop::collection::vec(step(), 1..250),
        outcomes in prop::collection::vec(outcome(), 1..20),
    ) {
        let mut callers = Callers::new(limit, outcomes);
        for step in &steps {
            callers.step(step);
        }
        callers.end_well();
        prop_assert_eq!(&callers.needs, &BTreeMap::new(), "lost");
        prop_assert_eq!(callers.takes.len(), 0, "a call is lost");
        let most = most_in_a_minute(&callers.sent);
        prop_assert!(most <= limit as usize, "{} calls in 60 s of {}", most, limit);
        for at in &callers.sent {
            let pause = callers.pauses.iter().find(|(from, until)| from < at && at < until);
            prop_assert!(pause.is_none(), "a call in a pause");
        }
        let limiter = &callers.driver.limiter;
        let places = limiter.waiters.present.places.len();
        prop_assert_eq!((limiter.outstanding, limiter.granted.len(), places), (0, 0, 0));
    }

    #[test]
    fn the_most_urgent_waits_for_one_token_of_another_class_at_most(
        limit in prop_oneof![1..30_u32, Just(300)],
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut callers = Callers::new(limit, vec![Outcome::Sends]);
        for step in &steps {
            // Calls of the account itself are not counted as overtaking.
            if !matches!(step, Step::Take { .. }) {
                callers.step(step);
            }
        }
        callers.end_well();
        prop_assert!(callers.most_overtaken <= 1, "{} tokens", callers.most_overtaken);
    }
}

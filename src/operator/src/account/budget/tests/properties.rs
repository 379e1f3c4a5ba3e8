//! What holds of the budget whatever happens in whatever order: calls that leave, wait, are cut off or
//! come late, pauses, and a refused key. Time is what the test says it is.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::{BoxFuture, FutureExt};
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
    CutTake,
    SpendHeld,
    DropHeld,
    Throttled(Option<u16>),
    Refused,
    NewKey,
}

/// What becomes of a pass.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Sends,
    Waits,
    IsCut,
    ComesLate,
}

fn step() -> impl Strategy<Value = Step> {
    let class = 0..CLASSES;
    prop_oneof![
        4 => (1..20_000_u64).prop_map(Step::Pass),
        8 => (0..40_u8, class.clone()).prop_map(|(user, class)| Step::Ask { user, class }),
        1 => (0..40_u8).prop_map(|user| Step::Leave { user }),
        2 => class.prop_map(|class| Step::Take { class }),
        1 => Just(Step::CutTake),
        2 => Just(Step::SpendHeld),
        1 => Just(Step::DropHeld),
        1 => prop::option::of(0..900_u16).prop_map(Step::Throttled),
        1 => Just(Step::Refused),
        1 => Just(Step::NewKey),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Sends),
        1 => Just(Fate::Waits),
        1 => Just(Fate::IsCut),
        1 => Just(Fate::ComesLate),
    ]
}

/// Everybody who calls, and the clock.
struct Callers {
    budget: Budget,
    grants: mpsc::UnboundedReceiver<UserId>,
    now: Moment,
    fates: Box<dyn Iterator<Item = Fate>>,
    /// Users that need a call, and how urgently.
    needs: BTreeMap<u8, usize>,
    late: Vec<(Moment, u8)>,
    takes: Vec<BoxFuture<'static, Permit>>,
    held: Vec<Permit>,
    key: u64,
    sent: Vec<Moment>,
    pauses: Vec<(Moment, Moment)>,
    /// Those who wait in the most urgent class.
    urgent: BTreeSet<u8>,
    /// Tokens of other classes since the most urgent had one, while somebody waited in it.
    overtaken: u32,
    most_overtaken: u32,
}

fn name(user: u8) -> UserId {
    super::user(&format!("u{user}"))
}

impl Callers {
    fn new(limit: u32, fates: Vec<Fate>) -> Self {
        let now = clock::now();
        let (budget, grants) = Budget::new(limit, now);
        Self {
            budget,
            grants,
            now,
            fates: Box::new(fates.into_iter().cycle()),
            needs: BTreeMap::new(),
            late: Vec::new(),
            takes: Vec::new(),
            held: Vec::new(),
            key: 1,
            sent: Vec::new(),
            pauses: Vec::new(),
            urgent: BTreeSet::new(),
            overtaken: 0,
            most_overtaken: 0,
        }
    }

    fn send(&mut self, permit: Permit) -> bool {
        let sent = permit.spend(self.now);
        if sent {
            self.sent.push(self.now);
        }
        sent
    }

    /// A token went to that user, or to somebody of another class.
    fn went(&mut self, user: u8, is_urgent: bool) {
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
        let had_grant = self.budget.lock().granted.contains_key(&id);
        let lane = format!("lane-{}", user % 3);
        let taken = self.budget.try_take(&id, &lane, CLASS[class], self.now);
        let Ok(permit) = taken else {
            if class == 0 {
                self.urgent.insert(user);
            }
            return;
        };
        if !had_grant {
            self.went(user, class == 0);
        }
        match self.fates.next().unwrap() {
            Fate::Sends | Fate::ComesLate => {
                if self.send(permit) {
                    self.needs.remove(&user);
                } else {
                    self.pass(user);
                }
            }
            Fate::Waits => {
                self.held.push(permit);
                self.needs.remove(&user);
            }
            Fate::IsCut => self.late.push((self.now + Duration::from_secs(1), user)),
        }
    }

    fn leave(&mut self, user: u8) {
        self.needs.remove(&user);
        self.urgent.remove(&user);
        self.budget.release(&name(user));
    }

    /// Grants what there is, in its order; the answer is when to look again, and who was granted.
    fn grant(&mut self) -> (Option<Moment>, Vec<u8>) {
        let wake_at = self.budget.grant_all(self.now);
        let stream = std::iter::from_fn(|| self.grants.try_recv().ok());
        let granted: Vec<u8> = stream.map(|id| id.as_str()[1..].parse().unwrap()).collect();
        for user in &granted {
            let is_urgent = self.urgent.contains(user);
            self.went(*user, is_urgent);
        }
        (wake_at, granted)
    }

    /// Lets everything happen that can happen now; the answer is when to look again.
    fn settle(&mut self) -> Option<Moment> {
        loop {
            let (wake_at, granted) = self.grant();
            let mut quiet = granted.is_empty();
            for user in granted {
                match self.fates.next().unwrap() {
                    Fate::ComesLate => self.late.push((self.now + GRANT_LIFETIME * 2, user)),
                    _ => self.pass(user),
                }
            }
            for mut take in std::mem::take(&mut self.takes) {
                match (&mut take).now_or_never() {
                    Some(permit) => {
                        quiet = false;
                        let _ = self.send(permit);
                    }
                    None => self.takes.push(take),
                }
            }
            let late = std::mem::take(&mut self.late).into_iter();
            let (due, later): (Vec<_>, Vec<_>) = late.partition(|(at, _)| *at <= self.now);
            self.late = later;
            for (_, user) in due {
                quiet = false;
                self.pass(user);
            }
            if quiet {
                let late = self.late.iter().map(|(at, _)| *at);
                return late.chain(wake_at).min();
            }
        }
    }

    fn until(&mut self, end: Moment) {
        let mut looks = 0;
        while let Some(at) = self.settle().filter(|at| *at <= end) {
            self.now = at.max(self.now + Duration::from_millis(1));
            looks += 1;
            assert!(looks < 20_000, "it looks again and again");
        }
        self.now = self.now.max(end);
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Pass(ms) => self.until(self.now + Duration::from_millis(ms)),
            Step::Ask { user, class } => {
                let before = self.needs.get(&user).copied().unwrap_or(class);
                self.needs.insert(user, class.min(before));
                self.pass(user);
            }
            Step::Leave { user } => self.leave(user),
            Step::Take { class } => {
                let budget = self.budget.clone();
                let take = async move { budget.take(CLASS[class]).await };
                self.takes.push(take.boxed());
            }
            Step::CutTake => drop(self.takes.pop()),
            Step::SpendHeld => {
                if let Some(permit) = self.held.pop() {
                    let _ = self.send(permit);
                }
            }
            Step::DropHeld => drop(self.held.pop()),
            Step::Throttled(seconds) => {
                let wait = seconds.map(|seconds| Duration::from_secs(seconds.into()));
                self.budget.throttled(wait, self.now);
                let pause = wait.unwrap_or(PAUSE_UNSAID).min(PAUSE_MAX);
                self.pauses.push((self.now, self.now + pause));
            }
            Step::Refused => self.budget.key_refused(self.key, self.key, self.now),
            Step::NewKey => {
                self.key += 1;
                self.budget.key_changed(self.key);
            }
        }
        self.settle();
    }

    /// From now on nothing goes wrong.
    fn end_well(&mut self) {
        self.fates = Box::new(std::iter::repeat(Fate::Sends));
        self.held.clear();
        self.step(&Step::NewKey);
        // The longest pause, and the slowest pace for as many as there may be.
        self.until(self.now + PAUSE_MAX + Duration::from_hours(1));
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
        fates in prop::collection::vec(fate(), 1..20),
    ) {
        let mut callers = Callers::new(limit, fates);
        for step in &steps {
            callers.step(step);
        }
        callers.end_well();
        prop_assert_eq!(&callers.needs, &BTreeMap::new(), "lost");
        prop_assert_eq!(callers.takes.len(), 0, "who waits in place is lost");
        let most = most_in_a_minute(&callers.sent);
        prop_assert!(most <= limit as usize, "{} calls in 60 s of {}", most, limit);
        for at in &callers.sent {
            let pause = callers.pauses.iter().find(|(from, until)| from < at && at < until);
            prop_assert!(pause.is_none(), "a call in a pause");
        }
        let state = callers.budget.lock();
        prop_assert_eq!((state.held, state.granted.len(), state.places.len()), (0, 0, 0));
    }

    #[test]
    fn the_most_urgent_waits_for_one_token_of_another_class_at_most(
        limit in prop_oneof![1..30_u32, Just(300)],
        steps in prop::collection::vec(step(), 1..250),
    ) {
        let mut callers = Callers::new(limit, vec![Fate::Sends]);
        for step in &steps {
            // What waits in place has no name by which it could be told when it has its token.
            if !matches!(step, Step::Take { .. }) {
                callers.step(step);
            }
        }
        callers.end_well();
        prop_assert!(callers.most_overtaken <= 1, "{} tokens", callers.most_overtaken);
    }
}

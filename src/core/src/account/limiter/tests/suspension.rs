//! A suspended account: which calls wait, which one probes, and in which order all go on.

use super::*;

impl Driver {
    fn at(&mut self, second: u64) -> &mut Self {
        self.now = Driver::new(1).now + Duration::from_secs(second);
        self
    }

    /// What the change of that user waits for, if it may not leave.
    fn change(&mut self, name: &str) -> Result<(), BlockedBy> {
        let taken = self.try_take(name, "ns", Class::SpecChange);
        let taken = taken.map(|permit| self.limiter.put_back(permit));
        taken.map_err(|waiting| waiting.blocked_by)
    }

    fn turn(&mut self, name: &str) -> bool {
        let class = Class::DriftRepair;
        self.limiter
            .wait_for_turn(&user(name), "ns", class, self.now)
    }

    fn suspend(&mut self, is_change: bool) {
        self.limiter.account_suspended(is_change, self.now);
    }

    /// Grants what can be granted; returns the users that have a grant since then.
    fn grants(&mut self) -> Vec<UserId> {
        self.grant_all();
        self.granted.drain(..).collect()
    }

    /// Whether that call has a permit, which is put back.
    fn is_served(&mut self, call: CallId) -> bool {
        let permit = self.permits.remove(&call);
        permit.map(|permit| self.limiter.put_back(permit)).is_some()
    }
}

#[test]
fn account_suspended_holds_changes_back_and_lets_reads_go() {
    let mut driver = Driver::new(6_000);
    let waits = Err(BlockedBy::AccountSuspended);
    assert_eq!(driver.at(0).change("alice"), Ok(()));
    driver.suspend(true);
    for (second, name) in [(1, "alice"), (2, "bob"), (3, "carol")] {
        assert_eq!(driver.at(second).change(name), waits);
    }
    // Reads are served, and no change is.
    let read = driver.limiter.enqueue_call(Class::Sweep);
    assert!(!driver.is_served(read));
    let wake = driver.at(4).grant_all();
    assert!(driver.is_served(read));
    assert_eq!(wake, Some(driver.at(60).now), "the probe");
    assert!(driver.granted.is_empty());

    // One probe a minute, of the change that has waited longest.
    assert_eq!(driver.at(60).change("carol"), waits);
    assert_eq!(driver.grants(), [user("alice")]);
    assert_eq!(driver.at(61).change("alice"), Ok(()));
    driver.suspend(true);
    assert_eq!(driver.change("alice"), waits);
    assert_eq!(driver.at(120).grants(), []);
    assert_eq!(driver.at(121).grants(), [user("bob")]);

    // A read proves nothing about changes; a change does, and all that wait go on in their order.
    assert!(!driver.limiter.account_serves(false));
    assert_eq!(driver.at(122).change("carol"), waits);
    assert!(driver.limiter.account_serves(true));
    assert_eq!(driver.grants(), [user("carol"), user("alice")]);
}

#[test]
fn account_suspended_gives_turns_to_changes_that_still_need_a_read() {
    let mut driver = Driver::new(6_000);
    driver.at(0).suspend(true);
    assert!(!driver.at(1).turn("alice"));
    assert!(!driver.at(2).turn("bob"));
    // The oldest change is next, whichever asks first after the minute.
    assert!(!driver.at(60).turn("bob"));
    assert_eq!(driver.grants(), [user("alice")]);
    assert!(!driver.turn("bob"));
    assert!(
        driver.turn("alice"),
        "the turn lasts until the change leaves"
    );
    assert!(driver.at(61).turn("alice"));
    let taken = driver.at(62).try_take("alice", "ns", Class::DriftRepair);
    assert!(taken.is_ok());
    assert!(!driver.turn("alice"));
}

#[test]
fn account_suspended_holds_reads_back_where_one_was_refused() {
    let mut driver = Driver::new(6_000);
    driver.at(0).suspend(false);
    let due = driver.at(60).now;
    assert_eq!(driver.at(0).grant_all(), Some(due));
    let reads = [0, 1].map(|_| driver.limiter.enqueue_call(Class::Sweep));
    let served = |driver: &mut Driver| {
        let served = reads.into_iter().filter(|read| driver.is_served(*read));
        served.count()
    };
    assert_eq!(served(&mut driver), 0);
    driver.at(1).grant_all();
    assert_eq!(served(&mut driver), 0);
    // The account itself can be read.
    let account = driver.limiter.enqueue_account_read();
    assert!(!driver.is_served(account));
    driver.grant_all();
    assert!(driver.is_served(account));
    // No change waits: one read asks.
    driver.at(60).grant_all();
    assert_eq!(served(&mut driver), 1);
    assert!(driver.granted.is_empty());
    assert!(
        driver.limiter.account_serves(false),
        "a read ends what a read began"
    );
    driver.at(61).grant_all();
}

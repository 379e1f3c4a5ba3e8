//! When the next sweep is due: the normal period, which bounds what an account in sync costs; longer
//! after failures; shorter for a while after a sweep that found an out-of-band change, since such
//! changes come in groups.

use std::time::Duration;

use super::Refresh;
use crate::account::users::Users;
use crate::time::Moment;

/// The largest number of calls a minute of a sweep, spread over its normal period.
const CALLS_A_MINUTE: u32 = 30;
/// The same while drift is expected. With the jitter that is less than 60.
const CALLS_A_MINUTE_IN_DRIFT: u32 = 54;
/// Drift is expected for this long after some was found.
const DRIFT_EXPECTED_FOR: Duration = Duration::from_mins(10);
/// The number of sweeps in a normal period while drift is expected, if their calls allow it.
const SWEEPS_IN_DRIFT: u32 = 4;
/// No period is made shorter than this.
const SHORTENED_TO: Duration = Duration::from_secs(10);
/// A failing sweep is repeated at least this often, or at its normal period if that is longer.
const FAILING_SWEEP_MAX: Duration = Duration::from_mins(5);
/// The longest period, unless a longer one is asked for.
const LONGEST: Duration = Duration::from_hours(1);

/// What the time of the next sweep depends on, beside the number of its calls.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Timetable {
    /// When the next sweep is due; at once where none was scheduled yet.
    pub(super) due: Option<Moment>,
    /// Sweeps that failed since the last call that did not.
    pub(super) failures: u32,
    /// The first sweep after the start-up snapshot has its time.
    spread: bool,
    drift_until: Option<Moment>,
}

impl Timetable {
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.due.is_none_or(|at| at <= now)
    }

    fn expects_drift(&self, now: Moment) -> bool {
        self.drift_until.is_some_and(|until| now < until)
    }
}

impl Refresh {
    /// Records that a user which matched its spec does so no longer: other users may be changed too, so that for some minutes
    /// sweeps come sooner.
    pub(in super::super) fn drift_found(&mut self, users: &Users, now: Moment) {
        let timetable = &mut self.timetable;
        let is_new = !timetable.expects_drift(now);
        timetable.drift_until = Some(now + DRIFT_EXPECTED_FOR);
        let scheduled = timetable.due;
        if is_new && scheduled.is_some() && timetable.failures == 0 {
            self.schedule_sweep(users, now);
            let sooner = self.timetable.due.min(scheduled);
            self.timetable.due = sooner;
        }
    }

    /// Returns the sweep's period without jitter: what an account in sync costs is bounded to 30 calls a minute by stretching it.
    pub(super) fn period(&self, users: &Users) -> Duration {
        let calls = self.calls_per_sweep(users.managed.len());
        let stretched = Duration::from_mins(1) * calls / CALLS_A_MINUTE;
        stretched.clamp(self.sweep_interval, LONGEST.max(self.sweep_interval))
    }

    /// Returns the period while drift is expected.
    fn period_in_drift(&self, users: &Users) -> Duration {
        let calls = self.calls_per_sweep(users.managed.len());
        let least = Duration::from_mins(1) * calls / CALLS_A_MINUTE_IN_DRIFT;
        let period = self.period(users);
        (period / SWEEPS_IN_DRIFT)
            .max(least)
            .max(SHORTENED_TO)
            .min(period)
    }

    /// Schedules the next sweep: one has ended, or begins one by one.
    pub(super) fn schedule_sweep(&mut self, users: &Users, now: Moment) {
        let period = self.period(users);
        let timetable = &self.timetable;
        let (next, [from, to]) = if timetable.failures > 0 {
            let doubled = period.saturating_mul(1 << timetable.failures.min(10));
            (doubled.min(period.max(FAILING_SWEEP_MAX)), [90, 110])
        } else if timetable.expects_drift(now) {
            (self.period_in_drift(users), [90, 110])
        } else if timetable.spread {
            (period, [90, 110])
        } else {
            // Operators that were started together do not sweep together.
            (period, [50, 100])
        };
        let at = now + self.random.spread(next, from, to);
        let timetable = &mut self.timetable;
        timetable.spread |= timetable.failures == 0;
        timetable.due = Some(at);
    }
}

//! Decides about the Lease: whether this process may take or renew it. Pure: time is a parameter, and nothing here makes a
//! request. A Lease has ended when it has not changed for its duration, as observed on the own monotonic clock: no wall clock
//! of another machine is compared with the own one. After client-go's `leaderelection`.

use std::time::Duration;

use jiff::Timestamp;

/// The three durations of an election.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Durations {
    /// How long a Lease that does not change still belongs to its holder; whole seconds.
    pub lease: Duration,
    /// How long after the last renewal was sent the holder may begin a request, and after which it has lost the Lease.
    pub renew: Duration,
    /// The time between two renewals, and within which each request for the Lease must be answered.
    pub retry: Duration,
}

impl Durations {
    /// 30 s, 20 s and 5 s.
    pub const PRODUCTION: Self = Self {
        lease: Duration::from_secs(30),
        renew: Duration::from_secs(20),
        retry: Duration::from_secs(5),
    };

    /// Returns how long after the last renewal was sent a request of the holder must have ended: 14/15 of the Lease.
    #[must_use]
    pub fn request_end(self) -> Duration {
        self.lease * 14 / 15
    }

    /// Returns within which time a request of the holder that begins now must have ended, `age` after the last successful
    /// renewal was sent; nothing where none may begin.
    #[must_use]
    pub fn begin(self, age: Duration) -> Option<Duration> {
        (age < self.renew).then(|| self.request_end().saturating_sub(age))
    }
}

/// The part of a Lease that decides.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Record {
    /// The identity of the holder; none where it was released.
    pub holder: Option<String>,
    /// How long it belongs to its holder without a change.
    pub duration: Duration,
    /// When it was acquired, by the holder's wall clock. For people only.
    pub acquired: Option<Timestamp>,
    /// When it was renewed, by the holder's wall clock. Only compared with itself: a renewal is a change.
    pub renewed: Option<Timestamp>,
    /// How often the holder has changed.
    pub transitions: i32,
}

impl Record {
    /// Returns the record after this process has taken or renewed the Lease; `before` is what the Lease contains.
    #[must_use]
    pub fn owned(
        before: Option<&Self>,
        identity: &str,
        duration: Duration,
        time: Timestamp,
    ) -> Self {
        let is_renewal = before.is_some_and(|before| before.is_owned_by(identity));
        let acquired = before.and_then(|before| before.acquired);
        let transitions = before.map_or(0, |before| before.transitions);
        Self {
            holder: Some(identity.to_owned()),
            duration,
            acquired: if is_renewal { acquired } else { Some(time) },
            renewed: Some(time),
            transitions: match before {
                Some(_) if !is_renewal => transitions.saturating_add(1),
                Some(_) | None => transitions,
            },
        }
    }

    /// Returns the record after its holder has released the Lease.
    #[must_use]
    pub fn released(self, time: Timestamp) -> Self {
        Self {
            holder: None,
            renewed: Some(time),
            ..self
        }
    }

    /// Returns whether that identity holds it.
    #[must_use]
    pub fn is_owned_by(&self, identity: &str) -> bool {
        self.holder.as_deref() == Some(identity)
    }
}

/// What this process has seen of the Lease.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Observed {
    lease: Option<Record>,
    /// The last record of another holder, which may still act although the Lease was deleted.
    last: Option<Record>,
    since: Duration,
    had_former: bool,
}

impl Observed {
    /// Records what the Lease contains, or that there is none, as answered at `now`.
    pub fn update(&mut self, lease: Option<Record>, identity: &str, now: Duration) {
        if let Some(record) = lease
            .as_ref()
            .filter(|record| !record.is_owned_by(identity))
        {
            self.had_former = true;
            self.last = record.holder.is_some().then(|| record.clone());
        }
        if lease != self.lease {
            self.since = now;
            self.lease = lease;
        }
    }

    /// Returns what the Lease contains.
    #[must_use]
    pub fn lease(&self) -> Option<&Record> {
        self.lease.as_ref()
    }

    /// Returns whether another process has, or had, held the Lease: its requests may still take effect.
    #[must_use]
    pub fn had_former(&self) -> bool {
        self.had_former
    }
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// Write it with this process as its holder: take it, create it or renew it.
    Write,
    /// It belongs to another holder for that long, if it does not change.
    Wait(Duration),
}

/// Returns what a process of that identity does about the Lease at `now`, a time on the clock by which it was observed. A
/// holder that gets [`Next::Wait`] has lost the Lease to another process.
#[must_use]
pub fn next_lease(observed: &Observed, identity: &str, now: Duration) -> Next {
    let owner = match &observed.lease {
        Some(record) if record.is_owned_by(identity) => return Next::Write,
        Some(record) if record.holder.is_none() => return Next::Write,
        Some(record) => record,
        // A deleted Lease ends no sooner than one that is no longer renewed.
        None => match &observed.last {
            Some(last) => last,
            None => return Next::Write,
        },
    };
    let ends = observed.since + owner.duration;
    match ends.checked_sub(now) {
        Some(left) if !left.is_zero() => Next::Wait(left),
        _ => Next::Write,
    }
}

#[cfg(test)]
mod tests;

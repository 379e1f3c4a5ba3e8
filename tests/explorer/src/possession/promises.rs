//! What is promised of claims, followed along the steps of the model.

use std::collections::BTreeSet;

use fireworks_core::claims::Possession;

use super::{Mode, NAMES, OBJECTS, State, Version};

/// The number of ticks for which a user that was released is kept for its namespace.
const PROTECTED: u8 = 2;

/// How each object holds the user, if it does.
pub(super) type Holding = [Option<Possession>; OBJECTS];

/// Whose the user is, as the promises have it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Owner {
    pub(super) namespace: u8,
    /// The object that holds it and when that was created; none once it was released.
    pub(super) holder: Option<(u8, u8)>,
    /// It is held with limits.
    pub(super) is_limited: bool,
    /// The number of ticks since it was released.
    pub(super) released_for: u8,
}

/// What a new process can know of the promises: what status records. Returns whether several objects of which one held the user
/// before the other are recorded; whichever holds it now does so with limits.
pub(super) fn restart(state: &mut State) -> bool {
    let recorded = (0..OBJECTS).filter(|at| state.server[*at].is_recorded());
    let (claiming, others): (Vec<_>, Vec<_>) = recorded.partition(|at| state.server[*at].claims());
    let namespaces = |objects: &[usize]| {
        let all = objects.iter().map(|at| NAMES[*at].0);
        all.collect::<BTreeSet<_>>()
    };
    let last = namespaces(if claiming.is_empty() {
        &others
    } else {
        &claiming
    });
    let is_disputed = claiming.len() > 1 || last.len() > 1;
    // One that is recorded alone may have held it before: status is written a moment after that has changed.
    state.owner = state
        .owner
        .filter(|owner| !is_disputed && last.contains(&owner.namespace))
        .map(|owner| Owner {
            holder: None,
            released_for: 0,
            ..owner
        });
    if state.owner.is_none() && !is_disputed {
        for (at, (namespace, ..)) in NAMES.iter().enumerate() {
            state.has_waited[at] &= !last.contains(namespace);
        }
    }
    is_disputed
}

/// Compares who holds the user with what is promised. Returns the promise that is broken.
pub(super) fn judge(state: &mut State, holding: Holding) -> Option<&'static str> {
    let mut holders = (0..OBJECTS).filter_map(|at| Some((at, holding[at]?)));
    let (holder, second) = (holders.next(), holders.next());
    let mut broken = second.map(|_| "two objects hold one user");
    if let Some((at, possession)) = holder {
        let version = state.store[at];
        broken = broken.or_else(|| {
            let is_limitless = possession == Possession::Held && !version.accepts;
            taken(state, at, is_limitless)
        });
        state.has_waited[at] &= possession != Possession::Held;
        state.owner = Some(Owner {
            namespace: NAMES[at].0,
            holder: Some(identity(at, version)),
            is_limited: possession == Possession::Inherited,
            released_for: 0,
        });
    } else if let Some(owner) = &mut state.owner {
        owner.holder = None;
        state.owner.take_if(|owner| owner.released_for >= PROTECTED);
    }
    for at in 0..OBJECTS {
        let version = state.store[at];
        let may_hold = version.claims() && version.mode != Mode::Suspend;
        // What the holder of its own namespace may is what it may when it takes over.
        let waited = match state.owner {
            Some(owner) if holding[at].is_none() => {
                owner.namespace != NAMES[at].0 || owner.is_limited
            }
            _ => state.has_waited[at],
        };
        state.has_waited[at] = may_hold && waited;
    }
    broken
}

/// The object holds the user. Returns the promise that this breaks.
fn taken(state: &State, at: usize, is_limitless: bool) -> Option<&'static str> {
    if let Some(owner) = state.owner {
        let claims_still = |(other, created): (u8, u8)| {
            let other = usize::from(other);
            other != at && state.store[other].created == created && state.store[other].claims()
        };
        if owner.holder.is_some_and(claims_still) {
            return Some("an object lost the user although it claims it");
        }
        if owner.namespace != NAMES[at].0 && owner.released_for < PROTECTED {
            return Some("an object took a user that another namespace holds or has just held");
        }
        if owner.namespace == NAMES[at].0 && owner.is_limited && is_limitless {
            return Some("an inherited claim lost its limits");
        }
    }
    (state.has_waited[at] && is_limitless)
        .then_some("an object that waited for another namespace holds the user without limits")
}

/// The object of that version: one that is created again is another one.
pub(super) fn identity(at: usize, version: Version) -> (u8, u8) {
    (u8::try_from(at).unwrap_or_default(), version.created)
}

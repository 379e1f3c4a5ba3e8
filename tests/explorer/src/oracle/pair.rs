//! The promises of two processes that demote admins of one account.

use crate::pair::State;
use crate::state::Flight;
use crate::value::Part;

/// Ticks for which the account may be without an admin that counts.
const BARE: u8 = 2;

/// Whether the account has an admin that counts.
pub(crate) fn has_admin(state: &State) -> bool {
    state.slots[0]
        .remote
        .iter()
        .any(|remote| remote.is_counted_admin())
}

/// A PATCH leaves that process.
pub(crate) fn departure(state: &State, slot: usize) -> Option<String> {
    let demotes = |flight: &Flight| flight.body.role != Part::Admin;
    let is_demotion = state.slots[slot].flights.iter().flatten().any(demotes);
    (is_demotion && state.alone[slot])
        .then(|| "PATCH of the last admin that a list showed".to_owned())
}

/// Time passes.
pub(crate) fn lasting(state: &State) -> Option<String> {
    (state.bare > BARE).then(|| "the account stays without an admin".to_owned())
}

/// Where nothing goes wrong any more.
pub(crate) fn at_rest(state: &State) -> Result<(), String> {
    if has_admin(state) {
        Ok(())
    } else {
        Err("the account has no admin".to_owned())
    }
}

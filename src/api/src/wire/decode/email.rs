//! What is kept of the e-mail address of a user: the address itself ends here.

use super::{Loose, Scalar};
use crate::email::EmailHash;

/// Returns the hash of the address, if one is set. A value that is no text is an address that cannot be read.
pub(super) fn hash(value: &Scalar) -> Option<EmailHash> {
    match value {
        Loose::Absent => None,
        Loose::Text(address) => Some(EmailHash::of(address)),
        Loose::Number(_) | Loose::True | Loose::Map(_) | Loose::Unusable => {
            Some(EmailHash::unreadable())
        }
    }
}

//! E-mail addresses as keyed hashes. An address identifies a person, and is never kept, shown or logged: two can be
//! compared, and no more.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;
use std::sync::LazyLock;

/// The key of all hashes of this process. Without it an address could be found by hashing candidates.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A hash of an e-mail address, in ASCII lower case, with a random key that each process draws.
///
/// # Guarantees
/// Equal addresses have equal hashes within a process. The hash is of no use in another process.
///
/// # Caveats
/// Two different addresses have the same hash once in 2^64 pairs.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct EmailHash(NonZeroU64);

impl EmailHash {
    /// Returns the hash of that address. The case of ASCII letters makes no difference.
    #[must_use]
    pub fn of(address: &str) -> Self {
        let hash = KEY.hash_one(address.to_ascii_lowercase());
        Self(NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN))
    }

    /// Returns the hash that stands for an address which is set and cannot be read: that of no address.
    #[must_use]
    pub fn unreadable() -> Self {
        Self::of("\0")
    }
}

/// Prints nothing that an address could be found by.
impl fmt::Debug for EmailHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_hash_ignores_the_case_of_ascii_letters_only() {
        let alice = EmailHash::of("Alice@Example.com");
        assert_eq!(alice, EmailHash::of("alice@example.COM"));
        for other in ["alice@example.co", "alice@example.com ", "", "\0"] {
            assert_ne!(alice, EmailHash::of(other), "{other:?}");
        }
        assert_ne!(EmailHash::of("Ä@b.c"), EmailHash::of("ä@b.c"));
    }

    #[test]
    fn email_hash_is_not_printed() {
        let hash = EmailHash::of("alice@example.com");
        assert_eq!(format!("{hash:?}"), "EmailHash");
    }
}

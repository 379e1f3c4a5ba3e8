//! What each user truly was, and when: the truth that answers, statuses and tests are measured by, whatever lagging
//! reads showed. Pure.

use std::collections::BTreeMap;

use crate::{clock::Now, user::User};

/// From when on a user was what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic milliseconds since the simulator started.
    pub at_ms: u64,
    /// The user; none: there was none from then on.
    pub user: Option<User>,
    /// Whether it came about out of band and not by a request.
    pub by_hand: bool,
}

/// The past of all users, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    users: BTreeMap<String, Vec<Moment>>,
}

impl Past {
    /// Notes what a user is from now on. A change of nothing but times is none.
    pub(crate) fn note(&mut self, id: &str, user: Option<&User>, by_hand: bool, now: Now) {
        let moments = self.users.entry(id.to_owned()).or_default();
        let timeless = |user: &User| User {
            create_time: None,
            update_time: None,
            ..user.clone()
        };
        let user = user.map(timeless);
        if moments.last().is_some_and(|last| last.user == user) {
            return;
        }
        moments.push(Moment {
            at_ms: now.elapsed_ms,
            user,
            by_hand,
        });
    }

    pub(crate) fn all(&self) -> BTreeMap<String, Vec<Moment>> {
        self.users.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(elapsed_ms: u64) -> Now {
        Now {
            wall: jiff::Timestamp::UNIX_EPOCH,
            elapsed_ms,
        }
    }

    #[test]
    fn every_true_change_is_kept_and_nothing_else() {
        let mut past = Past::default();
        let user = User::new("alice", "user");
        let touched = User {
            update_time: Some(jiff::Timestamp::UNIX_EPOCH),
            ..user.clone()
        };
        past.note("alice", Some(&user), true, at(1));
        past.note("alice", Some(&touched), false, at(2));
        past.note("alice", Some(&User::new("alice", "admin")), false, at(3));
        past.note("alice", None, true, at(4));
        let all = past.all();
        let seen: Vec<_> = all["alice"]
            .iter()
            .map(|one| {
                (
                    one.at_ms,
                    one.user.as_ref().map(|user| user.role.as_str()),
                    one.by_hand,
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (1, Some("user"), true),
                (3, Some("admin"), false),
                (4, None, true)
            ]
        );
    }
}

//! Seeded users: the same seed gives the same users on every machine and in every version. Pure.

use crate::user::User;

const FIRST: [&str; 16] = [
    "Ada",
    "Alan",
    "Barbara",
    "Claude",
    "Edsger",
    "Frances",
    "Grace",
    "Hedy",
    "Ivan",
    "Joan",
    "Katherine",
    "Leslie",
    "Margaret",
    "Niklaus",
    "Radia",
    "Tony",
];
const LAST: [&str; 12] = [
    "Allen", "Clarke", "Dijkstra", "Hamilton", "Hoare", "Hopper", "Johnson", "Lamport", "Liskov",
    "Lovelace", "Perlman", "Turing",
];
const PRESETS: [&str; 4] = ["agent", "billing", "deployer", "read-only"];

/// `SplitMix64`: small, and its numbers never change with a dependency.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// From 0 to below 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / 4_294_967_296.0
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list.get(self.below(list.len()))
            .copied()
            .unwrap_or_default()
    }
}

/// Users `user-00000` to `user-(n-1)`: the first two are admins, every 25th is a service account, the rest vary.
pub(crate) fn users(count: usize, seed: u64) -> Vec<User> {
    let mut numbers = Numbers::new(seed);
    (0..count).map(|index| user(index, &mut numbers)).collect()
}

fn user(index: usize, numbers: &mut Numbers) -> User {
    let id = format!("user-{index:05}");
    let (first, last) = (numbers.pick(&FIRST), numbers.pick(&LAST));
    let role = match (index, numbers.below(10)) {
        (0 | 1, _) => "admin",
        (_, 0..=4) => "user",
        (_, 5 | 6) => "contributor",
        (_, 7) => "inference-user",
        _ => "custom",
    };
    let preset = numbers.pick(&PRESETS);
    if index % 25 == 24 {
        return User::new(id, "inference-user")
            .display_name(format!("Robot {index}"))
            .service_account();
    }
    let email = format!("{id}@example.com");
    let mut user = User::new(id, role).email(email);
    if numbers.below(8) > 0 {
        user = user.display_name(format!("{first} {last}"));
    }
    if role == "custom" {
        user = user.preset(preset);
    }
    user
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_users_and_another_seed_others() {
        assert_eq!(users(50, 7), users(50, 7));
        assert_ne!(users(50, 7), users(50, 8));
        assert_eq!(users(10, 7), users(50, 7)[..10]);
    }

    #[test]
    fn every_role_occurs_with_two_admins_and_some_service_accounts() {
        let all = users(200, 0);
        let roles: BTreeSet<_> = all.iter().map(|user| user.role.as_str()).collect();
        assert_eq!(roles.len(), 5);
        assert_eq!(all.iter().filter(|user| user.role == "admin").count(), 2);
        assert_eq!(all.iter().filter(|user| user.service_account).count(), 8);
        assert!(
            all.iter()
                .all(|user| (user.role == "custom") != user.permission_preset.is_empty())
        );
    }
}

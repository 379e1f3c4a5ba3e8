//! Random numbers of a seeded generator, which is plain data: what draws from it can be repeated.

use std::time::Duration;

/// A generator of random numbers for jitter (`SplitMix64`). Of no use for secrets.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Random(u64);

impl Random {
    /// Returns the generator of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws a number out of all numbers.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number of 0..1, as back-off takes it.
    pub fn fraction(&mut self) -> f64 {
        f64::from(self.draw_half()) / (f64::from(u32::MAX) + 1.0)
    }

    /// Draws a duration between those shares of `duration`, to the microsecond.
    pub fn spread(&mut self, duration: Duration, from_percent: u32, to_percent: u32) -> Duration {
        let share = |percent: u32| duration.as_micros().saturating_mul(percent.into()) / 100;
        let (least, most) = (share(from_percent), share(to_percent));
        let span = most.saturating_sub(least);
        let drawn = (span.saturating_mul(self.draw_half().into()) >> 32).min(span);
        Duration::from_micros(u64::try_from(least.saturating_add(drawn)).unwrap_or(u64::MAX))
    }

    /// Draws 32 bits.
    fn draw_half(&mut self) -> u32 {
        let [.., a, b, c, d] = self.draw().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the reference implementation by Sebastiano Vigna for the seed 1234567.
    #[test]
    fn generator_is_splitmix64() {
        let mut random = Random::new(1_234_567);
        let drawn = [0; 3].map(|_| random.draw());
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(drawn, expected);
    }

    #[test]
    fn spread_covers_the_range_between_its_shares() {
        let (mut random, whole) = (Random::new(0), Duration::from_secs(100));
        let drawn: Vec<_> = (0..1_000).map(|_| random.spread(whole, 50, 150)).collect();
        let bounds = Duration::from_secs(50)..=Duration::from_secs(150);
        assert!(drawn.iter().all(|one| bounds.contains(one)));
        assert!(drawn.iter().any(|one| *one < Duration::from_secs(55)));
        assert!(drawn.iter().any(|one| *one > Duration::from_secs(145)));
        assert_eq!(random.spread(Duration::ZERO, 90, 110), Duration::ZERO);
        assert!(random.spread(Duration::MAX, 90, 110) > whole);
    }

    #[test]
    fn fraction_lies_between_zero_and_one() {
        let mut random = Random::new(0);
        let drawn: Vec<_> = (0..1_000).map(|_| random.fraction()).collect();
        assert!(drawn.iter().all(|one| (0.0..=1.0).contains(one)));
        assert!(drawn.iter().any(|one| *one < 0.05));
        assert!(drawn.iter().any(|one| *one > 0.95));
    }
}

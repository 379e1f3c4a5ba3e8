//! How long a request waits before it is looked at: always the same, or spread as over a network. The same seed gives the
//! same waits. Pure.

use std::time::Duration;

use crate::seed::Numbers;
use crate::settings::Switches;

/// No wait is longer than this many times the median.
const LONGEST: f64 = 20.0;

/// The wait of the request of that number.
pub(crate) fn of(switches: &Switches, seed: u64, seq: u64) -> Duration {
    let median = Duration::from_millis(switches.latency_ms);
    if switches.latency_spread == 0 || median.is_zero() {
        return median;
    }
    let mut numbers = Numbers::new(seed ^ seq.wrapping_mul(0xD134_2543_DE82_EF95));
    let spread = f64::from(switches.latency_spread) / 100.0;
    let factor = (spread * normal(&mut numbers)).exp();
    median.mul_f64(factor.min(LONGEST))
}

/// A number of the standard normal distribution, after Box and Muller.
fn normal(numbers: &mut Numbers) -> f64 {
    let (length, turn) = (1.0 - numbers.fraction(), numbers.fraction());
    (-2.0 * length.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn waits(spread: u32) -> Vec<f64> {
        let switches = Switches {
            latency_ms: 120,
            latency_spread: spread,
            ..Switches::default()
        };
        let mut waits: Vec<f64> = (1..=10_001)
            .map(|seq| of(&switches, 7, seq).as_secs_f64() * 1000.0)
            .collect();
        waits.sort_by(f64::total_cmp);
        waits
    }

    #[test]
    fn a_spread_keeps_the_median_and_makes_a_long_tail() {
        let waits = waits(50);
        let (median, p99) = (waits[5_000], waits[9_900]);
        assert!((115.0..125.0).contains(&median), "{median}");
        assert!((350.0..420.0).contains(&p99), "{p99}");
    }

    #[test]
    fn without_a_spread_all_wait_the_same() {
        let waits = waits(0);
        assert!(waits.iter().all(|wait| (wait - 120.0).abs() < 0.001));
        let none = Switches {
            latency_spread: 50,
            ..Switches::default()
        };
        assert_eq!(of(&none, 7, 1), Duration::ZERO);
    }
}

//! Chance, the same on every platform and with every release of the crates behind it.
//!
//! Only the raw words of ChaCha8 are taken from outside; ranges and distributions are made here of
//! additions, multiplications and square roots, which IEEE 754 rounds alike everywhere. `f64::exp`
//! and `f64::ln` are the platform's own and may differ in the last bit, so they are not used.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LN_2: f64 = std::f64::consts::LN_2;

/// A seeded source of draws.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn seeded(seed: u64) -> Draw {
        Draw(ChaCha8Rng::seed_from_u64(seed))
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Below `n`, which must not be 0.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        let wide = u64::from(self.0.next_u32()) * u64::from(n);
        // the bias of at most n / 2^32 does not matter here
        (wide >> 32) as u32
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        debug_assert!(low <= high, "{low} to {high}");
        let width = high.abs_diff(low).saturating_add(1);
        let wide = u128::from(self.word()) * u128::from(width);
        low + (wide >> 64) as i64
    }

    /// In [0, 1).
    pub(super) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// An index below `len`, which must not be 0.
    pub(super) fn index(&mut self, len: usize) -> usize {
        self.below(len as u32) as usize
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    /// An index with a probability proportional to its weight.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f64>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        // rounding can leave a crumb; it falls to the last weight that is not zero
        weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)
    }

    /// Mean 0, standard deviation 1: sixteen uniform draws of 16 bits, summed (Irwin-Hall).
    pub(super) fn normal(&mut self) -> f64 {
        let mut sum = 0_u64;
        for _ in 0..4 {
            let word = self.word();
            sum += (word & 0xffff)
                + ((word >> 16) & 0xffff)
                + ((word >> 32) & 0xffff)
                + ((word >> 48) & 0xffff);
        }
        (sum as f64 / 65_536.0 - 8.0) / (16.0_f64 / 12.0).sqrt()
    }

    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * exp(sigma * self.normal())
    }

    /// Waiting time with that mean.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * ln(1.0 - self.unit())
    }

    /// From `low` to `high`, each doubling as likely as any other; both above 0.
    pub(super) fn log_uniform(&mut self, low: f64, high: f64) -> f64 {
        low * exp(self.unit() * ln(high / low))
    }
}

/// e^x for |x| below 700.
pub(super) fn exp(x: f64) -> f64 {
    let power = (x / LN_2).round();
    let rest = x - power * LN_2;
    let mut sum = 1.0;
    for n in (1..=13).rev() {
        sum = 1.0 + sum * rest / f64::from(n);
    }
    let bits = (power as i64 + 1023).clamp(1, 2046) as u64;
    sum * f64::from_bits(bits << 52)
}

/// The natural logarithm of a positive, normal number.
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let power = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    // ln m = 2 atanh((m - 1) / (m + 1)), and the ratio is at most 1/3
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut sum = 0.0;
    for n in (0..=16).rev() {
        sum = sum * square + 1.0 / f64::from(2 * n + 1);
    }
    power as f64 * LN_2 + 2.0 * ratio * sum
}

/// Mixes the bits of a number, one to one: ids that are unique and do not count up.
pub(super) fn scramble(n: u32) -> u32 {
    let mut n = n ^ 0x5bd1_e995;
    n = (n ^ (n >> 16)).wrapping_mul(0x7feb_352d);
    n = (n ^ (n >> 15)).wrapping_mul(0x846c_a68b);
    n ^ (n >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_and_ln_agree_with_the_platform_to_a_part_in_a_trillion() {
        let mut draw = Draw::seeded(1);
        for _ in 0..10_000 {
            let x = draw.unit() * 60.0 - 30.0;
            let (ours, theirs) = (exp(x), x.exp());
            assert!((ours / theirs - 1.0).abs() < 1e-12, "exp({x}): {ours}, {theirs}");
            assert!((ln(theirs) - theirs.ln()).abs() < 1e-12 * 30.0, "ln({theirs})");
        }
    }

    #[test]
    fn distributions_have_the_moments_they_claim() {
        let mut draw = Draw::seeded(2);
        let n = 200_000;
        let (mut sum, mut squares, mut waits, mut above) = (0.0, 0.0, 0.0, 0);
        for _ in 0..n {
            let x = draw.normal();
            sum += x;
            squares += x * x;
            waits += draw.exponential(5.0);
            above += u32::from(draw.log_normal(20.0, 0.8) > 20.0);
        }
        let n = f64::from(n);
        assert!((sum / n).abs() < 0.02, "mean {}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.02, "variance {}", squares / n);
        assert!((waits / n - 5.0).abs() < 0.1, "mean wait {}", waits / n);
        assert!((f64::from(above) / n - 0.5).abs() < 0.01, "median {above}");
    }

    #[test]
    fn ranges_are_kept_and_reached_at_both_ends() {
        let mut draw = Draw::seeded(3);
        let drawn: Vec<i64> = (0..1_000).map(|_| draw.between(-2, 2)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&-2), Some(&2)));
        assert!((0..1_000).all(|_| draw.weighted(&[0.0, 1.0, 0.0]) == 1));
        assert!((0..1_000).all(|_| (3.0..48.0).contains(&draw.log_uniform(3.0, 48.0))));
    }

    #[test]
    fn scrambled_numbers_stay_unique() {
        let mut seen: Vec<u32> = (0..200_000).map(scramble).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 200_000);
    }
}

//! Confidence intervals: accounts are drawn again, and everything is measured anew.
//!
//! The events of an account are not independent of each other, and neither are days that share
//! accounts; accounts are. So a resample draws accounts: each counts 0, 1, 2 or more times, after the
//! Poisson distribution with mean 1, and with it all its events (the Poisson bootstrap: as drawing with
//! replacement, without holding the number of accounts fixed). What changes from one resample to the
//! next is only the weight of each account: orders and sums are prepared once, and [`LANES`] resamples
//! are measured in one pass. The estimate itself is measured by the same code, with all weights one.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::columns::Columns;
use super::options::{Options, REPLICATES_MAX};

/// Resamples that are measured at once: as many as fit a vector register of the machine.
pub(super) const LANES: usize = 8;

/// How often an account counts in each of the resamples measured at once.
pub(super) type Weights = [u8; LANES];

/// One value for each of the resamples measured at once.
pub(super) type Lanes<T> = [T; LANES];

/// Of each of the resamples measured at once: figures, `None` where there is nothing to divide by.
pub(super) type Figures = Lanes<Vec<Option<f64>>>;

/// The share of resamples that an interval leaves out, both ends together.
pub(super) const LEFT_OUT: f64 = 0.05;

/// Fewer accounts than this, or than [`FRAUD_ACCOUNTS_MIN`] with a fraud, say nothing of how much
/// another draw would differ.
const ACCOUNTS_MIN: usize = 20;
const FRAUD_ACCOUNTS_MIN: usize = 5;

/// A figure that is missing in more resamples than this has no interval.
const MISSING_MAX: f64 = 0.1;

/// A figure and its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Default, Serialize)]
pub struct Estimate {
    /// `None`: there is nothing to measure it by
    pub value: Option<f64>,
    /// lower end of the interval; `None`: too little to tell
    pub low: Option<f64>,
    /// upper end
    pub high: Option<f64>,
}

/// Figures and what they were in each resample.
pub(super) struct Resampled {
    values: Vec<Option<f64>>,
    /// by figure, in order of size
    replicates: Vec<Vec<f64>>,
    drawn: usize,
}

impl Resampled {
    /// Measures with all weights one, and then resample by resample.
    pub(super) fn of(
        columns: &Columns,
        options: &Options,
        figures: impl Fn(&[Weights]) -> Figures,
    ) -> Resampled {
        let accounts = columns.accounts.len();
        let [values, ..] = figures(&vec![[1; LANES]; accounts]);
        let is_enough = accounts >= ACCOUNTS_MIN && columns.fraud_accounts >= FRAUD_ACCOUNTS_MIN;
        let drawn = if is_enough { options.replicates.min(REPLICATES_MAX) } else { 0 };
        let mut replicates = vec![Vec::with_capacity(drawn); values.len()];
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let mut weights = vec![[0; LANES]; accounts];
        for first in (0..drawn).step_by(LANES) {
            draw(&mut weights, &mut random);
            for lane in figures(&weights).into_iter().take(drawn - first) {
                for (replicates, figure) in replicates.iter_mut().zip(lane) {
                    replicates.extend(figure);
                }
            }
        }
        for replicates in &mut replicates {
            replicates.sort_by(f64::total_cmp);
        }
        Resampled { values, replicates, drawn }
    }

    /// Each figure with its interval, in the order they were given in.
    pub(super) fn estimates(&self) -> impl Iterator<Item = Estimate> {
        (0..self.values.len()).map(|figure| self.estimate(figure, LEFT_OUT))
    }

    /// One figure, with the interval that leaves out that share of the resamples.
    pub(super) fn estimate(&self, figure: usize, left_out: f64) -> Estimate {
        let replicates = &self.replicates[figure];
        let value = self.values[figure];
        let is_enough = replicates.len() as f64 >= (1.0 - MISSING_MAX) * self.drawn as f64;
        if value.is_none() || replicates.is_empty() || !is_enough {
            return Estimate { value, low: None, high: None };
        }
        let (low, high) = (left_out / 2.0, 1.0 - left_out / 2.0);
        Estimate {
            value,
            low: Some(quantile(replicates, low)),
            high: Some(quantile(replicates, high)),
        }
    }
}

/// Of 65,536 draws of a Poisson distribution with mean 1, those that are at most 0, 1, 2, ...: what is past
/// the last is once in two million.
const POISSON: [u16; 8] = [24_109, 48_219, 60_273, 64_292, 65_296, 65_497, 65_531, 65_535];

/// Draws how often each account counts, for each lane.
fn draw(weights: &mut [Weights], random: &mut ChaCha8Rng) {
    for weights in weights {
        let words = [random.next_u64(), random.next_u64()];
        for (lane, weight) in weights.iter_mut().enumerate() {
            // four draws of 16 bits from each word
            let drawn = (words[lane / 4] >> (lane % 4 * 16)) as u16;
            *weight = POISSON.iter().map(|most| u8::from(drawn >= *most)).sum();
        }
    }
}

impl Estimate {
    /// Where all cases agree, a share is 0 or 1 in every resample too, as if it were certain. Then the
    /// interval is Wilson's, over the accounts that the cases are of.
    pub(super) fn or_wilson(self, accounts: usize) -> Estimate {
        let accounts = accounts as u64;
        match (self.value, self.low) {
            (Some(0.0), Some(_)) => wilson(0, accounts),
            (Some(1.0), Some(_)) => wilson(accounts, accounts),
            _ => self,
        }
    }
}

/// The quantile of values in order, between two of them as far as it lies between; `values` is not
/// empty.
fn quantile(values: &[f64], share: f64) -> f64 {
    let at = share * (values.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(values.len() - 1);
    values[below] + (values[above] - values[below]) * (at - below as f64)
}

/// `part / whole`, where there is a whole.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// A share and its 95 % interval after Wilson, which takes the cases for independent.
pub(super) fn wilson(hits: u64, of: u64) -> Estimate {
    if of == 0 {
        return Estimate::default();
    }
    let n = of as f64;
    let share = hits as f64 / n;
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    Estimate {
        value: Some(share),
        // rounding must not carry the ends past the share itself
        low: Some((middle - half).clamp(0.0, share)),
        high: Some((middle + half).clamp(share, 1.0)),
    }
}

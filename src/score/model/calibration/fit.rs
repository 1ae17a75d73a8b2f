//! Fitting a calibration to scores whose truth is known, and how far off scores are.

use super::{Calibration, Curve, Input, Table};
use crate::score::model::limits::CALIBRATION_POINTS_MAX;
use crate::score::model::math::{ln, logit, sigmoid, softplus};

/// Steps of Newton's method; it takes about ten.
const STEPS_MAX: usize = 100;
/// Halvings of a step that does not improve.
const HALVINGS_MAX: usize = 40;
/// Added to second derivatives, so that a flat one can be divided by.
const RIDGE: f64 = 1e-12;
/// A gradient this small a row is an end.
const FLAT: f64 = 1e-10;

/// Why no calibration can be fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FitError {
    /// nothing to learn from
    #[error("{positive} positive and {negative} negative labels, expected at least one of each")]
    OneClass {
        /// rows whose label is yes
        positive: usize,
        /// rows whose label is no
        negative: usize,
    },
    /// a score that is not a number
    #[error("score of row {row} is {score}, expected a finite number")]
    NotFinite {
        /// from 0
        row: usize,
        /// it
        score: f64,
    },
    /// higher scores are less often so
    #[error(
        "the slope is {slope}: higher scores are less often positive, expected a model that ranks"
    )]
    Falling {
        /// what was fitted
        slope: f64,
    },
    /// more steps than a table may have
    #[error("{points} points, expected at most {CALIBRATION_POINTS_MAX}")]
    TooMany {
        /// what was fitted
        points: usize,
    },
}

fn check(pairs: &[(f64, bool)]) -> Result<(usize, usize), FitError> {
    if let Some(row) = pairs.iter().position(|(score, _)| !score.is_finite()) {
        return Err(FitError::NotFinite { row, score: pairs[row].0 });
    }
    let positive = pairs.iter().filter(|(_, label)| *label).count();
    let negative = pairs.len() - positive;
    match positive == 0 || negative == 0 {
        true => Err(FitError::OneClass { positive, negative }),
        false => Ok((positive, negative)),
    }
}

/// Rows whose scores follow each other and are equally often positive.
#[derive(Clone, Copy, Debug)]
struct Pool {
    first: f64,
    last: f64,
    positive: usize,
    rows: usize,
}

impl Pool {
    fn share(&self) -> f64 {
        self.positive as f64 / self.rows as f64
    }
}

/// The table that never falls and is nearest to the labels (pool adjacent violators). Each pool of
/// scores gives the points where it begins and ends.
///
/// # Errors
/// See [`FitError`].
pub fn fit_isotonic(pairs: &[(f64, bool)]) -> Result<Calibration, FitError> {
    check(pairs)?;
    let mut sorted = pairs.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut pools: Vec<Pool> = Vec::new();
    for (score, label) in sorted {
        let row = Pool { first: score, last: score, positive: usize::from(label), rows: 1 };
        match pools.last_mut() {
            // rows of one score are one before anything is compared
            Some(pool) if pool.last == score => *pool = merge(*pool, row),
            _ => {
                settle(&mut pools);
                pools.push(row);
            }
        }
    }
    settle(&mut pools);
    let (mut scores, mut values) = (Vec::new(), Vec::new());
    for pool in pools {
        scores.push(pool.first);
        values.push(pool.share());
        if pool.last > pool.first {
            scores.push(pool.last);
            values.push(pool.share());
        }
    }
    let points = scores.len();
    let table = Table::new(scores, values).map_err(|_| FitError::TooMany { points })?;
    Ok(Calibration::Isotonic(table))
}

fn merge(left: Pool, right: Pool) -> Pool {
    let (positive, rows) = (left.positive + right.positive, left.rows + right.rows);
    Pool { first: left.first, last: right.last, positive, rows }
}

/// Merges the last pool with those before it that are at least as often positive.
fn settle(pools: &mut Vec<Pool>) {
    while let [.., before, last] = pools[..] {
        // shares compared without division
        if before.positive * last.rows < last.positive * before.rows {
            return;
        }
        pools.pop();
        if let Some(pool) = pools.last_mut() {
            *pool = merge(before, last);
        }
    }
}

/// The logistic curve of greatest likelihood, with Platt's targets: a little inside 0 and 1, so that
/// scores that separate the classes do not give a wall. It reads log-odds where all scores are
/// probabilities, else the scores themselves.
///
/// # Errors
/// See [`FitError`].
pub fn fit_platt(pairs: &[(f64, bool)]) -> Result<Calibration, FitError> {
    let (positive, negative) = check(pairs)?;
    let are_probabilities = pairs.iter().all(|(score, _)| (0.0..=1.0).contains(score));
    let input = if are_probabilities { Input::Logit } else { Input::Score };
    let xs: Vec<f64> = pairs
        .iter()
        .map(|(score, _)| if are_probabilities { logit(*score) } else { *score })
        .collect();
    let yes = (positive as f64 + 1.0) / (positive as f64 + 2.0);
    let no = 1.0 / (negative as f64 + 2.0);
    let targets: Vec<f64> = pairs.iter().map(|(_, label)| if *label { yes } else { no }).collect();
    // scores of any size: the method works on them with mean 0 and spread 1
    let rows = xs.len() as f64;
    let mean = xs.iter().sum::<f64>() / rows;
    let spread = (xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows).sqrt();
    let spread = if spread > 0.0 { spread } else { 1.0 };
    let points: Vec<(f64, f64)> =
        xs.iter().zip(targets).map(|(x, target)| ((x - mean) / spread, target)).collect();
    let start = ln((positive as f64 + 1.0) / (negative as f64 + 1.0));
    let (slope, intercept) = newton(&points, start);
    let slope = slope / spread;
    let curve = Curve::new(input, slope, intercept - slope * mean);
    curve.map(Calibration::Platt).map_err(|_| FitError::Falling { slope })
}

/// Slope and intercept of least cross entropy.
fn newton(points: &[(f64, f64)], start: f64) -> (f64, f64) {
    let loss = |slope: f64, intercept: f64| -> f64 {
        let one = |(x, target): &(f64, f64)| {
            let margin = slope * x + intercept;
            softplus(margin) - target * margin
        };
        points.iter().map(one).sum()
    };
    let (mut slope, mut intercept) = (0.0, start);
    let mut now = loss(slope, intercept);
    for _ in 0..STEPS_MAX {
        let (mut g_slope, mut g_intercept) = (0.0, 0.0);
        let (mut h_slope, mut h_both, mut h_intercept) = (RIDGE, 0.0, RIDGE);
        for (x, target) in points {
            let p = sigmoid(slope * x + intercept);
            let (off, bend) = (p - target, p * (1.0 - p));
            g_slope += off * x;
            g_intercept += off;
            h_slope += bend * x * x;
            h_both += bend * x;
            h_intercept += bend;
        }
        if g_slope.abs().max(g_intercept.abs()) < FLAT * points.len() as f64 {
            break;
        }
        let determinant = h_slope * h_intercept - h_both * h_both;
        let d_slope = (h_intercept * g_slope - h_both * g_intercept) / determinant;
        let d_intercept = (h_slope * g_intercept - h_both * g_slope) / determinant;
        let mut size = 1.0;
        let better = (0..HALVINGS_MAX).find_map(|_| {
            let (s, i) = (slope - size * d_slope, intercept - size * d_intercept);
            let then = loss(s, i);
            size /= 2.0;
            (then < now).then_some((s, i, then))
        });
        let Some(better) = better else { break };
        (slope, intercept, now) = better;
    }
    (slope, intercept)
}

/// How far probabilities are from shares, 0..1: over `bins` equal ranges of probability, the distance
/// between the mean probability and the share of positive labels, weighted by rows. 0 of no rows.
pub fn expected_calibration_error(pairs: &[(f64, bool)], bins: usize) -> f64 {
    let bins = bins.max(1);
    let mut sums = vec![(0.0, 0usize); bins];
    for (probability, label) in pairs {
        let bin = ((probability.clamp(0.0, 1.0) * bins as f64) as usize).min(bins - 1);
        sums[bin].0 += probability - f64::from(u8::from(*label));
        sums[bin].1 += 1;
    }
    let off: f64 = sums.iter().map(|(off, _)| off.abs()).sum();
    if pairs.is_empty() { 0.0 } else { off / pairs.len() as f64 }
}

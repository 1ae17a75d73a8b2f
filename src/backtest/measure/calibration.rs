//! Whether a score of 0.3 is fraud three times in ten.

use serde::Serialize;

use super::columns::{Columns, Row};
use super::ledger::Ledger;
use super::resample::{Estimate, Figures, LANES, Weights, ratio, wilson};

/// Bins of equal width that expected calibration error is measured in.
const BINS: usize = 10;

/// A score is this far from 0 and 1 at least, for log loss: a wrong certainty costs 34.5, not
/// everything.
const CERTAIN: f64 = 1e-15;

/// How far scores can be read as probabilities.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
pub struct Calibration {
    /// mean of -ln of what was given to what came true
    pub log_loss: Estimate,
    /// mean squared distance of score and truth
    pub brier: Estimate,
    /// mean distance of score and fraud share in a bin, weighted by events. Resampling adds to it where
    /// bins are small: the interval may lie above the value
    pub expected_calibration_error: Estimate,
    /// the bins that hold any labelled event
    pub bins: Vec<Bin>,
}

/// The labelled events whose scores are near each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// least score
    pub from: f64,
    /// up to this score; with it in the last bin alone
    pub to: f64,
    /// labelled events
    pub events: u64,
    /// frauds among them
    pub frauds: u64,
    /// mean score
    pub mean_score: f64,
    /// fraud share, with its Wilson interval
    pub fraud_share: Estimate,
}

/// What the scores cost where they are wrong, ready to be resampled.
pub(super) struct Losses {
    events: Ledger,
    log: Ledger,
    squared: Ledger,
    /// by bin: score less truth
    gaps: [Ledger; BINS],
}

impl Losses {
    pub(super) fn of(columns: &Columns) -> Losses {
        let (rows, accounts) = (&columns.rows, columns.accounts.len());
        let mut by_bin = [const { Vec::new() }; BINS];
        for row in rows {
            by_bin[bin_of(row.score)].push(*row);
        }
        Losses {
            events: Ledger::count(rows, accounts, |_| true),
            log: Ledger::of(rows, accounts, log_loss),
            squared: Ledger::of(rows, accounts, |row| (row.score - truth(row)).powi(2)),
            gaps: by_bin.map(|rows| Ledger::of(&rows, accounts, |row| row.score - truth(row))),
        }
    }

    /// Appends log loss, Brier score and expected calibration error.
    pub(super) fn figures(&self, weights: &[Weights], figures: &mut Figures) {
        let events = self.events.sum(weights);
        let (log, squared) = (self.log.sum(weights), self.squared.sum(weights));
        let mut gaps = [0.0; LANES];
        for bin in &self.gaps {
            for (gap, sum) in gaps.iter_mut().zip(bin.sum(weights)) {
                *gap += sum.abs();
            }
        }
        for lane in 0..LANES {
            let mean = |sum: f64| ratio(sum, events[lane]);
            figures[lane].extend([mean(log[lane]), mean(squared[lane]), mean(gaps[lane])]);
        }
    }

    /// With what [`Losses::figures`] appended.
    pub(super) fn read(
        columns: &Columns,
        estimates: &mut impl Iterator<Item = Estimate>,
    ) -> Calibration {
        let mut next = || estimates.next().unwrap_or_default();
        Calibration {
            log_loss: next(),
            brier: next(),
            expected_calibration_error: next(),
            bins: bins(&columns.rows),
        }
    }
}

fn bins(rows: &[Row]) -> Vec<Bin> {
    let mut sums = [(0_u64, 0_u64, 0.0); BINS];
    for row in rows {
        let (events, frauds, score) = &mut sums[bin_of(row.score)];
        *events += 1;
        *frauds += u64::from(row.is_fraud);
        *score += row.score;
    }
    let is_filled = |(_, (events, ..)): &(usize, (u64, u64, f64))| *events > 0;
    let bins = sums.into_iter().enumerate().filter(is_filled);
    bins.map(|(at, (events, frauds, score))| Bin {
        from: at as f64 / BINS as f64,
        to: (at + 1) as f64 / BINS as f64,
        events,
        frauds,
        mean_score: score / events as f64,
        fraud_share: wilson(frauds, events),
    })
    .collect()
}

fn bin_of(score: f64) -> usize {
    ((score * BINS as f64) as usize).min(BINS - 1)
}

fn truth(row: &Row) -> f64 {
    f64::from(u8::from(row.is_fraud))
}

fn log_loss(row: &Row) -> f64 {
    let score = row.score.clamp(CERTAIN, 1.0 - CERTAIN);
    -if row.is_fraud { score.ln() } else { (1.0 - score).ln() }
}

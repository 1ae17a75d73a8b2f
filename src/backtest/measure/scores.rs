//! How scores are spread, fraud and genuine apart.

use serde::Serialize;

use super::super::sample::Sample;
use super::columns::in_range;

/// Bins of equal width.
const BINS: usize = 25;

/// The events whose scores are near each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScoreBin {
    /// least score
    pub from: f64,
    /// up to this score; with it in the last bin alone
    pub to: f64,
    /// known frauds
    pub frauds: u64,
    /// known to be genuine
    pub genuine: u64,
    /// not labelled
    pub unlabelled: u64,
}

pub(super) fn scores(samples: &[Sample]) -> Vec<ScoreBin> {
    let bin = |at: usize| ScoreBin {
        from: at as f64 / BINS as f64,
        to: (at + 1) as f64 / BINS as f64,
        frauds: 0,
        genuine: 0,
        unlabelled: 0,
    };
    let mut bins: Vec<ScoreBin> = (0..BINS).map(bin).collect();
    for sample in samples {
        let at = (in_range(sample.score) * BINS as f64) as usize;
        let bin = &mut bins[at.min(BINS - 1)];
        *match sample.label {
            Some(true) => &mut bin.frauds,
            Some(false) => &mut bin.genuine,
            None => &mut bin.unlabelled,
        } += 1;
    }
    bins
}

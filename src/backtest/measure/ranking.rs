//! How well scores put fraud before the rest: AUC, average precision, lift, and the curves.
//!
//! Each of them changes only where a fraud is, going down from the highest score. So the order is kept
//! as steps: the genuine events above a score that has frauds, the genuine events of that very score,
//! the frauds of it. A resample then is a sum of weights between steps and a little
//! arithmetic at each.

use serde::Serialize;

use super::columns::Row;
use super::ledger::Ledger;
use super::resample::{Estimate, Figures, LANES, Lanes, Weights, ratio};

/// The shares of events, highest scores first, that lift is measured at.
pub const LIFT_SHARES: [f64; 3] = [0.01, 0.05, 0.10];

/// The precision that `recall_at_precision_90` asks for.
const PRECISION_WANTED: f64 = 0.90;

/// Places among what [`Ranking::figures`] appends.
pub(super) const AUC: usize = 0;
pub(super) const AVERAGE_PRECISION: usize = 1;

/// Recalls that precision is measured at: 1/20, 2/20, ... all.
const RECALLS: usize = 20;

/// The precision at a recall.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PrecisionAt {
    /// part of the frauds that is alerted at least
    pub recall: f64,
    /// frauds among the alerts at the highest threshold that reaches it
    pub precision: Estimate,
}

/// The lift of the highest scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lift {
    /// share of the labelled events, highest scores first
    pub share: f64,
    /// fraud share among them over the fraud share of all; where the cut falls among equal scores, that part
    /// of them counts
    pub lift: Estimate,
}

/// Labelled events in the order of their scores, highest first.
pub(super) struct Ranking {
    /// accounts of the events, step by step
    accounts: Vec<u32>,
    steps: Vec<Step>,
    /// labelled events by account
    events: Ledger,
    /// frauds by account
    frauds: Ledger,
}

/// Where the parts of a step end, in [`Ranking::accounts`]. What is after the last step is genuine.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// the genuine events of higher scores, after the step before
    above: usize,
    /// the genuine events of this score
    tied: usize,
    /// the frauds of this score
    frauds: usize,
}

impl Ranking {
    /// `rows` with accounts below `accounts`.
    pub(super) fn of(rows: &[Row], accounts: usize) -> Ranking {
        let mut order: Vec<(f64, bool, u32)> =
            rows.iter().map(|row| (row.score, row.is_fraud, row.account)).collect();
        // among equal scores the genuine come first
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut steps = Vec::new();
        let mut at = 0;
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            let genuine = group.partition_point(|event| !event.1);
            let (tied, frauds) = (at + genuine, at + group.len());
            if genuine < group.len() {
                steps.push(Step { above: at, tied, frauds });
            }
            at = frauds;
        }
        Ranking {
            accounts: order.into_iter().map(|event| event.2).collect(),
            steps,
            events: Ledger::count(rows, accounts, |_| true),
            frauds: Ledger::count(rows, accounts, |row| row.is_fraud),
        }
    }

    /// Appends AUC, average precision, recall at 90 % precision, lift at each of [`LIFT_SHARES`], and the
    /// precision at each of the [`RECALLS`].
    pub(super) fn figures(&self, weights: &[Weights], figures: &mut Figures) {
        let mut cuts = [[0.0; LANES]; LIFT_SHARES.len()];
        let (events, frauds_all) = (self.events.sum(weights), self.frauds.sum(weights));
        let mut reached = [[None; RECALLS]; LANES];
        let mut walks = events.map(|_| Walk::default());
        let mut from = 0;
        for step in &self.steps {
            let above = sum(&self.accounts[from..step.above], weights);
            let tied = sum(&self.accounts[step.above..step.tied], weights);
            let frauds = sum(&self.accounts[step.tied..step.frauds], weights);
            from = step.frauds;
            for lane in 0..LANES {
                let walk = &mut walks[lane];
                let before = *walk;
                walk.step(f64::from(above[lane]), f64::from(tied[lane]), f64::from(frauds[lane]));
                walk.reach(&mut reached[lane], frauds_all[lane]);
                for (cut, share) in cuts.iter_mut().zip(LIFT_SHARES) {
                    cut[lane] += walk.frauds_until(&before, share * events[lane]);
                }
            }
        }
        let rest = sum(&self.accounts[from..], weights);
        for lane in 0..LANES {
            let walk = &walks[lane];
            let genuine = walk.genuine + f64::from(rest[lane]);
            figures[lane].extend([
                ratio(walk.inversions, walk.frauds * genuine).map(|share| 1.0 - share),
                ratio(walk.precisions, walk.frauds),
                ratio(walk.frauds_at_precision, walk.frauds),
            ]);
            figures[lane].extend(cuts.iter().zip(LIFT_SHARES).map(|(cut, share)| {
                // fraud share of the cut over fraud share of all
                ratio(cut[lane], share * walk.frauds)
            }));
            figures[lane].extend(reached[lane]);
        }
    }

    /// The precisions at recalls that [`Ranking::figures`] appended.
    pub(super) fn precisions(estimates: &mut impl Iterator<Item = Estimate>) -> Vec<PrecisionAt> {
        let recalls = (1..=RECALLS).map(|at| at as f64 / RECALLS as f64);
        recalls
            .map(|recall| PrecisionAt { recall, precision: estimates.next().unwrap_or_default() })
            .collect()
    }
}

/// What was seen on the way down to a step.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    frauds: f64,
    genuine: f64,
    /// genuine events as high as the last step's frauds, a part of `genuine`
    tied: f64,
    /// pairs of a fraud and a genuine event above it; a half for one of the same score
    inversions: f64,
    /// the precision down to each fraud, summed
    precisions: f64,
    /// the most frauds that were reached with the precision wanted
    frauds_at_precision: f64,
    /// of the [`RECALLS`], those that were reached
    recalls: usize,
}

impl Walk {
    fn step(&mut self, above: f64, tied: f64, frauds: f64) {
        self.inversions += frauds * (self.genuine + above + tied / 2.0);
        self.genuine += above + tied;
        self.tied = tied;
        if frauds == 0.0 {
            return;
        }
        self.frauds += frauds;
        let precision = self.frauds / (self.frauds + self.genuine);
        self.precisions += frauds * precision;
        if precision >= PRECISION_WANTED {
            self.frauds_at_precision = self.frauds;
        }
    }

    /// Notes the precision of each recall that the last step reached.
    fn reach(&mut self, reached: &mut [Option<f64>; RECALLS], frauds_all: f64) {
        let is_reached = |recalls: usize| {
            recalls < RECALLS
                && self.frauds > 0.0
                // in whole numbers, which are exact
                && self.frauds * RECALLS as f64 >= (recalls + 1) as f64 * frauds_all
        };
        while is_reached(self.recalls) {
            reached[self.recalls] = ratio(self.frauds, self.frauds + self.genuine);
            self.recalls += 1;
        }
    }

    /// How many of the last step's frauds are among the first `events`: a part, where they end within
    /// its score.
    fn frauds_until(&self, before: &Walk, events: f64) -> f64 {
        let until = self.frauds + self.genuine;
        let group = self.frauds - before.frauds + self.tied;
        match ratio(events - (until - group), group) {
            Some(part) => part.clamp(0.0, 1.0) * (self.frauds - before.frauds),
            None => 0.0,
        }
    }
}

fn sum(accounts: &[u32], weights: &[Weights]) -> Lanes<u32> {
    let mut sum = [0; LANES];
    for account in accounts {
        for (sum, weight) in sum.iter_mut().zip(weights[*account as usize]) {
            *sum += u32::from(weight);
        }
    }
    sum
}

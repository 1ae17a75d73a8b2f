//! What the outcomes catch: alerts are the events that somebody looks at or that are stopped, REVIEW and
//! BLOCK. The other levels tell how much of it is which.

use serde::Serialize;

use super::super::sample::Sample;
use super::columns::Columns;
use super::ledger::Ledger;
use super::resample::{Estimate, Figures, LANES, Weights, ratio};
use crate::event::Outcome;

/// The least restrictive outcome that is an alert.
pub const ALERT: Outcome = Outcome::Review;

/// The levels that are measured.
const LEVELS: [Outcome; 3] = [Outcome::StepUp, ALERT, Outcome::Block];

/// What is decided at one level and above it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Alerts {
    /// the least restrictive outcome that counts
    pub outcome: Outcome,
    /// events, labelled or not
    pub events: u64,
    /// part of all events
    pub share: Option<f64>,
    /// frauds among them
    pub frauds: u64,
    /// genuine events among them
    pub genuine: u64,
    /// frauds among the labelled of them
    pub precision: Estimate,
    /// part of the frauds
    pub recall: Estimate,
    /// part of the genuine events
    pub false_positive_rate: Estimate,
}

/// The levels, ready to be resampled.
pub(super) struct Levels {
    /// frauds and genuine events by level
    caught: [(Ledger, Ledger); LEVELS.len()],
    frauds: Ledger,
    genuine: Ledger,
}

impl Levels {
    pub(super) fn of(columns: &Columns) -> Levels {
        let (rows, accounts) = (&columns.rows, columns.accounts.len());
        let caught = LEVELS.map(|level| {
            (
                Ledger::count(rows, accounts, |row| row.is_fraud && row.outcome >= level),
                Ledger::count(rows, accounts, |row| !row.is_fraud && row.outcome >= level),
            )
        });
        Levels {
            caught,
            frauds: Ledger::count(rows, accounts, |row| row.is_fraud),
            genuine: Ledger::count(rows, accounts, |row| !row.is_fraud),
        }
    }

    /// Appends the fraud share, then precision, recall and false positive rate of each level.
    pub(super) fn figures(&self, weights: &[Weights], figures: &mut Figures) {
        let (frauds, genuine) = (self.frauds.sum(weights), self.genuine.sum(weights));
        for lane in 0..LANES {
            figures[lane].push(ratio(frauds[lane], frauds[lane] + genuine[lane]));
        }
        for level in &self.caught {
            let (hits, alarms) = (level.0.sum(weights), level.1.sum(weights));
            for lane in 0..LANES {
                figures[lane].extend([
                    ratio(hits[lane], hits[lane] + alarms[lane]),
                    ratio(hits[lane], frauds[lane]),
                    ratio(alarms[lane], genuine[lane]),
                ]);
            }
        }
    }

    /// The levels, with what [`Levels::figures`] appended after the fraud share.
    pub(super) fn read(
        &self,
        samples: &[Sample],
        estimates: &mut impl Iterator<Item = Estimate>,
    ) -> Vec<Alerts> {
        let mut next = || estimates.next().unwrap_or_default();
        let levels = LEVELS.iter().zip(&self.caught);
        levels
            .map(|(level, (hits, alarms))| {
                let alerts = || samples.iter().filter(|sample| sample.outcome >= *level);
                let labelled = |is_fraud| {
                    alerts().filter(|sample| sample.label == Some(is_fraud)).count() as u64
                };
                let events = alerts().count() as u64;
                Alerts {
                    outcome: *level,
                    events,
                    share: ratio(events as f64, samples.len() as f64),
                    frauds: labelled(true),
                    genuine: labelled(false),
                    // one of the two is empty where all agree
                    precision: next().or_wilson(hits.accounts() + alarms.accounts()),
                    recall: next().or_wilson(self.frauds.accounts()),
                    false_positive_rate: next().or_wilson(self.genuine.accounts()),
                }
            })
            .collect()
    }
}

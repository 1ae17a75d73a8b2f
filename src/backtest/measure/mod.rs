//! How good decisions were, once it is known what was fraud; and whether a challenger's would have been
//! better.
//!
//! ```text
//! samples -> columns of the labelled ones -> rankings, sums by account -> figures -> resampled: intervals
//! ```
//!
//! Whatever compares decisions with the truth is measured over the labelled events alone; what is
//! not labelled counts in numbers of events and hits. Nothing here is ever NaN: where there is nothing
//! to divide by, a figure is `None`, in JSON `null`. The JSON of [`Measures`] and [`Comparison`] is
//! for programs: names stay as they are.

mod alerts;
mod calibration;
mod cards;
mod columns;
mod compare;
mod curve;
mod ledger;
mod matrix;
mod money;
mod options;
mod ranking;
mod resample;
mod rules;
mod scores;
#[cfg(test)]
mod tests;
mod verdict;
pub mod words;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::Serialize;

use super::sample::{Names, Sample};
use crate::event::{Millis, Outcome};

pub use alerts::{ALERT, Alerts};
pub use calibration::{Bin, Calibration};
pub use cards::{CardDay, CardPrecision};
pub use compare::{Comparison, Difference, Side};
pub use curve::{RecallAt, Threshold};
pub use matrix::{Cell, Change, Tally, Way};
pub use money::{Budget, Money};
pub use options::{Known, Options, REPLICATES_MAX};
pub use ranking::{LIFT_SHARES, Lift, PrecisionAt};
pub use resample::Estimate;
pub use rules::RuleHits;
pub use scores::ScoreBin;
pub use verdict::{Advice, Ground, Verdict};

/// Everything that is measured of what was decided.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// how it was measured
    pub options: Options,
    /// what it was measured over
    pub counts: Counts,
    /// frauds among the labelled events
    pub fraud_share: Estimate,
    /// how well scores put fraud first
    pub ranking: Ranking,
    /// what the outcomes caught, by level: STEP_UP and above, REVIEW and above, BLOCK
    pub alerts: Vec<Alerts>,
    /// what alerts at each threshold would have caught
    pub thresholds: Vec<Threshold>,
    /// what a team sees that looks at k accounts a day
    pub card_precision: CardPrecision,
    /// how far scores can be read as probabilities
    pub calibration: Calibration,
    /// what each rule brought, in the order of the names
    pub rules: Vec<RuleHits>,
    /// what it was worth
    pub money: Money,
    /// how scores are spread
    pub scores: Vec<ScoreBin>,
}

/// What was measured over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Counts {
    /// all events
    pub events: u64,
    /// those of which it is known whether they were fraud
    pub labelled: u64,
    /// those that were
    pub frauds: u64,
    /// those that were not
    pub genuine: u64,
    /// accounts with any event
    pub accounts: u64,
    /// accounts with a labelled event
    pub labelled_accounts: u64,
    /// accounts with a fraud
    pub fraud_accounts: u64,
    /// days of UTC with any event
    pub days: u64,
    /// time of the first event
    pub from: Option<Millis>,
    /// time of the last event
    pub until: Option<Millis>,
    /// events by outcome
    pub outcomes: BTreeMap<&'static str, u64>,
    /// events by kind
    pub kinds: BTreeMap<&'static str, u64>,
}

/// How well scores put fraud before the rest.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// area under the ROC curve; equal scores count half
    pub auc: Estimate,
    /// as scikit-learn defines it: the precision at each score, weighted by the recall it adds
    pub average_precision: Estimate,
    /// the most recall of any threshold whose precision is at least 90 %; 0 where none is
    pub recall_at_precision_90: Estimate,
    /// of the highest 1, 5 and 10 % of the scores
    pub lift: Vec<Lift>,
    /// the precision at recalls of 5, 10, ... 100 %
    pub precision_at_recalls: Vec<PrecisionAt>,
    /// the most recall at false positive rates of 0.01 to 10 %
    pub recall_at_rates: Vec<RecallAt>,
    /// precision, recall and false positive rate by threshold, thinned to what a plot shows
    pub curve: Vec<Threshold>,
}

impl Measures {
    /// Of decided events, in any order.
    pub fn of(samples: &[Sample], names: &Names, options: &Options) -> Measures {
        let columns = columns::Columns::of(samples, |sample| Some((sample.outcome, sample.score)));
        let accounts = columns.accounts.len();
        let ranking = ranking::Ranking::of(&columns.rows, accounts);
        let levels = alerts::Levels::of(&columns);
        let losses = calibration::Losses::of(&columns);
        let cards = cards::Cards::of(&columns, options);
        let purse = money::Purse::of(&columns, options);
        let resampled = resample::Resampled::of(&columns, options, |weights| {
            let mut figures = resample::Figures::default();
            ranking.figures(weights, &mut figures);
            levels.figures(weights, &mut figures);
            losses.figures(weights, &mut figures);
            cards.figures(weights, &mut figures);
            purse.figures(weights, &mut figures);
            figures
        });
        // read in the order they were appended in
        let mut estimates = resampled.estimates();
        let curve = curve::Curve::of(&columns.rows);
        let ranking = Ranking::read(&curve, &mut estimates);
        Measures {
            options: options.clone(),
            counts: Counts::of(samples, &columns),
            ranking,
            fraud_share: estimates.next().unwrap_or_default(),
            alerts: levels.read(samples, &mut estimates),
            calibration: calibration::Losses::read(&columns, &mut estimates),
            card_precision: cards.read(&mut estimates),
            money: purse.read(options, accounts, &mut estimates),
            thresholds: curve.table(),
            rules: rules::rules(samples, names),
            scores: scores::scores(samples),
        }
    }
}

impl Ranking {
    fn read(curve: &curve::Curve, estimates: &mut impl Iterator<Item = Estimate>) -> Ranking {
        let mut next = || estimates.next().unwrap_or_default();
        Ranking {
            auc: next(),
            average_precision: next(),
            recall_at_precision_90: next(),
            lift: LIFT_SHARES.map(|share| Lift { share, lift: next() }).to_vec(),
            precision_at_recalls: ranking::Ranking::precisions(estimates),
            recall_at_rates: curve.at_rates(),
            curve: curve.thinned(),
        }
    }
}

impl Counts {
    fn of(samples: &[Sample], columns: &columns::Columns) -> Counts {
        let mut outcomes: BTreeMap<&'static str, u64> =
            Outcome::ALL.iter().map(|outcome| (outcome.name(), 0)).collect();
        let mut kinds = BTreeMap::new();
        let mut accounts: Vec<u32> = samples.iter().map(|sample| sample.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        for sample in samples {
            *outcomes.entry(sample.outcome.name()).or_default() += 1;
            *kinds.entry(sample.kind.label()).or_default() += 1;
        }
        let days: BTreeSet<i64> =
            samples.iter().map(|sample| columns::day_of(sample.time)).collect();
        let times = || samples.iter().map(|sample| sample.time);
        Counts {
            events: samples.len() as u64,
            labelled: columns.rows.len() as u64,
            frauds: columns.frauds as u64,
            genuine: (columns.rows.len() - columns.frauds) as u64,
            accounts: accounts.len() as u64,
            labelled_accounts: columns.accounts.len() as u64,
            fraud_accounts: columns.fraud_accounts as u64,
            days: days.len() as u64,
            from: times().min(),
            until: times().max(),
            outcomes,
            kinds,
        }
    }
}

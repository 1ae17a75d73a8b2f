//! A challenger against what is live, over the same events.

use serde::Serialize;

use super::super::sample::{Names, Sample};
use super::alerts::ALERT;
use super::columns::{Columns, Row};
use super::curve::{Curve, Threshold};
use super::ledger::Ledger;
use super::matrix::{Cell, Change, cells, changes};
use super::options::Options;
use super::ranking::{self, Ranking};
use super::resample::{Estimate, Figures, LANES, Resampled, Weights, ratio};
use super::verdict::{Differences, Verdict};
use crate::event::Outcome;

/// A challenger against what is live: what would change, and whether for the better.
///
/// Intervals of the differences are paired: both are measured over the same resample, so that what they
/// have in common cancels out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// name of the challenger
    pub challenger: String,
    /// events that both decided
    pub events: u64,
    /// labelled ones of them
    pub labelled: u64,
    /// frauds of them
    pub frauds: u64,
    /// part of the events that both decided alike
    pub agreement: Option<f64>,
    /// every pair of outcomes, the live one first, least restrictive first
    pub matrix: Vec<Cell>,
    /// what would change
    pub changes: Vec<Change>,
    /// what is live
    pub live: Side,
    /// the challenger
    pub other: Side,
    /// the challenger less what is live
    pub difference: Difference,
    /// whether to take it
    pub verdict: Verdict,
}

/// One of the two that are compared, over the labelled events. Amounts are in minor units.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// alerts among all events that both decided: REVIEW and BLOCK
    pub alerts: u64,
    /// part of those events
    pub alert_share: Option<f64>,
    /// frauds among the labelled alerts
    pub precision: Estimate,
    /// part of the frauds that is alerted
    pub recall: Estimate,
    /// as scikit-learn defines it
    pub average_precision: Estimate,
    /// area under the ROC curve
    pub auc: Estimate,
    /// amount of fraud alerted, less what the alerts cost
    pub net_minor: Estimate,
    /// amount of fraud alerted
    pub caught_minor: f64,
    /// amount of fraud not alerted
    pub missed_minor: f64,
    /// amount of genuine events alerted
    pub false_positive_minor: f64,
    /// what the labelled alerts cost to look at
    pub alerts_cost_minor: f64,
    /// precision and recall by threshold
    pub curve: Vec<Threshold>,
}

/// The challenger less what is live.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// in precision
    pub precision: Estimate,
    /// in recall
    pub recall: Estimate,
    /// in average precision
    pub average_precision: Estimate,
    /// in the area under the ROC curve
    pub auc: Estimate,
    /// in money, in minor units
    pub net_minor: Estimate,
}

/// Figures of a side, in this order: precision, recall, average precision, AUC, net amount.
const FIGURES: usize = 5;

impl Comparison {
    /// Of the challenger of that number; `None`: there is none.
    pub fn of(
        samples: &[Sample],
        names: &Names,
        challenger: usize,
        options: &Options,
    ) -> Option<Comparison> {
        let name = names.challengers.get(challenger)?;
        let judged = |sample: &Sample| {
            sample.challengers.get(challenger).map(|verdict| (verdict.outcome, verdict.score))
        };
        let live = Judged::of(samples, options, |sample| {
            judged(sample).map(|_| (sample.outcome, sample.score))
        });
        let other = Judged::of(samples, options, judged);
        let resampled = Resampled::of(&live.columns, options, |weights| {
            let mut figures = live.figures(weights);
            for (mine, theirs) in figures.iter_mut().zip(other.figures(weights)) {
                let differences = mine.iter().zip(&theirs);
                let differences = differences.map(|(live, other)| Some((*other)? - (*live)?));
                let differences: Vec<Option<f64>> = differences.collect();
                mine.extend(theirs);
                mine.extend(differences);
            }
            figures
        });
        let pairs = samples.iter().filter_map(|sample| Some((sample, judged(sample)?.0)));
        let pairs: Vec<(&Sample, Outcome)> = pairs.collect();
        let estimates: Vec<Estimate> = resampled.estimates().collect();
        let [live_alerts, other_alerts, alike] = counted(&pairs);
        let differences = Differences {
            average_precision: resampled.estimate(2 * FIGURES + 2, Verdict::LEFT_OUT),
            net_minor: resampled.estimate(2 * FIGURES + 4, Verdict::LEFT_OUT),
            alerts: (live_alerts, other_alerts),
        };
        Some(Comparison {
            challenger: name.clone(),
            events: pairs.len() as u64,
            labelled: live.columns.rows.len() as u64,
            frauds: live.columns.frauds as u64,
            agreement: ratio(alike as f64, pairs.len() as f64),
            matrix: cells(&pairs),
            changes: changes(&pairs),
            live: live.read(live_alerts, pairs.len(), &estimates),
            other: other.read(other_alerts, pairs.len(), &estimates[FIGURES..]),
            difference: Difference::read(&estimates[2 * FIGURES..]),
            verdict: Verdict::of(name, &live.columns, options, &differences),
        })
    }
}

/// Alerts of what is live, alerts of the challenger, events decided alike.
fn counted(pairs: &[(&Sample, Outcome)]) -> [u64; 3] {
    let count = |is_counted: &dyn Fn(Outcome, Outcome) -> bool| {
        pairs.iter().filter(|(sample, other)| is_counted(sample.outcome, *other)).count() as u64
    };
    [
        count(&|live, _| live >= ALERT),
        count(&|_, other| other >= ALERT),
        count(&|live, other| live == other),
    ]
}

impl Difference {
    fn read(estimates: &[Estimate]) -> Difference {
        Difference {
            precision: estimates[0],
            recall: estimates[1],
            average_precision: estimates[2],
            auc: estimates[3],
            net_minor: estimates[4],
        }
    }
}

/// What one of the two says of the labelled events, ready to be resampled.
struct Judged {
    columns: Columns,
    ranking: Ranking,
    frauds: Ledger,
    hits: Ledger,
    alerts: Ledger,
    fraud_minor: Ledger,
    caught_minor: Ledger,
    false_positive_minor: Ledger,
    cost: f64,
}

impl Judged {
    fn of(
        samples: &[Sample],
        options: &Options,
        judge: impl Fn(&Sample) -> Option<(Outcome, f64)>,
    ) -> Judged {
        let columns = Columns::of(samples, judge);
        let (rows, accounts) = (&columns.rows, columns.accounts.len());
        let count = |is_counted: fn(&Row) -> bool| Ledger::count(rows, accounts, is_counted);
        let amount = |is_counted: fn(&Row) -> bool| {
            Ledger::of(rows, accounts, |row| if is_counted(row) { row.amount } else { 0.0 })
        };
        Judged {
            ranking: Ranking::of(rows, accounts),
            frauds: count(|row| row.is_fraud),
            hits: count(|row| row.is_fraud && row.outcome >= ALERT),
            alerts: count(|row| row.outcome >= ALERT),
            fraud_minor: amount(|row| row.is_fraud),
            caught_minor: amount(|row| row.is_fraud && row.outcome >= ALERT),
            false_positive_minor: amount(|row| !row.is_fraud && row.outcome >= ALERT),
            cost: options.alert_cost_minor as f64,
            columns,
        }
    }

    /// The [`FIGURES`].
    fn figures(&self, weights: &[Weights]) -> Figures {
        let mut ranked = Figures::default();
        self.ranking.figures(weights, &mut ranked);
        let (hits, alerts) = (self.hits.sum(weights), self.alerts.sum(weights));
        let (frauds, caught) = (self.frauds.sum(weights), self.caught_minor.sum(weights));
        let mut figures = Figures::default();
        for lane in 0..LANES {
            figures[lane].extend([
                ratio(hits[lane], alerts[lane]),
                ratio(hits[lane], frauds[lane]),
                ranked[lane][ranking::AVERAGE_PRECISION],
                ranked[lane][ranking::AUC],
                (!self.columns.rows.is_empty()).then(|| caught[lane] - self.cost * alerts[lane]),
            ]);
        }
        figures
    }

    fn read(&self, alerts: u64, events: usize, estimates: &[Estimate]) -> Side {
        let once = vec![[1; LANES]; self.columns.accounts.len()];
        let total = |ledger: &Ledger| ledger.sum(&once)[0];
        Side {
            alerts,
            alert_share: ratio(alerts as f64, events as f64),
            precision: estimates[0].or_wilson(self.alerts.accounts()),
            recall: estimates[1].or_wilson(self.frauds.accounts()),
            average_precision: estimates[2],
            auc: estimates[3],
            net_minor: estimates[4],
            caught_minor: total(&self.caught_minor),
            missed_minor: total(&self.fraud_minor) - total(&self.caught_minor),
            false_positive_minor: total(&self.false_positive_minor),
            alerts_cost_minor: self.cost * total(&self.alerts),
            curve: Curve::of(&self.columns.rows).thinned(),
        }
    }
}

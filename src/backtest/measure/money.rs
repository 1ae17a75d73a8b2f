//! What the decisions are worth: fraud caught and missed, genuine payments in the way, and what a team
//! that can look at so many alerts a day would save.

use serde::Serialize;

use super::alerts::ALERT;
use super::columns::{Columns, Row};
use super::ledger::Ledger;
use super::options::Options;
use super::resample::{Estimate, Figures, LANES, Lanes, Weights};

/// Alerts a day at most that the curve goes to.
const BUDGET_MAX: u32 = 5_000;

/// What the labelled events and their outcomes come to. All amounts are in minor units.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
pub struct Money {
    /// currency of the amounts, as shown
    pub currency: String,
    /// decimal digits of its minor unit
    pub minor_digits: u8,
    /// what it costs to look at one alert
    pub alert_cost_minor: i64,
    /// alerts among the labelled events
    pub alerts: u64,
    /// amount of all frauds
    pub fraud_minor: f64,
    /// amount of the frauds that were alerted
    pub caught_minor: f64,
    /// amount of those that were not
    pub missed_minor: f64,
    /// amount of the genuine events that were alerted
    pub false_positive_minor: f64,
    /// `caught_minor` less what all alerts cost
    pub net_minor: Estimate,
    /// part of the fraud amount that was caught
    pub caught_share: Estimate,
    /// days of UTC that have a labelled event
    pub days: u64,
    /// by alerts a day, the highest scores of each day being alerted
    pub budget: Vec<Budget>,
}

/// What so many alerts a day would save. Means over the days, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Budget {
    /// alerts a day that somebody has time for
    pub alerts_per_day: u32,
    /// alerts a day that there were events for
    pub used_per_day: f64,
    /// amount of fraud among them
    pub caught_minor: f64,
    /// that less what they cost
    pub net_minor: Estimate,
}

/// The money, ready to be resampled.
pub(super) struct Purse {
    fraud: Ledger,
    caught: Ledger,
    false_positive: Ledger,
    alerts: Ledger,
    cost: f64,
    ladder: Vec<u32>,
    days: Vec<Vec<Alert>>,
}

/// One event of a day, highest scores first.
#[derive(Clone, Copy)]
struct Alert {
    score: f64,
    account: u32,
    /// what is saved
    amount: f64,
}

/// Alerts, amount caught: of one step of the ladder.
#[derive(Clone, Copy, Default)]
struct Spent {
    alerts: f64,
    caught: f64,
}

impl Purse {
    pub(super) fn of(columns: &Columns, options: &Options) -> Purse {
        let (rows, accounts) = (&columns.rows, columns.accounts.len());
        let amount_of = |is_counted: fn(&Row) -> bool| {
            Ledger::of(rows, accounts, |row| if is_counted(row) { row.amount } else { 0.0 })
        };
        let days: Vec<Vec<Alert>> =
            columns.days().into_iter().map(|(_, rows)| by_score(&rows)).collect();
        let most = days.iter().map(Vec::len).max().unwrap_or(0);
        Purse {
            fraud: amount_of(|row| row.is_fraud),
            caught: amount_of(|row| row.is_fraud && row.outcome >= ALERT),
            false_positive: amount_of(|row| !row.is_fraud && row.outcome >= ALERT),
            alerts: Ledger::count(rows, accounts, |row| row.outcome >= ALERT),
            cost: options.alert_cost_minor as f64,
            ladder: ladder(u32::try_from(most).unwrap_or(u32::MAX)),
            days,
        }
    }

    /// Appends net amount and share caught, then the net amount of each step of the budget.
    pub(super) fn figures(&self, weights: &[Weights], figures: &mut Figures) {
        let (fraud, caught) = (self.fraud.sum(weights), self.caught.sum(weights));
        let alerts = self.alerts.sum(weights);
        let budget = self.budget(weights);
        for lane in 0..LANES {
            let net = caught[lane] - self.cost * alerts[lane];
            figures[lane].push((!self.days.is_empty()).then_some(net));
            figures[lane].push(super::resample::ratio(caught[lane], fraud[lane]));
            figures[lane]
                .extend(budget.iter().map(|spent| Some(self.net(spent[lane]) / self.day_count())));
        }
    }

    /// With what [`Purse::figures`] appended.
    pub(super) fn read(
        &self,
        options: &Options,
        accounts: usize,
        estimates: &mut impl Iterator<Item = Estimate>,
    ) -> Money {
        let once = vec![[1; LANES]; accounts];
        let total = |ledger: &Ledger| ledger.sum(&once)[0];
        let mut next = || estimates.next().unwrap_or_default();
        let (net_minor, caught_share) = (next(), next());
        let budget = self.ladder.iter().zip(self.budget(&once)).map(|(step, spent)| Budget {
            alerts_per_day: *step,
            used_per_day: spent[0].alerts / self.day_count(),
            caught_minor: spent[0].caught / self.day_count(),
            net_minor: next(),
        });
        Money {
            budget: budget.collect(),
            currency: options.currency.clone(),
            minor_digits: options.minor_digits,
            alert_cost_minor: options.alert_cost_minor,
            alerts: total(&self.alerts) as u64,
            fraud_minor: total(&self.fraud),
            caught_minor: total(&self.caught),
            missed_minor: total(&self.fraud) - total(&self.caught),
            false_positive_minor: total(&self.false_positive),
            net_minor,
            caught_share,
            days: self.days.len() as u64,
        }
    }

    fn day_count(&self) -> f64 {
        self.days.len().max(1) as f64
    }

    fn net(&self, spent: Spent) -> f64 {
        spent.caught - self.cost * spent.alerts
    }

    /// What each step of the ladder spends and catches, over all days.
    fn budget(&self, weights: &[Weights]) -> Vec<Lanes<Spent>> {
        let mut budget = vec![[Spent::default(); LANES]; self.ladder.len()];
        let most = f64::from(self.ladder.last().copied().unwrap_or(0));
        for day in &self.days {
            let mut seen = [Spent::default(); LANES];
            for group in day.chunk_by(|a, b| a.score == b.score) {
                let here = sum(group, weights);
                for lane in 0..LANES {
                    take(&mut budget, &self.ladder, lane, seen[lane], here[lane]);
                    seen[lane].alerts += here[lane].alerts;
                    seen[lane].caught += here[lane].caught;
                }
                if seen.iter().all(|seen| seen.alerts >= most) {
                    break;
                }
            }
        }
        budget
    }
}

/// Gives each step of the ladder its part of a group of equal scores: all of it, what is left of the
/// step, or nothing.
fn take(budget: &mut [Lanes<Spent>], ladder: &[u32], lane: usize, seen: Spent, here: Spent) {
    if here.alerts == 0.0 {
        return;
    }
    for (spent, step) in budget.iter_mut().zip(ladder).rev() {
        let left = f64::from(*step) - seen.alerts;
        if left <= 0.0 {
            return;
        }
        let part = (left / here.alerts).min(1.0);
        spent[lane].alerts += part * here.alerts;
        spent[lane].caught += part * here.caught;
    }
}

fn sum(group: &[Alert], weights: &[Weights]) -> Lanes<Spent> {
    let mut sum = [Spent::default(); LANES];
    for alert in group {
        for (sum, weight) in sum.iter_mut().zip(weights[alert.account as usize]) {
            sum.alerts += f64::from(weight);
            sum.caught += f64::from(weight) * alert.amount;
        }
    }
    sum
}

fn by_score(rows: &[Row]) -> Vec<Alert> {
    let alert = |row: &Row| Alert {
        score: row.score,
        account: row.account,
        amount: if row.is_fraud { row.amount } else { 0.0 },
    };
    let mut alerts: Vec<Alert> = rows.iter().map(alert).collect();
    alerts.sort_unstable_by(|a, b| b.score.total_cmp(&a.score));
    alerts
}

/// 1, 2, 5, 10, 20, 50, ... up to what a day has or [`BUDGET_MAX`].
fn ladder(most: u32) -> Vec<u32> {
    let decades = std::iter::successors(Some(1_u32), |decade| decade.checked_mul(10));
    let steps = decades.flat_map(|decade| [1, 2, 5].map(|step| decade.saturating_mul(step)));
    steps.take_while(|step| *step <= most.min(BUDGET_MAX)).collect()
}

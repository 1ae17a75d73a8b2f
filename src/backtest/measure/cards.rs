//! Card precision at k per day: of the k accounts that look worst on a day, how many have a fraud on that
//! day. It is what a team that can look at k accounts a day would see.
//!
//! After "Reproducible Machine Learning for Credit Card Fraud Detection", chapter 4: each day accounts
//! are ranked by their highest score of the day, and the frauds among the first k are divided by k, however
//! many accounts there are. Equal scores are ranked in an order that has nothing to do with the accounts.

use std::collections::HashSet;

use serde::Serialize;

use super::columns::{Columns, Row, day_name};
use super::options::{Known, Options};
use super::resample::{Estimate, Figures, Weights};

/// Card precision, day by day.
#[derive(Clone, Debug, PartialEq, Default, Serialize)]
pub struct CardPrecision {
    /// accounts that are looked at in a day
    pub k: usize,
    /// mean over the days
    pub mean: Estimate,
    /// standard deviation over the days; `None`: fewer than two days
    pub deviation: Option<f64>,
    /// mean over the days of what a perfect ranking would reach
    pub best: Option<f64>,
    /// days in order
    pub days: Vec<CardDay>,
}

/// One day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CardDay {
    /// of UTC: 2026-03-01
    pub day: String,
    /// accounts that are ranked
    pub accounts: u64,
    /// those of them with a fraud on that day
    pub compromised: u64,
    /// those of them among the first k
    pub caught: u64,
    /// `caught / k`
    pub precision: f64,
}

/// Accounts ranked day by day, ready to be resampled.
pub(super) struct Cards {
    k: u32,
    known: Known,
    days: Vec<(i64, Vec<Ranked>)>,
    accounts: usize,
}

/// An account on one day.
#[derive(Clone, Copy)]
struct Ranked {
    account: u32,
    is_fraud: bool,
}

impl Cards {
    pub(super) fn of(columns: &Columns, options: &Options) -> Cards {
        let compromised: HashSet<u32> = options.compromised.iter().copied().collect();
        let is_known = |row: &Row| compromised.contains(&columns.accounts[row.account as usize]);
        let days = columns.days().into_iter().map(|(day, mut rows)| {
            rows.retain(|row| !is_known(row));
            (day, ranked(columns, rows))
        });
        Cards {
            k: u32::try_from(options.k).unwrap_or(u32::MAX).max(1),
            known: options.known,
            days: days.collect(),
            accounts: columns.accounts.len(),
        }
    }

    /// Appends the mean over the days.
    pub(super) fn figures(&self, weights: &[Weights], figures: &mut Figures) {
        for (lane, figures) in figures.iter_mut().enumerate() {
            let mut sum = 0.0;
            let weight = |account: u32| weights[account as usize][lane];
            self.walk(weight, true, |_, day| sum += day.precision);
            figures.push((!self.days.is_empty()).then(|| sum / self.days.len() as f64));
        }
    }

    /// With the mean that [`Cards::figures`] appended.
    pub(super) fn read(&self, estimates: &mut impl Iterator<Item = Estimate>) -> CardPrecision {
        let mut days = Vec::with_capacity(self.days.len());
        self.walk(|_| 1, false, |day, counts| days.push(CardDay { day: day_name(day), ..counts }));
        let precisions: Vec<f64> = days.iter().map(|day| day.precision).collect();
        let k = u64::from(self.k);
        let best: Vec<f64> =
            days.iter().map(|day| day.compromised.min(k) as f64 / k as f64).collect();
        CardPrecision {
            k: self.k as usize,
            mean: estimates.next().unwrap_or_default(),
            deviation: deviation(&precisions),
            best: mean(&best),
            days,
        }
    }

    /// Each day in order, an account counting as often as its weight says. In haste, nothing is counted
    /// past the first k.
    fn walk(
        &self,
        weight: impl Fn(u32) -> u8,
        is_in_haste: bool,
        mut told: impl FnMut(i64, CardDay),
    ) {
        let mut is_out = vec![false; self.accounts];
        for (day, ranked) in &self.days {
            let mut counts = CardDay {
                day: String::new(),
                accounts: 0,
                compromised: 0,
                caught: 0,
                precision: 0.0,
            };
            let mut left = self.k;
            for Ranked { account, is_fraud } in ranked {
                if is_in_haste && left == 0 {
                    break;
                }
                let weight = u32::from(weight(*account));
                if weight == 0 || is_out[*account as usize] {
                    continue;
                }
                let taken = weight.min(left);
                left -= taken;
                counts.accounts += u64::from(weight);
                if *is_fraud {
                    counts.compromised += u64::from(weight);
                    counts.caught += u64::from(taken);
                    is_out[*account as usize] = taken > 0 && self.known == Known::LeftOut;
                }
            }
            counts.precision = counts.caught as f64 / f64::from(self.k);
            told(*day, counts);
        }
    }
}

/// The accounts of a day's rows by their highest score.
fn ranked(columns: &Columns, mut rows: Vec<Row>) -> Vec<Ranked> {
    rows.sort_unstable_by_key(|row| row.account);
    let mut accounts: Vec<(f64, u64, Ranked)> = rows
        .chunk_by(|a, b| a.account == b.account)
        .map(|events| {
            let score = events.iter().map(|row| row.score).fold(0.0, f64::max);
            let is_fraud = events.iter().any(|row| row.is_fraud);
            let account = events[0].account;
            let shuffled = shuffled(columns.accounts[account as usize]);
            (score, shuffled, Ranked { account, is_fraud })
        })
        .collect();
    accounts.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    accounts.into_iter().map(|account| account.2).collect()
}

/// A number for an account that has nothing to do with when the account was first seen: the
/// finalizer of splitmix64.
pub(super) fn shuffled(account: u32) -> u64 {
    let mut word = u64::from(account).wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

//! The labelled events as columns, with the accounts that have any numbered without gaps.

use std::collections::HashMap;

use super::super::sample::Sample;
use crate::event::{Millis, Outcome};

/// Milliseconds of a day of UTC.
const DAY_MS: i64 = 86_400_000;

/// The day of UTC that a time is in, counted from 1970-01-01.
pub(super) fn day_of(time: Millis) -> i64 {
    time.0.div_euclid(DAY_MS)
}

/// How that day is written: 2026-03-01.
pub(super) fn day_name(day: i64) -> String {
    let start = day.saturating_mul(DAY_MS);
    match jiff::Timestamp::from_millisecond(start) {
        Ok(start) => start.strftime("%Y-%m-%d").to_string(),
        Err(_) => format!("day {day}"),
    }
}

/// One labelled event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    /// number among the accounts that have a labelled event
    pub(super) account: u32,
    pub(super) day: i64,
    /// 0..1, whatever the sample says
    pub(super) score: f64,
    pub(super) outcome: Outcome,
    pub(super) is_fraud: bool,
    /// not negative
    pub(super) amount: f64,
}

/// All labelled events.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Columns {
    pub(super) rows: Vec<Row>,
    /// by number: the number that the account has in the samples
    pub(super) accounts: Vec<u32>,
    /// accounts with at least one fraud
    pub(super) fraud_accounts: usize,
    pub(super) frauds: usize,
}

impl Columns {
    /// Of the labelled ones of `samples`, judged by what `judge` says: outcome and score; events it knows
    /// nothing of are left out.
    pub(super) fn of(
        samples: &[Sample],
        judge: impl Fn(&Sample) -> Option<(Outcome, f64)>,
    ) -> Columns {
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        let mut accounts = Vec::new();
        let mut has_fraud = Vec::new();
        let mut rows = Vec::new();
        for sample in samples {
            let (Some(is_fraud), Some((outcome, score))) = (sample.label, judge(sample)) else {
                continue;
            };
            let account = *numbers.entry(sample.account).or_insert_with(|| {
                accounts.push(sample.account);
                has_fraud.push(false);
                accounts.len() as u32 - 1
            });
            has_fraud[account as usize] |= is_fraud;
            rows.push(Row {
                account,
                day: day_of(sample.time),
                score: in_range(score),
                outcome,
                is_fraud,
                amount: sample.amount_minor.max(0) as f64,
            });
        }
        let frauds = rows.iter().filter(|row| row.is_fraud).count();
        let fraud_accounts = has_fraud.iter().filter(|has| **has).count();
        Columns { rows, accounts, fraud_accounts, frauds }
    }

    /// The rows by day, days in order, each with the rows of that day.
    pub(super) fn days(&self) -> Vec<(i64, Vec<Row>)> {
        let mut by_day: std::collections::BTreeMap<i64, Vec<Row>> =
            std::collections::BTreeMap::new();
        for row in &self.rows {
            by_day.entry(row.day).or_default().push(*row);
        }
        by_day.into_iter().collect()
    }
}

/// A score within its contract: what is no number says nothing.
pub(super) fn in_range(score: f64) -> f64 {
    match score.is_finite() {
        true => score.clamp(0.0, 1.0),
        false => 0.0,
    }
}

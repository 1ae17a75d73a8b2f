//! Sums over events, kept by account: a resample then is a weighted sum over accounts.

use super::columns::Row;
use super::resample::{LANES, Lanes, Weights};

/// One sum over events, by account.
pub(super) struct Ledger {
    /// account and what its events add up to; accounts of nothing are left out
    entries: Vec<(u32, f64)>,
}

impl Ledger {
    /// The sum of `value` over `rows` with accounts below `accounts`.
    pub(super) fn of(rows: &[Row], accounts: usize, value: impl Fn(&Row) -> f64) -> Ledger {
        let mut sums = vec![0.0; accounts];
        for row in rows {
            sums[row.account as usize] += value(row);
        }
        let entries = (0..).zip(sums).filter(|(_, sum)| *sum != 0.0);
        Ledger { entries: entries.collect() }
    }

    /// The number of `rows` that `is_counted`.
    pub(super) fn count(
        rows: &[Row],
        accounts: usize,
        is_counted: impl Fn(&Row) -> bool,
    ) -> Ledger {
        Ledger::of(rows, accounts, |row| f64::from(u8::from(is_counted(row))))
    }

    /// The accounts that have any of it.
    pub(super) fn accounts(&self) -> usize {
        self.entries.len()
    }

    /// The sum in each lane.
    pub(super) fn sum(&self, weights: &[Weights]) -> Lanes<f64> {
        let mut sum = [0.0; LANES];
        for (account, value) in &self.entries {
            for (sum, weight) in sum.iter_mut().zip(weights[*account as usize]) {
                *sum += value * f64::from(weight);
            }
        }
        sum
    }
}

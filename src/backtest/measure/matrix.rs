//! The outcomes of two against each other: how many events each pair of outcomes has, and what would
//! change.

use serde::Serialize;

use super::super::sample::Sample;
use super::alerts::ALERT;
use crate::event::Outcome;

/// The events of one pair of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// what was decided
    pub live: Outcome,
    /// what the challenger would have decided
    pub other: Outcome,
    /// how many there are
    #[serde(flatten)]
    pub tally: Tally,
}

/// One way in which decisions would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// which way
    pub what: Way,
    /// how many there are
    #[serde(flatten)]
    pub tally: Tally,
}

/// The ways in which decisions change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// the challenger is more restrictive
    Stricter,
    /// the challenger is less restrictive
    Milder,
    /// only the challenger alerts: REVIEW or BLOCK
    AlertGained,
    /// only what is live alerts
    AlertLost,
    /// only the challenger blocks
    BlockGained,
    /// only what is live blocks
    BlockLost,
}

/// Events and their amounts in minor units; amounts below 0 count as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// all of them, labelled or not
    pub events: u64,
    /// known frauds
    pub frauds: u64,
    /// known to be genuine
    pub genuine: u64,
    /// of all
    pub amount_minor: i64,
    /// of the frauds
    pub fraud_minor: i64,
    /// of the genuine
    pub genuine_minor: i64,
}

impl Tally {
    fn add(&mut self, sample: &Sample) {
        let amount = sample.amount_minor.max(0);
        let add = |sum: &mut i64| *sum = sum.saturating_add(amount);
        self.events += 1;
        add(&mut self.amount_minor);
        match sample.label {
            Some(true) => {
                self.frauds += 1;
                add(&mut self.fraud_minor);
            }
            Some(false) => {
                self.genuine += 1;
                add(&mut self.genuine_minor);
            }
            None => {}
        }
    }
}

impl Way {
    const ALL: [Way; 6] = [
        Way::Stricter,
        Way::Milder,
        Way::AlertGained,
        Way::AlertLost,
        Way::BlockGained,
        Way::BlockLost,
    ];

    fn is_way(self, live: Outcome, other: Outcome) -> bool {
        let gains = |least: Outcome| live < least && other >= least;
        let loses = |least: Outcome| live >= least && other < least;
        match self {
            Way::Stricter => other > live,
            Way::Milder => other < live,
            Way::AlertGained => gains(ALERT),
            Way::AlertLost => loses(ALERT),
            Way::BlockGained => gains(Outcome::Block),
            Way::BlockLost => loses(Outcome::Block),
        }
    }
}

/// Every pair of outcomes, the live one first.
pub(super) fn cells(pairs: &[(&Sample, Outcome)]) -> Vec<Cell> {
    const N: usize = Outcome::ALL.len();
    let mut tallies = [[Tally::default(); N]; N];
    for (sample, other) in pairs {
        tallies[sample.outcome as usize][*other as usize].add(sample);
    }
    let cell = |live: Outcome, other: Outcome| Cell {
        live,
        other,
        tally: tallies[live as usize][other as usize],
    };
    let row = |live: Outcome| Outcome::ALL.map(|other| cell(live, other));
    Outcome::ALL.into_iter().flat_map(row).collect()
}

/// What would change, each way.
pub(super) fn changes(pairs: &[(&Sample, Outcome)]) -> Vec<Change> {
    let mut changes = Way::ALL.map(|what| Change { what, tally: Tally::default() });
    for (sample, other) in pairs {
        for change in &mut changes {
            if change.what.is_way(sample.outcome, *other) {
                change.tally.add(sample);
            }
        }
    }
    changes.to_vec()
}

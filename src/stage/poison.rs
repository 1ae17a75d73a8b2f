//! When bad input stops the process.
//!
//! One bad record is a dead letter. Very many at once are more likely a bad deploy of a producer or
//! of weir, and diverting them all would be the greater damage: then the process ends, nothing of
//! the last batch is committed, and somebody looks.

use std::collections::{HashMap, VecDeque};

use crate::event::{Position, Topic};

/// Past these the process stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoisonLimits {
    /// refused records among the last `window`, 0..1
    pub share: f64,
    /// records the share is taken of
    pub window: usize,
    /// refused records in a row of one partition of a topic
    pub run: usize,
}

/// A limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TooMuchPoison {
    /// too many in a row
    #[error("{run} records in a row were refused, the last at {last}, the limit is {limit}")]
    Run {
        /// where the last of them stands
        last: Position,
        /// how many
        run: usize,
        /// how many are allowed
        limit: usize,
    },
    /// too many of the last ones
    #[error("{refused} of the last {window} records were refused, the limit is {limit}")]
    Share {
        /// how many
        refused: usize,
        /// of how many
        window: usize,
        /// how many are allowed
        limit: usize,
    },
}

/// Counts refused records.
#[derive(Clone, Debug)]
pub struct PoisonGauge {
    limits: PoisonLimits,
    /// the last `window` records, whether each was refused
    last: VecDeque<bool>,
    refused: usize,
    /// refused in a row, by input: others between them do not make one of them good
    runs: HashMap<(Topic, u32), usize>,
}

impl PoisonGauge {
    /// A gauge that has seen nothing.
    pub fn new(limits: PoisonLimits) -> PoisonGauge {
        let last = VecDeque::with_capacity(limits.window);
        PoisonGauge { limits, last, refused: 0, runs: HashMap::new() }
    }

    /// Counts a record.
    ///
    /// # Errors
    /// Which limit it passes.
    pub fn count(&mut self, at: Position, refused: bool) -> Result<(), TooMuchPoison> {
        if self.last.len() >= self.limits.window && self.last.pop_front() == Some(true) {
            self.refused -= 1;
        }
        self.last.push_back(refused);
        let Position { topic, partition, .. } = at;
        let run = self.runs.entry((topic, partition)).or_default();
        if !refused {
            *run = 0;
            return Ok(());
        }
        self.refused += 1;
        *run += 1;
        if *run > self.limits.run {
            let (run, limit) = (*run, self.limits.run);
            return Err(TooMuchPoison::Run { last: at, run, limit });
        }
        let limit = (self.limits.share * self.limits.window as f64) as usize;
        if self.refused > limit {
            let (refused, window) = (self.refused, self.limits.window);
            return Err(TooMuchPoison::Share { refused, window, limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PoisonLimits = PoisonLimits { share: 0.05, window: 1_000, run: 30 };

    fn at(partition: u32) -> Position {
        Position { topic: Topic::Chats, partition, offset: 0 }
    }

    #[test]
    fn scattered_poison_passes_and_a_run_or_a_flood_does_not() {
        let mut gauge = PoisonGauge::new(LIMITS);
        for i in 0..100_000 {
            assert_eq!(gauge.count(at(0), i % 25 == 0), Ok(()), "4 % at record {i}");
        }
        let mut gauge = PoisonGauge::new(LIMITS);
        // good records of another partition do not interrupt the run
        let passed = (0..1_000).find_map(|i| gauge.count(at(i % 2), i % 2 == 0).err());
        assert_eq!(passed, Some(TooMuchPoison::Run { last: at(0), run: 31, limit: 30 }));
        let mut gauge = PoisonGauge::new(LIMITS);
        let passed = (0..10_000).find_map(|i| gauge.count(at(0), i % 15 == 0).err());
        assert_eq!(passed, Some(TooMuchPoison::Share { refused: 51, window: 1_000, limit: 50 }));
    }
}

//! What was taken and is not committed yet.
//!
//! A position may be committed only when every escalation before it has come to an end at every
//! webhook. Two bounds keep that finite:
//!
//! - [`WINDOW_RECORDS`] and [`WINDOW_BYTES`]: escalations under way, which are held in memory whole;
//! - [`AHEAD_RECORDS`]: escalations taken past the oldest one under way, ended or not. It is what
//!   a crash makes receivers see again, and how far a single escalation that is retried for long
//!   lets the others go ahead.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Position, Topic};

/// Escalations under way at once.
pub(super) const WINDOW_RECORDS: usize = 1_024;
/// Bytes of the escalations under way, bodies included; one is always let in.
pub(super) const WINDOW_BYTES: usize = 16 << 20;
/// Escalations of one partition between the committed position and the last one taken.
pub(super) const AHEAD_RECORDS: usize = 16_384;

const _: () = assert!(WINDOW_RECORDS <= AHEAD_RECORDS);

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    /// webhooks at which it has not come to an end
    left: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Lane {
    entries: VecDeque<Entry>,
    /// everything before has come to an end
    position: i64,
    committed: i64,
}

/// The escalations of the partitions owned.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lanes: BTreeMap<u32, Lane>,
    under_way: usize,
    bytes: usize,
}

impl Ledger {
    /// Begins a partition at its committed position.
    pub(super) fn start(&mut self, partition: u32, committed: i64) {
        let lane = Lane { entries: VecDeque::new(), position: committed, committed };
        self.lanes.insert(partition, lane);
    }

    /// Whether another escalation of that partition may be taken.
    pub(super) fn has_room(&self, partition: u32) -> bool {
        let window = self.under_way < WINDOW_RECORDS && self.bytes < WINDOW_BYTES;
        let lane = self.lanes.get(&partition);
        window && lane.is_none_or(|lane| lane.entries.len() < AHEAD_RECORDS)
    }

    /// Takes an escalation of `bytes` that has to come to `ends` ends.
    pub(super) fn take(&mut self, position: Position, bytes: usize, ends: usize) {
        if let Some(lane) = self.lanes.get_mut(&position.partition) {
            let offset = position.offset;
            let last = lane.entries.back().map(|last| last.offset);
            debug_assert!(last < Some(offset), "{last:?} before {offset}");
            lane.entries.push_back(Entry { offset, left: ends, bytes });
            self.under_way += 1;
            self.bytes += bytes;
        }
    }

    /// An escalation has come to one of its ends.
    pub(super) fn end(&mut self, position: Position) {
        let Some(lane) = self.lanes.get_mut(&position.partition) else {
            return;
        };
        let found = lane.entries.binary_search_by_key(&position.offset, |entry| entry.offset);
        let Some(entry) = found.ok().and_then(|at| lane.entries.get_mut(at)) else {
            return;
        };
        entry.left = entry.left.saturating_sub(1);
        if entry.left > 0 {
            return;
        }
        self.under_way -= 1;
        self.bytes -= entry.bytes;
        while let Some(entry) = lane.entries.front().filter(|entry| entry.left == 0) {
            lane.position = entry.offset + 1;
            lane.entries.pop_front();
        }
    }

    /// The positions that may be committed and are not.
    pub(super) fn due(&self) -> Vec<Position> {
        let due = |(partition, lane): (&u32, &Lane)| {
            (lane.position > lane.committed).then_some(Position {
                topic: Topic::Escalations,
                partition: *partition,
                offset: lane.position,
            })
        };
        self.lanes.iter().filter_map(due).collect()
    }

    /// These positions are committed.
    pub(super) fn committed(&mut self, positions: &[Position]) {
        for position in positions {
            if let Some(lane) = self.lanes.get_mut(&position.partition) {
                lane.committed = position.offset;
            }
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0
    }
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom as _;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn at(partition: u32, offset: i64) -> Position {
        Position { topic: Topic::Escalations, partition, offset }
    }

    #[test]
    fn what_is_due_never_passes_anything_under_way_whatever_the_order_of_ends() {
        for seed in 0..50 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut ledger = Ledger::default();
            let mut ends = Vec::new();
            for partition in 0..3 {
                let mut offset = rng.random_range(0..5);
                ledger.start(partition, offset);
                for _ in 0..100 {
                    // offsets of a log with transactions have gaps
                    offset += rng.random_range(0..3);
                    let times = rng.random_range(1..4);
                    ledger.take(at(partition, offset), 10, times);
                    ends.extend(std::iter::repeat_n(at(partition, offset), times));
                    offset += 1;
                }
            }
            ends.shuffle(&mut rng);
            while let Some(end) = ends.pop() {
                ledger.end(end);
                let due = ledger.due();
                for position in &due {
                    let least = ends
                        .iter()
                        .filter(|end| end.partition == position.partition)
                        .map(|end| end.offset)
                        .min();
                    assert!(least.is_none_or(|least| position.offset <= least), "seed {seed}");
                }
                ledger.committed(&due);
                assert_eq!(ledger.due(), [], "seed {seed}");
            }
            assert!(ledger.is_idle() && ledger.bytes == 0, "seed {seed}");
            let behind = ledger.lanes.values().map(|lane| lane.entries.len());
            assert_eq!(behind.sum::<usize>(), 0, "seed {seed}");
        }
    }

    #[test]
    fn records_bytes_and_the_distance_ahead_are_bounded() {
        let mut ledger = Ledger::default();
        ledger.start(0, 0);
        ledger.take(at(0, 0), WINDOW_BYTES, 1);
        assert!(!ledger.has_room(0), "bytes");
        ledger.end(at(0, 0));
        let mut taken = 1;
        while ledger.has_room(0) {
            ledger.take(at(0, taken), 1, 2);
            taken += 1;
        }
        assert_eq!(taken, 1 + WINDOW_RECORDS as i64);
        // all but the first come to their ends, and as many more as may go ahead of it
        for offset in 2.. {
            ledger.end(at(0, offset));
            ledger.end(at(0, offset));
            if !ledger.has_room(0) {
                break;
            }
            ledger.take(at(0, taken), 1, 2);
            taken += 1;
        }
        assert_eq!(taken, 1 + AHEAD_RECORDS as i64);
        assert!(ledger.has_room(1), "another partition is not held up");
    }
}

//! One order out of several inputs.
//!
//! A partition's inputs are merged at their heads by (event time, rank of the topic, offset). The
//! merge has no memory: what comes next depends on the heads alone, so that it goes on alike from
//! any committed positions. A record whose time cannot be read is taken at once, which is where its
//! predecessor's time would have put it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::event::{Millis, Position, Topic};
use crate::log::Record;

/// When a partition's next record may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// from what is there, once every empty input was waited for this long
    Live {
        /// 0: not at all
        wait: Duration,
    },
    /// once every input has a head or has reached its end
    Strict,
}

#[derive(Debug)]
struct Lane {
    topic: Topic,
    heads: VecDeque<(Millis, Record)>,
    /// the offset after the last record that was delivered
    delivered: i64,
    /// where the input ends, for [`Merge::Strict`] and for whoever wants to know that all is done
    end: i64,
    paused: bool,
    /// memory of its records
    bytes: usize,
    /// since when it has none
    empty_since: Option<Instant>,
}

#[derive(Debug)]
struct Partition {
    number: u32,
    lanes: Vec<Lane>,
}

/// The inputs of all owned partitions.
#[derive(Debug)]
pub struct Lanes {
    mode: Merge,
    partitions: Vec<Partition>,
    /// whose turn it is, so that no partition waits for another
    turn: usize,
    buffered: usize,
}

impl Lanes {
    /// Lanes without partitions.
    pub fn new(mode: Merge) -> Lanes {
        Lanes { mode, partitions: Vec::new(), turn: 0, buffered: 0 }
    }

    /// Adds a partition: for each input topic its position and its declared end.
    pub fn add(&mut self, number: u32, inputs: &[(Topic, i64, i64)]) {
        let lane = |(topic, delivered, end): &(Topic, i64, i64)| Lane {
            topic: *topic,
            heads: VecDeque::new(),
            delivered: *delivered,
            end: *end,
            paused: false,
            bytes: 0,
            empty_since: None,
        };
        let mut lanes: Vec<Lane> = inputs.iter().map(lane).collect();
        lanes.sort_by_key(|lane| lane.topic.rank());
        self.partitions.push(Partition { number, lanes });
    }

    /// Takes a partition out, with what waits of it.
    pub fn remove(&mut self, number: u32) {
        self.partitions.retain(|partition| partition.number != number);
        let waiting = |partition: &Partition| -> usize {
            partition.lanes.iter().map(|lane| lane.heads.len()).sum()
        };
        self.buffered = self.partitions.iter().map(waiting).sum();
        self.turn = 0;
    }

    /// Whether this partition is there.
    pub fn has(&self, number: u32) -> bool {
        self.partitions.iter().any(|partition| partition.number == number)
    }

    /// Whether there is no partition.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Puts a delivered record in its lane; `time` is `None` where it cannot be read.
    pub fn push(&mut self, record: Record, time: Option<Millis>) {
        let Position { topic, partition, offset } = record.position;
        let lane = self
            .partitions
            .iter_mut()
            .find(|known| known.number == partition)
            .and_then(|known| known.lanes.iter_mut().find(|lane| lane.topic == topic));
        // a record of a partition that was given up meanwhile belongs to somebody else
        if let Some(lane) = lane {
            debug_assert!(
                offset >= lane.delivered,
                "{} before {}",
                record.position,
                lane.delivered
            );
            lane.delivered = offset + 1;
            lane.empty_since = None;
            lane.bytes += record.size();
            lane.heads.push_back((time.unwrap_or(Millis(i64::MIN)), record));
            self.buffered += 1;
        }
    }

    /// The next record, if one may be taken.
    pub fn next(&mut self, now: Instant) -> Option<(Millis, Record)> {
        if self.mode == Merge::Strict {
            return self.next_of_all(now);
        }
        let count = self.partitions.len();
        for i in 0..count {
            let at = (self.turn + i) % count;
            if let Some(taken) = self.partitions[at].next(self.mode, now) {
                self.turn = at;
                self.buffered -= 1;
                return Some(taken);
            }
        }
        None
    }

    /// The first record of all partitions, once each of them could say which of its own is first: what
    /// is remembered across partitions is then the same in every run.
    fn next_of_all(&mut self, now: Instant) -> Option<(Millis, Record)> {
        let mut first: Option<(Millis, u8, u32, usize)> = None;
        for (i, partition) in self.partitions.iter_mut().enumerate() {
            match partition.first(self.mode, now) {
                First::Waits => return None,
                First::AtEnd => {}
                First::Lane(lane, time) => {
                    let rank = partition.lanes[lane].topic.rank();
                    let found = (time, rank, partition.number, i);
                    first = Some(first.map_or(found, |known| known.min(found)));
                }
            }
        }
        let (.., partition) = first?;
        let taken = self.partitions[partition].next(self.mode, now)?;
        self.buffered -= 1;
        Some(taken)
    }

    /// Lets the next partition have its turn.
    pub fn rotate(&mut self) {
        if !self.partitions.is_empty() {
            self.turn = (self.turn + 1) % self.partitions.len();
        }
    }

    /// Records waiting.
    pub fn buffered(&self) -> usize {
        self.buffered
    }

    /// Whether every input was delivered and taken up to its declared end.
    pub fn at_end(&self) -> bool {
        self.partitions.iter().flat_map(|partition| &partition.lanes).all(Lane::at_end)
    }

    /// Calls `pause` for each lane that has become too full (`true`) or has room again (`false`).
    pub fn balance(
        &mut self,
        full: usize,
        room: usize,
        bytes_max: usize,
        mut pause: impl FnMut(Topic, u32, bool),
    ) {
        for partition in &mut self.partitions {
            for lane in &mut partition.lanes {
                let paused = match lane.paused {
                    false => lane.heads.len() >= full || lane.bytes >= bytes_max,
                    true => lane.heads.len() > room || lane.bytes > bytes_max / 2,
                };
                if paused != lane.paused {
                    lane.paused = paused;
                    pause(lane.topic, partition.number, paused);
                }
            }
        }
    }
}

impl Lane {
    fn at_end(&self) -> bool {
        self.heads.is_empty() && self.delivered >= self.end
    }
}

/// Where a partition's next record is.
enum First {
    /// in this lane, of this time
    Lane(usize, Millis),
    /// not known before more has come
    Waits,
    /// nowhere: there is none
    AtEnd,
}

impl Partition {
    fn next(&mut self, mode: Merge, now: Instant) -> Option<(Millis, Record)> {
        let First::Lane(lane, _) = self.first(mode, now) else { return None };
        let lane = &mut self.lanes[lane];
        let taken = lane.heads.pop_front()?;
        lane.bytes -= taken.1.size();
        Some(taken)
    }

    fn first(&mut self, mode: Merge, now: Instant) -> First {
        let mut first: Option<usize> = None;
        let mut missing = false;
        let mut least = Millis(i64::MAX);
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            match (lane.heads.front(), mode) {
                // lanes are in the order of their ranks, so the earlier one wins a tie
                (Some((time, _)), _) => {
                    if first.is_none() || *time < least {
                        (first, least) = (Some(i), *time);
                    }
                }
                (None, Merge::Strict) => missing |= !lane.at_end(),
                (None, Merge::Live { wait }) if !wait.is_zero() => {
                    let since = *lane.empty_since.get_or_insert(now);
                    missing |= now.saturating_duration_since(since) < wait;
                }
                (None, Merge::Live { .. }) => {}
            }
        }
        match first {
            _ if missing => First::Waits,
            Some(lane) => First::Lane(lane, least),
            None => First::AtEnd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(topic: Topic, partition: u32, offset: i64) -> Record {
        Record::new(Position { topic, partition, offset }, 0, None, b"", Vec::new())
    }

    fn lanes(mode: Merge, ends: &[(Topic, i64)]) -> Lanes {
        let mut lanes = Lanes::new(mode);
        let inputs: Vec<_> = ends.iter().map(|(topic, end)| (*topic, 0, *end)).collect();
        lanes.add(0, &inputs);
        lanes
    }

    fn drain(lanes: &mut Lanes) -> Vec<(Topic, i64)> {
        let now = Instant::now();
        std::iter::from_fn(|| lanes.next(now))
            .map(|(_, record)| (record.position.topic, record.position.offset))
            .collect()
    }

    const LIVE: Merge = Merge::Live { wait: Duration::ZERO };

    #[test]
    fn ties_go_by_rank_and_a_record_without_time_follows_its_predecessor() {
        let mut lanes = lanes(LIVE, &[(Topic::Transactions, 4), (Topic::Labels, 2)]);
        for (topic, offset, time) in [
            (Topic::Transactions, 0, Some(5)),
            (Topic::Transactions, 1, None),
            (Topic::Transactions, 2, Some(5)),
            (Topic::Labels, 0, Some(5)),
            (Topic::Labels, 1, Some(6)),
            (Topic::Transactions, 3, Some(6)),
        ] {
            lanes.push(record(topic, 0, offset), time.map(Millis));
        }
        let (t, l) = (Topic::Transactions, Topic::Labels);
        assert_eq!(drain(&mut lanes), [(l, 0), (t, 0), (t, 1), (t, 2), (l, 1), (t, 3)]);
        assert!(lanes.at_end());
    }

    #[test]
    fn strict_waits_for_every_input_up_to_its_end_and_no_further() {
        let mut lanes = lanes(
            Merge::Strict,
            &[(Topic::Transactions, 2), (Topic::Chats, 1), (Topic::Labels, 0)],
        );
        lanes.push(record(Topic::Transactions, 0, 0), Some(Millis(1)));
        assert_eq!(drain(&mut lanes), [], "a chat may still come that is earlier");
        lanes.push(record(Topic::Chats, 0, 0), Some(Millis(2)));
        assert_eq!(drain(&mut lanes), [(Topic::Transactions, 0)]);
        assert!(!lanes.at_end());
        lanes.push(record(Topic::Transactions, 0, 1), Some(Millis(3)));
        assert_eq!(drain(&mut lanes), [(Topic::Chats, 0), (Topic::Transactions, 1)]);
        assert!(lanes.at_end());
    }

    #[test]
    fn live_waits_for_an_empty_input_as_long_as_it_was_told() {
        let wait = Duration::from_millis(50);
        let mut lanes = lanes(Merge::Live { wait }, &[(Topic::Transactions, 9), (Topic::Chats, 9)]);
        lanes.push(record(Topic::Transactions, 0, 0), Some(Millis(5)));
        let start = Instant::now();
        assert!(lanes.next(start).is_none());
        assert!(lanes.next(start + wait / 2).is_none());
        lanes.push(record(Topic::Chats, 0, 0), Some(Millis(4)));
        let (_, first) = lanes.next(start + wait / 2).unwrap();
        assert_eq!(first.position.topic, Topic::Chats);
        assert!(lanes.next(start + wait / 2).is_none(), "the chats are empty again");
        assert!(lanes.next(start + wait * 2).is_some());
        // an input that has been empty for long is not waited for again at each record
        for offset in 1..50 {
            lanes.push(record(Topic::Transactions, 0, offset), Some(Millis(6)));
        }
        let taken = std::iter::from_fn(|| lanes.next(start + wait * 2)).count();
        assert_eq!(taken, 49);
    }

    proptest::proptest! {
        /// However the records are delivered, and wherever the merge is started again, strict gives
        /// one and the same order.
        #[test]
        fn strict_order_depends_on_the_inputs_alone(
            inputs in proptest::collection::vec(
                proptest::collection::vec(proptest::option::weighted(0.9, 0i64..20), 0..12), 3),
            deliveries in proptest::collection::vec(0usize..3, 0..80),
            restart in 0usize..30,
        ) {
            let topics = [Topic::Labels, Topic::Chats, Topic::Transactions];
            let ends: Vec<_> = topics.iter().zip(&inputs).map(|(t, i)| (*t, i.len() as i64)).collect();
            let push = |lanes: &mut Lanes, lane: usize, offset: usize| {
                lanes.push(record(topics[lane], 0, offset as i64), inputs[lane][offset].map(Millis));
            };
            // all at once
            let mut whole = lanes(Merge::Strict, &ends);
            for (lane, input) in inputs.iter().enumerate() {
                for offset in 0..input.len() {
                    push(&mut whole, lane, offset);
                }
            }
            let expected = drain(&mut whole);
            proptest::prop_assert_eq!(expected.len(), inputs.iter().map(Vec::len).sum::<usize>());

            // in dribs and drabs, with one restart from the positions reached
            let mut seen = Vec::new();
            let mut dribs = lanes(Merge::Strict, &ends);
            let mut next = [0usize; 3];
            for (step, lane) in deliveries.iter().copied().chain((0..3).cycle().take(120)).enumerate() {
                if step == restart {
                    let taken = |topic: Topic| seen.iter().filter(|(t, _)| *t == topic).count();
                    next = std::array::from_fn(|lane| taken(topics[lane]));
                    dribs = Lanes::new(Merge::Strict);
                    let at: Vec<_> = (0..3).map(|i| (topics[i], next[i] as i64, ends[i].1)).collect();
                    dribs.add(0, &at);
                }
                if next[lane] < inputs[lane].len() {
                    push(&mut dribs, lane, next[lane]);
                    next[lane] += 1;
                }
                seen.extend(drain(&mut dribs));
            }
            proptest::prop_assert_eq!(seen, expected);
        }
    }
}

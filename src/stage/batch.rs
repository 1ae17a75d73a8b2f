//! What one transaction will hold: outputs, positions, and what to count once it is committed.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::codec::{Contract, EncodeError, Encoder, TouchEncoder};
use crate::config::limits;
use crate::event::{
    Code, FailedStage, Kind, Millis, Outcome, OutcomeCount, Position, Rollup, RuleCount, Topic,
    TouchEvent,
};
use crate::log::{Record, RecordBatch};

const MINUTE_MS: i64 = 60_000;

/// One transaction in the making.
#[derive(Debug, Default)]
pub struct Batch {
    /// decisions, escalations, fired deadlines, dead letters, and the roll-up once it is sealed
    pub records: RecordBatch,
    /// input records in it
    pub taken: usize,
    /// next offset of every input it took from
    positions: BTreeMap<(Topic, u32), i64>,
    outcomes: BTreeMap<(i64, Kind, Outcome), i64>,
    rules: BTreeMap<(i64, Kind, String), i64>,
    tally: Tally,
    /// what it did to entities, by partition of the input
    touches: BTreeMap<u32, Touches>,
    touch_bytes: usize,
    /// records of touches, by partition, once it is sealed
    pub touch_records: BTreeMap<u32, i64>,
    /// where touches stand after it, if that is known
    pub touched_up_to: Vec<Position>,
    /// when its first record was taken up
    pub since: Option<Instant>,
    /// when records of it were written to their topics
    pub written: Sample,
}

/// A few of many numbers, evenly spaced in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    kept: Vec<i64>,
    seen: usize,
    /// one in so many is kept, a power of two
    spacing: u32,
}

impl Sample {
    /// Numbers kept at most.
    const MAX: usize = 16;

    fn add(&mut self, number: i64) {
        if self.seen & ((1 << self.spacing) - 1) == 0 {
            if self.kept.len() == Self::MAX {
                let mut nth = 0;
                self.kept.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
                self.spacing += 1;
            }
            if self.seen & ((1 << self.spacing) - 1) == 0 {
                self.kept.push(number);
            }
        }
        self.seen += 1;
    }

    /// Those that were kept.
    pub fn kept(&self) -> &[i64] {
        &self.kept
    }
}

/// Touches of one partition, encoded.
#[derive(Debug, Default)]
struct Touches {
    /// events in `items`
    count: usize,
    items: Vec<u8>,
    /// records that were full, each with what was decided before it was
    full: Vec<(Millis, usize, Vec<u8>)>,
}

/// What a batch did, for metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// records taken, by topic
    pub received: BTreeMap<Topic, u64>,
    /// decisions, by kind and outcome
    pub decisions: BTreeMap<(Kind, Outcome), u64>,
    /// escalations, by kind
    pub escalations: BTreeMap<Kind, u64>,
    /// repeated events, by topic
    pub duplicates: BTreeMap<Topic, u64>,
    /// events that came too late for windows to be whole, by topic
    pub late: BTreeMap<Topic, u64>,
    /// records given up, by stage and code
    pub refused: BTreeMap<(&'static str, &'static str), u64>,
    /// decisions made without something, by what
    pub degraded: BTreeMap<String, u64>,
    /// deadlines that fired, by stage
    pub fired: BTreeMap<String, u64>,
    /// accounts forgotten, by topic
    pub erased: BTreeMap<Topic, u64>,
}

impl Batch {
    /// Counts an input record as taken: its position will be committed with the batch.
    pub fn take(&mut self, record: &Record) {
        let position = record.position;
        self.written.add(record.timestamp_ms);
        self.since.get_or_insert_with(Instant::now);
        self.taken += 1;
        self.positions.insert((position.topic, position.partition), position.offset + 1);
        *self.tally.received.entry(position.topic).or_default() += 1;
    }

    /// Notes that a record was read that asks for nothing: its position will be committed with the
    /// batch.
    pub fn read_back(&mut self, position: Position) {
        self.positions.insert((position.topic, position.partition), position.offset + 1);
    }

    /// Holds a position that nothing was read beyond, so that a transaction of a partition that takes
    /// nothing of its input is fenced as any other.
    pub fn hold(&mut self, position: Position) {
        let Position { topic, partition, offset } = position;
        self.positions.entry((topic, partition)).or_insert(offset);
    }

    /// Stages of deadlines that fired in it.
    pub fn deadlines(&self) -> usize {
        self.tally.fired.values().sum::<u64>() as usize
    }

    /// Counts a stage of a deadline that fired.
    pub fn fired(&mut self, stage: &str) {
        *self.tally.fired.entry(stage.to_owned()).or_default() += 1;
    }

    /// Counts a decision and the rules that matched.
    pub fn decided<'a>(
        &mut self,
        kind: Kind,
        outcome: Outcome,
        at: Millis,
        rules: impl Iterator<Item = &'a str>,
    ) {
        let minute = at.0 - at.0.rem_euclid(MINUTE_MS);
        *self.outcomes.entry((minute, kind, outcome)).or_default() += 1;
        *self.tally.decisions.entry((kind, outcome)).or_default() += 1;
        for rule in rules {
            // a known rule of this batch is counted without copying its name
            let key = (minute, kind, rule);
            match self.rules.iter_mut().find(|((m, k, r), _)| (*m, *k, r.as_str()) == key) {
                Some((_, count)) => *count += 1,
                None => {
                    self.rules.insert((minute, kind, rule.to_owned()), 1);
                }
            }
        }
    }

    /// Notes what an event did to entities other than its account.
    ///
    /// # Errors
    /// When it does not fit its contract.
    pub fn touched(
        &mut self,
        encoder: &mut TouchEncoder,
        partition: u32,
        event: &TouchEvent<'_>,
        now: Millis,
    ) -> Result<(), EncodeError> {
        let touches = self.touches.entry(partition).or_default();
        if touches.items.len() >= limits().touch_bytes {
            let count = std::mem::take(&mut touches.count);
            touches.full.push((now, count, std::mem::take(&mut touches.items)));
        }
        let before = touches.items.len();
        encoder.event(event, &mut touches.items)?;
        touches.count += 1;
        self.touch_bytes += touches.items.len() - before;
        Ok(())
    }

    /// Bytes of everything it will send.
    pub fn bytes(&self) -> usize {
        self.records.bytes() + self.touch_bytes
    }

    /// Counts an escalation.
    pub fn escalated(&mut self, kind: Kind) {
        *self.tally.escalations.entry(kind).or_default() += 1;
    }

    /// Counts a decision that was made without something.
    pub fn degraded(&mut self, without: &str) {
        match self.tally.degraded.get_mut(without) {
            Some(count) => *count += 1,
            None => {
                self.tally.degraded.insert(without.to_owned(), 1);
            }
        }
    }

    /// Counts an event that came too late for windows to be whole.
    pub fn late(&mut self, topic: Topic) {
        *self.tally.late.entry(topic).or_default() += 1;
    }

    /// Counts a repeated event.
    pub fn repeated(&mut self, topic: Topic) {
        *self.tally.duplicates.entry(topic).or_default() += 1;
    }

    /// Counts a refused record.
    pub fn refused(&mut self, stage: FailedStage, code: Code) {
        *self.tally.refused.entry((stage.name(), code.name())).or_default() += 1;
    }

    /// Counts an account that was forgotten at its tombstone.
    pub fn erased(&mut self, topic: Topic) {
        *self.tally.erased.entry(topic).or_default() += 1;
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    /// The positions to commit.
    pub fn positions(&self) -> Vec<Position> {
        self.positions
            .iter()
            .map(|((topic, partition), offset)| Position {
                topic: *topic,
                partition: *partition,
                offset: *offset,
            })
            .collect()
    }

    /// What it did.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Adds the touches, each in the partition of its input, and the roll-up of everything counted,
    /// in the lowest partition taken from, so that the transaction carries a position of it.
    ///
    /// # Errors
    /// When the roll-up does not fit its contract.
    pub fn seal(&mut self, encoder: &mut Encoder, now: Millis) -> Result<(), EncodeError> {
        for (partition, touches) in std::mem::take(&mut self.touches) {
            let open = (now, touches.count, touches.items);
            self.touch_records.insert(partition, touches.full.len() as i64 + 1);
            for (until, count, items) in touches.full.into_iter().chain([open]) {
                self.records.push_with(Topic::Touches, partition, now.0, b"", |out| {
                    encoder.encode_touch(partition, until, count, &items, out);
                    Ok::<(), EncodeError>(())
                })?;
            }
        }
        if self.outcomes.is_empty() {
            return Ok(());
        }
        let outcomes = self.outcomes.iter().map(|((minute, kind, outcome), count)| OutcomeCount {
            minute: Millis(*minute),
            kind: *kind,
            outcome: *outcome,
            count: *count,
        });
        let rules = std::mem::take(&mut self.rules);
        let rules = rules.into_iter().map(|((minute, kind, rule), count)| RuleCount {
            minute: Millis(minute),
            kind,
            rule,
            count,
        });
        let rollup = Rollup { outcomes: outcomes.collect(), rules: rules.collect() };
        let partition = self.positions.keys().map(|(_, partition)| *partition).min().unwrap_or(0);
        self.records.push_with(Topic::Rollups, partition, now.0, b"", |out| {
            encoder.encode(Contract::Rollup, &rollup, out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Sample;

    #[test]
    fn a_sample_is_small_and_evenly_spaced() {
        for count in [0, 1, 15, 16, 17, 100, 5_000] {
            let mut sample = Sample::default();
            (0..count).for_each(|number| sample.add(number));
            let kept = sample.kept();
            assert!(kept.len() <= Sample::MAX && kept.len() >= (count as usize).min(8), "{count}");
            let gaps: Vec<i64> = kept.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(gaps.windows(2).all(|pair| pair[0] == pair[1]), "{count}: {kept:?}");
            // to the end
            let gap = gaps.first().copied().unwrap_or(1);
            assert!(kept.last().is_none_or(|last| last + gap >= count), "{count}: {kept:?}");
        }
    }
}

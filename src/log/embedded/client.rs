//! Readers and writers of the embedded log.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use rusqlite::{Connection, params};

use super::database::{Chunk, Database};
use super::{body, keys};
use crate::event::{Position, Topic};
use crate::log::faults::{Faults, Step};
use crate::log::{
    Appender, Consumer, Follower, LogError, Membership, Polled, Producer, Reader, Record,
    RecordBatch,
};

/// Bytes of records in one stored batch: what a reader has to take up at once.
const CHUNK_BYTES: usize = 512 * 1024;
/// Bytes fetched of one partition of one topic in one poll.
const FETCH_BYTES: usize = 128 * 1024;

pub(super) struct EmbeddedReader {
    database: Database,
    connection: Connection,
}

impl EmbeddedReader {
    pub(super) fn new(database: &Database) -> Result<EmbeddedReader, LogError> {
        Ok(EmbeddedReader { connection: database.connect()?, database: database.clone() })
    }

    fn rows(
        &self,
        from: Position,
        mut row: impl FnMut(i64, i64, &[u8]) -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        let failed = |error| self.database.error("read the log", error);
        let (low, high) = keys::partition_range(from.topic, from.partition);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT id, count, body FROM batch
                 WHERE id >= coalesce((SELECT max(id) FROM batch WHERE id >= ?1 AND id <= ?2), ?2)
                   AND id < ?3 ORDER BY id",
            )
            .map_err(failed)?;
        let mut rows = statement.query(params![low, keys::batch_id(from), high]).map_err(failed)?;
        while let Some(found) = rows.next().map_err(failed)? {
            let id = found.get(0).map_err(failed)?;
            let count = found.get(1).map_err(failed)?;
            let body = found.get_ref(2).map_err(failed)?;
            let body = body.as_blob().map_err(|_| LogError::Damaged {
                position: from,
                what: "the body is not a blob",
            })?;
            if !row(id, count, body)? {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Reader for EmbeddedReader {
    fn read(
        &mut self,
        from: Position,
        to: i64,
        bytes_max: usize,
        into: &mut Vec<Record>,
    ) -> Result<i64, LogError> {
        let mut next = from.offset;
        let mut bytes = 0;
        if from.offset >= to {
            return Ok(next);
        }
        self.rows(from, |id, count, stored| {
            let first = Position { offset: keys::offset(id), ..from };
            body::read(stored, first, count, from.offset, |record| {
                if record.position.offset >= to {
                    return false;
                }
                next = record.position.offset + 1;
                bytes += record.size();
                into.push(record);
                bytes < bytes_max
            })?;
            Ok(bytes < bytes_max && first.offset + count < to)
        })?;
        Ok(next)
    }
}

pub(super) struct EmbeddedFollower {
    reader: EmbeddedReader,
    database: Database,
    positions: BTreeMap<(Topic, u32), i64>,
}

impl EmbeddedFollower {
    pub(super) fn new(database: Database, from: &[Position]) -> Result<EmbeddedFollower, LogError> {
        let position = |p: &Position| ((p.topic, p.partition), p.offset);
        Ok(EmbeddedFollower {
            reader: EmbeddedReader::new(&database)?,
            database,
            positions: from.iter().map(position).collect(),
        })
    }
}

impl Follower for EmbeddedFollower {
    fn poll(&mut self, wait: Duration, into: &mut Vec<Record>) -> Result<(), LogError> {
        let positions = &self.positions;
        self.database.ends().wait(wait, |ends| {
            positions.iter().any(|(key, next)| ends.get(key).is_some_and(|end| end > next))
        });
        for ((topic, partition), next) in &mut self.positions {
            let end = self.database.ends().get(*topic, *partition);
            let from = Position { topic: *topic, partition: *partition, offset: *next };
            *next = self.reader.read(from, end, FETCH_BYTES, into)?;
        }
        Ok(())
    }
}

pub(super) struct EmbeddedConsumer {
    reader: EmbeddedReader,
    database: Database,
    faults: Faults,
    group: String,
    topics: Vec<Topic>,
    owned: Vec<u32>,
    announced: bool,
    positions: BTreeMap<(Topic, u32), i64>,
    paused: HashSet<(Topic, u32)>,
}

impl EmbeddedConsumer {
    pub(super) fn new(
        database: Database,
        faults: Faults,
        group: String,
        topics: Vec<Topic>,
        owned: Vec<u32>,
    ) -> Result<EmbeddedConsumer, LogError> {
        Ok(EmbeddedConsumer {
            reader: EmbeddedReader::new(&database)?,
            database,
            faults,
            group,
            topics,
            owned,
            announced: false,
            positions: BTreeMap::new(),
            paused: HashSet::new(),
        })
    }

    fn fetch(&mut self, into: &mut Vec<Record>) -> Result<(), LogError> {
        for ((topic, partition), next) in &mut self.positions {
            let end = self.database.ends().get(*topic, *partition);
            if *next >= end || self.paused.contains(&(*topic, *partition)) {
                continue;
            }
            let from = Position { topic: *topic, partition: *partition, offset: *next };
            *next = self.reader.read(from, end, FETCH_BYTES, into)?;
        }
        Ok(())
    }
}

impl Consumer for EmbeddedConsumer {
    fn poll(&mut self, wait: Duration, into: &mut Vec<Record>) -> Result<Polled, LogError> {
        self.faults.pass(Step::Poll)?;
        if !self.announced {
            self.announced = true;
            return Ok(Polled::Assigned(self.owned.clone()));
        }
        let before = into.len();
        self.fetch(into)?;
        if into.len() == before && !wait.is_zero() {
            let (positions, paused) = (&self.positions, &self.paused);
            self.database.ends().wait(wait, |ends| {
                positions.iter().any(|(key, next)| {
                    !paused.contains(key) && ends.get(key).is_some_and(|end| end > next)
                })
            });
            self.fetch(into)?;
        }
        Ok(Polled::Records)
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), LogError> {
        for partition in &self.owned {
            for topic in &self.topics {
                self.positions.entry((*topic, *partition)).or_insert(0);
            }
        }
        for position in positions {
            self.positions.insert((position.topic, position.partition), position.offset);
        }
        Ok(())
    }

    fn release(&mut self) {
        self.positions.clear();
        self.paused.clear();
    }

    fn pause(&mut self, topic: Topic, partition: u32, paused: bool) {
        if paused {
            self.paused.insert((topic, partition));
        } else {
            self.paused.remove(&(topic, partition));
        }
    }

    fn membership(&self) -> Membership {
        Membership { group: self.group.clone(), ..Membership::default() }
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), LogError> {
        self.faults.pass(Step::Commit)?;
        self.database.append(Vec::new(), &self.group, positions.to_vec())?;
        self.faults.pass(Step::Committed)
    }
}

/// Packs records into chunks of one partition each, in order.
fn chunks(batch: &RecordBatch) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut open: BTreeMap<(Topic, u32), usize> = BTreeMap::new();
    for record in batch.iter() {
        let key = (record.topic, record.partition);
        let at = match open.get(&key) {
            Some(at) if chunks[*at].body.len() < CHUNK_BYTES => *at,
            _ => {
                chunks.push(Chunk {
                    topic: record.topic,
                    partition: record.partition,
                    count: 0,
                    body: Vec::new(),
                });
                open.insert(key, chunks.len() - 1);
                chunks.len() - 1
            }
        };
        body::put(&record, &mut chunks[at].body);
        chunks[at].count += 1;
    }
    chunks
}

pub(super) struct EmbeddedProducer {
    database: Database,
    faults: Faults,
    chunks: Vec<Chunk>,
    group: String,
    positions: Vec<Position>,
}

impl EmbeddedProducer {
    pub(super) fn new(database: Database, faults: Faults) -> EmbeddedProducer {
        EmbeddedProducer {
            database,
            faults,
            chunks: Vec::new(),
            group: String::new(),
            positions: Vec::new(),
        }
    }
}

impl Producer for EmbeddedProducer {
    fn begin(&mut self) -> Result<(), LogError> {
        self.faults.pass(Step::Begin)?;
        self.chunks.clear();
        self.positions.clear();
        Ok(())
    }

    fn send(&mut self, batch: &RecordBatch) -> Result<(), LogError> {
        self.faults.pass(Step::Send)?;
        self.chunks = chunks(batch);
        self.faults.pass(Step::Sent)
    }

    fn send_positions(
        &mut self,
        positions: &[Position],
        membership: &Membership,
    ) -> Result<(), LogError> {
        self.group.clone_from(&membership.group);
        self.positions.extend_from_slice(positions);
        self.faults.pass(Step::PositionsSent)
    }

    fn commit(&mut self) -> Result<(), LogError> {
        self.faults.pass(Step::Commit)?;
        let chunks = std::mem::take(&mut self.chunks);
        let positions = std::mem::take(&mut self.positions);
        self.database.append(chunks, &self.group, positions)?;
        self.faults.pass(Step::Committed)
    }
}

pub(super) struct EmbeddedAppender {
    database: Database,
}

impl EmbeddedAppender {
    pub(super) fn new(database: Database) -> EmbeddedAppender {
        EmbeddedAppender { database }
    }
}

impl Appender for EmbeddedAppender {
    fn append(&mut self, batch: &RecordBatch) -> Result<(), LogError> {
        self.database.append(chunks(batch), "", Vec::new())
    }
}

//! The log: the seam between weir and whatever keeps its topics.
//!
//! ```text
//!            Consumer::poll ──► records ──► (the worker)
//!                                               │
//!   Producer: begin ─► send ─► send_positions ─► commit      one transaction:
//!                                                            outputs + input positions
//!   Reader: any range of any partition, without a group (restore, console, dead letters)
//! ```
//!
//! Two implementations: [`embedded`], one SQLite file held by one process, and Kafka. What the
//! worker may rely on, on both:
//!
//! - records of one partition arrive in offset order, and only committed ones arrive;
//! - what a transaction sent becomes visible with its positions, all of it or nothing;
//! - any error of a transaction leaves its outcome unknown: drop both clients and start again from
//!   [`Log::committed`];
//! - no call waits longer than the deadline it was given.

use std::fmt;
use std::time::Duration;

use crate::event::{Position, Topic};

pub mod embedded;
pub mod faults;

/// One record as it was read. Key and payload share one allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// where it stands
    pub position: Position,
    /// when it was written, milliseconds since 1970
    pub timestamp_ms: i64,
    key_len: Option<u32>,
    bytes: Box<[u8]>,
    /// name and value; almost always empty
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// A record with key and payload copied into one allocation.
    pub fn new(
        position: Position,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        payload: &[u8],
        headers: Vec<(String, Vec<u8>)>,
    ) -> Record {
        let key_bytes = key.unwrap_or_default();
        let mut bytes = Vec::with_capacity(key_bytes.len() + payload.len());
        bytes.extend_from_slice(key_bytes);
        bytes.extend_from_slice(payload);
        Record {
            position,
            timestamp_ms,
            key_len: key.map(|key| u32::try_from(key.len()).unwrap_or(u32::MAX)),
            bytes: bytes.into_boxed_slice(),
            headers,
        }
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&[u8]> {
        self.key_len.map(|len| &self.bytes[..len as usize])
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.key_len.unwrap_or(0) as usize..]
    }

    /// Memory it takes, in bytes, for whoever bounds a buffer.
    pub fn size(&self) -> usize {
        size_of::<Record>() + self.bytes.len()
    }
}

/// Records to be sent, packed in one buffer: no allocation per record.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    topic: Topic,
    partition: u32,
    timestamp_ms: i64,
    keyed: bool,
    key_start: usize,
    payload_start: usize,
    end: usize,
}

/// One record of a [`RecordBatch`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the parts of a record")]
pub struct Outgoing<'a> {
    pub topic: Topic,
    pub partition: u32,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub payload: &'a [u8],
}

impl RecordBatch {
    /// Appends a record whose payload `write` puts at the end of the buffer. What a failed `write`
    /// left behind is taken back.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn push_with<E>(
        &mut self,
        topic: Topic,
        partition: u32,
        timestamp_ms: i64,
        key: &[u8],
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let key_start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let payload_start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(key_start);
            return Err(error);
        }
        self.entries.push(Entry {
            topic,
            partition,
            timestamp_ms,
            keyed: true,
            key_start,
            payload_start,
            end: self.bytes.len(),
        });
        Ok(())
    }

    /// Takes the key of the last record away: requeued records keep what they had.
    pub fn last_without_key(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.keyed = false;
        }
    }

    /// Appends a record.
    pub fn push(
        &mut self,
        topic: Topic,
        partition: u32,
        timestamp_ms: i64,
        key: &[u8],
        payload: &[u8],
    ) {
        let written: Result<(), std::convert::Infallible> =
            self.push_with(topic, partition, timestamp_ms, key, |bytes| {
                bytes.extend_from_slice(payload);
                Ok(())
            });
        match written {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// The records, in the order they were appended.
    pub fn iter(&self) -> impl Iterator<Item = Outgoing<'_>> {
        self.entries.iter().map(|entry| Outgoing {
            topic: entry.topic,
            partition: entry.partition,
            timestamp_ms: entry.timestamp_ms,
            key: entry.keyed.then(|| &self.bytes[entry.key_start..entry.payload_start]),
            payload: &self.bytes[entry.payload_start..entry.end],
        })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and payloads, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Forgets the records from number `len` on.
    pub fn truncate(&mut self, len: usize) {
        if let Some(entry) = self.entries.get(len) {
            self.bytes.truncate(entry.key_start);
            self.entries.truncate(len);
        }
    }
}

/// What a poll brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// records, or none within the wait
    Records,
    /// these partitions of every subscribed topic are now ours; nothing of them is delivered before
    /// [`Consumer::start`]
    Assigned(Vec<u32>),
    /// these partitions go to somebody else: finish what is under way, then [`Consumer::release`].
    /// `lost`: they already went, and nothing can be committed for them any more
    Revoked {
        /// which
        partitions: Vec<u32>,
        /// whether they already went
        lost: bool,
    },
}

/// Proof of membership that goes with the positions of a transaction, taken once per assignment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// the consumer group
    pub group: String,
}

/// Reads the subscribed topics as a member of a group. Stays on the thread that made it.
pub trait Consumer {
    /// Waits at most `wait` for something to happen and appends what was fetched to `into`.
    ///
    /// # Errors
    /// A fatal one; the consumer is of no more use.
    fn poll(&mut self, wait: Duration, into: &mut Vec<Record>) -> Result<Polled, LogError>;

    /// Begins delivery of the assigned partitions at these positions.
    ///
    /// # Errors
    /// When the log does not reach back to one of them.
    fn start(&mut self, positions: &[Position]) -> Result<(), LogError>;

    /// Gives the revoked partitions up.
    fn release(&mut self);

    /// Stops (`true`) or goes on (`false`) with the delivery of one partition of one topic.
    fn pause(&mut self, topic: Topic, partition: u32, paused: bool);

    /// What proves that the assignment is still ours.
    fn membership(&self) -> Membership;

    /// Commits positions outside a transaction, for sinks.
    ///
    /// # Errors
    /// When they may not have been committed.
    fn commit(&mut self, positions: &[Position]) -> Result<(), LogError>;
}

/// Writes transactions. The order is begin, send, send_positions, commit; after any error the
/// producer is of no more use.
pub trait Producer: Send {
    /// Opens a transaction.
    ///
    /// # Errors
    /// When none can be opened, for instance because another producer took this identity over.
    fn begin(&mut self) -> Result<(), LogError>;

    /// Sends the records and waits until all of them have arrived.
    ///
    /// # Errors
    /// When one of them may not have arrived.
    fn send(&mut self, batch: &RecordBatch) -> Result<(), LogError>;

    /// Adds the positions of `membership`'s group to the transaction.
    ///
    /// # Errors
    /// When they were refused.
    fn send_positions(
        &mut self,
        positions: &[Position],
        membership: &Membership,
    ) -> Result<(), LogError>;

    /// Makes records and positions visible together.
    ///
    /// # Errors
    /// The outcome is unknown.
    fn commit(&mut self) -> Result<(), LogError>;
}

/// Appends records outside weir's own transactions: load generators, replays, requeued records.
pub trait Appender: Send {
    /// Appends the records and waits until they are durable.
    ///
    /// # Errors
    /// When one of them may not have been appended.
    fn append(&mut self, batch: &RecordBatch) -> Result<(), LogError>;
}

/// Reads any partition without being a member of a group. Only committed records.
pub trait Reader: Send {
    /// Appends records of one partition with offsets in `from..to` to `into`, about `bytes_max` of
    /// them and at least one if there is one. Returns the offset to go on from; `from` itself says
    /// that there is nothing yet.
    ///
    /// # Errors
    /// When the partition cannot be read.
    fn read(
        &mut self,
        from: Position,
        to: i64,
        bytes_max: usize,
        into: &mut Vec<Record>,
    ) -> Result<i64, LogError>;
}

/// Which share of a group a consumer takes on a log that does not assign partitions by itself.
#[derive(Clone, Debug)]
pub struct Member {
    /// name of the group
    pub group: String,
    /// number of this member, from 0
    pub index: u32,
    /// how many there are
    pub count: u32,
}

/// A log of topics.
pub trait Log: Send + Sync {
    /// A consumer of these topics, which must have equal partition counts.
    ///
    /// # Errors
    /// When the log cannot be reached or a topic is missing.
    fn consumer(&self, member: &Member, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError>;

    /// A transactional producer; an older one of the same identity is fenced off.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn producer(&self, identity: &str) -> Result<Box<dyn Producer>, LogError>;

    /// A plain appender.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn appender(&self) -> Result<Box<dyn Appender>, LogError>;

    /// A plain reader.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn reader(&self) -> Result<Box<dyn Reader>, LogError>;

    /// Number of partitions of a topic.
    ///
    /// # Errors
    /// When the topic is missing.
    fn partitions(&self, topic: Topic) -> Result<u32, LogError>;

    /// The offset after the last committed record.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn end(&self, topic: Topic, partition: u32) -> Result<i64, LogError>;

    /// The offset of the oldest record still there.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn beginning(&self, topic: Topic, partition: u32) -> Result<i64, LogError>;

    /// The group's committed position, `None` before its first commit.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn committed(&self, group: &str, topic: Topic, partition: u32)
    -> Result<Option<i64>, LogError>;

    /// Where the group goes on: its committed position, else the oldest record.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn resume(&self, group: &str, topic: Topic, partition: u32) -> Result<i64, LogError> {
        match self.committed(group, topic, partition)? {
            Some(offset) => Ok(offset),
            None => self.beginning(topic, partition),
        }
    }

    /// Whether the group has committed everything that is on these topics now.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn caught_up(&self, group: &str, topics: &[Topic]) -> Result<bool, LogError> {
        for topic in topics.iter().copied() {
            for partition in 0..self.partitions(topic)? {
                if self.resume(group, topic, partition)? < self.end(topic, partition)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// Why the log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// another process holds the data folder
    #[error("data folder {folder} is in use by another process{}", owner(.pid))]
    Locked {
        /// the folder
        folder: String,
        /// who holds it, if it said so
        pid: Option<u32>,
    },
    /// the data folder was written by a later weir
    #[error(
        "data folder {folder} has format {found}, this weir reads up to {supported}; use the newer weir"
    )]
    NewerFormat {
        /// the folder
        folder: String,
        /// its format
        found: i64,
        /// the newest one known here
        supported: i64,
    },
    /// no space left
    #[error("disk full: cannot {doing} in {folder}; free some space, nothing committed is lost")]
    DiskFull {
        /// the folder
        folder: String,
        /// what was tried
        doing: &'static str,
    },
    /// the folder cannot be used
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// what was tried
        doing: &'static str,
        /// on what
        path: String,
        /// why not
        source: std::io::Error,
    },
    /// SQLite said no
    #[error("cannot {doing}: {source}")]
    Sqlite {
        /// what was tried
        doing: &'static str,
        /// why not
        source: rusqlite::Error,
    },
    /// partition counts that cannot work together
    #[error("topic {topic} has {found} partitions, expected {expected}")]
    Partitions {
        /// which topic
        topic: Topic,
        /// how many it has
        found: u32,
        /// how many it should have
        expected: u32,
    },
    /// a stored batch that is not what was written
    #[error("{position}: stored batch is damaged: {what}")]
    Damaged {
        /// where
        position: Position,
        /// how
        what: &'static str,
    },
    /// the data folder was opened for reading only
    #[error("data folder {folder} was opened for reading only")]
    ReadOnly {
        /// the folder
        folder: String,
    },
    /// there is nothing to open
    #[error("no data in {folder}: {path} does not exist")]
    Missing {
        /// the folder
        folder: String,
        /// the file that should be there
        path: String,
    },
    /// the log is closed, for instance because its writer has ended
    #[error("log is closed")]
    Closed,
    /// a deadline passed
    #[error("{doing} took longer than {after:?}")]
    Timeout {
        /// what was waited for
        doing: &'static str,
        /// how long
        after: Duration,
    },
    /// a fault that a test asked for
    #[error("injected fault at {0}")]
    Injected(&'static str),
}

fn owner(pid: &Option<u32>) -> OwnerNote {
    OwnerNote(*pid)
}

struct OwnerNote(Option<u32>);

impl fmt::Display for OwnerNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}

/// The partition of a key: murmur2 as Java's producer does it, so that every producer agrees.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash: u32 = 0x9747_b28c ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    for (i, byte) in rest.iter().enumerate().rev() {
        hash ^= u32::from(*byte) << (8 * i);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_agree_with_javas_producer() {
        // values of org.apache.kafka.common.utils.UtilsTest.testMurmur2
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn a_failed_write_leaves_the_batch_as_it_was() {
        let mut batch = RecordBatch::default();
        batch.push(Topic::Decisions, 0, 1, b"k", b"payload");
        let failed = batch.push_with(Topic::Decisions, 0, 2, b"key2", |bytes| {
            bytes.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!((batch.len(), batch.bytes()), (1, 8));
        batch.push(Topic::Escalations, 1, 3, b"", b"x");
        let last = batch.iter().last().unwrap();
        assert_eq!((last.key, last.payload, last.partition), (Some(&b""[..]), &b"x"[..], 1));
        batch.truncate(1);
        assert_eq!((batch.len(), batch.bytes()), (1, 8));
    }
}

//! Where the topics are, and how their records are read: the seam between the judging, which knows
//! partitions, offsets and committed positions, and an embedded data folder or a Kafka cluster.
//!
//! Offsets ascend and may have gaps. A [`Log`] is read by one thread; further threads open the same
//! [`Place`] again and read the same records up to the same ends.

mod batch;
mod embedded;
mod kafka;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use rusqlite::Connection;

use crate::contract::{ERASE_HEADER, Topic};
use crate::error::Unreadable;

pub use embedded::open_tables;
pub use kafka::{Cluster, OWN_SETTINGS};

/// One record of a topic.
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// which topic
    pub topic: Topic,
    /// which partition of it
    pub partition: u32,
    /// which record of the partition
    pub offset: i64,
    /// when it was written, milliseconds since 1970
    pub timestamp_ms: i64,
    /// `None`: it has none
    pub key: Option<Vec<u8>>,
    /// framing included
    pub payload: Vec<u8>,
    /// names of its headers
    pub headers: Vec<String>,
}

impl LogRecord {
    /// Whether it asks that its account be forgotten: it says nothing, under a header of that name.
    pub fn is_tombstone(&self) -> bool {
        self.payload.is_empty() && self.headers.iter().any(|name| name == ERASE_HEADER)
    }

    /// `topic/partition@offset`, for messages.
    pub fn position(&self) -> String {
        format!("{}/{}@{}", self.topic.name(), self.partition, self.offset)
    }
}

/// What a partition gave: a record, or why a stored batch is not what the contract says.
pub type Read = Result<LogRecord, String>;

/// The records of a partition in order.
pub type Records<'a> = Box<dyn Iterator<Item = Result<Read, Unreadable>> + 'a>;

/// Topics under judgement, open for one thread.
pub trait Log {
    /// How far the topics and the groups are now.
    ///
    /// # Errors
    /// When they cannot be read.
    fn bounds(&self) -> Result<Bounds, Unreadable>;

    /// The records of a partition with offsets in `from..until`; one iterator at a time.
    fn records(&self, topic: Topic, partition: u32, from: i64, until: i64) -> Records<'_>;

    /// The tables of the store, when they stand beside the topics.
    fn tables(&self) -> Option<&Connection> {
        None
    }
}

/// Where the topics are.
#[derive(Clone, Debug)]
pub enum Place {
    /// an embedded data folder
    Folder(PathBuf),
    /// topics of a Kafka cluster
    Cluster(Cluster),
}

impl Place {
    /// Opens the topics for one thread.
    ///
    /// # Errors
    /// When there are none, or the settings are wrong. A cluster is asked only later.
    pub fn open(&self) -> Result<Box<dyn Log>, Unreadable> {
        Ok(match self {
            Place::Folder(path) => Box::new(embedded::SqliteLog::open(path)?),
            Place::Cluster(cluster) => Box::new(kafka::KafkaLog::open(cluster)?),
        })
    }
}

/// How far the log went when judging began.
#[derive(Debug, Default)]
pub struct Bounds {
    /// number of partitions of each topic that is there
    pub partitions: BTreeMap<Topic, u32>,
    /// where each partition begins, and the offset no record of it that counts has reached
    spans: HashMap<(Topic, u32), (i64, i64)>,
    /// committed positions
    positions: HashMap<(String, Topic, u32), i64>,
    /// number of batches looked at; of partitions, where batches are not to be seen
    pub batches: u64,
    /// what is missing or in excess: gaps, overlaps, batches that belong to no partition
    pub disorder: Vec<String>,
}

impl Bounds {
    /// Where the partition begins; 0 for one that is not there.
    pub fn begin(&self, topic: Topic, partition: u32) -> i64 {
        self.spans.get(&(topic, partition)).map_or(0, |(begin, _)| *begin)
    }

    /// Past the last record, though not always right behind it; 0 for a partition that is not there.
    pub fn end(&self, topic: Topic, partition: u32) -> i64 {
        self.spans.get(&(topic, partition)).map_or(0, |(_, end)| *end)
    }

    /// The group's committed position; 0 before its first commit.
    pub fn committed(&self, group: &str, topic: Topic, partition: u32) -> i64 {
        let key = (group.to_owned(), topic, partition);
        self.positions.get(&key).copied().unwrap_or(0)
    }

    /// The largest number of partitions of any topic.
    pub fn partitions_max(&self) -> u32 {
        self.partitions.values().copied().max().unwrap_or(0)
    }

    fn span(&mut self, topic: Topic, partition: u32, begin: i64, end: i64) {
        self.spans.insert((topic, partition), (begin, end));
    }

    fn commit(&mut self, group: String, topic: Topic, partition: u32, next: i64) {
        self.positions.insert((group, topic, partition), next);
    }
}

//! The log in one SQLite file: for a laptop, a test, a single machine.
//!
//! ```text
//!  producer, appender ──► jobs ──► writer thread ──► weir.db (WAL) ──► readers, consumers
//!                                      │                                    ▲
//!                                      └── where partitions end now ────────┘ a bell
//! ```
//!
//! A transaction is gathered in memory and becomes one SQLite transaction at its commit. One
//! process holds the folder (`weir.lock`); others may read beside it. Partitions are dealt to the
//! members of a group by number: partition p to member p modulo their count, and never move.

mod body;
mod client;
mod database;
mod keys;

use std::path::Path;

use rusqlite::OptionalExtension;

pub use database::{Database, Options, Work};

use super::faults::Faults;
use super::{Appender, Consumer, Follower, Log, LogError, Member, Producer, Reader};
use crate::event::{Position, Topic};

/// The embedded log of one data folder.
#[derive(Clone, Debug)]
pub struct EmbeddedLog {
    database: Database,
    faults: Faults,
}

impl EmbeddedLog {
    /// Opens the folder for reading and writing, making it if it is not there.
    ///
    /// # Errors
    /// See [`Database::open`].
    pub fn open(folder: &Path, options: &Options) -> Result<EmbeddedLog, LogError> {
        let partitions = options.partitions;
        if partitions == 0 || partitions >= keys::PARTITIONS_MAX {
            return Err(LogError::Partitions {
                topic: Topic::Transactions,
                found: partitions,
                expected: partitions.clamp(1, keys::PARTITIONS_MAX - 1),
            });
        }
        Ok(EmbeddedLog { database: Database::open(folder, options)?, faults: Faults::default() })
    }

    /// Opens the folder for reading, beside whoever writes it.
    ///
    /// # Errors
    /// See [`Database::open_read_only`].
    pub fn open_read_only(folder: &Path) -> Result<EmbeddedLog, LogError> {
        Ok(EmbeddedLog { database: Database::open_read_only(folder)?, faults: Faults::default() })
    }

    /// The same log with faults injected into its consumers and producers.
    #[must_use]
    pub fn with_faults(mut self, faults: Faults) -> EmbeddedLog {
        self.faults = faults;
        self
    }

    /// The data folder, for the store that shares it.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl Log for EmbeddedLog {
    fn consumer(&self, member: &Member, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError> {
        let mut expected = None;
        for topic in topics {
            let found = self.partitions(*topic)?;
            let expected = *expected.get_or_insert(found);
            if found != expected {
                return Err(LogError::Partitions { topic: *topic, found, expected });
            }
        }
        let owned = (0..expected.unwrap_or(0)).filter(|p| p % member.count.max(1) == member.index);
        Ok(Box::new(client::EmbeddedConsumer::new(
            self.database.clone(),
            self.faults.clone(),
            member.group.clone(),
            topics.to_vec(),
            owned.collect(),
        )?))
    }

    fn producer(&self, _member: &Member) -> Result<Box<dyn Producer>, LogError> {
        // one process holds the folder, so there is nobody to fence off but a transaction of our own
        // whose answer was not waited for: this queues behind it, and whoever makes a producer
        // before reading committed positions sees what became of it
        self.database.write(Box::new(|_| Ok(())))?;
        Ok(Box::new(client::EmbeddedProducer::new(self.database.clone(), self.faults.clone())))
    }

    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(client::EmbeddedAppender::new(self.database.clone())))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(client::EmbeddedReader::new(&self.database)?))
    }

    fn follow(&self, from: &[Position]) -> Result<Box<dyn Follower>, LogError> {
        Ok(Box::new(client::EmbeddedFollower::new(self.database.clone(), from)?))
    }

    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        Ok(self.database.partitions(topic))
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        Ok(self.database.ends().get(topic, partition))
    }

    fn beginning(&self, _topic: Topic, _partition: u32) -> Result<i64, LogError> {
        Ok(0)
    }

    fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: u32,
    ) -> Result<Option<i64>, LogError> {
        let sql = "SELECT next FROM position WHERE grp = ?1 AND topic = ?2 AND partition = ?3";
        self.database.ask("read a committed position", |connection| {
            connection
                .prepare_cached(sql)?
                .query_row(rusqlite::params![group, keys::topic_id(topic), partition], |row| {
                    row.get(0)
                })
                .optional()
        })
    }
}

#[cfg(test)]
mod tests;

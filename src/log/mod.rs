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

use std::time::Duration;

use crate::event::{Position, Topic};

mod backlog;
pub mod embedded;
mod error;
pub mod faults;
pub mod kafka;
mod partition;
mod record;
mod restart;
mod scan;

pub use backlog::Backlog;
pub use error::LogError;
pub use partition::partition_of;
pub use record::{Outgoing, Record, RecordBatch};
pub use restart::Restarts;
pub use scan::{each_of_topic, each_record};

/// What a poll brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// records, or none within the wait
    Records,
    /// these partitions of every subscribed topic are now ours too; nothing of them is delivered
    /// before [`Consumer::start`]
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
    /// of the assignment; below zero: not a member
    pub generation: i32,
    /// the member's id; empty: not a member
    pub member: String,
    /// its stable name, if it has one
    pub instance: Option<String>,
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

    /// Tells the group that whoever polls lives, while a restore takes its time.
    ///
    /// # Errors
    /// A fatal one, as of a poll.
    fn keep_alive(&mut self) -> Result<(), LogError> {
        Ok(())
    }

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
    /// Called now and then while there is nothing to write.
    fn idle(&mut self) {}

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

/// Reads several partitions as they grow, without being a member of a group. Only committed records.
pub trait Follower: Send {
    /// Waits at most `wait` for records and appends them to `into`.
    ///
    /// # Errors
    /// When a partition cannot be read.
    fn poll(&mut self, wait: Duration, into: &mut Vec<Record>) -> Result<(), LogError>;
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

impl Member {
    /// The only member of a group.
    pub fn sole(group: &str) -> Member {
        Member { group: group.to_owned(), index: 0, count: 1 }
    }
}

/// A log of topics.
pub trait Log: Send + Sync {
    /// A consumer of these topics, which must have equal partition counts.
    ///
    /// # Errors
    /// When the log cannot be reached or a topic is missing.
    fn consumer(&self, member: &Member, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError>;

    /// The transactional producer of a member; an older one of the same member is fenced off.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn producer(&self, member: &Member) -> Result<Box<dyn Producer>, LogError>;

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

    /// A follower that begins at these positions.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn follow(&self, from: &[Position]) -> Result<Box<dyn Follower>, LogError>;

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

    /// The same, once everything that is written already can be read: a commit that was answered
    /// is then seen.
    ///
    /// # Errors
    /// When the log cannot be reached, or a transaction stays open.
    fn settled_end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        self.end(topic, partition)
    }

    /// The offset after the last record that a reader will see now; what comes after it up to the
    /// end is none.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn record_end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        self.end(topic, partition)
    }

    /// The same of many partitions, in their order.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn ends(&self, wanted: &[(Topic, u32)]) -> Result<Vec<i64>, LogError> {
        wanted.iter().map(|(topic, partition)| self.end(*topic, *partition)).collect()
    }

    /// The offset of the oldest record still there.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn beginning(&self, topic: Topic, partition: u32) -> Result<i64, LogError>;

    /// The same of many partitions, in their order.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn beginnings(&self, wanted: &[(Topic, u32)]) -> Result<Vec<i64>, LogError> {
        wanted.iter().map(|(topic, partition)| self.beginning(*topic, *partition)).collect()
    }

    /// The group's committed position, `None` before its first commit.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn committed(&self, group: &str, topic: Topic, partition: u32)
    -> Result<Option<i64>, LogError>;

    /// The same of many partitions, in their order.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn committed_all(
        &self,
        group: &str,
        wanted: &[(Topic, u32)],
    ) -> Result<Vec<Option<i64>>, LogError> {
        let committed =
            |(topic, partition): &(Topic, u32)| self.committed(group, *topic, *partition);
        wanted.iter().map(committed).collect()
    }

    /// Where the group goes on in each of these partitions, in their order: its committed position,
    /// else the oldest record.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn resume_all(&self, group: &str, wanted: &[(Topic, u32)]) -> Result<Vec<Position>, LogError> {
        let committed = self.committed_all(group, wanted)?;
        let pairs = || wanted.iter().zip(&committed);
        let new: Vec<(Topic, u32)> =
            pairs().filter(|(_, offset)| offset.is_none()).map(|(key, _)| *key).collect();
        let mut beginnings = self.beginnings(&new)?.into_iter();
        let position = |((topic, partition), offset): (&(Topic, u32), &Option<i64>)| {
            // one beginning was asked for each partition without a position
            let offset = offset.or_else(|| beginnings.next()).unwrap_or(0);
            Position { topic: *topic, partition: *partition, offset }
        };
        Ok(pairs().map(position).collect())
    }

    /// Whether the group has committed everything that is on these topics now.
    ///
    /// # Errors
    /// When the log cannot be reached.
    fn caught_up(&self, group: &str, topics: &[Topic]) -> Result<bool, LogError> {
        let wanted = every_partition(self, topics)?;
        let next = self.resume_all(group, &wanted)?;
        let ends = self.ends(&wanted)?;
        Ok(next.iter().zip(ends).all(|(next, end)| next.offset >= end))
    }
}

/// Every partition of these topics.
///
/// # Errors
/// When a topic is missing.
pub fn every_partition<L: Log + ?Sized>(
    log: &L,
    topics: &[Topic],
) -> Result<Vec<(Topic, u32)>, LogError> {
    let mut all = Vec::new();
    for topic in topics.iter().copied() {
        all.extend((0..log.partitions(topic)?).map(|partition| (topic, partition)));
    }
    Ok(all)
}

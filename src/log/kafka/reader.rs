//! Reads any range of any partition, committed records only, without joining a group.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;

use super::consumer::record;
use super::context::{ReaderContext, Talk};
use super::settings::{Names, Settings};
use crate::config::limits;
use crate::event::{Position, Topic};
use crate::log::{Follower, LogError, Reader, Record};

/// Name of the group that readers would have if they joined one.
const GROUP: &str = "weir.reader";
/// Records that one poll of a follower brings at most.
const FOLLOWED_MAX: usize = 1_024;
/// How long one wait for records lasts.
const STEP: Duration = Duration::from_millis(100);

pub(super) fn client(
    settings: &Settings,
    group: &str,
) -> Result<BaseConsumer<ReaderContext>, LogError> {
    settings
        .reader(group)
        .create_with_context(ReaderContext { talk: Talk::new("reader") })
        .map_err(|error| super::failed("make a reader", &error))
}

/// A client that sees what is written, committed or not.
pub(super) fn bystander(
    settings: &Settings,
    group: &str,
) -> Result<BaseConsumer<ReaderContext>, LogError> {
    let mut config = settings.reader(group);
    config
        .set("isolation.level", "read_uncommitted")
        .create_with_context(ReaderContext { talk: Talk::new("reader") })
        .map_err(|error| super::failed("make a reader", &error))
}

pub(super) struct KafkaReader {
    consumer: BaseConsumer<ReaderContext>,
    names: Arc<Names>,
    /// what the client would deliver next
    at: Option<Position>,
    /// topics that the client has heard of
    known: BTreeSet<Topic>,
}

impl KafkaReader {
    pub(super) fn new(settings: &Settings, names: Arc<Names>) -> Result<KafkaReader, LogError> {
        let consumer = client(settings, &names.group(GROUP))?;
        Ok(KafkaReader { consumer, names, at: None, known: BTreeSet::new() })
    }

    fn seek(&mut self, from: Position) -> Result<(), LogError> {
        if self.at == Some(from) {
            return Ok(());
        }
        if self.known.insert(from.topic) {
            introduce(&self.consumer, self.names.of(from.topic))?;
        }
        let list = super::list(&self.names, &[from])?;
        self.at = None;
        let assigned = self.consumer.assign(&list);
        assigned.map_err(|error| super::failed("read a partition", &error))?;
        self.at = Some(from);
        Ok(())
    }
}

impl Reader for KafkaReader {
    fn read(
        &mut self,
        from: Position,
        to: i64,
        bytes_max: usize,
        into: &mut Vec<Record>,
    ) -> Result<i64, LogError> {
        self.read_within(limits().kafka_read_deadline, from, to, bytes_max, into)
    }
}

impl KafkaReader {
    /// The same with a deadline of its own.
    pub(super) fn read_within(
        &mut self,
        wait: Duration,
        from: Position,
        to: i64,
        bytes_max: usize,
        into: &mut Vec<Record>,
    ) -> Result<i64, LogError> {
        if from.offset >= to {
            return Ok(from.offset);
        }
        self.seek(from)?;
        let deadline = Instant::now() + wait;
        let (mut next, mut bytes) = (from.offset, 0);
        while next < to && bytes < bytes_max {
            match self.consumer.poll(STEP) {
                Some(Ok(message)) if message.offset() >= to => {
                    // read beyond what was asked for: the next range begins anew
                    self.at = None;
                    return Ok(to);
                }
                // what was fetched before the last seek
                Some(Ok(message)) if message.offset() < next => {}
                Some(Ok(message)) => {
                    let record = record(&message, from.topic, from.partition);
                    next = message.offset() + 1;
                    bytes += record.size();
                    into.push(record);
                }
                // what is left up to the end are marks of transactions and what was aborted
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    // the end is told once: whoever asks again must hear it again
                    self.at = None;
                    return Ok(next);
                }
                Some(Err(error)) => {
                    self.at = None;
                    check(&error)?;
                    self.at = Some(Position { offset: next, ..from });
                }
                None if Instant::now() >= deadline => {
                    self.at = None;
                    let told = self.consumer.context().talk.last_error(Duration::from_secs(10));
                    return Err(match told {
                        Some(reason) => LogError::Kafka { doing: "read a partition", reason },
                        None => LogError::Timeout { doing: "reading a partition", after: wait },
                    });
                }
                None => {}
            }
        }
        self.at = Some(Position { offset: next, ..from });
        Ok(next)
    }
}

/// Tells the client of a topic: of one that it has not heard of it asks by itself once a second only.
fn introduce(consumer: &BaseConsumer<ReaderContext>, name: &str) -> Result<(), LogError> {
    consumer
        .fetch_metadata(Some(name), limits().kafka_request_deadline)
        .map(|_| ())
        .map_err(|error| super::failed("ask for a topic", &error))
}

/// Follows several partitions as they grow.
pub(super) struct KafkaFollower {
    consumer: BaseConsumer<ReaderContext>,
    names: Arc<Names>,
}

impl KafkaFollower {
    pub(super) fn new(
        settings: &Settings,
        names: Arc<Names>,
        from: &[Position],
    ) -> Result<KafkaFollower, LogError> {
        let consumer = client(settings, &names.group(GROUP))?;
        for topic in from.iter().map(|position| position.topic).collect::<BTreeSet<_>>() {
            introduce(&consumer, names.of(topic))?;
        }
        let list = super::list(&names, from)?;
        consumer.assign(&list).map_err(|error| super::failed("follow partitions", &error))?;
        Ok(KafkaFollower { consumer, names })
    }
}

impl Follower for KafkaFollower {
    fn poll(&mut self, wait: Duration, into: &mut Vec<Record>) -> Result<(), LogError> {
        let (before, mut wait) = (into.len(), wait.max(Duration::from_millis(1)));
        while into.len() - before < FOLLOWED_MAX {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let topic = self.names.topic(message.topic());
                    if let (Some(topic), Ok(partition)) = (topic, message.partition().try_into()) {
                        into.push(record(&message, topic, partition));
                    }
                }
                Some(Err(error)) => check(&error)?,
                None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }
}

/// Errors that do not pass by themselves.
fn check(error: &KafkaError) -> Result<(), LogError> {
    let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
    let lasting = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
        )
    );
    match fatal || lasting {
        true => Err(super::failed("read a partition", error)),
        // the rest passes, or the deadline does
        false => Ok(()),
    }
}

//! Reads any range of any partition, committed records only, without joining a group.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::consumer::record;
use super::context::{ReaderContext, Talk};
use super::settings::{Names, Settings};
use crate::config::limits;
use crate::event::Position;
use crate::log::{LogError, Reader, Record};

/// Name of the group that readers would have if they joined one.
const GROUP: &str = "weir.reader";
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

pub(super) struct KafkaReader {
    consumer: BaseConsumer<ReaderContext>,
    names: Arc<Names>,
    /// what the client would deliver next
    at: Option<Position>,
}

impl KafkaReader {
    pub(super) fn new(settings: &Settings, names: Arc<Names>) -> Result<KafkaReader, LogError> {
        let consumer = client(settings, &names.group(GROUP))?;
        Ok(KafkaReader { consumer, names, at: None })
    }

    fn seek(&mut self, from: Position) -> Result<(), LogError> {
        if self.at == Some(from) {
            return Ok(());
        }
        let failed = |error| super::failed("read a partition", &error);
        let mut list = TopicPartitionList::new();
        let partition = i32::try_from(from.partition).unwrap_or(i32::MAX);
        list.add_partition_offset(
            self.names.of(from.topic),
            partition,
            Offset::Offset(from.offset),
        )
        .map_err(failed)?;
        self.at = None;
        self.consumer.assign(&list).map_err(failed)?;
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
        if from.offset >= to {
            return Ok(from.offset);
        }
        self.seek(from)?;
        let deadline = Instant::now() + limits().kafka_read_deadline;
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
                    self.at = Some(Position { offset: next, ..from });
                    return Ok(next);
                }
                Some(Err(error)) => self.check(&error)?,
                None if Instant::now() >= deadline => {
                    self.at = None;
                    let told = self.consumer.context().talk.last_error(Duration::from_secs(10));
                    return Err(match told {
                        Some(reason) => LogError::Kafka { doing: "read a partition", reason },
                        None => LogError::Timeout {
                            doing: "reading a partition",
                            after: limits().kafka_read_deadline,
                        },
                    });
                }
                None => {}
            }
        }
        self.at = Some(Position { offset: next, ..from });
        Ok(next)
    }
}

impl KafkaReader {
    fn check(&mut self, error: &KafkaError) -> Result<(), LogError> {
        match (error, error.rdkafka_error_code()) {
            (KafkaError::MessageConsumptionFatal(_), _)
            | (
                _,
                Some(
                    RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::TopicAuthorizationFailed,
                ),
            ) => {
                self.at = None;
                Err(super::failed("read a partition", error))
            }
            // the rest passes by itself, or the deadline does
            _ => Ok(()),
        }
    }
}

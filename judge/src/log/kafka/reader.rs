//! The records of one partition of a cluster.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::contract::Topic;
use crate::error::Unreadable;
use crate::log::{LogRecord, Read};

use super::{KafkaLog, METADATA, Quiet, is_passing};

/// How long a partition may say nothing, neither a record nor that it ends.
const SILENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(500);

/// Iterator over the committed records of a partition.
pub(super) struct Records<'a> {
    consumer: &'a BaseConsumer<Quiet>,
    name: String,
    topic: Topic,
    partition: u32,
    next: i64,
    until: i64,
    assigned: bool,
}

impl<'a> Records<'a> {
    pub(super) fn new(
        log: &'a KafkaLog,
        topic: Topic,
        partition: u32,
        from: i64,
        until: i64,
    ) -> Records<'a> {
        let name = log.cluster.name_of(topic);
        let consumer = &log.consumer;
        Records { consumer, name, topic, partition, next: from, until, assigned: false }
    }

    fn number(&self) -> i32 {
        i32::try_from(self.partition).unwrap_or(i32::MAX)
    }

    fn assign(&mut self) -> Result<(), Unreadable> {
        let mut assignment = TopicPartitionList::new();
        let at = Offset::Offset(self.next);
        // a topic this client has not heard of costs up to a second to find its leaders
        let known = self.consumer.fetch_metadata(Some(&self.name), METADATA);
        known.map_err(Unreadable::kafka(format!("find topic {}", self.name)))?;
        let added = assignment.add_partition_offset(&self.name, self.number(), at);
        let assigned = added.and_then(|()| self.consumer.assign(&assignment));
        self.assigned = assigned.is_ok();
        assigned.map_err(Unreadable::kafka(format!("read {}", self.place())))
    }

    fn place(&self) -> String {
        format!("{}/{}@{}", self.name, self.partition, self.next)
    }

    /// The next record; `None` at the end.
    fn read(&mut self) -> Result<Option<LogRecord>, Unreadable> {
        let since = Instant::now();
        loop {
            match self.consumer.poll(POLL) {
                Some(Ok(message)) if self.is_wanted(&message) => {
                    if message.offset() >= self.until {
                        return Ok(None);
                    }
                    return Ok(Some(self.record(&message)));
                }
                Some(Err(KafkaError::PartitionEOF(of))) if of == self.number() => return Ok(None),
                // a left-over of another assignment, or an event that is not about records
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => {
                    return Err(Unreadable::kafka(format!("read {}", self.place()))(error));
                }
            }
            if since.elapsed() > SILENCE {
                return Err(Unreadable::Silent { place: self.place(), seconds: SILENCE.as_secs() });
            }
        }
    }

    fn is_wanted(&self, message: &BorrowedMessage<'_>) -> bool {
        message.partition() == self.number()
            && message.offset() >= self.next
            && message.topic() == self.name
    }

    fn record(&self, message: &BorrowedMessage<'_>) -> LogRecord {
        LogRecord {
            topic: self.topic,
            partition: self.partition,
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
            key: message.key().map(<[u8]>::to_vec),
            // no payload is too short for any framing, as an empty one is
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: message.headers().map_or_else(Vec::new, |headers| {
                headers.iter().map(|header| header.key.to_owned()).collect()
            }),
        }
    }
}

impl Iterator for Records<'_> {
    type Item = Result<Read, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.until {
            return None;
        }
        let assigned = if self.assigned { Ok(()) } else { self.assign() };
        let read = assigned.and_then(|()| self.read());
        self.next = match &read {
            Ok(Some(record)) => record.offset + 1,
            Ok(None) | Err(_) => self.until,
        };
        read.map(|record| record.map(Ok)).transpose()
    }
}

impl Drop for Records<'_> {
    fn drop(&mut self) {
        if self.assigned {
            // the next assignment replaces this one if it cannot be given up
            let _ = self.consumer.unassign();
        }
    }
}

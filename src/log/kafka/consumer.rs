//! A member of a consumer group.
//!
//! ```text
//!  librdkafka ──► change of ownership ──► noted by the context
//!                                           │
//!  poll ──► Assigned / Revoked ──► the worker restores or drains ──► start / release: the answer
//! ```
//!
//! Until a change is answered the group waits for us, at most `max.poll.interval.ms`; the member
//! stays alive meanwhile as long as it polls ([`Consumer::keep_alive`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::assignment::Assignment;
use super::context::{self, Change, MemberContext};
use super::native;
use super::settings::{Names, Settings};
use crate::config::limits;
use crate::event::{Position, Topic};
use crate::log::{Consumer, LogError, Member, Membership, Polled, Record};

/// Records taken up by one poll.
const RECORDS_MAX: usize = 1_024;
const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) struct KafkaConsumer {
    consumer: BaseConsumer<MemberContext>,
    names: Arc<Names>,
    brokers: String,
    assignment: Assignment,
    /// the change of ownership that waits for [`Consumer::start`] or [`Consumer::release`]
    asked: Option<Change>,
    /// what is assigned but paused, because its partition was not whole
    parked: Vec<(String, i32)>,
    membership: Membership,
    /// what came while a restore kept the member alive
    held: Vec<Record>,
    /// the last topic seen, because records come in runs
    last_topic: Option<Topic>,
}

impl KafkaConsumer {
    pub(super) fn new(
        settings: &Settings,
        names: Arc<Names>,
        member: &Member,
        topics: &[Topic],
    ) -> Result<KafkaConsumer, LogError> {
        let group = names.group(&member.group);
        let client = format!("consumer/{}/{}", member.group, member.index);
        let context = MemberContext::new(&client);
        let consumer: BaseConsumer<MemberContext> = settings
            .member(&group, member.index)
            .create_with_context(context)
            .map_err(|error| super::failed("make a consumer", &error))?;
        let subscription: Vec<&str> = topics.iter().map(|topic| names.of(*topic)).collect();
        consumer.subscribe(&subscription).map_err(|error| super::failed("subscribe", &error))?;
        Ok(KafkaConsumer {
            consumer,
            brokers: settings.brokers().to_owned(),
            assignment: Assignment::new(topics),
            names,
            asked: None,
            parked: Vec::new(),
            membership: Membership { group, ..Membership::default() },
            held: Vec::new(),
            last_topic: None,
        })
    }

    fn is_incremental(&self) -> bool {
        context::is_incremental(&self.consumer)
    }

    fn known(&self, named: &[(String, i32)]) -> Vec<(Topic, u32)> {
        let known = |(name, partition): &(String, i32)| {
            Some((self.names.topic(name)?, u32::try_from(*partition).ok()?))
        };
        named.iter().filter_map(known).collect()
    }

    /// Takes a change of ownership up; `None`: nothing that the owner of this member has to do.
    fn changed(&mut self, change: Change) -> Result<Option<Polled>, LogError> {
        match change {
            Change::Assign(added) => self.assigned(added),
            Change::Revoke { going, lost } => self.revoked(going, lost),
        }
    }

    fn assigned(&mut self, added: Vec<(String, i32)>) -> Result<Option<Polled>, LogError> {
        self.membership = native::membership(&self.consumer).unwrap_or_default();
        tracing::debug!(
            generation = self.membership.generation,
            member = self.membership.member,
            partitions = added.len(),
            "kafka: assigned"
        );
        let whole = self.assignment.add(&self.known(&added));
        self.asked = Some(Change::Assign(added));
        if !self.is_incremental() {
            if let Some((partition, found)) = self.assignment.partial().first() {
                let reason = format!(
                    "partition {partition} was assigned for {found} topics only: partition counts \
                     are not equal any more, see weir topics check"
                );
                return Err(LogError::Kafka { doing: "take an assignment", reason });
            }
            return Ok(Some(Polled::Assigned(whole)));
        }
        if whole.is_empty() {
            // nothing can begin yet, but the group waits for an answer
            self.start(&[])?;
            return Ok(None);
        }
        Ok(Some(Polled::Assigned(whole)))
    }

    fn revoked(
        &mut self,
        going: Vec<(String, i32)>,
        lost: bool,
    ) -> Result<Option<Polled>, LogError> {
        let partitions = self.assignment.remove(&self.known(&going));
        tracing::debug!(?partitions, lost, "kafka: revoked");
        self.asked = Some(Change::Revoke { going, lost });
        if partitions.is_empty() && self.is_incremental() {
            self.release();
            return Ok(None);
        }
        Ok(Some(Polled::Revoked { partitions, lost }))
    }

    fn list(&self, positions: &[Position]) -> Result<TopicPartitionList, LogError> {
        super::list(&self.names, positions)
    }

    /// An error of a poll: most pass by themselves and are told by the context.
    fn check(&self, error: &KafkaError) -> Result<(), LogError> {
        let fatal = matches!(error, KafkaError::MessageConsumptionFatal(_));
        let code = error.rdkafka_error_code();
        match code {
            Some(RDKafkaErrorCode::PartitionEOF) => Ok(()),
            Some(RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fenced) => {
                Err(LogError::Fenced { what: "consumer", reason: self.why(error) })
            }
            _ if fatal => {
                let fenced = self.consumer.client().fatal_error().is_some_and(|(code, _)| {
                    matches!(
                        code,
                        RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::UnreleasedInstanceId
                    )
                });
                let reason = self.why(error);
                Err(match fenced {
                    true => LogError::Fenced { what: "consumer", reason },
                    false => LogError::Kafka { doing: "consume", reason },
                })
            }
            Some(
                code @ (RDKafkaErrorCode::AutoOffsetReset
                | RDKafkaErrorCode::OffsetOutOfRange
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::UnsupportedVersion
                | RDKafkaErrorCode::UnsupportedFeature
                | RDKafkaErrorCode::UnsupportedAssignor),
            ) => {
                let reason = format!("{} ({code:?})", self.why(error));
                Err(LogError::Kafka { doing: "consume", reason })
            }
            _ => Ok(()),
        }
    }

    fn why(&self, error: &KafkaError) -> String {
        if let Some((_, reason)) = self.consumer.client().fatal_error() {
            return reason;
        }
        let told = self.consumer.context().talk.last_error(Duration::from_secs(5));
        told.unwrap_or_else(|| format!("{error} at {}", self.brokers))
    }
}

/// Appends a message of a known topic to `into`.
fn take(
    names: &Names,
    last_topic: &mut Option<Topic>,
    message: &BorrowedMessage<'_>,
    into: &mut Vec<Record>,
) {
    let name = message.topic();
    let topic = match *last_topic {
        Some(topic) if names.of(topic) == name => Some(topic),
        _ => names.topic(name),
    };
    if let (Some(topic), Ok(partition)) = (topic, u32::try_from(message.partition())) {
        *last_topic = Some(topic);
        into.push(record(message, topic, partition));
    }
}

/// A message as a record.
pub(super) fn record(message: &BorrowedMessage<'_>, topic: Topic, partition: u32) -> Record {
    let position = Position { topic, partition, offset: message.offset() };
    let timestamp_ms = message.timestamp().to_millis().unwrap_or(0);
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
            .collect()
    });
    let payload = message.payload().unwrap_or_default();
    Record::new(position, timestamp_ms, message.key(), payload, headers)
}

impl Consumer for KafkaConsumer {
    fn poll(&mut self, wait: Duration, into: &mut Vec<Record>) -> Result<Polled, LogError> {
        if let Some(change) = self.consumer.context().next_change()
            && let Some(polled) = self.changed(change)?
        {
            return Ok(polled);
        }
        into.append(&mut self.held);
        let before = into.len();
        // librdkafka counts in milliseconds: less than one would be a busy loop
        let mut wait = if wait.is_zero() { wait } else { wait.max(MILLISECOND) };
        while into.len() - before < RECORDS_MAX {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => take(&self.names, &mut self.last_topic, &message, into),
                Some(Err(error)) => self.check(&error)?,
                None => break,
            }
            wait = Duration::ZERO;
        }
        Ok(Polled::Records)
    }

    fn start(&mut self, positions: &[Position]) -> Result<(), LogError> {
        let failed = |error| super::failed("begin with an assignment", &error);
        // these begin anew: what was kept of them comes again
        self.held.retain(|record| {
            !positions.iter().any(|start| start.partition == record.position.partition)
        });
        let arrived = match self.asked.take_if(|asked| matches!(asked, Change::Assign(_))) {
            Some(Change::Assign(arrived)) => arrived,
            _ => Vec::new(),
        };
        let mut assigned = TopicPartitionList::new();
        let mut parking = TopicPartitionList::new();
        let mut seeking = Vec::new();
        for (name, partition) in &arrived {
            let offset = positions.iter().find(|position| {
                self.names.of(position.topic) == name
                    && i32::try_from(position.partition) == Ok(*partition)
            });
            match offset {
                Some(position) => {
                    let offset = Offset::Offset(position.offset);
                    assigned.add_partition_offset(name, *partition, offset).map_err(failed)?;
                }
                None => {
                    assigned.add_partition_offset(name, *partition, Offset::End).map_err(failed)?;
                    parking.add_partition(name, *partition);
                    self.parked.push((name.clone(), *partition));
                }
            }
        }
        for position in positions {
            let name = self.names.of(position.topic);
            let is = |(parked, partition): &(String, i32)| {
                parked == name && u32::try_from(*partition) == Ok(position.partition)
            };
            if !arrived.iter().any(is) {
                self.parked.retain(|parked| !is(parked));
                seeking.push(*position);
            }
        }
        match self.is_incremental() {
            true => self.consumer.incremental_assign(&assigned).map_err(failed)?,
            false => self.consumer.assign(&assigned).map_err(failed)?,
        }
        if parking.count() > 0 {
            self.consumer.pause(&parking).map_err(failed)?;
        }
        if !seeking.is_empty() {
            let seeking = self.list(&seeking)?;
            let wait = limits().kafka_request_deadline;
            let sought = self.consumer.seek_partitions(seeking, wait).map_err(failed)?;
            for element in sought.elements() {
                element.error().map_err(failed)?;
            }
            self.consumer.resume(&sought).map_err(failed)?;
        }
        Ok(())
    }

    fn release(&mut self) {
        let going = match self.asked.take_if(|asked| matches!(asked, Change::Revoke { .. })) {
            Some(Change::Revoke { going, .. }) => going,
            _ => Vec::new(),
        };
        let released = match self.is_incremental() {
            true => {
                self.parked.retain(|parked| !going.contains(parked));
                self.consumer.incremental_unassign(&context::list(&going))
            }
            false => {
                self.parked.clear();
                self.assignment.clear();
                self.consumer.unassign()
            }
        };
        if let Err(error) = released {
            // the group takes them away from us in any case
            tracing::warn!(%error, "kafka: partitions were not released");
        }
    }

    fn keep_alive(&mut self) -> Result<(), LogError> {
        // the group sees that we live; a record of a partition that goes on meanwhile is kept
        match self.consumer.poll(Duration::ZERO) {
            Some(Err(error)) => self.check(&error),
            Some(Ok(message)) => {
                take(&self.names, &mut self.last_topic, &message, &mut self.held);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn pause(&mut self, topic: Topic, partition: u32, paused: bool) {
        let mut list = TopicPartitionList::new();
        list.add_partition(self.names.of(topic), super::number(partition));
        let done = match paused {
            true => self.consumer.pause(&list),
            false => self.consumer.resume(&list),
        };
        if let Err(error) = done {
            tracing::warn!(%topic, partition, paused, %error, "kafka: delivery was not changed");
        }
    }

    fn membership(&self) -> Membership {
        self.membership.clone()
    }

    fn commit(&mut self, positions: &[Position]) -> Result<(), LogError> {
        let list = self.list(positions)?;
        self.consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| super::failed("commit positions", &error))
    }
}

impl Drop for KafkaConsumer {
    /// Under the classic protocol a client can leave its group with a change of ownership still to tell, and
    /// whoever answers that afterwards waits for ever (librdkafka issue 4884). So it is first made to end
    /// what it follows, after which nothing is handed over any more, and all that it had to tell is answered.
    fn drop(&mut self) {
        let context = self.consumer.context();
        context.close();
        let told = std::iter::from_fn(|| context.next_change());
        for change in self.asked.take().into_iter().chain(told) {
            context.answer(&self.consumer, change);
        }
        if self.is_incremental() {
            return;
        }
        self.consumer.unsubscribe();
        let began = Instant::now();
        while began.elapsed() < limits().kafka_request_deadline {
            let answered = context.answered();
            if self.consumer.poll(MILLISECOND).is_none() && context.answered() == answered {
                break;
            }
        }
    }
}

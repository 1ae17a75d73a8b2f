//! The log on Kafka.
//!
//! ```text
//!  consumer (one a worker, member of the group)      producer (one a committer, transactional)
//!        │ poll, start, release                            │ begin, send, send_positions, commit
//!        ▼                                                 ▼
//!  ─────────────────────────────── the cluster ───────────────────────────────
//!        ▲                                 ▲
//!  reader (any range)             asker (ends, committed positions, topics)
//! ```
//!
//! `docs/operations.md` says which settings are used and why. What has to be known of rdkafka and is
//! easy to get wrong stands beside the code it is about: [`native`] and [`producer`] for commits,
//! [`consumer`] for changes of ownership.

mod admin;
mod assignment;
mod consumer;
mod context;
mod native;
mod producer;
mod reader;
mod settings;
mod statistics;
mod topics;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

pub use self::topics::{TopicPlan, TopicReport};

use self::consumer::KafkaConsumer;
use self::context::ReaderContext;
use self::producer::{KafkaAppender, KafkaProducer};
use self::reader::{KafkaFollower, KafkaReader};
use self::settings::{Names, Settings};
use super::{
    Appender, Consumer, Follower, Log, LogError, Member, Producer, Reader, every_partition,
};
use crate::config::{Kafka, limits};
use crate::event::{Position, Topic};
use crate::telemetry::Stop;

/// Events of a client that are served at once.
const SERVED_MAX: usize = 8;

type Asker = Arc<BaseConsumer<ReaderContext>>;

/// A Kafka cluster as a log.
pub struct KafkaLog {
    settings: Settings,
    names: Arc<Names>,
    partitions: HashMap<Topic, u32>,
    /// asks for ends and beginnings
    asker: Asker,
    /// asks for ends that nobody waited for
    bystander: BaseConsumer<ReaderContext>,
    /// ask for committed positions, one client a group
    groups: Mutex<HashMap<String, Asker>>,
    /// looks whether records are left before an end
    looker: Mutex<Option<KafkaReader>>,
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaLog").field("brokers", &self.settings.brokers()).finish()
    }
}

impl KafkaLog {
    /// Connects, and checks that the topics are there with counts that work together.
    ///
    /// # Errors
    /// When no broker answers in time, or the topics are not as they must be.
    pub fn open(kafka: &Kafka) -> Result<KafkaLog, LogError> {
        let settings = Settings::new(kafka);
        let names = Arc::new(Names::new(kafka));
        let asker = reader::client(&settings, &names.group("weir.asker"))?;
        let counts = topics::counts(&asker, &names, settings.brokers())?;
        let problems = topics::problems_of_counts(&counts, &names);
        if !problems.is_empty() {
            return Err(LogError::Topics { problems });
        }
        let bystander = reader::bystander(&settings, &names.group("weir.asker"))?;
        Ok(KafkaLog {
            settings,
            bystander,
            names,
            partitions: counts.into_iter().filter_map(|(t, n)| Some((t, n?))).collect(),
            asker: Arc::new(asker),
            groups: Mutex::default(),
            looker: Mutex::default(),
        })
    }

    /// The longest that a transaction may be open.
    pub fn transaction_timeout(&self) -> Duration {
        self.settings.transaction_timeout()
    }

    fn group(&self, group: &str) -> Result<Asker, LogError> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asker) = groups.get(group) {
            return Ok(Arc::clone(asker));
        }
        let asker = Arc::new(reader::client(&self.settings, &self.names.group(group))?);
        groups.insert(group.to_owned(), Arc::clone(&asker));
        Ok(asker)
    }

    /// Where one partition ends (`Offset::End`) or begins (`Offset::Beginning`).
    fn offset(&self, topic: Topic, partition: u32, which: Offset) -> Result<i64, LogError> {
        self.partitions(topic)?;
        let found = self.offsets(&[(topic, partition)], which)?;
        found.first().copied().ok_or(LogError::Kafka {
            doing: "ask for the ends of partitions",
            reason: "no answer".to_owned(),
        })
    }

    /// Works with the reader that is kept for looking whether records are left.
    fn look<T>(
        &self,
        work: impl FnOnce(&mut KafkaReader) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let mut looker = self.looker.lock().unwrap_or_else(PoisonError::into_inner);
        match looker.as_mut() {
            Some(looker) => work(looker),
            None => work(looker.insert(KafkaReader::new(&self.settings, Arc::clone(&self.names))?)),
        }
    }

    /// Offsets after the last committed record (`Offset::End`) or of the oldest one
    /// (`Offset::Beginning`), of many partitions at once.
    fn offsets(&self, wanted: &[(Topic, u32)], which: Offset) -> Result<Vec<i64>, LogError> {
        if wanted.is_empty() {
            // librdkafka takes no empty question
            return Ok(Vec::new());
        }
        let failed = |error| failed("ask for the ends of partitions", &error);
        let mut list = TopicPartitionList::new();
        for (topic, partition) in wanted {
            let partition = number(*partition);
            // in this request times of -1 and -2 stand for end and beginning, as in Kafka's protocol
            list.add_partition_offset(self.names.of(*topic), partition, which).map_err(failed)?;
        }
        let found = self.asker.offsets_for_times(list, limits().kafka_request_deadline);
        serve(&self.asker);
        let found = found.map_err(failed)?;
        wanted
            .iter()
            .map(|(topic, partition)| {
                let name = self.names.of(*topic);
                match found.find_partition(name, number(*partition)).map(|element| element.offset())
                {
                    Some(Offset::Offset(offset)) => Ok(offset),
                    other => Err(LogError::Kafka {
                        doing: "ask for the ends of partitions",
                        reason: format!("{name}/{partition} has {other:?}"),
                    }),
                }
            })
            .collect()
    }
}

/// Serves what has gathered for a client that is never polled otherwise: logs and statistics.
fn serve(asker: &BaseConsumer<ReaderContext>) {
    // a poll that served an event brings nothing, like one that found none
    for _ in 0..SERVED_MAX {
        asker.poll(Duration::ZERO);
    }
}

impl Log for KafkaLog {
    fn consumer(&self, member: &Member, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(KafkaConsumer::new(&self.settings, Arc::clone(&self.names), member, topics)?))
    }

    fn producer(&self, member: &Member) -> Result<Box<dyn Producer>, LogError> {
        Ok(Box::new(KafkaProducer::new(&self.settings, Arc::clone(&self.names), member)?))
    }

    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        Ok(Box::new(KafkaAppender::new(&self.settings, Arc::clone(&self.names))?))
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(KafkaReader::new(&self.settings, Arc::clone(&self.names))?))
    }

    fn follow(&self, from: &[Position]) -> Result<Box<dyn Follower>, LogError> {
        Ok(Box::new(KafkaFollower::new(&self.settings, Arc::clone(&self.names), from)?))
    }

    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.partitions.get(&topic).copied().ok_or_else(|| LogError::Topics {
            problems: vec![format!("{} is missing", self.names.of(topic))],
        })
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        self.offset(topic, partition, Offset::End)
    }

    fn ends(&self, wanted: &[(Topic, u32)]) -> Result<Vec<i64>, LogError> {
        self.offsets(wanted, Offset::End)
    }

    fn beginnings(&self, wanted: &[(Topic, u32)]) -> Result<Vec<i64>, LogError> {
        self.offsets(wanted, Offset::Beginning)
    }

    /// A commit is answered before each partition has its mark: what is written already is waited
    /// for until it can be read.
    fn settled_end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        let deadline = Instant::now() + self.settings.stable_deadline();
        let nap = Stop::default();
        let wait = limits().kafka_request_deadline;
        let name = self.names.of(topic);
        let written = self.bystander.fetch_watermarks(name, number(partition), wait);
        serve(&self.bystander);
        let written = written.map_err(|error| failed("ask for what is written", &error))?.1;
        loop {
            let stable = self.end(topic, partition)?;
            if stable >= written {
                return Ok(stable);
            }
            if Instant::now() >= deadline {
                let after = self.settings.stable_deadline();
                return Err(LogError::Timeout { doing: "waiting for an open transaction", after });
            }
            nap.wait(Duration::from_millis(20));
        }
    }

    /// Looked for from the end backwards: marks of transactions take offsets and are no records.
    fn record_end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        let (beginning, end) = (self.beginning(topic, partition)?, self.end(topic, partition)?);
        let mut step = 1;
        self.look(|reader| {
            loop {
                let offset = beginning.max(end - step);
                let mut from = Position { topic, partition, offset };
                let mut records = Vec::new();
                while from.offset < end {
                    let next = reader.read(from, end, 1 << 20, &mut records)?;
                    if next == from.offset {
                        break;
                    }
                    from.offset = next;
                }
                match records.last() {
                    Some(last) => return Ok(last.position.offset + 1),
                    None if offset == beginning => return Ok(beginning),
                    None => step *= 8,
                }
            }
        })
    }

    fn beginning(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        self.offset(topic, partition, Offset::Beginning)
    }

    fn committed(
        &self,
        group: &str,
        topic: Topic,
        partition: u32,
    ) -> Result<Option<i64>, LogError> {
        let offsets = self.committed_all(group, &[(topic, partition)])?;
        Ok(offsets.first().copied().flatten())
    }

    fn committed_all(
        &self,
        group: &str,
        wanted: &[(Topic, u32)],
    ) -> Result<Vec<Option<i64>>, LogError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let asker = self.group(group)?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in wanted {
            list.add_partition(self.names.of(*topic), number(*partition));
        }
        // an open transaction of another identity may hold the answer back for its time-out
        let deadline = self.settings.stable_deadline();
        let found = asker.committed_offsets(list, deadline);
        serve(&asker);
        let found = found.map_err(|error| failed("ask for committed positions", &error))?;
        let offset = |(topic, partition): &(Topic, u32)| {
            let element = found.find_partition(self.names.of(*topic), number(*partition));
            match element.map(|element| (element.error(), element.offset())) {
                Some((Err(error), _)) => Err(failed("ask for committed positions", &error)),
                Some((Ok(()), Offset::Offset(offset))) => Ok(Some(offset)),
                _ => Ok(None),
            }
        };
        wanted.iter().map(offset).collect()
    }

    /// What is left before the end may be marks of transactions only: those are nobody's to take.
    fn caught_up(&self, group: &str, topics: &[Topic]) -> Result<bool, LogError> {
        let wanted = every_partition(self, topics)?;
        let next = self.resume_all(group, &wanted)?;
        let ends = self.ends(&wanted)?;
        for (next, end) in next.into_iter().zip(ends).filter(|(next, end)| next.offset < *end) {
            let mut records = Vec::new();
            // whoever asks wants to end soon
            let wait = limits().kafka_request_deadline;
            self.look(|reader| reader.read_within(wait, next, end, 1, &mut records))?;
            if !records.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A partition's number, or a count of them, in librdkafka's form.
fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// Positions in librdkafka's form.
fn list(names: &Names, positions: &[Position]) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for position in positions {
        let (name, number) = (names.of(position.topic), number(position.partition));
        list.add_partition_offset(name, number, Offset::Offset(position.offset))
            .map_err(|error| failed("name positions", &error))?;
    }
    Ok(list)
}

/// An error of rdkafka's as one of ours.
fn failed(doing: &'static str, error: &KafkaError) -> LogError {
    if let KafkaError::ClientConfig(_, _, setting, _) = error {
        // its text has the value, which may be a secret
        let reason = format!("librdkafka does not take the value of {setting}");
        return LogError::Kafka { doing, reason };
    }
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::FencedInstanceId,
        ) => LogError::Fenced { what: doing, reason: error.to_string() },
        _ => LogError::Kafka { doing, reason: error.to_string() },
    }
}

/// Asks until an answer comes or the deadline passes, and then says what the client was told last.
fn patiently<T>(
    asker: &BaseConsumer<ReaderContext>,
    brokers: &str,
    deadline: Duration,
    mut ask: impl FnMut(Duration) -> Result<T, KafkaError>,
) -> Result<T, LogError> {
    let began = Instant::now();
    loop {
        let left = deadline.saturating_sub(began.elapsed());
        match ask(left.min(Duration::from_secs(1)).max(Duration::from_millis(1))) {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                serve(asker);
                let told = asker.context().talk.last_error(deadline);
                let refused = told.as_deref().is_some_and(|told| {
                    let told = told.to_ascii_lowercase();
                    told.contains("authentication") || told.contains("ssl handshake")
                });
                if refused || began.elapsed() >= deadline {
                    return Err(LogError::Unreachable {
                        brokers: brokers.to_owned(),
                        reason: told.unwrap_or_else(|| error.to_string()),
                    });
                }
            }
        }
    }
}

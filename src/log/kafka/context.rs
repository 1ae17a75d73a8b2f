//! What librdkafka tells its clients: logs, errors, statistics, and who owns which partitions.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message, TopicPartitionList};

use super::statistics::Statistics;

/// The same line is logged once in this time; what came meanwhile is counted.
const QUIET: Duration = Duration::from_secs(10);
/// Different lines remembered for that.
const LINES_MAX: usize = 64;

#[derive(Debug, Default)]
struct Said {
    lines: HashMap<String, (Instant, u64)>,
    last_error: Option<(Instant, String)>,
}

/// What every client does with logs and errors: a broker that is away must not fill the disk.
#[derive(Debug)]
pub(super) struct Talk {
    said: Mutex<Said>,
    statistics: Statistics,
}

impl Talk {
    pub(super) fn new(client: &str) -> Talk {
        Talk { said: Mutex::default(), statistics: Statistics::new(client) }
    }

    /// The last error, if it is no older than `age`: why a call that only timed out timed out.
    pub(super) fn last_error(&self, age: Duration) -> Option<String> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.last_error.as_ref().filter(|(at, _)| at.elapsed() < age).map(|(_, text)| text.clone())
    }

    /// Whether to log a line of this kind, and how many were not logged since the last one.
    fn admit(&self, kind: &str) -> Option<u64> {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.lines.len() >= LINES_MAX {
            said.lines.retain(|_, (at, _)| at.elapsed() < QUIET);
        }
        if said.lines.len() >= LINES_MAX && !said.lines.contains_key(kind) {
            return None;
        }
        match said.lines.get_mut(kind) {
            Some((at, unsaid)) if at.elapsed() < QUIET => {
                *unsaid += 1;
                None
            }
            Some((at, unsaid)) => {
                *at = Instant::now();
                Some(std::mem::take(unsaid))
            }
            None => {
                said.lines.insert(kind.to_owned(), (Instant::now(), 0));
                Some(0)
            }
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let Some(unsaid) = self.admit(facility) else {
            return;
        };
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => tracing::warn!(facility, unsaid, "kafka: {message}"),
            _ => tracing::debug!(facility, unsaid, "kafka: {message}"),
        }
    }

    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // the end of a partition is no error, and «all brokers down» follows one that says why
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        if code != Some(RDKafkaErrorCode::AllBrokersDown) {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.last_error = Some((Instant::now(), reason.to_owned()));
        }
        if let Some(unsaid) = self.admit(&error.to_string()) {
            tracing::warn!(unsaid, "kafka: {reason}");
        }
    }

    fn stats(&self, json: &[u8]) {
        self.statistics.take(json);
    }
}

macro_rules! talk {
    ($context:ty) => {
        impl ClientContext for $context {
            fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
                self.talk.log(level, facility, message);
            }

            fn error(&self, error: KafkaError, reason: &str) {
                self.talk.error(&error, reason);
            }

            fn stats_raw(&self, json: &[u8]) {
                self.talk.stats(json);
            }
        }
    };
}

/// Context of readers and of the client that asks for offsets.
#[derive(Debug)]
pub(super) struct ReaderContext {
    pub(super) talk: Talk,
}

talk!(ReaderContext);
impl ConsumerContext for ReaderContext {}

/// Context of producers: remembers the first record that did not arrive.
#[derive(Debug)]
pub(super) struct ProducerTalk {
    pub(super) talk: Talk,
    failed: Mutex<Option<String>>,
}

impl ProducerTalk {
    pub(super) fn new(client: &str) -> ProducerTalk {
        ProducerTalk { talk: Talk::new(client), failed: Mutex::default() }
    }

    /// Why a record did not arrive, once.
    pub(super) fn take_failed(&self) -> Option<String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

talk!(ProducerTalk);
impl ProducerContext for ProducerTalk {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            if failed.is_none() {
                let (topic, partition) = (message.topic(), message.partition());
                let bytes = message.payload().map_or(0, <[u8]>::len);
                *failed =
                    Some(format!("a record of {bytes} bytes for {topic}/{partition}: {error}"));
            }
        }
    }
}

/// A change of ownership that the group asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// these are ours too
    Assign(Vec<(String, i32)>),
    /// these go; `lost`: they already went
    Revoke { going: Vec<(String, i32)>, lost: bool },
}

/// These partitions as a list.
pub(super) fn list(partitions: &[(String, i32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (name, partition) in partitions {
        list.add_partition(name, *partition);
    }
    list
}

/// Whether changes of ownership are told as what is added and what goes, each by itself.
pub(super) fn is_incremental(consumer: &BaseConsumer<MemberContext>) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Context of members of a group. A change of ownership is only noted: the member's owner finishes
/// its work and answers it, outside of any callback.
#[derive(Debug)]
pub(super) struct MemberContext {
    pub(super) talk: Talk,
    changes: Mutex<VecDeque<Change>>,
    closing: AtomicBool,
    answered: AtomicU64,
}

impl MemberContext {
    pub(super) fn new(client: &str) -> MemberContext {
        MemberContext {
            talk: Talk::new(client),
            changes: Mutex::default(),
            closing: AtomicBool::new(false),
            answered: AtomicU64::new(0),
        }
    }

    /// The next change to answer.
    pub(super) fn next_change(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// From now on changes are answered at once, because nobody else will.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    /// How many were.
    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// Answers for a member that is about to end: it takes nothing, and gives what it is to give.
    pub(super) fn answer(&self, consumer: &BaseConsumer<Self>, change: Change) {
        let none = TopicPartitionList::new();
        let answered = match (change, is_incremental(consumer)) {
            (Change::Assign(_), true) => consumer.incremental_assign(&none),
            (Change::Assign(_), false) => consumer.assign(&none),
            (Change::Revoke { going, .. }, true) => consumer.incremental_unassign(&list(&going)),
            (Change::Revoke { .. }, false) => consumer.unassign(),
        };
        if let Err(error) = answered {
            tracing::debug!(%error, "kafka: a change of ownership was not answered at the end");
        }
        self.answered.fetch_add(1, Ordering::SeqCst);
    }
}

talk!(MemberContext);
impl ConsumerContext for MemberContext {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let named: Vec<(String, i32)> = partitions
            .elements()
            .iter()
            .map(|element| (element.topic().to_owned(), element.partition()))
            .collect();
        let change = match assign {
            true => Change::Assign(named),
            false => Change::Revoke { going: named, lost: consumer.assignment_lost() },
        };
        if self.closing.load(Ordering::SeqCst) {
            return self.answer(consumer, change);
        }
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        rdkafka::util::Timeout::After(Duration::from_millis(100))
    }
}

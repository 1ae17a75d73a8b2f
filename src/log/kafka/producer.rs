//! Transactions, and appends without them.
//!
//! `send` returns once the broker has everything: the positions and the commit that follow would
//! wait for it anyway, and rdkafka's own wait takes steps of 100 ms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::context::ProducerTalk;
use super::native;
use super::settings::{Names, Settings};
use crate::config::limits;
use crate::event::Position;
use crate::log::{Appender, LogError, Member, Membership, Outgoing, Producer, RecordBatch};

/// How long one wait for deliveries lasts before errors are looked at.
const FLUSH_STEP: Duration = Duration::from_millis(50);

/// What transactions and appends share.
struct Sender {
    producer: BaseProducer<ProducerTalk>,
    names: Arc<Names>,
    deadline: Duration,
}

impl Sender {
    fn new(
        config: &ClientConfig,
        names: Arc<Names>,
        client: &str,
        deadline: Duration,
    ) -> Result<Sender, LogError> {
        let producer = config
            .create_with_context(ProducerTalk::new(client))
            .map_err(|error| super::failed("make a producer", &error))?;
        Ok(Sender { producer, names, deadline })
    }

    /// Sends the records and waits until all of them have arrived.
    fn send(&self, batch: &RecordBatch, deadline: Instant) -> Result<(), LogError> {
        for record in batch.iter() {
            self.enqueue(&record, deadline)?;
        }
        self.drain(deadline)
    }

    fn enqueue(&self, record: &Outgoing<'_>, deadline: Instant) -> Result<(), LogError> {
        let mut message: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(self.names.of(record.topic))
            .partition(super::number(record.partition))
            .timestamp(record.timestamp_ms);
        message.key = record.key;
        match record.header {
            None => message.payload = Some(record.payload),
            // in place of a payload
            Some((key, value)) => {
                let header = Header { key, value: Some(value) };
                message.headers = Some(OwnedHeaders::new_with_capacity(1).insert(header));
            }
        }
        loop {
            match self.producer.send(message) {
                Ok(()) => return Ok(()),
                Err((error, refused)) => {
                    let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
                    if !full || Instant::now() >= deadline {
                        return Err(self.refused(record, &error));
                    }
                    native::flush(&self.producer, FLUSH_STEP);
                    self.producer.poll(Duration::ZERO);
                    message = refused;
                }
            }
        }
    }

    fn refused(&self, record: &Outgoing<'_>, error: &KafkaError) -> LogError {
        let reason = format!(
            "a record of {} bytes for {}/{}: {error}",
            record.payload.len(),
            self.names.of(record.topic),
            record.partition
        );
        self.fenced().unwrap_or(LogError::Kafka { doing: "send", reason })
    }

    /// Waits until nothing is under way, then looks whether all of it arrived.
    fn drain(&self, deadline: Instant) -> Result<(), LogError> {
        loop {
            let flushed = native::flush(&self.producer, FLUSH_STEP);
            // errors of deliveries are events, which count as under way until they are looked at
            while self.producer.in_flight_count() > 0 && flushed {
                self.producer.poll(Duration::from_millis(1));
            }
            self.producer.poll(Duration::ZERO);
            if let Some(reason) = self.producer.context().take_failed() {
                return Err(self.fenced().unwrap_or(LogError::Kafka { doing: "send", reason }));
            }
            if flushed {
                return Ok(());
            }
            if let Some(fenced) = self.fenced() {
                return Err(fenced);
            }
            if Instant::now() >= deadline {
                return Err(LogError::Timeout { doing: "sending records", after: self.deadline });
            }
        }
    }

    /// The fatal error of the client, if it says that another one took over.
    fn fenced(&self) -> Option<LogError> {
        let (code, reason) = self.producer.client().fatal_error()?;
        Some(match code {
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::ProducerFenced
            | RDKafkaErrorCode::InvalidProducerEpoch => {
                LogError::Fenced { what: "producer", reason }
            }
            _ => LogError::Kafka { doing: "go on with a transaction", reason },
        })
    }

    fn failed(&self, doing: &'static str, error: &KafkaError) -> LogError {
        if let Some(fenced) = self.fenced() {
            return fenced;
        }
        match super::failed(doing, error) {
            LogError::Kafka { doing, reason } => {
                let told = self.producer.context().talk.last_error(Duration::from_secs(5));
                let reason =
                    told.map_or_else(|| reason.clone(), |told| format!("{reason}: {told}"));
                LogError::Kafka { doing, reason }
            }
            other => other,
        }
    }
}

/// Writes transactions.
pub(super) struct KafkaProducer {
    sender: Sender,
    timeout: Duration,
    /// when the open transaction must have ended
    deadline: Instant,
}

impl KafkaProducer {
    pub(super) fn new(
        settings: &Settings,
        names: Arc<Names>,
        member: &Member,
    ) -> Result<KafkaProducer, LogError> {
        let timeout = settings.transaction_timeout();
        let identity = settings.identity(&names.group(&member.group), member.index);
        let client = format!("producer/{}/{}", member.group, member.index);
        let sender = Sender::new(&settings.transactional(&identity), names, &client, timeout)?;
        let deadline = Instant::now() + limits().kafka_init_deadline;
        loop {
            // fences off whoever had this identity, and ends what was left open
            match sender.producer.init_transactions(limits().kafka_init_step) {
                Ok(()) => {
                    return Ok(KafkaProducer { sender, timeout, deadline: Instant::now() });
                }
                Err(error) => {
                    sender.producer.poll(Duration::ZERO);
                    let again = matches!(&error, KafkaError::Transaction(e) if e.is_retriable());
                    if !again || Instant::now() >= deadline {
                        return Err(sender.failed("take up the transactional identity", &error));
                    }
                }
            }
        }
    }
}

impl KafkaProducer {
    /// What is left of the transaction's time, and a moment for an answer that is under way.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100))
    }
}

impl Producer for KafkaProducer {
    fn idle(&mut self) {
        self.sender.producer.poll(Duration::ZERO);
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.deadline = Instant::now() + self.timeout;
        self.sender
            .producer
            .begin_transaction()
            .map_err(|error| self.sender.failed("begin a transaction", &error))
    }

    fn send(&mut self, batch: &RecordBatch) -> Result<(), LogError> {
        self.sender.send(batch, self.deadline)
    }

    fn send_positions(
        &mut self,
        positions: &[Position],
        membership: &Membership,
    ) -> Result<(), LogError> {
        // the broker takes positions of nobody in particular without any fencing
        if membership.generation < 0 || membership.member.is_empty() {
            let reason = format!("not a member of {} any more", membership.group);
            return Err(LogError::Kafka { doing: "send positions", reason });
        }
        let list = super::list(&self.sender.names, positions)?;
        let sent = native::send_positions(&self.sender.producer, &list, membership, self.left());
        sent.map_err(|refused| {
            let reason = format!("{} ({:?})", refused.reason, refused.code);
            self.sender.fenced().unwrap_or(LogError::Kafka { doing: "send positions", reason })
        })
    }

    fn commit(&mut self) -> Result<(), LogError> {
        let committed = self.sender.producer.commit_transaction(self.left());
        // logs and statistics are events of this client too
        self.sender.producer.poll(Duration::ZERO);
        committed.map_err(|error| self.sender.failed("commit a transaction", &error))
    }
}

/// Appends outside transactions, in order and without duplicates of its own.
pub(super) struct KafkaAppender {
    sender: Sender,
}

impl KafkaAppender {
    pub(super) fn new(settings: &Settings, names: Arc<Names>) -> Result<KafkaAppender, LogError> {
        let deadline = limits().kafka_append_deadline;
        let sender = Sender::new(&settings.appender(), names, "appender", deadline)?;
        Ok(KafkaAppender { sender })
    }
}

impl Appender for KafkaAppender {
    fn append(&mut self, batch: &RecordBatch) -> Result<(), LogError> {
        self.sender.send(batch, Instant::now() + self.sender.deadline)
    }
}

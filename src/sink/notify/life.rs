//! One life of the sink's thread: from an assignment to a drain or a crash.
//!
//! Everything that touches the log is done here, by the thread that made the consumer. What the
//! channels report is settled in batches, in an order in which a crash at any point repeats and
//! never loses: ends and dead letters are appended, then positions are committed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge};

use super::channel::Ended;
use super::channels::{Channels, Lost, Target};
use super::ledger::{Ledger, WINDOW_RECORDS};
use super::message::{Message, Unread, refusal};
use super::{GROUP, NotifyContext, Status};
use crate::codec::{Contract, EncodeError, Encoder, Refusal, RegistryError};
use crate::config::limits;
use crate::event::{Code, Delivery, FailedStage, Millis, Position, Text, Topic};
use crate::log::{Appender, Backlog, Consumer, LogError, Member, Polled, Record, RecordBatch};
use crate::telemetry::{Part, metric};

/// The least time between two commits.
const SETTLE: Duration = Duration::from_millis(200);
/// How often lag is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// How a life ended badly. The next one begins from what is committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Crash {
    /// the log failed
    #[error(transparent)]
    Log(#[from] LogError),
    /// a delivery or a dead letter does not fit its contract: a defect
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// the schema of an escalation cannot be had now
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// a channel ended: a defect, or the runtime is gone
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl Crash {
    /// Its name in metrics.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Crash::Log(_) => "log",
            Crash::Encode(_) => "encode",
            Crash::Registry(_) => "registry",
            Crash::Lost(_) => "lost",
        }
    }
}

/// The end of an escalation at one webhook (or of one that cannot be read, or of a tombstone), not
/// settled yet.
#[derive(Debug)]
enum End {
    Reported(Ended),
    Unreadable(Box<(Record, Refusal)>),
    Skipped(Position),
}

/// One life.
pub(super) struct Life<'a> {
    context: &'a NotifyContext,
    targets: &'a [Target],
    part: &'a Part,
    seed: u64,
    consumer: Box<dyn Consumer>,
    appender: Box<dyn Appender>,
    encoder: Encoder,
    channels: Channels,
    ledger: Ledger,
    fetched: Vec<Record>,
    /// fetched and not taken, because the ledger has no room: what one poll brought at most, for
    /// delivery of their partitions is paused
    backlog: BTreeMap<u32, VecDeque<Record>>,
    paused: BTreeSet<u32>,
    /// offset after the last record fetched, by partition
    fetched_to: BTreeMap<u32, i64>,
    ends: Vec<End>,
    settled: Instant,
    measured: Instant,
    lag: Backlog,
    /// when the escalation that ended last at each webhook was written, by the broker's clock
    written: Vec<Option<i64>>,
}

impl<'a> Life<'a> {
    /// Joins the group and starts the channels.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub(super) fn begin(
        context: &'a NotifyContext,
        targets: &'a [Target],
        part: &'a Part,
        seed: u64,
    ) -> Result<Life<'a>, LogError> {
        let member = Member { group: GROUP.to_owned(), index: 0, count: 1 };
        Ok(Life {
            context,
            targets,
            part,
            seed,
            consumer: context.log.consumer(&member, &[Topic::Escalations])?,
            appender: context.log.appender()?,
            encoder: Encoder::of_process(),
            channels: Channels::start(&context.runtime, targets, seed),
            ledger: Ledger::default(),
            fetched: Vec::new(),
            backlog: BTreeMap::new(),
            paused: BTreeSet::new(),
            fetched_to: BTreeMap::new(),
            ends: Vec::new(),
            settled: Instant::now(),
            measured: Instant::now(),
            lag: Backlog::default(),
            written: vec![None; targets.len()],
        })
    }

    /// Lives until a stop is wanted or something fails.
    ///
    /// # Errors
    /// See [`Crash`].
    pub(super) fn run(mut self) -> Result<(), Crash> {
        loop {
            if self.context.stop.is_stopped() {
                return self.drain();
            }
            let wait = self.wait_for_room();
            match self.consumer.poll(wait, &mut self.fetched)? {
                Polled::Records => self.queue(),
                Polled::Assigned(partitions) => self.assigned(&partitions)?,
                Polled::Revoked { partitions, lost } => self.revoked(&partitions, lost)?,
            }
            self.take()?;
            self.hear(Instant::now());
            if self.is_settling_due() {
                self.settle()?;
            }
            self.channels.check()?;
            self.measure_if_due();
        }
    }

    /// How long to wait for records. While there is no room for them, waits for an end instead.
    fn wait_for_room(&mut self) -> Duration {
        let now = Instant::now();
        let due = (self.settled + SETTLE).max(now);
        if !self.backlog.is_empty() {
            let until = due.min(now + limits().poll_wait);
            if let Some(ended) = self.channels.wait(until) {
                self.ends.push(End::Reported(ended));
            }
            return Duration::ZERO;
        }
        if self.ledger.is_idle() {
            return limits().poll_wait;
        }
        limits().poll_wait.min(due - now).max(Duration::from_millis(1))
    }

    fn queue(&mut self) {
        for record in self.fetched.drain(..) {
            let position = record.position;
            self.fetched_to.insert(position.partition, position.offset + 1);
            self.backlog.entry(position.partition).or_default().push_back(record);
        }
    }

    /// Takes from the backlog what there is room for, and pauses the partitions of the rest.
    fn take(&mut self) -> Result<(), Crash> {
        let was_waiting: Vec<u32> = self.backlog.keys().copied().collect();
        let mut took = true;
        while took {
            took = false;
            // one of each in turn, so that a full partition does not starve the others
            for partition in &was_waiting {
                if self.ledger.has_room(*partition)
                    && let Some(record) =
                        self.backlog.get_mut(partition).and_then(VecDeque::pop_front)
                {
                    self.hand_over(record)?;
                    took = true;
                }
            }
        }
        self.backlog.retain(|_, records| !records.is_empty());
        for partition in was_waiting {
            let pause = self.backlog.contains_key(&partition);
            if pause != self.paused.contains(&partition) {
                self.consumer.pause(Topic::Escalations, partition, pause);
                match pause {
                    true => self.paused.insert(partition),
                    false => self.paused.remove(&partition),
                };
            }
        }
        Ok(())
    }

    fn hand_over(&mut self, record: Record) -> Result<(), Crash> {
        match Message::read(record) {
            Ok(message) => {
                let written = message.record.timestamp_ms;
                for at in &mut self.written {
                    at.get_or_insert(written);
                }
                let (position, bytes) = (message.record.position, message.size());
                self.ledger.take(position, bytes, self.channels.len());
                self.channels.send(&Arc::new(message))?;
            }
            Err(Unread::Unavailable(error)) => return Err(error.into()),
            Err(Unread::Erasure(position, bytes)) => {
                self.ledger.take(position, bytes, 1);
                self.ends.push(End::Skipped(position));
                counter!(metric::SINK_SKIPPED, "sink" => "notify").increment(1);
            }
            Err(Unread::Unreadable(unreadable)) => {
                let record = &unreadable.0;
                self.ledger.take(record.position, record.size(), 1);
                self.ends.push(End::Unreadable(unreadable));
            }
        }
        Ok(())
    }

    fn hear(&mut self, until: Instant) {
        while let Some(ended) = self.channels.wait(until) {
            self.ends.push(End::Reported(ended));
        }
    }

    fn is_settling_due(&self) -> bool {
        !self.ends.is_empty()
            && (self.settled.elapsed() >= SETTLE || self.ends.len() >= WINDOW_RECORDS / 2)
    }

    /// Makes what has ended durable, and commits as far as everything has.
    fn settle(&mut self) -> Result<(), Crash> {
        let ends = std::mem::take(&mut self.ends);
        let (records, given_up) = self.write_up(&ends)?;
        if !records.is_empty() {
            self.appender.append(&records)?;
        }
        if given_up > 0 {
            let (stage, code) = (FailedStage::Notify.name(), Code::Undeliverable.name());
            counter!(metric::DEAD_LETTERS, "stage" => stage, "code" => code).increment(given_up);
            tracing::warn!(escalations = given_up, "given up as dead letters");
        }
        for end in &ends {
            self.ledger.end(end.position());
        }
        let positions = self.ledger.due();
        if !positions.is_empty() {
            self.consumer.commit(&positions)?;
            self.ledger.committed(&positions);
        }
        self.settled = Instant::now();
        Ok(())
    }

    /// What is to be told of these ends, and how many of them are given up.
    fn write_up(&mut self, ends: &[End]) -> Result<(RecordBatch, u64), EncodeError> {
        let now = self.context.clock.now_ms();
        let mut records = RecordBatch::default();
        let mut given_up = 0;
        for end in ends {
            let (record, refusal) = match end {
                End::Skipped(_) => continue,
                End::Unreadable(unreadable) => (&unreadable.0, Some(unreadable.1.clone())),
                End::Reported(ended) => {
                    if let Some(written) = self.written.get_mut(ended.webhook) {
                        *written = Some(ended.message.record.timestamp_ms);
                    }
                    self.delivery(ended, now, &mut records)?;
                    (&ended.message.record, ended.undeliverable.as_deref().map(refusal))
                }
            };
            if let Some(refusal) = refusal {
                self.encoder.add_dead_letter(record, &refusal, Millis(now), &mut records)?;
                given_up += 1;
            }
        }
        Ok((records, given_up))
    }

    fn delivery(
        &mut self,
        ended: &Ended,
        now: i64,
        records: &mut RecordBatch,
    ) -> Result<(), EncodeError> {
        let status = match ended.undeliverable {
            None => Status::Delivered,
            Some(_) => Status::Undeliverable,
        };
        let channel = self.targets.get(ended.webhook).map(|target| target.name.as_str());
        let delivery = Delivery {
            escalation_id: Text::from(ended.message.id.to_string()),
            channel: Text::from(channel.unwrap_or_default()),
            status: Text::from(status.name()),
            attempts: i32::try_from(ended.attempts).unwrap_or(i32::MAX),
            updated_at: Millis(now),
            detail: Text::from(ended.undeliverable.as_deref().unwrap_or_default()),
        };
        let record = &ended.message.record;
        let key = record.key().unwrap_or_default();
        let encoder = &mut self.encoder;
        records.push_with(Topic::Deliveries, record.position.partition, now, key, |out| {
            encoder.encode(Contract::Delivery, &delivery, out)
        })
    }

    /// Waits for the attempts under way and commits what they delivered. What is between two
    /// attempts is left to the next life.
    fn drain(mut self) -> Result<(), Crash> {
        self.channels.drain();
        self.hear(Instant::now() + limits().drain_deadline);
        self.settle()
    }

    fn assigned(&mut self, partitions: &[u32]) -> Result<(), Crash> {
        let wanted: Vec<(Topic, u32)> =
            partitions.iter().map(|partition| (Topic::Escalations, *partition)).collect();
        let starts = self.context.log.resume_all(GROUP, &wanted)?;
        for start in &starts {
            self.ledger.start(start.partition, start.offset);
            self.fetched_to.insert(start.partition, start.offset);
        }
        self.consumer.start(&starts)?;
        // says that commits work before anything is sent: with a full disk each life would
        // otherwise deliver a window of escalations once more
        self.consumer.commit(&starts)?;
        self.part.ready();
        Ok(())
    }

    /// What has ended is committed; what has not is cancelled and is the next owner's.
    fn revoked(&mut self, partitions: &[u32], lost: bool) -> Result<(), Crash> {
        self.hear(Instant::now());
        if !lost {
            self.settle()?;
        }
        self.consumer.release();
        if self.fetched_to.keys().any(|owned| !partitions.contains(owned)) {
            // attempts of both kinds are under way together: the next life begins with what is left
            let reason = "some of its partitions went to another process".to_owned();
            return Err(LogError::Kafka { doing: "go on with all deliveries", reason }.into());
        }
        self.channels = Channels::start(&self.context.runtime, self.targets, self.seed);
        self.ledger = Ledger::default();
        self.ends.clear();
        self.backlog.clear();
        self.paused.clear();
        self.fetched_to.clear();
        self.part.not_ready("no partitions assigned");
        Ok(())
    }

    /// Lag by webhook: what is not fetched, what waits here, what has not come to its end there.
    fn measure_if_due(&mut self) {
        if self.measured.elapsed() < MEASURE {
            return;
        }
        self.measured = Instant::now();
        let owned: Vec<(Topic, u32)> =
            self.fetched_to.keys().map(|partition| (Topic::Escalations, *partition)).collect();
        let Ok(ends) = self.context.log.ends(&owned) else {
            return;
        };
        let places = self.fetched_to.iter().zip(ends);
        let left = |((partition, next), end): ((&u32, &i64), i64)| {
            self.lag.left((Topic::Escalations, *partition), *next, end)
        };
        let waiting: i64 = places.map(left).sum();
        let backlog: usize = self.backlog.values().map(VecDeque::len).sum();
        let now = self.context.clock.now_ms();
        for ((name, pending), written) in self.channels.pending().zip(&self.written) {
            let lag = waiting as f64 + (backlog + pending) as f64;
            gauge!(metric::SINK_LAG_RECORDS, "sink" => name.to_owned()).set(lag);
            let age = written.map_or(0, |written| (now - written).max(0));
            let seconds = if lag > 0.0 { age as f64 / 1e3 } else { 0.0 };
            gauge!(metric::SINK_LAG_SECONDS, "sink" => name.to_owned()).set(seconds);
        }
    }
}

impl End {
    fn position(&self) -> Position {
        match self {
            End::Reported(ended) => ended.message.record.position,
            End::Unreadable(unreadable) => unreadable.0.position,
            End::Skipped(position) => *position,
        }
    }
}

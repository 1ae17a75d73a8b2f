//! The store sink: from the output topics into the store, positions committed once stored.
//!
//! ```text
//!  poll ─► chunk ─► rows ─► Store::write ─► dead letters ─► commit positions
//!                              │ away: partitions paused, the group told that we live, asked again
//! ```
//!
//! - **In order, and only as far as stored.** One chunk is under way at a time, its statements side by
//!   side; positions are committed once all of it is durable. A crash repeats the chunk, which
//!   changes nothing.
//! - **Held up alone.** While the store is away nothing is polled: lag grows on the log, at most one
//!   poll's records wait here, and nobody else notices.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use uuid::Uuid;

use super::letters::Letters;
use super::{DecisionRow, DeliveryRow, EscalationRow, RollupRow, Rows, Store, StoreError};
use crate::codec::{Contract, EncodeError, OwnError, RegistryError, decode_own};
use crate::config::limits;
use crate::event::{Decision, Delivery, Escalation, Millis, Position, Rollup, Topic};
use crate::log::{Appender, Backlog, Consumer, Log, LogError, Member, Polled, Record, Restarts};
use crate::telemetry::{Clock, Health, Part, Stop, metric};

/// Name of the store sink's consumer group.
pub const GROUP: &str = "weir.store";
const TOPICS: [Topic; 4] =
    [Topic::Decisions, Topic::Escalations, Topic::Rollups, Topic::Deliveries];
const SINK: &str = "store";
/// How often lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How often the group is told that we live while the store is away.
const ALIVE_EVERY: Duration = Duration::from_millis(500);

/// Why the store sink ended for good.
#[derive(Debug, thiserror::Error)]
pub enum StoreSinkFailure {
    /// its thread could not be started
    #[error("cannot start the store sink: {0}")]
    Start(std::io::Error),
    /// another process has its identity
    #[error("the store sink was fenced twice: {0}")]
    Fenced(LogError),
    /// its thread ended without a word
    #[error("the store sink ended without a word")]
    Lost,
}

#[derive(Debug, thiserror::Error)]
enum Crash {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// the schema of a record cannot be had now
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// a dead letter does not fit its contract: a defect
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("{position}: unreadable record of weir's own: {what}")]
    Unreadable { position: Position, what: String },
}

/// What the sink works with.
#[derive(Clone)]
pub struct StoreContext {
    /// the log
    pub log: Arc<dyn Log>,
    /// the store
    pub store: Arc<dyn Store>,
    /// when something failed, and how old records are
    pub clock: Clock,
    /// the wish to stop
    pub stop: Stop,
    /// told to stop where the sink must not go on
    pub process: Stop,
}

/// A running store sink.
#[derive(Debug)]
pub struct StoreSink {
    thread: JoinHandle<Result<(), StoreSinkFailure>>,
}

impl StoreSink {
    /// Starts the sink on a thread of its own, which runs until a stop is wanted.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(context: StoreContext, health: &Health) -> Result<StoreSink, StoreSinkFailure> {
        let part = health.part(SINK);
        let thread = std::thread::Builder::new()
            .name("weir-store".into())
            .spawn(move || {
                let ended = pump_again(&context, &part);
                if ended.is_err() {
                    // a process that lacks its sink is of no use
                    context.process.stop();
                }
                ended
            })
            .map_err(StoreSinkFailure::Start)?;
        Ok(StoreSink { thread })
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it has ended after a stop.
    ///
    /// # Errors
    /// When it panicked, or another process has its identity.
    pub fn join(self) -> Result<(), StoreSinkFailure> {
        self.thread.join().unwrap_or(Err(StoreSinkFailure::Lost))
    }

    /// Whether everything that is on the output topics now is stored and committed.
    ///
    /// # Errors
    /// When the log cannot be asked.
    pub fn caught_up(log: &dyn Log) -> Result<bool, LogError> {
        log.caught_up(GROUP, &TOPICS)
    }
}

/// Pumps until a stop is wanted; after a failure from the committed positions again.
fn pump_again(context: &StoreContext, part: &Part) -> Result<(), StoreSinkFailure> {
    let mut restarts = Restarts::begin(SINK);
    while !context.stop.is_stopped() {
        let ended = Pump::begin(context, part).map_err(Crash::from).and_then(Pump::run);
        let Err(crash) = ended else {
            return Ok(());
        };
        let told = crash.to_string();
        let code = match crash {
            Crash::Log(error) if restarts.is_usurped(&error) => {
                part.not_ready(error.to_string());
                return Err(StoreSinkFailure::Fenced(error));
            }
            Crash::Log(_) => "log",
            Crash::Store(error) => error.code(),
            Crash::Registry(_) => "registry",
            Crash::Encode(_) => "encode",
            Crash::Unreadable { .. } => "unreadable",
        };
        counter!(metric::SINK_ERRORS, "sink" => SINK, "code" => code).increment(1);
        gauge!(metric::SINK_IN_FLIGHT, "sink" => SINK).set(0);
        let pause = restarts.pause(code);
        tracing::error!(crash = told, ?pause, "store sink failed, starting again");
        part.not_ready(format!("{told}; starting again"));
        if context.stop.wait(pause) {
            return Ok(());
        }
    }
    Ok(())
}

/// One life of the sink.
struct Pump<'a> {
    context: &'a StoreContext,
    part: &'a Part,
    consumer: Box<dyn Consumer>,
    appender: Box<dyn Appender>,
    letters: Letters,
    lag: Lag,
    /// records of the next chunk: half as many after each write that was not done in time
    chunk: usize,
    /// how long the store has been away, and the pause before it is asked again
    away: Option<(Instant, Duration)>,
}

/// How a chunk came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// durable, its positions committed
    Done,
    /// the store is away, and has been waited for
    Away,
    /// the store is away and a stop is wanted: the next start stores it
    Stopped,
}

impl<'a> Pump<'a> {
    fn begin(context: &'a StoreContext, part: &'a Part) -> Result<Pump<'a>, LogError> {
        Ok(Pump {
            context,
            part,
            consumer: context.log.consumer(&Member::sole(GROUP), &TOPICS)?,
            appender: context.log.appender()?,
            letters: Letters::new(),
            lag: Lag::default(),
            chunk: limits().sink_batch_records,
            away: None,
        })
    }

    fn run(mut self) -> Result<(), Crash> {
        let mut records = Vec::new();
        let mut deadline = None;
        let log = self.context.log.as_ref();
        loop {
            if self.context.stop.is_stopped() {
                // what was committed is stored, if that can be done soon
                let now = Instant::now();
                let deadline = *deadline.get_or_insert(now + limits().drain_deadline);
                let caught_up = StoreSink::caught_up(log).unwrap_or_else(|error| {
                    tracing::warn!(%error, "the store sink does not know how far it is behind");
                    false
                });
                if now >= deadline || caught_up {
                    return Ok(());
                }
            }
            match self.consumer.poll(limits().poll_wait, &mut records)? {
                Polled::Assigned(partitions) => {
                    let positions = committed(log, &partitions)?;
                    self.consumer.start(&positions)?;
                    self.lag.assigned(&positions);
                    match self.context.store.check() {
                        Ok(()) => self.part.ready(),
                        // the sink waits for it when there is something to store
                        Err(error) if error.passes() => self.part.not_ready(error.to_string()),
                        Err(error) => return Err(error.into()),
                    }
                }
                Polled::Revoked { partitions, .. } => {
                    records.clear();
                    self.consumer.release();
                    self.lag.revoked(&partitions);
                }
                Polled::Records => {
                    let mut left = records.as_slice();
                    while !left.is_empty() {
                        let (chunk, rest) = left.split_at(left.len().min(self.chunk));
                        match self.store(chunk)? {
                            Stored::Done => left = rest,
                            Stored::Away => {}
                            Stored::Stopped => return Ok(()),
                        }
                    }
                    records.clear();
                }
            }
            self.lag.measure(log, &self.context.clock);
        }
    }

    /// Stores a chunk and commits its positions.
    fn store(&mut self, chunk: &[Record]) -> Result<Stored, Crash> {
        let started = Instant::now();
        gauge!(metric::SINK_IN_FLIGHT, "sink" => SINK).set(chunk.len() as f64);
        let bytes_max = self.context.store.record_bytes_max();
        let now = Millis(self.context.clock.now_ms());
        let mut rows = Rows::default();
        let mut next: BTreeMap<(Topic, u32), i64> = BTreeMap::new();
        self.letters.clear();
        for record in chunk {
            if self.letters.pass(record, bytes_max, now)? {
                add(record, &mut rows)?;
            }
            let position = record.position;
            next.insert((position.topic, position.partition), position.offset + 1);
        }
        self.lag.took(chunk);
        match self.context.store.write(&Arc::new(rows)) {
            Ok(()) => self.back(),
            Err(error) if error.passes() => return self.is_away(&error),
            Err(error) => return Err(error.into()),
        }
        self.letters.post(self.appender.as_mut())?;
        let positions: Vec<Position> = next
            .into_iter()
            .map(|((topic, partition), offset)| Position { topic, partition, offset })
            .collect();
        self.consumer.commit(&positions)?;
        self.lag.stored(&positions, chunk);
        count_rows(chunk);
        gauge!(metric::SINK_IN_FLIGHT, "sink" => SINK).set(0);
        counter!(metric::SINK_RECEIVED, "sink" => SINK).increment(chunk.len() as u64);
        counter!(metric::SINK_SENT, "sink" => SINK).increment(chunk.len() as u64);
        histogram!(metric::SINK_SECONDS, "sink" => SINK).record(started.elapsed().as_secs_f64());
        Ok(Stored::Done)
    }

    /// A write was not done: waits, ever longer, and makes the next one smaller, so that a store that
    /// is only slow gets on.
    fn is_away(&mut self, error: &StoreError) -> Result<Stored, Crash> {
        counter!(metric::SINK_ERRORS, "sink" => SINK, "code" => error.code()).increment(1);
        if self.away.is_none() {
            tracing::warn!(%error, "the store is away, the sink pauses");
            self.hold(true);
        }
        let (since, pause) = self.away.unwrap_or((Instant::now(), limits().store_pause));
        self.away = Some((since, (pause * 2).min(limits().store_pause_max)));
        self.chunk = (self.chunk / 2).max(1);
        self.part.not_ready(error.to_string());
        match self.wait(pause)? {
            true => Ok(Stored::Away),
            false => Ok(Stored::Stopped),
        }
    }

    fn back(&mut self) {
        self.chunk = (self.chunk * 2).min(limits().sink_batch_records);
        if let Some((since, _)) = self.away.take() {
            tracing::info!(away = ?since.elapsed(), "the store is back, the sink goes on");
            self.hold(false);
        }
        self.part.ready();
    }

    /// Waits while the group is told that we live. False where a stop is wanted.
    fn wait(&mut self, pause: Duration) -> Result<bool, LogError> {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(true);
            }
            if self.context.stop.wait(left.min(ALIVE_EVERY)) {
                return Ok(false);
            }
            self.consumer.keep_alive()?;
            self.lag.measure(self.context.log.as_ref(), &self.context.clock);
        }
    }

    /// Stops or resumes delivery, so that telling the group that we live brings nothing.
    fn hold(&mut self, held: bool) {
        for (topic, partition) in self.lag.owned() {
            self.consumer.pause(topic, partition, held);
        }
    }
}

fn count_rows(records: &[Record]) {
    for (topic, table) in [
        (Topic::Decisions, "decision"),
        (Topic::Escalations, "escalation"),
        (Topic::Rollups, "rollup"),
        (Topic::Deliveries, "delivery"),
    ] {
        let count = records.iter().filter(|record| record.position.topic == topic).count();
        if count > 0 {
            counter!(metric::STORE_ROWS, "table" => table).increment(count as u64);
        }
    }
}

/// How far the sink is behind, over everything it owns.
#[derive(Default)]
struct Lag {
    next: BTreeMap<(Topic, u32), i64>,
    /// when the record of each partition that was stored last was written, before the first one that
    /// of the record to be stored
    written: BTreeMap<(Topic, u32), i64>,
    measured: Option<Instant>,
    backlog: Backlog,
}

impl Lag {
    fn assigned(&mut self, positions: &[Position]) {
        let key = |position: &Position| ((position.topic, position.partition), position.offset);
        self.next.extend(positions.iter().map(key));
    }

    fn revoked(&mut self, partitions: &[u32]) {
        self.next.retain(|(_, partition), _| !partitions.contains(partition));
        self.written.retain(|(_, partition), _| !partitions.contains(partition));
        for (topic, partition) in
            TOPICS.into_iter().flat_map(|t| partitions.iter().map(move |p| (t, *p)))
        {
            self.backlog.forget((topic, partition));
        }
        if self.next.is_empty() {
            tell_lag(0, 0);
        }
    }

    fn took(&mut self, records: &[Record]) {
        for record in records {
            let key = (record.position.topic, record.position.partition);
            self.written.entry(key).or_insert(record.timestamp_ms);
        }
    }

    fn stored(&mut self, positions: &[Position], records: &[Record]) {
        self.assigned(positions);
        for record in records {
            let key = (record.position.topic, record.position.partition);
            self.written.insert(key, record.timestamp_ms);
        }
    }

    fn owned(&self) -> Vec<(Topic, u32)> {
        self.next.keys().copied().collect()
    }

    /// A log that does not answer is told by the work itself.
    fn measure(&mut self, log: &dyn Log, clock: &Clock) {
        if self.next.is_empty() || self.measured.is_some_and(|at| at.elapsed() < LAG_EVERY) {
            return;
        }
        self.measured = Some(Instant::now());
        let Ok(ends) = log.ends(&self.owned()) else { return };
        let now = clock.now_ms();
        let (mut records, mut age_ms) = (0, 0);
        for ((key, next), end) in self.next.iter().zip(ends) {
            let left = self.backlog.left(*key, *next, end);
            records += left;
            if let Some(written) = self.written.get(key).filter(|_| left > 0) {
                age_ms = age_ms.max(now - written);
            }
        }
        tell_lag(records, age_ms);
    }
}

fn tell_lag(records: i64, age_ms: i64) {
    gauge!(metric::SINK_LAG_RECORDS, "sink" => SINK).set(records as f64);
    gauge!(metric::SINK_LAG_SECONDS, "sink" => SINK).set(age_ms as f64 / 1e3);
}

fn committed(log: &dyn Log, partitions: &[u32]) -> Result<Vec<Position>, LogError> {
    let owned: Vec<(Topic, u32)> =
        TOPICS.iter().flat_map(|topic| partitions.iter().map(|p| (*topic, *p))).collect();
    log.resume_all(GROUP, &owned)
}

fn add(record: &Record, rows: &mut Rows) -> Result<(), Crash> {
    let position = record.position;
    let written_at = Millis(record.timestamp_ms);
    let unreadable = |what: String| Crash::Unreadable { position, what };
    let unread = |error: OwnError| match error {
        OwnError::Unreadable(what) => unreadable(what),
        OwnError::Unavailable(error) => Crash::Registry(error),
    };
    let id = |text: &str| Uuid::parse_str(text).map_err(|error| unreadable(error.to_string()));
    match position.topic {
        Topic::Decisions => {
            let decision: Decision<'_> =
                decode_own(Contract::Decision, record.payload()).map_err(unread)?;
            rows.decisions.push(DecisionRow {
                decision_id: id(&decision.decision_id)?,
                tenant: decision.tenant.to_string(),
                account_id: decision.account_id.to_string(),
                kind: decision.kind.name(),
                outcome: decision.outcome.name(),
                event_time: decision.event_time,
                decided_at: decision.decided_at,
                written_at,
                record: record.payload().to_vec(),
            });
        }
        Topic::Escalations => {
            let escalation: Escalation<'_> =
                decode_own(Contract::Escalation, record.payload()).map_err(unread)?;
            rows.escalations.push(EscalationRow {
                escalation_id: id(&escalation.escalation_id)?,
                decision_id: id(&escalation.decision_id)?,
                tenant: escalation.tenant.to_string(),
                account_id: escalation.account_id.to_string(),
                queue: escalation.queue.to_string(),
                priority: escalation.priority,
                created_at: escalation.created_at,
                written_at,
                record: record.payload().to_vec(),
            });
        }
        Topic::Deliveries => {
            let delivery: Delivery<'_> =
                decode_own(Contract::Delivery, record.payload()).map_err(unread)?;
            rows.deliveries.push(DeliveryRow {
                escalation_id: id(&delivery.escalation_id)?,
                channel: delivery.channel.to_string(),
                status: delivery.status.to_string(),
                attempts: u32::try_from(delivery.attempts).unwrap_or(0),
                updated_at: delivery.updated_at,
                detail: delivery.detail.to_string(),
            });
        }
        _ => {
            let rollup: Rollup = decode_own(Contract::Rollup, record.payload()).map_err(unread)?;
            add_rollup(position, written_at, rollup, rows);
        }
    }
    Ok(())
}

fn add_rollup(position: Position, written_at: Millis, rollup: Rollup, rows: &mut Rows) {
    let Position { partition, offset, .. } = position;
    let outcomes = rollup.outcomes.into_iter().map(|entry| RollupRow {
        partition,
        offset,
        written_at,
        minute: entry.minute,
        kind: entry.kind.name(),
        outcome: entry.outcome.name(),
        rule: String::new(),
        count: entry.count,
    });
    let rules = rollup.rules.into_iter().map(|entry| RollupRow {
        partition,
        offset,
        written_at,
        minute: entry.minute,
        kind: entry.kind.name(),
        outcome: "",
        rule: entry.rule,
        count: entry.count,
    });
    rows.rollups.extend(outcomes.chain(rules));
}

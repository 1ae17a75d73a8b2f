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

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};

use super::chunk::{Chunk, Unread, count};
use super::lag::Lag;
use super::letters::Letters;
use super::{Store, StoreError};
use crate::config::limits;
use crate::event::{Millis, Position, Topic};
use crate::log::{Appender, Consumer, Log, LogError, Member, Polled, Record, Restarts};
use crate::telemetry::{Clock, Health, Part, Stop, metric};

/// Name of the store sink's consumer group.
pub const GROUP: &str = "weir.store";
const TOPICS: [Topic; 4] =
    [Topic::Decisions, Topic::Escalations, Topic::Rollups, Topic::Deliveries];
/// Its name in metrics and health.
pub(super) const SINK: &str = "store";
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
    #[error(transparent)]
    Unread(#[from] Unread),
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
            Crash::Unread(Unread::Registry(_)) => "registry",
            Crash::Unread(Unread::Encode(_)) => "encode",
            Crash::Unread(Unread::Unreadable { .. }) => "unreadable",
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

    /// Stores records and commits their positions.
    fn store(&mut self, records: &[Record]) -> Result<Stored, Crash> {
        let started = Instant::now();
        gauge!(metric::SINK_IN_FLIGHT, "sink" => SINK).set(records.len() as f64);
        let bytes_max = self.context.store.record_bytes_max();
        let now = Millis(self.context.clock.now_ms());
        let mut chunk = Chunk::of(records, bytes_max, now, &mut self.letters)?;
        self.lag.took(&chunk);
        // a write that timed out may hold on to them for a while
        let rows = Arc::new(std::mem::take(&mut chunk.rows));
        match self.context.store.write(&rows) {
            Ok(()) => self.back(),
            Err(error) if error.passes() => return self.is_away(&error),
            Err(error) => return Err(error.into()),
        }
        self.letters.post(self.appender.as_mut())?;
        self.consumer.commit(&chunk.positions())?;
        self.lag.stored(&chunk);
        count(&rows);
        gauge!(metric::SINK_IN_FLIGHT, "sink" => SINK).set(0);
        counter!(metric::SINK_RECEIVED, "sink" => SINK).increment(records.len() as u64);
        counter!(metric::SINK_SENT, "sink" => SINK).increment(records.len() as u64 - chunk.skipped);
        counter!(metric::SINK_SKIPPED, "sink" => SINK).increment(chunk.skipped);
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

/// These partitions of every topic the sink reads.
pub(super) fn of_topics(partitions: &[u32]) -> impl Iterator<Item = (Topic, u32)> {
    TOPICS.into_iter().flat_map(|topic| partitions.iter().map(move |p| (topic, *p)))
}

fn committed(log: &dyn Log, partitions: &[u32]) -> Result<Vec<Position>, LogError> {
    log.resume_all(GROUP, &of_topics(partitions).collect::<Vec<_>>())
}

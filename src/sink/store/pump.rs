//! The store sink: from the output topics into the store, positions committed once stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};
use uuid::Uuid;

use super::{DecisionRow, EscalationRow, RollupRow, Rows, Store, StoreError};
use crate::codec::{Contract, decode_own};
use crate::config::limits;
use crate::event::{Decision, Escalation, Position, Rollup, Topic};
use crate::log::{Consumer, Log, LogError, Member, Polled, Record, Restarts};
use crate::telemetry::{Health, Part, Stop, metric};

/// Name of the store sink's consumer group.
pub const GROUP: &str = "weir.store";
const TOPICS: [Topic; 3] = [Topic::Decisions, Topic::Escalations, Topic::Rollups];
const SINK: &str = "store";
/// How often lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);

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
    #[error("{position}: unreadable record of weir's own: {what}")]
    Unreadable { position: Position, what: String },
}

/// A running store sink.
#[derive(Debug)]
pub struct StoreSink {
    thread: JoinHandle<Result<(), StoreSinkFailure>>,
}

impl StoreSink {
    /// Starts the sink on a thread of its own, until `stop` says so. `process` is told to stop where
    /// the sink must not go on.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        log: Arc<dyn Log>,
        store: Arc<dyn Store>,
        health: &Health,
        stop: Stop,
        process: Stop,
    ) -> Result<StoreSink, StoreSinkFailure> {
        let part = health.part(SINK);
        let thread = std::thread::Builder::new()
            .name("weir-store".into())
            .spawn(move || {
                let ended = pump_again(&log, store.as_ref(), &part, &stop);
                if ended.is_err() {
                    // a process that lacks its sink is of no use
                    process.stop();
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
fn pump_again(
    log: &Arc<dyn Log>,
    store: &dyn Store,
    part: &Part,
    stop: &Stop,
) -> Result<(), StoreSinkFailure> {
    let mut restarts = Restarts::begin();
    while !stop.is_stopped() {
        let Err(crash) = pump(log.as_ref(), store, part, stop) else {
            return Ok(());
        };
        let told = crash.to_string();
        let code = match crash {
            Crash::Log(error) if restarts.is_usurped(&error) => {
                part.not_ready(error.to_string());
                return Err(StoreSinkFailure::Fenced(error));
            }
            Crash::Log(_) => "log",
            Crash::Store(_) => "store",
            Crash::Unreadable { .. } => "unreadable",
        };
        counter!(metric::SINK_ERRORS, "sink" => SINK, "code" => code).increment(1);
        let pause = restarts.pause();
        tracing::error!(crash = told, ?pause, "store sink failed, starting again");
        part.not_ready(format!("{told}; starting again"));
        if stop.wait(pause) {
            return Ok(());
        }
    }
    Ok(())
}

fn pump(log: &dyn Log, store: &dyn Store, part: &Part, stop: &Stop) -> Result<(), Crash> {
    let member = Member { group: GROUP.to_owned(), index: 0, count: 1 };
    let mut consumer = log.consumer(&member, &TOPICS)?;
    let mut records = Vec::new();
    let mut deadline = None;
    let mut lag = Lag::default();
    loop {
        if stop.is_stopped() {
            // what was committed is stored, if that can be done soon
            let now = Instant::now();
            let deadline = *deadline.get_or_insert(now + limits().drain_deadline);
            if now >= deadline || StoreSink::caught_up(log)? {
                return Ok(());
            }
        }
        match consumer.poll(limits().poll_wait, &mut records)? {
            Polled::Assigned(partitions) => {
                let positions = committed(log, &partitions)?;
                consumer.start(&positions)?;
                lag.assigned(&positions);
                part.ready();
            }
            Polled::Revoked { partitions, .. } => {
                records.clear();
                consumer.release();
                lag.revoked(&partitions);
            }
            Polled::Records => {
                for chunk in records.chunks(limits().sink_batch_records) {
                    store_chunk(store, consumer.as_mut(), chunk, &mut lag)?;
                }
                records.clear();
            }
        }
        lag.measure(log);
    }
}

/// How far the sink is behind, over everything it owns.
#[derive(Default)]
struct Lag {
    next: BTreeMap<(Topic, u32), i64>,
    measured: Option<Instant>,
}

impl Lag {
    fn assigned(&mut self, positions: &[Position]) {
        let key = |position: &Position| ((position.topic, position.partition), position.offset);
        self.next.extend(positions.iter().map(key));
    }

    fn revoked(&mut self, partitions: &[u32]) {
        self.next.retain(|(_, partition), _| !partitions.contains(partition));
    }

    /// A log that does not answer is told by the work itself.
    fn measure(&mut self, log: &dyn Log) {
        if self.next.is_empty() || self.measured.is_some_and(|at| at.elapsed() < LAG_EVERY) {
            return;
        }
        self.measured = Some(Instant::now());
        let owned: Vec<(Topic, u32)> = self.next.keys().copied().collect();
        let Ok(ends) = log.ends(&owned) else { return };
        let behind: i64 =
            ends.iter().zip(self.next.values()).map(|(end, next)| (end - next).max(0)).sum();
        gauge!(metric::SINK_LAG_RECORDS, "sink" => SINK).set(behind as f64);
    }
}

fn committed(log: &dyn Log, partitions: &[u32]) -> Result<Vec<Position>, LogError> {
    let owned: Vec<(Topic, u32)> =
        TOPICS.iter().flat_map(|topic| partitions.iter().map(|p| (*topic, *p))).collect();
    log.resume_all(GROUP, &owned)
}

fn store_chunk(
    store: &dyn Store,
    consumer: &mut dyn Consumer,
    records: &[Record],
    lag: &mut Lag,
) -> Result<(), Crash> {
    if records.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    counter!(metric::SINK_RECEIVED, "sink" => SINK).increment(records.len() as u64);
    let mut rows = Rows::default();
    let mut positions: Vec<Position> = Vec::new();
    for record in records {
        add(record, &mut rows)?;
        let next = Position { offset: record.position.offset + 1, ..record.position };
        let same =
            |known: &&mut Position| (known.topic, known.partition) == (next.topic, next.partition);
        match positions.iter_mut().find(same) {
            Some(known) => *known = next,
            None => positions.push(next),
        }
    }
    store.write(rows)?;
    consumer.commit(&positions)?;
    lag.assigned(&positions);
    counter!(metric::SINK_SENT, "sink" => SINK).increment(records.len() as u64);
    histogram!(metric::SINK_SECONDS, "sink" => SINK).record(started.elapsed().as_secs_f64());
    Ok(())
}

fn add(record: &Record, rows: &mut Rows) -> Result<(), Crash> {
    let position = record.position;
    let unreadable = |what: String| Crash::Unreadable { position, what };
    let id = |text: &str| Uuid::parse_str(text).map_err(|error| unreadable(error.to_string()));
    match position.topic {
        Topic::Decisions => {
            let decision: Decision<'_> = decode_own(Contract::Decision, record.payload())
                .map_err(|error| unreadable(error.to_string()))?;
            rows.decisions.push(DecisionRow {
                decision_id: id(&decision.decision_id)?,
                tenant: decision.tenant.to_string(),
                account_id: decision.account_id.to_string(),
                kind: decision.kind.name(),
                outcome: decision.outcome.name(),
                event_time: decision.event_time,
                decided_at: decision.decided_at,
                record: record.payload().to_vec(),
            });
        }
        Topic::Escalations => {
            let escalation: Escalation<'_> = decode_own(Contract::Escalation, record.payload())
                .map_err(|error| unreadable(error.to_string()))?;
            rows.escalations.push(EscalationRow {
                escalation_id: id(&escalation.escalation_id)?,
                decision_id: id(&escalation.decision_id)?,
                tenant: escalation.tenant.to_string(),
                account_id: escalation.account_id.to_string(),
                queue: escalation.queue.to_string(),
                priority: escalation.priority,
                created_at: escalation.created_at,
                record: record.payload().to_vec(),
            });
        }
        _ => {
            let rollup: Rollup = decode_own(Contract::Rollup, record.payload())
                .map_err(|error| unreadable(error.to_string()))?;
            add_rollup(position, rollup, rows);
        }
    }
    Ok(())
}

fn add_rollup(position: Position, rollup: Rollup, rows: &mut Rows) {
    let Position { partition, offset, .. } = position;
    let outcomes = rollup.outcomes.into_iter().map(|entry| RollupRow {
        partition,
        offset,
        minute: entry.minute,
        kind: entry.kind.name(),
        outcome: entry.outcome.name(),
        rule: String::new(),
        count: entry.count,
    });
    let rules = rollup.rules.into_iter().map(|entry| RollupRow {
        partition,
        offset,
        minute: entry.minute,
        kind: entry.kind.name(),
        outcome: "",
        rule: entry.rule,
        count: entry.count,
    });
    rows.rollups.extend(outcomes.chain(rules));
}

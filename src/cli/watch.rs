//! Watches the output topics from outside, as a user of them would: what the demo shows and counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Exit, Failure};
use crate::codec::{Contract, decode_own, erased_by};
use crate::event::{Decision, Kind, Outcome, Position, Topic};
use crate::log::{Log, LogError, Reader, Record};
use crate::telemetry::Stop;

/// How often the topics are looked at.
const LOOK: Duration = Duration::from_millis(2);
/// Escalated decisions shown a second.
const SHOWN_A_SECOND: u32 = 4;
/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;
/// Events whose decision is waited for, and latencies kept; beyond it nothing is measured.
const MEASURED_MAX: usize = 2_000_000;

/// When each event was due to arrive.
#[derive(Debug, Default)]
pub(super) struct Due(HashMap<Position, Instant>);

impl Due {
    pub(super) fn expect(&mut self, position: Position, due: Instant) {
        if self.0.len() < MEASURED_MAX && position.topic != Topic::Labels {
            self.0.insert(position, due);
        }
    }
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) decisions: HashMap<(Kind, Outcome), u64>,
    pub(super) escalations: u64,
    pub(super) dead_letters: u64,
    /// id of an escalated decision, to have one to explain
    pub(super) sample: Option<String>,
    latencies_ms: Vec<f64>,
}

impl Seen {
    /// The latency that this share of decisions stayed below, in milliseconds.
    pub(super) fn latency_at(&self, share: f64) -> Option<f64> {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() as f64 * share) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).copied()
    }
}

/// A running watch.
pub(super) struct Watch {
    stop: Stop,
    thread: JoinHandle<Seen>,
}

impl Watch {
    /// Watches from where the topics end now.
    pub(super) fn start(log: Arc<dyn Log>, due: Arc<Mutex<Due>>) -> Result<Watch, Failure> {
        let stop = Stop::default();
        let mut watcher = Watcher {
            reader: log.reader()?,
            next: HashMap::new(),
            seen: Seen::default(),
            shown: (Instant::now(), 0),
            due,
        };
        for topic in [Topic::Decisions, Topic::Escalations, Topic::DeadLetters] {
            for partition in 0..log.partitions(topic)? {
                watcher.next.insert((topic, partition), log.end(topic, partition)?);
            }
        }
        let wanted = stop.clone();
        let thread = std::thread::Builder::new()
            .name("weir-watch".into())
            .spawn(move || {
                while !wanted.wait(LOOK) {
                    watcher.look(log.as_ref());
                }
                // what was committed before the stop is seen too
                watcher.look(log.as_ref());
                watcher.seen
            })
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(Watch { stop, thread })
    }

    /// Looks a last time and gives what was seen.
    pub(super) fn end(self) -> Seen {
        self.stop.stop();
        self.thread.join().unwrap_or_default()
    }
}

struct Watcher {
    reader: Box<dyn Reader>,
    next: HashMap<(Topic, u32), i64>,
    seen: Seen,
    shown: (Instant, u32),
    due: Arc<Mutex<Due>>,
}

impl Watcher {
    fn look(&mut self, log: &dyn Log) {
        let inputs: Vec<(Topic, u32)> = self.next.keys().copied().collect();
        for (topic, partition) in inputs {
            if let Err(error) = self.read(log, topic, partition) {
                tracing::warn!(%topic, partition, %error, "cannot watch");
            }
        }
    }

    fn read(&mut self, log: &dyn Log, topic: Topic, partition: u32) -> Result<(), LogError> {
        let end = log.end(topic, partition)?;
        let mut offset = self.next.get(&(topic, partition)).copied().unwrap_or(end);
        while offset < end {
            let mut records = Vec::new();
            let from = Position { topic, partition, offset };
            let next = self.reader.read(from, end, READ_BYTES, &mut records)?;
            for record in &records {
                match topic {
                    Topic::Decisions => self.decision(record),
                    Topic::Escalations if erased_by(record).is_some() => {}
                    Topic::Escalations => self.seen.escalations += 1,
                    _ => self.seen.dead_letters += 1,
                }
            }
            if next == offset {
                break;
            }
            offset = next;
        }
        self.next.insert((topic, partition), offset);
        Ok(())
    }

    fn decision(&mut self, record: &Record) {
        let Ok(decision) = decode_own::<Decision<'_>>(Contract::Decision, record.payload()) else {
            tracing::warn!(position = %record.position, "unreadable decision");
            return;
        };
        *self.seen.decisions.entry((decision.kind, decision.outcome)).or_default() += 1;
        let source = Topic::from_name(&decision.source.topic).map(|topic| Position {
            topic,
            partition: record.position.partition,
            offset: decision.source.offset,
        });
        let due = source.and_then(|source| {
            self.due.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&source)
        });
        if let Some(due) = due.filter(|_| self.seen.latencies_ms.len() < MEASURED_MAX) {
            self.seen.latencies_ms.push(due.elapsed().as_secs_f64() * 1_000.0);
        }
        if matches!(decision.outcome, Outcome::Review | Outcome::Block) {
            self.seen.sample = Some(decision.decision_id.to_string());
            self.show(&decision);
        }
    }

    fn show(&mut self, decision: &Decision<'_>) {
        if self.shown.0.elapsed() >= Duration::from_secs(1) {
            self.shown = (Instant::now(), 0);
        }
        if self.shown.1 >= SHOWN_A_SECOND {
            return;
        }
        self.shown.1 += 1;
        let reason = decision.reasons.first().map_or("", |reason| reason.text.as_str());
        say!(
            "{:<7} {:<12} {:<16} {:<13} {:.2}  {reason}",
            decision.outcome.name(),
            decision.kind.label(),
            &*decision.subject_id,
            &*decision.account_id,
            decision.score,
        );
    }
}

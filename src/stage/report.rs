//! What a worker has done, as metrics: flushed once a batch, nothing per record but two stores.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};

use super::committer::Committed;
use crate::event::{Millis, Position, Topic};
use crate::log::Log;
use crate::state::State;
use crate::telemetry::metric;

/// How often lag and memory are measured.
const MEASURE: Duration = Duration::from_secs(1);
/// How often the memory of all accounts is added up, which takes a walk over them.
const WEIGH: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
struct Input {
    next: i64,
    last_time: Option<Millis>,
}

/// Reports for one worker.
pub struct Reporter {
    log: Arc<dyn Log>,
    worker: String,
    inputs: HashMap<(Topic, u32), Input>,
    measured: Instant,
    weighed: Option<Instant>,
}

impl Reporter {
    /// A reporter that has nothing to say yet.
    pub fn new(log: Arc<dyn Log>, worker: u32) -> Reporter {
        Reporter {
            log,
            worker: worker.to_string(),
            inputs: HashMap::new(),
            measured: Instant::now(),
            weighed: None,
        }
    }

    /// Partitions were restored and begin here.
    pub fn assigned(&mut self, starts: &[Position], took: Duration) {
        histogram!(metric::RESTORE_SECONDS).record(took.as_secs_f64());
        for start in starts {
            let input = Input { next: start.offset, last_time: None };
            self.inputs.insert((start.topic, start.partition), input);
        }
    }

    /// A partition was given up.
    pub fn revoked(&mut self, partition: u32) {
        self.inputs.retain(|(_, of), _| *of != partition);
    }

    /// A record was taken.
    pub fn took(&mut self, position: Position, time: Millis) {
        if let Some(input) = self.inputs.get_mut(&(position.topic, position.partition)) {
            input.next = position.offset + 1;
            input.last_time = (time.0 != i64::MIN).then_some(time);
        }
    }

    /// A batch was committed.
    pub fn committed(&self, committed: &Committed) {
        let tally = committed.batch.tally();
        for (topic, count) in &tally.received {
            counter!(metric::RECEIVED, "topic" => topic.name()).increment(*count);
        }
        for ((kind, outcome), count) in &tally.decisions {
            let (kind, outcome) = (kind.label(), outcome.name());
            counter!(metric::DECISIONS, "kind" => kind, "outcome" => outcome).increment(*count);
        }
        for (kind, count) in &tally.escalations {
            counter!(metric::ESCALATIONS, "kind" => kind.label()).increment(*count);
        }
        for (topic, count) in &tally.duplicates {
            counter!(metric::DUPLICATES, "topic" => topic.name()).increment(*count);
        }
        for ((stage, code), count) in &tally.refused {
            counter!(metric::DEAD_LETTERS, "stage" => *stage, "code" => *code).increment(*count);
        }
        counter!(metric::COMMITS).increment(1);
        histogram!(metric::COMMIT_SECONDS).record(committed.took.as_secs_f64());
        if let Some(since) = committed.batch.since {
            histogram!(metric::BATCH_SECONDS).record(since.elapsed().as_secs_f64());
        }
    }

    /// Measures lag and memory, now and then, whether or not anything is committed.
    pub fn look(&mut self, states: &HashMap<u32, State>, now_ms: i64) {
        if self.measured.elapsed() >= MEASURE {
            self.measured = Instant::now();
            self.measure(now_ms);
            self.weigh(states);
        }
    }

    /// Lag, measured by weir itself: where the log ends, less where this worker is.
    fn measure(&self, now_ms: i64) {
        let mut by_topic: HashMap<Topic, (i64, Option<Millis>)> = HashMap::new();
        for ((topic, partition), input) in &self.inputs {
            let Ok(end) = self.log.end(*topic, *partition) else {
                continue;
            };
            let behind = (end - input.next).max(0);
            let (total, oldest) = by_topic.entry(*topic).or_default();
            *total += behind;
            if behind > 0 {
                *oldest = match (*oldest, input.last_time) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
        }
        for (topic, (records, oldest)) in by_topic {
            let seconds = oldest.map_or(0.0, |oldest| (now_ms - oldest.0).max(0) as f64 / 1e3);
            let worker = || self.worker.clone();
            let lag = gauge!(metric::LAG_RECORDS, "worker" => worker(), "topic" => topic.name());
            lag.set(records as f64);
            let lag = gauge!(metric::LAG_SECONDS, "worker" => worker(), "topic" => topic.name());
            lag.set(seconds);
        }
    }

    fn weigh(&mut self, states: &HashMap<u32, State>) {
        let accounts: usize = states.values().map(State::len).sum();
        gauge!(metric::ACCOUNTS, "worker" => self.worker.clone()).set(accounts as f64);
        if self.weighed.is_none_or(|weighed| weighed.elapsed() >= WEIGH) {
            self.weighed = Some(Instant::now());
            let bytes: usize = states.values().map(State::bytes).sum();
            gauge!(metric::STATE_BYTES, "worker" => self.worker.clone()).set(bytes as f64);
        }
    }
}

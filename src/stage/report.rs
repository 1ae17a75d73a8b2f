//! What a worker has done, as metrics: flushed once a batch, nothing per record but two stores.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use metrics::{counter, gauge, histogram};

use super::committer::Committed;
use super::lag::{Place, Progress};
use crate::event::{Millis, Position, Topic};
use crate::log::Record;
use crate::state::State;
use crate::telemetry::metric;

/// How often memory is measured, and lag is told of at least.
const MEASURE: Duration = Duration::from_millis(500);
/// How often the memory of all accounts is added up, which takes a walk over them.
const WEIGH: Duration = Duration::from_secs(30);

/// Reports for one worker.
pub struct Reporter {
    progress: Progress,
    worker: u32,
    inputs: HashMap<(Topic, u32), Place>,
    first_assignment: bool,
    measured: Instant,
    weighed: Option<Instant>,
    /// records taken and not yet committed
    in_flight: usize,
}

impl Reporter {
    /// Something else decides from now on.
    pub fn renewed(&self, version: i64, held: Duration) {
        histogram!(metric::POLICY_HELD_SECONDS).record(held.as_secs_f64());
        tracing::info!(
            worker = self.worker,
            version,
            held_us = held.as_micros(),
            "another policy decides"
        );
    }

    /// A reporter that has nothing to say yet.
    pub fn new(progress: Progress, worker: u32) -> Reporter {
        Reporter {
            progress,
            worker,
            inputs: HashMap::new(),
            first_assignment: true,
            measured: Instant::now(),
            weighed: None,
            in_flight: 0,
        }
    }

    /// Partitions were restored and begin here.
    pub fn assigned(&mut self, starts: &[Position], took: Duration) {
        histogram!(metric::RESTORE_SECONDS).record(took.as_secs_f64());
        if std::mem::take(&mut self.first_assignment) {
            // what an earlier life had is somebody else's, or comes now
            self.progress.forget(self.worker, None);
        }
        for start in starts {
            let place =
                Place { worker: self.worker, next: start.offset, event_time: None, written: None };
            self.inputs.insert((start.topic, start.partition), place);
        }
        self.publish();
    }

    /// A partition was given up.
    pub fn revoked(&mut self, partition: u32) {
        self.inputs.retain(|(_, of), _| *of != partition);
        self.progress.forget(self.worker, Some(partition));
    }

    /// What was taken is dropped: somebody takes it again.
    pub fn dropped(&mut self) {
        self.in_flight = 0;
    }

    /// A record was taken.
    pub fn took(&mut self, record: &Record, time: Millis) {
        self.in_flight += 1;
        let position = record.position;
        if let Some(place) = self.inputs.get_mut(&(position.topic, position.partition)) {
            place.next = position.offset + 1;
            place.event_time = (time.0 != i64::MIN).then_some(time);
            place.written = Some(Millis(record.timestamp_ms));
        }
    }

    fn publish(&self) {
        self.progress.put(self.inputs.iter().map(|(key, place)| (*key, *place)));
    }

    /// A batch was committed.
    pub fn committed(&mut self, committed: &Committed, now: Millis) {
        self.in_flight = self.in_flight.saturating_sub(committed.batch.taken);
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
            let topic = topic.name();
            counter!(metric::DISCARDED, "topic" => topic, "reason" => "duplicate")
                .increment(*count);
        }
        for (topic, count) in &tally.late {
            counter!(metric::LATE, "topic" => topic.name()).increment(*count);
        }
        for ((stage, code), count) in &tally.refused {
            counter!(metric::DEAD_LETTERS, "stage" => *stage, "code" => *code).increment(*count);
        }
        for (without, count) in &tally.degraded {
            counter!(metric::DEGRADED, "reason" => without.clone()).increment(*count);
        }
        for (stage, count) in &tally.fired {
            counter!(metric::DEADLINES_FIRED, "stage" => stage.clone()).increment(*count);
        }
        for (topic, count) in &tally.erased {
            counter!(metric::ERASURES, "topic" => topic.name()).increment(*count);
        }
        let mut sent = [0; Topic::ALL.len()];
        committed.batch.records.iter().for_each(|record| sent[record.topic as usize] += 1);
        for (topic, count) in Topic::ALL.into_iter().zip(sent).filter(|(_, count)| *count > 0) {
            counter!(metric::SENT, "topic" => topic.name()).increment(count);
        }
        counter!(metric::SENT_BYTES).increment(committed.batch.records.bytes() as u64);
        let latency = histogram!(metric::DECISION_SECONDS);
        for written in committed.batch.written.kept() {
            latency.record((now.0 - written).max(0) as f64 / 1e3);
        }
        counter!(metric::COMMITS).increment(1);
        histogram!(metric::COMMIT_SECONDS).record(committed.took.as_secs_f64());
        if let Some(since) = committed.batch.since {
            histogram!(metric::BATCH_SECONDS).record(since.elapsed().as_secs_f64());
        }
    }

    /// Tells where the worker is and measures memory, now and then, whether or not anything is
    /// committed.
    pub fn look(&mut self, states: &HashMap<u32, State>, buffered: usize) {
        if self.measured.elapsed() >= MEASURE {
            self.measured = Instant::now();
            let worker = || self.worker.to_string();
            gauge!(metric::IN_FLIGHT, "worker" => worker()).set(self.in_flight as f64);
            gauge!(metric::BUFFERED, "worker" => worker()).set(buffered as f64);
            let owned: BTreeSet<u32> =
                self.inputs.keys().map(|(_, partition)| *partition).collect();
            gauge!(metric::PARTITIONS, "worker" => worker()).set(owned.len() as f64);
            self.publish();
            self.weigh(states);
        }
    }

    fn weigh(&mut self, states: &HashMap<u32, State>) {
        let accounts: usize = states.values().map(State::len).sum();
        gauge!(metric::ACCOUNTS, "worker" => self.worker.to_string()).set(accounts as f64);
        let scheduled: usize = states.values().map(State::scheduled).sum();
        gauge!(metric::DEADLINES, "worker" => self.worker.to_string()).set(scheduled as f64);
        if self.weighed.is_none_or(|weighed| weighed.elapsed() >= WEIGH) {
            self.weighed = Some(Instant::now());
            let bytes: usize = states.values().map(State::bytes).sum();
            gauge!(metric::STATE_BYTES, "worker" => self.worker.to_string()).set(bytes as f64);
        }
    }
}

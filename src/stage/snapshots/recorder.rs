//! The worker's end: which shard is due, and the copy of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError, bounded};
use metrics::{counter, histogram};

use super::keeper::{Job, Keeper};
use super::{Captured, Means};
use crate::event::{Position, Topic};
use crate::log::LogError;
use crate::log::faults::Faults;
use crate::snapshot::{Series, Vector};
use crate::state::Range;
use crate::telemetry::{Clock, metric};

/// Shards that wait for the keeper at most.
const QUEUE: usize = 8;
/// Intervals after which a range that has not changed is captured again.
const QUIET_INTERVALS: u32 = 10;
/// How long a worker is held at a time to copy what is due.
const HOLD: Duration = Duration::from_millis(2);

/// What is known of a series' snapshots while it is captured.
#[derive(Debug)]
struct Rolling {
    began: Instant,
    /// ranges of this interval that are still to be captured
    due: VecDeque<Range>,
    planned: usize,
    /// when each range was captured last
    captured: BTreeMap<Range, Instant>,
}

impl Rolling {
    fn wants(&self, interval: Duration) -> bool {
        let passed = self.began.elapsed();
        if self.due.is_empty() {
            return passed >= interval;
        }
        // evenly over a third of the interval: the oldest shard says how much is read again
        let captured = self.planned - self.due.len();
        let (passed, interval) = (passed.as_secs_f64(), interval.as_secs_f64());
        passed * 3.0 * self.planned as f64 >= interval * captured as f64
    }
}

/// The worker's end.
#[derive(Debug)]
pub struct Recorder {
    interval: Duration,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// does the keeper's work in place, for tests that want it to be the same each time
    keeper: Option<Box<Keeper>>,
    committed: Arc<Mutex<Vector>>,
    /// of what something was captured that could not be stored
    lost: Arc<Mutex<BTreeSet<Series>>>,
    series: BTreeMap<Series, Rolling>,
    /// whose turn it is
    turn: usize,
}

impl Recorder {
    /// Starts the keeper on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        means: &Means,
        feature_set: &str,
        clock: Clock,
        name: &str,
    ) -> Result<Recorder, LogError> {
        let keeper = Keeper::new(means, feature_set, clock, Faults::default());
        let (committed, lost) = (Arc::clone(&keeper.committed), Arc::clone(&keeper.lost));
        let (jobs, queue) = bounded(QUEUE);
        let thread = std::thread::Builder::new()
            .name(format!("weir-keeper-{name}"))
            .spawn(move || keeper.run(&queue))
            .map_err(|source| LogError::Io {
                doing: "start",
                path: "the keeper's thread".into(),
                source,
            })?;
        Ok(Recorder {
            interval: means.interval,
            jobs: Some(jobs),
            thread: Some(thread),
            keeper: None,
            committed,
            lost,
            series: BTreeMap::new(),
            turn: 0,
        })
    }

    /// A recorder that does everything at once, in place.
    #[cfg(test)]
    pub fn in_place(means: &Means, feature_set: &str, clock: Clock, faults: Faults) -> Recorder {
        let keeper = Keeper::new(means, feature_set, clock, faults);
        Recorder {
            interval: means.interval,
            jobs: None,
            thread: None,
            committed: Arc::clone(&keeper.committed),
            lost: Arc::clone(&keeper.lost),
            keeper: Some(Box::new(keeper)),
            series: BTreeMap::new(),
            turn: 0,
        }
    }

    /// A partition was taken over; everything in it counts as changed.
    pub fn assigned(
        &mut self,
        captured: &mut dyn Captured,
        series: Series,
        committed: &[Position],
    ) {
        self.committed(committed);
        let due: VecDeque<Range> = captured.ranges(series).into();
        let (began, planned) = (Instant::now(), due.len());
        let rolling = Rolling { began, planned, due, captured: BTreeMap::new() };
        self.series.insert(series, rolling);
    }

    /// A partition is somebody else's.
    ///
    /// # Errors
    /// When a test wants it so.
    pub fn revoked(&mut self, series: Series) -> Result<(), LogError> {
        if self.series.remove(&series).is_some() {
            self.send(Job::Forget { series })?;
        }
        Ok(())
    }

    /// These positions are committed.
    pub fn committed(&self, positions: &[Position]) {
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        positions.iter().for_each(|position| committed.set(*position));
    }

    /// Captures what is due, but for no longer than a moment. Only between batches: `taken` says up to
    /// where records are in the state, and nothing else may be.
    ///
    /// # Errors
    /// When a test wants it so.
    pub fn look(
        &mut self,
        captured: &mut dyn Captured,
        taken: &BTreeMap<(Topic, u32), i64>,
    ) -> Result<(), LogError> {
        let started = Instant::now();
        let mut held = false;
        let wanting = |recorder: &Recorder| -> Vec<Series> {
            let wants = |rolling: &Rolling| rolling.wants(recorder.interval);
            let series = recorder.series.iter().filter(|(_, rolling)| wants(rolling));
            series.map(|(series, _)| *series).collect()
        };
        let has_time = |held: bool| !held || started.elapsed() < HOLD;
        let mut went_on = true;
        while went_on && has_time(held) {
            went_on = false;
            let mut wanting = wanting(self);
            // whoever was left out last time comes first
            let first = self.turn % wanting.len().max(1);
            wanting.rotate_left(first);
            for series in wanting {
                // a shard may bring a manifest with it
                if self.jobs.as_ref().is_some_and(|jobs| jobs.len() + 2 > QUEUE) || !has_time(held)
                {
                    break;
                }
                self.turn = self.turn.wrapping_add(1);
                went_on |= self.capture_next(captured, series, taken)?;
                held |= went_on;
            }
        }
        if held {
            histogram!(metric::SNAPSHOT_HOLD_SECONDS).record(started.elapsed().as_secs_f64());
        }
        Ok(())
    }

    /// Captures the next shard of a series; whether there was one.
    fn capture_next(
        &mut self,
        captured: &mut dyn Captured,
        series: Series,
        taken: &BTreeMap<(Topic, u32), i64>,
    ) -> Result<bool, LogError> {
        let Some(rolling) = self.series.get_mut(&series) else { return Ok(false) };
        if rolling.due.is_empty() {
            rolling.began = Instant::now();
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            if lost.remove(&series) {
                rolling.captured.clear();
            }
            let changed: BTreeSet<Range> = captured.changed(series).into_iter().collect();
            let interval = self.interval;
            let is_due = |range: &Range| {
                let at = rolling.captured.get(range);
                changed.contains(range)
                    || at.is_none_or(|at| at.elapsed() >= interval * QUIET_INTERVALS)
            };
            // quiet ones too, now and then: the oldest shard says where a start begins to read
            if rolling.captured.is_empty() || !changed.is_empty() {
                rolling.due = captured.ranges(series).into_iter().filter(is_due).collect();
            }
            rolling.planned = rolling.due.len();
        }
        let Some(range) = rolling.due.pop_front() else { return Ok(false) };
        // the last one of an interval brings the manifest with it
        let ranges = rolling.due.is_empty().then(|| captured.ranges(series));
        let body = captured.capture(series, range);
        if body.is_some() {
            rolling.captured.insert(range, Instant::now());
        }
        if let Some(ranges) = &ranges {
            rolling.captured.retain(|range, _| ranges.contains(range));
        }
        match body {
            Some(body) => {
                let vector = vector(series, taken);
                self.send(Job::Shard { series, range, vector, body })?;
            }
            // it was split since: both halves come with the next interval
            None => tracing::debug!(%series, "a shard was split before it was captured"),
        }
        if let Some(ranges) = ranges {
            self.send(Job::Manifest { series, ranges })?;
        }
        Ok(true)
    }

    /// Captures everything that has changed, all of it committed, and waits until it is stored, but no
    /// longer than `deadline`.
    ///
    /// # Errors
    /// When a test wants it so.
    pub fn finish(
        &mut self,
        captured: &mut dyn Captured,
        taken: &BTreeMap<(Topic, u32), i64>,
        deadline: Instant,
    ) -> Result<(), LogError> {
        let all: Vec<Series> = self.series.keys().copied().collect();
        for series in all {
            let known: Vec<Range> = self
                .series
                .get(&series)
                .map(|rolling| rolling.captured.keys().copied().collect())
                .unwrap_or_default();
            let changed = captured.changed(series);
            let is_due = |range: &Range| changed.contains(range) || !known.contains(range);
            for range in captured.ranges(series).into_iter().filter(is_due) {
                let Some(body) = captured.capture(series, range) else { continue };
                let job = Job::Shard { series, range, vector: vector(series, taken), body };
                if !self.send_until(job, deadline)? {
                    return Ok(());
                }
            }
            let ranges = captured.ranges(series);
            if !self.send_until(Job::Manifest { series, ranges }, deadline)? {
                return Ok(());
            }
        }
        let (done, ended) = bounded(1);
        if self.jobs.is_some() && self.send_until(Job::End { done }, deadline)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if ended.recv_timeout(left).is_err() {
                tracing::warn!(
                    "the last snapshot is not stored in time: the next start reads more"
                );
            }
        }
        Ok(())
    }

    fn send(&mut self, job: Job) -> Result<(), LogError> {
        match (&mut self.keeper, &self.jobs) {
            (Some(keeper), _) => keeper.take(job),
            (None, Some(jobs)) => {
                match jobs.try_send(job) {
                    // a word of farewell may be lost: what is named stays true
                    Ok(()) | Err(TrySendError::Full(_)) => {}
                    Err(TrySendError::Disconnected(_)) => {
                        counter!(metric::SNAPSHOT_ERRORS, "code" => "keeper").increment(1);
                        tracing::error!("the keeper of snapshots is gone: none are written");
                        self.series.clear();
                    }
                }
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    fn send_until(&mut self, job: Job, deadline: Instant) -> Result<bool, LogError> {
        match (&mut self.keeper, &self.jobs) {
            (Some(keeper), _) => keeper.take(job).map(|()| true),
            (None, Some(jobs)) => Ok(jobs.send_deadline(job, deadline).is_ok()),
            (None, None) => Ok(false),
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // the keeper ends with what it has in hand; nobody waits for it
        self.jobs = None;
        if let Some(thread) = self.thread.take().filter(JoinHandle::is_finished)
            && thread.join().is_err()
        {
            tracing::error!("the keeper of snapshots panicked");
        }
    }
}

/// The positions that a series is made of: a partition's inputs, or all touches.
fn vector(series: Series, taken: &BTreeMap<(Topic, u32), i64>) -> Vector {
    let mut vector = Vector::default();
    for ((topic, partition), offset) in taken {
        let is_of = match series {
            Series::Partition(of) => of == *partition && *topic != Topic::Touches,
            Series::Profiles => *topic == Topic::Touches,
        };
        if is_of {
            vector.set(Position { topic: *topic, partition: *partition, offset: *offset });
        }
    }
    vector
}

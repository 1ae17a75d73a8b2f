//! Rolling snapshots of a worker's partitions.
//!
//! ```text
//!  worker, between batches: one changed shard, as of the positions taken ──(bounded)──► keeper
//!  keeper: compress, store; once its positions are committed it is eligible
//!          every interval: a manifest of the newest eligible shard of each range; prune
//! ```
//!
//! With a pipeline, memory runs ahead of the log: a shard whose batch aborts holds what was never
//! committed. It stays unnamed until its positions are committed, and a restore that meets one from the
//! future takes the manifest before it. Nothing waits for the keeper: where it is behind, fewer shards
//! are captured, and a later start reads more of the log.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use metrics::{counter, gauge, histogram};

use super::Context;
use super::worker::Crash;
use crate::event::{Millis, Position, Topic};
use crate::log::LogError;
use crate::log::faults::{Faults, Step};
use crate::snapshot::{Manifest, Series, Shard, ShardEntry, SnapshotError, Vault, Vector};
use crate::state::{BodyError, FeatureSet, Profiles, Range};
use crate::telemetry::{Clock, metric};

/// Shards that wait for the keeper at most.
const QUEUE: usize = 8;
/// Intervals after which a range that has not changed is captured again.
const QUIET_INTERVALS: u32 = 10;
/// Shards of one range that wait to be named at most.
const KEPT_MAX: usize = 8;
/// How long a worker is held at a time to copy what is due.
const HOLD: Duration = Duration::from_millis(2);
/// How often the keeper looks whether what waits for a commit is committed.
const LOOK: Duration = Duration::from_millis(100);

/// What snapshots are made with.
#[derive(Clone, Debug)]
pub struct Means {
    /// where they go
    pub vault: Vault,
    /// from one manifest of a partition to the next
    pub interval: Duration,
    /// manifests kept of each partition
    pub keep: usize,
    /// partitions of each input topic
    pub partitions: u32,
}

/// Whether a stage makes snapshots, and how.
#[derive(Clone, Debug, Default)]
pub enum SnapshotPlan {
    /// it does not
    #[default]
    None,
    /// each worker with a keeper on a thread of its own
    Beside(Means),
    /// each worker by itself, so that a test sees the same each time
    #[cfg(test)]
    InPlace(Means),
}

impl SnapshotPlan {
    /// Where snapshots are.
    pub fn vault(&self) -> Option<&Vault> {
        match self {
            SnapshotPlan::None => None,
            SnapshotPlan::Beside(means) => Some(&means.vault),
            #[cfg(test)]
            SnapshotPlan::InPlace(means) => Some(&means.vault),
        }
    }

    /// A recorder for one worker.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn recorder(
        &self,
        feature_set: &str,
        context: &Context,
        worker: u32,
    ) -> Result<Option<Recorder>, LogError> {
        match self {
            #[cfg(test)]
            SnapshotPlan::InPlace(means) => {
                let (clock, faults) = (context.clock.clone(), context.faults.clone());
                Ok(Some(Recorder::in_place(means, feature_set, clock, faults)))
            }
            _ => self.recorder_of(feature_set, &context.clock, &worker.to_string()),
        }
    }

    /// A recorder with a thread of that name.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn recorder_of(
        &self,
        feature_set: &str,
        clock: &Clock,
        name: &str,
    ) -> Result<Option<Recorder>, LogError> {
        match self {
            SnapshotPlan::Beside(means) => {
                Recorder::start(means, feature_set, clock.clone(), name).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// What can be captured: the state of partitions, the table of profiles.
pub trait Captured {
    /// The ranges that changed since they were captured last.
    fn changed(&self, series: Series) -> Vec<Range>;
    /// All ranges.
    fn ranges(&self, series: Series) -> Vec<Range>;
    /// The bytes of one range; `None` where it was split since.
    fn capture(&mut self, series: Series, range: Range) -> Option<Vec<u8>>;
}

enum Job {
    Shard { series: Series, range: Range, vector: Vector, body: Vec<u8> },
    Manifest { series: Series, ranges: Vec<Range> },
    Forget { series: Series },
    End { done: Sender<()> },
}

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
        let mut went_on = true;
        while went_on && (!held || started.elapsed() < HOLD) {
            went_on = false;
            for series in wanting(self) {
                // a shard may bring a manifest with it
                if self.jobs.as_ref().is_some_and(|jobs| jobs.len() + 2 > QUEUE) {
                    break;
                }
                went_on |= self.capture_next(captured, series, taken)?;
            }
            held |= went_on;
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
        let is_last = rolling.due.is_empty();
        let ranges = captured.ranges(series);
        let body = captured.capture(series, range);
        if body.is_some() {
            rolling.captured.insert(range, Instant::now());
        }
        if is_last {
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
        if is_last {
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

/// What the keeper has of one partition.
#[derive(Debug, Default)]
struct Kept {
    /// newest last
    shards: Vec<(Range, ShardEntry)>,
    /// the next manifest's number, once it is known
    sequence: Option<u64>,
    /// the ranges of a manifest that is wanted
    wanted: Option<Vec<Range>>,
}

/// Stores shards, and names them in manifests once they may be.
#[derive(Debug)]
struct Keeper {
    means: Means,
    feature_set: String,
    clock: Clock,
    committed: Arc<Mutex<Vector>>,
    lost: Arc<Mutex<BTreeSet<Series>>>,
    faults: Faults,
    series: BTreeMap<Series, Kept>,
}

impl Keeper {
    fn new(means: &Means, feature_set: &str, clock: Clock, faults: Faults) -> Keeper {
        Keeper {
            means: means.clone(),
            feature_set: feature_set.to_owned(),
            clock,
            committed: Arc::default(),
            lost: Arc::default(),
            faults,
            series: BTreeMap::new(),
        }
    }

    fn run(mut self, queue: &Receiver<Job>) {
        loop {
            let job = match queue.recv_timeout(LOOK) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.write_all();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Err(error) = self.take(job) {
                tracing::error!(%error, "the keeper of snapshots ends");
                return;
            }
        }
    }

    fn committed(&self) -> MutexGuard<'_, Vector> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&mut self, job: Job) -> Result<(), LogError> {
        match job {
            Job::Shard { series, range, vector, body } => {
                self.faults.pass(Step::ShardCaptured)?;
                self.store(series, range, &vector, &body);
                self.faults.pass(Step::ShardStored)?;
            }
            Job::Manifest { series, ranges } => {
                self.series.entry(series).or_default().wanted = Some(ranges);
                self.faults.pass(Step::Manifest)?;
                self.write_all();
                self.faults.pass(Step::ManifestWritten)?;
            }
            Job::Forget { series } => {
                self.series.remove(&series);
            }
            Job::End { done } => {
                self.write_all();
                // whoever asked may have given up
                let _gone = done.send(());
            }
        }
        Ok(())
    }

    fn store(&mut self, series: Series, range: Range, vector: &Vector, body: &[u8]) {
        let shard = Shard { series, number: range.number(), vector, body };
        match self.means.vault.put_shard(&shard) {
            Ok(entry) => {
                counter!(metric::SNAPSHOT_BYTES).increment(entry.bytes);
                let shards = &mut self.series.entry(series).or_default().shards;
                shards.push((range, entry));
                // where no manifest can be written the oldest, which may be named, and the newest stay
                let same = |(_, (known, _)): &(usize, &(Range, ShardEntry))| *known == range;
                let of: Vec<usize> =
                    shards.iter().enumerate().filter(same).map(|(i, _)| i).collect();
                if of.len() > KEPT_MAX {
                    shards.remove(of[1]);
                }
            }
            Err(error) => {
                self.lose(series);
                told(&error, "a shard is not stored, a start would read more of the log");
            }
        }
    }

    /// Lets everything of a series be captured again.
    fn lose(&self, series: Series) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(series);
    }

    fn write_all(&mut self) {
        let all: Vec<Series> = self.series.keys().copied().collect();
        for series in all {
            if let Err(error) = self.write(series) {
                // somebody else may have taken the number, or removed a shard
                if let Some(kept) = self.series.get_mut(&series) {
                    kept.sequence = None;
                    if error.is_about_content() {
                        *kept = Kept::default();
                        self.lose(series);
                    }
                }
                told(&error, "a manifest is not written, a start would read more of the log");
            }
        }
    }

    /// Writes the manifest that is wanted of a partition, if every range has a shard that may be named.
    fn write(&mut self, series: Series) -> Result<(), SnapshotError> {
        let committed = self.committed().clone();
        let Some(kept) = self.series.get_mut(&series) else { return Ok(()) };
        let Some(ranges) = kept.wanted.as_ref() else { return Ok(()) };
        let is_eligible = |entry: &ShardEntry| entry.vector.is_at_most(&committed);
        let mut named: BTreeMap<u32, ShardEntry> = BTreeMap::new();
        for range in ranges {
            // the newest of the range itself, or of one that it was split from
            let of = kept.shards.iter().rev().filter(|(known, _)| known.covers(*range));
            let Some((found, entry)) = of.clone().find(|(_, entry)| is_eligible(entry)) else {
                return Ok(());
            };
            named.insert(found.number(), entry.clone());
        }
        let vault = &self.means.vault;
        let sequence = match kept.sequence {
            Some(sequence) => sequence,
            // of the profiles every process writes some: each begins where no other is
            None => {
                let newest = vault.manifests(series)?.first().copied().unwrap_or(0);
                let now = u64::try_from(self.clock.now_ms()).unwrap_or(0);
                match series {
                    Series::Partition(_) => newest + 1,
                    Series::Profiles => now.max(newest + 1),
                }
            }
        };
        let manifest = Manifest {
            series,
            sequence,
            written_at: Millis(self.clock.now_ms()),
            feature_set: self.feature_set.clone(),
            partitions: self.means.partitions,
            shard_count: u32::try_from(ranges.len()).unwrap_or(u32::MAX),
            watermarks: BTreeMap::new(),
            extra: serde_json::Value::Null,
            shards: named.into_values().collect(),
        };
        vault.put_manifest(&manifest)?;
        // of the profiles others write some too
        kept.sequence = (series != Series::Profiles).then_some(sequence + 1);
        kept.wanted = None;
        // what could have been named and was not has been replaced
        let names: HashSet<&str> = manifest.shards.iter().map(|entry| entry.key.as_str()).collect();
        kept.shards.retain(|(_, entry)| names.contains(entry.key.as_str()) || !is_eligible(entry));
        gauge!(metric::SNAPSHOT_WRITTEN_AT).set(manifest.written_at.0 as f64 / 1e3);
        counter!(metric::SNAPSHOTS).increment(1);
        tracing::info!(%series, sequence, shards = manifest.shards.len(), bytes = manifest.bytes(), "snapshot written");
        vault.prune(series, self.means.keep).map(drop)
    }
}

fn told(error: &SnapshotError, what: &'static str) {
    counter!(metric::SNAPSHOT_ERRORS, "code" => error.code()).increment(1);
    tracing::warn!(%error, what);
}

/// A snapshot that was loaded: up to where each account has seen the log.
#[derive(Debug, Default)]
pub struct Loaded {
    vectors: Vec<Vector>,
    /// which vector, by the leading bits of the account's hash; empty: none was loaded
    directory: Vec<usize>,
    depth: u32,
    least: Vector,
}

impl Loaded {
    /// Of these shards, the deepest last: where ranges overlap, the deeper one is newer.
    fn of(shards: &[(Range, &ShardEntry)]) -> Loaded {
        let depth = shards.iter().map(|(range, _)| range.depth()).max().unwrap_or(0);
        let mut directory = vec![0; 1 << depth];
        for (i, (range, _)) in shards.iter().enumerate() {
            directory[range.slots(depth)].fill(i);
        }
        let vectors = shards.iter().map(|(_, entry)| entry.vector.clone()).collect();
        Loaded { vectors, directory, depth, least: Vector::default() }
    }

    /// Which shard an account is in.
    fn place(&self, key: u128) -> Option<usize> {
        self.directory.get(Range::leading(key, self.depth)).copied()
    }

    /// Where the replay of an input begins.
    pub fn begin(&self, topic: Topic, partition: u32) -> i64 {
        self.least.next(topic, partition)
    }

    /// Whether an account has seen a record already.
    pub fn has_seen(&self, key: u128, position: Position) -> bool {
        let Position { topic, partition, offset } = position;
        let vector = self.place(key).and_then(|place| self.vectors.get(place));
        vector.is_some_and(|vector| offset < vector.next(topic, partition))
    }
}

/// Loads the newest snapshot of a series that can be used; `None`: there is none. Whatever is passed
/// over is told loudly.
///
/// `between` is called between two shards, and may end it.
///
/// # Errors
/// When the place does not answer: then nobody knows what is there, and nothing older is taken. Nothing
/// is left of what was taken in until then.
pub fn load(
    vault: &Vault,
    series: Series,
    committed: &[Position],
    into: &mut dyn Load,
    between: &mut dyn FnMut() -> Result<(), Crash>,
) -> Result<Option<Loaded>, Crash> {
    let mut vector = Vector::default();
    committed.iter().for_each(|position| vector.set(*position));
    let mut older_than = None;
    loop {
        let mut skipped = |skipped: crate::snapshot::Skipped| {
            tracing::error!(%series, sequence = skipped.sequence, why = %skipped.why, "a snapshot is passed over, an older one is taken");
        };
        let Some(manifest) = vault.newest_whole(series, &vector, older_than, &mut skipped)? else {
            return Ok(None);
        };
        match take_in(vault, &manifest, into, between) {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(TakeError::Vault(error)) if !error.is_about_content() => {
                into.forget(series);
                return Err(error.into());
            }
            Err(TakeError::Ended(crash)) => {
                into.forget(series);
                return Err(*crash);
            }
            Err(error) => {
                tracing::error!(%series, sequence = manifest.sequence, why = %error, "a snapshot is passed over, an older one is taken");
                into.forget(series);
                older_than = Some(manifest.sequence);
            }
        }
    }
}

/// What a snapshot is loaded into.
pub trait Load {
    /// Takes in what was captured under the keys that `wanted` says.
    ///
    /// # Errors
    /// When these are no bytes of it; then a part may have been taken in.
    fn load(
        &mut self,
        series: Series,
        body: &[u8],
        wanted: &dyn Fn(u128) -> bool,
    ) -> Result<(), BodyError>;

    /// Begins at the watermarks that were captured with a part.
    ///
    /// # Errors
    /// When these are no bytes of it.
    fn begin_at(&mut self, series: Series, body: &[u8]) -> Result<(), BodyError>;

    /// Forgets what was taken in.
    fn forget(&mut self, series: Series);
}

#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Vault(#[from] SnapshotError),
    #[error("shard {number}: {why}")]
    Body { number: u32, why: BodyError },
    #[error("shard {0} is of no range, expected 1 or more")]
    Range(u32),
    #[error("its shards leave accounts out")]
    Holes,
    #[error(transparent)]
    Ended(Box<Crash>),
}

fn take_in(
    vault: &Vault,
    manifest: &Manifest,
    into: &mut dyn Load,
    between: &mut dyn FnMut() -> Result<(), Crash>,
) -> Result<Loaded, TakeError> {
    let series = manifest.series;
    let mut shards = Vec::new();
    for entry in &manifest.shards {
        let range = Range::from_number(entry.number).ok_or(TakeError::Range(entry.number))?;
        shards.push((range, entry));
    }
    shards.sort_by_key(|(range, _)| range.number());
    if !Range::cover_all(shards.iter().map(|(range, _)| *range)) {
        return Err(TakeError::Holes);
    }
    let mut loaded = Loaded::of(&shards);
    let mut oldest: Option<(&Vector, Vec<u8>)> = None;
    for (i, (_, entry)) in shards.iter().enumerate() {
        between().map_err(|crash| TakeError::Ended(Box::new(crash)))?;
        let body = vault.shard(series, entry)?;
        let broken = |why| TakeError::Body { number: entry.number, why };
        into.load(series, &body, &|key| loaded.place(key) == Some(i)).map_err(broken)?;
        // vectors of one partition only grow: the least of all is that of the oldest shard
        if oldest.as_ref().is_none_or(|(known, _)| entry.vector.is_at_most(known)) {
            oldest = Some((&entry.vector, body));
        }
    }
    if let Some((vector, body)) = oldest {
        let broken = |why| TakeError::Body { number: 0, why };
        into.begin_at(series, &body).map_err(broken)?;
        loaded.least = vector.clone();
    }
    Ok(loaded)
}

/// The table of profiles, to be captured and loaded by whoever applies touches to it.
#[derive(Clone, Debug)]
pub struct Table {
    /// what is kept
    pub set: Arc<FeatureSet>,
    /// where
    pub profiles: Arc<Profiles>,
}

impl Captured for Table {
    fn changed(&self, _series: Series) -> Vec<Range> {
        self.profiles.changed()
    }

    fn ranges(&self, _series: Series) -> Vec<Range> {
        self.profiles.ranges()
    }

    fn capture(&mut self, _series: Series, range: Range) -> Option<Vec<u8>> {
        Some(self.profiles.capture(&self.set, range))
    }
}

impl Load for Table {
    fn load(
        &mut self,
        _series: Series,
        body: &[u8],
        wanted: &dyn Fn(u128) -> bool,
    ) -> Result<(), BodyError> {
        self.profiles.load(&self.set, body, wanted)
    }

    fn begin_at(&mut self, _series: Series, body: &[u8]) -> Result<(), BodyError> {
        self.profiles.begin_at(&self.set, body)
    }

    fn forget(&mut self, _series: Series) {
        self.profiles.clear();
    }
}

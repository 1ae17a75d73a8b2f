//! The thread that stores shards, and names them in manifests once they may be.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use metrics::{counter, gauge};

use super::Means;
use crate::event::Millis;
use crate::log::LogError;
use crate::log::faults::{Faults, Step};
use crate::snapshot::{Manifest, Series, Shard, ShardEntry, SnapshotError, Vector};
use crate::state::Range;
use crate::telemetry::{Clock, metric};

/// Shards of one range that wait to be named at most.
const KEPT_MAX: usize = 8;
/// How often the keeper looks whether what waits for a commit is committed.
const LOOK: Duration = Duration::from_millis(100);

/// What the keeper is asked to do.
pub(super) enum Job {
    Shard { series: Series, range: Range, vector: Vector, body: Vec<u8> },
    Manifest { series: Series, ranges: Vec<Range> },
    Forget { series: Series },
    End { done: Sender<()> },
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
pub(super) struct Keeper {
    means: Means,
    feature_set: String,
    clock: Clock,
    pub(super) committed: Arc<Mutex<Vector>>,
    /// of what something was captured that could not be stored
    pub(super) lost: Arc<Mutex<BTreeSet<Series>>>,
    faults: Faults,
    series: BTreeMap<Series, Kept>,
}

impl Keeper {
    pub(super) fn new(means: &Means, feature_set: &str, clock: Clock, faults: Faults) -> Keeper {
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

    pub(super) fn run(mut self, queue: &Receiver<Job>) {
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

    pub(super) fn take(&mut self, job: Job) -> Result<(), LogError> {
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

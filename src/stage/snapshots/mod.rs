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
//!
//! The way of the data: [`recorder`] (the worker's end), [`keeper`] (the thread that stores and names),
//! [`load`] (back into memory); [`table`] is what of the profiles is captured and loaded.

mod keeper;
mod load;
mod recorder;
mod table;

use std::time::{Duration, Instant};

use super::Context;
use crate::log::LogError;
use crate::snapshot::{Series, Vault};
use crate::state::{BodyError, Range};
use crate::telemetry::Clock;

pub use load::{Loaded, load};
pub use recorder::Recorder;
pub use table::Table;

/// How often a part of what is remembered is expired where no snapshots are made: who captures a part
/// expires it.
const EXPIRE_EVERY: Duration = Duration::from_millis(50);

/// Whose turn it is to be expired, where no snapshots are made.
#[derive(Debug)]
pub struct Turns {
    last: Instant,
}

impl Turns {
    /// The first turn comes later.
    pub fn begin() -> Turns {
        Turns { last: Instant::now() }
    }

    /// Expires the next part if it is time.
    pub fn look(&mut self, expire_next: impl FnOnce()) {
        if self.last.elapsed() >= EXPIRE_EVERY {
            self.last = Instant::now();
            expire_next();
        }
    }
}

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

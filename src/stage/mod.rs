//! The scoring stage: workers that own partitions and turn what arrives there into decisions.
//!
//! ```text
//!   log ─► poll ─► merge ─► decode ─► dedupe ─► state ─► score ─► encode ─► one transaction ─► log
//!          └────────── worker's thread ───────────────────────────┘  └── committer's thread ──┘
//! ```
//!
//! Crash-only: whatever goes wrong, a worker drops its clients and its state, waits a little, and
//! starts again from what the log says is committed ([`supervise`]). Nothing is repaired in place.

mod batch;
mod committer;
mod control;
mod gap;
mod lag;
mod listen;
mod memory;
mod merge;
mod poison;
mod pressure;
mod process;
mod report;
mod restore;
mod snapshots;
mod standby;
mod supervise;
mod watchdog;
mod worker;

use std::sync::Arc;
use std::time::Duration;

pub use gap::Gap;
pub use lag::Progress;
pub use memory::{Memory, MemoryMeans, MemoryStats, Shown};
pub use merge::{Lanes, Merge};
pub use poison::{PoisonLimits, TooMuchPoison};
pub use pressure::Pressure;
pub use process::StateHashes;
pub use restore::Restored;
pub use snapshots::{Means as SnapshotMeans, SnapshotPlan};
pub use standby::Standby;
pub use supervise::{Stage, StageEnd, StageFailure};
pub use watchdog::Watchdog;
pub use worker::Crash;

use crate::codec::Decoder;
use crate::config::Deadlines;
use crate::log::Log;
use crate::log::faults::Faults;
use crate::policy::Switch;
use crate::state::{FeatureSet, Horizon, Profiles};
use crate::telemetry::{Clock, Health, Stop};

/// Name of the workers' consumer group.
pub const GROUP: &str = "weir.score";

/// How workers work.
#[derive(Clone, Debug)]
pub struct Settings {
    /// the consumer group
    pub group: String,
    /// workers of this process
    pub workers: u32,
    /// whether outputs and positions become visible together
    pub exactly_once: bool,
    /// how long a transaction may be open before the log ends it by itself
    pub transaction_timeout: Option<Duration>,
    /// the least time between two commits
    pub commit_interval: Duration,
    /// input records of one transaction
    pub batch_records_max: usize,
    /// output bytes of one transaction
    pub batch_bytes_max: usize,
    /// how inputs are put in one order
    pub merge: Merge,
    /// how far back repeated events are recognised
    pub horizon: Horizon,
    /// what is told of the deadlines of disputes
    pub deadlines: Arc<Deadlines>,
    /// when bad input stops the process
    pub poison: PoisonLimits,
    /// how long records may wait before something is left out; `None`: nothing ever is
    pub pressure_wait: Option<Duration>,
    /// whether to go on where records that were decided about cannot be read any more
    pub accept_state_gap: bool,
    /// whether to end once every input was taken up to where it ended at the beginning
    pub until_end: bool,
}

/// What workers share.
#[derive(Clone)]
pub struct Context {
    /// the log
    pub log: Arc<dyn Log>,
    /// knows the writers' schemas
    pub decoder: Arc<Decoder>,
    /// what decides
    pub switch: Switch,
    /// what is remembered and read
    pub features: Arc<FeatureSet>,
    /// what is remembered of entities, where several workers read it; a sole worker on a log of its
    /// own keeps it by itself
    pub profiles: Option<Arc<Profiles>>,
    /// follows partitions that others own; `None`: nobody does
    pub standby: Option<Standby>,
    /// where state is kept, so that a start need not read the whole log
    pub snapshots: SnapshotPlan,
    /// the time
    pub clock: Clock,
    /// where workers say whether they are ready
    pub health: Health,
    /// the wish to stop
    pub stop: Stop,
    /// faults of tests
    pub faults: Faults,
    /// looks after commits that hang
    pub watchdog: Watchdog,
    /// where the workers are
    pub progress: Progress,
    /// what is left out while records wait too long
    pub pressure: Pressure,
}

#[cfg(test)]
mod tests;

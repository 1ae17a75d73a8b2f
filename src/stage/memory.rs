//! The state of every partition as its owner would have it: rebuilt from snapshots and the log, by whoever
//! wants to look at it. Decides nothing, commits nothing.

use std::sync::Arc;

use super::process::{Processor, StateHashes};
use super::restore::{Restored, Restorer, restore, restore_profiles};
use super::snapshots::Captured;
use super::worker::Crash;
use crate::codec::Decoder;
use crate::config::Deadlines;
use crate::event::{Millis, Position, Slot, Topic};
use crate::log::faults::Faults;
use crate::log::{Log, LogError, partition_of};
use crate::policy::Switch;
use crate::score::{Engine, RuleSet};
use crate::snapshot::{Series, Vault};
use crate::state::Horizon;
use crate::telemetry::{Part, Stop};

/// What is needed to look at the memory of a group of workers.
#[allow(missing_debug_implementations, reason = "a log has none")]
pub struct MemoryMeans<'a> {
    /// the input
    pub log: &'a Arc<dyn Log>,
    /// whose committed positions count
    pub group: &'a str,
    /// knows the writers' schemas
    pub decoder: Arc<Decoder>,
    /// what is remembered; its rules decide nothing here
    pub rules: RuleSet,
    /// how far back repeated events are recognised
    pub horizon: Horizon,
    /// what is told of the deadlines of disputes
    pub deadlines: Arc<Deadlines>,
    /// where snapshots are
    pub vault: Option<&'a Vault>,
    /// where progress is told
    pub part: &'a Part,
    /// the wish to stop
    pub stop: &'a Stop,
}

/// What every partition remembers, up to what is committed.
#[derive(Debug)]
pub struct Memory {
    processor: Processor,
    partitions: u32,
}

/// What a decision about an account would read.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// its partition
    pub partition: u32,
    /// the newest event time there, which stands for now
    pub at: Millis,
    /// names and values
    pub values: Vec<(String, Slot<'static>)>,
}

/// How much one partition remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// which one
    pub partition: u32,
    /// accounts
    pub accounts: usize,
    /// memory of all of them in bytes
    pub bytes: usize,
    /// parts it is split in
    pub shards: usize,
    /// what rebuilding it took
    pub restored: Restored,
}

impl Memory {
    /// Rebuilds it.
    ///
    /// # Errors
    /// When the log or the snapshots cannot be read.
    pub fn rebuild(means: MemoryMeans<'_>) -> Result<(Memory, Vec<MemoryStats>), Crash> {
        let partitions = means.log.partitions(Topic::Transactions)?;
        let engine = Engine::new(means.rules);
        let mut processor = Processor::new(
            means.decoder,
            Switch::fixed(engine),
            means.horizon,
            means.deadlines,
            Faults::default(),
            None,
        );
        let mut reader = means.log.reader()?;
        let mut restored = Vec::new();
        let mut restorer = Restorer {
            log: means.log.as_ref(),
            reader: reader.as_mut(),
            vault: means.vault,
            part: means.part,
            stop: means.stop,
            alive: &mut || Ok::<(), LogError>(()),
        };
        restore_profiles(&mut restorer, partitions, &mut processor)?;
        for partition in 0..partitions {
            let wanted: Vec<(Topic, u32)> =
                Topic::READ.iter().map(|topic| (*topic, partition)).collect();
            let committed: Vec<Position> = means.log.resume_all(means.group, &wanted)?;
            restored.push(restore(&mut restorer, partition, &committed, &mut processor, None)?);
        }
        let stats = restored.into_iter().zip(0..).map(|(restored, partition)| {
            let state = processor.states().get(&partition);
            MemoryStats {
                partition,
                accounts: state.map_or(0, crate::state::State::len),
                bytes: state.map_or(0, crate::state::State::bytes),
                shards: processor.ranges(Series::Partition(partition)).len(),
                restored,
            }
        });
        let stats = stats.collect();
        Ok((Memory { processor, partitions }, stats))
    }

    /// Hashes of everything.
    pub fn hashes(&self) -> StateHashes {
        self.processor.state_hashes()
    }

    /// Entities remembered, and their memory in bytes.
    pub fn profiles(&self) -> (usize, usize) {
        let (profiles, _) = self.processor.profiles();
        (profiles.len(), profiles.bytes())
    }

    /// Names and values of what a decision about this account (`tenant/account_id`) would read that is
    /// made of the newest event of its partition; `None`: nothing is remembered of it.
    pub fn show(&mut self, account: &str) -> Option<Shown> {
        let partition = partition_of(account.as_bytes(), self.partitions);
        let (at, values) = self.processor.show(partition, account)?;
        Some(Shown { partition, at, values })
    }
}

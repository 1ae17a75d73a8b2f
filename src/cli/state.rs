//! `weir state`: what is remembered, rebuilt from snapshots and the log as its owner would have it.

use std::collections::BTreeMap;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::check::features;
use super::open::{read_log, runtime};
use super::{Exit, Failure, Places};
use crate::codec::{Decoder, Writers};
use crate::log::Log;
use crate::score::{Lists, RuleSet};
use crate::snapshot::Vault;
use crate::stage::{self, Memory, MemoryMeans, MemoryStats, StateHashes};
use crate::state::Horizon;
use crate::telemetry::{Health, Stop};

/// Looks at what is remembered of accounts and other entities, up to what is committed.
#[derive(Debug, Subcommand)]
pub(super) enum State {
    Show(Show),
    Stats(Stats),
    Hash(Hash),
}

impl State {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            State::Show(show) => show.run(),
            State::Stats(stats) => stats.run(),
            State::Hash(hash) => hash.run(),
        }
    }
}

/// What every decision about an account would read now, the newest event of its partition being now.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir state show --account default/c-17\n\nExit code 0 when something is remembered of it, 1 when not."
)]
pub(super) struct Show {
    /// The account: tenant/account_id
    #[arg(long, value_name = "KEY")]
    account: String,
    /// As JSON: {"account", "partition", "at", "features"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    from: From,
}

/// How much is remembered, by partition.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir state stats --json")]
pub(super) struct Stats {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    from: From,
}

/// Hashes of what each partition remembers: of its input, equal wherever the same input was taken,
/// whatever happened on the way; and of the escalations that were read back, which other decisions make
/// others. What no decision can read any more does not count.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir state hash\n\nOne line for each partition, one for other entities."
)]
pub(super) struct Hash {
    /// As JSON: {"partitions": {"0": "…"}, "escalations": {"0": "…"}, "profiles": "…"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
    #[command(flatten)]
    from: From,
}

/// What it is rebuilt from.
#[derive(Debug, Args)]
struct From {
    /// Read the whole log, snapshots not
    #[arg(long)]
    log_alone: bool,
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        let (mut memory, _) = rebuild(&self.places, &self.from)?;
        let Some(stage::Shown { partition, at, values }) = memory.show(&self.account) else {
            let message = format!(
                "nothing is remembered of {:?}, expected tenant/account_id of an account with events",
                self.account
            );
            return Err(Failure::new(Exit::Failed, message));
        };
        if self.json {
            let features: serde_json::Map<String, serde_json::Value> =
                values.into_iter().map(|(name, value)| (name, serde_json::json!(value))).collect();
            say!(
                "{}",
                serde_json::json!({
                    "account": self.account, "partition": partition, "at": at, "features": features,
                })
            );
            return Ok(());
        }
        say!("account     {}", self.account);
        say!("partition   {partition}");
        say!("at          {at}");
        for (name, value) in values {
            say!("  {name:<32} {value}");
        }
        Ok(())
    }
}

impl Stats {
    fn run(&self) -> Result<(), Failure> {
        let (memory, stats) = rebuild(&self.places, &self.from)?;
        let (entities, entity_bytes) = memory.profiles();
        if self.json {
            let partition = |stats: &MemoryStats| {
                serde_json::json!({
                    "partition": stats.partition, "accounts": stats.accounts, "bytes": stats.bytes,
                    "shards": stats.shards, "applied": stats.restored.applied,
                    "unreadable": stats.restored.unreadable,
                })
            };
            let partitions: Vec<serde_json::Value> = stats.iter().map(partition).collect();
            say!(
                "{}",
                serde_json::json!({
                    "partitions": partitions,
                    "profiles": { "entities": entities, "bytes": entity_bytes },
                })
            );
            return Ok(());
        }
        say!(
            "{:<12}{:>12}{:>16}{:>14}{:>10}",
            "partition",
            "accounts",
            "bytes",
            "bytes each",
            "shards"
        );
        for stats in &stats {
            say!(
                "{:<12}{:>12}{:>16}{:>14}{:>10}",
                stats.partition,
                stats.accounts,
                stats.bytes,
                stats.bytes / stats.accounts.max(1),
                stats.shards
            );
        }
        say!(
            "{:<12}{entities:>12}{entity_bytes:>16}{:>14}",
            "profiles",
            entity_bytes / entities.max(1)
        );
        Ok(())
    }
}

impl Hash {
    fn run(&self) -> Result<(), Failure> {
        let (memory, _) = rebuild(&self.places, &self.from)?;
        let StateHashes { accounts, escalations, profiles } = memory.hashes();
        let profiles = profiles.unwrap_or_default();
        if self.json {
            let json = |hashes: BTreeMap<u32, u64>| -> serde_json::Map<String, serde_json::Value> {
                let text = |(partition, hash): (u32, u64)| {
                    (partition.to_string(), format!("{hash:016x}").into())
                };
                hashes.into_iter().map(text).collect()
            };
            let profiles = format!("{profiles:016x}");
            say!(
                "{}",
                serde_json::json!({
                    "partitions": json(accounts), "escalations": json(escalations),
                    "profiles": profiles,
                })
            );
            return Ok(());
        }
        say!("partition        of the input      of escalations");
        for ((partition, input), escalations) in accounts.into_iter().zip(escalations.values()) {
            say!("{partition:<16} {input:016x}  {escalations:016x}");
        }
        say!("profiles         {profiles:016x}");
        Ok(())
    }
}

/// The memory of every partition, as its owner would have it.
fn rebuild(places: &Places, from: &From) -> Result<(Memory, Vec<MemoryStats>), Failure> {
    let topology = places.load()?;
    let log: Arc<dyn Log> = read_log(places)?;
    let features = features(&topology)?;
    let mut writers = Writers::built_in();
    writers.add_folder(&topology.schemas()).map_err(|error| Failure::new(Exit::Invalid, error))?;
    let decoder = match super::open::use_registry_of(&topology)? {
        Some(registry) => Decoder::with_registry(writers, registry),
        None => Decoder::new(writers),
    };
    let runtime = runtime()?;
    let vault = match topology.snapshots.enabled && !from.log_alone {
        true => Vault::open_existing(&topology.snapshots, &places.data()?, runtime.handle())
            .map_err(|error| Failure::new(Exit::Failed, error))?,
        false => None,
    };
    let health = Health::default();
    let means = MemoryMeans {
        log: &log,
        group: stage::GROUP,
        decoder: Arc::new(decoder),
        rules: RuleSet::load(&[], &Lists::default(), &features)?,
        deadlines: Arc::new(topology.deadlines.clone()),
        horizon: Horizon {
            ids: *topology.dedupe.ids.get_ref(),
            age_ms: i64::from(*topology.dedupe.hours.get_ref()) * 3_600_000,
        },
        vault: vault.as_ref(),
        part: &health.part("state"),
        stop: &Stop::default(),
    };
    Memory::rebuild(means).map_err(|error| Failure::new(Exit::Failed, error))
}

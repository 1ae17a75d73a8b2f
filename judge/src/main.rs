//! `weir-judge` proves from the outside that weir lost nothing and doubled nothing.
//!
//! It shares no code with weir. From the schema files and `docs/contracts.md` alone it works out
//! what every input record must have become, and holds topics, tables and webhooks against that. A
//! defect of weir's decoding, its dedupe or its counters can therefore not hide itself.
//!
//! ```text
//!  weir.db or Kafka ─► log ─► avro ─► expect ─► verify ─► report
//!         registry ────────────┘                  ▲
//!              tables, webhook log ───────────────┘
//! ```

mod avro;
mod cards;
mod contract;
mod error;
mod expect;
mod fingerprint;
mod log;
mod registry;
mod report;
mod schemas;
mod tables;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Unreadable;
use crate::expect::Horizon;
use crate::log::{Cluster, OWN_SETTINGS, Place};
use crate::report::Report;
use crate::schemas::Schemas;
use crate::tables::StoreCluster;
use crate::verify::Options;

const HOUR_MS: i64 = 3_600_000;

/// Proves from topics and tables alone that every record ended exactly once.
///
/// Exit code 0: every check holds. 1: at least one does not; up to 20 examples of each are shown.
/// 2: wrong usage, or data that cannot be read.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example:\n  weir-judge ./data --schemas schemas --schemas topology/schemas \
                  --webhook-log webhooks.jsonl\n\nTopics and groups of a Kafka cluster, the tables \
                  of the store in ./data:\n  weir-judge ./data --brokers broker-1:9092,broker-2:9092 \
                  --registry http://registry:8081\n\nThe cluster's topics alone, over TLS:\n  \
                  weir-judge --brokers broker-1:9093 --kafka-setting security.protocol=SSL \
                  --kafka-setting ssl.ca.location=ca.pem\n\nDeterminism of two runs over the same \
                  input:\n  weir-judge ./run-1 --compare ./run-2\n  weir-judge --brokers \
                  broker-1:9092 --prefix run-1. --compare-prefix run-2."
)]
struct Cli {
    /// Data folder with weir.db; with --brokers only the store's tables are read from it, and
    /// without it they are not judged
    #[arg(required_unless_present = "brokers")]
    data: Option<PathBuf>,
    /// Judge the topics and groups of the Kafka cluster with these brokers; committed records
    /// only. weir need not stop, but must have nothing to read
    #[arg(long, value_name = "HOST:PORT,...")]
    brokers: Option<String>,
    /// Put before the name of each topic and group of the cluster
    #[arg(long, value_name = "PREFIX", default_value = "", requires = "brokers")]
    prefix: String,
    /// A librdkafka setting, such as security.protocol=SSL; may be repeated
    #[arg(long, value_name = "KEY=VALUE", requires = "brokers", value_parser = setting)]
    kafka_setting: Vec<(String, String)>,
    /// Judge the tables of the ScyllaDB or Cassandra cluster with these nodes, instead of a data
    /// folder's
    #[arg(long, value_name = "HOST:PORT,...", requires = "brokers", conflicts_with = "data")]
    store: Option<String>,
    /// Keyspace of the tables
    #[arg(long, value_name = "NAME", default_value = "weir", requires = "store")]
    keyspace: String,
    /// Name at the store's cluster; its password is read from WEIR_JUDGE_STORE_PASSWORD
    #[arg(long, value_name = "NAME", requires = "store")]
    store_username: Option<String>,
    /// Schema registry: records framed as Confluent's clients do are read with its schemas;
    /// without one such records are unframed. A path in the URL is kept
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Folder of .avsc files; may be repeated: the first file of a name is the contract, further
    /// ones are other writers
    #[arg(long, value_name = "DIR", default_value = "schemas")]
    schemas: Vec<PathBuf>,
    /// Folder of .avsc files that became known on the way: records written with them were refused
    /// as unknown_schema before, and are decided about after that; may be repeated
    #[arg(long, value_name = "DIR")]
    late_schemas: Vec<PathBuf>,
    /// Entries of a dedupe ring
    #[arg(long, value_name = "N", default_value_t = 64)]
    dedupe_ids: usize,
    /// How much older than the account's latest event an entry still counts, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 168)]
    dedupe_hours: u32,
    /// Judge what was read so far; without it every group must have read to the end
    #[arg(long)]
    allow_behind: bool,
    /// How many records may end as a panic; without it any number is only counted
    #[arg(long, value_name = "N")]
    panics_max: Option<u64>,
    /// JSON Lines written by the webhook stub
    #[arg(long, value_name = "FILE")]
    webhook_log: Option<PathBuf>,
    /// Another data folder whose decisions must be the same, decided_at and profile_age_ms aside
    #[arg(long, value_name = "DIR")]
    compare: Option<PathBuf>,
    /// Another prefix on the same cluster whose decisions must be the same and in the same order
    /// within a partition, decided_at and profile_age_ms aside
    #[arg(long, value_name = "PREFIX", requires = "brokers", conflicts_with = "compare")]
    compare_prefix: Option<String>,
    /// Threads that judge partitions
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Takes `key=value` apart.
fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected key=value")?;
    match OWN_SETTINGS.contains(&key) {
        true => Err(format!("{key} is the judge's own to set")),
        false => Ok((key.to_owned(), value.to_owned())),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match judge(&cli) {
        Ok(report) => finish(&cli, &report),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "weir-judge: {error}");
            ExitCode::from(2)
        }
    }
}

fn judge(cli: &Cli) -> Result<Report, Unreadable> {
    let schemas = Schemas::load(&cli.schemas, &cli.late_schemas)?;
    let cluster = |prefix: &str| {
        let settings = cli.kafka_setting.clone();
        let brokers = cli.brokers.clone()?;
        Some(Place::Cluster(Cluster { brokers, prefix: prefix.to_owned(), settings }))
    };
    let compare_prefix = cli.compare_prefix.as_deref();
    let data = cli.data.clone();
    let (place, tables) = match cluster(&cli.prefix) {
        Some(place) => (place, data),
        None => (Place::Folder(data.unwrap_or_default()), None),
    };
    let password = || std::env::var("WEIR_JUDGE_STORE_PASSWORD").unwrap_or_default();
    let store = cli.store.clone().map(|nodes| StoreCluster {
        nodes,
        keyspace: cli.keyspace.clone(),
        login: cli.store_username.clone().map(|name| (name, password())),
    });
    let options = Options {
        place,
        tables,
        store,
        registry: cli.registry.clone(),
        horizon: Horizon { ids: cli.dedupe_ids, age_max_ms: i64::from(cli.dedupe_hours) * HOUR_MS },
        allow_behind: cli.allow_behind,
        panics_max: cli.panics_max,
        webhook_log: cli.webhook_log.clone(),
        compare: compare_prefix
            .and_then(cluster)
            .or_else(|| cli.compare.clone().map(Place::Folder)),
        threads: cli.threads,
    };
    verify::run(&schemas, &options)
}

fn finish(cli: &Cli, report: &Report) -> ExitCode {
    let text = match cli.json {
        true => format!("{:#}\n", report.json()),
        false => report.table(),
    };
    // a reader that went away does not change the verdict
    let _ = std::io::stdout().write_all(text.as_bytes());
    match report.holds() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(1),
    }
}

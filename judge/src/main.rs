//! `weir-judge` proves from the outside that weir lost nothing and doubled nothing.
//!
//! It shares no code with weir. From the schema files and `docs/contracts.md` alone it works out
//! what every input record must have become, and holds topics, tables and webhooks against that. A
//! defect of weir's decoding, its dedupe or its counters can therefore not hide itself.
//!
//! ```text
//!  weir.db ─► log ─► avro ─► expect ─► verify ─► report
//!                                        ▲
//!              tables, webhook log ──────┘
//! ```

mod avro;
mod batch;
mod cards;
mod contract;
mod error;
mod expect;
mod fingerprint;
mod log;
mod report;
mod schemas;
mod verify;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::error::Unreadable;
use crate::expect::Horizon;
use crate::report::Report;
use crate::schemas::Schemas;
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
                  --webhook-log webhooks.jsonl\n\nDeterminism of two runs over the same input:\n  \
                  weir-judge ./run-1 --compare ./run-2"
)]
struct Cli {
    /// Data folder with weir.db
    data: PathBuf,
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
    /// Another data folder whose decisions must be the same, decided_at aside
    #[arg(long, value_name = "DIR")]
    compare: Option<PathBuf>,
    /// Threads that judge partitions
    #[arg(long, value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
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
    let options = Options {
        data: cli.data.clone(),
        horizon: Horizon { ids: cli.dedupe_ids, age_max_ms: i64::from(cli.dedupe_hours) * HOUR_MS },
        allow_behind: cli.allow_behind,
        panics_max: cli.panics_max,
        webhook_log: cli.webhook_log.clone(),
        compare: cli.compare.clone(),
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

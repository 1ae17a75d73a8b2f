//! The command line: one file per command.

/// Prints a line on standard output. A reader that has gone away, as `head` does, is no failure.
macro_rules! say {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _gone = writeln!(std::io::stdout(), $($arguments)*);
    }};
}

/// The same without ending the line.
macro_rules! say_on {
    ($($arguments:tt)*) => {{
        use std::io::Write as _;
        let _gone = write!(std::io::stdout(), $($arguments)*);
    }};
}

mod backtest;
mod calibrate;
mod check;
mod control;
mod demo;
mod dlq;
mod erase;
mod exit;
mod explain;
mod feed;
mod flags;
mod generate;
mod lists;
mod metrics;
mod models;
mod open;
mod process;
mod replay;
mod rules;
mod run;
mod shadow;
mod snapshot;
mod state;
mod store;
mod topics;
mod watch;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use exit::{Exit, Failure};

use crate::config::Topology;
use crate::telemetry::{LogFormat, init_logging, log_panics};

/// Decides about money events while they move: reads transactions, disputes, chats and invoices,
/// scores each one exactly once, and emits decisions and escalations.
#[derive(Debug, Parser)]
#[command(name = "weir", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 invalid configuration or input, 3 too much bad \
    input, 4 data folder or identity in use, 5 data folder of a newer weir, 6 disk full, 7 a proof does not hold, 8 state cannot be rebuilt whole, 9 the log, the store or the registry does not answer, 10 a commit hung.\n\n\
    Begin with: weir demo"
)]
struct Cli {
    /// How logs look on standard error
    #[arg(long, global = true, value_enum, default_value = "text", env = "WEIR_LOG_FORMAT")]
    log_format: Format,
    /// What is logged, as in RUST_LOG: for instance info,weir::stage=debug
    #[arg(long, global = true, value_name = "FILTER", env = "RUST_LOG")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Run(run::Run),
    Check(check::Check),
    Explain(explain::Explain),
    Generate(generate::Generate),
    Replay(replay::Replay),
    Backtest(backtest::Backtest),
    Calibrate(calibrate::Calibrate),
    #[command(subcommand)]
    Rules(rules::Rules),
    #[command(subcommand)]
    Lists(lists::Lists),
    #[command(subcommand)]
    Models(models::Models),
    #[command(subcommand)]
    Flags(flags::Flags),
    #[command(subcommand)]
    Shadow(shadow::Shadow),
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    #[command(subcommand)]
    Topics(topics::Topics),
    #[command(subcommand)]
    Store(store::Store),
    #[command(subcommand)]
    State(state::State),
    #[command(subcommand)]
    Snapshot(snapshot::Snapshot),
    Erase(erase::Erase),
    Metrics(metrics::Metrics),
}

/// Where the topology and the data are.
#[derive(Debug, Args)]
struct Places {
    /// The topology folder: weir.toml, rules/, schemas/
    #[arg(long, value_name = "DIR", default_value = "topology")]
    topology: PathBuf,
    /// The data folder, instead of the topology's
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Places {
    fn load(&self) -> Result<Topology, Failure> {
        Ok(Topology::load(&self.topology)?)
    }

    /// The data folder: as given, else the topology's.
    fn data(&self) -> Result<PathBuf, Failure> {
        match &self.data {
            Some(data) => Ok(data.clone()),
            None => Ok(data_of(&self.load()?)),
        }
    }
}

fn data_of(topology: &Topology) -> PathBuf {
    Path::new(&topology.embedded.data.0).to_owned()
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let format = match cli.log_format {
        Format::Text => LogFormat::Text,
        Format::Json => LogFormat::Json,
    };
    // the demo is for people at a terminal: its own lines are enough unless something is wrong
    let usual = if matches!(cli.command, Command::Demo(_)) { "warn" } else { "info" };
    let filter = cli.log.as_deref().unwrap_or(usual);
    if let Err(message) = init_logging(format, filter) {
        eprintln!("weir: {message}");
        return ExitCode::from(Exit::Invalid as u8);
    }
    log_panics(|text| crate::codec::redact(text).into_owned());
    let done = match &cli.command {
        Command::Demo(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Explain(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Rules(command) => command.run(),
        Command::Lists(command) => command.run(),
        Command::Models(command) => command.run(),
        Command::Flags(command) => command.run(),
        Command::Shadow(command) => command.run(),
        Command::Backtest(command) => command.run(),
        Command::Calibrate(command) => command.run(),
        Command::Dlq(command) => command.run(),
        Command::Topics(command) => command.run(),
        Command::Store(command) => command.run(),
        Command::State(command) => command.run(),
        Command::Snapshot(command) => command.run(),
        Command::Erase(command) => command.run(),
        Command::Metrics(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("weir: {}", failure.message);
            failure.into()
        }
    }
}

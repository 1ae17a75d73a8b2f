//! Bare loops of librdkafka and of the CQL driver: the floors that weir's speed is measured against,
//! with what a measurement needs beside them. They share no code with weir.
//!
//! ```text
//!  record ─► tape ─► load ─► input topics ─► loop (or weir) ─► decisions
//!                                 ▲               │ committed        │
//!                    latency: sends on time       ▼                  ▼
//!                                               watch       latency: reads it back
//!  sample: what weir wrote ─► template ─► loop --form same-output
//! ```

mod bare;
mod batch;
mod client;
mod commit;
mod latency;
mod load;
mod report;
mod store;
mod tape;
mod template;
mod time;
mod topics;
mod watch;
mod wire;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// The same as weir's, so that the difference is none of the allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any failure: this is a tool for the terminal, its errors are texts.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A bare librdkafka loop, and what it takes to measure it beside weir.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// One JSON object instead of lines
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Topics(topics::Topics),
    Loop(bare::Loop),
    Sample(template::Sample),
    Record(load::Record),
    Load(load::Load),
    Latency(latency::Latency),
    Watch(watch::Watch),
    Store(store::Store),
}

/// Where the topics are.
#[derive(Clone, Debug, Args)]
struct Place {
    /// host:port of the brokers
    #[arg(long, env = "WEIR_TEST_BROKERS")]
    brokers: String,
    /// Goes before every topic's name
    #[arg(long, default_value = "")]
    prefix: String,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Command::Topics(command) => command.run(),
        Command::Loop(command) => command.run(),
        Command::Sample(command) => command.run(),
        Command::Record(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Latency(command) => command.run(),
        Command::Watch(command) => command.run(),
        Command::Store(command) => command.run(),
    };
    match done {
        Ok(report) => {
            report.print(cli.json);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("weir-floor: {error}");
            ExitCode::FAILURE
        }
    }
}

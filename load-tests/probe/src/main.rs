//! Watches from outside how far weir is on a cluster, and when its output is seen. It shares no code
//! with weir, and joins no group: watching changes nothing.
//!
//! ```text
//!  positions of the group, ends of the inputs ─► committed AT_MS N END
//!  decisions, read_committed ─────────────────► visible AT_MS COUNT NEWEST_MS
//! ```
//!
//! All times are milliseconds since 1970 of this machine's clock. `NEWEST_MS` is the newest time at
//! which one of the decisions seen was written by weir: with it a reader tells the output of a
//! process that was started again from what its former life had committed.

mod positions;
mod visible;

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use rdkafka::ClientConfig;

use crate::positions::Positions;
use crate::visible::Visible;

/// Any failure: this is a tool for the terminal, its errors are texts.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Prints how far the group is and when decisions are seen, until standard output is closed.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Example:\n  weir-probe --brokers 127.0.0.1:9092 --prefix run1.\n\nLines, \
                  where something changed:\n  committed AT_MS N END      input records before the \
                  group's positions, and all\n  visible AT_MS COUNT NEWEST_MS   decisions seen so \
                  far, and the newest time of writing of those just seen\n  silent AT_MS REASON    \
                  the brokers did not answer a question"
)]
struct Cli {
    /// host:port of the brokers
    #[arg(long, env = "WEIR_TEST_BROKERS")]
    brokers: String,
    /// Goes before the name of each topic and group
    #[arg(long, default_value = "")]
    prefix: String,
    /// Partitions of each topic
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Milliseconds between two looks at the positions
    #[arg(long, default_value_t = 20)]
    every_ms: u64,
}

impl Cli {
    /// A client that asks and reads, and is no member of a group. `group` is whose positions it
    /// asks for.
    fn client(&self, group: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "weir-probe")
            .set("group.id", format!("{}{group}", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("socket.timeout.ms", "5000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "200")
            .set("fetch.wait.max.ms", "10")
            .set("fetch.queue.backoff.ms", "5")
            // a broker that is away is told by its silence
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
        config
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

/// Milliseconds since 1970.
#[allow(clippy::disallowed_methods, reason = "this is where the time comes from")]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A line at once; a reader that went away ends the process.
fn say(line: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn watch(cli: &Cli) -> Result<(), Failure> {
    let mut positions = Positions::new(cli)?;
    let mut visible = Visible::new(cli)?;
    let reader = std::thread::Builder::new().name("visible".into()).spawn(move || {
        loop {
            visible.look()?;
        }
    })?;
    let every = Duration::from_millis(cli.every_ms.max(1));
    // a thread that only ever fails: what it says is why
    let ended = |reader: std::thread::JoinHandle<Result<(), Failure>>| match reader.join() {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => "the reader ended without a word".into(),
    };
    loop {
        if reader.is_finished() {
            return Err(ended(reader));
        }
        positions.look()?;
        std::thread::park_timeout(every);
    }
}

fn main() -> ExitCode {
    match watch(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "weir-probe: {error}");
            ExitCode::FAILURE
        }
    }
}

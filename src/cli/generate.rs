//! `weir generate`: events whose truth is known.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use clap::Args;

use super::feed::{Feed, Pacer};
use super::open::open_log;
use super::{Exit, Failure, Places};
use crate::codec::json;
use crate::event::Millis;
use crate::sim::{Settings, Simulated, Simulator};
use crate::telemetry::Clock;

/// Events appended at once at the most.
const BATCH_MAX: usize = 2_000;

/// Simulates payments, disputes, chats, invoices and labels with fraud in them, and says which are.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir generate --count 10000 --out events.jsonl --truth truth.jsonl\n  \
    weir generate --count 100000 --to-topics --data weir-data --rate 2000"
)]
pub(super) struct Generate {
    /// How many events
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// The same seed gives the same events
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Accounts of people
    #[arg(long, default_value_t = Settings::default().accounts)]
    accounts: u32,
    /// Share of events that are fraud
    #[arg(long, default_value_t = Settings::default().fraud_share)]
    fraud_share: f64,
    /// When the first event happens, RFC 3339
    #[arg(long, value_name = "TIME")]
    start: Option<String>,
    /// Events per second of event time
    #[arg(long, default_value_t = Settings::default().events_per_second)]
    density: f64,
    /// Where JSON Lines go; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-", conflicts_with = "to_topics")]
    out: PathBuf,
    /// The truth as JSON Lines: {"event_id", "kind", "account_id", "fraud", "scenario", "episode"}
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Straight to the topics of the data folder
    #[arg(long)]
    to_topics: bool,
    /// Events per second of wall time, whether or not the receiver keeps up; default: flat out
    #[arg(long)]
    rate: Option<f64>,
    #[command(flatten)]
    places: Places,
}

impl Generate {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let simulator = Simulator::new(self.settings()?).map_err(invalid)?;
        let events = simulator.take(usize::try_from(self.count).unwrap_or(usize::MAX));
        let mut truth = self.truth.as_ref().map(create).transpose()?;
        if !self.to_topics {
            let mut out: Box<dyn Write> = match self.out.to_str() {
                Some("-") => Box::new(BufWriter::new(std::io::stdout().lock())),
                _ => Box::new(create(&self.out)?),
            };
            let mut pacer = Pacer::new(self.rate);
            for simulated in events {
                if let Some(early) = pacer.next() {
                    out.flush().map_err(failed)?;
                    pacer.nap(early);
                }
                write_truth(truth.as_mut(), &simulated)?;
                let line = json::to_line(&simulated.event).map_err(failed)?;
                writeln!(out, "{line}").map_err(failed)?;
            }
            return out.flush().map_err(failed);
        }
        let topology = self.places.load()?;
        let data = self.places.data()?;
        let log = open_log(&topology, &data)?;
        let mut feed = Feed::new(&log)?;
        let clock = Clock::system();
        let mut pacer = Pacer::new(self.rate);
        for simulated in events {
            if let Some(early) = pacer.next() {
                feed.flush()?;
                pacer.nap(early);
            }
            write_truth(truth.as_mut(), &simulated)?;
            feed.push(&simulated.event, clock.now_ms())?;
            if feed.pending() >= BATCH_MAX {
                feed.flush()?;
            }
        }
        feed.flush()?;
        let place = match &topology.kafka {
            Some(kafka) => format!("{} ({})", kafka.brokers, kafka.prefix),
            None => data.display().to_string(),
        };
        eprintln!("{} events are on the topics of {place}", self.count);
        Ok(())
    }

    fn settings(&self) -> Result<Settings, Failure> {
        let default = Settings::default();
        let start = match &self.start {
            None => default.start,
            Some(text) => {
                let parsed: jiff::Timestamp = text.parse().map_err(|_| {
                    let expected = "an RFC 3339 time such as 2026-01-31T00:00:00Z";
                    Failure::new(Exit::Invalid, format!("--start is {text:?}, expected {expected}"))
                })?;
                Millis(parsed.as_millisecond())
            }
        };
        Ok(Settings {
            seed: self.seed,
            accounts: self.accounts,
            fraud_share: self.fraud_share,
            events_per_second: self.density,
            start,
            ..default
        })
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, error)
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Invalid, error)
}

fn create(path: &PathBuf) -> Result<BufWriter<File>, Failure> {
    let file = File::create(path)
        .map_err(|error| failed(format!("cannot create {}: {error}", path.display())))?;
    Ok(BufWriter::new(file))
}

fn write_truth(
    out: Option<&mut BufWriter<File>>,
    Simulated { event, truth }: &Simulated,
) -> Result<(), Failure> {
    let Some(out) = out else { return Ok(()) };
    let line = serde_json::json!({
        "event_id": event.event_id(),
        "kind": event.kind().label(),
        "account_id": event.account_id(),
        "fraud": truth.fraud,
        "scenario": truth.scenario.map(|scenario| scenario.name()),
        "episode": truth.episode,
    });
    writeln!(out, "{line}").map_err(failed)
}

//! `weir shadow report`: whether a challenger would have done better.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::backtest::measure::{Comparison, Measures, Options, REPLICATES_MAX};
use crate::backtest::{Recorded, report};
use crate::cli::backtest::{Measured, time, write};
use crate::cli::open::{read_log, use_registry_of};
use crate::cli::{Exit, Failure, Places};
use crate::codec::{Contract, DecodeError, Decoder, Writers, decode_offline};
use crate::event::{Decision, Millis, Topic};
use crate::log::each_of_topic;

/// Compares each challenger with what decided: outcomes, what would change, precision, recall and average
/// precision once disputes and labels have come, and what it costs.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir shadow report\n  weir shadow report stricter --html report.html\n  \
    weir shadow report --from 2026-05-01 --json\n\nA payment without a dispute or label counts as genuine: ask \
    about a time that is long enough ago.\n\nExit code 0, 1 when no decision has a challenger."
)]
pub(in crate::cli) struct Report {
    /// Only this challenger
    name: Option<String>,
    /// Kind of the events
    #[arg(long, value_enum, default_value = "transaction")]
    kind: Measured,
    /// Events from then on: a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Millis>,
    /// Events before then
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Millis>,
    /// What it costs to look at one alert, in minor units
    #[arg(long, value_name = "MINOR", default_value_t = 500)]
    alert_cost: i64,
    /// Currency of the amounts, as shown
    #[arg(long, value_name = "CODE", default_value = "", hide_default_value = true)]
    currency: String,
    /// Resamples behind each confidence interval; 0: no intervals
    #[arg(long, value_name = "N", default_value_t = 200)]
    resamples: usize,
    /// Where the report goes: one page with plots that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// As JSON: [{"measures", "comparison"}]
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

impl Report {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut found = self.read()?.by_challenger(self.kind.kind());
        found.retain(|(names, samples)| {
            let is_wanted = self.name.as_ref().is_none_or(|name| names.challengers.contains(name));
            is_wanted && !samples.is_empty()
        });
        if found.is_empty() {
            let message = match &self.name {
                Some(name) => format!("no decision of that time has challenger {name:?}"),
                None => "no decision of that time has a challenger".to_owned(),
            };
            return Err(Failure::new(Exit::Failed, message));
        }
        let options = Options {
            alert_cost_minor: self.alert_cost,
            replicates: self.resamples.min(REPLICATES_MAX),
            currency: self.currency.clone(),
            ..Options::default()
        };
        let mut results = Vec::new();
        for (names, samples) in &found {
            let measures = Measures::of(samples, names, &options);
            let comparisons: Vec<Comparison> =
                Comparison::of(samples, names, 0, &options).into_iter().collect();
            if let Some(path) = &self.html {
                let path = match found.len() {
                    1 => path.clone(),
                    _ => {
                        path.with_file_name(format!("{}-{}", names.challengers[0], file_name(path)))
                    }
                };
                let title = format!("Challenger {}", names.challengers[0]);
                write(&path, &report::html(&measures, &comparisons, &title, &self.details()))?;
                eprintln!("the report is in {}", path.display());
            }
            match self.json {
                true => {
                    let comparison = comparisons.first();
                    results.push(json!({ "measures": measures, "comparison": comparison }));
                }
                false => say_on!("{}", report::text(&measures, &comparisons)),
            }
        }
        if self.json {
            say!("{}", json!(results));
        }
        Ok(())
    }

    fn details(&self) -> Vec<(String, String)> {
        let line = |name: &str, time: Option<Millis>| Some((name.to_owned(), time?.to_string()));
        [line("events from", self.from), line("events until", self.to)]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Decisions, and what disputes and labels say.
    fn read(&self) -> Result<Recorded, Failure> {
        let log = read_log(&self.places)?;
        let mut decoder = Decoder::new(Writers::built_in());
        if self.places.topology.is_dir() {
            let topology = self.places.load()?;
            let mut writers = Writers::built_in();
            writers
                .add_folder(&topology.schemas())
                .map_err(|error| Failure::new(Exit::Invalid, error))?;
            decoder = match use_registry_of(&topology)? {
                Some(registry) => Decoder::with_registry(writers, registry),
                None => Decoder::new(writers),
            };
        }
        let mut recorded = Recorded::default();
        for topic in [Topic::Disputes, Topic::Labels] {
            each_of_topic(log.as_ref(), topic, |record| {
                match decoder.decode(record) {
                    Ok(decoded) => recorded.hear(&decoded.event),
                    // what became a dead letter says nothing
                    Err(DecodeError::Refused(_)) => {}
                    Err(DecodeError::Unavailable(error)) => {
                        return Err(Failure::new(Exit::Unreachable, error));
                    }
                }
                Ok(())
            })?;
        }
        each_of_topic(log.as_ref(), Topic::Decisions, |record| -> Result<(), Failure> {
            let decision: Decision<'_> = decode_offline(Contract::Decision, record.payload())
                .map_err(|error| {
                    let message = format!("{}: {error}", record.position);
                    Failure::new(Exit::Failed, message)
                })?;
            let time = decision.event_time;
            let is_within =
                self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to);
            if is_within {
                recorded.take(&decision);
            }
            Ok(())
        })?;
        Ok(recorded)
    }
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

//! `weir backtest`: what rules would have decided about history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::check::features;
use super::replay::bar;
use super::{Exit, Failure};
use crate::backtest::measure::{Comparison, Measures, Options, REPLICATES_MAX};

use crate::backtest::{
    self, BacktestError, Done, ExportError, Input, Names, Plan, Sample, THREADS_MAX, Tally, Truth,
    report,
};
use crate::config::{ModelFile, Problems, RuleFile, Topology};
use crate::event::{Kind, Millis};
use crate::replay::Map;
use crate::score::Engine;
use crate::state::{FeatureSet, Horizon};

/// Runs history through the state and the rules of a topology, flat out, and says what they would have
/// decided.
///
/// No log is needed and none is written. All files are put in one order by the time of their events, and
/// the result is the same for any number of threads. What would be dead letters is counted and shown.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir backtest --data events.jsonl\n  \
    weir backtest --data payments.csv.zst --map maps/payments.toml --labels column:is_fraud\n  \
    weir backtest --data payments.csv.zst --map maps/payments.toml --map maps/disputes.toml \\\n    \
        --rules candidate/rules --compare live --from 2018-05-01 --json result.json\n  \
    weir backtest --data payments.csv@maps/payments.toml --data chats.jsonl --export features.csv")]
pub(super) struct Backtest {
    /// A file of history, CSV or JSON Lines, plain or zstd; with @MAP.toml a map of its own; - is
    /// standard input
    #[arg(long, required = true, value_name = "FILE[@MAP.toml]")]
    data: Vec<String>,
    /// How columns of files without a map of their own become events; with several such a file is read
    /// with each of them. Without any, files are JSON Lines in weir's own form
    #[arg(long, value_name = "MAP.toml")]
    map: Vec<PathBuf>,
    /// The topology folder: features and rules
    #[arg(long, value_name = "DIR", default_value = "topology")]
    topology: PathBuf,
    /// A folder with rule files, instead of the topology's
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// A folder with models.toml, instead of the topology's models
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Compare with the topology's own rules and models
    #[arg(long, value_enum)]
    compare: Option<Compare>,
    /// Where the truth is: disputes and labels in the data, whenever they arrive, or a column of it
    /// that holds 1 or 0, true or false, or nothing
    #[arg(long, value_name = "disputes|column:NAME", default_value = "disputes", value_parser = truth)]
    labels: Truth,
    /// Measures events from then on, earlier ones are only remembered: a date, or an RFC 3339 time
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Millis>,
    /// Measures events before then; later ones still say what was fraud
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Millis>,
    /// Only so many rows of each file
    #[arg(long, value_name = "ROWS")]
    limit: Option<u64>,
    /// Go on past rows that are not events; they are counted
    #[arg(long)]
    skip_bad: bool,
    /// Threads that score; default: as many as there are cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX as i64))]
    threads: Option<u16>,
    /// Kind of the events that are measured
    #[arg(long, value_enum, default_value = "transaction")]
    kind: Measured,
    /// Accounts that are looked at in a day, for card precision
    #[arg(long, value_name = "K", default_value_t = 100)]
    cards: usize,
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
    /// Where the result goes as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the features of the payments go as CSV, for training elsewhere
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Compare {
    /// the topology's own
    Live,
}

/// Kinds that are measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Measured {
    Transaction,
    Dispute,
    Chat,
    Invoice,
}

impl Measured {
    pub(super) fn kind(self) -> Kind {
        match self {
            Measured::Transaction => Kind::Transaction,
            Measured::Dispute => Kind::Dispute,
            Measured::Chat => Kind::Chat,
            Measured::Invoice => Kind::Invoice,
        }
    }
}

impl Backtest {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let plan = self.plan()?;
        let sizes = plan.inputs.iter().map(|input| std::fs::metadata(&input.path).ok());
        let total = sizes.map(|size| Some(size.filter(std::fs::Metadata::is_file)?.len())).sum();
        let bar = bar(total);
        let began = Instant::now();
        let done = backtest::run(&plan, &mut |progress| bar.set_position(progress.bytes_read()));
        bar.finish_and_clear();
        let done = done.map_err(failure)?;
        let seconds = began.elapsed().as_secs_f64();
        show(&done.tally);
        let events = done.tally.events;
        eprintln!(
            "{events} events in {seconds:.1} s, {:.0} a second, scored on {} threads",
            events as f64 / seconds,
            plan.threads
        );
        self.finish(done, &plan)
    }

    fn plan(&self) -> Result<Plan, Failure> {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            return Err(invalid(format!("--from is {from}, expected a time before --to {to}")));
        }
        let mut topology = Topology::load(&self.topology)?;
        let features = features(&topology)?;
        let is_other = self.rules.is_some() || self.model.is_some();
        let mut challengers = Vec::new();
        match self.compare {
            Some(Compare::Live) if is_other => {
                challengers.push(("live".to_owned(), engine(&topology, &features)?));
            }
            Some(Compare::Live) => {
                let message = "--compare live: they are the same, expected --rules or --model too";
                return Err(invalid(message));
            }
            None => {}
        }
        if let Some(folder) = &self.rules {
            topology.rules = RuleFile::load_folder(folder)?;
        }
        if let Some(folder) = &self.model {
            topology.models = ModelFile::load_folder(folder).map_err(Problems)?;
        }
        let engine = engine(&topology, &features)?;
        let hours = i64::from(*topology.dedupe.hours.get_ref());
        Ok(Plan {
            inputs: self.inputs()?,
            features,
            engine,
            challengers,
            horizon: Horizon { ids: *topology.dedupe.ids.get_ref(), age_ms: hours * 3_600_000 },
            truth: self.labels.clone(),
            from: self.from,
            to: self.to,
            limit: self.limit,
            skip_bad: self.skip_bad,
            threads: self.threads.map_or_else(cores, usize::from),
            export: self.export.clone(),
        })
    }

    fn inputs(&self) -> Result<Vec<Input>, Failure> {
        let load = |path: &Path| Map::load(path).map_err(invalid);
        let maps = self.map.iter().map(|path| load(path)).collect::<Result<Vec<_>, _>>()?;
        let mut inputs = Vec::new();
        for data in &self.data {
            let own = match data.rsplit_once('@') {
                // a file may have the sign in its name
                Some((path, map)) if !Path::new(data).exists() => Some((path, map)),
                _ => None,
            };
            match own {
                Some((path, map)) => {
                    inputs.push(Input { path: path.into(), map: Some(load(Path::new(map))?) });
                }
                None if maps.is_empty() => inputs.push(Input { path: data.into(), map: None }),
                None => inputs.extend(
                    maps.iter().map(|map| Input { path: data.into(), map: Some(map.clone()) }),
                ),
            }
        }
        if inputs.iter().filter(|input| input.path.as_os_str() == "-").count() > 1 {
            return Err(invalid("standard input is read twice, expected once with one map"));
        }
        if let Truth::Column(name) = &self.labels
            && !inputs.iter().any(Input::is_labelled)
        {
            return Err(invalid(format!(
                "--labels column:{name}: no file could have it, expected one with a map for \
                 payments, chats or invoices"
            )));
        }
        Ok(inputs)
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX)
}

fn truth(text: &str) -> Result<Truth, String> {
    match text.split_once(':') {
        None if text == "disputes" => Ok(Truth::Disputes),
        Some(("column", name)) if !name.is_empty() => Ok(Truth::Column(name.to_owned())),
        _ => Err("expected disputes, or column: and its name".to_owned()),
    }
}

pub(super) fn time(text: &str) -> Result<Millis, String> {
    let time = Millis::of_date_or_time(text);
    time.ok_or_else(|| "expected a date such as 2018-05-01, or 2018-05-01T12:00:00Z".to_owned())
}

fn invalid(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Invalid, error)
}

fn failure(error: BacktestError) -> Failure {
    let exit = match &error {
        BacktestError::Input(_) | BacktestError::Encode { .. } | BacktestError::Order(_) => {
            Exit::Invalid
        }
        BacktestError::Export(error) if ExportError::is_full(error) => Exit::DiskFull,
        BacktestError::Export(_) | BacktestError::Panicked(_) => Exit::Failed,
    };
    Failure::new(exit, error)
}

/// What is not as it should be, for people.
fn show(tally: &Tally) {
    if let Some(first) = &tally.first_bad {
        eprintln!("{} rows make no event, the first: {first}", tally.bad);
    }
    for (reason, rows) in &tally.skipped {
        eprintln!("{rows} rows left out: {reason}");
    }
    for ((stage, code), (count, first)) in &tally.refused {
        eprintln!("{count} would be dead letters ({stage}, {code}), the first: {first}");
    }
    if tally.duplicates > 0 {
        eprintln!("{} events were there before and are no others", tally.duplicates);
    }
    if tally.out_of_turn > 0 {
        eprintln!(
            "{} events stood so late in their file that later ones of another kind came before them",
            tally.out_of_turn
        );
    }
}

/// What a topology decides by.
fn engine(topology: &Topology, features: &Arc<FeatureSet>) -> Result<Engine, Problems> {
    let policy = super::check::load(topology, features)?;
    Ok(Engine::of(policy.rules().hash().to_owned(), policy, Vec::new()))
}

impl Backtest {
    /// Tells what was found.
    fn finish(&self, mut done: Done, plan: &Plan) -> Result<(), Failure> {
        let run = counts(&done, plan);
        done.samples.retain(|sample| sample.kind == self.kind.kind());
        let Done { samples, names, .. } = &done;
        let options = Options {
            k: self.cards.max(1),
            alert_cost_minor: self.alert_cost,
            replicates: self.resamples.min(REPLICATES_MAX),
            currency: self.currency.clone(),
            ..Options::default()
        };
        let measures = Measures::of(samples, names, &options);
        let compare = |challenger| Comparison::of(samples, names, challenger, &options);
        let comparisons: Vec<Comparison> =
            (0..names.challengers.len()).filter_map(compare).collect();
        if let Some(path) = &self.html {
            let details = self.details(plan, &done.tally);
            let title = format!("Backtest of {} rules", self.kind.kind().label());
            write(path, &report::html(&measures, &comparisons, &title, &details))?;
            eprintln!("the report is in {}", path.display());
        }
        let to_stdout = self.json.as_ref().is_some_and(|path| path.as_os_str() == "-");
        if let Some(path) = &self.json {
            let result = json!({ "run": run, "measures": measures, "comparisons": comparisons });
            let text = serde_json::to_string_pretty(&result)
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            match to_stdout {
                true => say!("{text}"),
                false => write(path, &(text + "\n"))?,
            }
        }
        if !to_stdout {
            say_on!("{}", report::text(&measures, &comparisons));
        }
        Ok(())
    }

    /// What it was, for the head of the report.
    fn details(&self, plan: &Plan, tally: &Tally) -> Vec<(String, String)> {
        let line = |name: &str, value: String| (name.to_owned(), value);
        let mut details = vec![
            line("data", self.data.join(", ")),
            line("events", tally.events.to_string()),
            line("rule set", plan.engine.rules().hash().to_owned()),
            line("feature set", plan.features.hash().to_owned()),
        ];
        let models = plan.engine.live().models().hash();
        details.extend(models.map(|hash| line("models", hash.to_owned())));
        details.extend(self.from.map(|from| line("measured from", from.to_string())));
        details.extend(self.to.map(|to| line("measured until", to.to_string())));
        details
    }
}

pub(super) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(Exit::Failed, message)
    })
}

/// What was counted.
fn counts(Done { samples, names, tally }: &Done, plan: &Plan) -> Value {
    let mut outcomes: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    let mut challengers: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
    for sample in samples {
        let ours = sample.outcome.name();
        *outcomes.entry(sample.kind.label()).or_default().entry(ours).or_default() += 1;
        for (name, theirs) in names.challengers.iter().zip(&sample.challengers) {
            let change = format!("{} {ours}", theirs.outcome.name());
            *challengers.entry(name).or_default().entry(change).or_default() += 1;
        }
    }
    let refused = tally.refused.iter().map(|((stage, code), (count, first))| {
        json!({ "stage": stage, "code": code, "count": count, "first": first })
    });
    json!({
        "rule_set": plan.engine.rules().hash(),
        "feature_set": plan.features.hash(),
        "rows": tally.rows,
        "bad_rows": tally.bad,
        "skipped_rows": tally.skipped,
        "events": tally.events,
        "taken": tally.taken,
        "duplicates": tally.duplicates,
        "dead_letters": refused.collect::<Vec<_>>(),
        "late": tally.late,
        "out_of_turn": tally.out_of_turn,
        "decided": samples.len(),
        "outcomes": outcomes,
        "rules": hits(samples, names),
        "payments": labels(samples),
        "challengers": challengers,
    })
}

/// By rule, how often it matched.
fn hits(samples: &[Sample], names: &Names) -> BTreeMap<String, u64> {
    let mut hits: Vec<u64> = vec![0; names.rules.len()];
    for rule in samples.iter().flat_map(|sample| &sample.rules) {
        hits[usize::from(*rule)] += 1;
    }
    names.rules.iter().cloned().zip(hits).collect()
}

/// What is known of the payments.
fn labels(samples: &[Sample]) -> Value {
    let count = |label: Option<bool>| {
        let payments = samples.iter().filter(|sample| sample.kind == Kind::Transaction);
        payments.filter(|sample| sample.label == label).count()
    };
    json!({ "fraud": count(Some(true)), "genuine": count(Some(false)), "unknown": count(None) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_or_rfc_3339_and_labels_say_where_they_are() {
        assert_eq!(time("1970-01-02"), Ok(Millis(86_400_000)));
        assert_eq!(time("1970-01-01T01:00:00+01:00"), Ok(Millis(0)));
        assert!(time("yesterday").is_err());
        assert_eq!(truth("disputes"), Ok(Truth::Disputes));
        assert_eq!(truth("column:a:b"), Ok(Truth::Column("a:b".into())));
        assert!(truth("column:").is_err() && truth("columns:x").is_err());
    }
}

//! `weir.toml`: where things are, how workers work, who is told. Every setting has a default, so
//! that an empty file is a valid topology.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;

use super::deadlines::DeadlinesFile;
use super::features::FeatureFile;
use super::kafka::KafkaFile;
use super::registry::{Registry, RegistryFile};
use super::rules::RuleFile;
use super::snapshots::SnapshotsFile;
use super::store::StoreFile;
use super::webhook::WebhookFile;
use super::{
    Deadlines, Interpolated, Kafka, ListsFile, ModelFile, Place, Problem, Problems, Snapshots,
    StoreCluster, Webhook,
};

/// Hours within which repeated events may be recognised.
const DEDUPE_HOURS_MAX: u32 = 24 * 366;

/// A whole topology folder.
#[derive(Clone, Debug)]
pub struct Topology {
    /// the folder
    pub folder: PathBuf,
    /// the embedded log and store
    pub embedded: Embedded,
    /// the cluster, where the log is not embedded
    pub kafka: Option<Kafka>,
    /// how workers work
    pub worker: Worker,
    /// how far back repeated events are recognised
    pub dedupe: Dedupe,
    /// when bad input stops the process
    pub poison: Poison,
    /// when something is left out to keep up
    pub pressure: Pressure,
    /// what is told of the deadlines of disputes
    pub deadlines: Deadlines,
    /// the HTTP server
    pub server: Server,
    /// the schema registry, where there is one
    pub registry: Option<Registry>,
    /// the cluster that has the tables, where it is not the data folder
    pub store: Option<StoreCluster>,
    /// where state is kept, so that a start need not read the whole log again
    pub snapshots: Snapshots,
    /// who is told of escalations
    pub webhooks: Vec<Webhook>,
    /// what is remembered and read by every decision
    pub features: FeatureFile,
    /// rules, one file per kind of event
    pub rules: Vec<RuleFile>,
    /// what is known to be good or bad
    pub lists: ListsFile,
    /// what scores beside the rules
    pub models: Vec<ModelFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    embedded: Embedded,
    kafka: Option<KafkaFile>,
    worker: Worker,
    dedupe: Dedupe,
    poison: Poison,
    pressure: Pressure,
    deadlines: DeadlinesFile,
    server: Server,
    registry: Option<RegistryFile>,
    store: Option<StoreFile>,
    snapshots: SnapshotsFile,
    webhook: Vec<WebhookFile>,
}

/// `[embedded]`: the log and the store in one folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Embedded {
    /// the data folder
    pub data: Interpolated,
    /// partitions of each topic, for a new folder
    pub partitions: Spanned<u32>,
    /// whether each commit waits for the disk
    pub durable: bool,
}

impl Default for Embedded {
    fn default() -> Self {
        Embedded {
            data: Interpolated("weir-data".into()),
            partitions: Spanned::new(0..0, 4),
            durable: true,
        }
    }
}

/// How the inputs of a partition are put in one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergeMode {
    /// by event time among what is there
    Live,
    /// by event time, waiting for every input up to where it ended when the run began
    Strict,
}

/// What a crash may do to decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// outputs and positions become visible together
    #[default]
    ExactlyOnce,
    /// outputs first, positions after them: faster, and a crash may repeat decisions under their ids
    AtLeastOnce,
}

/// `[worker]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// workers of this process
    pub count: Spanned<u32>,
    /// the least time between two commits, in milliseconds
    pub commit_interval_ms: Spanned<u64>,
    /// input records of one transaction
    pub batch_records_max: Spanned<usize>,
    /// output bytes of one transaction
    pub batch_bytes_max: Spanned<usize>,
    /// what a crash may do to decisions
    pub delivery: Delivery,
    /// how inputs are put in order
    pub merge: MergeMode,
    /// how long an empty input is waited for under `merge = "live"`, in milliseconds
    pub merge_wait_ms: u64,
    /// whether partitions that other processes own are followed, to be taken over in moments
    pub standby: Spanned<bool>,
}

impl Default for Worker {
    fn default() -> Self {
        Worker {
            count: Spanned::new(0..0, 1),
            commit_interval_ms: Spanned::new(0..0, 20),
            batch_records_max: Spanned::new(0..0, 5_000),
            batch_bytes_max: Spanned::new(0..0, 4 << 20),
            delivery: Delivery::ExactlyOnce,
            merge: MergeMode::Live,
            merge_wait_ms: 0,
            standby: Spanned::new(0..0, false),
        }
    }
}

/// `[dedupe]`: the horizon within which a repeated event id is recognised.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dedupe {
    /// accepted events remembered per account and topic
    pub ids: Spanned<usize>,
    /// how much older than the newest an entry may be
    pub hours: Spanned<u32>,
}

impl Default for Dedupe {
    fn default() -> Self {
        Dedupe { ids: Spanned::new(0..0, 64), hours: Spanned::new(0..0, 168) }
    }
}

/// `[poison]`: past these limits the process stops rather than divert everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Poison {
    /// refused records among the last `window`, in percent
    pub share_percent: Spanned<f64>,
    /// records that share is taken of
    pub window: Spanned<usize>,
    /// refused records in a row
    pub run: Spanned<usize>,
}

impl Default for Poison {
    fn default() -> Self {
        Poison {
            share_percent: Spanned::new(0..0, 5.0),
            window: Spanned::new(0..0, 10_000),
            run: Spanned::new(0..0, 500),
        }
    }
}

/// `[pressure]`: what explains and compares is left out while records wait too long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pressure {
    /// how long a record may have been on its topic when it is decided about before attributions
    /// are left out, in seconds; twice that for shadows, four times for the model. 0: nothing is
    pub wait_seconds: Spanned<u32>,
}

impl Default for Pressure {
    fn default() -> Self {
        Pressure { wait_seconds: Spanned::new(0..0, 10) }
    }
}

/// `[server]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// address and port to listen on
    pub listen: Listen,
}

impl Default for Server {
    fn default() -> Self {
        Server { listen: Listen(SocketAddr::from(([127, 0, 0, 1], 8080))) }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub struct Listen(pub SocketAddr);

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Interpolated(text) = Interpolated::deserialize(deserializer)?;
        text.parse().map(Listen).map_err(|_| {
            let expected = "an address and a port such as 127.0.0.1:8080";
            serde::de::Error::custom(format!("listen is {text:?}, expected {expected}"))
        })
    }
}

impl Topology {
    /// Reads a topology folder: `weir.toml`, which may be absent, and `rules/*.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its place.
    pub fn load(folder: &Path) -> Result<Topology, Problems> {
        if !folder.is_dir() {
            let message = "is not a folder, expected one with weir.toml and rules/*.toml";
            return Err(Problem::new(Place::file(folder), message).into());
        }
        let path = folder.join("weir.toml");
        let mut problems = Vec::new();
        let (file, text) = match read_optional(&path) {
            Ok(text) => match parse::<File>(&path, &text) {
                Ok(file) => (file, text),
                Err(problem) => {
                    problems.push(problem);
                    (File::default(), text)
                }
            },
            Err(problem) => return Err(problem.into()),
        };
        let checker = Checker { path: &path, text: &text };
        checker.ranges(&file, &mut problems);
        let deadlines = checker.deadlines(&file.deadlines, &mut problems);
        let registry = file.registry.and_then(|file| checker.registry(file, folder, &mut problems));
        let store = file.store.and_then(|file| checker.store(file, folder, &mut problems));
        let snapshots = checker.snapshots(file.snapshots, folder, &mut problems);
        let webhooks = checker.webhooks(file.webhook, folder, &mut problems);
        let kafka = file.kafka.and_then(|file| checker.kafka(file, &mut problems));
        if *file.worker.standby.get_ref() && kafka.is_none() {
            let message = "standby is true, expected false: the embedded log has no other process";
            problems.push(checker.problem(&file.worker.standby, message.to_owned()));
        }
        let features = FeatureFile::load(folder).map_err(|problem| problems.push(problem));
        let rules = RuleFile::load_all(&folder.join("rules"), &mut problems);
        let lists = ListsFile::load(folder).map_err(|found| problems.extend(found));
        let models = ModelFile::load_folder(folder).map_err(|found| problems.extend(found));
        let Ok(features) = features else { return Err(Problems(problems)) };
        let hours = &file.dedupe.hours;
        let kept = features.retention_ms / 3_600_000;
        if i64::from(*hours.get_ref()) > kept && *hours.get_ref() <= DEDUPE_HOURS_MAX {
            let message = format!(
                "hours is {}, expected at most the {kept} after which features.toml (retention) forgets an account",
                hours.get_ref()
            );
            problems.push(checker.problem(hours, message));
        }
        let (true, Ok(lists), Ok(models)) = (problems.is_empty(), lists, models) else {
            return Err(Problems(problems));
        };
        Ok(Topology {
            folder: folder.to_owned(),
            embedded: file.embedded,
            kafka,
            worker: file.worker,
            dedupe: file.dedupe,
            poison: file.poison,
            pressure: file.pressure,
            deadlines,
            server: file.server,
            registry,
            store,
            snapshots,
            webhooks,
            features,
            rules,
            lists,
            models,
        })
    }

    /// The folder with further writers' schemas.
    pub fn schemas(&self) -> PathBuf {
        self.folder.join("schemas")
    }
}

/// Reads a TOML file into `T`; the problem names line, value and expectation.
pub(super) fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, Problem> {
    toml::from_str(text).map_err(|error| {
        let place = match error.span() {
            Some(span) => Place::span(path, text, span),
            None => Place::file(path),
        };
        let message = error.message().trim().replace('\n', ", ");
        // the library does not say which
        let twice = error.span().and_then(|span| text.get(span));
        match twice.filter(|_| message == "duplicate key") {
            Some(key) => Problem::new(place, format!("{key} is there twice, expected it once")),
            None => Problem::new(place, message),
        }
    })
}

fn read_optional(path: &Path) -> Result<String, Problem> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Problem::new(Place::file(path), format!("cannot be read: {error}"))),
    }
}

pub(super) struct Checker<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Checker<'_> {
    pub(super) fn problem<T>(&self, at: &Spanned<T>, message: String) -> Problem {
        Problem::new(Place::span(self.path, self.text, at.span()), message)
    }

    pub(super) fn file(&self) -> Place {
        Place::file(self.path)
    }

    pub(super) fn range<T: PartialOrd + Copy + std::fmt::Display>(
        &self,
        name: &str,
        value: &Spanned<T>,
        (least, most): (T, T),
        problems: &mut Vec<Problem>,
    ) {
        let found = value.get_ref();
        if !(*found >= least && *found <= most) {
            let message = format!("{name} is {found}, expected {least} to {most}");
            problems.push(self.problem(value, message));
        }
    }

    fn ranges(&self, file: &File, problems: &mut Vec<Problem>) {
        self.range("partitions", &file.embedded.partitions, (1, 1_024), problems);
        let worker = &file.worker;
        self.range("count", &worker.count, (1, 64), problems);
        self.range("commit_interval_ms", &worker.commit_interval_ms, (0, 10_000), problems);
        self.range("batch_records_max", &worker.batch_records_max, (1, 100_000), problems);
        self.range("batch_bytes_max", &worker.batch_bytes_max, (64 << 10, 64 << 20), problems);
        self.range("ids", &file.dedupe.ids, (1, 10_000), problems);
        self.range("hours", &file.dedupe.hours, (1, DEDUPE_HOURS_MAX), problems);
        self.range("share_percent", &file.poison.share_percent, (0.01, 100.0), problems);
        self.range("window", &file.poison.window, (100, 1_000_000), problems);
        self.range("wait_seconds", &file.pressure.wait_seconds, (0, 86_400), problems);
        self.range("run", &file.poison.run, (1, 1_000_000), problems);
    }
}

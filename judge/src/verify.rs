//! The checks. Each input partition is judged on its own, since everything one causes stands in the
//! partition of the same number; the tables and the webhooks are held against all of them together.
//!
//! ```text
//!  for each partition, on any thread:
//!    dead letters ─► inputs ─► ledger of endings ─► decisions ─► escalations ─► roll-ups
//!                                                      │ ids and hashes of payloads
//!  then once:                                          ▼
//!    positions      roll-up sums      store tables, webhook log, the other run's decisions
//! ```

mod compare;
mod deadlines;
mod inputs;
mod outputs;
mod policies;
mod rollups;
mod store;
mod touches;
mod webhook;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::avro::{Decoder, Fields, each_text};
use crate::cards;
use crate::contract::{NOTIFY, READERS, Topic};
use crate::error::Unreadable;
use crate::expect::Horizon;
use crate::log::{Bounds, Log, LogRecord, Place, open_tables};
use crate::registry::Registry;
use crate::report::{Check, Report};
use crate::schemas::Schemas;
use crate::tables::{self, StoreCluster};

use compare::{Alike, Other};
use policies::{Policies, Versions};
use rollups::Counts;
use store::Stored;

/// What to judge, and by which rules.
#[derive(Debug)]
pub struct Options {
    /// where the topics are
    pub place: Place,
    /// the data folder with the store's tables, where the topics are not in it
    pub tables: Option<PathBuf>,
    /// the cluster with the store's tables, where they are in no data folder
    pub store: Option<StoreCluster>,
    /// base URL of the schema registry; without one no record is Confluent-framed
    pub registry: Option<String>,
    /// how duplicates are told
    pub horizon: Horizon,
    /// judge only what was read so far
    pub allow_behind: bool,
    /// how many records may end as a panic
    pub panics_max: Option<u64>,
    /// JSON Lines of the webhook stub
    pub webhook_log: Option<PathBuf>,
    /// another run that must hold the same decisions
    pub compare: Option<Place>,
    /// threads that judge partitions
    pub threads: usize,
}

/// An id as the tables keep it.
type Id = [u8; 16];

/// What all partitions share.
struct Case<'s> {
    options: &'s Options,
    schemas: &'s Schemas,
    registry: Option<&'s Registry>,
    bounds: Bounds,
    decoders: HashMap<Topic, Decoder<'s>>,
    other: Option<Other<'s>>,
    /// of what decides
    versions: Versions,
}

impl Case<'_> {
    /// Asks the registry for the record's writer, once for each.
    fn learn(&self, record: &LogRecord) -> Result<(), Unreadable> {
        let (Some(registry), Some(decoder)) = (self.registry, self.decoders.get(&record.topic))
        else {
            return Ok(());
        };
        if let Some(id) = decoder.unlearned(&record.payload) {
            let known = registry.schema(id)?;
            let found = known.map(|known| self.schemas.learn(record.topic, known));
            decoder.learn(id, found.transpose()?);
        }
        Ok(())
    }

    fn decode(&self, record: &LogRecord) -> Result<Fields, String> {
        let decoder = self.decoders.get(&record.topic);
        let decoder = decoder.ok_or_else(|| "no decoder".to_owned())?;
        decoder
            .decode(&record.payload)
            .map_err(|why| format!("{}: cannot be read: {why}", record.position()))
    }
}

/// One partition under judgement.
struct Part<'c, 's> {
    case: &'c Case<'s>,
    log: &'c dyn Log,
    /// the run compared with
    other_log: Option<&'c dyn Log>,
    partition: u32,
}

impl Part<'_, '_> {
    /// Visits the partition's records of a topic; damaged batches fail [`Check::Log`].
    fn each(
        &self,
        topic: Topic,
        findings: &mut Findings,
        mut visit: impl FnMut(LogRecord, &mut Findings) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let from = self.case.bounds.begin(topic, self.partition);
        let until = self.case.bounds.end(topic, self.partition);
        let mut end = 0;
        for read in self.log.records(topic, self.partition, from, until) {
            match read? {
                Ok(record) => {
                    end = record.offset + 1;
                    self.case.learn(&record)?;
                    visit(record, findings)?;
                }
                Err(damage) => findings.report.fail(Check::Log, || damage),
            }
        }
        findings.ends.insert((topic, self.partition), end);
        Ok(())
    }
}

/// What one or all partitions showed.
#[derive(Default)]
struct Findings {
    report: Report,
    /// right behind the last record of each partition that was read
    ends: HashMap<(Topic, u32), i64>,
    decisions: HashMap<Id, Stored>,
    escalations: HashMap<Id, Stored>,
    /// counted from the decisions
    recount: Counts,
    /// the roll-up records by partition and offset
    rollups: HashMap<(u32, i64), Counts>,
    /// escalations that have a dead letter of the notifier
    undeliverable: HashSet<(u32, i64)>,
    /// what decisions name
    policies: Policies,
}

impl Findings {
    fn merge(&mut self, other: Findings) {
        self.report.merge(other.report);
        self.ends.extend(other.ends);
        store::merge(&mut self.decisions, other.decisions);
        store::merge(&mut self.escalations, other.escalations);
        rollups::merge(&mut self.recount, other.recount);
        self.rollups.extend(other.rollups);
        self.undeliverable.extend(other.undeliverable);
        self.policies.merge(other.policies, &mut self.report);
    }
}

/// Judges the topics and the tables.
///
/// # Errors
/// When something cannot be read at all.
pub fn run(schemas: &Schemas, options: &Options) -> Result<Report, Unreadable> {
    let log = options.place.open()?;
    let registry = options.registry.as_deref().map(Registry::new);
    let mut decoders = HashMap::new();
    for topic in Topic::ALL {
        decoders.insert(topic, schemas.decoder(topic, registry.is_some())?);
    }
    // held until the end: it keeps the snapshot that the bounds were taken from
    let other_log = options.compare.as_ref().map(Place::open).transpose()?;
    let other = match (&options.compare, &other_log) {
        (Some(place), Some(log)) => Some(Other::new(place, log.as_ref(), schemas)?),
        _ => None,
    };
    let registry = registry.as_ref();
    let bounds = log.bounds()?;
    let mut findings = Findings::default();
    let versions = Versions::read(&bounds, log.as_ref(), &mut findings.report)?;
    let case = Case { options, schemas, registry, bounds, decoders, other, versions };
    // positions first: what a sink stored since is not in excess
    let own_tables = match &options.store {
        Some(cluster) => Some(tables::copy(cluster)?),
        None => options.tables.as_deref().map(open_tables).transpose()?,
    };
    check_log(&case, &mut findings.report);
    for part in judge_partitions(&case)? {
        findings.merge(part);
    }
    check_positions(&case, &mut findings);
    check_panics(&case, &mut findings.report);
    rollups::check_sums(&mut findings);
    let tables = own_tables.as_ref().or(log.tables());
    match tables {
        Some(tables) => store::check(&case, tables, &mut findings)?,
        None => store::skip(&mut findings.report),
    }
    if let Some(path) = &options.webhook_log {
        webhook::check(&case, tables, path, &mut findings)?;
    }
    Ok(findings.report)
}

fn check_log(case: &Case<'_>, report: &mut Report) {
    report.checked(Check::Log, case.bounds.batches);
    for what in &case.bounds.disorder {
        report.fail(Check::Log, || what.clone());
    }
    let expected = case.bounds.partitions_max();
    for topic in Topic::ALL {
        let found = case.bounds.partitions.get(&topic).copied();
        let expected = topic.partitions(expected);
        if found != Some(expected) && (found.is_some() || topic.is_required()) {
            report.fail(Check::Log, || {
                let found = found.unwrap_or(0);
                format!("{} has {found} partitions, expected {expected}", topic.name())
            });
        }
    }
}

/// A group that is past every record has read to the end, wherever markers put the offset after it.
fn check_positions(case: &Case<'_>, findings: &mut Findings) {
    let Findings { report, ends, .. } = findings;
    for (group, topic) in READERS {
        let partitions = case.bounds.partitions.get(&topic).copied().unwrap_or(0);
        // nobody to tell, nobody who reads
        if group == NOTIFY && case.options.webhook_log.is_none() {
            continue;
        }
        for partition in 0..partitions {
            let end_max = case.bounds.end(topic, partition);
            let end = ends.get(&(topic, partition)).copied().unwrap_or(0);
            let next = case.bounds.committed(group, topic, partition);
            report.checked(Check::Positions, 1);
            if next > end_max || (next < end && !case.options.allow_behind) {
                report.fail(Check::Positions, || {
                    let topic = topic.name();
                    format!("{group} stands at {topic}/{partition}@{next}, the end is {end}")
                });
            }
        }
    }
}

/// A panic is a legal end of any record, so a weir that always panics would conserve them all.
fn check_panics(case: &Case<'_>, report: &mut Report) {
    let inputs = Topic::INPUTS.into_iter();
    let panicked: u64 = inputs.map(|topic| report.endings(topic).panicked).sum();
    if let Some(max) = case.options.panics_max.filter(|max| panicked > *max) {
        report.fail(Check::Conservation, || {
            format!("{panicked} records ended as a panic, at most {max} are allowed")
        });
    }
}

/// Deals the partitions to threads; the findings come back in the order of the partitions.
fn judge_partitions(case: &Case<'_>) -> Result<Vec<Findings>, Unreadable> {
    let mut partitions = case.bounds.partitions_max();
    if let Some(other) = &case.other {
        partitions = partitions.max(other.bounds.partitions_max());
    }
    let next = AtomicU32::new(0);
    let work = || -> Result<Vec<(u32, Findings)>, Unreadable> {
        let log = case.options.place.open()?;
        let other_log = case.options.compare.as_ref().map(Place::open).transpose()?;
        let mut done = Vec::new();
        loop {
            let partition = next.fetch_add(1, Ordering::Relaxed);
            if partition >= partitions {
                return Ok(done);
            }
            let (log, other_log) = (log.as_ref(), other_log.as_deref());
            let part = Part { case, log, other_log, partition };
            done.push((partition, judge(&part)?));
        }
    };
    let done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..case.options.threads.max(1)).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.unwrap_or(Err(Unreadable::Thread))).collect()
    });
    let mut findings = Vec::new();
    for of_thread in done {
        findings.extend(of_thread?);
    }
    findings.sort_by_key(|(partition, _)| *partition);
    Ok(findings.into_iter().map(|(_, found)| found).collect())
}

fn judge(part: &Part<'_, '_>) -> Result<Findings, Unreadable> {
    let mut findings = Findings::default();
    let mut alike = Alike::default();
    let mut letters = inputs::read_dead_letters(part, &mut findings)?;
    let mut ledger = inputs::read(part, &mut letters, &mut findings)?;
    let wanted = outputs::read_decisions(part, &mut ledger, &mut alike, &mut findings)?;
    ledger.settle(part.partition, &mut findings.report);
    outputs::read_escalations(part, wanted, &mut letters, &mut alike, &mut findings)?;
    letters.settle(&mut findings.report);
    rollups::read(part, &mut findings)?;
    touches::read(part, &mut findings)?;
    if let (Some(other), Some(log)) = (&part.case.other, part.other_log) {
        compare::check(part, other, log, alike, &mut findings.report)?;
    }
    Ok(findings)
}

/// Identifiers of the payment system and of weir: they may look like a card number.
const IDENTIFIERS: [&str; 11] = [
    "decision_id",
    "escalation_id",
    "event_id",
    "account_id",
    "subject_id",
    "feature_set",
    "policy",
    "rule_set",
    "model",
    "lists",
    "payload_hash",
];

/// Whether an event field is an identifier or a hash. A card's token must not be a number of one.
fn is_identifier(name: &str) -> bool {
    let named = |end: &str| name.ends_with(end);
    (named("_id") && name != "card_id") || named("_hash") || named("_sha256")
}

/// Looks for card numbers in everything but identifiers.
fn check_cards(fields: &Fields, record: &LogRecord, report: &mut Report) {
    let mut known: Vec<&str> = Vec::new();
    let mut texts: Vec<(&str, &str)> = Vec::new();
    for (name, value) in &fields.0 {
        if name == "fields" {
            continue;
        }
        each_text(value, name, &mut |name, text| {
            if IDENTIFIERS.contains(&name) {
                known.push(text);
            } else {
                texts.push((name, text));
            }
        });
    }
    for entry in fields.records("fields") {
        let name = crate::avro::text(crate::avro::field(entry, "name"));
        let value = crate::avro::field(entry, "value");
        each_text(value, name, &mut |name, text| {
            if is_identifier(name) {
                known.push(text);
            } else {
                texts.push((name, text));
            }
        });
        texts.push(("fields", name));
    }
    report.checked(Check::CardNumbers, 1);
    for (name, text) in texts {
        if let Some(card) = cards::find(text, &known) {
            report.fail(Check::CardNumbers, || leak(&record.position(), name, card));
        }
    }
}

/// Names the place of a leak without repeating the number.
fn leak(place: &str, name: &str, card: &str) -> String {
    let head: String = card.chars().take(4).collect();
    format!("{place}: {name} holds a card number beginning with {head}")
}

/// A data folder's file for messages.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

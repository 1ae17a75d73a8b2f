//! `weir dlq`: the records that have no decision.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::open::{open_log, read_log};
use super::{Exit, Failure, Places};
use crate::codec::{self, Contract, decode_offline};
use crate::config::hex;
use crate::event::{DeadLetter, Position, Topic};
use crate::log::{Log, Member, Reader, Record, RecordBatch, each_record};
use crate::sink::notify::GROUP as NOTIFY;
use crate::telemetry::Clock;

/// Records appended at once.
const BATCH_MAX: usize = 2_000;

/// Lists, shows and requeues dead letters.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  weir dlq list\n  weir dlq show transactions/2@1041\n  \
    weir dlq requeue --code unknown_schema")]
pub(super) enum Dlq {
    List(List),
    Show(Show),
    Requeue(Requeue),
}

impl Dlq {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Dlq::List(command) => command.run(),
            Dlq::Show(command) => command.run(),
            Dlq::Requeue(command) => command.run(),
        }
    }
}

/// Which dead letters.
#[derive(Debug, Args)]
struct Filter {
    /// Only this code, for instance unknown_schema
    #[arg(long)]
    code: Option<String>,
    /// Only this stage: decode, validate, dedupe, panic or notify
    #[arg(long)]
    stage: Option<String>,
    /// Only records of this topic
    #[arg(long)]
    topic: Option<String>,
}

impl Filter {
    fn takes(&self, letter: &DeadLetter) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        is(&self.code, &letter.code)
            && is(&self.stage, &letter.stage)
            && is(&self.topic, &letter.topic)
    }
}

/// Lists dead letters, newest last, with a count by stage and code.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir dlq list --code key_mismatch --limit 20")]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
    /// How many to show, the newest
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// As JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let log = read_log(&self.places)?;
        let mut letters = Vec::new();
        let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
        each_letter(log.as_ref(), |letter| {
            if self.filter.takes(&letter) {
                *counts.entry((letter.stage.clone(), letter.code.clone())).or_default() += 1;
                letters.push(letter);
            }
            Ok(())
        })?;
        letters.sort_by_key(|letter| letter.failed_at);
        let shown = letters.len().saturating_sub(self.limit);
        for letter in &letters[shown..] {
            if self.json {
                say!("{}", json(letter)?);
            } else {
                say!("{:<28} {:<22} {}", at(letter), letter.code, letter.message);
            }
        }
        if !self.json {
            say!();
            for ((stage, code), count) in counts {
                say!("{count:>8}  {stage:<9} {code}");
            }
            say!("{:>8}  in all", letters.len());
        }
        Ok(())
    }
}

/// Shows one dead letter whole.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir dlq show transactions/2@1041")]
pub(super) struct Show {
    /// Where the record stands: topic/partition@offset
    position: Place,
    #[command(flatten)]
    places: Places,
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        let log = read_log(&self.places)?;
        let mut found = false;
        each_letter(log.as_ref(), |letter| {
            if position(&letter) == Some(self.position.0) {
                found = true;
                say!("{}", json(&letter)?);
            }
            Ok(())
        })?;
        match found {
            true => Ok(()),
            false => {
                let message = format!("no dead letter of {}", self.position.0);
                Err(Failure::new(Exit::Failed, message))
            }
        }
    }
}

/// Appends the records of dead letters again to their topics, read from where they stand, so that
/// they are decided about anew. For undeliverable escalations, deliveries go on from the first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir dlq requeue transactions/2@1041\n  \
    weir dlq requeue --code unknown_schema\n\nweir must not be running on the data folder.")]
pub(super) struct Requeue {
    /// Which records: topic/partition@offset; without, all that the filter takes
    positions: Vec<Place>,
    /// All dead letters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    places: Places,
}

impl Requeue {
    fn run(&self) -> Result<(), Failure> {
        let filtered = self.filter.code.is_some()
            || self.filter.stage.is_some()
            || self.filter.topic.is_some();
        if self.positions.is_empty() && !filtered && !self.all {
            let message = "say which: positions, --code, --stage, --topic or --all";
            return Err(Failure::new(Exit::Invalid, message));
        }
        let topology = self.places.load()?;
        let log = open_log(&topology, &self.places.data()?)?;
        let mut wanted: Vec<Position> = Vec::new();
        each_letter(log.as_ref(), |letter| {
            let at = position(&letter);
            let named =
                self.positions.is_empty() || self.positions.iter().any(|place| Some(place.0) == at);
            if let Some(at) = at.filter(|_| named && self.filter.takes(&letter)) {
                wanted.push(at);
            }
            Ok(())
        })?;
        wanted.sort_unstable();
        wanted.dedup();
        let (escalations, inputs): (Vec<Position>, Vec<Position>) =
            wanted.into_iter().partition(|position| position.topic == Topic::Escalations);
        requeue(&log, &inputs)?;
        redeliver(&log, &escalations)?;
        say!("requeued {} records, {} escalations", inputs.len(), escalations.len());
        Ok(())
    }
}

fn requeue(log: &Arc<dyn Log>, positions: &[Position]) -> Result<(), Failure> {
    let (mut reader, mut appender) = (log.reader()?, log.appender()?);
    let now_ms = Clock::system().now_ms();
    for chunk in positions.chunks(BATCH_MAX) {
        let mut batch = RecordBatch::default();
        for position in chunk {
            let record = read_one(reader.as_mut(), *position)?;
            let Position { topic, partition, .. } = *position;
            let key = record.key().unwrap_or_default();
            match codec::erased_by(&record) {
                // a tombstone is one by its header
                Some(by) => {
                    let header = (codec::ERASE_HEADER, by);
                    batch.push_header(topic, partition, now_ms, key, header);
                }
                None => batch.push(topic, partition, now_ms, key, record.payload()),
            }
            if record.key().is_none() {
                // it stays without: it is refused again, and for the same reason
                batch.last_without_key();
            }
        }
        appender.append(&batch)?;
    }
    Ok(())
}

/// Sets the notify sink back to the first undeliverable escalation of each partition: whatever
/// comes after it is delivered again, under the same ids. Never forward: what was not yet settled
/// stays ahead.
fn redeliver(log: &Arc<dyn Log>, positions: &[Position]) -> Result<(), Failure> {
    let mut first: BTreeMap<u32, Position> = BTreeMap::new();
    for position in positions {
        let committed = log.committed(NOTIFY, Topic::Escalations, position.partition)?;
        if committed.is_some_and(|committed| position.offset < committed) {
            first.entry(position.partition).or_insert(*position);
        }
    }
    if first.is_empty() {
        return Ok(());
    }
    let member = Member { group: NOTIFY.to_owned(), index: 0, count: 1 };
    let mut consumer = log.consumer(&member, &[Topic::Escalations])?;
    Ok(consumer.commit(&first.into_values().collect::<Vec<_>>())?)
}

fn read_one(reader: &mut dyn Reader, position: Position) -> Result<Record, Failure> {
    let mut records = Vec::new();
    reader.read(position, position.offset + 1, 1, &mut records)?;
    records.pop().ok_or_else(|| {
        let message = format!("{position} is not on the log any more: it cannot be requeued");
        Failure::new(Exit::Failed, message)
    })
}

fn each_letter(
    log: &dyn Log,
    mut take: impl FnMut(DeadLetter) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for partition in 0..log.partitions(Topic::DeadLetters)? {
        let end = log.end(Topic::DeadLetters, partition)?;
        let offset = log.beginning(Topic::DeadLetters, partition)?;
        let from = Position { topic: Topic::DeadLetters, partition, offset };
        each_record(log, from, end, |record| {
            let letter =
                decode_offline(Contract::DeadLetter, record.payload()).map_err(|error| {
                    Failure::new(Exit::Failed, format!("{}: {error}", record.position))
                })?;
            take(letter)
        })?;
    }
    Ok(())
}

fn position(letter: &DeadLetter) -> Option<Position> {
    Some(Position {
        topic: Topic::from_name(&letter.topic)?,
        partition: u32::try_from(letter.partition).ok()?,
        offset: letter.offset,
    })
}

fn at(letter: &DeadLetter) -> String {
    format!("{}/{}@{}", letter.topic, letter.partition, letter.offset)
}

fn json(letter: &DeadLetter) -> Result<serde_json::Value, Failure> {
    let mut value = codec::json::to_value(Contract::DeadLetter, letter)
        .map_err(|error| Failure::new(Exit::Failed, error))?;
    let payload = letter.payload.as_ref().map(|bytes| hex(bytes));
    value["payload"] = payload.into();
    Ok(value)
}

/// A position as people write it.
#[derive(Clone, Copy, Debug)]
struct Place(Position);

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let parse = || {
            let (topic, rest) = text.split_once('/')?;
            let (partition, offset) = rest.split_once('@')?;
            Some(Place(Position {
                topic: Topic::from_name(topic)?,
                partition: partition.parse().ok()?,
                offset: offset.parse().ok()?,
            }))
        };
        parse().ok_or_else(|| format!("{text:?}, expected such as transactions/2@1041"))
    }
}

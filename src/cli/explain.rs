//! `weir explain`: why a decision is what it is, and proof that it is.

mod show;
mod verify;

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use self::verify::{Tally, Verifier};
use super::open::{read_log, read_store, runtime};
use super::{Exit, Failure, Places};
use crate::codec::{Contract, decode_offline, json};
use crate::config::Snapshots;
use crate::event::{Decision, Position, Topic};
use crate::log::Log;
use crate::sink::store::Store;
use crate::snapshot::Vault;

/// Decisions read at once.
const PAGE: usize = 1_000;
/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;

/// Shows a decision for people, or decides it again from its own record and compares the bytes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir explain 5f0c…\n  weir explain 5f0c… --verify\n  \
    weir explain --verify topic --limit 50000\n  weir explain --verify decisions.jsonl\n\n\
    A file has a decision in each line, as --json prints them.\n\n\
    Exit code 7 if a decision does not re-run to the same bytes, 1 if there is none.")]
pub(super) struct Explain {
    /// Id of the decision
    #[arg(required_unless_present_any = ["all", "verify"])]
    id: Option<Uuid>,
    /// The same as --verify store
    #[arg(long, requires = "verify", conflicts_with = "id")]
    all: bool,
    /// Decide again from the record and compare the bytes: of the decision, or of those in store, topic or
    /// a file
    #[arg(long, value_name = "store|topic|FILE", num_args = 0..=1, default_missing_value = "")]
    verify: Option<String>,
    /// How many decisions at most, where there is no id
    #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
    limit: usize,
    /// The decision as JSON in one line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// What is decided again.
enum Wanted {
    /// one decision of the store
    One(Uuid),
    /// those of the store
    Store,
    /// those of the topic
    Topic,
    /// those of a file
    File(PathBuf),
}

impl Explain {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let runtime = runtime()?;
        let settings = match self.places.topology.is_dir() {
            true => self.places.load()?.snapshots,
            // whoever names a data folder may have nothing else left of it
            false => Snapshots::default(),
        };
        let data = self.places.data()?;
        let vault = Vault::open_existing(&settings, &data, runtime.handle())?;
        let mut verifier = Verifier::new(vault);
        let tally = match self.wanted()? {
            Wanted::One(id) => {
                let store = read_store(&self.places, runtime.handle())?;
                return self.explain(id, store.as_ref(), &mut verifier);
            }
            Wanted::Store => {
                let store = read_store(&self.places, runtime.handle())?;
                self.verify_store(store.as_ref(), &mut verifier)?
            }
            Wanted::Topic => self.verify_topic(read_log(&self.places)?.as_ref(), &mut verifier)?,
            Wanted::File(path) => self.verify_file(&path, &mut verifier)?,
        };
        if let Some(trouble) = verifier.away {
            return Err(trouble.into());
        }
        self.tell(&tally)
    }

    fn wanted(&self) -> Result<Wanted, Failure> {
        let from = self.verify.as_deref().unwrap_or_default();
        match (self.id, from) {
            (Some(id), "") => Ok(Wanted::One(id)),
            (Some(_), _) => {
                let message = format!("both an id and --verify {from}, expected one of them");
                Err(Failure::new(Exit::Invalid, message))
            }
            (None, "store") => Ok(Wanted::Store),
            (None, "topic") => Ok(Wanted::Topic),
            (None, "") if self.all => Ok(Wanted::Store),
            (None, "") => {
                let message =
                    "--verify names nothing, expected store, topic, a file, or an id before it";
                Err(Failure::new(Exit::Invalid, message))
            }
            (None, from) => Ok(match from.parse() {
                Ok(id) => Wanted::One(id),
                Err(_) => Wanted::File(PathBuf::from(from)),
            }),
        }
    }

    fn explain(&self, id: Uuid, store: &dyn Store, verifier: &mut Verifier) -> Result<(), Failure> {
        let record = store.decision(id)?.ok_or_else(|| {
            let message = format!("no decision {id} in the store");
            Failure::new(Exit::Failed, message)
        })?;
        let decision: Decision<'_> = decode_offline(Contract::Decision, &record)
            .map_err(|error| Failure::new(Exit::Failed, unreadable(&error)))?;
        if self.json {
            let json = json::to_value(Contract::Decision, &decision)
                .map_err(|error| Failure::new(Exit::Failed, error))?;
            say!("{json}");
        } else {
            show::show(&decision, &verifier.features(&decision));
            show::attributions(&verifier.attributions(&decision));
        }
        if self.verify.is_some() {
            verifier.verify(&record).map_err(|reason| Failure::new(Exit::Unproved, reason))?;
            eprintln!("verified: {} bytes, the same again", record.len());
        }
        Ok(())
    }

    fn verify_store(&self, store: &dyn Store, verifier: &mut Verifier) -> Result<Tally, Failure> {
        let known = store.counts()?.map_or(u64::MAX, |counts| counts.decisions);
        let mut tally = Tally::new(known.min(self.limit as u64));
        let mut after = None;
        while tally.count() < self.limit {
            let page = store.page(after, PAGE.min(self.limit - tally.count()))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (id, record) in &page {
                tally.add(|| id.to_string(), verifier.verify(record));
            }
        }
        Ok(tally)
    }

    fn verify_topic(&self, log: &dyn Log, verifier: &mut Verifier) -> Result<Tally, Failure> {
        let topic = Topic::Decisions;
        let mut reader = log.reader()?;
        let mut spans = Vec::new();
        for partition in 0..log.partitions(topic)? {
            let beginning = log.beginning(topic, partition)?;
            let end = log.settled_end(topic, partition)?;
            spans.push((Position { topic, partition, offset: beginning }, end));
        }
        let known: i64 = spans.iter().map(|(from, end)| end - from.offset).sum();
        let mut tally = Tally::new(known.unsigned_abs().min(self.limit as u64));
        let mut records = Vec::new();
        for (mut from, end) in spans {
            while from.offset < end && tally.count() < self.limit {
                let next = reader.read(from, end, READ_BYTES, &mut records)?;
                if next == from.offset {
                    break;
                }
                from.offset = next;
                for record in records.drain(..) {
                    if tally.count() < self.limit {
                        let at = || record.position.to_string();
                        tally.add(at, verifier.verify(record.payload()));
                    }
                }
            }
        }
        Ok(tally)
    }

    fn verify_file(&self, path: &Path, verifier: &mut Verifier) -> Result<Tally, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            let message = format!("{} cannot be read: {error}", path.display());
            Failure::new(Exit::Invalid, message)
        })?;
        let lines = || text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        let mut tally = Tally::new(lines().count().min(self.limit) as u64);
        for (line, number) in lines().take(self.limit) {
            let at = || format!("{}:{number}", path.display());
            tally.add(at, verifier.verify_line(line));
        }
        Ok(tally)
    }

    fn tell(&self, tally: &Tally) -> Result<(), Failure> {
        let Tally { same, different, .. } = tally;
        if self.json {
            say!("{}", serde_json::json!({ "same": same, "different": different }));
        } else {
            say!(
                "decided again: {} decisions, {same} the same to the byte, {different} not",
                same + different
            );
        }
        match *different {
            0 if *same == 0 => Err(Failure::new(Exit::Failed, "there is no decision there")),
            0 => Ok(()),
            different => {
                let message = format!("{different} decisions do not re-run to the same bytes");
                Err(Failure::new(Exit::Unproved, message))
            }
        }
    }
}

fn unreadable(error: &impl std::fmt::Display) -> String {
    format!("the record cannot be read: {error}")
}

fn bar(length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {msg}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

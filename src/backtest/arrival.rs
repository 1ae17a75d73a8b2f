//! Events of a file on their way, worked out as far as can be without what is remembered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};
use xxhash_rust::xxh3::xxh3_64;

use super::{BacktestError, Plan, Truth};
use crate::codec::{Encoder, Refusal, admit};
use crate::event::{Code, Event, FailedStage, Kind};
use crate::replay::{Map, Mapped, ReplayError, Rows};
use crate::state::{Facts, FeatureSet, State};

/// Events handed over at once.
const BATCH_EVENTS: usize = 256;
/// Batches that a reader is ahead.
const BATCHES_AHEAD: usize = 4;

/// A file of history.
#[derive(Clone, Debug)]
pub struct Input {
    /// where it is; `-` is standard input
    pub path: PathBuf,
    /// how its rows become events; without one, JSON Lines in weir's own form
    pub map: Option<Map>,
}

impl Input {
    /// Kinds that it may have.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let all = [Kind::Transaction, Kind::Dispute, Kind::Chat, Kind::Invoice, Kind::Label];
        let is_made =
            |kind: &Kind| self.map.as_ref().is_none_or(|map| map.kinds().any(|made| made == *kind));
        all.into_iter().filter(is_made).collect()
    }

    /// Whether a column of it could say of its events whether they were fraud: of disputes none does,
    /// they say themselves what became of their payment.
    pub fn is_labelled(&self) -> bool {
        let is_labelled = |kind: Kind| !matches!(kind, Kind::Dispute | Kind::Label);
        self.map.as_ref().is_some_and(|map| map.kinds().any(is_labelled))
    }

    fn open(&self, truth: &Truth) -> Result<Rows, ReplayError> {
        let Some(map) = &self.map else { return Rows::open_events(&self.path) };
        match truth {
            Truth::Column(name) if self.is_labelled() => {
                Rows::open(&self.path, &map.with_flag(name, "--labels"))
            }
            _ => Rows::open(&self.path, map),
        }
    }
}

/// How far the inputs are read.
#[derive(Debug)]
pub struct Progress(Vec<Arc<AtomicU64>>);

impl Progress {
    pub(super) fn new(inputs: &[Input]) -> Progress {
        Progress(inputs.iter().map(|_| Arc::default()).collect())
    }

    pub(super) fn of(&self, input: usize) -> Arc<AtomicU64> {
        Arc::clone(&self.0[input])
    }

    /// Bytes consumed of all files, compressed ones as they are.
    pub fn bytes_read(&self) -> u64 {
        self.0.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }
}

/// An event on its way.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) event: Event<'static>,
    pub(super) facts: Facts,
    /// [`State::key`] of its account
    pub(super) account: u128,
    /// hash of what a record of it would carry
    pub(super) payload: u64,
    /// what the label column says
    pub(super) flag: Option<bool>,
}

/// Events that go on together; from a reader, none says that the input was read to its end.
#[allow(clippy::vec_box, reason = "they pass through four hands, and are a thousand bytes each")]
pub(super) type Batch = Vec<Box<Arrival>>;

/// What would be dead letters, by stage and code: how many, and what is wrong with the first.
pub(super) type Refused = BTreeMap<(&'static str, &'static str), (u64, String)>;

/// What a reader has seen.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) rows: u64,
    pub(super) events: u64,
    /// rows that make no event
    pub(super) bad: u64,
    pub(super) first_bad: Option<String>,
    /// rows left out on purpose, by reason
    pub(super) skipped: BTreeMap<String, u64>,
    pub(super) refused: Refused,
}

/// Reads one input ahead of what remembers.
pub(super) struct Reader<'p> {
    plan: &'p Plan,
    input: &'p Input,
    rows: Rows,
    out: Sender<Batch>,
    progress: Arc<AtomicU64>,
    admission: Admission<'p>,
    read: Read,
}

impl<'p> Reader<'p> {
    pub(super) fn new(
        plan: &'p Plan,
        input: &'p Input,
        progress: Arc<AtomicU64>,
    ) -> Result<(Reader<'p>, Receiver<Batch>), ReplayError> {
        let rows = input.open(&plan.truth)?;
        let (out, batches) = bounded(BATCHES_AHEAD);
        let admission = Admission::new(&plan.features);
        let reader = Reader { plan, input, rows, out, progress, admission, read: Read::default() };
        Ok((reader, batches))
    }

    /// Reads to the end, or until nobody listens any more.
    pub(super) fn run(mut self) -> Result<Read, BacktestError> {
        let mut batch = Vec::with_capacity(BATCH_EVENTS);
        while let Some(row) = self.rows.next() {
            let mapped = match row {
                Ok(mapped) => mapped,
                Err(error) if self.plan.skip_bad && !error.is_fatal() => {
                    self.read.bad += 1;
                    self.read.first_bad.get_or_insert_with(|| error.to_string());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if self.plan.limit.is_some_and(|limit| mapped.row > limit) {
                break;
            }
            let bytes_read = mapped.bytes_read;
            if let Some(arrival) = self.take(mapped)? {
                batch.push(arrival);
            }
            if batch.len() == BATCH_EVENTS {
                self.progress.store(bytes_read, Ordering::Relaxed);
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_EVENTS));
                if self.out.send(full).is_err() {
                    return Ok(self.read);
                }
            }
        }
        // whoever is gone has failed and says so itself
        let _gone = match batch.is_empty() {
            true => self.out.send(batch),
            false => self.out.send(batch).and_then(|()| self.out.send(Vec::new())),
        };
        self.read.rows = self.rows.rows().min(self.plan.limit.unwrap_or(u64::MAX));
        self.read.skipped =
            self.rows.skipped().map(|(reason, rows)| (reason.to_owned(), rows)).collect();
        Ok(self.read)
    }

    fn take(&mut self, mapped: Mapped) -> Result<Option<Box<Arrival>>, BacktestError> {
        let Mapped { event, row, flag, .. } = mapped;
        self.read.events += 1;
        let file = || self.input.path.display().to_string();
        let admit = AssertUnwindSafe(|| self.admission.admit(event, flag));
        let refusal = match catch_unwind(admit) {
            Ok(Ok(Ok(arrival))) => return Ok(Some(arrival)),
            Ok(Ok(Err(refusal))) => refusal,
            Ok(Err(source)) => return Err(BacktestError::Encode { file: file(), row, source }),
            Err(_) => Refusal {
                stage: FailedStage::Panic,
                code: Code::Panicked,
                message: "checking the event panicked".to_owned(),
            },
        };
        refuse(&mut self.read.refused, &refusal, || format!("{} row {row}", file()));
        Ok(None)
    }
}

/// Counts what would be a dead letter.
pub(super) fn refuse(refused: &mut Refused, refusal: &Refusal, place: impl FnOnce() -> String) {
    let Refusal { stage, code, message } = refusal;
    let first = || (0, format!("{}: {message}", place()));
    refused.entry((stage.name(), code.name())).or_insert_with(first).0 += 1;
}

/// What it takes to check events and to work out what is needed to know of them.
struct Admission<'p> {
    set: &'p FeatureSet,
    encoder: Encoder,
    payload: Vec<u8>,
    key: String,
}

impl<'p> Admission<'p> {
    fn new(set: &'p FeatureSet) -> Admission<'p> {
        Admission { set, encoder: Encoder::default(), payload: Vec::new(), key: String::new() }
    }

    fn admit(
        &mut self,
        mut event: Event<'static>,
        flag: Option<bool>,
    ) -> Result<Result<Box<Arrival>, Refusal>, crate::codec::EncodeError> {
        self.payload.clear();
        self.encoder.encode_event(&event, &mut self.payload)?;
        if let Err(refusal) = admit(&mut event, &self.payload) {
            return Ok(Err(refusal));
        }
        write_key(&event, &mut self.key);
        let facts = self.set.facts(&event);
        let (account, payload) = (State::key(&self.key), xxh3_64(&self.payload));
        Ok(Ok(Box::new(Arrival { event, facts, account, payload, flag })))
    }
}

/// Puts `tenant/account_id` into a text that is used again and again.
pub(super) fn write_key(event: &Event<'_>, key: &mut String) {
    key.clear();
    // writing to a string cannot fail
    let _always = write!(key, "{}/{}", event.tenant(), event.account_id());
}

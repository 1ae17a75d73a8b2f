//! History through the same state and scores as live, flat out: what a rule set would have decided.
//!
//! ```text
//!  file ─► rows ─► events, checked ─┐                          ┌─► score ─┐
//!  file ─► rows ─► events, checked ─┼─► merge ─► state ─► work ┼─► score ─┼─► in order ─► samples, CSV
//!    a reader each, ahead ──────────┘   └── one thread ──┘     └─► score ─┘
//! ```
//!
//! No log and no clock: an event counts as written when it happened, and is taken in by the functions
//! that the worker takes it in with. What is remembered is applied on one thread in the order of the
//! events, profiles of entities at once, so that label delays are exact; all else runs beside it and is
//! put in order again. The result is the same for any number of threads.
//!
//! Nobody waits for ever: every channel is bounded, and whoever fails drops its ends, which ends all
//! others in turn.

mod arrival;
mod collect;
mod export;
mod judge;
pub mod measure;
mod memory;
mod order;
mod recorded;
pub mod report;
mod sample;
mod truth;

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::bounded;

pub use arrival::{Input, Progress};
pub use export::ExportError;
pub use memory::Tally;
pub use order::TooFarAhead;
pub use recorded::Recorded;
pub use sample::{Names, Sample, Verdict};
pub use truth::Truth;

use crate::codec::EncodeError;
use crate::event::Millis;
use crate::replay::ReplayError;
use crate::score::Engine;
use crate::state::{FeatureSet, Horizon};
use arrival::Reader;
use collect::Collector;
use export::Export;
use judge::Judge;
use memory::Memory;
use order::Order;

/// Batches that wait for each scoring thread.
const WORK_AHEAD: usize = 2;
/// Batches for each scoring thread that are handed out and not yet in order again.
const CREDITS: usize = 8;
/// Threads that may score.
pub const THREADS_MAX: usize = 256;

/// What is to be run.
#[derive(Debug)]
pub struct Plan {
    /// the history
    pub inputs: Vec<Input>,
    /// what is remembered and read
    pub features: Arc<FeatureSet>,
    /// what decides
    pub engine: Engine,
    /// who is asked beside, by name; on the same features
    pub challengers: Vec<(String, Engine)>,
    /// how far back repeated events are recognised
    pub horizon: Horizon,
    /// what is known of the events' truth
    pub truth: Truth,
    /// events before are remembered and not measured
    pub from: Option<Millis>,
    /// events from here on are neither
    pub to: Option<Millis>,
    /// rows taken of each input
    pub limit: Option<u64>,
    /// whether rows that make no event are counted and left out
    pub skip_bad: bool,
    /// threads that score, 1 to [`THREADS_MAX`]
    pub threads: usize,
    /// where the features of payments go as CSV
    pub export: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// every decided event within the time that is measured, in the order in which they were taken
    pub samples: Vec<Sample>,
    /// what their numbers stand for
    pub names: Names,
    /// what was read and taken
    pub tally: Tally,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// a file cannot be read, or has a row that is no event
    #[error(transparent)]
    Input(#[from] ReplayError),
    /// an event that its contract cannot hold
    #[error("{file} row {row}: {source}")]
    Encode {
        /// the file
        file: String,
        /// number of the row, from 1
        row: u64,
        /// what does not fit
        source: EncodeError,
    },
    /// the kinds of a file are too far apart
    #[error(transparent)]
    Order(#[from] TooFarAhead),
    /// the exported features cannot be written
    #[error(transparent)]
    Export(#[from] ExportError),
    /// a defect: live, the record would be a dead letter after a restart
    #[error("{0} panicked: see the log")]
    Panicked(&'static str),
}

/// Runs a plan. `watch` hears now and then how far it is.
///
/// # Errors
/// See [`BacktestError`]; an export that was begun is not there then.
pub fn run(plan: &Plan, watch: &mut dyn FnMut(&Progress)) -> Result<Done, BacktestError> {
    let progress = Progress::new(&plan.inputs);
    let judge = Judge::new(plan);
    let mut export = plan.export.as_deref().map(|path| Export::create(path, plan)).transpose()?;
    let threads = plan.threads.clamp(1, THREADS_MAX);
    let (work, to_do) = bounded(threads * WORK_AHEAD);
    let (done, results) = bounded(threads * WORK_AHEAD);
    let (credit, credits) = bounded(threads * CREDITS);
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        let mut heard = Vec::new();
        for (number, input) in plan.inputs.iter().enumerate() {
            let (reader, batches) = Reader::new(plan, input, progress.of(number))?;
            readers.push(scope.spawn(move || reader.run()));
            heard.push((input, batches));
        }
        let memory = Memory::new(plan, work, credit);
        let memory = scope.spawn(move || memory.run(Order::new(heard)));
        for _ in 0..threads {
            let (judge, to_do, done) = (&judge, to_do.clone(), done.clone());
            scope.spawn(move || judge.run(&to_do, &done));
        }
        drop((to_do, done));
        let mut collector = Collector::default();
        let look = || watch(&progress);
        let collected = collector.collect(&results, &credits, export.as_mut(), look);
        // where it failed, nobody may be left waiting for room
        drop((results, credits));
        let remembered = memory.join().map_err(|_| BacktestError::Panicked("taking an event in"));
        let read: Vec<_> = readers.into_iter().map(|reader| reader.join()).collect();
        let mut tally = Tally::default();
        for read in read {
            tally.add_read(read.map_err(|_| BacktestError::Panicked("reading a file"))??);
        }
        let said = tally.add_taken(remembered??);
        collected?;
        let samples = collector.into_samples(plan.truth.known(said));
        if let Some(export) = export {
            export.finish(&samples)?;
        }
        Ok(Done { samples, names: judge.names(), tally })
    })
}

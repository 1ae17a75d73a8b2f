//! State back from the log: decode, deduplicate and apply the input up to the committed positions,
//! without deciding anything.
//!
//! Sections of an account are written by their own topic only, so the topics may be read one after
//! another. Records that became dead letters stay out, whatever is known about their schema by now:
//! their only way back is `weir dlq requeue`.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::process::{Processor, read_own};
use super::snapshots::{self, Loaded};
use super::worker::Crash;
use crate::codec::{Contract, DecodeError};
use crate::config::limits;
use crate::event::{DeadLetter, Position, Topic};
use crate::log::{Log, LogError, Reader, Record};
use crate::snapshot::{Series, Vault};
use crate::telemetry::{Part, Stop};

/// Bytes read at once.
const READ_BYTES: usize = 1 << 20;
/// Pause before what cannot be read yet is read again.
const RETRY: Duration = Duration::from_millis(100);
/// How often progress is said.
const PROGRESS: Duration = Duration::from_secs(2);

/// What a restore did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// records applied
    pub applied: u64,
    /// records left out because they were dead letters
    pub skipped: u64,
    /// records that were decided about once and cannot be read any more
    pub unreadable: u64,
    /// a record that is needed and that the log does not reach back to, and where it begins
    pub trimmed: Option<(Position, i64)>,
}

/// What a restore needs besides the state it rebuilds.
pub struct Restorer<'a> {
    /// where the history is
    pub log: &'a dyn Log,
    /// reads it
    pub reader: &'a mut dyn Reader,
    /// where snapshots are
    pub vault: Option<&'a Vault>,
    /// where progress is told
    pub part: &'a Part,
    /// the wish to stop
    pub stop: &'a Stop,
    /// called now and then, so that the group sees that somebody lives
    pub alive: &'a mut dyn FnMut() -> Result<(), LogError>,
}

/// Rebuilds the state of one partition up to `committed`. `head_start`: what the processor has of it
/// already, and up to where that has seen the log.
///
/// # Errors
/// When the log cannot be read, or a schema cannot be had now; when a stop is wanted before it is whole.
pub fn restore(
    means: &mut Restorer<'_>,
    partition: u32,
    committed: &[Position],
    processor: &mut Processor,
    head_start: Option<Loaded>,
) -> Result<Restored, Crash> {
    let loaded = match head_start {
        Some(loaded) => Some(loaded),
        None => begin(means, partition, committed, processor)?,
    };
    let has_begun = loaded.is_some();
    let loaded = loaded.unwrap_or_default();
    let dead = dead_letters(means, partition)?;
    let part = means.part;
    let wanted: Vec<(Topic, u32)> = committed.iter().map(|to| (to.topic, partition)).collect();
    let beginnings = means.log.beginnings(&wanted)?;
    let from = |to: &Position| loaded.begin(to.topic, partition);
    let total: i64 = committed.iter().map(|to| to.offset - from(to)).sum();
    let mut restored = Restored::default();
    let mut progress = Instant::now();
    let mut read = 0;
    for (to, beginning) in committed.iter().zip(beginnings) {
        let begin = from(to);
        if has_begun && begin < beginning {
            let missing = u64::try_from(beginning - begin).unwrap_or(0);
            tracing::error!(position = %to, begin, beginning, missing, "the log does not reach back to the snapshot");
            restored.trimmed = Some((Position { offset: begin, ..*to }, beginning));
        }
        let mut from = Position { offset: begin.max(beginning), ..*to };
        let deadline = Instant::now() + limits().restore_patience;
        loop {
            from.offset = each(means, from, to.offset, |record| {
                read += 1;
                if progress.elapsed() > PROGRESS {
                    progress = Instant::now();
                    let done = format!("{read} of {total} records");
                    part.not_ready(format!("restoring partition {partition}: {done}"));
                    tracing::info!(partition, read, total, "restoring");
                }
                remember(record, &dead, &loaded, processor, &mut restored)
            })?;
            if from.offset >= to.offset || means.stop.is_stopped() {
                break;
            }
            // what is committed was there: a broker that has just taken over may not show it yet
            if Instant::now() >= deadline {
                let missing = u64::try_from(to.offset - from.offset).unwrap_or(0);
                tracing::error!(position = %from, missing, "committed records cannot be read");
                restored.unreadable += missing;
                break;
            }
            means.stop.wait(RETRY);
        }
    }
    // a state that was rebuilt in part is none: nobody may take it for what is committed
    Crash::if_stopped(means.stop)?;
    Ok(restored)
}

/// The snapshot that a partition begins with, if there is one.
fn begin(
    means: &mut Restorer<'_>,
    partition: u32,
    committed: &[Position],
    processor: &mut Processor,
) -> Result<Option<Loaded>, Crash> {
    processor.forget(partition);
    let loaded = begin_with(means, Series::Partition(partition), committed, processor)?;
    if means.vault.is_some() {
        match &loaded {
            Some(_) => tracing::info!(partition, "the state begins with a snapshot"),
            None => tracing::warn!(
                partition,
                "there is no snapshot to begin with: the whole log is read"
            ),
        }
    }
    Ok(loaded)
}

/// The snapshot that a series begins with, if there is one.
fn begin_with(
    means: &mut Restorer<'_>,
    series: Series,
    committed: &[Position],
    processor: &mut Processor,
) -> Result<Option<Loaded>, Crash> {
    let Some(vault) = means.vault else { return Ok(None) };
    let (stop, alive) = (means.stop, &mut means.alive);
    let mut between = || {
        Crash::if_stopped(stop)?;
        Ok(alive()?)
    };
    let partitions = means.log.partitions(Topic::Transactions)?;
    snapshots::load(vault, series, partitions, committed, processor, &mut between)
}

/// Rebuilds the table of profiles from a snapshot and the touches, up to what is committed; where each
/// partition of touches ends. For whoever keeps the table by itself.
///
/// # Errors
/// When log or snapshots cannot be read.
pub fn restore_profiles(
    means: &mut Restorer<'_>,
    partitions: u32,
    processor: &mut Processor,
) -> Result<Vec<Position>, Crash> {
    processor.profiles().0.clear();
    let mut ends = Vec::new();
    for partition in 0..partitions {
        // those of the last commits too, though another life may have made them a moment ago
        let offset = means.log.settled_end(Topic::Touches, partition)?;
        ends.push(Position { topic: Topic::Touches, partition, offset });
    }
    let loaded = begin_with(means, Series::Profiles, &ends, processor)?.unwrap_or_default();
    for end in &ends {
        let beginning = means.log.beginning(Topic::Touches, end.partition)?;
        let begin = loaded.begin(Topic::Touches, end.partition).max(beginning);
        let from = Position { offset: begin, ..*end };
        each(means, from, end.offset, |record| Ok(processor.touch(record, &loaded)?))?;
    }
    // a state that was rebuilt in part is none: nobody may take it for what is committed
    Crash::if_stopped(means.stop)?;
    Ok(ends)
}

/// Which deadlines of a partition have fired: all of them, whoever fired them.
///
/// # Errors
/// When the log cannot be read, or a schema cannot be had now; when a stop is wanted before it is whole.
pub fn restore_fired(
    means: &mut Restorer<'_>,
    partition: u32,
    processor: &mut Processor,
) -> Result<(), Crash> {
    all(means, Topic::Fired, partition, |record| Ok(processor.has_fired(record)?))?;
    Crash::if_stopped(means.stop)
}

/// Takes one record of the history up, unless it became a dead letter.
fn remember(
    record: &Record,
    dead: &HashSet<(Topic, i64)>,
    loaded: &Loaded,
    processor: &mut Processor,
    restored: &mut Restored,
) -> Result<(), Crash> {
    if dead.contains(&(record.position.topic, record.position.offset)) {
        restored.skipped += 1;
        return Ok(());
    }
    if record.position.topic == Topic::Escalations {
        processor.recall(record, loaded)?;
        restored.applied += 1;
        return Ok(());
    }
    match processor.remember(record, loaded) {
        Ok(_) => restored.applied += 1,
        Err(DecodeError::Unavailable(error)) => return Err(error.into()),
        Err(DecodeError::Refused(refusal)) => {
            restored.unreadable += 1;
            if restored.unreadable == 1 {
                tracing::error!(
                    position = %record.position, %refusal,
                    "a record that was decided about cannot be read any more; state lacks it"
                );
            }
        }
    }
    Ok(())
}

/// The input records of a partition that became dead letters.
fn dead_letters(means: &mut Restorer<'_>, partition: u32) -> Result<HashSet<(Topic, i64)>, Crash> {
    let mut dead = HashSet::new();
    all(means, Topic::DeadLetters, partition, |record| {
        if let Some(letter) = read_own::<DeadLetter>(record, Contract::DeadLetter)?
            && let Some(topic) = Topic::from_name(&letter.topic)
        {
            dead.insert((topic, letter.offset));
        }
        Ok(())
    })?;
    Ok(dead)
}

/// Calls `seen` for each record of a partition, those of the last commits too, though another worker may
/// have made them a moment ago.
fn all(
    means: &mut Restorer<'_>,
    topic: Topic,
    partition: u32,
    seen: impl FnMut(&Record) -> Result<(), Crash>,
) -> Result<(), Crash> {
    let end = means.log.settled_end(topic, partition)?;
    let from = Position { topic, partition, offset: means.log.beginning(topic, partition)? };
    each(means, from, end, seen).map(drop)
}

/// Calls `seen` for each record of a partition from `from` up to `to`, and returns how far it came.
fn each(
    means: &mut Restorer<'_>,
    mut from: Position,
    to: i64,
    mut seen: impl FnMut(&Record) -> Result<(), Crash>,
) -> Result<i64, Crash> {
    let mut records = Vec::new();
    while from.offset < to && !means.stop.is_stopped() {
        (means.alive)()?;
        let next = means.reader.read(from, to, READ_BYTES, &mut records)?;
        for record in records.drain(..) {
            seen(&record)?;
        }
        if next == from.offset {
            return Ok(from.offset);
        }
        from.offset = next;
    }
    Ok(from.offset)
}

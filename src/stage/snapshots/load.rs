//! Back into memory: the newest snapshot that can be used, and up to where it has seen the log.

use super::Load;
use crate::event::{Position, Topic};
use crate::snapshot::{Manifest, Series, ShardEntry, Skipped, SnapshotError, Vault, Vector};
use crate::stage::gap::Gap;
use crate::stage::worker::Crash;
use crate::state::{BodyError, Range};

/// A snapshot that was loaded: up to where each account has seen the log.
#[derive(Debug, Default)]
pub struct Loaded {
    vectors: Vec<Vector>,
    /// which vector, by the leading bits of the account's hash; empty: none was loaded
    directory: Vec<usize>,
    depth: u32,
    least: Vector,
}

impl Loaded {
    /// Of these shards, the deepest last: where ranges overlap, the deeper one is newer.
    fn of(shards: &[(Range, &ShardEntry)]) -> Loaded {
        let depth = shards.iter().map(|(range, _)| range.depth()).max().unwrap_or(0);
        let mut directory = vec![0; 1 << depth];
        for (i, (range, _)) in shards.iter().enumerate() {
            directory[range.slots(depth)].fill(i);
        }
        let vectors = shards.iter().map(|(_, entry)| entry.vector.clone()).collect();
        Loaded { vectors, directory, depth, least: Vector::default() }
    }

    /// Of a state that has seen all of a partition up to here.
    pub fn at(positions: &[Position]) -> Loaded {
        let mut vector = Vector::default();
        positions.iter().for_each(|position| vector.set(*position));
        Loaded { vectors: vec![vector.clone()], directory: vec![0], depth: 0, least: vector }
    }

    /// Which shard an account is in.
    fn place(&self, key: u128) -> Option<usize> {
        self.directory.get(Range::leading(key, self.depth)).copied()
    }

    /// Where the replay of an input begins.
    pub fn begin(&self, topic: Topic, partition: u32) -> i64 {
        self.least.next(topic, partition)
    }

    /// Whether an account has seen a record already.
    pub fn has_seen(&self, key: u128, position: Position) -> bool {
        let Position { topic, partition, offset } = position;
        let vector = self.place(key).and_then(|place| self.vectors.get(place));
        vector.is_some_and(|vector| offset < vector.next(topic, partition))
    }
}

/// Loads the newest snapshot of a series that can be used; `None`: there is none. Whatever is passed
/// over is told loudly.
///
/// `partitions`: of each input topic; an account's key decides by their count where it lives.
///
/// `between` is called between two shards, and may end it.
///
/// # Errors
/// When the place does not answer: then nobody knows what is there, and nothing older is taken. Where the
/// topics had another number of partitions when it was written. Nothing
/// is left of what was taken in until then.
pub fn load(
    vault: &Vault,
    series: Series,
    partitions: u32,
    committed: &[Position],
    into: &mut dyn Load,
    between: &mut dyn FnMut() -> Result<(), Crash>,
) -> Result<Option<Loaded>, Crash> {
    let mut vector = Vector::default();
    committed.iter().for_each(|position| vector.set(*position));
    let mut older_than = None;
    loop {
        let mut skipped = |skipped: Skipped| {
            tracing::error!(%series, sequence = skipped.sequence, why = %skipped.why, "a snapshot is passed over, an older one is taken");
        };
        let Some(manifest) = vault.newest_whole(series, &vector, older_than, &mut skipped)? else {
            return Ok(None);
        };
        // entities are in one table, wherever their touches came from
        if let Series::Partition(partition) = series
            && manifest.partitions != partitions
        {
            let (then, now) = (manifest.partitions, partitions);
            return Err(Gap::Repartitioned { partition, then, now }.into());
        }
        match take_in(vault, &manifest, into, between) {
            Ok(loaded) => return Ok(Some(loaded)),
            Err(TakeError::Vault(error)) if !error.is_about_content() => {
                into.forget(series);
                return Err(error.into());
            }
            Err(TakeError::Ended(crash)) => {
                into.forget(series);
                return Err(*crash);
            }
            Err(error) => {
                tracing::error!(%series, sequence = manifest.sequence, why = %error, "a snapshot is passed over, an older one is taken");
                into.forget(series);
                older_than = Some(manifest.sequence);
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum TakeError {
    #[error(transparent)]
    Vault(#[from] SnapshotError),
    #[error("shard {number}: {why}")]
    Body { number: u32, why: BodyError },
    #[error("shard {0} is of no range, expected 1 or more")]
    Range(u32),
    #[error("its shards leave accounts out")]
    Holes,
    #[error(transparent)]
    Ended(Box<Crash>),
}

fn take_in(
    vault: &Vault,
    manifest: &Manifest,
    into: &mut dyn Load,
    between: &mut dyn FnMut() -> Result<(), Crash>,
) -> Result<Loaded, TakeError> {
    let series = manifest.series;
    let mut shards = Vec::new();
    for entry in &manifest.shards {
        let range = Range::from_number(entry.number).ok_or(TakeError::Range(entry.number))?;
        shards.push((range, entry));
    }
    shards.sort_by_key(|(range, _)| range.number());
    if !Range::cover_all(shards.iter().map(|(range, _)| *range)) {
        return Err(TakeError::Holes);
    }
    let mut loaded = Loaded::of(&shards);
    let mut oldest: Option<(&Vector, Vec<u8>)> = None;
    for (i, (_, entry)) in shards.iter().enumerate() {
        between().map_err(|crash| TakeError::Ended(Box::new(crash)))?;
        let body = vault.shard(series, entry)?;
        let broken = |why| TakeError::Body { number: entry.number, why };
        into.load(series, &body, &|key| loaded.place(key) == Some(i)).map_err(broken)?;
        // vectors of one partition only grow: the least of all is that of the oldest shard
        if oldest.as_ref().is_none_or(|(known, _)| entry.vector.is_at_most(known)) {
            oldest = Some((&entry.vector, body));
        }
    }
    if let Some((vector, body)) = oldest {
        let broken = |why| TakeError::Body { number: 0, why };
        into.begin_at(series, &body).map_err(broken)?;
        loaded.least = vector.clone();
    }
    Ok(loaded)
}

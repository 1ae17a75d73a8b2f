//! One shard as a file.
//!
//! ```text
//!  "WEIRSHRD" │ version u32 │ series u8, u32 │ number u32 │ raw length u64
//!  positions u32, each: length of the topic's name u8, the name, partition u32, next offset i64
//!  the body, one zstd frame │ XXH3-128 of all before it
//! ```
//!
//! All numbers little-endian. Magic, version and the checksum at the end stay where they are in every
//! version, so that a damaged file and one of another version can be told apart.

use serde::{Deserialize, Serialize};

use super::{Checksum, Series, SnapshotError, Vector};
use crate::config::limits;
use crate::event::{Position, Topic};

const MAGIC: &str = "WEIRSHRD";
/// The version this weir writes and reads.
const VERSION: u32 = 1;
/// zstd's fastest but one: half the time of its default for a tenth more bytes.
const LEVEL: i32 = 1;

/// A part of a series' state as of a vector of positions.
#[derive(Clone, Copy, Debug)]
pub struct Shard<'a> {
    /// whose state
    pub series: Series,
    /// which part of it
    pub number: u32,
    /// up to where records are applied to it
    pub vector: &'a Vector,
    /// the state, in a format that is the caller's
    pub body: &'a [u8],
}

/// A shard as manifests name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// which part of the state
    pub number: u32,
    /// where it is stored
    pub key: String,
    /// bytes of the file
    pub bytes: u64,
    /// bytes of the state in it
    pub raw_bytes: u64,
    /// of the file, but for the checksum at its end
    pub checksum: Checksum,
    /// up to where records are applied to it
    pub vector: Vector,
}

/// Where a shard is stored: the same bytes have the same place.
pub(super) fn key(series: Series, number: u32, checksum: Checksum) -> String {
    format!("{series}/shards/{number}-{checksum}.zst")
}

/// Which part of the state is at such a place.
pub(super) fn number(key: &str) -> Option<u32> {
    key.rsplit('/').next()?.split_once('-')?.0.parse().ok()
}

/// Up to where records are applied to the shard in a file, as far as its header says; nothing is checked.
pub(super) fn vector(file: &[u8]) -> Option<Vector> {
    let mut rest = Rest(file);
    // magic, version, series, number, raw length
    rest.bytes(MAGIC.len() + 4 + 5 + 4 + 8)?;
    let positions = u32::from_le_bytes(rest.array()?);
    (0..positions).map(|_| rest.position()).collect()
}

impl Shard<'_> {
    /// The file, and how manifests name it. Equal shards give equal bytes.
    pub(super) fn encode(&self) -> Result<(Vec<u8>, ShardEntry), SnapshotError> {
        let Shard { series, number, vector, body } = *self;
        let what = || format!("shard {number} of {series}");
        let (raw_bytes, most) = (body.len() as u64, limits().snapshot_shard_bytes_max);
        if raw_bytes > most {
            return Err(SnapshotError::TooLarge { key: what(), found: raw_bytes, most });
        }
        let packed = zstd::bulk::compress(body, LEVEL)
            .map_err(|error| SnapshotError::Malformed { key: what(), reason: error.to_string() })?;
        let mut file = Vec::with_capacity(packed.len() + 1_024);
        file.extend_from_slice(MAGIC.as_bytes());
        file.extend_from_slice(&VERSION.to_le_bytes());
        let (kind, partition) = wire(series);
        file.push(kind);
        file.extend_from_slice(&partition.to_le_bytes());
        file.extend_from_slice(&number.to_le_bytes());
        file.extend_from_slice(&raw_bytes.to_le_bytes());
        let positions = vector.positions();
        file.extend_from_slice(&(positions.len() as u32).to_le_bytes());
        for Position { topic, partition, offset } in positions {
            // the names of the contract are short
            file.push(topic.name().len() as u8);
            file.extend_from_slice(topic.name().as_bytes());
            file.extend_from_slice(&partition.to_le_bytes());
            file.extend_from_slice(&offset.to_le_bytes());
        }
        file.extend_from_slice(&packed);
        let checksum = Checksum::of(&file);
        file.extend_from_slice(&checksum.to_bytes());
        let entry = ShardEntry {
            number,
            key: key(series, number, checksum),
            bytes: file.len() as u64,
            raw_bytes,
            checksum,
            vector: vector.clone(),
        };
        Ok((file, entry))
    }
}

fn wire(series: Series) -> (u8, u32) {
    match series {
        Series::Partition(partition) => (0, partition),
        Series::Profiles => (1, 0),
    }
}

impl ShardEntry {
    /// The state in the file of this entry.
    pub(super) fn decode(&self, series: Series, file: &[u8]) -> Result<Vec<u8>, SnapshotError> {
        if file.len() as u64 != self.bytes {
            return Err(self.length(file.len() as u64));
        }
        let least = MAGIC.len() + size_of::<u32>() + Checksum::LEN;
        let (content, end) = match file.split_last_chunk() {
            Some(parts) if file.len() >= least => parts,
            _ => return Err(self.malformed(format!("it has {} bytes", file.len()))),
        };
        let (computed, written) = (Checksum::of(content), Checksum::from_bytes(*end));
        for (found, expected) in [(computed, self.checksum), (written, computed)] {
            if found != expected {
                return Err(SnapshotError::Checksum { key: self.key.clone(), found, expected });
            }
        }
        let mut rest = Rest(content);
        self.check_format(&mut rest)?;
        self.check_header(series, &mut rest)?;
        let most = limits().snapshot_shard_bytes_max;
        if self.raw_bytes > most {
            let (key, found) = (self.key.clone(), self.raw_bytes);
            return Err(SnapshotError::TooLarge { key, found, most });
        }
        let body = zstd::bulk::decompress(rest.0, self.raw_bytes as usize)
            .map_err(|error| self.malformed(error.to_string()))?;
        self.same("bytes of state", &(body.len() as u64), &self.raw_bytes)?;
        Ok(body)
    }

    fn check_format(&self, rest: &mut Rest<'_>) -> Result<(), SnapshotError> {
        let magic = self.part(rest.bytes(MAGIC.len()))?;
        if magic != MAGIC.as_bytes() {
            let found = String::from_utf8_lossy(magic).into_owned();
            let key = self.key.clone();
            return Err(SnapshotError::Magic { key, found, expected: MAGIC });
        }
        match self.part(rest.array().map(u32::from_le_bytes))? {
            VERSION => Ok(()),
            found => {
                let key = self.key.clone();
                Err(SnapshotError::Version { key, found, expected: VERSION })
            }
        }
    }

    fn check_header(&self, series: Series, rest: &mut Rest<'_>) -> Result<(), SnapshotError> {
        let [kind] = self.part(rest.array())?;
        let partition = self.part(rest.array().map(u32::from_le_bytes))?;
        let found = match (kind, partition) {
            (0, partition) => Series::Partition(partition),
            (1, 0) => Series::Profiles,
            _ => return Err(self.malformed(format!("series {kind}, {partition} is unknown"))),
        };
        self.same("series", &found, &series)?;
        self.same("number", &self.part(rest.array().map(u32::from_le_bytes))?, &self.number)?;
        let raw_bytes = self.part(rest.array().map(u64::from_le_bytes))?;
        self.same("bytes of state", &raw_bytes, &self.raw_bytes)?;
        let positions = self.part(rest.array().map(u32::from_le_bytes))?;
        let mut vector = Vector::default();
        for _ in 0..positions {
            vector.set(self.part(rest.position())?);
        }
        self.same("positions", &vector, &self.vector)
    }

    /// That the file has another length than it was written with.
    pub(super) fn length(&self, found: u64) -> SnapshotError {
        SnapshotError::Length { key: self.key.clone(), found, expected: self.bytes }
    }

    fn same<T: PartialEq + ToString>(
        &self,
        field: &'static str,
        found: &T,
        expected: &T,
    ) -> Result<(), SnapshotError> {
        if found == expected {
            return Ok(());
        }
        let (key, found, expected) = (self.key.clone(), found.to_string(), expected.to_string());
        Err(SnapshotError::Mismatch { key, field, found, expected })
    }

    fn part<T>(&self, part: Option<T>) -> Result<T, SnapshotError> {
        part.ok_or_else(|| self.malformed("its header is not whole".to_owned()))
    }

    fn malformed(&self, reason: String) -> SnapshotError {
        SnapshotError::Malformed { key: self.key.clone(), reason }
    }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn position(&mut self) -> Option<Position> {
        let [length] = self.array()?;
        let name = std::str::from_utf8(self.bytes(usize::from(length))?).ok()?;
        let topic = Topic::from_name(name)?;
        let partition = u32::from_le_bytes(self.array()?);
        Some(Position { topic, partition, offset: i64::from_le_bytes(self.array()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(series: Series, number: u32, offset: i64) -> (Vec<u8>, ShardEntry) {
        let position = Position { topic: Topic::Chats, partition: 1, offset };
        let vector = Vector::from_iter([position]);
        Shard { series, number, vector: &vector, body: b"state" }.encode().unwrap()
    }

    #[test]
    fn a_sound_file_about_something_else_is_refused() {
        let series = Series::Partition(3);
        let (file, entry) = encoded(series, 7, 9);
        assert_eq!(entry.decode(series, &file).unwrap(), b"state");
        assert_eq!((number(&entry.key), vector(&file)), (Some(7), Some(entry.vector.clone())));
        assert_eq!(vector(&file[..40]), None);
        for (field, other) in [
            ("series", encoded(Series::Partition(4), 7, 9)),
            ("number", encoded(series, 8, 9)),
            ("positions", encoded(series, 7, 8)),
        ] {
            // an entry that was mixed up, down to its checksum
            let (file, ShardEntry { bytes, checksum, .. }) = other;
            let mixed = ShardEntry { bytes, checksum, ..entry.clone() };
            let error = mixed.decode(series, &file).unwrap_err();
            assert!(
                matches!(&error, SnapshotError::Mismatch { field: found, .. } if *found == field),
                "{error}"
            );
        }
    }

    #[test]
    fn a_file_with_the_checksum_of_another_is_refused() {
        let (file, entry) = encoded(Series::Profiles, 7, 9);
        let (_, other) = encoded(Series::Profiles, 7, 10);
        let mixed = ShardEntry { checksum: other.checksum, ..entry };
        let error = mixed.decode(Series::Profiles, &file).unwrap_err();
        assert!(matches!(error, SnapshotError::Checksum { .. }), "{error}");
    }

    #[test]
    fn what_has_another_beginning_or_version_says_so() {
        let series = Series::Partition(0);
        let (file, entry) = encoded(series, 0, 0);
        let altered = |at: usize, value: u8| {
            let mut file = file.clone();
            file[at] = value;
            let (content, end) = file.split_last_chunk_mut().unwrap();
            let checksum = Checksum::of(content);
            *end = checksum.to_bytes();
            ShardEntry { checksum, ..entry.clone() }.decode(series, &file).unwrap_err()
        };
        let error = altered(0, b'X');
        assert!(matches!(&error, SnapshotError::Magic { found, .. } if found == "XEIRSHRD"));
        let error = altered(MAGIC.len(), 2);
        assert!(matches!(error, SnapshotError::Version { found: 2, expected: 1, .. }), "{error}");
    }
}

//! A manifest: which shards together are the state of a series.
//!
//! ```json
//! {"format":1,
//! "checksum":"0f1e…",
//! "manifest":{"series":"partition-3","sequence":12, …}}
//! ```
//!
//! The checksum is of the format and of the manifest as it is written. The file is taken only if
//! writing it again gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Checksum, Series, ShardEntry, SnapshotError, Vector, shard};
use crate::event::Millis;

/// The version this weir writes and reads.
const FORMAT: u32 = 1;

/// Which shards together are the state of a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// whose state
    pub series: Series,
    /// the newest has the highest
    pub sequence: u64,
    /// when it was written
    pub written_at: Millis,
    /// hash of the features whose windows the state has
    pub feature_set: String,
    /// partitions of each input topic
    pub partitions: u32,
    /// parts that the state is split in; what has no entry is empty
    pub shard_count: u32,
    /// newest event time by input, in milliseconds since 1970
    pub watermarks: BTreeMap<String, i64>,
    /// whatever else its writer needs to read it again
    pub extra: serde_json::Value,
    /// the parts, each at most once
    pub shards: Vec<ShardEntry>,
}

/// The file, as it is read.
#[derive(Deserialize)]
struct File<'a> {
    format: u32,
    checksum: Checksum,
    #[serde(borrow)]
    manifest: &'a RawValue,
}

/// Where a manifest is stored; by name the newest comes last.
pub(super) fn key(series: Series, sequence: u64) -> String {
    format!("{series}/manifests/{sequence:020}.json")
}

/// The sequence of a manifest from its file's name.
pub(super) fn sequence(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    let sequence = digits.parse().ok()?;
    (format!("{sequence:020}") == digits).then_some(sequence)
}

fn checksum(format: u32, manifest: &str) -> Checksum {
    Checksum::of(format!("{format}\n{manifest}").as_bytes())
}

fn write(format: u32, manifest: &str) -> String {
    let checksum = checksum(format, manifest);
    format!("{{\"format\":{format},\n\"checksum\":\"{checksum}\",\n\"manifest\":{manifest}}}\n")
}

impl Manifest {
    /// Where it is stored.
    pub fn key(&self) -> String {
        key(self.series, self.sequence)
    }

    /// Bytes of its shards' files.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.bytes).sum()
    }

    /// The least of its shards' vectors: where replay begins. `None` where it has no shard.
    pub fn least(&self) -> Option<Vector> {
        let mut vectors = self.shards.iter().map(|shard| &shard.vector);
        let first = vectors.next()?.clone();
        Some(vectors.fold(first, |least, vector| least.least(vector)))
    }

    /// The file.
    pub(super) fn encode(&self) -> Result<Vec<u8>, SnapshotError> {
        let manifest = serde_json::to_string(self).map_err(|error| SnapshotError::Malformed {
            key: self.key(),
            reason: error.to_string(),
        })?;
        Ok(write(FORMAT, &manifest).into_bytes())
    }

    /// The manifest in a file.
    pub(super) fn decode(
        series: Series,
        sequence: u64,
        bytes: &[u8],
    ) -> Result<Manifest, SnapshotError> {
        let key = key(series, sequence);
        let malformed = |reason: String| SnapshotError::Malformed { key: key.clone(), reason };
        let text = std::str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?;
        let file: File<'_> =
            serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let raw = file.manifest.get();
        let found = checksum(file.format, raw);
        if found != file.checksum {
            return Err(SnapshotError::Checksum { key, found, expected: file.checksum });
        }
        if file.format != FORMAT {
            return Err(SnapshotError::Version { key, found: file.format, expected: FORMAT });
        }
        if write(FORMAT, raw) != text {
            return Err(malformed("it is not laid out as it was written".to_owned()));
        }
        let manifest: Manifest =
            serde_json::from_str(raw).map_err(|error| malformed(error.to_string()))?;
        if (manifest.series, manifest.sequence) != (series, sequence) {
            let found = manifest.key();
            return Err(SnapshotError::Mismatch {
                expected: key.clone(),
                key,
                field: "the content of",
                found,
            });
        }
        manifest.check()?;
        Ok(manifest)
    }

    /// Whether it names each shard once, and where it is.
    pub(super) fn check(&self) -> Result<(), SnapshotError> {
        let mut numbers = BTreeSet::new();
        for entry in &self.shards {
            let number = entry.number;
            if !numbers.insert(number) {
                return Err(SnapshotError::Twice { key: self.key(), number });
            }
            // what is read is what was checked: no manifest points out of its series
            let expected = shard::key(self.series, number, entry.checksum);
            if entry.key != expected {
                let (key, found) = (self.key(), entry.key.clone());
                return Err(SnapshotError::Mismatch { key, field: "a shard at", found, expected });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest {
            series: Series::Partition(3),
            sequence: 12,
            written_at: Millis(1_769_853_600_000),
            feature_set: "f".to_owned(),
            partitions: 4,
            shard_count: 1,
            watermarks: BTreeMap::from([("chats".to_owned(), -5)]),
            extra: serde_json::json!({"a": [1.5, null]}),
            shards: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_is_json_and_reads_back() {
        let bytes = manifest().encode().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["manifest"]["series"], "partition-3");
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 3);
        let read = Manifest::decode(Series::Partition(3), 12, &bytes).unwrap();
        assert_eq!(read, manifest());
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let bytes = manifest().encode().unwrap();
        for at in 0..bytes.len() {
            assert!(Manifest::decode(Series::Partition(3), 12, &bytes[..at]).is_err(), "{at}");
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                let read = Manifest::decode(Series::Partition(3), 12, &flipped);
                assert!(read.is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn another_format_another_place_and_a_shard_elsewhere_are_told_apart() {
        let read = |bytes: &[u8]| Manifest::decode(Series::Partition(3), 12, bytes).unwrap_err();
        let error = read(write(2, "{\"later\":true}").as_bytes());
        assert!(matches!(error, SnapshotError::Version { found: 2, expected: 1, .. }), "{error}");
        let error = read(&Manifest { sequence: 13, ..manifest() }.encode().unwrap());
        assert!(matches!(error, SnapshotError::Mismatch { .. }), "{error}");
        let vector = Vector::default();
        let shard =
            shard::Shard { series: Series::Profiles, number: 0, vector: &vector, body: b"" };
        let (_, entry) = shard.encode().unwrap();
        let error = read(&Manifest { shards: vec![entry], ..manifest() }.encode().unwrap());
        assert!(error.to_string().contains("a shard at profiles/"), "{error}");
    }

    #[test]
    fn names_of_manifests_sort_as_their_sequences() {
        let key = key(Series::Profiles, 7);
        assert_eq!(key, "profiles/manifests/00000000000000000007.json");
        assert_eq!(sequence("00000000000000000007.json"), Some(7));
        for other in ["7.json", "00000000000000000007.json#1", "+0000000000000000007.json", ""] {
            assert_eq!(sequence(other), None, "{other}");
        }
    }
}

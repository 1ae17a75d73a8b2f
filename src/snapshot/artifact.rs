//! Content under the hash of itself: what decides, kept for as long as decisions may be run again.

use object_store::path::Path as Key;
use object_store::{ObjectStoreExt, PutPayload};
use sha2::{Digest, Sha256};

use super::{SnapshotError, Vault};
use crate::config::{hex, limits};

const ARTIFACTS: &str = "artifacts";
/// How hard they are packed: they are written rarely and read rarely.
const LEVEL: i32 = 6;

/// The name of a content: the first 16 bytes of its SHA-256, as 32 small hexadecimal digits.
pub fn artifact_hash(content: &[u8]) -> String {
    hex(&Sha256::digest(content)[..16])
}

fn key(hash: &str) -> String {
    format!("{ARTIFACTS}/{hash}.zst")
}

impl Vault {
    /// Stores a content under its hash and waits until it is durable. What is there already and sound stays.
    ///
    /// # Errors
    /// When it is too large, or may not be stored.
    pub fn put_artifact(&self, content: &[u8]) -> Result<String, SnapshotError> {
        let hash = artifact_hash(content);
        let key = key(&hash);
        let (found, most) = (content.len() as u64, limits().artifact_bytes_max);
        if found > most {
            return Err(SnapshotError::TooLarge { key, found, most });
        }
        // one that was damaged is whole again
        if !matches!(self.artifact(&hash), Ok(Some(_))) {
            let packed = zstd::encode_all(content, LEVEL).map_err(|error| {
                SnapshotError::Malformed { key: key.clone(), reason: error.to_string() }
            })?;
            let place = Key::from(key.as_str());
            let work = async { self.store.put(&place, PutPayload::from(packed)).await.map(drop) };
            self.within(limits().snapshot_write_deadline, &format!("write {key}"), work)?;
        }
        Ok(hash)
    }

    /// The content of this hash; `None` where it is not there.
    ///
    /// # Errors
    /// When it is damaged, or the place does not answer.
    pub fn artifact(&self, hash: &str) -> Result<Option<Vec<u8>>, SnapshotError> {
        let (key, most) = (key(hash), limits().artifact_bytes_max);
        let Some(packed) = self.get(&key, most)? else { return Ok(None) };
        let content = unpack(&packed, most)
            .map_err(|reason| SnapshotError::Malformed { key: key.clone(), reason })?;
        let found = artifact_hash(&content);
        match found == hash {
            true => Ok(Some(content)),
            false => Err(SnapshotError::Mismatch {
                key,
                field: "content of hash",
                found,
                expected: hash.to_owned(),
            }),
        }
    }
}

/// Unpacks no more than `most` bytes.
fn unpack(packed: &[u8], most: u64) -> Result<Vec<u8>, String> {
    use std::io::Read as _;
    let decoder = zstd::Decoder::new(packed).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    let read = decoder.take(most + 1).read_to_end(&mut content);
    match read {
        Ok(length) if length as u64 > most => Err(format!("it unpacks to more than {most} bytes")),
        Ok(_) => Ok(content),
        Err(error) => Err(error.to_string()),
    }
}

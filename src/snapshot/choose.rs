//! Which snapshot a start takes.

use std::collections::BTreeMap;

use super::{Manifest, SHARDS, Series, SnapshotError, Stored, Vault, Vector, whole};

/// A manifest that was passed over.
#[derive(Debug)]
pub struct Skipped {
    /// whose state
    pub series: Series,
    /// which manifest
    pub sequence: u64,
    /// why
    pub why: SnapshotError,
}

impl Vault {
    /// The newest manifest that can be used: it can be read, all its shards are stored in full, and
    /// none has read further than `committed`. `older_than` leaves out that sequence and all newer
    /// ones: for whoever finds one of its shards damaged. Each manifest passed over is told.
    ///
    /// `None`: there is none, and the state begins where the log does.
    ///
    /// # Errors
    /// When the place does not answer or refuses: then nothing is known of what is there.
    pub fn newest_whole(
        &self,
        series: Series,
        committed: &Vector,
        older_than: Option<u64>,
        told: &mut dyn FnMut(Skipped),
    ) -> Result<Option<Manifest>, SnapshotError> {
        // in this order: shards of a manifest that is listed are stored already
        let sequences = self.manifests(series)?;
        let stored = self.stored(series, SHARDS)?;
        let is_older = |sequence: &u64| older_than.is_none_or(|bound| *sequence < bound);
        for sequence in sequences.into_iter().filter(is_older) {
            match self.usable(series, sequence, committed, &stored) {
                Ok(manifest) => return Ok(Some(manifest)),
                Err(why) if why.is_about_content() => told(Skipped { series, sequence, why }),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn usable(
        &self,
        series: Series,
        sequence: u64,
        committed: &Vector,
        stored: &BTreeMap<String, Stored>,
    ) -> Result<Manifest, SnapshotError> {
        let manifest = self.manifest(series, sequence)?;
        for entry in &manifest.shards {
            whole(entry, stored)?;
            if let Some(position) = entry.vector.first_ahead(committed) {
                return Err(SnapshotError::Ahead {
                    key: manifest.key(),
                    number: entry.number,
                    position,
                    committed: committed.next(position.topic, position.partition),
                });
            }
        }
        Ok(manifest)
    }
}

//! What is kept, what goes, and whether what is kept is sound.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::UNIX_EPOCH;

use futures_util::StreamExt;
use object_store::path::Path as Key;

use super::error::{failed, is_absent};
use super::{
    MANIFESTS, Manifest, SHARDS, Series, ShardEntry, SnapshotError, Vault, Vector, manifest,
    millis, shard,
};
use crate::config::limits;

/// What was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// sequences of manifests, newest first
    pub manifests: Vec<u64>,
    /// keys of shards
    pub shards: Vec<String>,
    /// bytes of those shards' files
    pub bytes: u64,
    /// files that a crash left half written
    pub staged: usize,
}

/// Something that is wrong with what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// the manifest it was found through
    pub sequence: u64,
    /// what is wrong: which key, what was found, what was expected
    pub problem: String,
}

/// A series, and what is stored of it.
#[derive(Debug)]
pub struct Listing {
    /// whose state
    pub series: Series,
    /// newest first
    pub manifests: Vec<Listed>,
    /// shards stored, whether or not a manifest names them
    pub shards: usize,
    /// bytes of their files
    pub bytes: u64,
}

/// A manifest, or why it cannot be read.
#[derive(Debug)]
pub struct Listed {
    /// which
    pub sequence: u64,
    /// what it says
    pub manifest: Result<Manifest, SnapshotError>,
}

/// What is stored of some shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// sequences of the manifests that name one, newest first
    pub manifests: Vec<u64>,
    /// sequences of the manifests that cannot be read: they may name one
    pub unread: Vec<u64>,
    /// keys of those that no manifest names; one that cannot be read is among them
    pub shards: Vec<String>,
}

impl Vault {
    /// What is stored of those shards of a series that `which` says, by number and by the positions up
    /// to which records are applied to them. Of a shard that has applied none it must say no more rarely
    /// than of any other of its number.
    ///
    /// # Errors
    /// When the place does not answer or refuses.
    pub fn holding(
        &self,
        series: Series,
        which: impl Fn(u32, &Vector) -> bool,
    ) -> Result<Holding, SnapshotError> {
        let mut holding = Holding::default();
        let mut named: BTreeSet<String> = BTreeSet::new();
        // before the manifests: one that is stored and named meanwhile is not asked for
        let stored = self.stored(series, SHARDS)?;
        for Listed { sequence, manifest } in self.listed(series)? {
            let Ok(manifest) = manifest else {
                holding.unread.push(sequence);
                continue;
            };
            if manifest.shards.iter().any(|entry| which(entry.number, &entry.vector)) {
                holding.manifests.push(sequence);
            }
            named.extend(manifest.shards.into_iter().map(|entry| entry.key));
        }
        let most = 2 * limits().snapshot_shard_bytes_max;
        for key in stored.into_keys().filter(|key| !named.contains(key)) {
            let number = shard::number(&key);
            if number.is_some_and(|number| !which(number, &Vector::default())) {
                continue;
            }
            let Some(file) = self.get(&key, most)? else { continue };
            let vector = shard::vector(&file).unwrap_or_default();
            if number.is_none_or(|number| which(number, &vector)) {
                holding.shards.push(key);
            }
        }
        Ok(holding)
    }

    /// Keeps the newest `keep` manifests that can be read, at least one, and deletes what is older;
    /// then the shards that no kept manifest names and that were stored longer ago than the grace
    /// period, since a younger one may be about to be named.
    ///
    /// A manifest among the kept ones that cannot be read stays, and so do all shards: it may name any
    /// of them. It goes as soon as enough newer ones are there.
    ///
    /// # Errors
    /// When the place does not answer or refuses. What was deleted by then stays deleted; the next
    /// call goes on.
    pub fn prune(&self, series: Series, keep: usize) -> Result<Pruned, SnapshotError> {
        let sequences = self.manifests(series)?;
        let mut kept = Vec::new();
        let mut unread = false;
        let mut oldest = 0;
        for sequence in &sequences {
            match self.manifest(series, *sequence) {
                Ok(manifest) => kept.push(manifest),
                Err(error) if error.is_about_content() => unread = true,
                Err(error) => return Err(error),
            }
            if kept.len() == keep.max(1) {
                oldest = *sequence;
                break;
            }
        }
        let older: Vec<u64> = sequences.into_iter().filter(|at| *at < oldest).collect();
        self.delete(older.iter().map(|sequence| manifest::key(series, *sequence)))?;
        let mut pruned = Pruned { manifests: older, ..Pruned::default() };
        let before_ms = self.clock.now_ms() - millis(limits().snapshot_grace);
        if !unread {
            let named: BTreeSet<&str> =
                kept.iter().flat_map(|manifest| &manifest.shards).map(|s| s.key.as_str()).collect();
            for (key, stored) in self.stored(series, SHARDS)? {
                if stored.modified_ms < before_ms && !named.contains(key.as_str()) {
                    pruned.shards.push(key);
                    pruned.bytes += stored.bytes;
                }
            }
            self.delete(pruned.shards.iter().cloned())?;
        }
        if let Some(folder) = &self.folder {
            for part in [MANIFESTS, SHARDS] {
                let part = folder.join(series.to_string()).join(part);
                pruned.staged += self.unstage(&part, before_ms)?;
            }
        }
        Ok(pruned)
    }

    /// Reads every manifest of a series and every shard they name.
    ///
    /// # Errors
    /// When the place does not answer or refuses: then it is not known whether all is sound.
    pub fn verify(&self, series: Series) -> Result<Vec<Finding>, SnapshotError> {
        let mut findings = Vec::new();
        // a shard is read once, however many manifests name it
        let mut read: BTreeMap<String, ShardEntry> = BTreeMap::new();
        for sequence in self.manifests(series)? {
            let mut keep = |error: SnapshotError| match error.is_about_content() {
                true => {
                    findings.push(Finding { sequence, problem: error.to_string() });
                    Ok(())
                }
                false => Err(error),
            };
            let manifest = match self.manifest(series, sequence) {
                Ok(manifest) => manifest,
                Err(error) => {
                    keep(error)?;
                    continue;
                }
            };
            for entry in manifest.shards {
                if read.get(&entry.key) == Some(&entry) {
                    continue;
                }
                if let Err(error) = self.shard(series, &entry) {
                    keep(error)?;
                }
                read.insert(entry.key.clone(), entry);
            }
        }
        Ok(findings)
    }

    /// The series that are stored, in order.
    ///
    /// # Errors
    /// When the place does not answer or refuses.
    pub fn series(&self) -> Result<Vec<Series>, SnapshotError> {
        let work = self.store.list_with_delimiter(None);
        let listed = self.within(limits().snapshot_read_deadline, "list it", work)?;
        let names = listed.common_prefixes.iter().filter_map(|prefix| prefix.filename());
        let mut series: Vec<Series> = names.filter_map(|name| name.parse().ok()).collect();
        series.sort_unstable();
        Ok(series)
    }

    /// All that is stored.
    ///
    /// # Errors
    /// When the place does not answer or refuses.
    pub fn list(&self) -> Result<Vec<Listing>, SnapshotError> {
        self.series()?.into_iter().map(|series| self.listing(series)).collect()
    }

    /// The manifests of a series, newest first, and of those that cannot be read why.
    fn listed(&self, series: Series) -> Result<Vec<Listed>, SnapshotError> {
        let read = |sequence| match self.manifest(series, sequence) {
            Err(error) if !error.is_about_content() => Err(error),
            manifest => Ok(Listed { sequence, manifest }),
        };
        self.manifests(series)?.into_iter().map(read).collect()
    }

    fn listing(&self, series: Series) -> Result<Listing, SnapshotError> {
        let manifests = self.listed(series)?;
        let stored = self.stored(series, SHARDS)?;
        let bytes = stored.values().map(|stored| stored.bytes).sum();
        Ok(Listing { series, manifests, shards: stored.len(), bytes })
    }

    /// Deletes objects; one that is gone already is no failure.
    fn delete(&self, keys: impl Iterator<Item = String>) -> Result<(), SnapshotError> {
        let keys: Vec<_> = keys.map(|key| Ok(Key::from(key))).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let doing = format!("delete {} objects", keys.len());
        let mut deleted = self.store.delete_stream(futures_util::stream::iter(keys).boxed());
        let work = async {
            while let Some(done) = deleted.next().await {
                match done {
                    Err(error) if !is_absent(&error) => return Err(error),
                    _ => {}
                }
            }
            Ok(())
        };
        self.within(limits().snapshot_read_deadline, &doing, work)
    }

    /// Deletes what a crash left half written in a folder. The object store puts `#` and a number
    /// behind a name until the file is whole, and never lists such files.
    fn unstage(&self, folder: &Path, before_ms: i64) -> Result<usize, SnapshotError> {
        let failed = |error: std::io::Error| {
            let error = object_store::Error::Generic { store: "folder", source: Box::new(error) };
            failed(self.place(), "delete files half written", &error)
        };
        let entries = match std::fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            entries => entries.map_err(failed)?,
        };
        let mut count = 0;
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let staged = name.to_str().and_then(|name| name.rsplit_once('#'));
            let is_staged = staged.is_some_and(|(_, number)| number.parse::<u64>().is_ok());
            if is_staged && modified_ms(&entry.metadata().map_err(failed)?) < before_ms {
                std::fs::remove_file(entry.path()).map_err(failed)?;
                count += 1;
            }
        }
        Ok(count)
    }
}

/// When a file was written; one that does not say counts as young.
fn modified_ms(metadata: &std::fs::Metadata) -> i64 {
    let since = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    since.and_then(|since| i64::try_from(since.as_millis()).ok()).unwrap_or(i64::MAX)
}

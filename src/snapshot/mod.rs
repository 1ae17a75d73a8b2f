//! The vault: state in an object store, so that a start need not read the whole log again.
//!
//! ```text
//!   state ─► put_shard ─► {series}/shards/{number}-{checksum}.zst ◄─┐ names
//!   once the positions are committed ─► put_manifest ─► {series}/manifests/{sequence}.json
//!
//!   start ─► newest_whole(committed) ─► shard, shard, … ─► state ─► replay from the least vector
//!                     └─ one is damaged: newest_whole(committed, older than it)
//! ```
//!
//! It knows neither accounts nor features nor workers: a shard is bytes as of a vector of positions.
//! The place is a local folder or a bucket of an S3 server.
//!
//! - **Nothing is changed in place.** A shard is stored under its checksum, a manifest under its
//!   sequence. A crash between the two leaves shards that nobody names; [`Vault::prune`] takes them
//!   once they are older than a grace period.
//! - **A snapshot is whole or it is not used.** [`Vault::newest_whole`] takes a manifest only if all
//!   its shards are there and none has read further than what is committed: a shard from the future
//!   would lose the events in between. Whatever it passes over it tells.
//! - **Damage is found on reading**, by the checksum of each file, and named: [`SnapshotError`].
//! - **A place that is away is not damage.** [`SnapshotError::passes`] tells what may be otherwise
//!   later; nobody falls back to an older snapshot because of it. Every read, write, deletion and
//!   listing has its deadline in [`crate::config::limits`].
//!
//! One process at a time writes a series, which is the owner of the partition. Several may read.

mod artifact;
mod checksum;
mod choose;
mod error;
mod manifest;
mod place;
mod series;
mod shard;
mod upkeep;
mod vector;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::path::Path as Key;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use tokio::runtime::Handle;

use self::error::is_absent;
use crate::config::{Snapshots, limits};
use crate::telemetry::Clock;

pub use artifact::artifact_hash;
pub use checksum::Checksum;
pub use choose::Skipped;
pub use error::SnapshotError;
pub use manifest::Manifest;
pub use series::Series;
pub use shard::{Shard, ShardEntry};
pub use upkeep::{Finding, Holding, Listed, Listing, Pruned};
pub use vector::Vector;

/// Snapshots in an object store. Its calls block; they are made from threads that may. Clones share
/// the place and its connections.
#[derive(Clone)]
pub struct Vault {
    store: Arc<dyn ObjectStore>,
    /// for people
    place: Arc<str>,
    /// where the place is a folder
    folder: Option<PathBuf>,
    runtime: Handle,
    clock: Clock,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").field("place", &self.place).finish()
    }
}

/// What is known of a stored object without reading it.
#[derive(Clone, Copy, Debug)]
struct Stored {
    bytes: u64,
    /// by the place's clock, in milliseconds since 1970
    modified_ms: i64,
}

impl Vault {
    /// The vault of these settings. A folder is made where it is not there; a bucket is not spoken to
    /// yet. `runtime` needs tokio's I/O and time.
    ///
    /// # Errors
    /// When the folder cannot be made, or no client can.
    pub fn open(
        settings: &Snapshots,
        data_folder: &Path,
        runtime: &Handle,
    ) -> Result<Vault, SnapshotError> {
        place::make_folder(settings, data_folder)?;
        place::open(settings, data_folder, runtime)
    }

    /// The same, but a folder that is not there is not made: `None`.
    ///
    /// # Errors
    /// When there is no client to be had.
    pub fn open_existing(
        settings: &Snapshots,
        data_folder: &Path,
        runtime: &Handle,
    ) -> Result<Option<Vault>, SnapshotError> {
        match place::is_there(settings, data_folder) {
            true => place::open(settings, data_folder, runtime).map(Some),
            false => Ok(None),
        }
    }

    /// The same vault by another clock: ages are taken by it.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Vault {
        Vault { clock, ..self }
    }

    /// Where it is, for people: no secret is in it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Stores a shard and waits until it is durable. Storing it again changes nothing, except that it
    /// counts as new again where it is old: it may be about to be named.
    ///
    /// # Errors
    /// When it may not be stored.
    pub fn put_shard(&self, shard: &Shard<'_>) -> Result<ShardEntry, SnapshotError> {
        let (file, entry) = shard.encode()?;
        let key = Key::from(entry.key.as_str());
        let payload = PutPayload::from(file);
        let work = async {
            match self.create(&key, payload.clone()).await {
                Err(StoreError::AlreadyExists { .. }) if self.is_sound(&key, &entry).await => {
                    Ok(())
                }
                Err(StoreError::AlreadyExists { .. }) => {
                    self.store.put(&key, payload).await.map(drop)
                }
                done => done,
            }
        };
        self.within(limits().snapshot_write_deadline, &format!("write {key}"), work)?;
        Ok(entry)
    }

    /// Whether an object that is there can stay as it is: of the right length, and young enough not
    /// to be pruned before a manifest names it.
    async fn is_sound(&self, key: &Key, entry: &ShardEntry) -> bool {
        let young_ms = millis(limits().snapshot_grace) / 2;
        self.store.head(key).await.is_ok_and(|there| {
            let age_ms = self.clock.now_ms() - there.last_modified.timestamp_millis();
            there.size == entry.bytes && age_ms < young_ms
        })
    }

    /// The state in a shard.
    ///
    /// # Errors
    /// When it is not there, damaged, of another version or about something else; or the place does
    /// not answer.
    pub fn shard(&self, series: Series, entry: &ShardEntry) -> Result<Vec<u8>, SnapshotError> {
        // header and checksum come on top of what does not pack
        let most = 2 * limits().snapshot_shard_bytes_max;
        let file = self.get(&entry.key, most)?.ok_or_else(|| SnapshotError::Missing {
            key: entry.key.clone(),
            expected: format!("a shard of {} bytes", entry.bytes),
        })?;
        entry.decode(series, &file)
    }

    /// Stores a manifest and waits until it is durable. To be called once the positions of all its
    /// shards are committed. Storing the same again changes nothing.
    ///
    /// # Errors
    /// When it names a shard twice or one that is not stored, when its sequence is used already, or
    /// when it may not be stored.
    pub fn put_manifest(&self, manifest: &Manifest) -> Result<(), SnapshotError> {
        manifest.check()?;
        let key = manifest.key();
        let bytes = manifest.encode()?;
        let (found, most) = (bytes.len() as u64, limits().snapshot_manifest_bytes_max);
        if found > most {
            return Err(SnapshotError::TooLarge { key, found, most });
        }
        let place = Key::from(key.as_str());
        let payload = PutPayload::from(bytes.clone());
        let work = async {
            let stored = self.objects(manifest.series, SHARDS).await?;
            if let Err(error) = manifest.shards.iter().try_for_each(|entry| whole(entry, &stored)) {
                return Ok(Err(error));
            }
            match self.create(&place, payload).await {
                Err(StoreError::AlreadyExists { .. }) => {
                    let there = self.store.get(&place).await?.bytes().await?;
                    let taken = || SnapshotError::Taken { key: key.clone() };
                    Ok(if there == bytes { Ok(()) } else { Err(taken()) })
                }
                done => done.map(Ok),
            }
        };
        self.within(limits().snapshot_write_deadline, &format!("write {key}"), work)?
    }

    /// The sequences of the manifests of a series, newest first.
    ///
    /// # Errors
    /// When the place does not answer.
    pub fn manifests(&self, series: Series) -> Result<Vec<u64>, SnapshotError> {
        let stored = self.stored(series, MANIFESTS)?;
        let names = stored.keys().rev().filter_map(|key| key.rsplit('/').next());
        Ok(names.filter_map(manifest::sequence).collect())
    }

    /// A manifest.
    ///
    /// # Errors
    /// When it is not there, damaged or of another version; or the place does not answer.
    pub fn manifest(&self, series: Series, sequence: u64) -> Result<Manifest, SnapshotError> {
        let key = manifest::key(series, sequence);
        match self.get(&key, limits().snapshot_manifest_bytes_max)? {
            Some(file) => Manifest::decode(series, sequence, &file),
            None => Err(SnapshotError::Missing { key, expected: "a manifest".to_owned() }),
        }
    }

    async fn create(&self, key: &Key, payload: PutPayload) -> object_store::Result<()> {
        self.store.put_opts(key, payload, PutMode::Create.into()).await.map(drop)
    }

    /// An object's bytes; `None` where it is not there.
    fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, SnapshotError> {
        let place = Key::from(key);
        let work = async {
            match self.store.get(&place).await {
                Ok(object) if object.meta.size > most => Ok(Some(Err(object.meta.size))),
                Ok(object) => Ok(Some(Ok(object.bytes().await?.to_vec()))),
                Err(error) if is_absent(&error) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let found = self.within(limits().snapshot_read_deadline, &format!("read {key}"), work)?;
        let too_large = |found| SnapshotError::TooLarge { key: key.to_owned(), found, most };
        found.map(|found| found.map_err(too_large)).transpose()
    }

    /// What is stored of a series in one of its folders, by key.
    fn stored(
        &self,
        series: Series,
        folder: &str,
    ) -> Result<BTreeMap<String, Stored>, SnapshotError> {
        let doing = format!("list {series}/{folder}");
        self.within(limits().snapshot_read_deadline, &doing, self.objects(series, folder))
    }

    async fn objects(
        &self,
        series: Series,
        folder: &str,
    ) -> object_store::Result<BTreeMap<String, Stored>> {
        let prefix = Key::from(format!("{series}/{folder}"));
        let objects = self.store.list(Some(&prefix)).map_ok(|object| {
            let modified_ms = object.last_modified.timestamp_millis();
            (object.location.to_string(), Stored { bytes: object.size, modified_ms })
        });
        objects.try_collect().await
    }

    /// Work at the place, and no longer: its own time-outs do not cover all that it waits for.
    fn within<T>(
        &self,
        deadline: Duration,
        doing: &str,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, SnapshotError> {
        let work = async { tokio::time::timeout(deadline, work).await };
        match self.runtime.block_on(work) {
            Ok(done) => done.map_err(|error| self.failed(doing, &error)),
            Err(_) => Err(SnapshotError::Unreachable {
                place: self.place.to_string(),
                doing: doing.to_owned(),
                reason: format!("not done within {deadline:?}"),
            }),
        }
    }
}

const SHARDS: &str = "shards";
const MANIFESTS: &str = "manifests";

/// Whether a shard is stored in full.
fn whole(entry: &ShardEntry, stored: &BTreeMap<String, Stored>) -> Result<(), SnapshotError> {
    match stored.get(&entry.key) {
        Some(there) if there.bytes == entry.bytes => Ok(()),
        Some(there) => Err(entry.length(there.bytes)),
        None => Err(SnapshotError::Missing {
            key: entry.key.clone(),
            expected: format!("a shard of {} bytes", entry.bytes),
        }),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

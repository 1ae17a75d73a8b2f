//! Snapshots: what is put is got back; whatever is damaged, missing or from the future is refused and
//! named; what is pruned is what should be; and a place that is away is not taken for damage.
//!
//! `load-tests/minio.sh -- cargo test --test snapshot`. Without WEIR_TEST_S3_ENDPOINT the test on a real
//! S3 server says that it skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use weir::config::{Login, Secret, SnapshotPlace, Snapshots, limits};
use weir::event::{Millis, Position, Topic};
use weir::snapshot::{
    Checksum, Manifest, Series, Shard, ShardEntry, Skipped, SnapshotError, Vault, Vector,
};
use weir::telemetry::Clock;

const SERIES: Series = Series::Partition(3);
const SECRET: &str = "c2VjcmV0LW9mLXRoZS10ZXN0";

fn seed() -> u64 {
    let seed =
        std::env::var("WEIR_TEST_SEED").map_or_else(|_| rand::random(), |s| s.parse().unwrap());
    println!("WEIR_TEST_SEED={seed}");
    seed
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A vault in a folder that vanishes.
struct Place {
    vault: Vault,
    data: TempDir,
    runtime: Runtime,
}

impl Place {
    fn new() -> Place {
        let (data, runtime) = (tempfile::tempdir().unwrap(), runtime());
        let settings = Snapshots::default();
        let vault = Vault::open(&settings, data.path(), runtime.handle()).unwrap();
        Place { vault, data, runtime }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.data.path().join("snapshots").join(key)
    }

    fn put(&self, number: u32, offset: i64, body: &[u8]) -> ShardEntry {
        put(&self.vault, number, offset, body)
    }

    /// A manifest of these shards, stored.
    fn name(&self, sequence: u64, shards: &[&ShardEntry]) -> Manifest {
        let manifest = manifest(sequence, shards);
        self.vault.put_manifest(&manifest).unwrap();
        manifest
    }

    /// Every file, by its key.
    fn files(&self) -> BTreeSet<String> {
        fn walk(root: &Path, folder: &Path, into: &mut BTreeSet<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(root, &path, into),
                    false => {
                        let key = path.strip_prefix(root).unwrap();
                        into.insert(key.to_str().unwrap().to_owned());
                    }
                }
            }
        }
        let root = self.path("");
        let mut files = BTreeSet::new();
        walk(&root, &root, &mut files);
        files
    }

    /// Makes a file as old as `seconds`.
    fn age(&self, key: &str, seconds: u64) {
        let file = std::fs::File::options().write(true).open(self.path(key)).unwrap();
        file.set_modified(now() - Duration::from_secs(seconds)).unwrap();
    }
}

fn now() -> SystemTime {
    let now_ms = u64::try_from(Clock::system().now_ms()).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms)
}

fn read_to(offset: i64) -> Vector {
    let at = |topic, partition| Position { topic, partition, offset };
    [at(Topic::Transactions, 3), at(Topic::Chats, 3)].into_iter().collect()
}

fn put(vault: &Vault, number: u32, offset: i64, body: &[u8]) -> ShardEntry {
    let vector = read_to(offset);
    vault.put_shard(&Shard { series: SERIES, number, vector: &vector, body }).unwrap()
}

fn manifest(sequence: u64, shards: &[&ShardEntry]) -> Manifest {
    Manifest {
        series: SERIES,
        sequence,
        written_at: Millis(1_769_853_600_000 + i64::try_from(sequence).unwrap()),
        feature_set: "f00d".to_owned(),
        partitions: 4,
        shard_count: 8,
        watermarks: BTreeMap::from([("chats".to_owned(), 17)]),
        extra: serde_json::json!({"salt": [1, 2.5, "x"]}),
        shards: shards.iter().copied().cloned().collect(),
    }
}

/// The newest usable manifest, and what was passed over.
fn newest(vault: &Vault, offset: i64, older_than: Option<u64>) -> (Option<u64>, Vec<Skipped>) {
    let mut skipped = Vec::new();
    let mut told = |one| skipped.push(one);
    let found = vault.newest_whole(SERIES, &read_to(offset), older_than, &mut told).unwrap();
    (found.map(|manifest| manifest.sequence), skipped)
}

// what is put is got back

fn any_vector() -> impl Strategy<Value = Vector> {
    let place = (0..Topic::ALL.len(), any::<u32>());
    btree_map(place, 0..=i64::MAX, 0..20).prop_map(|positions| {
        let position =
            |((topic, partition), offset)| Position { topic: Topic::ALL[topic], partition, offset };
        positions.into_iter().map(position).collect()
    })
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..3_000),
        (any::<u8>(), 0..200_000usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

fn any_series() -> impl Strategy<Value = Series> {
    prop_oneof![any::<u32>().prop_map(Series::Partition), Just(Series::Profiles)]
}

#[test]
fn what_is_put_is_got_back_and_equal_shards_are_one_file() {
    let seed = seed();
    let (here, there) = (Place::new(), Place::new());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = ProptestConfig { cases: 100, failure_persistence: None, ..Default::default() };
    let cases = (any_series(), any::<u32>(), any_vector(), any_body());
    let done =
        TestRunner::new_with_rng(config, rng).run(&cases, |(series, number, vector, body)| {
            let shard = Shard { series, number, vector: &vector, body: &body };
            let fail = |error: SnapshotError| TestCaseError::fail(error.to_string());
            let entry = here.vault.put_shard(&shard).map_err(fail)?;
            prop_assert_eq!(here.vault.shard(series, &entry).map_err(fail)?, body.clone());
            prop_assert_eq!((entry.number, entry.raw_bytes), (number, body.len() as u64));
            prop_assert_eq!(&entry.vector, &vector);
            prop_assert_eq!(&here.vault.put_shard(&shard).map_err(fail)?, &entry);
            prop_assert_eq!(&there.vault.put_shard(&shard).map_err(fail)?, &entry);
            let file = std::fs::read(here.path(&entry.key)).unwrap();
            prop_assert_eq!(file.len() as u64, entry.bytes);
            prop_assert!(file == std::fs::read(there.path(&entry.key)).unwrap());
            let json = serde_json::to_string(&entry).unwrap();
            prop_assert_eq!(serde_json::from_str::<ShardEntry>(&json).unwrap(), entry);
            Ok(())
        });
    if let Err(error) = done {
        panic!("WEIR_TEST_SEED={seed}: {error}");
    }
}

#[test]
fn manifests_are_got_back_and_listed_newest_first() {
    let place = Place::new();
    let (a, b) = (place.put(0, 10, b"a"), place.put(1, 12, b"b"));
    let first = place.name(2, &[&a]);
    let second = place.name(11, &[&a, &b]);
    assert_eq!(place.vault.manifests(SERIES).unwrap(), [11, 2]);
    assert_eq!(place.vault.manifests(Series::Profiles).unwrap(), Vec::<u64>::new());
    assert_eq!(place.vault.manifest(SERIES, 2).unwrap(), first);
    assert_eq!(place.vault.manifest(SERIES, 11).unwrap(), second);
    assert_eq!(second.least(), Some(read_to(10)));
    assert_eq!(second.bytes(), a.bytes + b.bytes);
    assert_eq!(manifest(0, &[]).least(), None);
}

// what is damaged is refused

#[test]
fn a_shard_cut_off_at_any_length_is_refused() {
    let place = Place::new();
    let entry = place.put(0, 10, b"the state of some accounts");
    let file = std::fs::read(place.path(&entry.key)).unwrap();
    for length in 0..file.len() {
        std::fs::write(place.path(&entry.key), &file[..length]).unwrap();
        let error = place.vault.shard(SERIES, &entry).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, SnapshotError::Length { .. }), "{length}: {text}");
        let counts = format!("has {length} bytes, expected {}", file.len());
        assert!(text.contains(&entry.key) && text.contains(&counts), "{text}");
    }
    std::fs::write(place.path(&entry.key), [&file[..], b"x"].concat()).unwrap();
    let error = place.vault.shard(SERIES, &entry).unwrap_err();
    assert!(matches!(error, SnapshotError::Length { .. }), "{error}");
}

#[test]
fn every_flipped_bit_is_found() {
    let seed = seed();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let place = Place::new();
    let mut body = vec![0; 300_000];
    rng.fill_bytes(&mut body);
    for (number, body) in [(0, &b"a few bytes"[..]), (1, &body)] {
        let entry = place.put(number, 10, body);
        let file = std::fs::read(place.path(&entry.key)).unwrap();
        let bits = file.len() * 8;
        // all of a small file, some of a large one
        let flips: Vec<usize> = match bits < 2_000 {
            true => (0..bits).collect(),
            false => (0..200).map(|_| rng.random_range(0..bits)).collect(),
        };
        for bit in flips {
            let mut flipped = file.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(place.path(&entry.key), &flipped).unwrap();
            let error = place.vault.shard(SERIES, &entry).unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, SnapshotError::Checksum { .. }), "seed {seed}, {bit}: {text}");
            assert!(text.contains(&entry.key) && text.contains("damaged"), "{text}");
        }
        std::fs::write(place.path(&entry.key), &file).unwrap();
        assert_eq!(place.vault.shard(SERIES, &entry).unwrap(), body);
    }
}

/// A shard's file as a weir with another format would have written it, and its entry.
fn of_version(place: &Place, entry: &ShardEntry, version: u32) -> ShardEntry {
    let mut file = std::fs::read(place.path(&entry.key)).unwrap();
    file[8..12].copy_from_slice(&version.to_le_bytes());
    file.truncate(file.len() - 16);
    let checksum = Checksum::of(&file);
    let number = u128::from_str_radix(&checksum.to_string(), 16).unwrap();
    file.extend_from_slice(&number.to_le_bytes());
    let key = format!("{SERIES}/shards/{}-{checksum}.zst", entry.number);
    std::fs::write(place.path(&key), &file).unwrap();
    ShardEntry { key, checksum, ..entry.clone() }
}

#[test]
fn another_format_version_is_not_taken_for_damage() {
    let place = Place::new();
    let entry = of_version(&place, &place.put(0, 10, b"a"), 7);
    let error = place.vault.shard(SERIES, &entry).unwrap_err();
    assert!(matches!(error, SnapshotError::Version { found: 7, expected: 1, .. }), "{error}");
    let text = error.to_string();
    let said = "has format version 7, expected 1";
    assert!(text.contains(&entry.key) && text.contains(said), "{text}");
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new();
    let entry = place.put(0, 10, b"a");
    std::fs::remove_file(place.path(&entry.key)).unwrap();
    let error = place.vault.shard(SERIES, &entry).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SnapshotError::Missing { .. }), "{text}");
    let said = format!("{} is not there, expected a shard of {} bytes", entry.key, entry.bytes);
    assert_eq!(text, said);
    let error = place.vault.manifest(SERIES, 5).unwrap_err();
    assert_eq!(
        error.to_string(),
        "partition-3/manifests/00000000000000000005.json is not there, expected a manifest"
    );
}

// which snapshot is taken

#[test]
fn a_manifest_without_its_shard_gives_way_to_its_predecessor() {
    let place = Place::new();
    let (a, b, c) = (place.put(0, 10, b"a"), place.put(0, 11, b"b"), place.put(0, 12, b"c"));
    for (sequence, shard) in [(1, &a), (2, &b), (3, &c)] {
        place.name(sequence, &[shard]);
    }
    assert_eq!(newest(&place.vault, 12, None).0, Some(3));
    std::fs::remove_file(place.path(&c.key)).unwrap();
    std::fs::write(place.path(&b.key), b"cut").unwrap();
    let (found, skipped) = newest(&place.vault, 12, None);
    assert_eq!(found, Some(1));
    let why: Vec<(u64, &str)> =
        skipped.iter().map(|skipped| (skipped.sequence, skipped.why.code())).collect();
    assert_eq!(why, [(3, "missing"), (2, "length")]);
    assert!(skipped[0].why.to_string().contains(&c.key), "{}", skipped[0].why);
}

#[test]
fn a_shard_from_the_future_gives_way_to_its_predecessor() {
    let place = Place::new();
    let (a, b, c) = (place.put(0, 10, b"a"), place.put(0, 11, b"b"), place.put(1, 10, b"c"));
    place.name(1, &[&a, &c]);
    place.name(2, &[&b, &c]);
    assert_eq!(newest(&place.vault, 11, None).0, Some(2));
    let (found, skipped) = newest(&place.vault, 10, None);
    assert_eq!((found, skipped.len()), (Some(1), 1));
    let text = skipped[0].why.to_string();
    assert!(matches!(skipped[0].why, SnapshotError::Ahead { committed: 10, .. }), "{text}");
    assert!(
        text.contains("shard 0 of") && text.contains("@11, expected at most offset 10"),
        "{text}"
    );
    // nothing is committed: all of it is from the future
    let (found, skipped) = newest(&place.vault, 0, None);
    assert_eq!((found, skipped.len()), (None, 2));
}

#[test]
fn whoever_finds_a_shard_damaged_asks_for_an_older_snapshot() {
    let place = Place::new();
    let (a, b) = (place.put(0, 10, b"a"), place.put(0, 11, b"b"));
    place.name(4, &[&a]);
    place.name(9, &[&b]);
    let mut file = std::fs::read(place.path(&b.key)).unwrap();
    file[30] ^= 1;
    std::fs::write(place.path(&b.key), &file).unwrap();
    // of the right length: only reading it tells
    assert_eq!(newest(&place.vault, 11, None).0, Some(9));
    assert!(place.vault.shard(SERIES, &b).unwrap_err().is_about_content());
    assert_eq!(newest(&place.vault, 11, Some(9)).0, Some(4));
    assert_eq!(newest(&place.vault, 11, Some(4)).0, None);
}

#[test]
fn a_damaged_manifest_is_passed_over_and_told() {
    let place = Place::new();
    let a = place.put(0, 10, b"a");
    place.name(1, &[&a]);
    let second = place.name(2, &[&a]).key();
    let third = place.name(3, &[&a]).key();
    let text = std::fs::read_to_string(place.path(&second)).unwrap();
    std::fs::write(place.path(&second), text.replace("f00d", "f00e")).unwrap();
    std::fs::write(place.path(&third), &text[..text.len() / 2]).unwrap();
    let (found, skipped) = newest(&place.vault, 10, None);
    assert_eq!(found, Some(1));
    let codes: Vec<&str> = skipped.iter().map(|skipped| skipped.why.code()).collect();
    assert_eq!(codes, ["malformed", "checksum"]);
    assert!(skipped[1].why.to_string().contains(&second), "{}", skipped[1].why);
}

// what is not named

#[test]
fn a_manifest_names_each_shard_once_and_only_what_is_stored() {
    let place = Place::new();
    let (a, b) = (place.put(0, 10, b"a"), place.put(0, 11, b"b"));
    let error = place.vault.put_manifest(&manifest(1, &[&a, &b])).unwrap_err();
    assert!(matches!(error, SnapshotError::Twice { number: 0, .. }), "{error}");
    std::fs::remove_file(place.path(&b.key)).unwrap();
    let error = place.vault.put_manifest(&manifest(1, &[&b])).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing { .. }), "{error}");
    let elsewhere = ShardEntry { key: "../../etc/passwd".to_owned(), ..a.clone() };
    let error = place.vault.put_manifest(&manifest(1, &[&elsewhere])).unwrap_err();
    assert!(error.to_string().contains("a shard at ../../etc/passwd, expected partition-3/"));
    assert_eq!(place.vault.manifests(SERIES).unwrap(), Vec::<u64>::new());
}

#[test]
fn a_sequence_is_used_once() {
    let place = Place::new();
    let a = place.put(0, 10, b"a");
    let first = place.name(1, &[&a]);
    place.vault.put_manifest(&first).unwrap();
    let other = Manifest { feature_set: "beef".to_owned(), ..first.clone() };
    let error = place.vault.put_manifest(&other).unwrap_err();
    assert!(matches!(error, SnapshotError::Taken { .. }), "{error}");
    assert!(error.to_string().contains(&first.key()), "{error}");
    assert_eq!(place.vault.manifest(SERIES, 1).unwrap(), first);
}

// what is pruned

const OLD: u64 = 3_600;

#[test]
fn what_should_be_pruned_is_and_nothing_else() {
    let place = Place::new();
    let lone = place.put(0, 1, b"named by 1 alone");
    let shared = place.put(1, 1, b"named by all");
    let third = place.put(0, 3, b"named by 3");
    let fourth = place.put(0, 4, b"named by 4");
    let left = place.put(2, 9, b"left behind long ago");
    let fresh = place.put(2, 10, b"just put, not named yet");
    place.name(1, &[&lone, &shared]);
    place.name(2, &[&lone, &shared]);
    place.name(3, &[&third, &shared]);
    place.name(4, &[&fourth, &shared]);
    let profile = Shard { series: Series::Profiles, number: 0, vector: &read_to(1), body: b"p" };
    let profile = place.vault.put_shard(&profile).unwrap();
    for entry in [&lone, &shared, &third, &fourth, &left, &profile] {
        place.age(&entry.key, OLD);
    }
    // a crash in the middle of writing, long ago and just now; and what is not ours
    let (old, young) = (format!("{}#1", left.key), format!("{}#1", fresh.key));
    for key in [&old, &young, "README", "partition-3/notes"] {
        std::fs::write(place.path(key), b"x").unwrap();
    }
    place.age(&old, OLD);
    place.age("partition-3/notes", OLD);
    let before = place.files();
    let pruned = place.vault.prune(SERIES, 2).unwrap();
    assert_eq!(pruned.manifests, [2, 1]);
    assert_eq!(
        pruned.shards.iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([&lone.key, &left.key])
    );
    assert_eq!((pruned.bytes, pruned.staged), (lone.bytes + left.bytes, 1));
    let gone: BTreeSet<String> = before.difference(&place.files()).cloned().collect();
    let manifest_key = |sequence| manifest(sequence, &[]).key();
    let expected = [lone.key, left.key, old, manifest_key(1), manifest_key(2)];
    assert_eq!(gone, BTreeSet::from(expected));
    assert!(place.files().is_subset(&before));
    // what is kept is whole, and once more changes nothing
    assert_eq!(place.vault.verify(SERIES).unwrap(), []);
    assert_eq!(place.vault.prune(SERIES, 2).unwrap(), weir::snapshot::Pruned::default());
}

#[test]
fn while_a_kept_manifest_cannot_be_read_no_shard_goes() {
    let place = Place::new();
    let shards: Vec<ShardEntry> = (1..=5).map(|at| place.put(0, at, b"x")).collect();
    for (shard, sequence) in shards.iter().zip(1..=3) {
        place.name(sequence, &[shard]);
    }
    shards.iter().for_each(|shard| place.age(&shard.key, OLD));
    std::fs::write(place.path(&manifest(3, &[]).key()), b"cut").unwrap();
    // 3 cannot be read: 2 and 1 are the two that can
    let pruned = place.vault.prune(SERIES, 2).unwrap();
    assert_eq!((pruned.manifests, pruned.shards), (vec![], vec![]));
    // two newer ones, and it goes with what it may have named
    place.name(4, &[&shards[3]]);
    place.name(5, &[&shards[4]]);
    let pruned = place.vault.prune(SERIES, 2).unwrap();
    assert_eq!(pruned.manifests, [3, 2, 1]);
    assert_eq!(pruned.shards.len(), 3);
    assert_eq!(place.vault.verify(SERIES).unwrap(), []);
}

#[test]
fn an_old_shard_that_is_put_again_is_young_and_a_damaged_one_is_mended() {
    let place = Place::new();
    let (a, b) = (place.put(0, 1, b"a"), place.put(0, 2, b"b"));
    place.name(1, &[&b]);
    place.age(&a.key, OLD);
    assert_eq!(place.put(0, 1, b"a"), a);
    assert_eq!(place.vault.prune(SERIES, 2).unwrap().shards, Vec::<String>::new());
    std::fs::write(place.path(&a.key), b"cut").unwrap();
    assert_eq!(place.put(0, 1, b"a"), a);
    assert_eq!(place.vault.shard(SERIES, &a).unwrap(), b"a");
}

#[test]
fn verify_finds_what_is_wrong_and_names_it() {
    let place = Place::new();
    let (a, b) = (place.put(0, 1, b"a"), place.put(1, 1, b"b"));
    place.name(1, &[&a, &b]);
    place.name(2, &[&a, &b]);
    assert_eq!(place.vault.verify(SERIES).unwrap(), []);
    let mut file = std::fs::read(place.path(&b.key)).unwrap();
    file[20] ^= 4;
    std::fs::write(place.path(&b.key), &file).unwrap();
    std::fs::write(place.path(&manifest(1, &[]).key()), b"{}").unwrap();
    let findings = place.vault.verify(SERIES).unwrap();
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(findings[0].sequence == 2 && findings[0].problem.contains(&b.key));
    assert!(findings[1].sequence == 1 && findings[1].problem.contains("cannot be read"));
}

// a folder that will not

#[test]
fn a_folder_that_is_none_is_refused() {
    let (data, runtime) = (tempfile::tempdir().unwrap(), runtime());
    std::fs::write(data.path().join("file"), b"x").unwrap();
    let place = SnapshotPlace::Folder("file/below".into());
    let settings = Snapshots { place, ..Snapshots::default() };
    let error = Vault::open(&settings, data.path(), runtime.handle()).unwrap_err();
    assert!(matches!(error, SnapshotError::Refused { .. }) && !error.passes(), "{error}");
    assert!(error.to_string().contains("file/below"), "{error}");
    let place = Place::new();
    std::fs::write(place.path("partition-3"), b"x").unwrap();
    let (vector, body) = (Vector::default(), b"a");
    let shard = Shard { series: SERIES, number: 0, vector: &vector, body };
    let error = place.vault.put_shard(&shard).unwrap_err();
    assert!(matches!(error, SnapshotError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("write partition-3/shards/0-"), "{error}");
}

#[test]
fn a_folder_that_is_not_writable_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let permit = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(place.path(""), permissions).unwrap();
    };
    permit(0o500);
    let writable = std::fs::write(place.path("probe"), b"x").is_ok();
    if !writable {
        let (vector, body) = (Vector::default(), b"a");
        let shard = Shard { series: SERIES, number: 0, vector: &vector, body };
        let error = place.vault.put_shard(&shard).unwrap_err();
        assert!(matches!(error, SnapshotError::Refused { .. }) && !error.passes(), "{error}");
    } else {
        eprintln!("skipped: this user may write where nobody may");
    }
    permit(0o700);
}

// an S3 server that does not

/// Status line and body.
type Answer = (&'static str, &'static str);

/// Answers requests by their first line, and counts them.
struct Server {
    endpoint: String,
    requests: Arc<AtomicU32>,
}

impl Server {
    /// All requests alike; `None` takes them and never answers.
    fn start(answer: Option<Answer>) -> Server {
        Server::answering(move |_| answer)
    }

    fn answering(answer: impl Fn(&str) -> Option<Answer> + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&requests);
        let held = Arc::new(Mutex::new(Vec::new()));
        // ends with the test's process
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = take_request(&mut stream) else {
                    continue;
                };
                count.fetch_add(1, Ordering::SeqCst);
                match answer(&request) {
                    Some((status, body)) => {
                        let length = body.len();
                        let _gone = write!(
                            stream,
                            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\
                             connection: close\r\n\r\n{body}"
                        );
                    }
                    None => held.lock().unwrap().push(stream),
                }
            }
        });
        Server { endpoint, requests }
    }

    fn vault(&self, runtime: &Runtime) -> Vault {
        let settings = s3(&self.endpoint, "risk");
        Vault::open(&settings, Path::new("unused"), runtime.handle()).unwrap()
    }
}

/// Reads a request with its body and gives its head, in small letters; `None` when it broke off.
fn take_request(stream: &mut TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return None,
        }
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.trim().parse().unwrap())];
    stream.read_exact(&mut body).is_ok().then_some(head)
}

fn s3(endpoint: &str, bucket: &str) -> Snapshots {
    Snapshots {
        place: SnapshotPlace::Bucket { bucket: bucket.to_owned(), prefix: "weir/a".to_owned() },
        endpoint: Some(endpoint.to_owned()),
        login: Some(Login {
            username: "weir".to_owned(),
            password: Secret::new(SECRET.to_owned()),
        }),
        allow_http: true,
        ..Snapshots::default()
    }
}

fn put_once(vault: &Vault) -> Result<ShardEntry, SnapshotError> {
    let (vector, body) = (read_to(1), b"some state");
    vault.put_shard(&Shard { series: SERIES, number: 0, vector: &vector, body })
}

const ATTEMPTS: u32 = 3;

#[test]
fn a_server_that_is_away_or_full_is_told_so_and_asked_a_few_times() {
    let runtime = runtime();
    for (answer, code, passes, requests) in [
        (("503 Service Unavailable", "<Code>SlowDown</Code>"), "unreachable", true, ATTEMPTS),
        (("507 Insufficient Storage", "<Code>XMinioStorageFull</Code>"), "full", true, ATTEMPTS),
        (("500 Internal Server Error", ""), "unreachable", true, ATTEMPTS),
        (("429 Too Many Requests", ""), "unreachable", true, ATTEMPTS),
        (("403 Forbidden", "<Code>AccessDenied</Code>"), "refused", false, 1),
        (("404 Not Found", "<Code>NoSuchBucket</Code>"), "refused", false, 1),
        (("400 Bad Request", "<Code>AuthorizationHeaderMalformed</Code>"), "refused", false, 1),
    ] {
        let server = Server::start(Some(answer));
        let vault = server.vault(&runtime);
        let began = Instant::now();
        let error = put_once(&vault).unwrap_err();
        let text = error.to_string();
        assert_eq!((error.code(), error.passes()), (code, passes), "{text}");
        assert_eq!(server.requests.load(Ordering::SeqCst), requests, "{text}");
        assert!(began.elapsed() < limits().snapshot_write_deadline, "{:?}", began.elapsed());
        assert!(text.contains("s3://risk/weir/a") && text.contains(&server.endpoint), "{text}");
        assert!(text.contains(answer.0) && text.contains("write partition-3/shards/0-"), "{text}");
        assert!(!text.contains(SECRET) && !format!("{vault:?}").contains(SECRET), "{text}");
    }
}

#[test]
fn a_server_that_is_away_is_no_reason_to_take_an_older_snapshot() {
    let runtime = runtime();
    for (answer, code) in [
        (("503 Service Unavailable", ""), "unreachable"),
        (("403 Forbidden", "<Code>AccessDenied</Code>"), "refused"),
        (("404 Not Found", "<Code>NoSuchBucket</Code>"), "refused"),
    ] {
        let vault = Server::start(Some(answer)).vault(&runtime);
        let mut told = |skipped: Skipped| panic!("{skipped:?}");
        let error = vault.newest_whole(SERIES, &read_to(1), None, &mut told).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert_eq!(vault.prune(SERIES, 2).unwrap_err().code(), code);
        assert_eq!(vault.verify(SERIES).unwrap_err().code(), code);
        assert_eq!(vault.list().unwrap_err().code(), code);
        assert_eq!(vault.manifest(SERIES, 1).unwrap_err().code(), code);
    }
}

#[test]
fn a_manifest_that_is_listed_and_cannot_be_fetched_is_neither_passed_over_nor_pruned() {
    const LISTED: &str = "<ListBucketResult><Contents>\
        <Key>weir/a/partition-3/manifests/00000000000000000005.json</Key>\
        <LastModified>2026-01-31T10:00:00.000Z</LastModified><Size>9</Size><ETag>\"x\"</ETag>\
        </Contents></ListBucketResult>";
    let runtime = runtime();
    for (answer, code) in [
        (("503 Service Unavailable", ""), "unreachable"),
        (("403 Forbidden", "<Code>AccessDenied</Code>"), "refused"),
    ] {
        let server = Server::answering(move |head| {
            assert!(head.starts_with("get "), "{head}");
            Some(if head.contains("list-type=2") { ("200 OK", LISTED) } else { answer })
        });
        let vault = server.vault(&runtime);
        assert_eq!(vault.manifests(SERIES).unwrap(), [5]);
        let mut told = |skipped: Skipped| panic!("{skipped:?}");
        let error = vault.newest_whole(SERIES, &read_to(1), None, &mut told).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(!error.is_about_content());
        assert_eq!(vault.prune(SERIES, 1).unwrap_err().code(), code);
        assert_eq!(vault.verify(SERIES).unwrap_err().code(), code);
    }
}

#[test]
fn a_server_that_never_answers_costs_no_more_than_the_deadline() {
    let runtime = runtime();
    let server = Server::start(None);
    let vault = server.vault(&runtime);
    let began = Instant::now();
    let error = put_once(&vault).unwrap_err();
    let took = began.elapsed();
    assert!(matches!(error, SnapshotError::Unreachable { .. }) && error.passes(), "{error}");
    assert!(took < limits().snapshot_write_deadline + Duration::from_secs(1), "{took:?}");
    assert!(took < limits().drain_deadline, "{took:?}");
}

/// An endpoint where nobody listens: at a port that was free a moment ago.
fn absent() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

#[test]
fn a_server_that_is_not_there_may_come_back() {
    let runtime = runtime();
    let settings = s3(&absent(), "risk");
    let vault = Vault::open(&settings, Path::new("unused"), runtime.handle()).unwrap();
    let error = put_once(&vault).unwrap_err();
    assert!(matches!(error, SnapshotError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("no connection"), "{error}");
}

// one life of a vault, in a folder and on a server

fn life(vault: &Vault) {
    let (a, b) = (put(vault, 0, 10, b"a"), put(vault, 1, 12, &[7; 100_000]));
    assert_eq!(put(vault, 0, 10, b"a"), a);
    let next = put(vault, 0, 20, b"a later");
    let (first, second) = (manifest(1, &[&a, &b]), manifest(2, &[&next, &b]));
    vault.put_manifest(&first).unwrap();
    vault.put_manifest(&first).unwrap();
    let other = Manifest { partitions: 5, ..first.clone() };
    let error = vault.put_manifest(&other).unwrap_err();
    assert!(matches!(error, SnapshotError::Taken { .. }), "{error}");
    vault.put_manifest(&second).unwrap();
    assert_eq!(vault.series().unwrap(), [SERIES]);
    assert_eq!(vault.manifests(SERIES).unwrap(), [2, 1]);
    assert_eq!(newest(vault, 20, None).0, Some(2));
    let (found, skipped) = newest(vault, 19, None);
    assert_eq!((found, skipped.len()), (Some(1), 1));
    assert_eq!(vault.shard(SERIES, &b).unwrap(), [7; 100_000]);
    let error = vault.manifest(SERIES, 9).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing { .. }), "{error}");
    let lost = ShardEntry { key: a.key.replace("0-", "5-"), ..a.clone() };
    let error = vault.shard(SERIES, &lost).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing { .. }), "{error}");
    let listing = vault.list().unwrap();
    assert_eq!((listing.len(), listing[0].shards, listing[0].manifests.len()), (1, 3, 2));
    // all is young, then all is old
    assert_eq!(vault.prune(SERIES, 1).unwrap().shards, Vec::<String>::new());
    let later_ms = Clock::system().now_ms() + 3_600_000;
    let later = vault.clone().with_clock(Clock::fixed(later_ms));
    assert_eq!(later.prune(SERIES, 1).unwrap().shards, [a.key]);
    assert_eq!(vault.verify(SERIES).unwrap(), []);
    assert_eq!(newest(vault, 20, None).0, Some(2));
}

#[test]
fn a_vault_lives_in_a_folder() {
    let place = Place::new();
    life(&place.vault);
    // opening it again finds the same
    let settings = Snapshots::default();
    let vault = Vault::open(&settings, place.data.path(), place.runtime.handle()).unwrap();
    assert_eq!(newest(&vault, 20, None).0, Some(2));
}

#[test]
fn a_vault_lives_on_an_s3_server() {
    let Ok(endpoint) = std::env::var("WEIR_TEST_S3_ENDPOINT") else {
        eprintln!("skipped: WEIR_TEST_S3_ENDPOINT is not set (load-tests/minio.sh -- …)");
        return;
    };
    let var = |name: &str| std::env::var(name).unwrap();
    let runtime = runtime();
    let bucket = var("WEIR_TEST_S3_BUCKET");
    let username = var("WEIR_TEST_S3_ACCESS_KEY");
    let password = Secret::new(var("WEIR_TEST_S3_SECRET_KEY"));
    let prefix = format!("t{}-{}", std::process::id(), Clock::system().now_ms());
    let place = SnapshotPlace::Bucket { bucket: bucket.clone(), prefix };
    let login = Some(Login { username: username.clone(), password: password.clone() });
    let settings = Snapshots { place, login, ..s3(&endpoint, &bucket) };
    let open = |settings: &Snapshots| {
        Vault::open(settings, Path::new("unused"), runtime.handle()).unwrap()
    };
    life(&open(&settings));
    let error = put_once(&open(&s3(&endpoint, &bucket))).unwrap_err();
    assert!(matches!(error, SnapshotError::Refused { .. }), "{error}");
    let place = SnapshotPlace::Bucket { bucket: "not-there".to_owned(), prefix: String::new() };
    let vault = open(&Snapshots { place, ..settings });
    for error in [put_once(&vault).unwrap_err(), vault.list().unwrap_err()] {
        assert!(matches!(error, SnapshotError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("NoSuchBucket"), "{error}");
    }
}

// the command

fn weir(arguments: &[&str], data: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["--log", "warn", "snapshot"])
        .args(arguments)
        .arg("--data")
        .arg(data)
        .args(["--topology", "/nonexistent"])
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Json {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

#[test]
fn the_command_lists_verifies_and_prunes() {
    let place = Place::new();
    let (a, b) = (place.put(0, 1, b"a"), place.put(0, 2, b"b"));
    for (sequence, shard) in [(1, &a), (2, &a), (3, &a), (4, &b)] {
        place.name(sequence, &[shard]);
    }
    let data = place.data.path();
    let listed = weir(&["list"], data);
    let said = text(&listed.stdout);
    assert_eq!(listed.status.code(), Some(0), "{listed:?}");
    assert!(said.contains("partition-3: 4 snapshots, 2 shards"), "{said}");
    assert!(said.contains("2026-01-31T10:00:00.004Z"), "{said}");
    let listed = json(&weir(&["list", "--json"], data));
    assert_eq!(listed["series"][0]["series"], "partition-3");
    assert_eq!(listed["series"][0]["manifests"][0]["sequence"], 4);
    assert_eq!(listed["series"][0]["manifests"][0]["bytes"], b.bytes);
    assert_eq!(listed["series"][0]["manifests"][0]["problem"], Json::Null);

    let sound = weir(&["verify"], data);
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    assert!(text(&sound.stdout).contains("4 snapshots in"), "{sound:?}");
    let pruned = weir(&["prune", "--keep", "2"], data);
    assert_eq!(pruned.status.code(), Some(0), "{pruned:?}");
    assert!(text(&pruned.stdout).contains("deleted 2 snapshots, 0 shards"), "{pruned:?}");
    assert_eq!(place.vault.manifests(SERIES).unwrap(), [4, 3]);

    std::fs::write(place.path(&b.key), b"cut").unwrap();
    let damaged = weir(&["verify", "--json", "--series", "partition-3"], data);
    assert_eq!(damaged.status.code(), Some(7), "{damaged:?}");
    let found = json(&damaged);
    assert_eq!(found["manifests"], 2);
    assert_eq!(found["problems"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["problems"][0]["sequence"], 4);
    assert!(found["problems"][0]["problem"].as_str().unwrap().contains(&b.key), "{found}");
    assert!(text(&damaged.stderr).contains("1 things are wrong with 2 snapshots"), "{damaged:?}");
}

#[test]
fn the_command_says_what_was_wrong_with_it() {
    let data = tempfile::tempdir().unwrap();
    let none = weir(&["list"], data.path());
    assert_eq!(none.status.code(), Some(0), "{none:?}");
    assert!(text(&none.stdout).starts_with("no snapshots in "), "{none:?}");
    assert_eq!(json(&weir(&["list", "--json"], data.path()))["series"], serde_json::json!([]));
    assert!(!data.path().join("snapshots").exists(), "looking made the folder");
    for (arguments, part) in [
        (&["verify", "--series", "partition-9"][..], "no partition-9 in"),
        (&["verify", "--series", "accounts"], "expected partition-3 or profiles"),
        (&["prune", "--keep", "0"], "0 is not in 1..=100"),
    ] {
        let output = weir(arguments, data.path());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(text(&output.stderr).contains(part), "{output:?}");
    }
    for command in ["list", "verify", "prune"] {
        let help = weir(&[command, "--help"], data.path());
        let said = text(&help.stdout);
        assert!(said.contains("Example: weir snapshot") && said.contains("Exit code 0"), "{said}");
    }
}

#[test]
fn the_command_tells_a_server_that_is_away_from_one_that_refuses() {
    let full = Server::start(Some(("507 Insufficient Storage", "")));
    let refusing = Server::start(Some(("403 Forbidden", "<Code>AccessDenied</Code>")));
    for (endpoint, exit) in [(absent(), 9), (refusing.endpoint, 2), (full.endpoint, 6)] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        let section = format!(
            "[snapshots]\nplace = \"s3://risk/weir\"\nendpoint = \"{endpoint}\"\n\
             allow_http = true\naccess_key = \"weir\"\nsecret_key = \"{SECRET}\"\n"
        );
        std::fs::write(folder.path().join("weir.toml"), section).unwrap();
        for command in ["list", "verify", "prune"] {
            let output = Command::new(env!("CARGO_BIN_EXE_weir"))
                .args(["snapshot", command, "--topology"])
                .arg(folder.path())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(exit), "{command}: {output:?}");
            let said = text(&output.stderr);
            assert!(said.contains("s3://risk/weir of http://127.0.0.1:"), "{said}");
            assert!(!said.contains(SECRET), "{said}");
        }
    }
}

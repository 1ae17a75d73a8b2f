//! What happens to the state where the log does not reach back far enough, or where its partitions are
//! others: said with its cause, refused, and marked where somebody accepts it.
//!
//! `scripts/services run --kafka -- cargo test --test gap`. Without WEIR_TEST_BROKERS each test says that
//! it skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::copy_folder;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

const STATE_GAP: i32 = 8;
const PARTITIONS: i32 = 2;
const PATIENCE: Duration = Duration::from_secs(60);
const INPUTS: [&str; 5] = ["transactions", "disputes", "chats", "invoices", "labels"];
const OTHERS: [&str; 7] = [
    "decisions",
    "escalations",
    "dead-letters",
    "weir.rollups",
    "weir.touches",
    "weir.fired",
    "weir.deliveries",
];

/// A weir with topics of its own.
struct World {
    brokers: String,
    prefix: String,
    folder: tempfile::TempDir,
}

/// How a run ended: its exit code and what it said.
type Ended = (i32, String);

impl World {
    /// Topics of two partitions; `None` without a broker.
    fn begin(name: &str) -> Option<World> {
        let Ok(brokers) = std::env::var("WEIR_TEST_BROKERS") else {
            eprintln!("skipped: WEIR_TEST_BROKERS is not set (scripts/services run --kafka -- …)");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let world = World { brokers, prefix: format!("{name}{}.", std::process::id()), folder };
        copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("topology"), &world.topology());
        let file = world.topology().join("weir.toml");
        let settings = format!(
            "{}\n[kafka]\nbrokers = \"{}\"\nprefix = \"{}\"\nprocess = \"one\"\n",
            std::fs::read_to_string(&file).unwrap(),
            world.brokers,
            world.prefix
        );
        std::fs::write(&file, settings).unwrap();
        let partitions = PARTITIONS.to_string();
        assert_eq!(world.weir(&["topics", "create", "--partitions", &partitions]).0, 0);
        Some(world)
    }

    fn topology(&self) -> PathBuf {
        self.folder.path().join("topology")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn weir(&self, words: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(["--log", "warn"]).args(words).arg("--topology").arg(self.topology());
        if words[0] != "topics" {
            command.arg("--data").arg(self.data());
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap_or(-1), said)
    }

    fn load(&self, seed: &str) {
        let ended = self.weir(&["generate", "--to-topics", "--count", "2000", "--seed", seed]);
        assert_eq!(ended.0, 0, "{}", ended.1);
    }

    fn run(&self, words: &[&str]) -> Ended {
        self.weir(&[&["run", "--roles", "score", "--until-end"], words].concat())
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// Lets the cluster forget every input record.
    fn trim(&self) {
        let consumer: BaseConsumer = self.config().set("group.id", "trim").create().unwrap();
        let mut wanted = TopicPartitionList::new();
        for topic in INPUTS {
            let name = format!("{}{topic}", self.prefix);
            for partition in 0..PARTITIONS {
                let (_, end) = consumer.fetch_watermarks(&name, partition, PATIENCE).unwrap();
                wanted.add_partition_offset(&name, partition, Offset::Offset(end)).unwrap();
            }
        }
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let done = answered(admin.delete_records(&wanted, &AdminOptions::new()));
        done.unwrap();
    }

    fn repartition(&self, partitions: usize) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let names: Vec<String> =
            INPUTS.iter().chain(&OTHERS).map(|topic| format!("{}{topic}", self.prefix)).collect();
        let wanted: Vec<NewPartitions<'_>> =
            names.iter().map(|name| NewPartitions::new(name, partitions)).collect();
        let made = answered(admin.create_partitions(&wanted, &AdminOptions::new()));
        assert!(made.unwrap().iter().all(Result::is_ok));
        // every broker and client hears of it in its own time
        let began = Instant::now();
        while self.weir(&["topics", "check"]).0 != 0 {
            assert!(began.elapsed() < PATIENCE, "the partitions are not seen");
        }
    }
}

/// Waits for one of the admin client's answers, which come from a thread of its own.
fn answered<T>(answer: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answer)
}

#[test]
fn inputs_that_were_trimmed_before_they_were_decided_about_are_a_gap() {
    let Some(world) = World::begin("trimmed") else { return };
    world.load("1");
    assert_eq!(world.run(&[]).0, 0);
    world.load("2");
    world.trim();
    let (code, said) = world.run(&[]);
    assert_eq!(code, STATE_GAP, "{said}");
    assert!(said.contains("is needed and the log begins at"), "{said}");
    assert!(said.contains("--accept-state-gap"), "{said}");
    let (code, said) = world.run(&["--accept-state-gap"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_snapshot_that_the_log_does_not_reach_back_to_is_a_gap() {
    let Some(world) = World::begin("old") else { return };
    world.load("1");
    assert_eq!(world.run(&[]).0, 0);
    let (snapshots, kept) = (world.data().join("snapshots"), world.folder.path().join("kept"));
    copy_folder(&snapshots, &kept);
    world.load("2");
    assert_eq!(world.run(&[]).0, 0);
    std::fs::remove_dir_all(&snapshots).unwrap();
    copy_folder(&kept, &snapshots);
    world.trim();
    let (code, said) = world.run(&[]);
    assert_eq!(code, STATE_GAP, "{said}");
    assert!(said.contains("is needed and the log begins at"), "{said}");
    let (code, said) = world.run(&["--accept-state-gap"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn partitions_that_were_added_under_the_state_are_a_gap() {
    let Some(world) = World::begin("repartitioned") else { return };
    world.load("1");
    assert_eq!(world.run(&[]).0, 0);
    world.repartition(4);
    let (code, said) = world.run(&[]);
    assert_eq!(code, STATE_GAP, "{said}");
    assert!(said.contains("of topics with 2 partitions, there are 4"), "{said}");
    let (code, said) = world.run(&["--accept-state-gap"]);
    assert_eq!(code, 0, "{said}");
}

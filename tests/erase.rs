//! `weir erase`: what is remembered of an account goes, from state and from snapshots; what is refused; and
//! what a tombstone is on a real broker.
//!
//! `scripts/services run --kafka -- cargo test --test erase`. Without WEIR_TEST_BROKERS the test on a broker
//! says that it skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use common::world::{World, command};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value as Json;
use weir::config::Snapshots;
use weir::snapshot::Vault;
use weir::state::State;

const INVALID: i32 = 2;
const UNPROVED: i32 = 7;
const PATIENCE: Duration = Duration::from_secs(60);
const READ: [&str; 6] = ["labels", "disputes", "chats", "invoices", "transactions", "escalations"];

impl World {
    /// Accounts of what is generated from this seed.
    fn accounts(&self, seed: &str) -> Vec<String> {
        let words = ["generate", "--count", "3000", "--accounts", "60", "--seed", seed];
        let printed = self.done(&words);
        let account = |line: &str| {
            let event: Json = serde_json::from_str(line).unwrap();
            let field = |name: &str| event[name].as_str().map(str::to_owned);
            let tenant = field("tenant").unwrap_or_else(|| "default".to_owned());
            format!("{tenant}/{}", field("account_id").unwrap())
        };
        let mut accounts: Vec<String> = printed.lines().map(account).collect();
        accounts.sort();
        accounts.dedup();
        accounts
    }

    fn run(&self) {
        let roles = ["run", "--roles", "score,store,notify", "--until-end"];
        self.done(&roles);
        // of two seeds the ids are the same
        let letters = self.done(&["dlq", "list", "--json"]);
        let strange = letters.lines().find(|line| !line.contains("conflicting_duplicate"));
        assert_eq!(strange, None);
    }

    fn is_known(&self, account: &str) -> bool {
        let (code, _, said) = self.weir(&["state", "show", "--account", account]);
        assert!(code == 0 || said.contains("nothing is remembered"), "{said}");
        code == 0
    }

    /// The state from snapshots and log is that of the log alone.
    fn is_of_the_log(&self) -> Json {
        let hash = self.json(&["state", "hash", "--json"]);
        let alone = self.json(&["state", "hash", "--json", "--log-alone"]);
        for part in ["partitions", "escalations"] {
            assert_eq!(hash[part], alone[part], "{part}");
        }
        hash
    }

    /// Shards that snapshots name and that have the account, and files of shards that none names.
    fn stored(&self, account: &str) -> (usize, usize) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let vault = Vault::open(&Snapshots::default(), &self.data(), runtime.handle()).unwrap();
        let key = State::key(account).to_le_bytes();
        let (mut having, mut unnamed) = (0, 0);
        for listing in vault.list().unwrap() {
            let mut named = std::collections::BTreeSet::new();
            for manifest in listing.manifests {
                for entry in manifest.manifest.unwrap().shards {
                    let body = vault.shard(listing.series, &entry).unwrap();
                    if named.insert(entry.key) {
                        having += usize::from(body.windows(key.len()).any(|part| part == key));
                    }
                }
            }
            unnamed += listing.shards - named.len();
        }
        (having, unnamed)
    }

    /// What is not named is old enough to be deleted, and one snapshot is kept.
    fn prune(&self) {
        let mut folders = vec![self.data().join("snapshots")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => {
                        let file = std::fs::File::options().write(true).open(entry.path());
                        file.unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
                    }
                }
            }
        }
        self.done(&["snapshot", "prune", "--keep", "1"]);
    }
}

#[test]
fn what_is_remembered_of_an_account_goes_from_state_and_snapshots_and_of_others_stays() {
    let world = World::begin("erase", None);
    let accounts = world.accounts("1");
    let (account, other) = (accounts[3].as_str(), accounts[4].as_str());
    world.generate("1");
    world.run();
    assert!(world.is_known(account) && world.is_known(other));
    assert!(world.stored(account).0 > 0, "there is something to forget");
    let before = world.is_of_the_log();

    let report = world.json(&["erase", "--account", account, "--by", "a test", "--yes", "--json"]);
    assert_eq!((&report["gone"], report["by"].as_str()), (&Json::Null, Some("a test")));
    let topics: Vec<&str> = report["tombstones"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|at| at["topic"].as_str())
        .collect();
    assert_eq!(topics, READ);
    assert!(world.is_known(account), "nobody has taken them yet");
    assert_eq!(world.is_of_the_log(), before);

    world.run();
    assert!(!world.is_known(account) && world.is_known(other));
    assert_ne!(world.is_of_the_log(), before);
    world.prune();
    assert_eq!(world.stored(account), (0, 0));
    assert!(world.stored(other).0 > 0);
    world.is_of_the_log();

    // what comes after them is of a new account
    world.generate("2");
    world.run();
    assert!(world.is_known(account));
    world.is_of_the_log();
}

#[test]
fn a_wait_ends_when_nothing_holds_the_account_any_more_and_else_says_what_does() {
    let world = World::begin("erase", None);
    let accounts = world.accounts("1");
    world.generate("1");
    world.run();
    let words = |account, wait| ["erase", "--account", account, "--yes", "--wait", wait];
    let (code, printed, said) = world.weir(&[&words(&accounts[5], "1s")[..], &["--json"]].concat());
    assert_eq!(code, UNPROVED, "{said}");
    let report: Json = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&report["gone"], report["not_taken"].as_array().unwrap().len()),
        (&false.into(), 6)
    );
    assert!(!report["held_by"]["snapshots"].as_array().unwrap().is_empty(), "{report}");
    assert!(said.contains("not taken yet") && said.contains("from before"), "{said}");

    let mut waiting = world.command(&words(&accounts[6], "60s"));
    let mut waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // once they are printed the folder is free
    let mut lines = BufReader::new(waiting.stdout.take().unwrap()).lines();
    let places: Vec<String> = lines.by_ref().take(6).map(Result::unwrap).collect();
    assert!(places[5].starts_with("escalations/"), "{places:?}");
    world.run();
    // a snapshot from before is kept, or was a moment ago
    assert!(world.stored(&accounts[6]).1 > 0 || world.stored(&accounts[6]).0 > 0);
    assert!(waiting.try_wait().unwrap().is_none(), "it waits for that");
    world.prune();
    let last: Vec<String> = lines.map(Result::unwrap).collect();
    let mut said = String::new();
    waiting.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(0), "{last:?} {said}");
    assert_eq!(last, [format!("{} is forgotten, and in no snapshot", accounts[6])]);
}

#[test]
fn what_may_not_be_is_refused_and_nothing_is_written() {
    let world = World::begin("erase", None);
    world.generate("1");
    let lengths = || world.json(&["state", "hash", "--json", "--log-alone"]);
    world.run();
    let before = lengths();
    for (words, part) in [
        (&["--account", "default/a"][..], "say --yes"),
        (&["--account", "default", "--yes"], "\"default\" has no '/', expected tenant/account_id"),
        (&["--account", "/a", "--yes"], "tenant is \"\", expected not to be empty"),
        (&["--account", "default/", "--yes"], "account_id is \"\", expected not to be empty"),
        (&["--account", "default/a\n", "--yes"], "expected no control characters"),
        (&["--account", "default/a", "--by", "é", "--yes"], "printable ASCII"),
        (&["--account", "default/a", "--by", "", "--yes"], "printable ASCII"),
        (&["--account", "default/a", "--yes", "--wait", "soon"], "a number and s, m, h or d"),
    ] {
        let (code, printed, said) = world.weir(&[&["erase"], words].concat());
        assert_eq!((code, printed.as_str()), (INVALID, ""), "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }
    world.run();
    assert_eq!(lengths(), before);
    let nowhere = world.folder.path().join("nowhere");
    let mut erase = command(&["erase", "--account", "default/a", "--yes", "--topology"]);
    let erase = erase.arg(world.topology()).arg("--data").arg(&nowhere).output().unwrap();
    assert!(!erase.status.success() && !nowhere.exists(), "no folder is made");
}

#[test]
fn on_a_broker_a_tombstone_is_null_under_its_header_and_erases() {
    let Ok(brokers) = std::env::var("WEIR_TEST_BROKERS") else {
        eprintln!("skipped: WEIR_TEST_BROKERS is not set (scripts/services run --kafka -- …)");
        return;
    };
    let world = World::begin("erase", Some(&brokers));
    let accounts = world.accounts("1");
    let (account, other) = (accounts[3].as_str(), accounts[4].as_str());
    world.generate("1");
    world.run();
    assert!(world.is_known(account) && world.is_known(other));
    let report = world.json(&["erase", "--account", account, "--by", "a test", "--yes", "--json"]);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &brokers).set("group.id", "look");
    let consumer: BaseConsumer = config.create().unwrap();
    for at in report["tombstones"].as_array().unwrap() {
        let topic = format!("{}{}", world.prefix, at["topic"].as_str().unwrap());
        let partition = i32::try_from(at["partition"].as_i64().unwrap()).unwrap();
        let offset = Offset::Offset(at["offset"].as_i64().unwrap());
        let mut wanted = TopicPartitionList::new();
        wanted.add_partition_offset(&topic, partition, offset).unwrap();
        consumer.assign(&wanted).unwrap();
        // an event of the client ends a poll too
        let began = Instant::now();
        let message = loop {
            match consumer.poll(Duration::from_secs(1)) {
                Some(message) => break message.unwrap(),
                None => assert!(began.elapsed() < PATIENCE, "nothing at {at}"),
            }
        };
        assert_eq!((message.key(), message.payload()), (Some(account.as_bytes()), None), "{at}");
        let header = message.headers().unwrap().get(0);
        assert_eq!((header.key, header.value), ("weir.erase", Some(&b"a test"[..])));
    }
    world.run();
    assert!(!world.is_known(account) && world.is_known(other));
    world.is_of_the_log();
    let none = world.json(&["erase", "--account", "default/nobody-knows", "--yes", "--json"]);
    assert_eq!(none["tombstones"].as_array().unwrap().len(), 6);
    world.run();
    world.is_of_the_log();
}

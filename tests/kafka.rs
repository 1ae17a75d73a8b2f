//! The log on a real Kafka broker: what the seam promises, and clear answers to what is wrong.
//!
//! `scripts/services run --kafka -- cargo test --test kafka`. Without WEIR_TEST_BROKERS each test says
//! that it skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use weir::config::{Kafka, Protocol, Secret, Topology};
use weir::event::{Position, Topic};
use weir::log::kafka::{KafkaLog, TopicPlan};
use weir::log::{Consumer, Log, LogError, Member, Membership, Polled, Record, RecordBatch};

const GROUP: &str = "g";
const PARTITIONS: u32 = 3;
const WAIT: Duration = Duration::from_millis(100);
/// However slow the machine is, nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

fn brokers(variable: &str) -> Option<String> {
    let found = std::env::var(variable).ok();
    if found.is_none() {
        eprintln!("skipped: {variable} is not set (scripts/services run --kafka -- …)");
    }
    found
}

/// A cluster of our own: a prefix that nobody else has.
fn kafka(brokers: &str) -> Kafka {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Kafka {
        brokers: brokers.to_owned(),
        process: "one".into(),
        prefix: format!("t{}-{number}.", std::process::id()),
        protocol: Protocol::Classic,
        session_timeout_ms: 10_000,
        transaction_timeout_ms: 10_000,
        retention_hours: 1,
        topics: BTreeMap::new(),
        settings: BTreeMap::new(),
    }
}

fn create(kafka: &Kafka) {
    let plans = TopicPlan::all(PARTITIONS, Duration::from_secs(3_600));
    // they are known when it returns
    KafkaLog::create_topics(kafka, &plans, 1).unwrap();
}

fn open(brokers: &str) -> (Kafka, KafkaLog) {
    let kafka = kafka(brokers);
    create(&kafka);
    let log = KafkaLog::open(&kafka).unwrap();
    (kafka, log)
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
    }
}

fn batch(topic: Topic, partition: u32, payloads: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for payload in payloads {
        batch.push(topic, partition, 1_700_000_000_000, b"default/a", payload.as_bytes());
    }
    batch
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.payload().to_vec()).unwrap()).collect()
}

/// Everything that can be read of a partition.
fn read_all(log: &KafkaLog, topic: Topic, partition: u32) -> Vec<Record> {
    let end = log.end(topic, partition).unwrap();
    let mut from = Position { topic, partition, offset: log.beginning(topic, partition).unwrap() };
    let (mut reader, mut records) = (log.reader().unwrap(), Vec::new());
    while from.offset < end {
        let next = reader.read(from, end, 1 << 20, &mut records).unwrap();
        if next == from.offset {
            break;
        }
        from.offset = next;
    }
    records
}

/// The broker marks a commit in each partition a moment after it has taken it.
fn sees(log: &KafkaLog, topic: Topic, partition: u32, expected: &[&str]) {
    let mut found = Vec::new();
    until(&format!("{expected:?} on {topic}/{partition}"), || {
        found = texts(&read_all(log, topic, partition));
        found.len() >= expected.len()
    });
    assert_eq!(found, expected);
}

/// Polls until partitions come, and begins with them where the group left off.
fn join(log: &KafkaLog, consumer: &mut dyn Consumer, topics: &[Topic]) -> BTreeSet<u32> {
    let mut owned = BTreeSet::new();
    let mut records = Vec::new();
    until("an assignment", || {
        if let Polled::Assigned(partitions) = consumer.poll(WAIT, &mut records).unwrap() {
            let wanted: Vec<(Topic, u32)> =
                topics.iter().flat_map(|t| partitions.iter().map(|p| (*t, *p))).collect();
            let mut starts = Vec::new();
            // a topic that is a moment old may have no leader yet
            until("where the group left off", || {
                log.resume_all(GROUP, &wanted).map(|found| starts = found).is_ok()
            });
            consumer.start(&starts).unwrap();
            owned.extend(partitions);
            return true;
        }
        false
    });
    assert!(records.is_empty(), "records before the start");
    owned
}

fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Record> {
    let mut records = Vec::new();
    until("the records", || {
        assert_eq!(consumer.poll(WAIT, &mut records).unwrap(), Polled::Records);
        records.len() >= count
    });
    records
}

#[test]
fn a_transaction_is_seen_whole_with_its_positions_or_not_at_all() {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let (_, log) = open(&brokers);
    let topics = [Topic::Chats];
    log.appender().unwrap().append(&batch(Topic::Chats, 1, &["in"])).unwrap();
    let member = Member::sole(GROUP);
    let mut consumer = log.consumer(&member, &topics).unwrap();
    let mut producer = log.producer(&member).unwrap();
    join(&log, consumer.as_mut(), &topics);
    let record = take(consumer.as_mut(), 1).remove(0);
    let next = Position { offset: record.position.offset + 1, ..record.position };

    producer.begin().unwrap();
    producer.send(&batch(Topic::Decisions, 1, &["a", "b"])).unwrap();
    producer.send(&batch(Topic::Escalations, 1, &["c"])).unwrap();
    producer.send_positions(&[next], &consumer.membership()).unwrap();
    assert_eq!(read_all(&log, Topic::Decisions, 1).len(), 0);
    producer.commit().unwrap();
    sees(&log, Topic::Decisions, 1, &["a", "b"]);
    sees(&log, Topic::Escalations, 1, &["c"]);
    assert_eq!(log.committed(GROUP, Topic::Chats, 1).unwrap(), Some(1));

    // what a producer leaves open is ended by the next one of the same member
    producer.begin().unwrap();
    producer.send(&batch(Topic::Decisions, 1, &["never"])).unwrap();
    let mut heir = log.producer(&member).unwrap();
    heir.begin().unwrap();
    heir.send(&batch(Topic::Decisions, 1, &["d"])).unwrap();
    heir.commit().unwrap();
    sees(&log, Topic::Decisions, 1, &["a", "b", "d"]);
    let late = producer
        .send_positions(&[next], &consumer.membership())
        .and_then(|()| producer.commit())
        .unwrap_err();
    assert!(matches!(late, LogError::Fenced { .. }), "{late}");
}

#[test]
fn nobodys_positions_are_not_sent() {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let (_, log) = open(&brokers);
    let mut producer = log.producer(&Member::sole(GROUP)).unwrap();
    let at = Position { topic: Topic::Chats, partition: 0, offset: 0 };
    for membership in [
        Membership { group: GROUP.into(), generation: -1, member: "m".into(), instance: None },
        Membership { group: GROUP.into(), generation: 3, member: String::new(), instance: None },
    ] {
        producer.begin().unwrap();
        let refused = producer.send_positions(&[at], &membership).unwrap_err();
        assert!(refused.to_string().contains("not a member"), "{refused}");
        producer.commit().unwrap();
    }
    assert_eq!(log.committed(GROUP, Topic::Chats, 0).unwrap(), None);
}

#[test]
fn marks_of_transactions_are_no_records() {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let (_, log) = open(&brokers);
    let mut producer = log.producer(&Member::sole("w")).unwrap();
    for payload in ["a", "b", "c"] {
        producer.begin().unwrap();
        producer.send(&batch(Topic::Decisions, 0, &[payload])).unwrap();
        producer.commit().unwrap();
    }
    sees(&log, Topic::Decisions, 0, &["a", "b", "c"]);
    assert_eq!(log.end(Topic::Decisions, 0).unwrap(), 6, "three records, three marks");
    assert_eq!(log.ends(&[(Topic::Decisions, 0), (Topic::Chats, 2)]).unwrap(), [6, 0]);
    assert_eq!(log.beginnings(&[(Topic::Chats, 0), (Topic::Decisions, 0)]).unwrap(), [0, 0]);
    assert_eq!(log.ends(&[]).unwrap(), [0_i64; 0]);
    assert_eq!(log.committed_all(GROUP, &[]).unwrap(), []);
    assert_eq!(log.record_end(Topic::Decisions, 0).unwrap(), 5, "after the last record");
    assert_eq!(log.record_end(Topic::Chats, 2).unwrap(), 0);
    assert_eq!(log.settled_end(Topic::Decisions, 0).unwrap(), 6);
    producer.begin().unwrap();
    producer.send(&batch(Topic::Chats, 2, &["open"])).unwrap();
    let log = std::sync::Arc::new(log);
    let waiting = {
        let log = std::sync::Arc::clone(&log);
        std::thread::spawn(move || log.settled_end(Topic::Chats, 2).unwrap())
    };
    producer.commit().unwrap();
    assert!(waiting.join().unwrap() >= 1, "what was under way is waited for");
    // a group that has taken the last record is at the end, though a mark is left
    let topics = [Topic::Decisions];
    assert!(!log.caught_up(GROUP, &topics).unwrap());
    let mut consumer = log.consumer(&Member::sole(GROUP), &topics).unwrap();
    join(&log, consumer.as_mut(), &topics);
    let last = take(consumer.as_mut(), 3).pop().unwrap().position;
    consumer.commit(&[Position { offset: last.offset, ..last }]).unwrap();
    assert!(!log.caught_up(GROUP, &topics).unwrap());
    consumer.commit(&[Position { offset: last.offset + 1, ..last }]).unwrap();
    assert!(log.caught_up(GROUP, &topics).unwrap());
    // a follower passes over them too
    let from = Position { topic: Topic::Decisions, partition: 0, offset: 2 };
    let (mut follower, mut records) = (log.follow(&[from]).unwrap(), Vec::new());
    until("followed records", || {
        follower.poll(WAIT, &mut records).unwrap();
        records.len() == 2
    });
    assert_eq!(texts(&records), ["b", "c"]);
}

/// Two processes share the partitions, each whole, and every record goes to one of them.
fn partitions_are_shared(protocol: Protocol) {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let (mut kafka, _) = open(&brokers);
    kafka.protocol = protocol;
    let log = KafkaLog::open(&kafka).unwrap();
    let other = KafkaLog::open(&Kafka { process: "two".into(), ..kafka }).unwrap();
    let topics = [Topic::Chats, Topic::Labels];
    let (mut first, mut records) = (log.consumer(&Member::sole(GROUP), &topics).unwrap(), vec![]);
    assert_eq!(join(&log, first.as_mut(), &topics), BTreeSet::from([0, 1, 2]));
    let mut second = other.consumer(&Member::sole(GROUP), &topics).unwrap();
    let (mut mine, mut theirs) = (BTreeSet::from([0, 1, 2]), BTreeSet::new());
    until("the partitions are shared", || {
        for (log, consumer, owned) in
            [(&log, &mut first, &mut mine), (&other, &mut second, &mut theirs)]
        {
            match consumer.poll(WAIT, &mut records).unwrap() {
                Polled::Records => {}
                Polled::Revoked { partitions, lost } => {
                    assert!(!lost);
                    consumer.release();
                    owned.retain(|owned| !partitions.contains(owned));
                }
                Polled::Assigned(partitions) => {
                    let wanted: Vec<(Topic, u32)> =
                        topics.iter().flat_map(|t| partitions.iter().map(|p| (*t, *p))).collect();
                    consumer.start(&log.resume_all(GROUP, &wanted).unwrap()).unwrap();
                    owned.extend(partitions);
                    assert!(consumer.membership().generation >= 0);
                }
            }
        }
        mine.len() + theirs.len() == 3 && !theirs.is_empty() && mine.is_disjoint(&theirs)
    });
    for partition in 0..PARTITIONS {
        let mut appender = log.appender().unwrap();
        appender.append(&batch(Topic::Chats, partition, &["x"])).unwrap();
        appender.append(&batch(Topic::Labels, partition, &["y"])).unwrap();
    }
    let (got, gone) =
        (take(first.as_mut(), 2 * mine.len()), take(second.as_mut(), 2 * theirs.len()));
    let of = |records: &[Record]| -> BTreeSet<u32> {
        records.iter().map(|record| record.position.partition).collect()
    };
    assert_eq!((of(&got), of(&gone)), (mine, theirs));
    assert_eq!(got.len() + gone.len(), 6);
}

#[test]
fn partitions_are_shared_under_the_classic_protocol() {
    partitions_are_shared(Protocol::Classic);
}

#[test]
fn partitions_are_shared_under_the_consumer_protocol() {
    partitions_are_shared(Protocol::Consumer);
}

/// Of members that were handed partitions, one that was never told of it ends, one that was told and has
/// not answered, and one that has.
fn members_end(protocol: Protocol) {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let topics = [Topic::Transactions, Topic::Touches];
    let steps = ["untold", "told", "answered"];
    let (ended, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for step in steps {
            let kafka = Kafka { protocol, ..kafka(&brokers) };
            create(&kafka);
            let log = KafkaLog::open(&kafka).unwrap();
            let mut consumer = log.consumer(&Member::sole(GROUP), &topics).unwrap();
            match step {
                "untold" => {
                    // its client joins by itself; to ask how far it is would be to be told
                    #[allow(clippy::disallowed_methods, reason = "there is nothing to wait for")]
                    std::thread::sleep(Duration::from_secs(4));
                }
                "told" => until("an assignment", || {
                    let polled = consumer.poll(WAIT, &mut Vec::new()).unwrap();
                    matches!(polled, Polled::Assigned(_))
                }),
                _ => drop(join(&log, consumer.as_mut(), &topics)),
            }
            drop(consumer);
            ended.send(step).unwrap();
        }
    });
    for step in steps {
        assert_eq!(end.recv_timeout(PATIENCE), Ok(step));
    }
}

#[test]
fn members_end_under_the_classic_protocol() {
    members_end(Protocol::Classic);
}

#[test]
fn members_end_under_the_consumer_protocol() {
    members_end(Protocol::Consumer);
}

#[test]
fn a_second_process_of_the_same_name_fences_the_first() {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let (_, log) = open(&brokers);
    let topics = [Topic::Chats];
    let mut first = log.consumer(&Member::sole(GROUP), &topics).unwrap();
    join(&log, first.as_mut(), &topics);
    let mut second = log.consumer(&Member::sole(GROUP), &topics).unwrap();
    let mut records = Vec::new();
    let began = Instant::now();
    let fenced = loop {
        assert!(began.elapsed() < PATIENCE, "never fenced");
        let _ = second.poll(WAIT, &mut records);
        match first.poll(WAIT, &mut records) {
            Err(error) => break error,
            Ok(Polled::Revoked { .. }) => first.release(),
            Ok(_) => {}
        }
    };
    assert!(matches!(fenced, LogError::Fenced { .. }), "{fenced}");
}

#[test]
fn a_record_larger_than_the_broker_takes_is_refused_with_its_size() {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let (_, log) = open(&brokers);
    let mut large = RecordBatch::default();
    large.push(Topic::Chats, 0, 0, b"k", &vec![7; 2 << 20]);
    let refused = log.appender().unwrap().append(&large).unwrap_err().to_string();
    assert!(refused.contains("2097152 bytes") && refused.contains("chats/0"), "{refused}");
}

#[test]
fn the_brokers_clock_stamps_inputs_whatever_a_producers_says() {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let (_, log) = open(&brokers);
    let mut ahead = RecordBatch::default();
    let year_2100 = 4_102_444_800_000;
    ahead.push(Topic::Chats, 0, year_2100, b"k", b"from the future");
    log.appender().unwrap().append(&ahead).unwrap();
    let stamped = read_all(&log, Topic::Chats, 0)[0].timestamp_ms;
    assert!(stamped < year_2100 - 1_000_000_000, "{stamped}");
}

#[test]
fn topics_that_cannot_work_together_are_named() {
    let Some(brokers) = brokers("WEIR_TEST_BROKERS") else { return };
    let kafka = kafka(&brokers);
    let missing = KafkaLog::open(&kafka).unwrap_err().to_string();
    assert!(missing.contains(&format!("{}transactions is missing", kafka.prefix)), "{missing}");
    assert!(missing.contains("weir topics create"), "{missing}");

    let mut plans = TopicPlan::all(2, Duration::from_secs(60));
    plans.iter_mut().filter(|p| p.topic == Topic::Chats).for_each(|plan| plan.partitions = 5);
    assert_eq!(KafkaLog::create_topics(&kafka, &plans, 1).unwrap().len(), Topic::ALL.len());
    assert_eq!(KafkaLog::create_topics(&kafka, &plans, 1).unwrap().len(), 0);
    let unequal = KafkaLog::open(&kafka).unwrap_err().to_string();
    assert!(unequal.contains("chats has 5 partitions, expected 2"), "{unequal}");

    let wanted = TopicPlan::all(2, Duration::from_secs(3_600));
    let reports = KafkaLog::check_topics(&kafka, &wanted).unwrap();
    let problems = |topic: Topic| -> String {
        let name = format!("{}{topic}", kafka.prefix);
        reports.iter().find(|report| report.name == name).unwrap().problems.join("; ")
    };
    assert!(problems(Topic::Chats).contains("has 5 partitions, expected 2"));
    let retention = "retention.ms is 60000, expected at least 3600000";
    assert!(problems(Topic::Labels).contains(retention), "{}", problems(Topic::Labels));
    assert_eq!(problems(Topic::Control), "");
}

#[test]
fn a_name_for_a_topic_that_is_none_is_refused_with_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[kafka]\nbrokers = \"127.0.0.1:1\"\n[kafka.topics]\ntransaction = \"payments\"\n";
    std::fs::write(folder.path().join("weir.toml"), text).unwrap();
    let refused = Topology::load(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("weir.toml:4:1"), "{refused}");
    assert!(refused.contains("did you mean \"transactions\"?"), "{refused}");
}

#[test]
fn a_broker_that_does_not_answer_is_told_in_time() {
    let began = Instant::now();
    let absent = KafkaLog::open(&kafka("127.0.0.1:1")).unwrap_err();
    assert!(matches!(absent, LogError::Unreachable { .. }), "{absent}");
    assert!(absent.to_string().contains("127.0.0.1:1"), "{absent}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

fn with_settings(brokers: &str, settings: &[(&str, &str)]) -> Kafka {
    let setting =
        |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new((*value).to_owned()));
    Kafka { settings: settings.iter().map(setting).collect(), ..kafka(brokers) }
}

#[test]
fn credentials_let_in_and_wrong_ones_are_told_without_being_shown() {
    let Some(brokers) = brokers("WEIR_TEST_SASL_BROKERS") else { return };
    let user = std::env::var("WEIR_TEST_SASL_USERNAME").unwrap();
    let password = std::env::var("WEIR_TEST_SASL_PASSWORD").unwrap();
    let settings = |password| {
        let settings = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", user.as_str()),
            ("sasl.password", password),
        ];
        with_settings(&brokers, &settings)
    };
    create(&settings(&password));
    let began = Instant::now();
    let refused = KafkaLog::open(&settings("not-the-password")).unwrap_err();
    let text = format!("{refused} {refused:?}");
    assert!(matches!(refused, LogError::Unreachable { .. }), "{text}");
    assert!(text.to_lowercase().contains("authentication"), "{text}");
    assert!(!text.contains("not-the-password"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn tls_works_with_what_is_built_in() {
    let Some(brokers) = brokers("WEIR_TEST_SSL_BROKERS") else { return };
    let ca = std::env::var("WEIR_TEST_SSL_CA").unwrap();
    let settings = [("security.protocol", "SSL"), ("ssl.ca.location", ca.as_str())];
    let kafka = with_settings(&brokers, &settings);
    create(&kafka);
    let log = KafkaLog::open(&kafka).unwrap();
    log.appender().unwrap().append(&batch(Topic::Chats, 0, &["hidden"])).unwrap();
    assert_eq!(texts(&read_all(&log, Topic::Chats, 0)), ["hidden"]);
    // without the authority's certificate the broker is not trusted
    let refused =
        KafkaLog::open(&with_settings(&brokers, &[("security.protocol", "SSL")])).unwrap_err();
    assert!(matches!(refused, LogError::Unreachable { .. }), "{refused}");
}

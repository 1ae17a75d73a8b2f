//! How long a large folder takes: `cargo test --release -p weir-judge --test volume -- --ignored
//! --nocapture`, with `WEIR_JUDGE_RECORDS` for another size and `WEIR_TEST_BROKERS` for the same on a
//! cluster. Peak memory is read from `/proc`, so it
//! is 0 where there is none.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod fixture;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use fixture::{Fields, Folder, PARTITIONS, Place, T0, World, body_of, event, nested, schema, text};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};
use rusqlite::{Connection, params};
use uuid::Uuid;

const BATCH: usize = 250;
/// One in so many events is escalated.
const ESCALATED: usize = 20;

/// Encodes many records that differ in a few fields.
struct Template<'s> {
    writer: GenericDatumWriter<'s>,
    frame: Vec<u8>,
    fields: Vec<(String, Value)>,
}

impl<'s> Template<'s> {
    fn new(schema: &'s Schema, fields: &Fields) -> Template<'s> {
        let given = fields.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
        let Ok(Value::Record(fields)) = Value::Record(given).resolve(schema) else {
            panic!("not a record")
        };
        let builder = GenericDatumWriter::builder(schema).validate(false);
        Template { writer: builder.build().unwrap(), frame: fixture::frame(schema), fields }
    }

    fn set(&mut self, name: &str, value: Value) {
        self.fields.iter_mut().find(|(of, _)| of == name).unwrap().1 = value;
    }

    fn payload(&self) -> Vec<u8> {
        let mut bytes = self.frame.clone();
        self.writer.write_value_ref(&mut bytes, &Value::Record(self.fields.clone())).unwrap();
        bytes
    }
}

/// Batches records as they come.
struct Appender<'d> {
    database: &'d Connection,
    pending: BTreeMap<(i64, usize), Vec<fixture::Record>>,
    ends: BTreeMap<(i64, usize), i64>,
}

impl Appender<'_> {
    fn push(&mut self, topic: i64, partition: usize, key: Option<String>, payload: Vec<u8>) -> i64 {
        let pending = self.pending.entry((topic, partition)).or_default();
        pending.push(fixture::Record::new(T0, key.map(String::into_bytes), payload));
        let end = self.ends.entry((topic, partition)).or_default();
        *end += 1;
        if pending.len() == BATCH {
            let full = std::mem::take(pending);
            let end = *end;
            self.write(topic, partition, end, &full);
        }
        self.ends[&(topic, partition)] - 1
    }

    fn write(&self, topic: i64, partition: usize, end: i64, records: &[fixture::Record]) {
        let first = end - records.len() as i64;
        let id = (topic << 55) | ((partition as i64) << 43) | first;
        self.database
            .prepare_cached("INSERT INTO batch VALUES (?1, ?2, ?3)")
            .unwrap()
            .execute(params![id, records.len() as i64, body_of(records)])
            .unwrap();
    }

    fn finish(&mut self) {
        for ((topic, partition), records) in std::mem::take(&mut self.pending) {
            if !records.is_empty() {
                self.write(topic, partition, self.ends[&(topic, partition)], &records);
            }
        }
        let readers = [
            ("weir.score", 4),
            ("weir.store", 5),
            ("weir.store", 6),
            ("weir.store", 8),
            ("weir.notify", 6),
        ];
        for (group, topic) in readers {
            for partition in 0..PARTITIONS {
                let end = self.ends.get(&(topic, partition)).copied().unwrap_or(0);
                self.database
                    .execute(
                        "INSERT INTO position VALUES (?1, ?2, ?3, ?4)",
                        params![group, topic, partition as i64, end],
                    )
                    .unwrap();
            }
        }
    }
}

/// A decision as large as one with thirty features and some reasons.
fn sample() -> World {
    let mut world = World::default();
    let payment = event("transactions", "a0", "sample")
        .with("card_id", text("tok_9f8e7d6c5b4a"))
        .with("ip", text("203.0.113.7"))
        .with("device_id", text("device-81726"))
        .with("country", text("DE"))
        .with("lat", Value::Double(52.52))
        .with("lon", Value::Double(13.4));
    world.decided(&payment, "BLOCK", &["velocity", "new-device"]);
    let features = (0..30).map(|n| if n % 3 == 0 { Value::Long(n) } else { Value::Double(0.5) });
    let decision = &mut world.decisions[0].fields;
    decision.insert("features".to_owned(), Value::Array(features.collect()));
    let read =
        ["merchant_id", "device_id", "ip", "country", "currency", "channel", "status", "card_id"];
    let read = read.map(|name| nested(&[("name", text(name)), ("value", text("some value"))]));
    decision.insert("fields".to_owned(), Value::Array(read.to_vec()));
    world.inputs.clear();
    world.send(&payment);
    world
}

fn generate(path: &Path, records: usize) {
    let _ = std::fs::remove_dir_all(path);
    std::fs::create_dir_all(path).unwrap();
    let mut database = Connection::open(path.join("weir.db")).unwrap();
    database.execute_batch("PRAGMA synchronous = OFF").unwrap();
    let transaction = database.transaction().unwrap();
    fixture::create_tables(&transaction);
    fill(&transaction, records);
    transaction.commit().unwrap();
}

fn fill(database: &Connection, records: usize) {
    let schemas = ["transaction", "decision", "escalation", "rollup"].map(schema);
    let world = sample();
    let payment = event("transactions", "a0", "sample").with("card_id", text("tok_9f8e7d6c5b4a"));
    let mut input =
        Template::new(&schemas[0], &payment.with("device_id", text("device-81726")).fields);
    let mut decision = Template::new(&schemas[1], &world.decisions[0].fields);
    let mut escalation = Template::new(&schemas[2], &world.escalations[0].fields);
    let mut log = Appender { database, pending: BTreeMap::new(), ends: BTreeMap::new() };
    let mut blocked = [0; PARTITIONS];
    let mut allowed = [0; PARTITIONS];
    for n in 0..records {
        let partition = n % PARTITIONS;
        // a few thousand accounts whose rings are full
        let account = format!("acc-{:05}", (n / PARTITIONS) % 5_000 * PARTITIONS + partition);
        let (id, subject) = (format!("event-{n}"), format!("tx-{n}"));
        let key = format!("acme/{account}");
        input.set("event_id", text(&id));
        input.set("account_id", text(&account));
        input.set("transaction_id", text(&subject));
        let payload = input.payload();
        let offset = log.push(4, partition, Some(key.clone()), payload.clone());
        // every fiftieth record comes twice
        if n % 50 == 0 {
            log.push(4, partition, Some(key.clone()), payload.clone());
        }
        let escalates = n % ESCALATED == 0;
        let uuid = fixture::decision_id("acme", "TRANSACTION", &account, &id);
        let outcome = if escalates { "BLOCK" } else { "ALLOW" };
        for template in [&mut decision, &mut escalation] {
            template.set("decision_id", text(&uuid.to_string()));
            template.set("account_id", text(&account));
            template.set("subject_id", text(&subject));
        }
        decision.set("event_id", text(&id));
        decision.set("outcome", Value::Enum(if escalates { 3 } else { 0 }, outcome.to_owned()));
        let place = Place { topic: "transactions", partition, offset };
        decision.set("source", source(&place, &payload));
        let record = decision.payload();
        log.push(5, partition, Some(key.clone()), record.clone());
        store(database, &uuid, &account, outcome, &record);
        allowed[partition] += usize::from(!escalates);
        blocked[partition] += usize::from(escalates);
        if escalates {
            let id = fixture::escalation_id(&uuid);
            escalation.set("escalation_id", text(&id.to_string()));
            let record = escalation.payload();
            log.push(6, partition, Some(key), record.clone());
            store_escalation(database, &id, &uuid, &account, &record);
        }
    }
    for partition in 0..PARTITIONS {
        roll_up(database, &mut log, &schemas[3], partition, allowed[partition], blocked[partition]);
    }
    log.finish();
}

fn source(place: &Place, payload: &[u8]) -> Value {
    nested(&[
        ("topic", text(place.topic)),
        ("partition", Value::Int(i32::try_from(place.partition).unwrap())),
        ("offset", Value::Long(place.offset)),
        ("schema_id", Value::Long(i64::from_le_bytes(payload[2..10].try_into().unwrap()))),
    ])
}

fn store(database: &Connection, id: &Uuid, account: &str, outcome: &str, record: &[u8]) {
    database
        .prepare_cached(
            "INSERT INTO decision VALUES (?1, 'acme', ?2, 'TRANSACTION', ?3, ?4, ?5, ?6)",
        )
        .unwrap()
        .execute(params![id.as_bytes(), account, outcome, T0 - 1_000, T0, record])
        .unwrap();
}

fn store_escalation(
    database: &Connection,
    id: &Uuid,
    decision: &Uuid,
    account: &str,
    record: &[u8],
) {
    database
        .prepare_cached("INSERT INTO escalation VALUES (?1, ?2, 'acme', ?3, 'fraud', 2, ?4, ?5)")
        .unwrap()
        .execute(params![id.as_bytes(), decision.as_bytes(), account, T0, record])
        .unwrap();
}

fn roll_up(
    database: &Connection,
    log: &mut Appender<'_>,
    schema: &Schema,
    partition: usize,
    allowed: usize,
    blocked: usize,
) {
    let minute = T0 / 60_000 * 60_000;
    let all = [("outcome", "ALLOW", allowed), ("outcome", "BLOCK", blocked)];
    let both = [("rule", "velocity", allowed + blocked), ("rule", "new-device", allowed + blocked)];
    let list = |entries: &[(&str, &str, usize)]| {
        let entries = entries.iter().filter(|entry| entry.2 > 0);
        let items = entries.map(|(name, of, count)| {
            nested(&[
                ("minute", Value::Long(minute)),
                ("kind", text("TRANSACTION")),
                (name, text(of)),
                ("count", Value::Long(*count as i64)),
            ])
        });
        Value::Array(items.collect())
    };
    let fields = fixture::fields(&[("outcomes", list(&all)), ("rules", list(&both))]);
    log.push(8, partition, None, fixture::encode(schema, &fields));
    for (name, of, count) in all.into_iter().chain(both).filter(|entry| entry.2 > 0) {
        let (outcome, rule) = if name == "rule" { ("", of) } else { (of, "") };
        database
            .execute(
                "INSERT INTO rollup VALUES (?1, 0, ?2, 'TRANSACTION', ?3, ?4, ?5)",
                params![partition as i64, minute, outcome, rule, count as i64],
            )
            .unwrap();
    }
}

/// Runs the judge and says how many seconds it took and its peak memory in MiB.
fn measure(folder: &Folder, more: &[&str]) -> (f64, u64) {
    let start = Instant::now();
    let mut judge = Command::new(env!("CARGO_BIN_EXE_weir-judge"))
        .arg(&folder.path)
        .arg("--schemas")
        .arg(fixture::schemas_dir())
        .args(more)
        .stdout(Stdio::inherit())
        .spawn()
        .unwrap();
    let status_file = format!("/proc/{}/status", judge.id());
    let mut peak_kib = 0;
    let status = loop {
        let status = std::fs::read_to_string(&status_file).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        if let Some(status) = judge.try_wait().unwrap() {
            break status;
        }
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    };
    assert!(status.success(), "the judge found fault with a right folder");
    (start.elapsed().as_secs_f64(), peak_kib / 1024)
}

#[test]
fn a_generated_folder_is_right() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("volume_small");
    generate(&path, 3_000);
    measure(&Folder { path }, &[]);
}

/// Copies the topics of a folder to a cluster, without transactions.
fn upload(folder: &Path, brokers: &str, prefix: &str) {
    fixture::create_topics(brokers, prefix, PARTITIONS);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "20")
        .create()
        .unwrap();
    let database = Connection::open(folder.join("weir.db")).unwrap();
    let mut batches = database.prepare("SELECT id, body FROM batch ORDER BY id").unwrap();
    let mut rows = batches.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (id, body): (i64, Vec<u8>) = (row.get(0).unwrap(), row.get(1).unwrap());
        let topic = format!("{prefix}{}", fixture::TOPICS[(id >> 55) as usize].0);
        let partition = ((id >> 43) & 0xfff) as usize;
        for record in fixture::records_of(&body) {
            fixture::send(&producer, &topic, partition, &record);
        }
        // its queue holds a hundred thousand
        if producer.in_flight_count() > 50_000 {
            producer.flush(Duration::from_secs(60)).unwrap();
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
    let mut positions = database
        .prepare("SELECT grp, name, partition, next FROM position JOIN topic ON topic.id = topic")
        .unwrap();
    let mut rows = positions.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let (group, topic): (String, String) = (row.get(0).unwrap(), row.get(1).unwrap());
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", format!("{prefix}{group}"))
            .create()
            .unwrap();
        let mut at = TopicPartitionList::new();
        let next = Offset::Offset(row.get(3).unwrap());
        at.add_partition_offset(&format!("{prefix}{topic}"), row.get(2).unwrap(), next).unwrap();
        consumer.commit(&at, CommitMode::Sync).unwrap();
    }
}

#[test]
#[ignore = "takes minutes; run in release"]
fn as_many_records_of_a_cluster_are_judged_in_a_minute() {
    let Some(brokers) = fixture::brokers() else { return };
    let records = std::env::var("WEIR_JUDGE_RECORDS");
    let records = records.map_or(300_000, |n| n.parse().unwrap());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("volume_cluster");
    generate(&path, records);
    let prefix = format!("judge-{:016x}.", fixture::random());
    upload(&path, &brokers, &prefix);
    let (seconds, mebibytes) =
        measure(&Folder { path: path.clone() }, &["--brokers", &brokers, "--prefix", &prefix]);
    println!("{records} records: {seconds:.1} s to judge, {mebibytes} MiB");
    std::fs::remove_dir_all(&path).unwrap();
    assert!(seconds < 60.0, "{seconds:.1} s");
}

#[test]
#[ignore = "takes minutes; run in release"]
fn a_million_records_are_judged_in_two_minutes_and_four_gigabytes() {
    let records = std::env::var("WEIR_JUDGE_RECORDS");
    let records = records.map_or(1_000_000, |n| n.parse().unwrap());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("volume_large");
    let start = Instant::now();
    generate(&path, records);
    let generated = start.elapsed().as_secs_f64();
    let (seconds, mebibytes) = measure(&Folder { path: path.clone() }, &[]);
    println!(
        "{records} records: {generated:.1} s to generate, {seconds:.1} s to judge, {mebibytes} MiB"
    );
    std::fs::remove_dir_all(&path).unwrap();
    assert!(seconds < 120.0 && mebibytes < 4_096, "{seconds:.1} s, {mebibytes} MiB");
}

//! What receivers see and what the log keeps, with real requests and a real data folder.

mod crashes;
mod outcomes;
mod pressure;
mod refused;
mod server;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use uuid::Uuid;

use self::server::{Answer, Server};
use super::ledger::WINDOW_RECORDS;
use super::sign::Signer;
use super::*;
use crate::codec::{Contract, ERASE_HEADER, Encoder, decode_own};
use crate::config::Secret;
use crate::event::{
    DeadLetter, Delivery, Escalation, Kind, Millis, Outcome, Position, Reason, Text,
};
use crate::log::embedded::{EmbeddedLog, Options};
use crate::log::faults::{Faults, Step};
use crate::log::{
    Appender, Consumer, Member, Membership, Polled, Producer, Reader, Record, RecordBatch,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW_MS: i64 = 1_700_000_000_123;
const PARTITIONS: u32 = 2;
/// A test that takes longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn open(folder: &Path) -> EmbeddedLog {
    let options = Options { partitions: PARTITIONS, durable: false, pages_max: None };
    EmbeddedLog::open(folder, &options).unwrap()
}

fn webhook(name: &str, url: String) -> Webhook {
    Webhook {
        name: name.to_owned(),
        url,
        secret: Secret::new(SECRET.to_owned()),
        allow_private: true,
        timeout_ms: 5_000,
        attempts_max: 5,
        backoff_ms: 2,
        backoff_max_ms: 20,
    }
}

/// The escalations `from..to`, dealt to the partitions in turn.
fn append(log: &EmbeddedLog, from: usize, to: usize) {
    let mut encoder = Encoder::default();
    let mut batch = RecordBatch::default();
    for i in from..to {
        let partition = u32::try_from(i).unwrap() % PARTITIONS;
        batch
            .push_with(Topic::Escalations, partition, NOW_MS, b"default/acc", |out| {
                encoder.encode(Contract::Escalation, &escalation(i), out)
            })
            .unwrap();
    }
    log.appender().unwrap().append(&batch).unwrap();
}

/// Beginning of the tests' ids: with letters, as real ones, so that none looks like a card number.
const IDS: u128 = 0xa1b2_c3d4_e5f6_4a7b_8c9d_ae1f_a2b3_c000;

fn id(i: usize) -> String {
    Uuid::from_u128(IDS + i as u128).to_string()
}

fn escalation(i: usize) -> Escalation<'static> {
    Escalation {
        escalation_id: Text::from(id(i)),
        decision_id: Text::from(Uuid::from_u128(IDS + 0x800 + i as u128).to_string()),
        tenant: Text::from("default"),
        account_id: Text::from("acc"),
        kind: Kind::Transaction,
        subject_id: Text::from(format!("t-{i}")),
        event_time: Millis(NOW_MS - 1_000),
        created_at: Millis(NOW_MS),
        outcome: Outcome::Review,
        queue: Text::from("payments"),
        priority: 2,
        due_at: None,
        summary: Text::from("40 payments in a minute"),
        reasons: vec![Reason {
            code: Text::from("VELOCITY"),
            text: Text::from("many payments"),
            weight: 0.5,
            rule: Text::from("velocity"),
        }],
    }
}

/// A running sink.
struct Sink {
    handle: NotifyHandle,
    stop: Stop,
    health: Health,
    log: Arc<dyn Log>,
}

impl Sink {
    fn start(log: Arc<dyn Log>, runtime: &Runtime, webhooks: Vec<Webhook>) -> Sink {
        let (stop, health) = (Stop::default(), Health::default());
        let context = NotifyContext {
            log: Arc::clone(&log),
            clock: Clock::fixed(NOW_MS),
            health: health.clone(),
            stop: stop.clone(),
            process: Stop::default(),
            runtime: runtime.handle().clone(),
            seed: 7,
        };
        Sink { handle: Notify::start(context, webhooks).unwrap(), stop, health, log }
    }

    fn wait_caught_up(&self) {
        until("caught up", || self.handle.caught_up());
    }

    fn finish(self) -> Vec<Delivery<'static>> {
        self.stop.stop();
        self.handle.join().unwrap();
        deliveries(self.log.as_ref())
    }
}

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let (began, never) = (Instant::now(), Stop::default());
    while !reached() {
        assert!(began.elapsed() < PATIENCE, "not reached: {what}");
        never.wait(Duration::from_millis(5));
    }
}

fn committed(log: &EmbeddedLog) -> Vec<Option<i64>> {
    let at = |partition| log.committed(GROUP, Topic::Escalations, partition).unwrap();
    (0..PARTITIONS).map(at).collect()
}

/// Everything on a topic.
fn records(log: &dyn Log, topic: Topic) -> Vec<Record> {
    let mut records = Vec::new();
    for partition in 0..PARTITIONS {
        let mut from = Position { topic, partition, offset: 0 };
        let end = log.end(topic, partition).unwrap();
        while from.offset < end {
            let mut reader = log.reader().unwrap();
            from.offset = reader.read(from, end, 1 << 20, &mut records).unwrap();
        }
    }
    records
}

fn dead_letters(log: &dyn Log) -> Vec<DeadLetter> {
    let letters = records(log, Topic::DeadLetters).into_iter().map(|record| {
        let letter: DeadLetter = decode_own(Contract::DeadLetter, record.payload()).unwrap();
        // beside its cause
        assert_eq!(letter.partition, record.position.partition as i32);
        letter
    });
    letters.collect()
}

/// The delivery log.
fn deliveries(log: &dyn Log) -> Vec<Delivery<'static>> {
    let lines = records(log, Topic::Deliveries).into_iter().map(|record| {
        let line: Delivery<'_> = decode_own(Contract::Delivery, record.payload()).unwrap();
        assert_eq!(record.key(), Some(&b"default/acc"[..]));
        let owned = |text: Text<'_>| Text::from(text.to_string());
        Delivery {
            escalation_id: owned(line.escalation_id),
            channel: owned(line.channel),
            status: owned(line.status),
            detail: owned(line.detail),
            ..line
        }
    });
    lines.collect()
}

/// Every request is signed, and all attempts of one escalation carry the same body.
fn check_requests(server: &Server) -> BTreeMap<String, usize> {
    let signer = Signer::new(&Secret::new(SECRET.to_owned())).unwrap();
    let mut bodies: BTreeMap<String, (Vec<u8>, usize)> = BTreeMap::new();
    for request in server.seen() {
        let timestamp: i64 = request.headers["webhook-timestamp"].parse().unwrap();
        assert_eq!(timestamp, NOW_MS / 1_000);
        let expected = signer.sign(request.id(), timestamp, &request.body);
        assert_eq!(request.headers["webhook-signature"], expected);
        let (body, times) =
            bodies.entry(request.id().to_owned()).or_insert_with(|| (request.body.clone(), 0));
        assert_eq!(*body, request.body, "a repeat is the same to the byte");
        *times += 1;
    }
    bodies.into_iter().map(|(id, (_, times))| (id, times)).collect()
}

/// Runs `count` escalations through one webhook to their ends.
fn run(
    count: usize,
    change: impl Fn(&mut Webhook),
    answer: impl Fn(&server::Request) -> Answer + Send + Sync + 'static,
) -> (Server, EmbeddedLog, Vec<Delivery<'static>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let (log, runtime) = (open(folder.path()), runtime());
    append(&log, 0, count);
    let server = Server::start(runtime.handle(), answer);
    let mut webhook = webhook("ops", server.url("/hook?token=hunter2"));
    change(&mut webhook);
    let sink = Sink::start(Arc::new(log.clone()), &runtime, vec![webhook]);
    sink.wait_caught_up();
    let recorded = sink.finish();
    let ends: Vec<Option<i64>> =
        (0..PARTITIONS).map(|partition| log.end(Topic::Escalations, partition).ok()).collect();
    assert_eq!(committed(&log), ends);
    (server, log, recorded, folder)
}

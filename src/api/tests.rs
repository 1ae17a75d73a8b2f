//! The server as its users meet it: over a socket, in front of a real data folder.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::codec::{Contract, ERASE_HEADER, Encoder};
use crate::event::{
    DeadLetter, Decision, FieldValue, Kind, Millis, Outcome, OutcomeCount, Position, Reason,
    Rollup, Slot, Source, Text, Topic,
};
use crate::log::embedded::{EmbeddedLog, Options};
use crate::log::{Appender, Consumer, Follower, LogError, Member, Producer, Reader, RecordBatch};
use crate::state::FeatureSet;

const DEADLINE: Duration = Duration::from_secs(20);
const NOW: i64 = 1_700_000_000_000;

/// Decision number `i`.
pub(super) fn decision(i: i64, kind: Kind, outcome: Outcome) -> Decision<'static> {
    let text = |text: &str| Text::from(text.to_owned());
    Decision {
        decision_id: text(&format!("00000000-0000-5000-8000-{i:012}")),
        event_id: text(&format!("event-{i}")),
        event_time: Millis(NOW - 5_000),
        tenant: text("default"),
        account_id: text(&format!("account-{}", i % 7)),
        kind,
        subject_id: text(&format!("subject-{i}")),
        decided_at: Millis(NOW + i),
        outcome,
        recommendation: None,
        score: 0.25,
        confidence: 0.5,
        reasons: vec![Reason {
            code: text("HOSTILE"),
            text: text("<script>alert(1)</script> \r\ndata: \u{2028}\u{202e}end"),
            weight: 0.25,
            rule: text("hostile"),
        }],
        fields: vec![FieldValue { name: text("amount_minor"), value: Slot::Int(i64::MAX) }],
        features: vec![Slot::Int(i); FeatureSet::shipped().unwrap().len()],
        feature_set: Text::from(FeatureSet::shipped().unwrap().hash().to_owned()),
        policy: text("policy"),
        policy_version: 1,
        rule_set: text("rules"),
        model: None,
        lists: None,
        profile_age_ms: None,
        degraded: Vec::new(),
        shadow: Vec::new(),
        source: Source { topic: text("transactions"), partition: 1, offset: i, schema_id: -1 },
    }
}

fn rollup(kind: Kind, outcome: Outcome, count: i64) -> Rollup {
    Rollup {
        outcomes: vec![OutcomeCount { minute: Millis(NOW - NOW % 60_000), kind, outcome, count }],
        rules: Vec::new(),
    }
}

fn dead_letter() -> DeadLetter {
    DeadLetter {
        topic: "transactions".into(),
        partition: 0,
        offset: 3,
        timestamp: Millis(NOW),
        failed_at: Millis(NOW),
        stage: "validate".into(),
        code: "card_number".into(),
        message: "card_id".into(),
        key: None,
        headers: Default::default(),
        payload_hash: "0".into(),
        payload_bytes: 1,
        payload: None,
    }
}

/// A commit's outputs: the decisions, their roll-up, one escalation and one dead letter.
fn commit(log: &dyn Log, decisions: &[Decision<'_>]) {
    let (mut batch, mut encoder) = (RecordBatch::default(), Encoder::default());
    for (i, decision) in decisions.iter().enumerate() {
        let partition = (i % 2) as u32;
        let mut rollup = rollup(decision.kind, decision.outcome, 1);
        rollup.outcomes[0].minute = Millis(0);
        batch
            .push_with(Topic::Decisions, partition, NOW, b"k", |out| {
                encoder.encode(Contract::Decision, decision, out)
            })
            .unwrap();
        batch
            .push_with(Topic::Rollups, partition, NOW, b"", |out| {
                encoder.encode(Contract::Rollup, &rollup, out)
            })
            .unwrap();
    }
    batch.push(Topic::Escalations, 0, NOW, b"k", b"only counted");
    batch.push_header(Topic::Escalations, 0, NOW, b"t/a", (ERASE_HEADER, &b"not counted"[..]));
    batch
        .push_with(Topic::DeadLetters, 1, NOW, b"k", |out| {
            encoder.encode(Contract::DeadLetter, &dead_letter(), out)
        })
        .unwrap();
    log.appender().unwrap().append(&batch).unwrap();
}

/// A log that fails while it is told to.
struct Breakable {
    log: EmbeddedLog,
    broken: AtomicBool,
}

impl Breakable {
    fn check(&self) -> Result<(), LogError> {
        match self.broken.load(Ordering::SeqCst) {
            true => Err(LogError::Closed),
            false => Ok(()),
        }
    }
}

impl Log for Breakable {
    fn consumer(&self, member: &Member, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError> {
        self.log.consumer(member, topics)
    }

    fn producer(&self, member: &Member) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer(member)
    }

    fn appender(&self) -> Result<Box<dyn Appender>, LogError> {
        self.log.appender()
    }

    fn reader(&self) -> Result<Box<dyn Reader>, LogError> {
        self.check()?;
        self.log.reader()
    }

    fn follow(&self, from: &[Position]) -> Result<Box<dyn Follower>, LogError> {
        self.log.follow(from)
    }

    fn partitions(&self, topic: Topic) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }

    fn end(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        self.check()?;
        self.log.end(topic, partition)
    }

    fn beginning(&self, topic: Topic, partition: u32) -> Result<i64, LogError> {
        self.log.beginning(topic, partition)
    }

    fn committed(&self, group: &str, topic: Topic, at: u32) -> Result<Option<i64>, LogError> {
        self.log.committed(group, topic, at)
    }
}

/// A process may export once.
static EXPORTER: LazyLock<Exporter> =
    LazyLock::new(|| Exporter::install(&Clock::fixed(0)).unwrap());

struct Server {
    _folder: tempfile::TempDir,
    log: Arc<Breakable>,
    api: Api,
    addr: SocketAddr,
    runtime: Option<JoinHandle<Result<(), ApiError>>>,
}

fn api(listen: SocketAddr) -> (tempfile::TempDir, Arc<Breakable>, Api) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { partitions: 2, durable: false, pages_max: None };
    let log = Arc::new(Breakable {
        log: EmbeddedLog::open(folder.path(), &options).unwrap(),
        broken: AtomicBool::new(false),
    });
    let api = Api {
        listen,
        log: Arc::clone(&log) as Arc<dyn Log>,
        group: "weir.score".into(),
        health: Health::default(),
        exporter: None,
        features: Arc::new(FeatureSet::shipped().unwrap()),
        clock: Clock::system(),
        stop: Stop::default(),
    };
    (folder, log, api)
}

impl Server {
    /// Serves once `before` has seen the log; returns when it is ready.
    fn start(before: impl FnOnce(&dyn Log, &mut Api)) -> Server {
        let (folder, log, mut api) = api("127.0.0.1:0".parse().unwrap());
        before(&*log, &mut api);
        let (bound, addr) = std::sync::mpsc::channel();
        let serving = api.clone();
        let runtime = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let server = Bound::bind(serving).await?;
                bound.send(server.addr()).unwrap();
                server.serve().await
            })
        });
        let server = Server {
            _folder: folder,
            log,
            api,
            addr: addr.recv().unwrap(),
            runtime: Some(runtime),
        };
        server.until("ready", || {
            let waiting = server.api.health.not_ready();
            (!waiting.iter().any(|(part, _)| part == "api")).then_some(())
        });
        server
    }

    fn until<T>(&self, what: &str, mut seen: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(seen) = seen() {
                return seen;
            }
            assert!(begun.elapsed() < DEADLINE, "not {what} within {DEADLINE:?}");
            self.api.stop.wait(Duration::from_millis(20));
        }
    }

    fn get(&self, path: &str) -> Answer {
        request(self.addr, &format!("GET {path} HTTP/1.0\r\n\r\n"))
    }

    fn stop(&mut self) -> Result<(), ApiError> {
        self.api.stop.stop();
        self.runtime.take().unwrap().join().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.api.stop.stop();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            (found == name).then_some(value)
        })
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn request(addr: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(addr);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// The events of `/live`.
struct Events(BufReader<TcpStream>);

impl Events {
    fn open(addr: SocketAddr) -> Events {
        let mut stream = connect(addr);
        stream.write_all(b"GET /live HTTP/1.0\r\n\r\n").unwrap();
        let mut events = Events(BufReader::new(stream));
        assert!(events.line().unwrap().contains("200"));
        let mut media_type = None;
        while let Some(line) = events.line().filter(|line| !line.is_empty()) {
            if let Some(value) = line.strip_prefix("content-type: ") {
                media_type = Some(value.to_owned());
            }
        }
        assert_eq!(media_type.as_deref(), Some("text/event-stream"));
        events
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).unwrap();
        (read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Name and data of the next event; `None` at the end.
    fn next(&mut self) -> Option<(String, Value)> {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("event", value)) => name = value.to_owned(),
                Some(("data", value)) => data.push_str(value),
                None if line.is_empty() && !name.is_empty() => {
                    return Some((name, serde_json::from_str(&data).unwrap()));
                }
                _ => panic!("unexpected line {line:?}"),
            }
        }
    }

    fn until(&mut self, name: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let (found, data) = self.next().expect("the stream goes on");
            if found == name && wanted(&data) {
                return data;
            }
            assert!(begun.elapsed() < DEADLINE, "no such {name}, last {data}");
        }
    }
}

#[test]
fn decisions_reach_the_page_and_totals_count_from_the_start_of_serving() {
    let server = Server::start(|log, _| {
        commit(log, &[decision(0, Kind::Chat, Outcome::Block)]);
    });
    let mut early = Events::open(server.addr);
    let (name, start) = early.next().unwrap();
    assert_eq!(name, "start");
    assert_eq!(start["decisions"], Value::Array(vec![]), "made before serving");

    let made = [
        decision(1, Kind::Transaction, Outcome::Block),
        decision(2, Kind::Invoice, Outcome::StepUp),
        decision(3, Kind::Transaction, Outcome::Block),
    ];
    commit(&*server.log, &made);
    let event = early.until("decisions", |_| true);
    assert_eq!(event["skipped"], 0);
    let shown = event["decisions"].as_array().unwrap();
    assert_eq!(shown.len(), 3);
    let first = &shown[0];
    assert_eq!(first["subject_id"], "subject-1");
    assert_eq!(first["outcome"], "BLOCK");
    assert_eq!(first["reasons"][0]["text"], made[0].reasons[0].text.as_str());
    assert_eq!(first["fields"][0]["value"], i64::MAX.to_string());
    assert_eq!(first["source"]["schema_id"], "ffffffffffffffff");
    assert_eq!(first["features"].as_array().unwrap().len(), FeatureSet::shipped().unwrap().len());

    let totals = early.until("totals", |totals| totals["decisions"]["transaction"]["BLOCK"] == 2);
    assert_eq!(totals["decisions"]["invoice"]["STEP_UP"], 1);
    assert_eq!(totals["decisions"]["chat"]["BLOCK"], 0);
    assert_eq!(totals["escalations"], 1);
    assert_eq!(totals["dead_letters"], 1);
    assert_eq!(totals["dead_letter_last"]["code"], "card_number");
    assert_eq!(totals["lag"], 0);
    assert_eq!(totals["unreadable"], 0);

    let (_, late) = Events::open(server.addr).next().unwrap();
    assert_eq!(late["decisions"].as_array().unwrap(), shown);
    assert_eq!(late["totals"]["escalations"], 1);
    let newest = server.get("/api/decisions?limit=2").json();
    assert_eq!(newest["decisions"][0], shown[2]);
    assert_eq!(newest["decisions"][1], shown[1]);
    assert_eq!(newest["decisions"].as_array().unwrap().len(), 2);
    assert_eq!(server.get("/api/decisions?limit=0").status, 400);
}

#[test]
fn of_a_flood_every_decision_is_counted_and_the_newest_are_shown() {
    let server = Server::start(|_, _| {});
    let mut events = Events::open(server.addr);
    let made: Vec<_> = (0..3_000).map(|i| decision(i, Kind::Transaction, Outcome::Allow)).collect();
    commit(&*server.log, &made);
    let totals =
        events.until("totals", |totals| totals["decisions"]["transaction"]["ALLOW"] == 3_000);
    assert_eq!(totals["unreadable"], 0);
    let newest = server.get("/api/decisions?limit=500").json();
    let newest = newest["decisions"].as_array().unwrap();
    assert_eq!(newest[0]["subject_id"], "subject-2999");
    assert!(newest.len() <= 40, "{} shown", newest.len());
}

#[test]
fn a_record_of_another_version_is_counted_and_does_not_stop_the_rest() {
    let server = Server::start(|_, _| {});
    let mut batch = RecordBatch::default();
    batch.push(Topic::Decisions, 0, NOW, b"k", b"\xC3\x01another version");
    batch.push(Topic::Rollups, 0, NOW, b"", b"");
    server.log.appender().unwrap().append(&batch).unwrap();
    commit(&*server.log, &[decision(1, Kind::Chat, Outcome::Review)]);
    let mut events = Events::open(server.addr);
    let totals = events.until("totals", |t| t["decisions"]["chat"]["REVIEW"] == 1);
    assert_eq!(totals["unreadable"], 2);
}

#[test]
fn a_slow_watcher_skips_and_is_told_how_many() {
    let (_folder, _log, api) = api("127.0.0.1:0".parse().unwrap());
    let (feed, publisher) = feed::open();
    let router = routes::router(Shared::new(&api, feed.clone()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind(api.listen)).unwrap();
    let addr = listener.local_addr().unwrap();
    runtime.spawn(axum::serve(Doors::new(listener), router).into_future());

    let mut events = Events::open(addr);
    events.next().unwrap();
    let made = 6_000;
    // far more than the socket's buffers hold, while nobody reads
    let pad = "x".repeat(20_000);
    for i in 0..made {
        let json: Arc<str> = format!("{{\"n\":{i},\"pad\":\"{pad}\"}}").into();
        publisher.decisions([json]);
        if i % 500 == 0 {
            api.stop.wait(Duration::from_millis(120));
        }
    }
    let (mut seen, mut skipped, mut last) = (0, 0, -1);
    while last < made - 1 {
        let event = events.until("decisions", |_| true);
        skipped += event["skipped"].as_i64().unwrap();
        for decision in event["decisions"].as_array().unwrap() {
            let n = decision["n"].as_i64().unwrap();
            assert!(n > last, "{n} after {last}");
            last = n;
            seen += 1;
        }
    }
    assert_eq!(seen + skipped, made, "seen {seen}, skipped {skipped}");
    assert!(skipped > 0);
    drop(publisher);
    while events.next().is_some() {}
}

#[test]
fn ready_names_the_part_that_is_not() {
    let server = Server::start(|_, _| {});
    let ready = server.get("/health/ready");
    assert_eq!((ready.status, ready.json()["ready"].as_bool()), (200, Some(true)));
    let worker = server.api.health.part("worker-0");
    worker.not_ready("restoring");
    let waiting = server.get("/health/ready");
    assert_eq!(waiting.status, 503);
    let expected = serde_json::json!({
        "ready": false,
        "not_ready": [{ "part": "worker-0", "why": "restoring" }],
    });
    assert_eq!(waiting.json(), expected);
    assert_eq!(server.get("/health/live").status, 200);
    let mut events = Events::open(server.addr);
    let totals = events.until("totals", |_| true);
    assert_eq!(totals["not_ready"], expected["not_ready"]);
    worker.ready();
    assert_eq!(server.get("/health/ready").status, 200);
}

#[test]
fn a_log_that_fails_makes_the_part_not_ready_and_nothing_is_missed_after() {
    let server = Server::start(|_, _| {});
    commit(&*server.log, &[decision(1, Kind::Chat, Outcome::Review)]);
    let mut events = Events::open(server.addr);
    events.until("totals", |t| t["decisions"]["chat"]["REVIEW"] == 1);
    server.log.broken.store(true, Ordering::SeqCst);
    let waiting = server.until("not ready", || {
        let answer = server.get("/health/ready");
        (answer.status == 503).then_some(answer)
    });
    assert_eq!(waiting.json()["not_ready"][0]["part"], "api");
    let why = "cannot follow the log: log is closed";
    assert_eq!(waiting.json()["not_ready"][0]["why"], why);
    events.until("totals", |t| t["trouble"] == why);
    commit(&*server.log, &[decision(2, Kind::Chat, Outcome::Review)]);
    server.log.broken.store(false, Ordering::SeqCst);
    let totals = events.until("totals", |t| t["decisions"]["chat"]["REVIEW"] == 2);
    assert!(totals["trouble"].is_null());
    assert_eq!(server.get("/health/ready").status, 200);
}

#[test]
fn metrics_are_prometheus_text() {
    let server = Server::start(|_, api| api.exporter = Some(EXPORTER.clone()));
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    let media_type = answer.header("content-type");
    assert_eq!(media_type, Some("text/plain; version=0.0.4; charset=utf-8"));
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("weir_build_info{{version=\"{version}\"}} 1");
    assert!(answer.body.contains(&build), "{}", answer.body);
    let without = Server::start(|_, _| {});
    assert_eq!(without.get("/metrics").status, 404);
}

#[test]
fn every_answer_has_the_security_headers() {
    let server = Server::start(|_, _| {});
    let paths = [
        ("/", 200, "text/html; charset=utf-8"),
        ("/live.js", 200, "text/javascript; charset=utf-8"),
        ("/live.css", 200, "text/css; charset=utf-8"),
        ("/icon.svg", 200, "image/svg+xml; charset=utf-8"),
        ("/api/decisions", 200, "application/json"),
        ("/version", 200, "application/json"),
        ("/health/live", 200, "text/plain; charset=utf-8"),
        ("/no/such/%3Cpath%3E", 404, "application/json"),
        ("/api/decisions?limit=x", 400, "application/json"),
    ];
    for (path, status, media_type) in paths {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some(media_type), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    }
    let version = server.get("/version").json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn what_no_path_takes_is_refused() {
    let server = Server::start(|_, _| {});
    let refused = |text: &str| {
        let answer = request(server.addr, text);
        assert!(answer.header("content-security-policy").is_some(), "{text}");
        answer.status
    };
    assert_eq!(refused("POST / HTTP/1.0\r\n\r\n"), 405);
    assert_eq!(refused("GET / HTTP/1.0\r\ncontent-length: 3\r\n\r\nabc"), 413);
    let long = "x".repeat(5_000);
    assert_eq!(refused(&format!("GET /{long} HTTP/1.0\r\n\r\n")), 414);
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap();
    let (_folder, _log, api) = api(addr);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = runtime.block_on(Bound::bind(api)).err().unwrap();
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot listen on {addr}: ")), "{text}");
    assert!(text.contains("in use"), "{text}");
}

#[test]
fn a_stop_ends_live_streams_and_gives_the_address_back() {
    let mut server = Server::start(|_, _| {});
    let mut events = Events::open(server.addr);
    events.next().unwrap();
    let begun = Instant::now();
    server.stop().unwrap();
    while events.next().is_some() {}
    assert!(begun.elapsed() < limits().drain_deadline);
    std::net::TcpListener::bind(server.addr).unwrap();
    let part = server.api.health.not_ready();
    assert_eq!(part, [("api".to_owned(), "stopping".to_owned())]);
}

#[test]
fn a_dropped_server_ends_its_thread() {
    let (_folder, log, api) = api("127.0.0.1:0".parse().unwrap());
    let stop = api.stop.clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Bound::bind(api).await.unwrap();
        let serving = tokio::time::timeout(Duration::from_millis(300), server.serve());
        assert!(serving.await.is_err(), "it serves until it is dropped");
    });
    let begun = Instant::now();
    // the thread holds the log until it ends
    while Arc::strong_count(&log) > 1 {
        assert!(begun.elapsed() < DEADLINE, "the thread still runs");
        stop.wait(Duration::from_millis(20));
    }
}

//! The store: one suite for both implementations, against a naive twin; then what only a cluster can
//! do wrong, and what weir answers.
//!
//! `scripts/services run --cassandra -- cargo test --test store`. Without WEIR_TEST_CQL the tests on a
//! cluster say that they skipped.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Runtime;
use uuid::Uuid;
use weir::codec::{Contract, Encoder, decode_own};
use weir::config::{Login, Secret, StoreCluster, Ttl};
use weir::event::{DeadLetter, Delivery, Millis, Outcome, Position, Rollup, Text, Topic};
use weir::event::{Kind, OutcomeCount};
use weir::log::embedded::{EmbeddedLog, Options};
use weir::log::{Log, RecordBatch};
use weir::sink::store::{
    CqlStore, DecisionRow, DeliveryRow, EmbeddedStore, EscalationRow, RollupCount, RollupRow, Rows,
    Store, StoreContext, StoreError, StoreSink,
};
use weir::telemetry::{Clock, Health, Stop};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// However slow the machine is, nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// 2018-03-31T22:13:20Z: old enough to be no day on which a test runs.
const T0: i64 = 1_522_534_400_000;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A keyspace of our own on the cluster of the tests.
fn cluster() -> Option<StoreCluster> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let Ok(nodes) = std::env::var("WEIR_TEST_CQL") else {
        eprintln!("skipped: WEIR_TEST_CQL is not set (scripts/services run --cassandra -- …)");
        return None;
    };
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut cluster = cluster_at(nodes, format!("t{}_{number}", std::process::id()));
    cluster.login = Some(Login {
        username: std::env::var("WEIR_TEST_CQL_USERNAME").unwrap(),
        password: Secret::new(std::env::var("WEIR_TEST_CQL_PASSWORD").unwrap()),
    });
    Some(cluster)
}

/// A cluster where nobody listens: at a port that was free a moment ago.
fn absent() -> StoreCluster {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut cluster = cluster_at(free.to_string(), "weir".into());
    cluster.timeout = Duration::from_secs(2);
    cluster
}

fn cluster_at(node: String, keyspace: String) -> StoreCluster {
    StoreCluster {
        nodes: vec![node],
        keyspace,
        datacenter: None,
        replication: 1,
        login: None,
        tls_ca: None,
        timeout: Duration::from_secs(10),
        in_flight: 64,
        record_bytes_max: 1 << 20,
        ttl: Ttl { decisions: 400, escalations: 400, rollups: 90, deliveries: 400 },
    }
}

/// Runs a test on both implementations.
fn on_both(test: impl Fn(&dyn Store)) {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    test(&EmbeddedStore::open(log.database()).unwrap());
    if let Some(cluster) = cluster() {
        let runtime = runtime();
        CqlStore::migrate(&cluster, runtime.handle()).unwrap();
        test(&CqlStore::new(&cluster, runtime.handle(), Clock::fixed(T0)));
    }
}

fn open(folder: &tempfile::TempDir) -> EmbeddedLog {
    let options = Options { durable: false, ..Options::default() };
    EmbeddedLog::open(folder.path(), &options).unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let (began, nap) = (Instant::now(), Stop::default());
    while !done() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        nap.wait(Duration::from_millis(10));
    }
}

fn decision(n: u128, account: &str, outcome: &'static str, time: i64, written: i64) -> DecisionRow {
    DecisionRow {
        decision_id: Uuid::from_u128(n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)),
        tenant: "default".into(),
        account_id: account.into(),
        kind: "TRANSACTION",
        outcome,
        event_time: Millis(time),
        decided_at: Millis(written),
        written_at: Millis(written),
        record: format!("{n} at {written}").into_bytes(),
    }
}

fn escalation(n: u128, queue: &str, created: i64, written: i64) -> EscalationRow {
    EscalationRow {
        escalation_id: Uuid::from_u128(n),
        decision_id: Uuid::from_u128(n + 1),
        tenant: "default".into(),
        account_id: "a".into(),
        queue: queue.into(),
        priority: 2,
        created_at: Millis(created),
        written_at: Millis(written),
        record: format!("{n} at {written}").into_bytes(),
    }
}

fn decisions(rows: Vec<DecisionRow>) -> Arc<Rows> {
    Arc::new(Rows { decisions: rows, ..Rows::default() })
}

#[test]
fn the_later_record_counts_in_whatever_order_they_come() {
    on_both(|store| {
        let (early, late) = (T0, T0 + 5);
        let of = |written| decision(1, "a", "ALLOW", T0, written);
        for (first, second) in [(early, late), (late, early)] {
            store.write(&decisions(vec![of(first)])).unwrap();
            store.write(&decisions(vec![of(second)])).unwrap();
        }
        let record = store.decision(of(early).decision_id).unwrap();
        assert_eq!(record, Some(of(late).record));
        assert_eq!(store.decision(Uuid::from_u128(99)).unwrap(), None);

        let of = |written| escalation(7, "risk", T0, written);
        let rows = |row| Arc::new(Rows { escalations: vec![row], ..Rows::default() });
        store.write(&rows(of(late))).unwrap();
        store.write(&rows(of(early))).unwrap();
        assert_eq!(store.escalation(Uuid::from_u128(7)).unwrap(), Some(of(late).record));
        assert_eq!(store.escalation(Uuid::from_u128(8)).unwrap(), None);

        let of = |updated_at, status: &str| DeliveryRow {
            escalation_id: Uuid::from_u128(7),
            channel: "ops".into(),
            status: status.into(),
            attempts: 3,
            updated_at: Millis(updated_at),
            detail: "gone".into(),
        };
        let rows = |row| Arc::new(Rows { deliveries: vec![row], ..Rows::default() });
        store.write(&rows(of(late, "delivered"))).unwrap();
        store.write(&rows(of(early, "undeliverable"))).unwrap();
        let found = store.deliveries_of(Uuid::from_u128(7)).unwrap();
        assert_eq!(found, [of(late, "delivered")]);
    });
}

#[test]
fn an_account_is_read_from_the_newest_event_on_across_days_and_years() {
    on_both(|store| {
        let times = [T0, T0 + 1, T0 + DAY, T0 + 3 * DAY + 7, T0 + 2_000 * DAY];
        let rows: Vec<DecisionRow> =
            (1..).zip(times).map(|(n, at)| decision(n, "a", "ALLOW", at, T0)).collect();
        let mut all = rows.clone();
        all.push(decision(90, "b", "ALLOW", T0 + 2, T0));
        all.push(DecisionRow { tenant: "other".into(), ..decision(91, "a", "ALLOW", T0 + 2, T0) });
        store.write(&decisions(all)).unwrap();
        let read =
            |before: i64, limit| store.decisions_of("default", "a", Millis(before), limit).unwrap();
        let expected: Vec<Vec<u8>> = rows.iter().rev().map(|row| row.record.clone()).collect();
        assert_eq!(read(T0 + 3_000 * DAY, 10), expected);
        assert_eq!(read(T0 + 3_000 * DAY, 2), expected[..2]);
        assert_eq!(read(T0 + DAY, 10), expected[3..], "before, and not at");
        assert_eq!(read(T0, 10), Vec::<Vec<u8>>::new());
        // the second event of one page, first of the next
        assert_eq!(read(T0 + 1, 1), expected[4..]);
    });
}

#[test]
fn what_is_stored_is_what_a_naive_twin_holds() {
    let seed: u64 = std::env::var("WEIR_TEST_SEED")
        .map_or_else(|_| rand::random(), |text| text.parse().unwrap());
    eprintln!("WEIR_TEST_SEED={seed}");
    on_both(|store| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let outcomes = ["ALLOW", "REVIEW", "DECLINE"];
        // an id has one event: what changes from record to record is when it was decided
        let mut rows: Vec<DecisionRow> = (0..400u128)
            .map(|n| {
                let account = format!("a{}", rng.random_range(0..5));
                let time = T0 + rng.random_range(0..6) * HOUR / 2 + n as i64;
                decision(n, &account, outcomes[rng.random_range(0..3)], time, T0)
            })
            .collect();
        for _ in 0..200 {
            let of = rows[rng.random_range(0..400)].clone();
            let written = T0 + rng.random_range(1..50);
            let record = format!("again at {written}").into_bytes();
            rows.push(DecisionRow { written_at: Millis(written), record, ..of });
        }
        let mut twin: BTreeMap<Uuid, DecisionRow> = BTreeMap::new();
        for row in &rows {
            let known = twin.entry(row.decision_id).or_insert_with(|| row.clone());
            if row.written_at > known.written_at {
                *known = row.clone();
            }
        }
        // in random order, in chunks of random size, some of them twice
        for i in (1..rows.len()).rev() {
            rows.swap(i, rng.random_range(0..=i));
        }
        let mut left = rows.as_slice();
        while !left.is_empty() {
            let (chunk, rest) = left.split_at(rng.random_range(1..=left.len().min(60)));
            let mut chunk = decisions(chunk.to_vec());
            for _ in 0..rng.random_range(1..=2) {
                store.write(&chunk).unwrap();
                chunk = decisions(chunk.decisions.clone());
            }
            left = rest;
        }

        let mut paged: BTreeMap<Uuid, Vec<u8>> = BTreeMap::new();
        let mut after = None;
        loop {
            let page = store.page(after, 37).unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            for (id, record) in page {
                assert_eq!(paged.insert(id, record), None, "{id} is on two pages");
            }
        }
        let expected: BTreeMap<Uuid, Vec<u8>> =
            twin.iter().map(|(id, row)| (*id, row.record.clone())).collect();
        assert_eq!(paged, expected);

        let newest_first = |keep: &dyn Fn(&DecisionRow) -> bool| {
            let mut kept: Vec<&DecisionRow> = twin.values().filter(|row| keep(row)).collect();
            // times are unique
            kept.sort_by_key(|row| std::cmp::Reverse(row.event_time));
            kept.into_iter().map(|row| row.record.clone()).collect::<Vec<_>>()
        };
        for account in 0..5 {
            let account = format!("a{account}");
            let before = Millis(T0 + rng.random_range(0..4) * HOUR);
            let limit = rng.random_range(1..80);
            let read = store.decisions_of("default", &account, before, limit).unwrap();
            let mut expected =
                newest_first(&|row| row.account_id == account && row.event_time < before);
            expected.truncate(limit);
            assert_eq!(read, expected, "{account}");
        }
        for outcome in outcomes {
            for hour in 0..4 {
                let at = T0 + hour * HOUR + rng.random_range(0..HOUR);
                let (from, limit) = (at - at.rem_euclid(HOUR), rng.random_range(1..80));
                let read = store.decisions_with("default", outcome, Millis(at), limit).unwrap();
                let mut expected = newest_first(&|row| {
                    row.outcome == outcome && (from..from + HOUR).contains(&row.event_time.0)
                });
                expected.truncate(limit);
                assert_eq!(read, expected, "{outcome} in the hour of {at}");
            }
        }
    });
}

#[test]
fn escalations_of_a_queue_and_a_day_come_newest_first() {
    on_both(|store| {
        let midnight = T0 - T0.rem_euclid(DAY);
        let escalations = vec![
            escalation(10, "risk", midnight - 1, T0),
            escalation(11, "risk", midnight, T0),
            escalation(12, "risk", midnight + DAY - 1, T0),
            escalation(13, "risk", midnight + DAY, T0),
            escalation(14, "other", midnight + 5, T0),
        ];
        store.write(&Arc::new(Rows { escalations, ..Rows::default() })).unwrap();
        let read = |limit| store.escalations_of("default", "risk", Millis(T0), limit).unwrap();
        let text = |n: u128| format!("{n} at {T0}").into_bytes();
        assert_eq!(read(10), [text(12), text(11)]);
        assert_eq!(read(1), [text(12)]);
    });
}

#[test]
fn roll_ups_are_summed_and_one_that_comes_again_is_counted_once() {
    on_both(|store| {
        let minute = T0 - T0.rem_euclid(60_000);
        let row = |partition, offset, minute, outcome, rule: &str, count| RollupRow {
            partition,
            offset,
            written_at: Millis(T0),
            minute: Millis(minute),
            kind: "TRANSACTION",
            outcome,
            rule: rule.to_owned(),
            count,
        };
        let rollups = vec![
            row(0, 5, minute, "ALLOW", "", 3),
            row(0, 5, minute, "", "many/payments", 1),
            row(0, 6, minute, "ALLOW", "", 4),
            row(17, 6, minute, "ALLOW", "", 5),
            row(1, 6, minute, "REVIEW", "", 1),
            row(1, 7, minute + HOUR, "ALLOW", "", 9),
        ];
        let rows = Arc::new(Rows { rollups, ..Rows::default() });
        store.write(&rows).unwrap();
        store.write(&rows).unwrap();
        let count = |at, outcome: &str, rule: &str, count| RollupCount {
            minute: Millis(at),
            kind: "TRANSACTION".into(),
            outcome: outcome.into(),
            rule: rule.into(),
            count,
        };
        let first = vec![
            count(minute, "", "many/payments", 1),
            count(minute, "ALLOW", "", 12),
            count(minute, "REVIEW", "", 1),
        ];
        let read = |from, until| store.rollups(Millis(from), Millis(until)).unwrap();
        assert_eq!(read(minute, minute + 60_000), first);
        assert_eq!(read(minute, minute + HOUR), first);
        let both = [first, vec![count(minute + HOUR, "ALLOW", "", 9)]].concat();
        assert_eq!(read(minute, minute + 2 * HOUR), both);
        assert_eq!(read(minute + 1, minute + HOUR), []);
    });
}

#[test]
fn a_migration_makes_what_is_missing_once_and_changes_how_long_rows_are_kept() {
    let Some(mut cluster) = cluster() else { return };
    let runtime = runtime();
    let verify = |cluster: &StoreCluster| CqlStore::verify(cluster, runtime.handle()).unwrap();
    let migrate = |cluster: &StoreCluster| CqlStore::migrate(cluster, runtime.handle()).unwrap();
    let missing = verify(&cluster).join("\n");
    assert!(missing.contains(&format!("there is no keyspace {}", cluster.keyspace)), "{missing}");
    assert_eq!(migrate(&cluster).made.len(), 8);
    assert_eq!(verify(&cluster), Vec::<String>::new());
    let again = migrate(&cluster);
    assert_eq!((again.made.len(), again.altered.len()), (0, 0));
    cluster.ttl.rollups = 7;
    let problems = verify(&cluster).join("\n");
    assert!(problems.contains("rollup are kept for 90 days, expected 7"), "{problems}");
    // which is no reason not to begin
    CqlStore::new(&cluster, runtime.handle(), Clock::fixed(T0)).check().unwrap();
    assert_eq!(migrate(&cluster).altered, ["rollup"]);
    assert_eq!(verify(&cluster), Vec::<String>::new());
}

/// Runs CQL that weir has no reason to run.
fn cql(cluster: &StoreCluster, statement: &str) {
    let login = cluster.login.as_ref().unwrap();
    runtime().block_on(async {
        let session = scylla::client::session_builder::SessionBuilder::new()
            .known_nodes(&cluster.nodes)
            .user(&login.username, login.password.reveal())
            .build()
            .await
            .unwrap();
        session.query_unpaged(statement.replace("KS", &cluster.keyspace), ()).await.unwrap();
    });
}

#[test]
fn tables_that_are_not_ours_to_use_are_refused_and_named() {
    let Some(cluster) = cluster() else { return };
    let runtime = runtime();
    let refused =
        || CqlStore::new(&cluster, runtime.handle(), Clock::fixed(T0)).check().unwrap_err();
    // the wrong keyspace, or none yet
    let error = refused();
    assert!(matches!(error, StoreError::Schema { .. }), "{error:?}");
    let expected =
        format!("there is no keyspace {}: `weir store migrate` makes it", cluster.keyspace);
    assert!(error.to_string().contains(&expected), "{error}");
    // somebody else's keyspace
    cql(
        &cluster,
        "CREATE KEYSPACE KS WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    );
    assert!(refused().to_string().contains("has no tables of weir's"), "{}", refused());
    // a column that went
    CqlStore::migrate(&cluster, runtime.handle()).unwrap();
    cql(&cluster, "ALTER TABLE KS.decision DROP record");
    assert!(refused().to_string().contains("column record of"), "{}", refused());
    cql(&cluster, "DROP TABLE KS.delivery");
    assert!(refused().to_string().contains("delivery is missing"), "{}", refused());
    // an older and a newer weir's
    cql(&cluster, "INSERT INTO KS.weir_schema (name, version) VALUES ('weir', 0)");
    let error = refused().to_string();
    assert!(error.contains("have version 0, expected 1: run `weir store migrate`"), "{error}");
    cql(&cluster, "INSERT INTO KS.weir_schema (name, version) VALUES ('weir', 9)");
    let error = refused().to_string();
    assert!(error.contains("have version 9, expected 1: a newer weir"), "{error}");
    let error = CqlStore::migrate(&cluster, runtime.handle()).unwrap_err().to_string();
    assert!(error.contains("a newer weir"), "{error}");
}

#[test]
fn who_may_not_in_is_told_so_and_never_with_the_password() {
    let Some(mut cluster) = cluster() else { return };
    let runtime = runtime();
    CqlStore::migrate(&cluster, runtime.handle()).unwrap();
    let name = cluster.login.as_ref().unwrap().username.clone();
    cluster.login = Some(Login { username: name, password: Secret::new("hunter2".into()) });
    let error = CqlStore::new(&cluster, runtime.handle(), Clock::fixed(T0)).check().unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("log in") && !shown.contains("hunter2"), "{shown}");
    cluster.login = None;
    let error = CqlStore::new(&cluster, runtime.handle(), Clock::fixed(T0)).check().unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
}

#[test]
fn a_store_that_is_not_there_may_come_yet() {
    let runtime = runtime();
    let absent = absent();
    let began = Instant::now();
    let error = CqlStore::new(&absent, runtime.handle(), Clock::fixed(T0)).check().unwrap_err();
    assert!(error.passes(), "{error:?}");
    assert!(error.to_string().contains(&absent.nodes[0]), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// A way to the cluster that can be cut.
struct Wire {
    port: u16,
    cut: Arc<AtomicBool>,
    hung: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(target: String) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire {
            port: listener.local_addr().unwrap().port(),
            cut: Arc::default(),
            hung: Arc::default(),
            open: Arc::default(),
        };
        let (cut, open) = (Arc::clone(&wire.cut), Arc::clone(&wire.open));
        let hung = Arc::clone(&wire.hung);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(&target) else { continue };
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let both = [near.try_clone().unwrap(), far.try_clone().unwrap()];
                open.lock().unwrap().extend(both);
                let (back, forth) = (far.try_clone().unwrap(), near.try_clone().unwrap());
                let (one, other) = (Arc::clone(&hung), Arc::clone(&hung));
                std::thread::spawn(move || pass_on(near, far, &one));
                std::thread::spawn(move || pass_on(back, forth, &other));
            }
        });
        wire
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for end in self.open.lock().unwrap().drain(..) {
            let _gone = end.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, hung: &AtomicBool) {
    let (mut buffer, nap) = ([0; 16_384], Stop::default());
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        while hung.load(Ordering::SeqCst) {
            nap.wait(Duration::from_millis(10));
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(Shutdown::Both);
}

/// Delivery records `from..to` on the topic that the sink reads.
fn append_deliveries(log: &EmbeddedLog, from: u128, to: u128, detail: &str) {
    let mut batch = RecordBatch::default();
    let mut encoder = Encoder::default();
    for n in from..to {
        let line = Delivery {
            escalation_id: Text::from(Uuid::from_u128(n).to_string()),
            channel: Text::from("ops"),
            status: Text::from("delivered"),
            attempts: 1,
            updated_at: Millis(T0),
            detail: Text::from(detail),
        };
        let partition = (n % 4) as u32;
        batch
            .push_with(Topic::Deliveries, partition, T0, b"default/a", |out| {
                encoder.encode(Contract::Delivery, &line, out)
            })
            .unwrap();
    }
    log.appender().unwrap().append(&batch).unwrap();
}

/// The sink from an embedded log into a store.
fn sink(log: &EmbeddedLog, store: Arc<dyn Store>) -> (StoreSink, Stop, Health) {
    let (stop, health) = (Stop::default(), Health::default());
    let context = StoreContext {
        log: Arc::new(log.clone()),
        store,
        clock: Clock::fixed(T0),
        stop: stop.clone(),
        process: Stop::default(),
    };
    (StoreSink::start(context, &health).unwrap(), stop, health)
}

/// A store with its tables, behind a wire that can be cut.
fn wired(mut cluster: StoreCluster, timeout: Duration, runtime: &Runtime) -> (Wire, Arc<CqlStore>) {
    CqlStore::migrate(&cluster, runtime.handle()).unwrap();
    let wire = Wire::to(cluster.nodes[0].clone());
    cluster.nodes = vec![format!("127.0.0.1:{}", wire.port)];
    cluster.timeout = timeout;
    (wire, Arc::new(CqlStore::new(&cluster, runtime.handle(), Clock::fixed(T0))))
}

#[test]
fn the_sink_waits_for_a_store_that_is_away_commits_nothing_and_goes_on() {
    let Some(cluster) = cluster() else { return };
    let runtime = runtime();
    let (wire, store) = wired(cluster, Duration::from_secs(2), &runtime);
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    let (sink, stop, health) = sink(&log, Arc::clone(&store) as Arc<dyn Store>);
    append_deliveries(&log, 0, 500, "");
    until("the first are stored", || StoreSink::caught_up(&log).unwrap());
    wire.cut();
    append_deliveries(&log, 500, 1_000, "");
    until("the sink says what it waits for", || {
        health.not_ready().iter().any(|(part, why)| part == "store" && why.contains("not answer"))
    });
    assert!(!StoreSink::caught_up(&log).unwrap(), "nothing is committed that is not stored");
    wire.mend();
    until("the rest is stored", || StoreSink::caught_up(&log).unwrap());
    assert_eq!(health.not_ready(), []);
    for n in 0..1_000 {
        assert_eq!(store.deliveries_of(Uuid::from_u128(n)).unwrap().len(), 1, "{n}");
    }
    // a stop does not wait for a store that is away
    wire.cut();
    append_deliveries(&log, 1_000, 1_001, "");
    until("it waits again", || !health.not_ready().is_empty());
    let began = Instant::now();
    stop.stop();
    sink.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_store_that_hangs_holds_up_no_stop_and_gets_the_rest_later() {
    let Some(cluster) = cluster() else { return };
    let runtime = runtime();
    // its time-out is longer than a write may take as a whole
    let (wire, store) = wired(cluster, Duration::from_secs(60), &runtime);
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    let (first, stop, _) = sink(&log, Arc::clone(&store) as Arc<dyn Store>);
    append_deliveries(&log, 0, 100, "");
    until("the first are stored", || StoreSink::caught_up(&log).unwrap());
    wire.hung.store(true, Ordering::SeqCst);
    append_deliveries(&log, 100, 200, "");
    let began = Instant::now();
    stop.stop();
    first.join().unwrap();
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(!StoreSink::caught_up(&log).unwrap());
    wire.hung.store(false, Ordering::SeqCst);
    let (second, stop, _) = sink(&log, Arc::clone(&store) as Arc<dyn Store>);
    until("the rest is stored", || StoreSink::caught_up(&log).unwrap());
    stop.stop();
    second.join().unwrap();
    for n in 0..200 {
        assert_eq!(store.deliveries_of(Uuid::from_u128(n)).unwrap().len(), 1, "{n}");
    }
}

#[test]
fn a_row_is_kept_from_its_record_on_and_not_from_when_it_is_written() {
    let Some(cluster) = cluster() else { return };
    let runtime = runtime();
    CqlStore::migrate(&cluster, runtime.handle()).unwrap();
    let at = |now_ms| CqlStore::new(&cluster, runtime.handle(), Clock::fixed(now_ms));
    let kept = i64::from(cluster.ttl.decisions) * DAY;
    let of = |n| decision(n, "a", "ALLOW", T0, T0);
    at(T0 + kept).write(&decisions(vec![of(1)])).unwrap();
    let late = at(T0 + kept - 3_000);
    late.write(&decisions(vec![of(2)])).unwrap();
    at(T0 + kept - HOUR).write(&decisions(vec![of(3)])).unwrap();
    assert_eq!(late.decision(of(1).decision_id).unwrap(), None, "its time was up");
    until("its time is up", || late.decision(of(2).decision_id).unwrap().is_none());
    assert_eq!(late.decision(of(3).decision_id).unwrap(), Some(of(3).record));
}

#[test]
fn a_record_too_large_for_the_store_becomes_a_dead_letter_and_the_rest_is_stored() {
    let Some(mut cluster) = cluster() else { return };
    let runtime = runtime();
    CqlStore::migrate(&cluster, runtime.handle()).unwrap();
    cluster.record_bytes_max = 1_024;
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    append_deliveries(&log, 0, 4, "");
    append_deliveries(&log, 4, 5, &"x".repeat(2_000));
    append_deliveries(&log, 5, 8, "");
    let store = Arc::new(CqlStore::new(&cluster, runtime.handle(), Clock::fixed(T0)));
    let (sink, stop, _) = sink(&log, Arc::clone(&store) as Arc<dyn Store>);
    until("all is stored or given up", || StoreSink::caught_up(&log).unwrap());
    stop.stop();
    sink.join().unwrap();
    let stored: BTreeSet<u128> =
        (0..8).filter(|n| !store.deliveries_of(Uuid::from_u128(*n)).unwrap().is_empty()).collect();
    assert_eq!(stored, BTreeSet::from([0, 1, 2, 3, 5, 6, 7]));
    let mut records = Vec::new();
    let from = Position { topic: Topic::DeadLetters, partition: 0, offset: 0 };
    log.reader().unwrap().read(from, 10, 1 << 20, &mut records).unwrap();
    let letters: Vec<DeadLetter> = records
        .iter()
        .map(|record| decode_own(Contract::DeadLetter, record.payload()).unwrap())
        .collect();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].stage.as_str(), letters[0].code.as_str()), ("store", "too_large"));
    assert_eq!((letters[0].topic.as_str(), letters[0].offset), ("weir.deliveries", 1));
    assert!(letters[0].message.contains("expected at most 1024"), "{}", letters[0].message);
}

#[test]
fn a_roll_up_record_is_stored_by_its_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&folder);
    let mut batch = RecordBatch::default();
    let rollup = Rollup {
        outcomes: vec![OutcomeCount {
            minute: Millis(T0),
            kind: Kind::Transaction,
            outcome: Outcome::Allow,
            count: 5,
        }],
        rules: Vec::new(),
    };
    let mut encoder = Encoder::default();
    batch
        .push_with(Topic::Rollups, 0, T0, b"", |out| encoder.encode(Contract::Rollup, &rollup, out))
        .unwrap();
    log.appender().unwrap().append(&batch).unwrap();
    let store: Arc<dyn Store> = Arc::new(EmbeddedStore::open(log.database()).unwrap());
    let (sink, stop, _) = sink(&log, Arc::clone(&store));
    until("it is stored", || StoreSink::caught_up(&log).unwrap());
    stop.stop();
    sink.join().unwrap();
    let counts = store.rollups(Millis(T0), Millis(T0 + 1)).unwrap();
    assert_eq!(counts.iter().map(|count| count.count).collect::<Vec<_>>(), [5]);
}

/// A topology on an embedded log whose tables are in a cluster, and a data folder.
fn topology(cluster: &StoreCluster) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("topology/rules");
    std::fs::create_dir_all(folder.path().join("rules")).unwrap();
    for file in std::fs::read_dir(shipped).unwrap().map(Result::unwrap) {
        std::fs::copy(file.path(), folder.path().join("rules").join(file.file_name())).unwrap();
    }
    let mut text = format!(
        "[store]\nnodes = \"{}\"\nkeyspace = \"{}\"\ntimeout_ms = 2000\n",
        cluster.nodes[0], cluster.keyspace
    );
    if let Some(login) = &cluster.login {
        let (name, password) = (&login.username, login.password.reveal());
        text += &format!("username = \"{name}\"\npassword = \"{password}\"\n");
    }
    std::fs::write(folder.path().join("weir.toml"), text).unwrap();
    folder
}

/// Runs weir to its end: exit code, and what it said.
fn weir(folder: &tempfile::TempDir, words: &[&str]) -> (Option<i32>, String) {
    let data = folder.path().join("data");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(words)
        .args(["--topology", folder.path().to_str().unwrap(), "--data", data.to_str().unwrap()])
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn the_command_line_makes_checks_and_refuses_tables() {
    let Some(cluster) = cluster() else { return };
    let folder = topology(&cluster);
    // a store that refuses is told before anything runs
    let (code, said) = weir(&folder, &["run", "--roles", "store", "--until-end"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no keyspace"), "{said}");
    let (code, said) = weir(&folder, &["store", "verify"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("`weir store migrate` makes it"), "{said}");
    let (code, said) = weir(&folder, &["store", "migrate"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("decision_by_account") && said.contains("has version 1"), "{said}");
    let (code, said) = weir(&folder, &["store", "verify", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let said: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!(said["problems"], serde_json::json!([]));
    let (code, said) = weir(&folder, &["run", "--roles", "score,store", "--until-end"]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn weir_starts_without_its_store_and_says_what_it_waits_for() {
    let cluster = absent();
    let folder = topology(&cluster);
    let (code, said) = weir(&folder, &["store", "verify"]);
    assert_eq!(code, Some(9), "{said}");
    assert!(said.contains(&format!("store at {} does not answer", cluster.nodes[0])), "{said}");

    let log = folder.path().join("log");
    let mut running = std::process::Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["run", "--listen", "127.0.0.1:0", "--topology", folder.path().to_str().unwrap()])
        .args(["--data", folder.path().join("data").to_str().unwrap()])
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    until("it serves", || said().contains("serving http addr="));
    assert!(said().contains("weir starts without its store"), "{}", said());
    let address = said().split("serving http addr=").nth(1).unwrap().trim().to_owned();
    let address: String = address.chars().take_while(|c| !c.is_whitespace()).collect();
    // it decides: the store alone is not ready, and says why
    until("the worker is ready and the store is not", || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(b"GET /health/ready HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        !answer.contains("worker-0")
            && !answer.contains("start\"")
            && answer.contains("store")
            && answer.contains("not answer")
    });
    let pid = i32::try_from(running.id()).unwrap().to_string();
    std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(running.wait().unwrap().success(), "{}", said());
}

#[test]
fn a_data_folder_of_an_older_weir_is_taken_over_with_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let path = folder.path().join("weir.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    let row = decision(1, "a", "ALLOW", T0, T0);
    database
        .execute_batch(
            "PRAGMA user_version = 1;
             CREATE TABLE decision (
                 decision_id BLOB PRIMARY KEY, tenant TEXT NOT NULL, account_id TEXT NOT NULL,
                 kind TEXT NOT NULL, outcome TEXT NOT NULL, event_time INTEGER NOT NULL,
                 decided_at INTEGER NOT NULL, record BLOB NOT NULL)",
        )
        .unwrap();
    let id = row.decision_id.as_bytes().as_slice();
    let sql =
        "INSERT INTO decision VALUES (?1, 'default', 'a', 'TRANSACTION', 'ALLOW', 1, 1, x'07')";
    database.execute(sql, [id]).unwrap();
    drop(database);
    let log = open(&folder);
    let store = EmbeddedStore::open(log.database()).unwrap();
    assert_eq!(store.decision(row.decision_id).unwrap(), Some(vec![7]));
    store.write(&decisions(vec![row.clone()])).unwrap();
    assert_eq!(store.decision(row.decision_id).unwrap(), Some(row.record), "it is older");
    let version: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert_eq!(version, 2, "the older weir must not come back to it");
}

//! CPU time of each step on an event's way, and memory per account. `cargo bench --bench steps`.
//!
//! Every step runs alone over the same simulated events, five times in turn; the median is shown.
//! Times are CPU time of this thread, so that a busy machine disturbs them little. The commit runs
//! on the writer's thread: its figure is the whole process's CPU time.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir::codec::{Contract, Decoded, Decoder, Encoder, Writers};
use weir::config::Topology;
use weir::event::{Kind, Millis, Position, Slot, Source, Text, Topic};
use weir::log::embedded::{EmbeddedLog, Options};
use weir::log::{Log, Member, Membership, Record, RecordBatch};
use weir::score::{Case, Engine, Lists, RuleSet};
use weir::sim::{Settings, Simulator};
use weir::stage::{Lanes, Merge};
use weir::state::{Came, FeatureSet, Features, Horizon, Profiles, State};

const EVENTS: usize = 50_000;
const ROUNDS: usize = 5;
/// Fewer events of a kind say nothing: the kernel counts CPU time in ticks of milliseconds.
const CASES_MIN: usize = 2_000;
/// Records of one transaction.
const BATCH: usize = 2_000;

/// CPU time of this thread, or of the whole process.
fn cpu(whole: bool) -> Duration {
    // the first figure of schedstat is nanoseconds on a core
    let read = |path: String| -> u64 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
    };
    if !whole {
        return Duration::from_nanos(read("/proc/thread-self/schedstat".into()));
    }
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux has /proc");
    let total = tasks.flatten().map(|task| read(format!("{}/schedstat", task.path().display())));
    Duration::from_nanos(total.sum())
}

struct Table(Vec<(String, Vec<f64>)>);

impl Table {
    fn time(&mut self, step: &str, count: usize, whole: bool, work: impl FnOnce()) {
        let before = cpu(whole);
        work();
        let ns = (cpu(whole) - before).as_nanos() as f64 / count.max(1) as f64;
        match self.0.iter_mut().find(|(name, _)| name == step) {
            Some((_, times)) => times.push(ns),
            None => self.0.push((step.to_owned(), vec![ns])),
        }
    }

    fn print(&mut self) {
        println!("{:<28} {:>10} {:>10} {:>10}", "step", "ns/event", "least", "most");
        for (step, times) in &mut self.0 {
            times.sort_by(f64::total_cmp);
            let (least, most) = (times[0], times[times.len() - 1]);
            println!("{step:<28} {:>10.0} {least:>10.0} {most:>10.0}", times[times.len() / 2]);
        }
    }
}

/// The simulated events as records of one partition, in the order they happened.
fn records() -> Vec<Record> {
    let settings = Settings { accounts: 5_000, ..Settings::default() };
    let simulator = Simulator::new(settings).expect("default settings are valid");
    let mut encoder = Encoder::default();
    let mut ends: HashMap<Topic, i64> = HashMap::new();
    let record = |event: weir::event::Event<'_>| {
        let mut payload = Vec::new();
        encoder.encode_event(&event, &mut payload).expect("simulated events fit their contract");
        let topic = event.kind().topic();
        let offset = ends.entry(topic).or_default();
        let position = Position { topic, partition: 0, offset: *offset };
        *offset += 1;
        Record::new(position, event.event_time().0, Some(event.key().as_bytes()), &payload, vec![])
    };
    simulator.take(EVENTS).map(|simulated| simulated.event).map(record).collect()
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("topology");
    let topology = Topology::load(&folder).expect("the shipped topology is sound");
    let features = FeatureSet::load(&topology.features, Horizon::default().ids);
    let features = Arc::new(features.expect("the shipped features are sound"));
    let rules = RuleSet::load(&topology.rules, &Lists::default(), &features)
        .expect("the shipped rules are sound");
    let engine = Engine::new(rules);
    let decoder = Decoder::new(Writers::built_in());
    let records = records();
    let mut table = Table(Vec::new());
    let mut bytes_per_account = 0.0;
    for _ in 0..ROUNDS {
        bytes_per_account = round(&records, &decoder, &engine, &mut table);
        commits(&records, &mut table);
    }
    table.print();
    println!();
    println!(
        "memory per account           {bytes_per_account:>10.0} bytes, {EVENTS} events on 5000 accounts of people"
    );
}

/// How a record's event came.
fn came(record: &Record) -> Came<'_> {
    Came { payload: record.payload(), written: Millis(record.timestamp_ms) }
}

fn round(records: &[Record], decoder: &Decoder, engine: &Engine, table: &mut Table) -> f64 {
    table.time("peek at the time", records.len(), false, || {
        for record in records {
            black_box(decoder.event_time(record).expect("no registry is asked"));
        }
    });
    table.time("decode", records.len(), false, || {
        for record in records {
            black_box(decoder.decode(record).expect("simulated events are valid"));
        }
    });
    let decoded: Vec<Decoded<'_>> = records
        .iter()
        .map(|record| decoder.decode(record).expect("simulated events are valid"))
        .collect();
    table.time("merge", records.len(), false, || merge(records.to_vec(), &decoded));

    let key =
        |record: &Record| String::from_utf8_lossy(record.key().unwrap_or_default()).into_owned();
    let keys: Vec<String> = records.iter().map(key).collect();
    let each = || records.iter().zip(&decoded).zip(&keys);
    let (set, profiles) = (engine.rules().features(), Profiles::default());
    let horizon = Horizon::default();
    let mut state = State::default();
    table.time("apply", records.len(), false, || {
        for ((record, decoded), key) in each() {
            let facts = set.facts(&decoded.event);
            state.apply(set, State::key(key), &decoded.event, &facts, came(record), horizon, None);
        }
    });
    let mut again = State::default();
    let mut features = Features::default();
    let mut values: Vec<Vec<Slot<'static>>> = Vec::new();
    table.time("apply and read features", records.len(), false, || {
        for ((record, decoded), key) in each() {
            let (event, facts) = (&decoded.event, set.facts(&decoded.event));
            let before = Some((&mut features, &profiles));
            again.apply(set, State::key(key), event, &facts, came(record), horizon, before);
            again.read(set, State::key(key), &facts, &mut features, &profiles);
            black_box(features.values());
        }
    });
    for ((_, decoded), key) in each() {
        let facts = set.facts(&decoded.event);
        state.read(set, State::key(key), &facts, &mut features, &profiles);
        values.push(features.values().to_vec());
    }
    decide(records, &decoded, &values, engine, table);
    state.bytes() as f64 / state.len() as f64
}

fn merge(records: Vec<Record>, decoded: &[Decoded<'_>]) {
    let mut lanes = Lanes::new(Merge::Live { wait: Duration::ZERO });
    let inputs = Topic::INPUTS.map(|topic| (topic, 0, i64::MAX));
    lanes.add(0, &inputs);
    let now = Instant::now();
    for (i, (record, decoded)) in records.into_iter().zip(decoded).enumerate() {
        lanes.push(record, Some(decoded.event.event_time()));
        if i % 256 == 255 {
            while let Some(record) = lanes.next(now) {
                black_box(record);
            }
        }
    }
}

fn decide(
    records: &[Record],
    decoded: &[Decoded<'_>],
    values: &[Vec<Slot<'static>>],
    engine: &Engine,
    table: &mut Table,
) {
    for kind in Kind::SCORED {
        let cases: Vec<Case<'_>> = records
            .iter()
            .zip(decoded)
            .zip(values)
            .filter(|((_, decoded), _)| decoded.event.kind() == kind)
            .map(|((record, decoded), features)| Case {
                kind,
                event_id: decoded.event.event_id(),
                event_time: decoded.event.event_time(),
                tenant: decoded.event.tenant(),
                account_id: decoded.event.account_id(),
                subject_id: decoded.event.subject_id(),
                policy_version: 0,
                decided_at: Millis(0),
                fields: engine.fields_of(&decoded.event),
                features,
                profile_age_ms: None,
                degraded: Vec::new(),
                source: Source {
                    topic: Text::from(record.position.topic.name()),
                    partition: 0,
                    offset: record.position.offset,
                    schema_id: decoded.schema_id,
                },
            })
            .collect();
        if cases.len() < CASES_MIN {
            continue;
        }
        table.time(&format!("rules, {}", kind.label()), cases.len(), false, || {
            for case in &cases {
                black_box(engine.decide(case));
            }
        });
        if kind != Kind::Transaction {
            continue;
        }
        let decisions: Vec<_> = cases.iter().map(|case| engine.decide(case)).collect();
        let mut encoder = Encoder::default();
        let mut out = Vec::new();
        table.time("encode a decision", decisions.len(), false, || {
            for decision in &decisions {
                out.clear();
                encoder.encode(Contract::Decision, decision, &mut out).expect("it fits");
                black_box(&out);
            }
        });
    }
}

/// One decision-sized record an event, in transactions of `BATCH`.
fn commits(records: &[Record], table: &mut Table) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = EmbeddedLog::open(folder.path(), &Options::default()).expect("a new data folder");
    let log: Arc<dyn Log> = Arc::new(log);
    let mut producer = log.producer(&Member::sole("bench")).expect("a producer");
    let payload = vec![7u8; 900];
    table.time("commit", records.len(), true, || {
        for chunk in records.chunks(BATCH) {
            let mut batch = RecordBatch::default();
            for record in chunk {
                batch.push(Topic::Decisions, 0, 0, record.key().unwrap_or_default(), &payload);
            }
            let membership = Membership { group: "bench".into(), ..Membership::default() };
            let done = producer
                .begin()
                .and_then(|()| producer.send(&batch))
                .and_then(|()| producer.send_positions(&[], &membership))
                .and_then(|()| producer.commit());
            done.expect("nothing else uses the folder");
        }
    });
}

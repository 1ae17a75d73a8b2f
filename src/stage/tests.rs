//! The stage on a real data folder: crash points, poison, panics, dead letters and their way back.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::poison::PoisonGauge;
use super::process::{Processor, StateHashes};
use super::worker::{Crash, Ended, Life};
use super::*;
use crate::codec::{Contract, ERASE_HEADER, Encoder, Writers, decode_own};
use crate::config::{FeatureFile, RuleFile};
use crate::event::{
    DeadLetter, Decision, DisputeStage, Escalation, Event, Fired, Kind, Millis, Network, Outcome,
    Position, Rollup, Topic,
};
use crate::log::embedded::{EmbeddedLog, Options};
use crate::log::faults::Step;
use crate::log::{Record, RecordBatch, partition_of};
use crate::policy::Switch;
use crate::score::{Engine, Lists, RuleSet};
use crate::sim::Simulator;
use crate::snapshot::Vault;
use crate::state::FeatureSet;

const PARTITIONS: u32 = 2;
/// Wall clock of every test run.
const NOW_MS: i64 = 1_900_000_000_000;
/// When the input was written: the simulator's history lies before it.
const WRITTEN_MS: i64 = NOW_MS - 10 * 86_400_000;

fn options() -> Options {
    Options { partitions: PARTITIONS, durable: false, pages_max: None }
}

/// Few rules, because each life of a worker loads them.
const RULES: [&str; 2] = [
    r#"kind = "transaction"
    [[rule]]
    id = "often"
    when = "payments_count_24h > 2"
    action = "review"
    weight = 0.5
    reason = "OFTEN"
    text = "{payments_count_24h} payments"
    "#,
    r#"kind = "chat"
    [[rule]]
    id = "talks"
    when = "text.contains('did not')"
    action = "review"
    weight = 0.5
    reason = "TALKS"
    text = "says: {text}"
    "#,
];

fn engine() -> Engine {
    let parse = |text: &&str| RuleFile::parse(Path::new("test.toml"), (*text).to_owned()).unwrap();
    let rules: Vec<RuleFile> = RULES.iter().map(parse).collect();
    Engine::new(RuleSet::load(&rules, &Lists::default(), &features()).unwrap())
}

fn features() -> Arc<FeatureSet> {
    let mut file = FeatureFile::shipped().unwrap();
    // and something of other entities, so that their table is not empty
    file.text += r#"
        [[feature]]
        name = "merchant_payments"
        kind = "transaction"
        key = "merchant"
        aggregate = "count"
        window = "1d"
        resolution = "exact"
        [[feature]]
        name = "merchant_fraud"
        kind = "transaction"
        key = "merchant"
        aggregate = "label_rate"
        window = "30d"
        [[feature]]
        name = "card_amounts"
        kind = "transaction"
        key = "card"
        aggregate = "stddev"
        field = "amount_minor"
        window = "24h"
    "#;
    let file = FeatureFile::parse(Path::new("features.toml"), file.text).unwrap();
    Arc::new(FeatureSet::load(&file, Horizon::default().ids).unwrap())
}

fn settings() -> Settings {
    Settings {
        group: GROUP.into(),
        workers: 1,
        exactly_once: true,
        transaction_timeout: None,
        commit_interval: Duration::ZERO,
        batch_records_max: 50,
        batch_bytes_max: 1 << 20,
        merge: Merge::Strict,
        horizon: Horizon::default(),
        deadlines: Arc::default(),
        poison: PoisonLimits { share: 0.5, window: 1_000, run: 100 },
        pressure_wait: None,
        accept_state_gap: false,
        until_end: true,
    }
}

fn context(log: EmbeddedLog, faults: Faults, writers: Writers) -> Context {
    Context {
        log: Arc::new(log.with_faults(faults.clone())),
        decoder: Arc::new(Decoder::new(writers)),
        switch: Switch::fixed(engine()),
        features: features(),
        profiles: None,
        standby: None,
        snapshots: SnapshotPlan::None,
        clock: Clock::fixed(NOW_MS),
        health: Health::default(),
        stop: Stop::default(),
        faults,
        watchdog: Watchdog::default(),
        progress: Progress::default(),
        pressure: Pressure::default(),
    }
}

/// What a test puts on the topics.
#[derive(Default)]
struct Input {
    encoder: Encoder,
    batch: RecordBatch,
    /// it puts no tombstones
    erases_nothing: bool,
}

impl Input {
    fn event(&mut self, event: &Event<'_>) {
        let key = event.key();
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        let encoder = &mut self.encoder;
        self.batch
            .push_with(event.kind().topic(), partition, WRITTEN_MS, key.as_bytes(), |out| {
                encoder.encode_event(event, out)
            })
            .unwrap();
    }

    fn raw(&mut self, topic: Topic, partition: u32, payload: &[u8]) {
        self.batch.push(topic, partition, NOW_MS, b"default/a", payload);
    }

    fn erase(&mut self, topic: Topic, key: &str) {
        if !self.erases_nothing {
            let partition = partition_of(key.as_bytes(), PARTITIONS);
            let header = (ERASE_HEADER, &b"a test"[..]);
            self.batch.push_header(topic, partition, WRITTEN_MS, key.as_bytes(), header);
        }
    }

    fn escalation(&mut self, account_id: &str, number: i64) {
        let key = format!("default/{account_id}");
        let partition = partition_of(key.as_bytes(), PARTITIONS);
        let escalation = Escalation {
            escalation_id: format!("escalation-{number}").into(),
            decision_id: format!("decision-{number}").into(),
            tenant: "default".into(),
            account_id: account_id.to_owned().into(),
            kind: Kind::Chat,
            subject_id: "m".into(),
            event_time: Millis(WRITTEN_MS - number),
            created_at: Millis(WRITTEN_MS),
            outcome: Outcome::Review,
            queue: "q".into(),
            priority: 2,
            due_at: None,
            summary: "s".into(),
            reasons: Vec::new(),
        };
        let (topic, encoder) = (Topic::Escalations, &mut self.encoder);
        self.batch
            .push_with(topic, partition, WRITTEN_MS, key.as_bytes(), |out| {
                encoder.encode(Contract::Escalation, &escalation, out)
            })
            .unwrap();
    }

    fn append(self, log: &EmbeddedLog) {
        log.appender().unwrap().append(&self.batch).unwrap();
    }
}

fn simulated(count: usize) -> impl Iterator<Item = Event<'static>> {
    let settings = crate::sim::Settings { accounts: 40, companies: 5, ..Default::default() };
    Simulator::new(settings).unwrap().take(count).map(|simulated| simulated.event)
}

fn read_all(log: &dyn Log, topic: Topic) -> Vec<Record> {
    let mut records = Vec::new();
    for partition in 0..log.partitions(topic).unwrap() {
        let end = log.end(topic, partition).unwrap();
        let mut reader = log.reader().unwrap();
        let mut from = Position { topic, partition, offset: 0 };
        while from.offset < end {
            from.offset = reader.read(from, end, 1 << 20, &mut records).unwrap();
        }
    }
    records
}

/// Everything that must not depend on crashes.
#[derive(Debug, PartialEq)]
struct Outcomes {
    /// decisions and dead letters, in order, to the byte
    outputs: Vec<(Position, Vec<u8>)>,
    /// escalations and fired deadlines by partition, sorted: when one fires is the clock's affair
    told: Vec<(Topic, u32, Vec<u8>)>,
    /// roll-ups added up: they are cut by commits
    rollups: BTreeMap<String, i64>,
    states: StateHashes,
}

fn outcomes(log: &dyn Log, states: StateHashes) -> Outcomes {
    let mut outputs = Vec::new();
    for topic in [Topic::Decisions, Topic::DeadLetters] {
        let records = read_all(log, topic);
        outputs.extend(records.iter().map(|record| (record.position, record.payload().to_vec())));
    }
    let mut told = Vec::new();
    for topic in [Topic::Escalations, Topic::Fired] {
        let records = read_all(log, topic);
        told.extend(
            records
                .iter()
                .map(|record| (topic, record.position.partition, record.payload().to_vec())),
        );
    }
    told.sort();
    in_order(&read_all(log, Topic::Fired));
    let mut rollups = BTreeMap::new();
    for record in read_all(log, Topic::Rollups) {
        let rollup: Rollup = decode_own(Contract::Rollup, record.payload()).unwrap();
        for entry in rollup.outcomes {
            *rollups.entry(format!("{:?} {:?}", entry.kind, entry.outcome)).or_default() +=
                entry.count;
        }
        for entry in rollup.rules {
            *rollups.entry(entry.rule).or_default() += entry.count;
        }
    }
    Outcomes { outputs, told, rollups, states }
}

/// The stages of each dispute's deadline fire in their order.
fn in_order(records: &[Record]) {
    let mut last: BTreeMap<(String, String, &str), usize> = BTreeMap::new();
    for record in records {
        let fired: Fired<'_> = decode_own(Contract::Fired, record.payload()).unwrap();
        // half of a short time is later than two days before its end
        let Some(place) = ["48h", "24h"].iter().position(|stage| *stage == &*fired.stage) else {
            continue;
        };
        let dispute = (
            fired.account_id.to_string(),
            fired.dispute_id.to_string(),
            fired.dispute_stage.name(),
        );
        let before = last.insert(dispute, place);
        assert!(before < Some(place), "{fired:?} came after stage {before:?}");
    }
}

/// Lives until the end of the input; after each crash the next life, and now and then a new process
/// (the folder closed and opened again).
/// Snapshots in the folder, made in place.
fn snapshots(folder: &Path, interval: Duration, runtime: &tokio::runtime::Runtime) -> SnapshotPlan {
    let settings = crate::config::Snapshots::default();
    let vault = Vault::open(&settings, folder, runtime.handle()).unwrap();
    SnapshotPlan::InPlace(SnapshotMeans { vault, interval, keep: 2, partitions: PARTITIONS })
}

fn live_to_the_end(
    folder: &Path,
    faults: &Faults,
    settings: &Settings,
    snapshots: &SnapshotPlan,
    mut reopen: impl FnMut() -> bool,
) -> (Outcomes, usize) {
    let mut crashes = 0;
    let open = || {
        let log = EmbeddedLog::open(folder, &options()).unwrap();
        let mut context = context(log, faults.clone(), Writers::built_in());
        context.snapshots = snapshots.clone();
        context
    };
    let mut context = open();
    loop {
        let processor = Processor::of(&context, settings);
        let part = context.health.part("test");
        let (panicked, mut gauge) = (HashSet::new(), PoisonGauge::new(settings.poison));
        let mut life =
            Life::begin(&context, settings, 0, &part, &panicked, &mut gauge, processor).unwrap();
        match life.run() {
            Ok(Ended::AtEnd) => {
                let states = life.state_hashes();
                return (outcomes(context.log.as_ref(), states), crashes);
            }
            Ok(Ended::Drained) => unreachable!("nobody asked for a stop"),
            Err(Crash::Log(LogError::Injected(_) | LogError::Closed)) => crashes += 1,
            Err(crash) => panic!("{crash}"),
        }
        drop(life);
        assert!(crashes < 10_000, "it never ends");
        if reopen() {
            drop(context);
            context = open();
        }
    }
}

/// Simulated events with duplicates, conflicting duplicates, rubbish and tombstones among them.
fn mixed_input(rng: &mut ChaCha8Rng, count: usize) -> Input {
    let mut input = Input::default();
    mix(&mut input, rng, count);
    input
}

fn mix(input: &mut Input, rng: &mut ChaCha8Rng, count: usize) {
    let mut past: Vec<Event<'static>> = Vec::new();
    for event in simulated(count) {
        input.event(&event);
        match rng.random_range(0..20) {
            0 => input.event(&past[rng.random_range(0..past.len().max(1)).min(past.len() - 1)]),
            1 => {
                let mut other = event.clone();
                if let Event::Transaction(payment) = &mut other {
                    payment.amount_minor += 1;
                    // what becomes a dead letter may claim any time
                    payment.event_time.0 += rng.random_range(0..2) * 40 * 24 * 3_600_000;
                }
                input.event(&other);
            }
            2 => input.raw(Topic::Chats, rng.random_range(0..PARTITIONS), b"rubbish"),
            3..6 => {
                let erased = &past[rng.random_range(0..past.len().max(1)).min(past.len() - 1)];
                // whether a deadline fires before its tombstone is met is the clock's affair
                if erased.kind() != Kind::Dispute {
                    input.erase(erased.kind().topic(), &erased.key());
                }
            }
            _ => {}
        }
        past.push(event);
    }
}

/// Tombstones where those of [`mix`] are not: of disputes whose deadlines are far, and of escalations.
fn erase_more(input: &mut Input, rng: &mut ChaCha8Rng) {
    for (at, mut event) in disputes(rng, 4).into_iter().enumerate() {
        if let Event::Dispute(dispute) = &mut event {
            dispute.account_id = "erased".into();
            dispute.event_id = format!("far-{at}").into();
            dispute.due_by = Some(Millis(NOW_MS + 100 * 86_400_000));
        }
        if at == 2 {
            input.erase(Topic::Disputes, "default/erased");
        }
        input.event(&event);
    }
    for number in 0..4 {
        input.escalation("erased", number);
        input.escalation("other", number);
        if number == 2 {
            input.erase(Topic::Escalations, "default/erased");
        }
    }
}

/// Disputes with deadlines that pass between their record's time and [`NOW_MS`].
fn disputes(rng: &mut ChaCha8Rng, count: usize) -> Vec<Event<'static>> {
    let of_dispute = |event| match event {
        Event::Dispute(dispute) => Some(dispute),
        _ => None,
    };
    let dispute = simulated(100_000).find_map(of_dispute).unwrap();
    let vary = |number: usize| {
        let mut dispute = dispute.clone();
        dispute.event_id = format!("deadline-{number}").into();
        dispute.account_id = format!("acct-{}", number / 2).into();
        dispute.dispute_id = format!("dispute-{number}").into();
        dispute.network = Network::Other;
        dispute.stage = DisputeStage::Chargeback;
        dispute.opened_at = Millis(WRITTEN_MS - rng.random_range(0..3 * 86_400_000));
        dispute.due_by = Some(Millis(WRITTEN_MS + rng.random_range(0..12 * 86_400_000)));
        Event::Dispute(dispute)
    };
    (0..count).map(vary).collect()
}

use crate::log::LogError;

/// Seeds of the crash test: a share of them by default, more or all with WEIR_CRASH_RUNS.
fn crash_runs() -> u64 {
    match std::env::var("WEIR_CRASH_RUNS").as_deref() {
        Ok("all") => 20_000,
        Ok(count) => count.parse().unwrap(),
        Err(_) => 500,
    }
}

#[test]
fn a_crash_at_any_step_changes_neither_outputs_nor_state() {
    const COUNT: usize = 54;
    let template = |erases_nothing: bool| {
        let template = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(template.path(), &options()).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut input = Input { erases_nothing, ..Input::default() };
        mix(&mut input, &mut rng, COUNT);
        disputes(&mut rng, 8).iter().for_each(|dispute| input.event(dispute));
        erase_more(&mut input, &mut rng);
        input.append(&log);
        template
    };
    let live = |folder: &Path| {
        let (faults, plan) = (Faults::default(), SnapshotPlan::None);
        let (outcomes, crashes) = live_to_the_end(folder, &faults, &settings(), &plan, || false);
        assert_eq!(crashes, 0);
        outcomes
    };
    let nothing_erased = live(template(true).path());
    let template = template(false);
    let copy = || {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(template.path().join("weir.db"), folder.path().join("weir.db")).unwrap();
        folder
    };
    let folder = copy();
    let expected = live(folder.path());
    for partition in 0..PARTITIONS {
        let [erased, not] = [&expected, &nothing_erased].map(|of| of.states.accounts[&partition]);
        assert_ne!(erased, not, "partition {partition}: the tombstones erase nothing");
    }
    assert_ne!(expected.states.escalations, nothing_erased.states.escalations);
    assert!(expected.outputs.len() >= COUNT, "{} outputs", expected.outputs.len());
    let fired = expected.told.iter().filter(|(topic, ..)| *topic == Topic::Fired).count();
    assert!(fired > 8, "{fired} deadlines fired");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let hit: Arc<Mutex<BTreeMap<&'static str, u64>>> = Arc::default();
    let runs = crash_runs();
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= runs {
                        return;
                    }
                    let folder = copy();
                    let mut rng = ChaCha8Rng::seed_from_u64(seed);
                    let settings =
                        Settings { batch_records_max: rng.random_range(1..40), ..settings() };
                    // at every chance, at the end alone, or never
                    let plan = match rng.random_range(0..4) {
                        0 | 1 => snapshots(folder.path(), Duration::ZERO, &runtime),
                        2 => snapshots(folder.path(), Duration::from_secs(3_600), &runtime),
                        _ => SnapshotPlan::None,
                    };
                    // each run has one step it fails at most often, so that all are covered alike
                    let favourite = Step::ALL[rng.random_range(0..Step::ALL.len())];
                    let faults_rng = Mutex::new(ChaCha8Rng::seed_from_u64(seed ^ 0xfeed));
                    let hit = Arc::clone(&hit);
                    let faults = Faults::new(move |step, _| {
                        let mut rng = faults_rng.lock().unwrap();
                        // each record passes `Apply`, each batch the others
                        let odds = match (step == favourite, step == Step::Apply) {
                            (true, false) => 6,
                            (true, true) => 25,
                            (false, false) => 60,
                            (false, true) => 300,
                        };
                        let fails = rng.random_range(0..odds) == 0;
                        if fails {
                            *hit.lock().unwrap().entry(step.name()).or_default() += 1;
                        }
                        fails
                    });
                    let (found, _) =
                        live_to_the_end(folder.path(), &faults, &settings, &plan, || rng.random());
                    assert_eq!(found, expected, "seed {seed}");
                }
            });
        }
    });
    let hit = hit.lock().unwrap();
    println!("{runs} runs, faults hit: {hit:?}");
    for step in Step::ALL {
        let count = hit.get(step.name()).copied().unwrap_or(0);
        assert!(count >= runs / 20, "{} was hit {count} times in {runs} runs", step.name());
    }
}

/// Runs a stage as the program does, until it ends.
fn run_stage(context: &Context, settings: &Settings) -> Result<StageEnd, StageFailure> {
    Stage::start(context, settings, None).unwrap().join()
}

fn letters(log: &dyn Log) -> Vec<DeadLetter> {
    read_all(log, Topic::DeadLetters)
        .iter()
        .map(|record| decode_own(Contract::DeadLetter, record.payload()).unwrap())
        .collect()
}

#[test]
fn a_record_that_panics_becomes_a_dead_letter_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    let mut input = Input::default();
    simulated(200).for_each(|event| input.event(&event));
    input.append(&log);
    let bad = Position { topic: Topic::Transactions, partition: 1, offset: 20 };
    let faults = Faults::new(move |step, at| {
        assert!(step != Step::Apply || at != Some(bad), "a defect meets this record");
        false
    });
    let context = context(log, faults, Writers::built_in());
    assert_eq!(run_stage(&context, &settings()).unwrap(), StageEnd::AtEnd);
    let letters = letters(context.log.as_ref());
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.stage.as_str(), letter.code.as_str()), ("panic", "panicked"));
    assert_eq!((letter.topic.as_str(), letter.partition, letter.offset), ("transactions", 1, 20));
    let labels = read_all(context.log.as_ref(), Topic::Labels).len();
    let decisions = read_all(context.log.as_ref(), Topic::Decisions).len();
    assert_eq!(decisions, 200 - labels - 1);
}

#[test]
fn too_many_bad_records_in_a_row_stop_the_stage_and_scattered_ones_do_not() {
    let poisoned = |run: usize, good_between: usize| {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
        let mut input = Input::default();
        for (i, event) in simulated(2_000).enumerate() {
            input.event(&event);
            if i % good_between == 0 {
                (0..run).for_each(|_| input.raw(Topic::Transactions, 0, b"rubbish"));
            }
        }
        input.append(&log);
        let context = context(log, Faults::default(), Writers::built_in());
        (run_stage(&context, &settings()), context, folder)
    };
    let (ended, context, _folder) = poisoned(1, 10);
    assert_eq!(ended.unwrap(), StageEnd::AtEnd);
    assert_eq!(letters(context.log.as_ref()).len(), 200);
    assert!(letters(context.log.as_ref()).iter().all(|letter| letter.code == "unframed"));

    let (ended, context, _folder) = poisoned(150, 5_000);
    let failure = ended.unwrap_err();
    assert!(matches!(
        failure,
        StageFailure::Poison(TooMuchPoison::Run { run: 101, limit: 100, .. })
    ));
    assert!(failure.to_string().contains("101 records in a row"), "{failure}");
    assert!(letters(context.log.as_ref()).len() <= 100, "the last batch was not committed");
}

/// A payment's contract as a later producer writes it: one more field at the end.
const LATER: &str = r#"{"type":"record","name":"Chat","namespace":"weir","fields":[
    {"name":"event_id","type":"string"},
    {"name":"event_time","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"account_id","type":"string"},{"name":"conversation_id","type":"string"},
    {"name":"message_id","type":"string"},
    {"name":"author","type":{"type":"enum","name":"Author","symbols":["CUSTOMER","BOT","AGENT"]}},
    {"name":"text","type":"string"},{"name":"mood","type":"string"}]}"#;

#[test]
fn a_dead_letter_stays_out_of_state_until_it_is_requeued_and_then_gets_its_decision() {
    let schema: serde_avro_fast::Schema = LATER.parse().unwrap();
    #[derive(serde::Serialize)]
    struct Later {
        event_id: &'static str,
        event_time: i64,
        account_id: &'static str,
        conversation_id: &'static str,
        message_id: &'static str,
        author: &'static str,
        text: &'static str,
        mood: &'static str,
    }
    let later = Later {
        event_id: "e1",
        event_time: NOW_MS,
        account_id: "a",
        conversation_id: "c",
        message_id: "m1",
        author: "CUSTOMER",
        text: "I did not make this payment",
        mood: "upset",
    };
    let mut config = serde_avro_fast::ser::SerializerConfig::new(&schema);
    let payload = serde_avro_fast::to_single_object_vec(&later, &mut config).unwrap();
    let partition = partition_of(b"default/a", PARTITIONS);

    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    let append = |log: &EmbeddedLog| {
        let mut input = Input::default();
        input.raw(Topic::Chats, partition, &payload);
        input.append(log);
    };
    append(&log);
    let before = context(log.clone(), Faults::default(), Writers::built_in());
    run_stage(&before, &settings()).unwrap();
    let letter = letters(&log).remove(0);
    assert_eq!(letter.code, "unknown_schema");
    assert!(read_all(&log, Topic::Decisions).is_empty());

    // the cause is fixed: the schema is known now. restored state must not know the record
    let writers = || {
        let mut writers = Writers::built_in();
        writers.add(LATER).unwrap();
        writers
    };
    let after = context(log.clone(), Faults::default(), writers());
    run_stage(&after, &settings()).unwrap();
    assert!(read_all(&log, Topic::Decisions).is_empty(), "it is not requeued yet");
    append(&log);
    let requeued = context(log.clone(), Faults::default(), writers());
    run_stage(&requeued, &settings()).unwrap();
    let decisions = read_all(&log, Topic::Decisions);
    assert_eq!(decisions.len(), 1, "a decision, not a duplicate");
    let decision: Decision<'_> = decode_own(Contract::Decision, decisions[0].payload()).unwrap();
    assert_eq!((decision.kind, decision.outcome), (Kind::Chat, Outcome::Review));
    assert_eq!(decision.source.offset, 1);
    assert_eq!(letters(&log).len(), 1);
}

#[test]
fn a_stop_commits_what_was_taken_and_the_next_process_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    let mut input = Input::default();
    simulated(3_000).for_each(|event| input.event(&event));
    input.append(&log);
    let live = Settings {
        merge: Merge::Live { wait: Duration::ZERO },
        until_end: false,
        batch_records_max: 20,
        ..settings()
    };
    let first = context(log.clone(), Faults::default(), Writers::built_in());
    let stage = Stage::start(&first, &live, None).unwrap();
    while log.end(Topic::Decisions, 0).unwrap() < 100 {
        first.stop.wait(Duration::from_millis(1));
    }
    first.stop.stop();
    assert_eq!(stage.join().unwrap(), StageEnd::Drained);
    let decided = read_all(&log, Topic::Decisions).len();
    assert!(decided < 2_900, "{decided}: it stopped on the way");

    let second = context(log.clone(), Faults::default(), Writers::built_in());
    assert_eq!(run_stage(&second, &settings()).unwrap(), StageEnd::AtEnd);
    let decisions = read_all(&log, Topic::Decisions);
    let sources: HashSet<(String, i32, i64)> = decisions
        .iter()
        .map(|record| {
            let decision: Decision<'_> = decode_own(Contract::Decision, record.payload()).unwrap();
            let source = decision.source;
            (source.topic.to_string(), source.partition, source.offset)
        })
        .collect();
    assert_eq!(sources.len(), decisions.len(), "nothing twice");
    assert_eq!(decisions.len() + read_all(&log, Topic::Labels).len(), 3_000, "nothing lost");
}

#[test]
fn at_least_once_a_crash_loses_nothing_and_repeats_under_the_same_ids() {
    let ids = |log: &dyn Log| -> Vec<String> {
        let records = read_all(log, Topic::Decisions);
        let id = |record: &Record| {
            let decision: Decision<'_> = decode_own(Contract::Decision, record.payload()).unwrap();
            decision.decision_id.to_string()
        };
        records.iter().map(id).collect()
    };
    let run = |exactly_once: bool, faults: &Faults| {
        let folder = tempfile::tempdir().unwrap();
        {
            let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
            mixed_input(&mut ChaCha8Rng::seed_from_u64(7), 200).append(&log);
        }
        let settings = Settings { exactly_once, batch_records_max: 20, ..settings() };
        let (_, crashes) =
            live_to_the_end(folder.path(), faults, &settings, &SnapshotPlan::None, || true);
        let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
        (ids(&log), crashes)
    };
    let (expected, _) = run(true, &Faults::default());
    let commits = AtomicU64::new(0);
    let faults = Faults::new(move |step, _| {
        step == Step::Commit && commits.fetch_add(1, Ordering::Relaxed) % 3 == 1
    });
    let (found, crashes) = run(false, &faults);
    assert!(crashes > 2, "{crashes} crashes");
    assert!(found.len() > expected.len(), "nothing was repeated");
    let set = |ids: Vec<String>| ids.into_iter().collect::<std::collections::BTreeSet<_>>();
    assert_eq!(set(found), set(expected));
}

#[test]
fn a_stop_during_a_restore_leaves_no_snapshot_of_half_a_state() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    {
        let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
        mixed_input(&mut ChaCha8Rng::seed_from_u64(7), 80).append(&log);
    }
    let plan = SnapshotPlan::None;
    live_to_the_end(folder.path(), &Faults::default(), &settings(), &plan, || false);
    let stop = Stop::default();
    let asked = stop.clone();
    let faults = Faults::new(move |step, _| {
        if step == Step::Restore {
            asked.stop();
        }
        false
    });
    let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
    let mut context = context(log, faults, Writers::built_in());
    context.stop = stop;
    context.snapshots = snapshots(folder.path(), Duration::ZERO, &runtime);
    let processor = Processor::new(
        Arc::clone(&context.decoder),
        Switch::fixed(engine()),
        Horizon::default(),
        Arc::default(),
        Faults::default(),
        None,
    );
    let part = context.health.part("test");
    let settings = settings();
    let (panicked, mut gauge) = (HashSet::new(), PoisonGauge::new(settings.poison));
    let mut life =
        Life::begin(&context, &settings, 0, &part, &panicked, &mut gauge, processor).unwrap();
    let ended = life.run();
    assert!(matches!(ended, Err(Crash::Interrupted)), "{ended:?}");
    let vault = context.snapshots.vault().unwrap();
    assert!(vault.series().unwrap().is_empty(), "nothing of it may be kept");
}

#[test]
fn after_its_tombstones_an_account_is_a_new_one_whether_it_was_in_memory_or_in_a_snapshot() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let events: Vec<Event<'static>> = simulated(3_000).collect();
    let erased = events[0].key();
    let of_erased = |event: &&Event<'_>| event.key() == erased && event.kind() != Kind::Label;
    let decided = events.iter().filter(of_erased).count();
    assert!(decided >= 10, "{decided} events");
    let folder = tempfile::tempdir().unwrap();
    let plan = snapshots(folder.path(), Duration::from_secs(3_600), &runtime);
    let run = |fill: &dyn Fn(&mut Input)| {
        let log = EmbeddedLog::open(folder.path(), &options()).unwrap();
        let before = log.ends(&[(Topic::Decisions, 0), (Topic::Decisions, 1)]).unwrap();
        let mut input = Input::default();
        fill(&mut input);
        input.append(&log);
        let mut context = context(log.clone(), Faults::default(), Writers::built_in());
        context.snapshots = plan.clone();
        assert_eq!(run_stage(&context, &settings()).unwrap(), StageEnd::AtEnd);
        assert!(letters(&log).is_empty());
        let after = log.ends(&[(Topic::Decisions, 0), (Topic::Decisions, 1)]).unwrap();
        after.iter().sum::<i64>() - before.iter().sum::<i64>()
    };
    let all = events.iter().filter(|event| event.kind() != Kind::Label).count() as i64;
    assert_eq!(run(&|input| events.iter().for_each(|event| input.event(event))), all);
    let again = |input: &mut Input| {
        let of_account = events.iter().filter(|event| event.key() == erased);
        of_account.rev().take(10).for_each(|event| input.event(event));
    };
    assert_eq!(run(&again), 0, "all of them are duplicates");
    let last = events.iter().filter(|event| event.key() == erased).rev().take(10);
    let new = last.filter(|event| event.kind() != Kind::Label).count() as i64;
    let erase_and_again = |input: &mut Input| {
        Topic::READ.iter().for_each(|topic| input.erase(*topic, &erased));
        again(input);
    };
    assert_eq!(run(&erase_and_again), new, "each is new, once");
    assert_eq!(run(&again), 0, "and known since");
}

//! Backtests: the same for any number of threads, the same as what the embedded worker decides about the
//! same events, and clear about what is wrong with their input.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::copy_folder;
use tempfile::TempDir;
use weir::backtest::{self, Done, Input, Plan, Truth};
use weir::codec::{Contract, decode_own, json};
use weir::config::Topology;
use weir::event::{DeadLetter, Decision, Event, Kind, Position, Slot, Topic};
use weir::log::embedded::EmbeddedLog;
use weir::log::{Log, Record};
use weir::replay::Map;
use weir::score::{Engine, Lists, RuleSet};
use weir::sim::{Settings, Simulator};
use weir::state::{FeatureSet, Horizon};

const EVENTS: usize = 6_000;
/// Another seed is another history.
const SEED: u64 = 7;
/// Every so many events one is there again, and one with something else in it.
const REPEATED: usize = 50;
const CONTRADICTED: usize = 71;
/// The command line or its input is wrong.
const INVALID: i32 = 2;

/// A rule that reads profiles of others than the account.
const RULE: &str = r#"
[[rule]]
id = "terminal_with_fraud"
when = "terminal_fraud_rate_30d > 0.0 || terminal_payments_count_7d > 3"
action = "score"
weight = 0.45
reason = "TERMINAL"
text = "{terminal_payments_count_7d} payments at this terminal"
"#;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The shipped topology with the features of the handbook, which look at terminals too, in one partition
/// so that there is one order.
fn topology(folder: &Path) -> PathBuf {
    let topology = folder.join("topology");
    copy_folder(&repository().join("topology"), &topology);
    let edit = |file: &str, edit: &dyn Fn(String) -> String| {
        let path = topology.join(file);
        let text = edit(std::fs::read_to_string(&path).unwrap());
        std::fs::write(path, text).unwrap();
    };
    let handbook = repository().join("load-tests/handbook/topology/features.toml");
    let handbook = std::fs::read_to_string(handbook).unwrap();
    let (_, handbook) = handbook.split_once("\n\n[[feature]]").unwrap();
    edit("features.toml", &|text| format!("{text}\n[[feature]]{handbook}"));
    edit("rules/transactions.toml", &|text| text + RULE);
    edit("weir.toml", &|text| {
        let text = text.replacen("merge = \"live\"", "merge = \"strict\"", 1);
        let text = text.replacen("partitions = 4", "partitions = 1", 1);
        text.replacen("durable = true", "durable = false", 1)
    });
    topology
}

/// A history with repetitions, contradictions and a card number in it, as JSON Lines.
fn history(folder: &Path) -> PathBuf {
    let settings =
        Settings { seed: SEED, accounts: 300, events_per_second: 0.005, ..Settings::default() };
    let mut lines = Vec::new();
    let events = Simulator::new(settings).unwrap().map(|one| one.event).take(EVENTS);
    for (i, event) in events.enumerate() {
        lines.push(json::to_line(&event).unwrap());
        if i % REPEATED == 0 {
            lines.push(json::to_line(&event).unwrap());
        }
        if let Event::Transaction(payment) = &event {
            let mut other = payment.clone();
            if i % CONTRADICTED == 0 {
                other.amount_minor += 1;
                lines.push(json::to_line(&Event::Transaction(other.clone())).unwrap());
            }
            if i % CONTRADICTED == 1 {
                other.event_id = format!("{}-card", &*other.event_id).into();
                other.card_id = Some("4111111111111111".into());
                lines.push(json::to_line(&Event::Transaction(other)).unwrap());
            }
        }
    }
    let path = folder.join("history.jsonl");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    path
}

fn plan(topology: &Path, inputs: Vec<Input>, threads: usize, export: Option<PathBuf>) -> Plan {
    let topology = Topology::load(topology).unwrap();
    let horizon = Horizon::default();
    let features = Arc::new(FeatureSet::load(&topology.features, horizon.ids).unwrap());
    let engine =
        || Engine::new(RuleSet::load(&topology.rules, &Lists::default(), &features).unwrap());
    Plan {
        inputs,
        engine: engine(),
        challengers: vec![("live".to_owned(), engine())],
        features: Arc::clone(&features),
        horizon,
        truth: Truth::Disputes,
        from: None,
        to: None,
        limit: None,
        skip_bad: false,
        threads,
        export,
    }
}

fn run(plan: &Plan) -> Done {
    backtest::run(plan, &mut |_| {}).unwrap()
}

fn weir(words: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    let output = command.args(["--log", "warn"]).args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn read_all(log: &EmbeddedLog, topic: Topic) -> Vec<Record> {
    let mut records = Vec::new();
    let mut reader = log.reader().unwrap();
    let end = log.end(topic, 0).unwrap();
    let mut offset = 0;
    while offset < end {
        let from = Position { topic, partition: 0, offset };
        offset = reader.read(from, end, 1 << 20, &mut records).unwrap();
    }
    records
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let (topology, history) = (topology(folder.path()), history(folder.path()));
    let all: Vec<(Done, Vec<u8>)> = [1, 2, 4]
        .map(|threads| {
            let export = folder.path().join(format!("features-{threads}.csv"));
            let input = Input { path: history.clone(), map: None };
            let done = run(&plan(&topology, vec![input], threads, Some(export.clone())));
            (done, std::fs::read(export).unwrap())
        })
        .into();
    let (first, first_bytes) = &all[0];
    assert!(first.samples.len() > EVENTS / 2, "{:?}", first.tally);
    assert_eq!(first.tally.out_of_turn, 0);
    for (done, bytes) in &all[1..] {
        assert_eq!(done.samples, first.samples, "seed {SEED}");
        assert_eq!(done.tally, first.tally, "seed {SEED}");
        assert_eq!(done.names, first.names);
        assert!(bytes == first_bytes, "the exported features differ, seed {SEED}");
    }
    for sample in &first.samples {
        let [live] = sample.challengers[..] else { panic!("one challenger, {sample:?}") };
        assert_eq!((live.outcome, live.score), (sample.outcome, sample.score));
    }
    // numbers without gaps, in the order in which accounts are met
    let mut seen = BTreeSet::new();
    for sample in &first.samples {
        assert!(sample.account as usize <= seen.len());
        seen.insert(sample.account);
    }
    let left = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().ends_with(".new")));
}

/// A feature or field as it is exported.
fn cell(value: &Slot<'_>) -> String {
    match value {
        Slot::Null => String::new(),
        Slot::Bool(value) => u8::from(*value).to_string(),
        Slot::Text(text) => (*text).to_owned(),
        value => value.to_string(),
    }
}

#[test]
fn a_backtest_decides_what_the_embedded_worker_decides() {
    let folder = TempDir::new().unwrap();
    let (topology, history) = (topology(folder.path()), history(folder.path()));
    let data = folder.path().join("data");
    let places = ["--topology", topology.to_str().unwrap(), "--data", data.to_str().unwrap()];
    let replay = [&["replay"], &places[..], &[history.to_str().unwrap()]].concat();
    assert_eq!(weir(&replay).0, 0);
    let score = ["--roles", "score", "--until-end"];
    let ended = weir(&[&["run"], &places[..], &score].concat());
    assert_eq!(ended.0, 0, "{}", ended.2);

    let export = folder.path().join("features.csv");
    let input = Input { path: history, map: None };
    let done = run(&plan(&topology, vec![input], 2, Some(export.clone())));
    let mut lines = csv::Reader::from_path(export).unwrap();
    let header = lines.headers().unwrap().clone();
    let mut lines = lines.records().map(Result::unwrap);

    let log = EmbeddedLog::open_read_only(&data).unwrap();
    let records = read_all(&log, Topic::Decisions);
    assert_eq!(records.len(), done.samples.len(), "{:?}", done.tally);
    let (mut matched, mut frauds) = (0, 0);
    for (record, sample) in records.iter().zip(&done.samples) {
        let decision: Decision<'_> = decode_own(Contract::Decision, record.payload()).unwrap();
        let id = &*decision.event_id;
        assert_eq!((decision.event_time, decision.kind), (sample.time, sample.kind), "{id}");
        assert_eq!(decision.outcome, sample.outcome, "{id}");
        assert_eq!(decision.score.to_bits(), sample.score.to_bits(), "{id}");
        let theirs: BTreeSet<&str> = decision.reasons.iter().map(|reason| &*reason.rule).collect();
        let ours = sample.rules.iter().map(|rule| done.names.rules[usize::from(*rule)].as_str());
        assert_eq!(theirs, ours.collect(), "{id}");
        matched += theirs.len();
        if decision.kind != Kind::Transaction {
            continue;
        }
        let line = lines.next().unwrap();
        assert_eq!(&line[0], id);
        let label = sample.label.unwrap();
        frauds += usize::from(label);
        assert_eq!(&line[4], if label { "1" } else { "0" }, "{id}");
        let at = header.len() - decision.features.len();
        let features: Vec<String> = decision.features.iter().map(cell).collect();
        assert!(line.iter().skip(at).eq(features.iter().map(String::as_str)), "{id}: {line:?}");
        for field in &decision.fields {
            let at = header.iter().position(|name| name == &*field.name).unwrap();
            assert_eq!(line[at], cell(&field.value), "{id}: {}", field.name);
        }
    }
    assert_eq!(lines.count(), 0);
    assert!(
        matched > 50 && frauds > 5,
        "{matched} rules matched, {frauds} frauds: too few to tell"
    );

    let mut letters: BTreeMap<(String, String), u64> = BTreeMap::new();
    for record in read_all(&log, Topic::DeadLetters) {
        let letter: DeadLetter = decode_own(Contract::DeadLetter, record.payload()).unwrap();
        *letters.entry((letter.stage, letter.code)).or_default() += 1;
    }
    let refused = done
        .tally
        .refused
        .iter()
        .map(|((stage, code), (count, _))| (((*stage).to_owned(), (*code).to_owned()), *count));
    assert_eq!(letters, refused.collect());
    assert!(letters.len() == 2 && done.tally.duplicates > 0, "{letters:?} {:?}", done.tally);
}

const HEADER: &str = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n";

/// Payments in the form of the handbook's: of three terminals, one fraud in ten.
fn payments(folder: &Path, more: &str) -> PathBuf {
    let mut text = HEADER.to_owned();
    for i in 0..200 {
        let (day, hour, fraud) = (1 + i / 10, 2 * (i % 10), u8::from(i % 10 == 3));
        let who = format!("{},{}", i % 7, i % 3);
        text += &format!("{i},2018-04-{day:02} {hour:02}:00:00,{who},{}.50,{fraud}\n", 10 + i % 90);
    }
    let path = folder.join("payments.csv");
    std::fs::write(&path, text + more).unwrap();
    path
}

fn maps() -> [String; 2] {
    ["handbook.toml", "handbook-disputes.toml"]
        .map(|map| repository().join("load-tests/maps").join(map).to_str().unwrap().to_owned())
}

#[test]
fn a_file_may_be_read_with_several_maps_and_labels_are_the_same_from_either_source() {
    let folder = TempDir::new().unwrap();
    let topology = topology(folder.path());
    let path = payments(folder.path(), "");
    let inputs = || {
        let map = |map: &String| Some(Map::load(Path::new(map)).unwrap());
        maps().iter().map(|file| Input { path: path.clone(), map: map(file) }).collect::<Vec<_>>()
    };
    let by_disputes = run(&plan(&topology, inputs(), 2, None));
    let column = Truth::Column("TX_FRAUD".to_owned());
    let by_column = run(&Plan { truth: column, ..plan(&topology, inputs(), 2, None) });
    let labels = |done: &Done| -> Vec<Option<bool>> {
        let payments = done.samples.iter().filter(|sample| sample.kind == Kind::Transaction);
        payments.map(|sample| sample.label).collect()
    };
    assert_eq!(labels(&by_disputes), labels(&by_column));
    let frauds = labels(&by_column).iter().filter(|label| **label == Some(true)).count();
    assert_eq!((labels(&by_column).len(), frauds), (200, 20));
    let disputes = by_column.samples.iter().filter(|sample| sample.kind == Kind::Dispute);
    assert!(disputes.clone().all(|sample| sample.label.is_none()) && disputes.count() == 20);
    // in the order of their times, a dispute before a payment of the same moment
    let order = |sample: &backtest::Sample| (sample.time, sample.kind.topic().rank());
    assert!(by_column.samples.is_sorted_by_key(order));

    let from = by_column.samples[100].time;
    let later = run(&Plan { from: Some(from), ..plan(&topology, inputs(), 2, None) });
    let expected = by_disputes.samples.iter().filter(|sample| sample.time >= from);
    let scores = |sample: &backtest::Sample| (sample.time, sample.score, sample.label);
    assert!(later.samples.iter().map(scores).eq(expected.map(scores)), "warm from the beginning");
}

#[test]
fn kinds_of_one_file_are_put_in_order_and_the_newest_word_on_a_payment_counts() {
    let folder = TempDir::new().unwrap();
    let topology = topology(folder.path());
    let account = r#"a,"b"#;
    let line = |kind: &str, id: &str, hour: u32, more: &str| {
        let account = account.replace('"', "\\\"");
        format!(
            r#"{{"kind":"{kind}","event_id":"{id}","event_time":"2026-03-01T{hour:02}:00:00Z","account_id":"{account}",{more}}}"#
        )
    };
    let label = |id: &str, hour, payment: &str, verdict: &str| {
        let more = format!(
            r#""subject_kind":"TRANSACTION","subject_id":"{payment}","verdict":"{verdict}","source":"a""#
        );
        line("label", id, hour, &more)
    };
    let payment = |id: &str, hour| {
        let more = format!(
            r#""transaction_id":"{id}","merchant_id":"m","amount_minor":5,"currency":"EUR","channel":"POS","status":"CAPTURED""#
        );
        line("transaction", id, hour, &more)
    };
    let chat = r#""conversation_id":"c","message_id":"c1","author":"CUSTOMER","text":"hello""#;
    let lines = [
        label("l1", 5, "p1", "FRAUD"),
        label("l2", 6, "p1", "GENUINE"),
        label("l3", 7, "p2", "FRAUD"),
        payment("p1", 1),
        payment("p2", 3),
        line("chat", "c1", 2, chat),
    ];
    let history = folder.path().join("history.jsonl");
    std::fs::write(&history, lines.join("\n")).unwrap();
    let export = folder.path().join("features.csv");
    let input = Input { path: history, map: None };
    let done = run(&plan(&topology, vec![input], 2, Some(export.clone())));
    let found: Vec<_> = done.samples.iter().map(|sample| (sample.kind, sample.label)).collect();
    let (payment, chat) = (Kind::Transaction, Kind::Chat);
    assert_eq!(found, [(payment, Some(false)), (chat, None), (payment, Some(true))]);
    let mut lines = csv::Reader::from_path(export).unwrap();
    let lines: Vec<_> = lines.records().map(Result::unwrap).collect();
    let cells: Vec<_> = lines.iter().map(|line| [&line[0], &line[2], &line[4]]).collect();
    let account = format!("default/{account}");
    assert_eq!(cells, [["p1", &account, "0"], ["p2", &account, "1"]]);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let folder = TempDir::new().unwrap();
    let topology = topology(folder.path());
    let good = payments(folder.path(), "");
    let good = good.to_str().unwrap();
    let folders = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let bad = payments(folders.0.path(), "x,2018-05-01,1,1,1.00,0\n");
    let odd = payments(folders.1.path(), "200,2018-05-01 00:00:00,1,1,1.00,maybe\n");
    let (bad, odd) = (bad.to_str().unwrap(), odd.to_str().unwrap());
    let [map, disputes] = &maps();
    let column = |name| ["--labels", name];
    for (words, parts) in [
        (vec!["--data", good], vec!["payments.csv", "a CSV file needs a map"]),
        (vec!["--data", good, "--map", "no.toml"], vec!["no.toml", "cannot be read"]),
        (vec!["--data", "none.csv", "--map", map], vec!["none.csv", "cannot be read"]),
        (
            [&["--data", good, "--map", map][..], &column("column:TX_FRAUDS")].concat(),
            vec!["payments.csv", "\"TX_FRAUDS\", which --labels names", "TX_FRAUD\""],
        ),
        (
            [&["--data", good, "--map", disputes][..], &column("column:TX_FRAUD")].concat(),
            vec!["--labels column:TX_FRAUD", "a map for payments"],
        ),
        (
            [&["--data", odd, "--map", map][..], &column("column:TX_FRAUD")].concat(),
            vec!["line 202 (row 201)", "\"maybe\"", "1 or 0"],
        ),
        (vec!["--data", bad, "--map", map], vec!["line 202 (row 201)", "event_time", "2018-05-01"]),
        (vec!["--data", good, "--map", map, "--compare", "live"], vec!["--rules"]),
        (vec!["--data", good, "--map", map, "--from", "May"], vec!["a date such as"]),
        (
            vec!["--data", good, "--map", map, "--from", "2018-05-02", "--to", "2018-05-01"],
            vec!["--from is 2018-05-02", "before --to"],
        ),
        (
            vec!["--data", good, "--map", map, "--rules", folder.path().to_str().unwrap()],
            vec!["has no .toml file"],
        ),
    ] {
        let topology = ["backtest", "--topology", topology.to_str().unwrap()];
        let (code, _, said) = weir(&[&topology[..], &words].concat());
        assert_eq!(code, INVALID, "{words:?}: {said}");
        let said = said.replace("\n", " ");
        assert!(parts.iter().all(|part| said.contains(part)), "{words:?}: {said}");
    }
    let place = folder.path().to_str().unwrap();
    let topology_words = ["backtest", "--topology", topology.to_str().unwrap()];
    let words = [&topology_words[..], &["--data", good, "--map", map, "--export", place]].concat();
    let (code, _, said) = weir(&words);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(place) && said.contains("no regular file"), "{said}");
    let result = folder.path().join("result.json");
    let rules = topology.join("rules");
    let words = [
        "backtest",
        "--topology",
        topology.to_str().unwrap(),
        "--data",
        bad,
        "--map",
        map,
        "--skip-bad",
        "--json",
        result.to_str().unwrap(),
        "--rules",
        rules.to_str().unwrap(),
        "--compare",
        "live",
    ];
    let (code, _, said) = weir(&words);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 rows make no event") && said.contains("a second"), "{said}");
    let result: serde_json::Value =
        serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap();
    let run = &result["run"];
    assert_eq!((&run["bad_rows"], &run["events"]), (&1.into(), &200.into()));
    let same = run["challengers"]["live"].as_object().unwrap();
    assert!(same.keys().all(|key| key.split_once(' ').is_some_and(|(a, b)| a == b)), "{same:?}");
}

//! What decides is changed, taken back and refused; and every decision re-runs from its own record, whatever
//! has decided since.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::world::World;
use serde_json::Value as Json;
use weir::codec::{Contract, Encoder, decode_own};
use weir::event::{Control, ControlAction, Decision, Millis, Position, Reason, Text, Topic};
use weir::log::embedded::{EmbeddedLog, Options};
use weir::log::{Log, Record, RecordBatch};

const INVALID: i32 = 2;
const NEWER: i32 = 5;
const UNPROVED: i32 = 7;

impl World {
    fn run(&self) {
        self.done(&["run", "--roles", "score,store", "--until-end"]);
    }

    /// A folder of rules like the topology's, with something else in the rules of payments.
    fn rules(&self, name: &str, from: &str, to: &str) -> PathBuf {
        let folder = self.folder.path().join(name);
        common::copy_folder(&self.topology().join("rules"), &folder);
        let file = folder.join("transactions.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&file, text.replacen(from, to, 1)).unwrap();
        folder
    }

    fn publish(&self, folder: &Path) -> Json {
        self.json(&["rules", "publish", &folder.display().to_string(), "--by", "a test", "--json"])
    }

    /// Every decision's record, partition by partition.
    fn records(&self) -> Vec<Vec<Record>> {
        let log = EmbeddedLog::open_read_only(&self.data()).unwrap();
        let partition = |partition| {
            let mut records = Vec::new();
            let mut from = Position { topic: Topic::Decisions, partition, offset: 0 };
            let end = log.end(Topic::Decisions, partition).unwrap();
            let mut reader = log.reader().unwrap();
            while from.offset < end {
                from.offset = reader.read(from, end, 1 << 20, &mut records).unwrap();
            }
            records
        };
        (0..log.partitions(Topic::Decisions).unwrap()).map(partition).collect()
    }

    /// Version, policy and rule set of every decision, in the order of its partition.
    fn decided(&self) -> Vec<(i64, String, String)> {
        let mut found = Vec::new();
        for (partition, records) in self.records().into_iter().enumerate() {
            let mut versions = Vec::new();
            for record in &records {
                let decision: Decision<'_> =
                    decode_own(Contract::Decision, record.payload()).unwrap();
                versions.push(decision.policy_version);
                let names = (decision.policy.to_string(), decision.rule_set.to_string());
                found.push((decision.policy_version, names.0, names.1));
            }
            assert!(versions.is_sorted(), "versions step back in partition {partition}");
        }
        found
    }

    fn control(&self, change: &Control<'_>) {
        let options = Options { partitions: 4, durable: false, pages_max: None };
        let log = EmbeddedLog::open(&self.data(), &options).unwrap();
        let (mut payload, mut batch) = (Vec::new(), RecordBatch::default());
        Encoder::default().encode(Contract::Control, change, &mut payload).unwrap();
        batch.push(Topic::Control, 0, 0, b"rules@test", &payload);
        log.appender().unwrap().append(&batch).unwrap();
    }

    /// What became of each change.
    fn history(&self) -> Vec<Json> {
        let lines = self.done(&["rules", "history", "--json"]);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn change(format: i32, artifact: &str) -> Control<'static> {
    Control {
        format,
        name: Text::from("rules"),
        action: ControlAction::Publish,
        artifact: Some(Text::from(artifact.to_owned())),
        change: None,
        note: None,
        issued_at: Millis(0),
        issued_by: Text::from("a test"),
        weir: Text::from("9.9"),
    }
}

#[test]
fn rules_are_published_and_taken_back_and_every_decision_re_runs() {
    let world = World::begin("control", None);
    world.generate("1");
    world.run();
    let first = world.publish(&world.rules("strict", "block = 0.90", "block = 0.75"));
    assert_eq!(first["version"], 1);
    world.generate("2");
    world.run();
    let back = world.json(&["rules", "rollback", "--json"]);
    assert_eq!((&back["version"], &back["artifact"]), (&Json::from(2), &Json::Null));
    // what was taken back does not come again
    let (code, _, said) = world.weir(&["rules", "rollback"]);
    assert_eq!(code, INVALID, "{said}");
    world.generate("3");
    world.run();
    let decided = world.decided();
    let mut rule_sets: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for (version, _, rules) in &decided {
        let known = rule_sets.entry(*version).or_default();
        if !known.contains(&rules.as_str()) {
            known.push(rules);
        }
    }
    assert_eq!(rule_sets.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    assert!(rule_sets.values().all(|sets| sets.len() == 1), "{rule_sets:?}");
    assert_eq!(rule_sets[&1], [first["rule_set"].as_str().unwrap()]);
    assert_eq!(rule_sets[&0], rule_sets[&2]);
    assert_ne!(rule_sets[&0], rule_sets[&1]);
    let again = |from| world.json(&["explain", "--verify", from, "--json"]);
    let (topic, store) = (again("topic"), again("store"));
    assert_eq!((&topic["same"], &topic["different"]), (&decided.len().into(), &0.into()));
    // of the same id the first is stored
    assert!(store["same"].as_u64() > Some(8_000) && store["different"] == 0, "{store}");
}

#[test]
fn a_decision_out_of_a_file_re_runs_and_one_that_was_changed_does_not() {
    let world = World::begin("control", None);
    world.generate("1");
    world.run();
    let records = world.records();
    let lines: Vec<String> = records
        .iter()
        .flatten()
        .take(50)
        .map(|record| {
            let decision: Decision<'_> = decode_own(Contract::Decision, record.payload()).unwrap();
            weir::codec::json::to_value(Contract::Decision, &decision).unwrap().to_string()
        })
        .collect();
    let file = world.folder.path().join("decisions.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let path = file.display().to_string();
    let again = world.json(&["explain", "--verify", &path, "--json"]);
    assert_eq!((&again["same"], &again["different"]), (&lines.len().into(), &0.into()));
    let mut spoilt: Json = serde_json::from_str(&lines[3]).unwrap();
    spoilt["score"] = 0.123.into();
    std::fs::write(&file, format!("{}\n{spoilt}", lines[0])).unwrap();
    let (code, _, said) = world.weir(&["explain", "--verify", &path]);
    assert_eq!(code, UNPROVED, "{said}");
    assert!(said.contains(&format!("{path}:2: decided again")), "{said}");
    spoilt["policy"] = "00112233445566778899aabbccddeeff".into();
    std::fs::write(&file, spoilt.to_string()).unwrap();
    let (code, _, said) = world.weir(&["explain", "--verify", &path]);
    assert_eq!(code, UNPROVED, "{said}");
    let missing = "policy of hash 00112233445566778899aabbccddeeff is not among the artifacts at ";
    assert!(said.contains(missing), "{said}");
}

#[test]
fn what_is_unsound_is_not_published_and_nothing_changes() {
    let world = World::begin("control", None);
    world.generate("1");
    world.run();
    let rules = std::fs::read_to_string(world.topology().join("rules/transactions.toml")).unwrap();
    let test = rules.lines().find(|line| line.contains("expect = true")).unwrap();
    let failing = test.replace("expect = true", "expect = false");
    for (name, from, to, part) in [
        ("tests", test, failing.as_str(), "gives true, expected false"),
        ("names", "when = \"", "when = \"payment_count_24h > 1 && ", "did you mean"),
        ("types", "when = \"", "when = \"channel > 5 && ", "string > int"),
    ] {
        let folder = world.rules(name, from, to);
        let (code, printed, said) =
            world.weir(&["rules", "publish", &folder.display().to_string()]);
        assert_eq!((code, printed.as_str()), (INVALID, ""), "{said}");
        assert!(said.contains("transactions.toml:") && said.contains(part), "{said}");
    }
    assert!(world.history().is_empty());
    let (code, _, said) = world.weir(&["rules", "rollback"]);
    assert_eq!(code, INVALID);
    assert!(said.contains("nothing to go back to"), "{said}");
    let (code, _, said) = world.weir(&["rules", "rollback", "--to", "7"]);
    assert_eq!(code, INVALID);
    assert!(said.contains("there is no version 7, expected 0 to 0"), "{said}");
}

#[test]
fn a_change_that_cannot_be_is_rejected_with_its_reason_and_the_old_goes_on() {
    let world = World::begin("control", None);
    let published = world.publish(&world.rules("strict", "block = 0.90", "block = 0.75"));
    // of an older weir; of what there is not
    world.control(&change(0, published["artifact"].as_str().unwrap()));
    world.control(&Control { name: Text::from("sieve"), ..change(Control::FORMAT, "00") });
    world.generate("1");
    world.run();
    let reasons: Vec<String> = world
        .history()
        .iter()
        .map(|entry| entry["rejected"].as_str().unwrap_or_default().to_owned())
        .collect();
    let parts = ["", "by weir \"9.9\" in format 0, expected format 1", "\"sieve\""];
    assert_eq!(reasons.len(), parts.len());
    for (reason, part) in reasons.iter().zip(parts) {
        assert!(reason.contains(part) && reason.is_empty() == part.is_empty(), "{reason}");
    }
    let decided = world.decided();
    let wanted = (3, published["rule_set"].as_str().unwrap());
    assert!(!decided.is_empty());
    assert!(decided.iter().all(|(version, _, rules)| (*version, rules.as_str()) == wanted));
    // what is not kept is waited for: somebody else may see it already
    world.control(&change(Control::FORMAT, "00112233445566778899aabbccddeeff"));
    let reason = world.history()[3]["rejected"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("waited for: rule set of hash 0011"), "{reason}");
    // a newer weir has spoken: this one does not publish over it
    world.control(&change(Control::FORMAT + 1, "00"));
    let (code, _, said) = world.weir(&["rules", "rollback"]);
    assert_eq!(code, NEWER, "{said}");
    assert!(said.contains("upgrade before you publish"), "{said}");
}

#[test]
fn rules_are_listed_compared_and_looked_through() {
    let world = World::begin("control", None);
    world.publish(&world.rules("strict", "block = 0.90", "block = 0.75"));
    let (code, printed, _) = world.weir(&["rules", "diff"]);
    assert_eq!(code, 1);
    assert!(
        printed.contains("~ transaction\n    thresholds") && printed.contains("block: 0.75"),
        "{printed}"
    );
    let listed = world.done(&["rules", "list", "--json"]);
    let tested = world.json(&["rules", "test", "--json"]);
    assert_eq!(listed.lines().count() as u64, tested["rules"].as_u64().unwrap());
    let twice = world.rules("twice", "[[rule]]", "[[rule]]\nid = \"again\"\nwhen = \"amount_minor > 1\"\naction = \"score\"\nweight = 0\nreason = \"X\"\ntext = \"x\"\nexpires = \"2020-01-01\"\n[[rule]]");
    let (code, printed, _) = world.weir(&["rules", "lint", &twice.display().to_string()]);
    assert_eq!(code, 1);
    for part in ["\"again\" has no tests", "weighs 0", "has expired on 2020-01-01"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}

const MODELS: &str = "[[model]]\nname = \"payments\"\nkind = \"transaction\"\nfile = \"payments.toml\"\n\n\
    [model.inputs]\namount = \"double(amount_minor) / 100.0\"\n";
const MODEL: &str = "model = \"logistic\"\nversion = 1\nintercept = -3.0\n\n[[feature]]\nname = \"amount\"\n\
    weight = 0.02\nmissing = 50.0\n\n[[feature]]\nname = \"payments_count_24h\"\nweight = 0.3\nmissing = 0.0\n";
/// Before the first rule; its test holds as long as 10.0.0.1 is in no list.
const LISTED_RULE: &str = "[[rule]]\nid = \"listed\"\nwhen = \"in_list(ip, 'bad_ips')\"\naction = \"review\"\n\
        weight = 0.1\nreason = \"LISTED\"\ntext = \"x\"\n\
        tests = [{ given = { ip = \"10.0.0.1\" }, expect = false }]\n\n[[rule]]";
const LISTS: &str = "[[list]]\nname = \"bad_ips\"\nmatch = \"cidr\"\nfile = \"bad_ips.csv\"\n\n\
    [[list.decides]]\nkind = \"transaction\"\nfield = \"ip\"\noutcome = \"BLOCK\"\nreason = \"LISTED_IP\"\n\
    text = \"{ip} is listed\"\n";

impl World {
    fn models(&self, name: &str, models: &str, model: &str) -> String {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("models.toml"), models).unwrap();
        std::fs::write(folder.join("payments.toml"), model).unwrap();
        folder.display().to_string()
    }

    fn with_lists(self) -> World {
        std::fs::write(self.topology().join("lists.toml"), LISTS).unwrap();
        std::fs::write(self.topology().join("bad_ips.csv"), "value\n192.0.2.0/24\n").unwrap();
        self
    }

    /// Reasons of the decisions about payments, by what gave them.
    fn reasons(&self) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for record in self.records().iter().flatten() {
            let decision: Decision<'_> = decode_own(Contract::Decision, record.payload()).unwrap();
            for reason in &decision.reasons {
                *found.entry(reason.rule.to_string()).or_default() += 1;
            }
        }
        found
    }
}

#[test]
fn a_model_scores_and_says_why_and_a_decision_whose_model_is_gone_says_so() {
    let world = World::begin("control", None);
    let published =
        world.json(&["models", "publish", &world.models("sound", MODELS, MODEL), "--json"]);
    world.generate("1");
    world.run();
    let reasons = world.reasons();
    assert!(reasons["model:payments"] > 1_000, "{reasons:?}");
    let again = world.json(&["explain", "--verify", "topic", "--json"]);
    assert_eq!(again["different"], 0);
    let records = world.records();
    let mut decisions = records.iter().flatten().map(|record| -> Decision<'_> {
        decode_own(Contract::Decision, record.payload()).unwrap()
    });
    let scored = decisions.find(|decision| {
        let of_model = |reason: &Reason<'_>| &*reason.rule == "model:payments";
        decision.reasons.iter().any(of_model)
    });
    let scored = scored.unwrap();
    let shown = world.done(&["explain", &scored.decision_id, "--verify"]);
    assert!(
        shown.contains("model       payments: ") && shown.contains("payments_count_24h"),
        "{shown}"
    );
    let artifact = published["artifact"].as_str().unwrap();
    let stored = world.data().join(format!("snapshots/artifacts/{artifact}.zst"));
    std::fs::remove_file(stored).unwrap();
    let (code, _, said) = world.weir(&["explain", "--verify", "topic", "--limit", "3"]);
    assert_eq!(code, UNPROVED, "{said}");
    let missing = format!("models of hash {artifact} is not among the artifacts at ");
    assert!(said.contains(&missing), "{said}");
}

#[test]
fn a_model_that_cannot_be_is_refused_with_its_reason() {
    let world = World::begin("control", None);
    for (name, models, model, part) in [
        (
            "feature",
            MODELS.to_owned(),
            MODEL.replace("_24h", "_25h"),
            "did you mean \"payments_count_24h\"?",
        ),
        (
            "input",
            MODELS.replace("amount_minor", "amount_mino"),
            MODEL.to_owned(),
            "did you mean \"amount_minor\"?",
        ),
        (
            "type",
            MODELS.replace("double(amount_minor) / 100.0", "channel"),
            MODEL.to_owned(),
            "is numbers, and what it is taken from is text",
        ),
        (
            "no-feature",
            MODELS.replace("amount = ", "amont = "),
            MODEL.to_owned(),
            "\"amont\" is no feature of model",
        ),
        (
            "file",
            MODELS.replace("payments.toml", "none.toml"),
            MODEL.to_owned(),
            "file \"none.toml\" cannot be read",
        ),
        ("truncated", MODELS.to_owned(), MODEL[..60].to_owned(), "payments.toml"),
        ("nan", MODELS.to_owned(), MODEL.replace("-3.0", "nan"), "intercept"),
    ] {
        let folder = world.models(name, &models, &model);
        let (code, printed, said) = world.weir(&["models", "publish", &folder]);
        assert_eq!((code, printed.as_str()), (INVALID, ""), "{name}: {said}");
        assert!(said.contains(part), "{name}: {said}");
    }
    assert!(world.history().is_empty());
}

#[test]
fn entries_come_and_go_and_a_list_that_decides_is_a_reason() {
    let world = World::begin("control", None).with_lists();
    assert_eq!(
        world.json(&["lists", "add", "bad_ips", "0.0.0.0/0", "--note", "all", "--json"])["version"],
        1
    );
    world.generate("1");
    world.run();
    let listed = world.reasons()["list:bad_ips"];
    assert!(listed > 100, "{listed}");
    world.done(&["lists", "find", "bad_ips", "8.8.8.8"]);
    world.done(&["lists", "remove", "bad_ips", "0.0.0.0/0"]);
    assert_eq!(world.weir(&["lists", "find", "bad_ips", "8.8.8.8"]).0, 1);
    assert_eq!(world.json(&["lists", "rollback", "bad_ips", "--json"])["entries"], 2);
    world.done(&["lists", "find", "bad_ips", "8.8.8.8"]);
    assert_eq!(world.json(&["lists", "rollback", "bad_ips", "--to", "0", "--json"])["entries"], 1);
    assert_eq!(world.json(&["explain", "--verify", "topic", "--json"])["different"], 0);
    let file = world.folder.path().join("new.csv");
    std::fs::write(&file, "value,expires,note\n10.0.0.0/8,,\n10.0.0.0/99,,\n").unwrap();
    let path = file.display().to_string();
    for (words, part) in [
        (&["publish", "bad_ips", &path][..], "new.csv:3:1"),
        (
            &["publish", "good_ips", &path],
            "there is no list \"good_ips\", expected one of [\"bad_ips\"]",
        ),
        (&["add", "bad_ips", "nonsense"], "nonsense"),
        (&["add", "bad_ips", "10.0.0.0/8", "--expires", "soon"], "expected a date such as"),
    ] {
        let (code, _, said) = world.weir(&[&["lists"], words].concat());
        assert_eq!(code, INVALID, "{words:?}: {said}");
        assert!(said.contains(part), "{words:?}: {said}");
    }
    assert_eq!(world.history().len(), 4);
}

#[test]
fn neither_an_entry_nor_the_way_back_is_held_up_by_the_tests_of_rules() {
    let world = World::begin("control", None).with_lists();
    let everywhere = world.folder.path().join("everywhere.csv");
    std::fs::write(&everywhere, "value\n0.0.0.0/0\n").unwrap();
    let everywhere = everywhere.display().to_string();
    world.publish(&world.rules("listed", "[[rule]]", LISTED_RULE));
    world.generate("1");
    world.run();
    // the test of the rule that decides does not hold any more
    world.done(&["lists", "add", "bad_ips", "0.0.0.0/0"]);
    world.generate("2");
    world.run();
    assert!(world.reasons()["listed"] > 100);
    world.publish(&world.rules("strict", "block = 0.90", "block = 0.75"));
    assert_eq!(world.json(&["rules", "rollback", "--json"])["version"], 4);
    world.generate("3");
    world.run();
    assert!(world.history().iter().all(|entry| entry["rejected"].is_null()));
    let versions: BTreeSet<i64> = world.decided().iter().map(|(version, ..)| *version).collect();
    assert_eq!(versions, BTreeSet::from([1, 2, 4]));
    assert_eq!(world.json(&["explain", "--verify", "topic", "--json"])["different"], 0);
    // rules that are published now have to hold it
    let folder = world.rules("again", "[[rule]]", LISTED_RULE).display().to_string();
    let (code, _, said) = world.weir(&["rules", "publish", &folder]);
    assert_eq!(code, INVALID, "{said}");
    assert!(said.contains("test of rule \"listed\" gives true, expected false"), "{said}");

    // nor by those of the topology, whoever comes first
    let world = World::begin("control", None).with_lists();
    let rules = world.topology().join("rules");
    std::fs::rename(world.rules("listed", "[[rule]]", LISTED_RULE), world.topology().join("new"))
        .unwrap();
    std::fs::remove_dir_all(&rules).unwrap();
    std::fs::rename(world.topology().join("new"), rules).unwrap();
    world.done(&["lists", "publish", "bad_ips", &everywhere]);
    world.generate("1");
    world.run();
    assert!(world.decided().iter().all(|(version, ..)| *version == 1));
    assert!(world.reasons()["listed"] > 100);
}

#[test]
fn another_topology_changes_neither_what_was_published_nor_what_has_decided() {
    let world = World::begin("control", None).with_lists();
    let published = world.publish(&world.rules("listed", "[[rule]]", LISTED_RULE));
    world.done(&["lists", "add", "bad_ips", "198.51.100.0/24"]);
    world.generate("1");
    world.run();
    // the test of the rules would not hold against it
    std::fs::write(world.topology().join("bad_ips.csv"), "value\n10.0.0.0/8\n").unwrap();
    world.generate("2");
    world.run();
    let decided = world.decided();
    let wanted = (2, published["rule_set"].as_str().unwrap());
    assert!(decided.iter().all(|(version, _, rules)| (*version, rules.as_str()) == wanted));
    let policies: BTreeSet<&String> = decided.iter().map(|(_, policy, _)| policy).collect();
    assert_eq!(policies.len(), 2, "one for each topology");
    // one behind the other, by what each of them had
    assert_eq!(world.json(&["explain", "--verify", "topic", "--json"])["different"], 0);
}

#[test]
fn a_damaged_content_is_waited_for_and_heals_when_it_is_published_again() {
    let world = World::begin("control", None);
    let strict = world.rules("strict", "block = 0.90", "block = 0.75");
    let artifact = world.publish(&strict)["artifact"].as_str().unwrap().to_owned();
    let stored = world.data().join(format!("snapshots/artifacts/{artifact}.zst"));
    std::fs::write(stored, b"rubbish").unwrap();
    let rejected = || {
        let history = world.history();
        history
            .iter()
            .map(|entry| entry["rejected"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let reason = rejected()[0].clone().unwrap();
    assert!(reason.starts_with("waited for: rule set cannot be read: "), "{reason}");
    // no process would come to it
    let (code, _, said) = world.weir(&["flags", "set", "night", "true"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("version 1 is waited for: ") && said.contains("publish the same again"));
    assert_eq!(world.publish(&strict)["version"], 2);
    assert_eq!(rejected(), [None, None]);
}

#[test]
fn a_challenger_is_tested_by_who_publishes_it_and_does_not_decide_by_its_hash() {
    let world = World::begin("control", None);
    let folder = world.folder.path().join("challenger");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(world.rules("new", "block = 0.90", "block = 0.75"), folder.join("rules"))
        .unwrap();
    let path = folder.display().to_string();
    let published = world.json(&["shadow", "publish", "strict", &path, "--json"]);
    world.control(&change(Control::FORMAT, published["artifact"].as_str().unwrap()));
    let reason = world.history()[1]["rejected"].as_str().unwrap().to_owned();
    assert!(reason.ends_with("it holds a challenger, expected rules"), "{reason}");
    let file = folder.join("rules/transactions.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("expect = true", "expect = false", 1)).unwrap();
    let (code, _, said) = world.weir(&["shadow", "publish", "strict", &path]);
    assert_eq!(code, INVALID, "{said}");
    assert!(
        said.contains("rules/transactions.toml:") && said.contains("gives true, expected false"),
        "{said}"
    );
}

#[test]
fn of_changes_before_a_start_only_the_last_is_kept_and_decides() {
    let world = World::begin("control", None);
    for name in ["a", "b", "c", "d"] {
        world.done(&["flags", "set", name, "true"]);
    }
    world.generate("1");
    world.run();
    let kept = std::fs::read_dir(world.data().join("snapshots/artifacts")).unwrap().count();
    // features, rules, lists, models, what the topology says and what decides
    assert_eq!(kept, 6);
    assert!(world.decided().iter().all(|(version, ..)| *version == 4));
    assert_eq!(world.json(&["explain", "--verify", "topic", "--json"])["different"], 0);
}

#[test]
fn a_rule_waits_for_its_flag() {
    let world = World::begin("control", None);
    let rule = "[[rule]]\nid = \"waits\"\nwhen = \"amount_minor >= 0\"\naction = \"score\"\nweight = \"0.1\"\n\
        reason = \"WAITS\"\ntext = \"x\"\nflag = \"night\"\n\n[[rule]]";
    world.publish(&world.rules("flagged", "[[rule]]", rule));
    world.generate("1");
    world.run();
    assert!(!world.reasons().contains_key("waits"));
    world.done(&["flags", "set", "night", "true"]);
    assert_eq!(world.json(&["flags", "list", "--json"])["night"], true);
    world.generate("2");
    world.run();
    let once = world.reasons()["waits"];
    assert!(once > 1_000, "{once}");
    world.done(&["flags", "reset", "night"]);
    world.generate("3");
    world.run();
    assert_eq!(world.reasons()["waits"], once);
    assert_eq!(world.json(&["explain", "--verify", "topic", "--json"])["different"], 0);
}

#[test]
fn a_tenant_may_have_thresholds_of_its_own() {
    let world = World::begin("control", None);
    world.generate("1");
    world.run();
    let all = |world: &World| -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for record in world.records().iter().flatten() {
            let decision: Decision<'_> = decode_own(Contract::Decision, record.payload()).unwrap();
            let name = format!("{} {}", decision.policy_version, decision.outcome.name());
            *found.entry(name).or_default() += 1;
        }
        found
    };
    let before = all(&world)["0 STEP_UP"];
    let none = "tenants = { other = { step_up = 0.01, review = 0.02, block = 0.03 } }\nescalate";
    world.publish(&world.rules("other", "escalate", none));
    world.generate("2");
    world.run();
    let own = "tenants = { default = { step_up = 1.0, review = 1.0, block = 1.0 } }\nescalate";
    world.publish(&world.rules("own", "escalate", own));
    world.generate("3");
    world.run();
    let found = all(&world);
    assert!(before > 0 && found["1 STEP_UP"] > 0, "{found:?}");
    assert!(found.get("2 STEP_UP").is_none_or(|count| *count < found["1 STEP_UP"]), "{found:?}");
    let wrong = "tenants = { a = { step_up = 0.9, review = 0.2, block = 0.3 } }\nescalate";
    let folder = world.rules("wrong", "escalate", wrong);
    let (code, _, said) = world.weir(&["rules", "publish", &folder.display().to_string()]);
    assert_eq!(code, INVALID);
    assert!(
        said.contains("transactions.toml:4:") && said.contains("thresholds are step_up 0.9"),
        "{said}"
    );
}

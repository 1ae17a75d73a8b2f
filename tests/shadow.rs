//! Challengers on generated traffic: one that is planted better is recommended, with intervals, and one that
//! is planted equal is called no difference.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::path::Path;

use common::world::World;
use serde_json::Value as Json;

/// Rules that see a part of the simulator's fraud, for a sample of the accounts: another one for each name.
const RULES: &str = r#"kind = "transaction"
thresholds = { step_up = 0.40, review = 0.60, block = 0.90 }

[[rule]]
id = "declined_NAME"
when = "declines_count_1h >= 3"
action = "score"
weight = 0.70
sample = SAMPLE
reason = "DECLINED"
text = "{declines_count_1h} declined payments within an hour"

[[rule]]
id = "many_NAME"
when = "payments_count_1h >= 6"
action = "score"
weight = 0.70
sample = SAMPLE
reason = "MANY"
text = "{payments_count_1h} payments within an hour"

[[rule]]
id = "large"
when = "amount_minor > 1000000000"
action = "score"
weight = 0.10
reason = "LARGE"
text = "{amount_minor}"
"#;

fn rules(folder: &Path, name: &str, sample: &str) {
    std::fs::create_dir_all(folder).unwrap();
    let text = RULES.replace("NAME", name).replace("SAMPLE", sample);
    std::fs::write(folder.join("transactions.toml"), text).unwrap();
}

#[test]
fn a_better_challenger_is_recommended_and_an_equal_one_is_called_no_difference() {
    let world = World::begin("shadow", None);
    let folder = |name: &str| world.folder.path().join(name);
    std::fs::remove_dir_all(world.topology().join("rules")).unwrap();
    rules(&world.topology().join("rules"), "live", "0.15");
    rules(&folder("better/rules"), "better", "1.0");
    // as good, and about others
    rules(&folder("equal/rules"), "equal", "0.15");
    for name in ["better", "equal"] {
        let path = folder(name).display().to_string();
        world.done(&["shadow", "publish", name, &path]);
    }
    assert_eq!(world.json(&["shadow", "list", "--json"]).as_object().unwrap().len(), 2);
    let events = [
        "--count",
        "60000",
        "--accounts",
        "3000",
        "--fraud-share",
        "0.05",
        "--seed",
        "7",
        "--density",
        "0.01",
    ];
    world.done(&[&["generate", "--to-topics"], &events[..]].concat());
    world.done(&["run", "--roles", "score,store", "--until-end"]);
    let report = |name: &str| -> Json {
        let html = folder("report.html").display().to_string();
        let words = ["shadow", "report", name, "--json", "--alert-cost", "100", "--html", &html];
        let found = world.json(&words);
        let page = std::fs::read_to_string(&html).unwrap();
        assert!(page.contains("<svg") && page.contains(name), "the page has plots");
        found[0]["comparison"].clone()
    };
    let better = report("better");
    assert_eq!(better["verdict"]["advice"], "recommend", "{}", better["verdict"]);
    let gain = &better["difference"]["average_precision"];
    assert!(gain["low"].as_f64() > Some(0.0), "{gain}");
    let equal = report("equal");
    assert_eq!(equal["verdict"]["advice"], "no_difference", "{}", equal["verdict"]);
    assert!(equal["verdict"]["interval"]["low"].as_f64() < Some(0.0), "{}", equal["verdict"]);
    let text = world.done(&["shadow", "report", "better"]);
    assert!(text.to_lowercase().contains("recommend"), "{text}");
    let (code, _, said) = world.weir(&["shadow", "report", "nobody"]);
    assert_eq!(code, 1);
    assert!(said.contains("no decision of that time has challenger \"nobody\""), "{said}");
    let (code, _, said) = world.weir(&["shadow", "withdraw", "nobody"]);
    assert_eq!(code, 2);
    assert!(said.contains("expected one of [\"better\", \"equal\"]"), "{said}");
    // the rules of payments alone are there: the other kinds have none
    let again = world.json(&["explain", "--verify", "topic", "--limit", "5000", "--json"]);
    assert_eq!((&again["same"], &again["different"]), (&5_000.into(), &0.into()));
}

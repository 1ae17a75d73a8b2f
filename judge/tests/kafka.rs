//! Worlds on a real cluster: what is right passes although aborted and open transactions stand in
//! between, and what is wrong is found. The brokers are named by `WEIR_TEST_BROKERS`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod fixture;

use std::time::{Duration, Instant};

use apache_avro::types::Value;
use fixture::{OnKafka, Plan, T0, World, brokers, event, get, run_judge, text};

fn number_of(world: &World, outcome: &str) -> usize {
    let mut decisions = world.decisions.iter();
    decisions.position(|d| get(&d.fields, "outcome") == outcome).unwrap()
}

/// A right world after `change`, on the cluster.
fn written(brokers: &str, change: impl FnOnce(&mut World)) -> OnKafka {
    let mut world = World::correct();
    change(&mut world);
    world.write_kafka(brokers)
}

#[test]
fn a_world_in_which_every_record_ended_once_passes_every_check() {
    let Some(brokers) = brokers() else { return };
    let on = written(&brokers, World::add_deadlines);
    // not to be told from a folder's world but by the gaps: that they are there is part of the test
    let offsets = &on.offsets[&("decisions".to_owned(), 0)];
    assert!(offsets[0] > 0 && offsets.windows(2).any(|pair| pair[1] > pair[0] + 1), "{offsets:?}");
    let verdict = on.judge(&[]);
    verdict.holds();
    for check in verdict.report["checks"].as_array().unwrap() {
        assert!(check["checked"].as_u64().unwrap() > 0, "{check}");
    }
    assert_eq!(verdict.check("touches")["checked"], 3);
    assert_eq!(verdict.report["skipped"].as_array().unwrap().len(), 0);
    let payments = &verdict.report["topics"]["transactions"];
    assert_eq!(
        ["records", "decisions", "duplicates", "refused", "panicked", "unread"]
            .map(|n| payments[n].as_u64().unwrap()),
        [14, 10, 2, 2, 0, 0]
    );
    let topics = on.judge_topics(&[]);
    topics.holds();
    let skipped = topics.report["skipped"].to_string();
    for table in ["store_decisions", "store_escalations", "store_rollups"] {
        assert!(skipped.contains(table), "{skipped}");
    }
    let log = on.folder.path.join("webhooks.jsonl");
    let topics = on.judge_topics(&["--webhook-log", log.to_str().unwrap(), "--threads", "1"]);
    topics.holds();
    assert!(topics.check("webhooks")["checked"].as_u64().unwrap() > 18);
}

#[test]
fn decisions_that_are_lost_doubled_or_altered() {
    let Some(brokers) = brokers() else { return };
    written(&brokers, |world| {
        world.decisions.remove(number_of(world, "ALLOW"));
        world.roll_up();
    })
    .judge(&[])
    .fails(&["conservation"], "is accepted: found 0 decisions and 0 dead letters");
    written(&brokers, |world| {
        let twice = world.decisions[number_of(world, "ALLOW")].clone();
        world.decisions.push(twice);
        world.roll_up();
    })
    .judge(&[])
    .fails(&["conservation", "decisions"], "has 2 decisions");
    written(&brokers, |world| {
        let at = number_of(world, "ALLOW");
        world.decisions[at].fields.insert("subject_id".to_owned(), text("other"));
    })
    .judge(&[])
    .fails(&["decisions"], "subject_id is");
}

#[test]
fn a_decision_that_only_an_aborted_transaction_holds_is_lost() {
    let Some(brokers) = brokers() else { return };
    let mut world = World::correct();
    let at = number_of(&world, "ALLOW");
    let lost = world.decisions.remove(at);
    world.roll_up();
    world.decisions.insert(at, lost);
    let plan = Plan { aborted_only: vec![at], ..Plan::default() };
    world.write_kafka_as(&brokers, &plan).judge_topics(&[]).fails(
        &["conservation"],
        "is accepted: found 0 decisions and 0 dead letters, expected 1 and 0",
    );
}

#[test]
fn groups_that_are_behind_or_ahead() {
    let Some(brokers) = brokers() else { return };
    let on = written(&brokers, |world| {
        world.behind =
            vec![("weir.store", "decisions", 1, 1), ("weir.notify", "escalations", 0, 2)];
    });
    let verdict = on.judge(&[]);
    verdict.fails(&["positions"], "weir.store stands at decisions/1@");
    assert_eq!(verdict.check("positions")["failed"], 2, "{:#}", verdict.report);
    on.judge(&["--allow-behind"]).holds();
    on.commit("weir.store", "weir.rollups", 0, 10_000);
    on.judge(&["--allow-behind"])
        .fails(&["positions"], "weir.store stands at weir.rollups/0@10000, the end is");
    // what an open transaction holds back lies past the end
    let on = written(&brokers, |_| {});
    let end = on.end("decisions", 1);
    on.commit("weir.store", "decisions", 1, end);
    on.judge(&[]).holds();
    on.commit("weir.store", "decisions", 1, end + 1);
    let ahead = on.judge(&[]);
    ahead.fails(&["positions"], &format!("weir.store stands at decisions/1@{}", end + 1));
    let on = written(&brokers, |world| {
        world.behind = vec![("weir.score", "transactions", 0, 1)];
    });
    on.judge(&["--allow-behind"])
        .fails(&["conservation", "decisions"], "is past the committed position: found 1 decisions");
}

#[test]
fn a_position_that_a_transaction_may_still_move_is_waited_for() {
    let Some(brokers) = brokers() else { return };
    let mut on = written(&brokers, |_| {});
    on.leave_position_pending("weir.score", "transactions", 1);
    let start = Instant::now();
    on.judge(&[]).holds();
    assert!(start.elapsed() > Duration::from_secs(1), "nothing was waited for");
}

#[test]
fn tables_topics_and_touches_that_do_not_fit() {
    let Some(brokers) = brokers() else { return };
    let mut on = written(&brokers, |_| {});
    on.folder = on.folder.sql("DELETE FROM decision WHERE rowid = 5");
    on.judge(&[]).fails(&["store_decisions"], "is not stored");
    let offset = on.offsets[&("chats".to_owned(), 0)][1];
    on.delete_before("chats", 0, offset);
    let verdict = on.judge_topics(&[]);
    assert!(verdict.failed().contains(&"log".to_owned()), "{verdict:?}");
    let said = verdict.check("log")["examples"].to_string();
    assert!(said.contains(&format!("chats/0 begins at {offset}, expected 0")), "{said}");
    let plan = Plan { touches: vec![(0, 0), (1, 0)], ..Plan::default() };
    let on = World::correct().write_kafka_as(&brokers, &plan);
    on.judge(&[]).fails(&["touches"], "says partition 0, expected 1");
    let plan = Plan { partitions_of_decisions: 3, ..Plan::default() };
    let on = World::correct().write_kafka_as(&brokers, &plan);
    on.judge_topics(&[]).fails(&["log"], "partitions, expected 3");
}

#[test]
fn runs_that_differ() {
    let Some(brokers) = brokers() else { return };
    let one = written(&brokers, |_| {});
    let against = |change: &dyn Fn(&mut World)| {
        let other = written(&brokers, change);
        one.judge_topics(&["--compare-prefix", &other.prefix])
    };
    let verdict = against(&|world| {
        for decision in &mut world.decisions {
            decision.fields.insert("decided_at".to_owned(), Value::Long(T0));
        }
    });
    verdict.holds();
    assert_eq!(verdict.check("compare_decisions")["checked"], 36);
    assert_eq!(verdict.check("compare_escalations")["checked"], 18);
    against(&|world| {
        world.decisions[0]
            .fields
            .insert("score".to_owned(), Value::Double(0.500_000_000_000_000_1));
    })
    .fails(&["compare_decisions"], "score is Double(0.5), in prefix \\\"judge-");
    against(&|world| drop(world.decisions.remove(0)))
        .fails(&["compare_decisions"], "is not in prefix");
    against(&|world| world.decisions.swap(0, 1)).fails(&["compare_decisions"], "it comes after");
}

#[test]
fn a_cluster_that_cannot_be_judged_is_said_soon() {
    let start = Instant::now();
    let verdict = run_judge(&["--brokers", "127.0.0.1:1"]);
    assert_eq!(verdict.code, 2);
    assert!(verdict.errors.contains("no broker of 127.0.0.1:1 answered"), "{}", verdict.errors);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    for (args, why) in [
        (["--kafka-setting", "no.such=secret-1"], "Kafka setting no.such cannot be used"),
        (["--kafka-setting", "isolation.level=secret-1"], "is the judge's own to set"),
        (["--kafka-setting", "security"], "expected key=value"),
        (["--compare", "."], "cannot read ./weir.db"),
    ] {
        let verdict = run_judge(&["--brokers", "127.0.0.1:1", args[0], args[1]]);
        assert!(verdict.code == 2 && verdict.errors.contains(why), "{}", verdict.errors);
    }
    let verdict = run_judge(&["--prefix", "p"]);
    assert_eq!(verdict.code, 2);
    let Some(brokers) = brokers() else { return };
    let verdict = run_judge(&["--brokers", &brokers, "--prefix", "no-such-prefix."]);
    let why = "prefix \"no-such-prefix.\", holds none of the topics";
    assert!(verdict.code == 2 && verdict.errors.contains(why), "{}", verdict.errors);
}

#[test]
fn a_tombstone_is_null_under_its_header() {
    let Some(brokers) = brokers() else { return };
    let payment = event("transactions", "1000000000000000", "transactions-1");
    let on = written(&brokers, |world| {
        world.tombstone("transactions", Some(&payment.key()));
        world.decided(&payment, "ALLOW", &[]);
        world.roll_up();
    });
    let verdict = on.judge(&[]);
    verdict.holds();
    assert_eq!(verdict.report["topics"]["transactions"]["tombstones"], 1);
}

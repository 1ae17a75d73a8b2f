//! Each mutation of a right folder must fail, and under the name of the check it breaks: a judge
//! that cannot fail is worth nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod fixture;

use apache_avro::types::Value;
use fixture::{CONTROL, Fields, T0, World, event, get, nested, text};
use serde_json::json;

/// Judges a right folder after `change`.
fn judged(name: &str, change: impl FnOnce(&mut World)) -> fixture::Verdict {
    let mut world = World::correct();
    change(&mut world);
    world.write(name).judge(&[])
}

/// Judges a right folder after a statement on its tables.
fn after_sql(name: &str, sql: &str) -> fixture::Verdict {
    World::correct().write(name).sql(sql).judge(&[])
}

fn set(fields: &mut Fields, name: &str, value: impl Into<Value>) {
    assert!(fields.insert(name.to_owned(), value.into()).is_some(), "{name} is new");
}

/// Sets a field inside `source`.
fn set_source(fields: &mut Fields, name: &str, value: Value) {
    let Some(Value::Record(source)) = fields.get_mut("source") else { panic!("no source") };
    source.iter_mut().find(|(of, _)| of == name).unwrap().1 = value;
}

fn number_of(world: &World, outcome: &str) -> usize {
    let mut decisions = world.decisions.iter();
    decisions.position(|d| get(&d.fields, "outcome") == outcome).unwrap()
}

#[test]
fn the_log() {
    after_sql(
        "log_gap",
        "UPDATE batch SET id = id + 1 WHERE id = (SELECT max(id) FROM batch WHERE id < 1 << 43)",
    )
    .fails(
        &["log", "positions", "conservation", "dead_letters"],
        "labels/0: a batch of 3 records begins at 1, expected one at 0",
    );
    after_sql("log_body", "UPDATE batch SET body = CAST(body || x'00' AS BLOB) WHERE id = (SELECT max(id) FROM batch WHERE id < 1 << 43)")
        .fails(&["log"], "1 bytes left over");
    after_sql(
        "log_cut",
        "UPDATE batch SET body = substr(body, 1, length(body) - 1) WHERE id = (8 << 55)",
    )
    .fails(&["log", "rollups", "store_rollups"], "the batch of 2 records is damaged");
    after_sql("log_stray", "INSERT INTO batch VALUES ((5 << 55) | (3 << 43), 1, x'')")
        .fails(&["log"], "1 batches belong to no partition");
    after_sql("log_partitions", "UPDATE topic SET partitions = 3 WHERE name = 'decisions'")
        .fails(&["log"], "partitions, expected 3");
    after_sql("log_other_topic", "INSERT INTO topic VALUES (9, 'weir.touches', 2)").holds();
}

#[test]
fn positions() {
    after_sql("positions_behind", "UPDATE position SET next = next - 1 WHERE grp = 'weir.store' AND topic = 6 AND partition = 1")
        .fails(&["positions"], "weir.store stands at escalations/1@8, the end is 9");
    after_sql("positions_none", "DELETE FROM position WHERE grp = 'weir.notify'")
        .fails(&["positions"], "weir.notify stands at escalations/0@0");
    let ahead = World::correct().write("positions_ahead");
    let ahead = ahead.sql("UPDATE position SET next = next + 1 WHERE grp = 'weir.score' AND topic = 4 AND partition = 0");
    ahead
        .judge(&["--allow-behind"])
        .fails(&["positions"], "weir.score stands at transactions/0@8, the end is 7");
}

#[test]
fn a_record_that_is_lost_or_ends_twice() {
    judged("lost_decision", |world| {
        world.decisions.remove(number_of(world, "ALLOW"));
        world.roll_up();
    })
    .fails(
        &["conservation"],
        "transactions/0@0 is accepted: found 0 decisions and 0 dead letters, expected 1 and 0",
    );
    judged("doubled_decision", |world| {
        let twice = world.decisions[number_of(world, "ALLOW")].clone();
        world.decisions.push(twice);
        world.roll_up();
    })
    .fails(&["conservation", "decisions"], "its source transactions/0@0 has 2 decisions");
    judged("lost_dead_letter", |world| drop(world.letters.remove(3))).fails(
        &["conservation"],
        "disputes/0@4 is to be refused: found 0 decisions and 0 dead letters",
    );
    judged("doubled_dead_letter", |world| {
        world.letters.push(world.letters[0].clone());
    })
    .fails(&["conservation"], "found 0 decisions and 2 dead letters");
    judged("decided_and_dead", |world| {
        let place = fixture::Place { topic: "transactions", partition: 0, offset: 0 };
        world.letter(&place, "decode", "malformed");
    })
    .fails(&["conservation"], "found 1 decisions and 1 dead letters");
    judged("panic_of_a_duplicate", |world| {
        let place = fixture::Place { topic: "transactions", partition: 0, offset: 4 };
        world.letter(&place, "panic", "panicked");
    })
    .fails(&["conservation"], "is a duplicate: found 0 decisions and 1 dead letters");
}

#[test]
fn more_panics_than_allowed() {
    let folder = World::correct().write("panics");
    folder.judge(&["--panics-max", "2"]).holds();
    let verdict = folder.judge(&["--panics-max", "1"]);
    verdict.fails(&["conservation"], "2 records ended as a panic, at most 1");
}

#[test]
fn duplicates_and_conflicts() {
    judged("duplicate_decided", |world| {
        let first = event("transactions", "1000000000000000", "transactions-0");
        let place = fixture::Place { topic: "transactions", partition: 0, offset: 4 };
        world.decide(&place, &first, "ALLOW", &[]);
        world.roll_up();
    })
    .fails(&["conservation", "decisions"], "transactions/0@4 is a duplicate: found 1 decisions");
    judged("conflict_not_dead_lettered", |world| {
        drop(world.letters.remove(0));
    })
    .fails(
        &["conservation"],
        "transactions/0@5 is to be refused: found 0 decisions and 0 dead letters",
    );
    judged("conflict_decided", |world| {
        world.letters.remove(0);
        let other = event("transactions", "1000000000000000", "transactions-0")
            .with("amount_minor", Value::Long(7));
        let place = fixture::Place { topic: "transactions", partition: 0, offset: 5 };
        world.decide(&place, &other, "ALLOW", &[]);
        world.roll_up();
    })
    .fails(&["conservation", "decisions"], "its source transactions/0@5 is not an accepted event");
    judged("label_decided", |world| {
        let label = event("labels", "1000000000000000", "label-1");
        let place = fixture::Place { topic: "labels", partition: 0, offset: 0 };
        world.decide(&place, &label.with("transaction_id", text("tx-1")), "ALLOW", &[]);
        set(&mut world.decisions.last_mut().unwrap().fields, "kind", text("TRANSACTION"));
        world.roll_up();
    })
    .fails(&["conservation", "decisions"], "labels/0@0 is a label: found 1 decisions");
}

#[test]
fn a_decision_beyond_the_committed_position() {
    let mut world = World::correct();
    world.decided(&event("transactions", "a0", "late"), "ALLOW", &[]);
    world.roll_up();
    world.behind = vec![("weir.score", "transactions", 0, 1)];
    world.write("beyond").judge(&["--allow-behind"]).fails(
        &["conservation", "decisions"],
        "transactions/0@7 is past the committed position: found 1 decisions",
    );
}

#[test]
fn dead_letters() {
    type Change = (&'static str, Value, &'static str);
    let changes: [Change; 8] = [
        ("code", text("malformed"), "says dedupe/malformed, expected dedupe/conflicting_duplicate"),
        ("stage", text("validate"), "says validate/conflicting_duplicate"),
        ("timestamp", Value::Long(T0 + 1), "timestamp is"),
        ("payload_hash", text("00"), "payload_hash is 00"),
        ("payload_bytes", Value::Long(1), "payload_bytes is Some(1)"),
        ("payload", Value::Bytes(vec![1]), "carries another payload"),
        ("offset", Value::Long(99), "names transactions@99, which is not in this partition"),
        ("topic", text("decisions"), "names topic"),
    ];
    for (name, value, because) in changes {
        let verdict = judged(&format!("letter_{name}"), |world| {
            world.letters[0].fields.insert(name.to_owned(), value);
        });
        match name {
            "offset" | "topic" => verdict.fails(&["conservation", "dead_letters"], because),
            _ => verdict.fails(&["dead_letters"], because),
        }
    }
    judged("letter_partition", |world| world.letters[0].partition = 1)
        .fails(&["conservation", "dead_letters"], "it stands in another partition");
    judged("letter_payload", |world| {
        let payload = world.inputs[&("disputes", 0)].last().unwrap().payload.clone();
        world.letters[3].fields.insert("payload".to_owned(), Value::Bytes(payload));
    })
    .holds();
}

#[test]
fn decisions() {
    type Change = (&'static str, Value, &'static str);
    let changes: [Change; 6] = [
        ("decision_id", text("6e4d1a5c-52c6-5a3e-9d0b-7c1f4b8a2e90"), "decision_id is"),
        ("event_id", text("other"), "event_id is"),
        ("account_id", text("other"), "account_id is"),
        ("tenant", text("other"), "tenant is"),
        ("subject_id", text("other"), "subject_id is"),
        ("event_time", Value::Long(T0), "event_time is"),
    ];
    for (name, value, because) in changes {
        judged(&format!("decision_{name}"), |world| {
            let at = number_of(world, "ALLOW");
            set(&mut world.decisions[at].fields, name, value);
        })
        .fails(&["decisions"], because);
    }
    judged("decision_kind", |world| {
        let at = number_of(world, "ALLOW");
        set(&mut world.decisions[at].fields, "kind", text("CHAT"));
        world.roll_up();
    })
    .fails(&["decisions"], "kind is");
    judged("decision_key", |world| {
        let at = number_of(world, "ALLOW");
        world.decisions[at].key = Some("acme/other".to_owned());
    })
    .fails(&["decisions"], "the key is");
    judged("decision_no_key", |world| {
        let at = number_of(world, "ALLOW");
        world.decisions[at].key = None;
    })
    .fails(&["decisions"], "the key is None");
    judged("decision_schema_id", |world| {
        let at = number_of(world, "ALLOW");
        set_source(&mut world.decisions[at].fields, "schema_id", Value::Long(7));
    })
    .fails(&["decisions"], "source.schema_id is Some(7)");
    judged("decision_source", |world| {
        let at = number_of(world, "ALLOW");
        set_source(&mut world.decisions[at].fields, "offset", Value::Long(77));
    })
    .fails(&["conservation", "decisions"], "its source transactions/0@77 is not an input record");
    judged("decision_partition", |world| {
        let at = number_of(world, "ALLOW");
        world.decisions[at].partition = 1;
        world.roll_up();
    })
    .fails(&["conservation", "decisions"], "it stands in another partition than its source");
}

#[test]
fn policies() {
    judged("policy_steps_back", |world| {
        let last = world.decisions.iter().rposition(|decision| decision.partition == 0).unwrap();
        set(&mut world.decisions[last].fields, "policy_version", Value::Long(1));
    })
    .fails(&["policies"], "version 1 comes after 2");
    judged("policy_of_no_change", |world| {
        drop(world.inputs.get_mut(&(CONTROL, 0)).unwrap().pop());
    })
    .fails(&["policies"], "version 2 is no change: weir.control has no record 1");
    judged("policy_of_two_names", |world| {
        let of = |world: &World, partition| {
            world.decisions.iter().position(|decision| decision.partition == partition).unwrap()
        };
        let first = of(world, 1);
        set(&mut world.decisions[first].fields, "policy", text("other"));
    })
    .fails(&["policies"], "version 2 is policy");
}

#[test]
fn escalations() {
    type Change = (&'static str, Value, &'static str);
    judged("escalation_missing", |world| {
        drop(world.escalations.remove(0));
    })
    .fails(&["dead_letters", "escalations", "webhooks"], "with outcome REVIEW, has no escalation");
    judged("escalation_missing_last", |world| {
        let last = world.escalations.pop().unwrap();
        let id = get(&last.fields, "escalation_id").to_owned();
        world.deliveries.retain(|(of, _)| of.to_string() != id);
        world.webhooks.retain(|line| line["id"] != id);
    })
    .fails(&["escalations"], "has no escalation");
    judged("escalation_doubled", |world| {
        let twice = world.escalations.last().unwrap().clone();
        world.escalations.push(twice);
    })
    .fails(&["escalations"], "another escalation answered");
    judged("escalation_of_allow", |world| {
        let at = number_of(world, "BLOCK");
        set(&mut world.decisions[at].fields, "outcome", text("STEP_UP"));
        world.roll_up();
    })
    .fails(&["escalations"], "no decision of this partition demands it");
    judged("escalation_of_review", |world| {
        let at = number_of(world, "STEP_UP");
        set(&mut world.decisions[at].fields, "outcome", text("REVIEW"));
        world.roll_up();
    })
    .fails(&["escalations"], "with outcome REVIEW, has no escalation");
    let changes: [Change; 5] = [
        ("tenant", text("other"), "tenant is"),
        ("account_id", text("other"), "account_id is"),
        ("subject_id", text("other"), "subject_id is"),
        ("outcome", text("ALLOW"), "outcome is"),
        ("event_time", Value::Long(T0), "event_time is"),
    ];
    for (name, value, because) in changes {
        judged(&format!("escalation_{name}"), |world| {
            set(&mut world.escalations[0].fields, name, value);
        })
        .fails(&["escalations"], because);
    }
    judged("escalation_id", |world| {
        set(
            &mut world.escalations[0].fields,
            "escalation_id",
            text("6e4d1a5c-52c6-5a3e-9d0b-7c1f4b8a2e90"),
        );
    })
    .fails(&["escalations", "webhooks"], "escalation_id is");
    judged("escalation_key", |world| {
        world.escalations[0].key = Some("x".to_owned());
    })
    .fails(&["escalations"], "the key is");
}

#[test]
fn rollups() {
    judged("rollup_missing", |world| drop(world.rollups.remove(0)))
        .fails(&["rollups"], "the roll-ups say 0, the decisions 1");
    judged("rollup_doubled", |world| {
        world.rollups.push(world.rollups[0].clone());
    })
    .fails(&["rollups"], "the roll-ups say 2, the decisions 1");
    judged("rollup_rule", |world| {
        let Some(Value::Array(rules)) = world.rollups[0].fields.get_mut("rules") else {
            panic!("no rules")
        };
        rules.pop();
    })
    .fails(&["rollups"], "rule");
    judged("rollup_minute", |world| {
        world.rollups[0].fields.insert(
            "outcomes".to_owned(),
            Value::Array(vec![nested(&[
                ("minute", Value::Long(T0)),
                ("kind", text("CHAT")),
                ("outcome", text("ALLOW")),
                ("count", Value::Long(0)),
            ])]),
        );
    })
    .fails(&["rollups"], "is counted 0 times");
}

#[test]
fn stored_decisions_and_escalations() {
    let first = "rowid = (SELECT min(rowid) FROM";
    let tables = [
        ("decision", "store_decisions", "kind", "'X'"),
        ("escalation", "store_escalations", "queue", "'other'"),
    ];
    for (table, check, column, value) in tables {
        let case = |what: &str| format!("store_{table}_{what}");
        after_sql(&case("missing"), &format!("DELETE FROM {table} WHERE {first} {table})"))
            .fails(&[check], "is not stored");
        after_sql(
            &case("byte"),
            &format!("UPDATE {table} SET record = CAST(substr(record, 1, length(record) - 1) || x'ee' AS BLOB) WHERE {first} {table})"),
        )
        .fails(&[check], "is stored with other bytes than");
        after_sql(
            &case("column"),
            &format!("UPDATE {table} SET {column} = {value} WHERE {first} {table})"),
        )
        .fails(&[check], &format!("is stored with {column}"));
        after_sql(
            &case("null"),
            &format!("UPDATE {table} SET account_id = NULL WHERE {first} {table})"),
        )
        .fails(&[check], "is stored with account_id Odd");
        after_sql(
            &case("twice"),
            &format!("INSERT INTO {table} SELECT * FROM {table} WHERE {first} {table})"),
        )
        .fails(&[check], "is stored more than once");
        after_sql(
            &case("unknown"),
            &format!("INSERT INTO {table} ({table}_id, record) VALUES (zeroblob(16), x'')"),
        )
        .fails(&[check], "00000000-0000-0000-0000-000000000000 is stored, but not in the topic");
        after_sql(
            &case("id"),
            &format!("INSERT INTO {table} ({table}_id, record) VALUES ('text', x'')"),
        )
        .fails(&[check], "a row's id is not 16 bytes");
    }
    let times = [
        ("decision", "event_time"),
        ("decision", "decided_at"),
        ("escalation", "created_at"),
        ("escalation", "priority"),
    ];
    for (table, column) in times {
        after_sql(
            &format!("store_{column}"),
            &format!("UPDATE {table} SET {column} = {column} + 1 WHERE {first} {table})"),
        )
        .fails(&[&format!("store_{table}s")], column);
    }
}

#[test]
fn of_two_records_under_one_id_the_first_is_stored() {
    let mut world = World::default();
    let week = 168 * 3_600_000;
    let first = event("chats", "a0", "first").at(T0 - 3 * week);
    world.decided(&first, "BLOCK", &[]);
    world.decided(&event("chats", "a0", "later").at(T0 - week), "ALLOW", &[]);
    world.decided(&first, "BLOCK", &["again"]);
    world.roll_up();
    let folder = world.write("store_first");
    folder.judge(&[]).holds();
    let second = fixture::encode(&fixture::schema("decision"), &world.decisions[2].fields);
    let hex: String = second.iter().map(|byte| format!("{byte:02x}")).collect();
    let decided_at = T0 + 50_000;
    folder
        .sql(&format!("UPDATE decision SET record = x'{hex}', decided_at = {decided_at} WHERE outcome = 'BLOCK'"))
        .judge(&[])
        .fails(&["store_decisions"], "is stored with other bytes than decisions/0@0");
}

#[test]
fn stored_rollups() {
    let last = "rowid = (SELECT max(rowid) FROM rollup)";
    after_sql("store_rollup_missing", &format!("DELETE FROM rollup WHERE {last}"))
        .fails(&["store_rollups"], "is stored as 0, expected 1");
    after_sql("store_rollup_count", &format!("UPDATE rollup SET count = count + 1 WHERE {last}"))
        .fails(&["store_rollups"], "is stored as 2, expected 1");
    after_sql(
        "store_rollup_twice",
        &format!("INSERT INTO rollup SELECT * FROM rollup WHERE {last}"),
    )
    .fails(&["store_rollups"], "is stored as 2, expected 1");
    after_sql("store_rollup_moved", &format!("UPDATE rollup SET offset = offset + 1 WHERE {last}"))
        .fails(&["store_rollups"], "is stored as 1, expected 0");
}

#[test]
fn webhooks() {
    let line = |world: &World| world.webhooks[1].clone();
    judged("webhook_unknown", |world| {
        let mut unknown = line(world);
        unknown["id"] = json!("6e4d1a5c-52c6-5a3e-9d0b-7c1f4b8a2e90");
        world.webhooks.push(unknown);
    })
    .fails(&["webhooks"], "is no escalation of the topic");
    judged("webhook_lost", |world| drop(world.webhooks.remove(1)))
        .fails(&["webhooks"], "says delivered, but no receiver accepted it");
    judged("webhook_twice", |world| world.webhooks.push(line(world))).holds();
    judged("webhook_body", |world| {
        let mut other = line(world);
        other["body_sha256"] = json!("00");
        world.webhooks.push(other);
    })
    .fails(&["webhooks"], "was sent with 2 different bodies");
    judged("webhook_signature", |world| {
        world.webhooks[0]["valid"] = json!(false);
    })
    .fails(&["webhooks"], "has no valid signature");
    judged("webhook_no_delivery", |world| {
        world.deliveries.remove(0);
    })
    .fails(&["webhooks"], "has no delivery");
    judged("webhook_status", |world| world.deliveries[0].1 = "pending")
        .fails(&["webhooks"], "has status \\\"pending\\\"");
    judged("webhook_given_up_silently", |world| {
        world.deliveries[0].1 = "undeliverable";
    })
    .fails(&["webhooks"], "says undeliverable, but has no dead letter");
    judged("webhook_dead_but_delivered", |world| {
        world.deliveries[3].1 = "delivered";
    })
    .fails(&["webhooks"], "has a dead letter, but no delivery says undeliverable");
    judged("webhook_dead_letter_code", |world| {
        set(&mut world.letters.last_mut().unwrap().fields, "stage", text("panic"));
    })
    .fails(&["dead_letters"], "says panic/undeliverable, expected notify/undeliverable");
    after_sql(
        "webhook_delivery_of_none",
        "UPDATE delivery SET escalation_id = zeroblob(16) WHERE rowid = 1",
    )
    .fails(&["webhooks"], "delivery of 00000000-0000-0000-0000-000000000000");
    let folder = World::correct().write("webhook_garbage");
    std::fs::write(folder.path.join("webhooks.jsonl"), "{}\n").unwrap();
    let verdict = folder.judge(&[]);
    assert!(verdict.code == 2 && verdict.errors.contains("line 1"), "{verdict:?}");
}

#[test]
fn card_numbers() {
    const CARD: &str = "paid with 4111 1111-1111 1111 today";
    judged("card_reason", |world| {
        let reason = nested(&[
            ("code", text("VELOCITY")),
            ("text", text(CARD)),
            ("weight", Value::Double(0.25)),
            ("rule", text("velocity")),
        ]);
        let at = number_of(world, "ALLOW");
        set(&mut world.decisions[at].fields, "reasons", Value::Array(vec![reason]));
        world.roll_up();
    })
    .fails(&["card_numbers"], "decisions/0@0: text holds a card number beginning with 4111");
    judged("card_summary", |world| {
        set(&mut world.escalations[0].fields, "summary", text(CARD));
    })
    .fails(&["card_numbers"], "summary holds a card number");
    judged("card_quoted_id", |world| {
        let own = format!("event {} again", "4111111111111111");
        let at = world
            .decisions
            .iter()
            .position(|d| get(&d.fields, "event_id") == "4111111111111111")
            .unwrap();
        world.decisions[at].fields.insert("degraded".to_owned(), Value::Array(vec![text(&own)]));
    })
    .holds();
    for (name, card, leaks) in [
        ("card_id", "4222222222222", true),
        ("terminal_id", "4222222222222", false),
        ("text", "4222222222222", true),
    ] {
        let verdict = judged(&format!("card_field_{name}"), |world| {
            let field = nested(&[("name", text(name)), ("value", text(card))]);
            set(&mut world.decisions[0].fields, "fields", Value::Array(vec![field]));
        });
        match leaks {
            true => verdict.fails(&["card_numbers"], &format!("{name} holds a card number")),
            false => verdict.holds(),
        }
    }
    let letters = [
        ("message", text(CARD)),
        ("key", text("acme/4111111111111111")),
        ("headers", Value::Map([("trace".to_owned(), text(CARD))].into())),
    ];
    for (name, value) in letters {
        judged(&format!("card_letter_{name}"), |world| {
            world.letters[0].fields.insert(name.to_owned(), value);
        })
        .fails(&["card_numbers"], &format!("dead-letters/0@0: {name} holds a card number"));
    }
    judged("card_payload", |world| {
        let key = world.inputs[&("transactions", 0)][0].key.clone();
        let key = String::from_utf8(key.unwrap()).unwrap();
        let place = world.append(
            "transactions",
            0,
            T0,
            Some(&key),
            b"not a frame: 4111111111111111".to_vec(),
        );
        world.letter(&place, "decode", "unframed");
        let payload = world.inputs[&("transactions", 0)].last().unwrap().payload.clone();
        let letter = world.letters.last_mut().unwrap();
        letter.fields.insert("payload".to_owned(), Value::Bytes(payload));
    })
    .fails(&["card_numbers"], "payload holds a card number");
    judged("card_webhook", |world| {
        world.webhooks[1]["body"] =
            json!(json!({ "subject_id": "4111111111111111", "summary": CARD }).to_string());
    })
    .fails(&["card_numbers"], "summary holds a card number");
    judged("card_webhook_id", |world| {
        world.webhooks[1]["body"] = json!(json!({ "subject_id": "4111111111111111" }).to_string());
    })
    .holds();
}

#[test]
fn runs_that_differ() {
    let one = World::correct().write("compare_one");
    let against = |name: &str, change: &dyn Fn(&mut World)| {
        let mut other = World::correct();
        change(&mut other);
        let other = other.write(name);
        one.judge(&["--compare", other.path.to_str().unwrap()])
    };
    let verdict = against("compare_clocks", &|world| {
        for decision in &mut world.decisions {
            set(&mut decision.fields, "decided_at", Value::Long(5));
        }
        for escalation in &mut world.escalations {
            set(&mut escalation.fields, "created_at", Value::Long(5));
            set(&mut escalation.fields, "due_at", Value::Union(0, Box::new(Value::Null)));
        }
        world.decisions.reverse();
    });
    verdict.holds();
    assert_eq!(verdict.check("compare_decisions")["checked"], 36);
    assert_eq!(verdict.check("compare_escalations")["checked"], 18);
    against("compare_score", &|world| {
        set(&mut world.decisions[0].fields, "score", Value::Double(0.500_000_000_000_000_1));
    })
    .fails(
        &["compare_decisions"],
        "transactions/0@0: score is Double(0.5), in the other folder Double(0.5000000000000001)",
    );
    against("compare_summary", &|world| {
        set(&mut world.escalations[0].fields, "summary", text("other"));
    })
    .fails(&["compare_escalations"], "summary is String");
    against("compare_fewer", &|world| drop(world.decisions.remove(0)))
        .fails(&["compare_decisions"], "decisions/0@0 is not in the other folder");
    against("compare_more", &|world| {
        world.decided(&event("chats", "a0", "more"), "BLOCK", &[]);
    })
    .fails(&["compare_decisions", "compare_escalations"], "chats/0@6 is only in the other folder");
    against("compare_twice", &|world| {
        world.decisions.push(world.decisions[0].clone());
    })
    .fails(&["compare_decisions"], "transactions/0@0 is only in the other folder");
}

#[test]
fn examples_stop_at_twenty_and_the_count_goes_on() {
    let verdict = judged("many", |world| {
        world.decisions.clear();
        world.escalations.clear();
        world.letters.retain(|letter| get(&letter.fields, "stage") != "notify");
        world.deliveries.clear();
        world.webhooks.clear();
        world.roll_up();
    });
    verdict.fails(&["conservation"], "is accepted");
    assert_eq!(verdict.check("conservation")["failed"], 36);
    assert_eq!(verdict.check("conservation")["examples"].as_array().unwrap().len(), 20);
}

/// The stage of that name among those that fired.
fn fired<'w>(world: &'w mut World, stage: &str) -> &'w mut fixture::Output {
    world.fired.iter_mut().find(|fired| get(&fired.fields, "stage") == stage).unwrap()
}

/// The escalation of a stage.
fn told<'w>(world: &'w mut World, stage: &str) -> &'w mut fixture::Output {
    let id = fired(world, stage).key.clone().unwrap();
    let is_it = |e: &&mut fixture::Output| get(&e.fields, "escalation_id") == id;
    world.escalations.iter_mut().find(is_it).unwrap()
}

/// Judges a folder with deadlines after `change`.
fn after_deadlines(name: &str, change: impl FnOnce(&mut World)) -> fixture::Verdict {
    judged(name, |world| {
        world.add_deadlines();
        change(world);
    })
}

#[test]
fn deadlines() {
    after_deadlines("deadline_twice", |world| {
        let twice = fired(world, "48h").clone();
        world.fired.push(twice);
    })
    .fails(&["deadlines"], "the same stage has fired");
    after_deadlines("deadline_early", |world| {
        let early = T0 + 24 * fixture::HOUR_MS - 1;
        set(&mut fired(world, "48h").fields, "fired_at", Value::Long(early));
        set(&mut told(world, "48h").fields, "created_at", Value::Long(early));
    })
    .fails(&["deadlines"], "before its moment");
    after_deadlines("deadline_out_of_order", |world| {
        let place = |world: &World, stage: &str| {
            world.fired.iter().position(|fired| get(&fired.fields, "stage") == stage).unwrap()
        };
        let (first, second) = (place(world, "48h"), place(world, "24h"));
        world.fired.swap(first, second);
    })
    .fails(&["deadlines"], "fired after one of");
    after_deadlines("deadline_untold", |world| {
        let id = fired(world, "24h").key.clone().unwrap();
        world.escalations.retain(|e| get(&e.fields, "escalation_id") != id);
        world.deliveries.retain(|(of, _)| of.to_string() != id);
        world.webhooks.retain(|line| line["id"] != id);
    })
    .fails(&["deadlines"], "has no escalation");
    after_deadlines("deadline_unsaid", |world| {
        world.fired.retain(|fired| get(&fired.fields, "stage") != "24h");
    })
    .fails(&["escalations"], "no decision of this partition demands it");
    after_deadlines("deadline_of_another_day", |world| {
        set(&mut told(world, "48h").fields, "due_at", Value::Long(T0));
    })
    .fails(&["deadlines"], "due_at is another");
    after_deadlines("deadline_of_nobody", |world| {
        let nobody = uuid::Uuid::nil().to_string();
        set(&mut told(world, "48h").fields, "decision_id", text(&nobody));
    })
    .fails(&["deadlines"], "it repeats no decision about a dispute");
}

#[test]
fn tombstones() {
    let account = "1000000000000000";
    let key = event("transactions", account, "any").key();
    judged("tombstone_decided", |world| {
        let place = world.tombstone("transactions", Some(&key));
        // the records before it are whole: what names a schema is taken from one of them
        let payload = world.inputs[&("transactions", 0)][0].payload.clone();
        let records = world.inputs.get_mut(&("transactions", 0)).unwrap();
        let tombstone = std::mem::replace(&mut records.last_mut().unwrap().payload, payload);
        world.decide(&place, &event("transactions", account, "new"), "ALLOW", &[]);
        world.inputs.get_mut(&("transactions", 0)).unwrap().last_mut().unwrap().payload = tombstone;
        world.roll_up();
    })
    .fails(&["conservation", "decisions"], "is a tombstone: found 1 decisions and 0 dead letters");
    judged("tombstone_dead", |world| {
        let place = world.tombstone("chats", Some(&key));
        world.letter(&place, "decode", "unframed");
    })
    .fails(&["conservation"], "is a tombstone: found 0 decisions and 1 dead letters");
    judged("tombstone_ignored", |world| {
        let payment = event("transactions", account, "transactions-1");
        world.tombstone("transactions", Some(&key));
        world.send(&payment);
    })
    .fails(&["conservation"], "is accepted: found 0 decisions and 0 dead letters");
    judged("tombstone_of_another_topic", |world| {
        let payment = event("transactions", account, "transactions-1");
        world.tombstone("chats", Some(&key));
        world.decided(&payment, "ALLOW", &[]);
        world.roll_up();
    })
    .fails(&["conservation", "decisions"], "is a duplicate: found 1 decisions");
    judged("tombstone_undeliverable", |world| {
        let place = world.tombstone_of_escalations(&key);
        world.letter(&place, "notify", "undeliverable");
    })
    .fails(&["dead_letters"], "is a tombstone and has a dead letter");
}

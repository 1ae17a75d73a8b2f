//! What is right must pass, at every boundary of the contract and not one step beyond it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod fixture;

use apache_avro::Schema;
use apache_avro::types::Value;
use fixture::{Event, Fields, INPUTS, T0, World, encode, event, frame, nested, schema_of, text};

const WEEK_MS: i64 = 168 * 3_600_000;
/// Age is told in steps of 16.384 s, so that an entry may count for two of them longer.
const STEPS_MS: i64 = 2 * 16_384;

#[test]
fn a_folder_in_which_every_record_ended_once_passes_every_check() {
    let mut world = World::correct();
    world.add_deadlines();
    let verdict = world.write("holds_correct").judge(&[]);
    verdict.holds();
    // a check that looked at nothing would hold as well
    for check in verdict.report["checks"].as_array().unwrap() {
        assert!(check["checked"].as_u64().unwrap() > 0, "{check}");
    }
    let payments = &verdict.report["topics"]["transactions"];
    assert_eq!(
        ["records", "decisions", "duplicates", "refused", "panicked", "unread"]
            .map(|n| payments[n].as_u64().unwrap()),
        [14, 10, 2, 2, 0, 0]
    );
    let chats = &verdict.report["topics"]["chats"];
    assert_eq!((chats["decisions"].as_u64(), chats["panicked"].as_u64()), (Some(10), Some(2)));
    let labels = &verdict.report["topics"]["labels"];
    assert_eq!((labels["labels"].as_u64(), labels["duplicates"].as_u64()), (Some(2), Some(2)));
}

#[test]
fn an_empty_folder_holds_and_a_missing_one_is_unreadable() {
    World::default().write("holds_empty").judge(&[]).holds();
    let gone = fixture::Folder { path: "no/such/folder".into() };
    let verdict = gone.judge_plain(&[]);
    assert_eq!(verdict.code, 2);
    assert!(verdict.errors.contains("cannot read no/such/folder/weir.db"), "{}", verdict.errors);
    let folder = World::default().write("holds_format");
    let database = rusqlite::Connection::open(folder.path.join("weir.db")).unwrap();
    database.execute_batch("PRAGMA user_version = 3").unwrap();
    let verdict = folder.judge(&[]);
    assert!(verdict.code == 2 && verdict.errors.contains("format 3"), "{verdict:?}");
    let verdict = folder.judge_plain(&["--no-such-flag"]);
    assert_eq!(verdict.code, 2);
}

/// Events that break one rule, and the dead letter each must become.
fn refusals() -> Vec<(Event, &'static str, &'static str)> {
    // with a subject of its own, so that only the field in question breaks a rule
    let payment = |n: &str| event("transactions", "a1", n).with("transaction_id", text("t"));
    let long = |len: usize| text(&"x".repeat(len));
    vec![
        (payment(""), "validate", "invalid_field"),
        (payment(&"i".repeat(257)), "validate", "invalid_field"),
        (payment("r1\n"), "validate", "invalid_field"),
        (payment("r2\u{85}"), "validate", "invalid_field"),
        (payment("r3").with("tenant", text("")), "validate", "invalid_field"),
        (payment("r4").with("tenant", text("a/b")), "validate", "invalid_field"),
        (payment("r5").with("transaction_id", text("")), "validate", "invalid_field"),
        (payment("r6").with("currency", text("eur")), "validate", "invalid_field"),
        (payment("r7").with("currency", text("EURO")), "validate", "invalid_field"),
        (payment("r8").with("lat", Value::Double(f64::NAN)), "validate", "invalid_field"),
        (payment("r9").with("lon", Value::Double(f64::INFINITY)), "validate", "invalid_field"),
        (payment("r10").with("merchant_id", long(1_025)), "validate", "too_large"),
        (payment("r11").at(946_684_799_999), "validate", "time_too_early"),
        (payment("r12").at(T0 + 600_001), "validate", "time_in_future"),
        (payment("r13").with("card_id", text("4111-1111 1111-1111")), "validate", "card_number"),
        (
            event("disputes", "a1", "r14").with("card_id", text("4222222222222")),
            "validate",
            "card_number",
        ),
        (event("disputes", "a1", "r15").with("narrative", long(65_537)), "validate", "too_large"),
        (event("disputes", "a1", "r16").with("dispute_id", long(257)), "validate", "invalid_field"),
        (event("chats", "a1", "r17").with("text", long(65_537)), "validate", "too_large"),
        (event("chats", "a1", "r18").with("language", long(1_025)), "validate", "too_large"),
        (
            event("chats", "a1", "r19").with("bot_confidence", Value::Double(f64::NAN)),
            "validate",
            "invalid_field",
        ),
        (event("labels", "a1", "r20").with("note", long(65_537)), "validate", "too_large"),
        (
            event("labels", "a1", "r21").with("subject_id", text("\u{7f}")),
            "validate",
            "invalid_field",
        ),
        (
            event("invoices", "a1", "r22").with("lines", line("d", f64::NEG_INFINITY)),
            "validate",
            "invalid_field",
        ),
        (
            event("invoices", "a1", "r23").with("lines", line(&"d".repeat(1_025), 1.0)),
            "validate",
            "too_large",
        ),
        // of two broken rules the first one counts
        (
            payment("r24").with("currency", text("")).with("merchant_id", long(1_025)),
            "validate",
            "invalid_field",
        ),
        (payment("r25").with("merchant_id", long(1_025)).at(0), "validate", "too_large"),
        (payment("r26").with("card_id", text("4222222222222")).at(0), "validate", "time_too_early"),
    ]
}

fn line(description: &str, quantity: f64) -> Value {
    Value::Array(vec![nested(&[
        ("description", text(description)),
        ("quantity", Value::Double(quantity)),
        ("unit_price_minor", Value::Long(1)),
        ("amount_minor", Value::Long(1)),
    ])])
}

/// Events at the last allowed value of each rule.
fn barely_allowed() -> Vec<Event> {
    // with a subject of its own, so that only the field in question breaks a rule
    let payment = |n: &str| event("transactions", "a1", n).with("transaction_id", text("t"));
    let long = |len: usize| text(&"x".repeat(len));
    vec![
        payment(&"i".repeat(256)),
        payment("b1").with("merchant_id", long(1_024)),
        payment("b2").at(946_684_800_000),
        payment("b3").with("card_id", text("4111111111111112")),
        payment("b4").with("card_id", text("tok_4111111111111111")),
        payment("b5").with("card_id", text("411111111111")),
        payment("b6").with("tenant", text("ünïcode tenant")),
        payment("b7").with("amount_minor", Value::Long(i64::MIN)),
        payment("b8").at(T0 + 600_000),
        event("disputes", "a1", "b9").with("narrative", long(65_536)),
        event("chats", "a1", "b10").with("text", long(65_536)),
        event("chats", "a1", "b11").with("text", text("")),
        event("chats", "a1", "b12").with("text", text("a\nb")),
        event("invoices", "a1", "b13").with("lines", line(&"d".repeat(1_024), -0.0)),
        event("invoices", "a1", "b14").with("number", text("")),
    ]
}

fn refused_world() -> World {
    let mut world = World::default();
    for (event, stage, code) in refusals() {
        world.refused(&event, stage, code);
    }
    for event in barely_allowed() {
        world.decided(&event, "ALLOW", &[]);
    }
    let payment = event("transactions", "a1", "k");
    let (key, payload) = (payment.key(), payment.payload());
    let mut give_up = |key: Option<&str>, payload: Vec<u8>, stage: &str, code: &str| {
        let place = world.append("transactions", 1, T0, key, payload);
        world.letter(&place, stage, code);
    };
    give_up(None, payload.clone(), "validate", "key_missing");
    give_up(Some("acme/a2"), payload.clone(), "validate", "key_mismatch");
    give_up(Some(""), payload.clone(), "validate", "key_mismatch");
    give_up(Some(&key), vec![], "decode", "unframed");
    give_up(Some(&key), vec![0xc3, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0], "decode", "unframed");
    give_up(Some(&key), vec![0xc3, 0x01, 9, 9, 9, 9, 9, 9, 9, 9, 0], "decode", "unknown_schema");
    give_up(Some(&key), event("chats", "a1", "k").payload(), "decode", "wrong_schema");
    give_up(Some(&key), frame(&schema_of("decisions")), "decode", "wrong_schema");
    give_up(Some(&key), [payload.clone(), vec![0]].concat(), "decode", "malformed");
    give_up(Some(&key), vec![0; 1_048_577], "decode", "too_large");
    give_up(Some(&key), vec![0; 1_048_576], "decode", "unframed");
    world.roll_up();
    world
}

#[test]
fn each_rule_of_refusal_is_judged_at_its_boundary_and_in_its_order() {
    refused_world().write("holds_refusals").judge(&[]).holds();
}

#[test]
fn no_refusal_passes_under_another_code_or_as_a_decision() {
    let world = refused_world();
    let mut other = world.clone();
    for letter in &mut other.letters {
        let code = if fixture::get(&letter.fields, "code") == "malformed" {
            "unframed"
        } else {
            "malformed"
        };
        letter.fields.insert("code".to_owned(), text(code));
    }
    let verdict = other.write("fails_codes").judge(&[]);
    verdict.fails(&["dead_letters"], "says validate/malformed, expected validate/invalid_field");
    assert_eq!(verdict.check("dead_letters")["failed"], world.letters.len());
    let mut decided = world.clone();
    decided.letters.clear();
    for (event, _, _) in refusals().iter().take(1) {
        let place = fixture::Place { topic: "transactions", partition: 1, offset: 0 };
        decided.decide(&place, event, "ALLOW", &[]);
    }
    decided.roll_up();
    let verdict = decided.write("fails_refused_but_decided").judge(&[]);
    verdict.fails(&["conservation", "decisions"], "is not an accepted event");
    assert_eq!(verdict.check("conservation")["failed"], world.letters.len());
}

#[test]
fn every_truncation_of_a_body_is_malformed() {
    let mut world = World::default();
    for topic in INPUTS {
        let event = event(topic, "a0", "whole");
        let payload = event.payload();
        for len in 0..payload.len() {
            let place = world.append(topic, 0, T0, Some(&event.key()), payload[..len].to_vec());
            let code = if len < 10 { "unframed" } else { "malformed" };
            world.letter(&place, "decode", code);
        }
    }
    world.write("holds_truncations").judge(&[]).holds();
}

/// A writer's schema made from the contract's by changing its JSON.
fn writer(topic: &str, change: impl Fn(&mut Vec<serde_json::Value>)) -> (Schema, String) {
    let file = topic.trim_end_matches('s');
    let path = fixture::schemas_dir().join(format!("{file}.avsc"));
    let mut json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    change(json["fields"].as_array_mut().unwrap());
    (Schema::parse_str(&json.to_string()).unwrap(), json.to_string())
}

#[test]
fn writers_that_added_or_dropped_optional_fields_are_read_and_others_are_refused() {
    let dropped_and_added = writer("transactions", |fields| {
        fields.retain(|f| f["name"] != "tenant" && f["name"] != "recurring" && f["name"] != "ip");
        fields.insert(0, serde_json::json!({ "name": "loyalty", "type": "string" }));
    });
    let no_amount = writer("transactions", |fields| {
        fields.retain(|f| f["name"] != "amount_minor");
    });
    let more_statuses = writer("transactions", |fields| {
        let status = fields.iter_mut().find(|f| f["name"] == "status").unwrap();
        status["type"]["symbols"].as_array_mut().unwrap().push("PENDING".into());
    });
    let more_channels = writer("transactions", |fields| {
        let channel = fields.iter_mut().find(|f| f["name"] == "channel").unwrap();
        channel["type"]["symbols"].as_array_mut().unwrap().push("QR".into());
    });
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("writers");
    std::fs::create_dir_all(&folder).unwrap();
    for (n, (_, json)) in
        [&dropped_and_added, &no_amount, &more_statuses, &more_channels].into_iter().enumerate()
    {
        std::fs::write(folder.join(format!("{n}.avsc")), json).unwrap();
    }
    let mut world = World::default();
    let mut with = |schema: &Schema, event: &Event, fields: &Fields| {
        world.append("transactions", 0, T0, Some(&event.key()), encode(schema, fields))
    };
    let without_tenant = event("transactions", "a0", "e1").with("tenant", text("default"));
    let mut fields = without_tenant.fields.clone();
    fields.remove("tenant");
    fields.insert("loyalty".to_owned(), text("gold"));
    let decided = with(&dropped_and_added.0, &without_tenant, &fields);
    let incompatible = event("transactions", "a0", "e2");
    let mut fields = incompatible.fields.clone();
    fields.remove("amount_minor");
    let no_amount = with(&no_amount.0, &incompatible, &fields);
    let pending = event("transactions", "a0", "e3").with("status", text("PENDING"));
    let malformed = with(&more_statuses.0, &pending, &pending.fields);
    let known = event("transactions", "a0", "e4");
    let known_status = with(&more_statuses.0, &known, &known.fields);
    let qr = event("transactions", "a0", "e5").with("channel", text("QR"));
    let new_channel = with(&more_channels.0, &qr, &qr.fields);
    world.decide(&decided, &without_tenant, "BLOCK", &["velocity"]);
    world.letter(&no_amount, "decode", "incompatible_schema");
    world.letter(&malformed, "decode", "malformed");
    world.decide(&known_status, &known, "ALLOW", &[]);
    world.decide(&new_channel, &qr, "ALLOW", &[]);
    world.roll_up();
    let judged = world.write("holds_writers");
    judged.judge(&["--schemas", folder.to_str().unwrap()]).holds();
    // without the further writers nothing of it is known
    judged
        .judge(&[])
        .fails(&["conservation", "dead_letters", "decisions"], "expected decode/unknown_schema");
}

/// An event, a repeat of it after `between` other events, and what the repeat is.
fn ring(between: usize, repeat_is: &str) -> World {
    let mut world = World::default();
    let first = event("transactions", "a0", "first");
    world.decided(&first, "ALLOW", &[]);
    for n in 0..between {
        world.decided(&event("transactions", "a0", &format!("n{n}")), "ALLOW", &[]);
        // neither of these takes a place in the ring
        world.send(&event("transactions", "a0", &format!("n{n}")));
        world.refused(
            &event("transactions", "a0", &format!("bad{n}")).at(0),
            "validate",
            "time_too_early",
        );
        world.refused(&event("transactions", "a0", &format!("poison{n}")), "panic", "panicked");
        world.decided(&event("disputes", "a0", &format!("n{n}")), "ALLOW", &[]);
        world.decided(&event("transactions", "a2", &format!("n{n}")), "ALLOW", &[]);
    }
    match repeat_is {
        "duplicate" => drop(world.send(&first)),
        "conflict" => {
            let _place =
                world.refused(&first.with("mcc", text("5411")), "dedupe", "conflicting_duplicate");
        }
        _ => drop(world.decided(&first, "BLOCK", &["velocity"])),
    }
    world.roll_up();
    world
}

#[test]
fn the_ring_holds_sixty_four_accepted_events_and_no_more() {
    ring(63, "duplicate").write("holds_ring_63").judge(&[]).holds();
    ring(63, "conflict").write("holds_ring_63_conflict").judge(&[]).holds();
    ring(64, "new").write("holds_ring_64").judge(&[]).holds();
    ring(63, "new")
        .write("fails_ring_63")
        .judge(&[])
        .fails(&["conservation", "decisions"], "is a duplicate: found 1 decisions");
    ring(64, "duplicate")
        .write("fails_ring_64")
        .judge(&[])
        .fails(&["conservation"], "found 0 decisions and 0 dead letters");
    ring(64, "duplicate").write("holds_ring_65").judge(&["--dedupe-ids", "65"]).holds();
}

/// An event, one `gap_ms` later, and a repeat of the first.
fn aged(gap_ms: i64, repeat_is: &str) -> World {
    let mut world = World::default();
    let first = event("chats", "a0", "first").at(T0 - 30 * 24 * 3_600_000);
    world.decided(&first, "REVIEW", &["words"]);
    // the repeat's own time does not count: a later repeat of the same id is a conflict still
    world.decided(
        &event("chats", "a0", "later").at(T0 - 30 * 24 * 3_600_000 + gap_ms),
        "ALLOW",
        &[],
    );
    match repeat_is {
        "duplicate" => drop(world.send(&first)),
        "conflict" => drop(world.refused(&first.at(T0), "dedupe", "conflicting_duplicate")),
        _ => drop(world.decided(&first, "REVIEW", &["words"])),
    }
    world.roll_up();
    world
}

#[test]
fn an_entry_counts_for_seven_days_and_at_most_two_steps_longer() {
    aged(WEEK_MS, "duplicate").write("holds_age_week").judge(&[]).holds();
    aged(WEEK_MS, "conflict").write("holds_age_conflict").judge(&[]).holds();
    aged(WEEK_MS + STEPS_MS, "new").write("holds_age_over").judge(&[]).holds();
    aged(WEEK_MS, "new")
        .write("fails_age_week")
        .judge(&[])
        .fails(&["conservation", "decisions"], "is a duplicate");
    aged(WEEK_MS + STEPS_MS, "duplicate")
        .write("fails_age_over")
        .judge(&[])
        .fails(&["conservation"], "is accepted: found 0 decisions");
    aged(WEEK_MS + STEPS_MS, "duplicate")
        .write("holds_age_hours")
        .judge(&["--dedupe-hours", "169"])
        .holds();
}

#[test]
fn an_event_that_comes_late_does_not_turn_the_latest_time_back() {
    let mut world = World::default();
    let start = T0 - 3 * WEEK_MS;
    let first = event("disputes", "a0", "first").at(start);
    world.decided(&first, "ALLOW", &[]);
    world.decided(&event("disputes", "a0", "later").at(start + WEEK_MS + STEPS_MS), "ALLOW", &[]);
    world.decided(&event("disputes", "a0", "late").at(start + STEPS_MS), "ALLOW", &[]);
    world.decided(&first, "ALLOW", &[]);
    // neither a refused nor a panicked event counts as the latest
    let kept = event("disputes", "a0", "late").at(start + STEPS_MS);
    world.refused(&event("disputes", "a0", "f").at(T0 + 600_001), "validate", "time_in_future");
    world.refused(&event("disputes", "a0", "p").at(T0), "panic", "panicked");
    world.send(&kept);
    world.roll_up();
    world.write("holds_late").judge(&[]).holds();
}

#[test]
fn the_newest_counting_entry_says_what_a_repeat_is() {
    let mut world = World::default();
    let old = event("invoices", "a0", "same").at(T0 - 2 * WEEK_MS);
    let new = event("invoices", "a0", "same").at(T0 - WEEK_MS / 2);
    world.decided(&old, "ALLOW", &[]);
    world.decided(&event("invoices", "a0", "between").at(T0 - WEEK_MS + STEPS_MS), "ALLOW", &[]);
    world.decided(&new, "ALLOW", &[]);
    world.send(&new);
    world.refused(&old, "dedupe", "conflicting_duplicate");
    world.roll_up();
    world.write("holds_newest").judge(&[]).holds();
}

#[test]
fn what_is_not_read_yet_is_judged_only_up_to_the_committed_position() {
    let mut world = World::correct();
    let late = event("transactions", "a0", "late");
    world.send(&late);
    world.send(&event("labels", "a1", "late"));
    world.behind = vec![
        ("weir.score", "transactions", 0, 1),
        ("weir.score", "labels", 1, 1),
        ("weir.store", "decisions", 0, 1),
        ("weir.store", "weir.rollups", 0, 1),
        ("weir.notify", "escalations", 1, 1),
    ];
    let verdict = world.write("fails_behind").judge(&[]);
    verdict.fails(
        &["positions", "conservation"],
        "weir.notify stands at escalations/1@8, the end is 9",
    );
    assert_eq!(verdict.check("positions")["failed"], 5);
    let folder = world.write("holds_behind");
    let verdict = folder.judge(&["--allow-behind"]);
    verdict.holds();
    assert_eq!(verdict.report["topics"]["transactions"]["unread"], 1);
    // what the store has not read it need not have, what it has read it must
    let last = "(SELECT max(rowid) FROM decision WHERE account_id LIKE '%0')";
    let folder = folder.sql(&format!("DELETE FROM decision WHERE rowid = {last}"));
    folder.judge(&["--allow-behind"]).holds();
    let folder = folder.sql(&format!("DELETE FROM decision WHERE rowid = {last}"));
    folder.judge(&["--allow-behind"]).fails(&["store_decisions"], "is not stored");
}

#[test]
fn after_a_tombstone_an_event_that_was_seen_is_decided_about_again() {
    let mut world = World::correct();
    let account = "1000000000000000";
    let payment = event("transactions", account, "transactions-1");
    let chat = event("chats", account, "chats-1");
    world.tombstone("transactions", Some(&payment.key()));
    world.tombstone_of_escalations(&payment.key());
    world.decided(&payment, "ALLOW", &[]);
    // another topic has told of the account too, and another account is another
    world.send(&chat);
    world.send(&event("transactions", "1000000000000001", "transactions-1"));
    for (key, code) in [(None, "key_missing"), (Some("no account"), "invalid_field")] {
        let nobody = world.tombstone("labels", key);
        world.letter(&nobody, "validate", code);
    }
    // without the header nothing is nothing
    let nothing = world.append("transactions", 0, T0, Some(&payment.key()), Vec::new());
    world.letter(&nothing, "decode", "unframed");
    world.roll_up();
    let verdict = world.write("holds_tombstone").judge(&[]);
    verdict.holds();
    let count = |topic: &str| verdict.report["topics"][topic]["tombstones"].as_u64();
    assert_eq!(
        (count("transactions"), count("labels"), count("chats")),
        (Some(1), Some(0), Some(0))
    );
}

//! Records framed as Confluent's clients do, with a registry that knows some ids.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod fixture;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apache_avro::types::Value;
use fixture::{T0, World, body_of, event, get, records_of, schemas_dir};
use rusqlite::params;
use serde_json::json;

/// The id of the contract of payments.
const PAYMENT: u32 = 7;
/// A writer that dropped an optional field.
const OLDER: u32 = 300;
/// The contract of chats.
const CHAT: u32 = 8;
/// The contract of decisions.
const DECISION: u32 = 11;
/// One that does not resolve.
const FOREIGN: u32 = 9;
/// Nobody gave it out.
const UNKNOWN: u32 = 1_000_000_000;

fn contract(file: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(schemas_dir().join(format!("{file}.avsc"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn older() -> serde_json::Value {
    let mut schema = contract("transaction");
    schema["fields"].as_array_mut().unwrap().retain(|field| field["name"] != "recurring");
    schema
}

/// Serves schemas below a path; counts what it was asked.
struct Stub {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Stub {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

fn serve(failing: bool) -> Stub {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/apis/ccompat/v7/", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            count.fetch_add(1, Ordering::Relaxed);
            let path = first.split(' ').nth(1).unwrap();
            let id = path.strip_prefix("/apis/ccompat/v7/schemas/ids/");
            let schema = match id.map(|id| id.parse::<u32>().unwrap()) {
                Some(PAYMENT) => Some(contract("transaction")),
                Some(OLDER) => Some(older()),
                Some(CHAT) => Some(contract("chat")),
                Some(DECISION) => Some(contract("decision")),
                Some(FOREIGN) => Some(json!({
                    "type": "record", "name": "weir.Transaction",
                    "fields": [{ "name": "event_id", "type": "long" }],
                })),
                _ => None,
            };
            let (status, body) = match schema {
                _ if failing => ("503 Service Unavailable", json!({})),
                Some(schema) => ("200 OK", json!({ "schema": schema.to_string() })),
                None => ("404 Not Found", json!({ "error_code": 40403, "message": "no schema" })),
            };
            let body = body.to_string();
            let head = "Connection: close\r\nContent-Type: application/json";
            let length = body.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    Stub { url, asked }
}

/// The payload of a single-object record under another framing.
fn reframed(id: u32, payload: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], &payload[10..]].concat()
}

/// Payments framed by ids beside those of a folder that is right.
fn world() -> World {
    let mut world = World::correct();
    let mut send = |n: &str, id: u32, cut: usize| {
        let event = event("transactions", "b0", n);
        let mut payload = reframed(id, &event.payload());
        payload.truncate(payload.len() - cut);
        let place = world.append("transactions", 0, T0, Some(&event.key()), payload);
        (event, place)
    };
    let decided = [send("new", PAYMENT, 0), send("old", OLDER, 1)];
    let refused = [
        (send("unknown", UNKNOWN, 0).1, "unknown_schema"),
        (send("chat", CHAT, 0).1, "wrong_schema"),
        (send("foreign", FOREIGN, 0).1, "incompatible_schema"),
        (send("cut", PAYMENT, 1).1, "malformed"),
    ];
    let short = world.append("transactions", 0, T0, None, vec![0, 0, 0, 7]);
    let again = event("transactions", "b0", "new");
    // five bytes and a body of none: framed, but cut
    let empty = world.append("transactions", 0, T0, None, vec![0, 0, 0, 0, 7]);
    for ((event, place), id) in decided.iter().zip([PAYMENT, OLDER]) {
        world.decide(place, event, "ALLOW", &[]);
        let decision = world.decisions.last_mut().unwrap();
        let Some(Value::Record(source)) = decision.fields.get_mut("source") else { panic!() };
        source[3].1 = Value::Long(i64::from(id));
    }
    for (place, code) in refused {
        world.letter(&place, "decode", code);
    }
    world.letter(&short, "decode", "unframed");
    world.letter(&empty, "decode", "malformed");
    // the framing is part of the payload: under another it is another one
    world.refused(&again, "dedupe", "conflicting_duplicate");
    let payload = reframed(PAYMENT, &again.payload());
    world.append("transactions", 0, T0, Some(&again.key()), payload);
    world.roll_up();
    world
}

#[test]
fn framed_records_are_judged_with_the_schemas_of_the_registry() {
    let stub = serve(false);
    let folder = world().write("registry_right");
    let verdict = folder.judge(&["--registry", &stub.url]);
    verdict.holds();
    assert_eq!(verdict.report["topics"]["transactions"]["decisions"], 12);
    // once for each id, found or not
    assert_eq!(stub.asked(), 5);
    // without a registry nothing is framed so
    folder
        .judge(&[])
        .fails(&["conservation", "dead_letters", "decisions"], "expected decode/unframed");
}

#[test]
fn the_number_in_a_decision_is_the_registrys() {
    let stub = serve(false);
    let mut world = world();
    let framed = |d: &&mut fixture::Output| get(&d.fields, "event_id") == "new";
    let decision = world.decisions.iter_mut().find(framed).unwrap();
    let Some(Value::Record(source)) = decision.fields.get_mut("source") else { panic!() };
    source[3].1 = Value::Long(8);
    let verdict = world.write("registry_number").judge(&["--registry", &stub.url]);
    verdict.fails(&["decisions"], "source.schema_id is Some(8), expected 7");
}

#[test]
fn outputs_may_be_framed_so_too() {
    let stub = serve(false);
    let folder = World::correct().write("registry_outputs");
    let database = rusqlite::Connection::open(folder.path.join("weir.db")).unwrap();
    let every = |sql: &str| -> Vec<(i64, Vec<u8>)> {
        let mut statement = database.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    };
    // topic 5 of the fixture
    for (id, body) in every("SELECT id, body FROM batch WHERE id >> 55 = 5") {
        let mut records = records_of(&body);
        for record in &mut records {
            record.payload = reframed(DECISION, &record.payload);
        }
        let sql = "UPDATE batch SET body = ?1 WHERE id = ?2";
        database.execute(sql, params![body_of(&records), id]).unwrap();
    }
    for (row, record) in every("SELECT rowid, record FROM decision") {
        let sql = "UPDATE decision SET record = ?1 WHERE rowid = ?2";
        database.execute(sql, params![reframed(DECISION, &record), row]).unwrap();
    }
    let verdict = folder.judge(&["--registry", &stub.url]);
    verdict.holds();
    assert_eq!((verdict.check("decisions")["checked"].as_u64(), stub.asked()), (Some(36), 1));
    let without = folder.judge(&[]);
    assert!(without.failed().contains(&"decisions".to_owned()), "{without:?}");
    assert!(without.check("decisions")["examples"].to_string().contains("unframed"));
}

#[test]
fn a_registry_that_does_not_decide_is_no_verdict() {
    let folder = world().write("registry_away");
    let stub = serve(true);
    let verdict = folder.judge(&["--registry", &stub.url]);
    let why = "schemas/ids/7: answered 503, expected 200 or 404";
    assert!(verdict.code == 2 && verdict.errors.contains(why), "{}", verdict.errors);
    let verdict = folder.judge(&["--registry", "http://me:secret@127.0.0.1:1"]);
    let why = "registry http://127.0.0.1:1/schemas/ids/7:";
    assert!(verdict.code == 2 && verdict.errors.contains(why), "{}", verdict.errors);
    assert!(!verdict.errors.contains("secret"), "{}", verdict.errors);
}

//! A real schema registry with Confluent's API: what is registered, what is refused, and records
//! that are read through their ids. `WEIR_TEST_REGISTRY` is its base URL, path prefix included, for
//! instance `http://127.0.0.1:8081/apis/ccompat/v7`; without it the tests say that they skip. Each
//! test has subjects of its own, and may run twice. Where a registry has no rule for a subject that is
//! not there yet, its global compatibility is set to `BACKWARD`: do not name one that others use.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use common::{INPUTS, KEY, event, record};
use serde_json::{Value, json};
use weir::codec::{
    Contract, Decoder, Encoder, Ids, OwnError, Refusal, Registry, RegistryError, Writers, body,
    decode_own, use_registry,
};
use weir::config::Registry as Section;
use weir::event::{Code, Event, Kind, Rollup};

const TOPICS: [(&str, Contract); 13] = [
    ("labels", Contract::Label),
    ("disputes", Contract::Dispute),
    ("chats", Contract::Chat),
    ("invoices", Contract::Invoice),
    ("transactions", Contract::Transaction),
    ("decisions", Contract::Decision),
    ("escalations", Contract::Escalation),
    ("dead-letters", Contract::DeadLetter),
    ("weir.rollups", Contract::Rollup),
    ("weir.touches", Contract::Touch),
    ("weir.fired", Contract::Fired),
    ("weir.control", Contract::Control),
    ("weir.deliveries", Contract::Delivery),
];

/// The real registry and the subjects of one test.
struct Real {
    section: Section,
}

impl Real {
    fn of(test: &str) -> Option<Real> {
        let Ok(url) = std::env::var("WEIR_TEST_REGISTRY") else {
            eprintln!("skipped {test}: WEIR_TEST_REGISTRY names no registry");
            return None;
        };
        let run = uuid::Uuid::new_v4();
        // a slash and a space must reach the registry as they are
        let subject = |topic: &str| (topic.to_owned(), format!("{test}/{run} {topic}"));
        let subjects = TOPICS.iter().map(|(topic, _)| subject(topic)).collect();
        let url = url.trim_end_matches('/').to_owned();
        let timeout = Duration::from_secs(5);
        let real = Real { section: Section { url, login: None, timeout, subjects } };
        let level = json!({"compatibility": "BACKWARD"});
        for topic in real.section.subjects.keys() {
            let (status, answer) = real.http("PUT", &["config", &real.subject(topic)], &level);
            // some registries have no rule for a subject that is not there yet
            if status == 404 {
                let (status, answer) = real.http("PUT", &["config"], &level);
                assert_eq!(status, 200, "{answer}");
            } else {
                assert_eq!(status, 200, "{answer}");
            }
        }
        Some(real)
    }

    fn subject(&self, topic: &str) -> String {
        self.section.subject(topic)
    }

    fn start(&self) -> Result<Arc<Registry>, RegistryError> {
        Registry::start(&self.section)
    }

    /// Registers a schema, as a producer does it.
    fn register(&self, topic: &str, schema: &str) -> u32 {
        let asked = json!({ "schema": schema });
        let path = ["subjects", &self.subject(topic), "versions"];
        let (status, answer) = self.http("POST", &path, &asked);
        assert_eq!(status, 200, "{answer}");
        u32::try_from(answer["id"].as_u64().unwrap()).unwrap()
    }

    fn get(&self, path: &[&str]) -> (u16, Value) {
        self.http("GET", path, &Value::Null)
    }

    /// A request without any of weir's code.
    fn http(&self, method: &str, path: &[&str], body: &Value) -> (u16, Value) {
        let rest = self.section.url.strip_prefix("http://").unwrap();
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let mut target = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        for part in path {
            target.push('/');
            target.push_str(&part.replace('/', "%2F").replace(' ', "%20"));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(host).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {length}\r\n\
             Content-Type: application/vnd.schemaregistry.v1+json\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

/// The contract's schema with one more field at its end.
fn with_field(contract: Contract, field: &str) -> String {
    let mut schema: Value = serde_json::from_str(contract.text()).unwrap();
    let field: Value = serde_json::from_str(field).unwrap();
    schema["fields"].as_array_mut().unwrap().push(field);
    schema.to_string()
}

fn schema_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

const ADDED: &str = r#"{"name":"added","type":["null","string"],"default":null}"#;

fn sound(kind: Kind) -> Event<'static> {
    event(kind, "", "")
}

/// A record framed with an id, its body followed by more bytes.
fn framed(kind: Kind, id: u32, more: &[u8]) -> weir::log::Record {
    let mut payload = Vec::new();
    let ids = Ids::default().with(Contract::of(kind), id);
    Encoder::with_ids(&ids).encode_event(&sound(kind), &mut payload).unwrap();
    payload.extend_from_slice(more);
    record(kind, Some(KEY.as_bytes()), &payload)
}

fn refused(decoder: &Decoder, record: &weir::log::Record) -> Refusal {
    decoder.decode(record).unwrap_err().refusal().unwrap()
}

#[test]
fn every_contract_is_registered_once_and_found_again() {
    let Some(real) = Real::of("registered") else { return };
    let ids = *real.start().unwrap().ids();
    for (topic, contract) in TOPICS {
        let id = ids.get(contract).unwrap_or_else(|| panic!("{topic} has no id"));
        let (status, answer) = real.get(&["schemas", "ids", &id.to_string()]);
        assert_eq!(status, 200, "{topic}: {answer}");
        let schema = schema_of(answer["schema"].as_str().unwrap());
        assert_eq!(schema, schema_of(contract.text()), "{topic}");
        let versions = ["subjects", &real.subject(topic), "versions"];
        assert_eq!(real.get(&versions), (200, json!([1])), "{topic}");
    }
    // a second process finds the same ids and registers nothing
    assert_eq!(real.start().unwrap().ids(), &ids);
    for (topic, _) in TOPICS {
        let versions = ["subjects", &real.subject(topic), "versions"];
        assert_eq!(real.get(&versions), (200, json!([1])), "{topic}");
    }
    // so does one that uses the very same subjects by another name of the topic's
    let mut section = real.section.clone();
    let other = format!("{} too", real.subject("chats"));
    section.subjects.insert("chats".to_owned(), other.clone());
    Registry::start(&section).unwrap();
    let (status, answer) = real.get(&["subjects", &other, "versions", "latest"]);
    assert_eq!((status, answer["version"].as_u64()), (200, Some(1)), "{answer}");
}

#[test]
fn an_older_weir_goes_on_beside_a_newer_one() {
    let Some(real) = Real::of("older") else { return };
    let before = *real.start().unwrap().ids();
    let newer = real.register("decisions", &with_field(Contract::Decision, ADDED));
    assert_ne!(Some(newer), before.get(Contract::Decision));
    assert_eq!(real.start().unwrap().ids(), &before);
}

#[test]
fn an_incompatible_output_is_refused_and_both_versions_are_named() {
    let Some(real) = Real::of("output") else { return };
    let theirs = r#"{"type":"record","name":"Decision","namespace":"weir","fields":[
        {"name":"decision_id","type":"long"}]}"#;
    let id = real.register("decisions", theirs);
    let error = real.start().unwrap_err();
    assert!(matches!(error, RegistryError::Incompatible { .. }), "{error:?}");
    let fingerprint = u64::from_le_bytes(*Contract::Decision.schema().rabin_fingerprint());
    let text = error.to_string();
    for part in [
        real.section.url.as_str(),
        &real.subject("decisions"),
        &format!("version 1 (id {id})"),
        &format!("weir.Decision (fingerprint {fingerprint:016x})"),
        "ncompatible",
    ] {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
    let versions = ["subjects", &real.subject("decisions"), "versions"];
    assert_eq!(real.get(&versions), (200, json!([1])), "nothing was registered");
}

#[test]
fn an_input_that_cannot_be_read_is_refused_at_start_and_both_versions_are_named() {
    let Some(real) = Real::of("input") else { return };
    let text = Contract::Transaction.text();
    let (before, after) = text.split_at(text.find("\"amount_minor\"").unwrap());
    let theirs = format!("{before}{}", after.replacen("\"long\"", "\"double\"", 1));
    let id = real.register("transactions", &theirs);
    let text = real.start().unwrap_err().to_string();
    for part in [
        &real.subject("transactions"),
        &format!("version 1 (id {id})"),
        "weir.Transaction (fingerprint",
        "amount_minor is double, expected long",
    ] {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
}

#[test]
fn producers_evolve_and_their_records_are_read_through_their_ids() {
    let Some(real) = Real::of("evolution") else { return };
    let mut writers = BTreeMap::new();
    for (kind, _) in INPUTS {
        let contract = Contract::of(kind);
        let topic = TOPICS.iter().find(|(_, of)| *of == contract).unwrap().0;
        let first = real.register(topic, contract.text());
        let second = real.register(topic, &with_field(contract, ADDED));
        assert_ne!(first, second);
        writers.insert(topic, (kind, first, second));
    }
    let registry = real.start().unwrap();
    let decoder = Decoder::with_registry(Writers::built_in(), Arc::clone(&registry));
    for (topic, (kind, first, second)) in writers {
        // ours is one of the subject's versions
        assert_eq!(registry.ids().get(Contract::of(kind)), Some(first), "{topic}");
        // branch 0 is null, branch 1 a text of two bytes
        for (id, more) in [(first, &b""[..]), (second, b"\x00"), (second, b"\x02\x04hi")] {
            let record = framed(kind, id, more);
            let decoded = decoder.decode(&record).unwrap();
            assert_eq!((decoded.event, decoded.schema_id), (sound(kind), i64::from(id)));
            let time = decoder.event_time(&record).unwrap();
            assert_eq!(time, Some(sound(kind).event_time()));
        }
        // the same bytes under the other version's id are not what they say
        assert_eq!(refused(&decoder, &framed(kind, second, b"")).code, Code::Malformed);
        assert_eq!(refused(&decoder, &framed(kind, first, b"\x00")).code, Code::Malformed);
    }
    // a transaction among the chats
    let id = registry.ids().get(Contract::Transaction).unwrap();
    let record =
        record(Kind::Chat, Some(KEY.as_bytes()), framed(Kind::Transaction, id, b"").payload());
    assert_eq!(refused(&decoder, &record).code, Code::WrongSchema);
    let refusal = refused(&decoder, &framed(Kind::Chat, 999_999_999, b""));
    assert_eq!(refusal.code, Code::UnknownSchema);
    assert!(refusal.message.contains("999999999"), "{refusal}");
}

#[test]
fn a_producers_subject_without_our_version_is_left_alone() {
    let Some(real) = Real::of("alone") else { return };
    real.register("chats", &with_field(Contract::Chat, ADDED));
    let registry = real.start().unwrap();
    assert_eq!(registry.ids().get(Contract::Chat), None);
    let versions = ["subjects", &real.subject("chats"), "versions"];
    assert_eq!(real.get(&versions), (200, json!([1])));
}

#[test]
fn the_path_prefix_is_part_of_the_address() {
    let Some(real) = Real::of("prefix") else { return };
    let mut section = real.section.clone();
    section.url.push_str("/nowhere");
    let error = Registry::start(&section).unwrap_err();
    assert!(matches!(error, RegistryError::Answer { status: 404, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("/nowhere") && text.contains("is its path right"), "{text}");
}

#[test]
fn own_records_are_read_by_id_whichever_weir_wrote_them() {
    let Some(real) = Real::of("own") else { return };
    let registry = real.start().unwrap();
    use_registry(&registry);
    let ours = registry.ids().get(Contract::Rollup).unwrap();
    let rollup = Rollup { outcomes: Vec::new(), rules: Vec::new() };
    let mut payload = Vec::new();
    Encoder::of_process().encode(Contract::Rollup, &rollup, &mut payload).unwrap();
    assert_eq!(payload[..5], [&[0], &ours.to_be_bytes()[..]].concat());
    let read = |payload: &[u8]| decode_own::<Rollup>(Contract::Rollup, payload);
    assert_eq!(read(&payload), Ok(rollup.clone()));
    // from before there was a registry
    let mut single = Vec::new();
    Encoder::default().encode(Contract::Rollup, &rollup, &mut single).unwrap();
    assert_eq!(body(&single), body(&payload));
    assert_eq!(read(&single), Ok(rollup.clone()));
    // of a newer weir
    let newer = real.register("weir.rollups", &with_field(Contract::Rollup, ADDED));
    let under = |id: u32, more: &[u8]| [&[0], &id.to_be_bytes()[..], body(&payload), more].concat();
    assert_eq!(read(&under(newer, b"\x02\x04hi")), Ok(rollup));
    // its bytes under our id, another contract's id, one that nobody has
    let touch = registry.ids().get(Contract::Touch).unwrap();
    for (id, more, part) in [
        (ours, &b"\x00"[..], "1 bytes left over"),
        (touch, b"", "weir.Touch, expected a Rollup"),
        (999_999_999, b"", "does not know"),
    ] {
        let Err(OwnError::Unreadable(why)) = read(&under(id, more)) else { panic!("{id}") };
        assert!(why.contains(part), "{why:?} lacks {part:?}");
    }
}

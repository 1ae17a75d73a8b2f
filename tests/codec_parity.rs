//! The fast path reads what Avro's own resolution reads: for random writers, decoding with
//! `codec::Decoder` gives the event that the reference library resolves to our contract, or both
//! refuse. Where they differ by design, `rules::Why` lists the case and its reason.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

#[path = "fixtures/parity/edits.rs"]
mod edits;
#[path = "fixtures/parity/rules.rs"]
mod rules;
#[path = "fixtures/parity/values.rs"]
mod values;

use std::cell::RefCell;
use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::ResolvedSchema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use edits::{Edit, edit, edited};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};
use rules::{Why, unreadable};
use serde_json::{Value as Json, json};
use values::Values;
use weir::codec::{Contract, Decoder, Writers, json as lines};
use weir::event::{Code, Event, FailedStage, Kind, Position};
use weir::log::Record;

const CASES: u32 = 4_000;
const KINDS: [Kind; 5] = [Kind::Transaction, Kind::Dispute, Kind::Chat, Kind::Invoice, Kind::Label];
/// 2000-01-01, before which weir takes no event.
const EARLIEST_MS: i64 = 946_684_800_000;

fn contract(kind: Kind) -> Json {
    serde_json::from_str(Contract::of(kind).text()).unwrap()
}

/// A body in single-object encoding.
fn framed(schema_text: &str, body: &[u8]) -> Vec<u8> {
    // the reference library's fingerprint is not that of the canonical form
    let schema: serde_avro_fast::Schema = schema_text.parse().unwrap();
    [&[0xC3, 0x01], &schema.rabin_fingerprint()[..], body].concat()
}

/// The value as the reference library resolves it to our contract, with two corrections where it
/// falls behind the specification: our aliases rename the writer's fields, and a UUID is text.
fn resolved(kind: Kind, writer: &Schema, body: &[u8]) -> Result<Event<'static>, String> {
    let reader = Contract::of(kind).reference();
    let written = GenericDatumReader::builder(writer).build().unwrap();
    let mut rest = body;
    let value = written.read_value(&mut rest).map_err(|error| error.to_string())?;
    assert!(rest.is_empty(), "the reference library left {} bytes", rest.len());
    let corrected = corrected(value.clone(), reader);
    let resolved = if corrected == value {
        let both = GenericDatumReader::builder(writer).reader_schema(reader).build().unwrap();
        both.read_value(&mut &body[..])
    } else {
        corrected.resolve(reader)
    };
    let value = resolved.map_err(|error| error.to_string())?;
    let Json::Object(fields) = plain(value) else {
        panic!("not a record");
    };
    Ok(lines::from_fields(kind, fields).unwrap())
}

fn corrected(value: Value, reader: &Schema) -> Value {
    let (Value::Record(fields), Schema::Record(record)) = (value, reader) else {
        panic!("not a record");
    };
    let ours = |name: String| {
        let renamed = record.fields.iter().find(|field| field.aliases.contains(&name));
        renamed.map_or(name, |field| field.name.clone())
    };
    let fields = fields.into_iter().map(|(name, value)| (ours(name), uuids_as_text(value)));
    Value::Record(fields.collect())
}

fn uuids_as_text(value: Value) -> Value {
    match value {
        Value::Uuid(uuid) => Value::String(uuid.to_string()),
        Value::Union(at, inner) => Value::Union(at, Box::new(uuids_as_text(*inner))),
        Value::Array(items) => Value::Array(items.into_iter().map(uuids_as_text).collect()),
        Value::Record(fields) => Value::Record(
            fields.into_iter().map(|(name, value)| (name, uuids_as_text(value))).collect(),
        ),
        other => other,
    }
}

/// A resolved value as the JSON that people write.
fn plain(value: Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(value) => json!(value),
        Value::Int(value) | Value::Date(value) => json!(value),
        Value::Long(value) | Value::TimestampMillis(value) => json!(value),
        Value::Double(value) => json!(value),
        Value::String(value) | Value::Enum(_, value) => json!(value),
        Value::Union(_, value) => plain(*value),
        Value::Array(items) => Json::Array(items.into_iter().map(plain).collect()),
        Value::Record(fields) => {
            Json::Object(fields.into_iter().map(|(name, value)| (name, plain(value))).collect())
        }
        other => panic!("no contract holds a {other:?}"),
    }
}

fn record(kind: Kind, expected: Option<&Event<'_>>, payload: &[u8]) -> Record {
    let position = Position { topic: kind.topic(), partition: 0, offset: 0 };
    let key = expected.map_or_else(|| "t/a".to_owned(), Event::key);
    let time = expected.map_or(EARLIEST_MS, |event| event.event_time().0);
    Record::new(position, time, Some(key.as_bytes()), payload, Vec::new())
}

/// A decoder that knows this one writer.
fn decoder(writer: &str) -> Decoder {
    let mut writers = Writers::default();
    writers.add(writer).unwrap();
    Decoder::new(writers)
}

/// Whether what was resolved is an event that weir may refuse for its values.
fn may_be_invalid(event: &Event<'_>) -> bool {
    let currency = match event {
        Event::Transaction(event) => event.currency.as_str(),
        Event::Dispute(event) => &event.currency,
        Event::Invoice(event) => &event.currency,
        Event::Chat(_) | Event::Label(_) => "EUR",
    };
    event.event_time().0 < EARLIEST_MS || currency.len() != 3
}

fn differ(what: &str, writer: &Json) -> TestCaseError {
    TestCaseError::fail(format!("{what}\nwriter: {writer}"))
}

/// Compares both readers on one writer and one value; says how the case ended.
fn compare(kind: Kind, edits: &[Edit], seed: u64) -> Result<&'static str, TestCaseError> {
    let ours = contract(kind);
    let json = edited(&ours, edits);
    let text = json.to_string();
    let writer = Schema::parse_str(&text).map_err(|error| differ(&error.to_string(), &json))?;
    let names = ResolvedSchema::new(&writer).unwrap();
    let value = Values::seeded(names.get_names(), seed).value(&writer, "");
    let block = (seed.is_multiple_of(3)).then_some(8);
    let body = GenericDatumWriter::builder(&writer)
        .maybe_target_block_size(block)
        .build()
        .unwrap()
        .write_value_to_vec(value.clone())
        .map_err(|error| differ(&format!("{error}: {value:?}"), &json))?;

    let expected = resolved(kind, &writer, &body);
    let record = record(kind, expected.as_ref().ok(), &framed(&text, &body));
    let decoder = decoder(&text);
    let found = decoder.decode(&record).map(|decoded| decoded.event);
    let found = found.map_err(|error| error.refusal().unwrap());
    let show = || format!("weir: {found:?}\nreference: {expected:?}\nvalue: {value:?}");
    match (unreadable(&json, &ours), &expected, &found) {
        (Some(Why::RecordName), _, Err(refusal)) if refusal.code == Code::WrongSchema => {
            Ok("another record's name")
        }
        (Some(Why::RecordName), ..) => Err(differ(&show(), &json)),
        (Some(Why::Always), Ok(_), _) => Err(differ(&format!("too strict: {}", show()), &json)),
        (Some(why), _, Err(refusal)) if refusal.code == Code::IncompatibleSchema => {
            Ok(if why == Why::Always { "unreadable schema" } else { "unreadable by design" })
        }
        (None, Ok(expected), Ok(event)) if expected == event => Ok("equal"),
        (None, Ok(expected), Err(refusal))
            if refusal.stage == FailedStage::Validate && may_be_invalid(expected) =>
        {
            Ok("equal, but not valid")
        }
        (None, Err(_), Err(refusal)) if refusal.code == Code::Malformed => Ok("unreadable value"),
        (why, ..) => Err(differ(&format!("{why:?}, {}", show()), &json)),
    }
}

#[test]
fn random_writers_are_read_as_avros_own_resolution_reads_them() {
    let ends: RefCell<BTreeMap<&str, u32>> = RefCell::default();
    let config = ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    };
    let cases =
        (prop::sample::select(KINDS.to_vec()), prop::collection::vec(edit(), 0..7), any::<u64>());
    let seed = std::env::var("WEIR_TEST_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let done = runner.run(&cases, |(kind, edits, seed)| {
        let end = compare(kind, &edits, seed)?;
        *ends.borrow_mut().entry(end).or_default() += 1;
        Ok(())
    });
    if let Err(error) = done {
        panic!("WEIR_TEST_SEED={seed}: {error}");
    }
    let ends = ends.into_inner();
    // a generator that makes only one sort of case proves nothing of the others
    for (end, least) in [
        ("equal", CASES / 3),
        ("equal, but not valid", CASES / 500),
        ("unreadable value", CASES / 100),
        ("unreadable schema", CASES / 30),
        ("unreadable by design", CASES / 30),
        ("another record's name", CASES / 100),
    ] {
        let count = ends.get(end).copied().unwrap_or(0);
        assert!(
            count >= least,
            "WEIR_TEST_SEED={seed}: {count} cases ended {end:?}, expected {least}; {ends:?}"
        );
    }
}

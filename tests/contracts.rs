//! The schemas in `schemas/`, the types in `src/event` and `docs/contracts.md` say the same: names,
//! order, optionality, defaults and symbols of fields, and the vocabulary of refusals. What one side
//! says of bytes is read by the other: weir's encoder against the reference library, and back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{Name, ResolvedSchema};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use common::INPUTS;
use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_json::{Map, Value as Json, json};
use weir::codec::{Contract, Encoder, decode_own, json as lines};
use weir::event::{
    Code, DeadLetter, Decision, Delivery, Escalation, Event, FailedStage, Kind, Rollup,
};

fn object(text: &str) -> Map<String, Json> {
    serde_json::from_str(text).unwrap()
}

fn schema_fields(contract: Contract) -> Vec<Map<String, Json>> {
    let Json::Array(fields) = &object(contract.text())["fields"] else {
        panic!("{contract:?} has no fields");
    };
    let fields = fields.iter().map(|field| field.as_object().unwrap().clone());
    fields.collect()
}

/// JSON whose objects keep the order of their fields.
#[derive(Debug, PartialEq)]
enum Ordered {
    Object(Vec<(String, Ordered)>),
    List(Vec<Ordered>),
    Leaf(Json),
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OrderedVisitor;

        impl<'de> Visitor<'de> for OrderedVisitor {
            type Value = Ordered;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Ordered::Object(fields))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Ordered, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Ordered::List(items))
            }

            fn visit_unit<E>(self) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(Json::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(json!(value)))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(json!(value)))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(json!(value)))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(json!(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
                Ok(Ordered::Leaf(json!(value)))
            }
        }

        deserializer.deserialize_any(OrderedVisitor)
    }
}

/// A type's fields in the order of its declaration.
fn declared(value: &impl Serialize) -> Ordered {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// A value's fields in the order of its schema.
fn written(value: &Value) -> Ordered {
    match value {
        Value::Record(fields) => Ordered::Object(
            fields.iter().map(|(name, value)| (name.clone(), written(value))).collect(),
        ),
        Value::Map(entries) => Ordered::Object(
            entries.iter().map(|(name, value)| (name.clone(), written(value))).collect(),
        ),
        Value::Array(items) => Ordered::List(items.iter().map(written).collect()),
        Value::Bytes(bytes) => {
            Ordered::List(bytes.iter().map(|byte| Ordered::Leaf(json!(byte))).collect())
        }
        Value::Union(_, value) => written(value),
        Value::Null => Ordered::Leaf(Json::Null),
        Value::Boolean(value) => Ordered::Leaf(json!(value)),
        Value::Int(value) | Value::Date(value) => Ordered::Leaf(json!(value)),
        Value::Long(value) | Value::TimestampMillis(value) => Ordered::Leaf(json!(value)),
        Value::Double(value) => Ordered::Leaf(json!(value)),
        Value::String(value) | Value::Enum(_, value) => Ordered::Leaf(json!(value)),
        other => panic!("no contract holds a {other:?}"),
    }
}

/// The reference library's reading of what weir wrote.
fn read_generically(contract: Contract, payload: &[u8]) -> Value {
    let frame = [&[0xC3, 0x01], &contract.schema().rabin_fingerprint()[..]].concat();
    let mut body = payload.strip_prefix(&frame[..]).unwrap();
    let reader = GenericDatumReader::builder(contract.reference()).build().unwrap();
    let value = reader.read_value(&mut body).unwrap();
    assert!(body.is_empty(), "{} bytes left over", body.len());
    value
}

fn declared_event(event: &Event<'_>) -> Ordered {
    match event {
        Event::Transaction(event) => declared(event),
        Event::Dispute(event) => declared(event),
        Event::Chat(event) => declared(event),
        Event::Invoice(event) => declared(event),
        Event::Label(event) => declared(event),
    }
}

fn field_of(event: &Event<'_>, name: &str) -> Ordered {
    let Ordered::Object(fields) = declared_event(event) else {
        panic!("not an object");
    };
    fields.into_iter().find(|(found, _)| found == name).unwrap().1
}

#[test]
fn every_schema_file_is_a_contract_and_parses_in_both_libraries() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        if let Err(error) = Schema::parse_str(&text) {
            panic!("{}: {error}", path.display());
        }
        if let Err(error) = text.parse::<serde_avro_fast::Schema>() {
            panic!("{}: {error}", path.display());
        }
        files.insert(text);
    }
    let built_in: BTreeSet<String> = Contract::ALL.iter().map(|c| c.text().to_owned()).collect();
    assert_eq!(files, built_in);
}

#[test]
fn events_are_written_field_for_field_as_their_schema_says() {
    for (kind, text) in INPUTS {
        let contract = Contract::of(kind);
        let fields = object(text);
        assert_eq!(fields.len(), schema_fields(contract).len(), "{kind:?}: every field is set");
        let event = lines::from_fields(kind, fields).unwrap();
        let mut payload = Vec::new();
        Encoder::default().encode_event(&event, &mut payload).unwrap();
        let value = read_generically(contract, &payload);
        // names, values and order, in the record and the records in it
        assert_eq!(declared_event(&event), written(&value), "{kind:?}");
        let source: Ordered = serde_json::from_str(text).unwrap();
        assert_eq!(source, written(&value), "{kind:?}");
    }
}

#[test]
fn events_need_exactly_the_fields_without_default_and_fill_in_the_others() {
    for (kind, text) in INPUTS {
        for field in schema_fields(Contract::of(kind)) {
            let name = field["name"].as_str().unwrap();
            let mut fields = object(text);
            fields.remove(name);
            let without = lines::from_fields(kind, fields);
            match (field.get("default"), without) {
                (Some(default), Ok(event)) => {
                    let default: Ordered = serde_json::from_str(&default.to_string()).unwrap();
                    assert_eq!(field_of(&event, name), default, "{kind:?}.{name}");
                }
                (None, Err(error)) => {
                    let error = error.to_string();
                    assert!(error.contains(name) && error.contains("required"), "{error}");
                }
                (default, found) => panic!("{kind:?}.{name}, default {default:?}: {found:?}"),
            }
        }
    }
}

#[test]
fn events_may_be_null_exactly_where_the_schema_has_null() {
    for (kind, text) in INPUTS {
        for field in schema_fields(Contract::of(kind)) {
            let name = field["name"].as_str().unwrap();
            let nullable = field["type"].as_array().is_some_and(|all| all.contains(&json!("null")));
            let mut fields = object(text);
            fields.insert(name.to_owned(), Json::Null);
            let event = lines::from_fields(kind, fields);
            assert_eq!(event.is_ok(), nullable, "{kind:?}.{name}: {event:?}");
        }
    }
}

#[test]
fn events_know_the_aliases_and_the_symbols_of_their_schema_and_no_others() {
    for (kind, text) in INPUTS {
        for field in schema_fields(Contract::of(kind)) {
            let name = field["name"].as_str().unwrap();
            let event = lines::from_fields(kind, object(text)).unwrap();
            for alias in field.get("aliases").and_then(Json::as_array).into_iter().flatten() {
                let mut fields = object(text);
                let value = fields.remove(name).unwrap();
                fields.insert(alias.as_str().unwrap().to_owned(), value);
                assert_eq!(lines::from_fields(kind, fields).unwrap(), event, "{alias}");
            }
            if let Some(symbols) = field["type"].get("symbols") {
                symbols_of(kind, text, name, symbols, field["type"].get("default"));
            }
        }
    }
}

fn symbols_of(kind: Kind, text: &str, name: &str, symbols: &Json, default: Option<&Json>) {
    let read = |symbol: &Json| {
        let mut fields = object(text);
        fields.insert(name.to_owned(), symbol.clone());
        lines::from_fields(kind, fields)
    };
    for symbol in symbols.as_array().unwrap() {
        let found = field_of(&read(symbol).unwrap(), name);
        assert_eq!(found, Ordered::Leaf(symbol.clone()), "{kind:?}.{name}");
    }
    match (default, read(&json!("A_NEW_ONE"))) {
        (Some(default), Ok(event)) => {
            assert_eq!(field_of(&event, name), Ordered::Leaf(default.clone()));
        }
        (None, Err(error)) => assert!(error.to_string().contains("A_NEW_ONE"), "{error}"),
        (default, found) => panic!("{kind:?}.{name}, default {default:?}: {found:?}"),
    }
}

/// A value of a schema with every branch and list filled, no two leaves alike.
fn filled(schema: &Schema, names: &dyn Fn(&Name) -> Schema, count: &mut i64) -> Value {
    *count += 1;
    let number = *count;
    match schema {
        Schema::Ref { name } => filled(&names(name), names, count),
        Schema::Boolean => Value::Boolean(true),
        Schema::Int => Value::Int(number as i32),
        Schema::Long => Value::Long(1_000_000_000_000 + number),
        Schema::TimestampMillis => Value::TimestampMillis(1_769_853_600_000 + number),
        Schema::Double => Value::Double(number as f64 / 128.0),
        Schema::Bytes => Value::Bytes(vec![0, 0xFF, number as u8]),
        Schema::String => Value::String(format!("ü{number}")),
        Schema::Enum(symbols) => {
            let at = symbols.symbols.len() - 1;
            Value::Enum(at as u32, symbols.symbols[at].clone())
        }
        Schema::Array(array) => match &*array.items {
            // one item of each branch
            Schema::Union(union) => {
                let branches = 0..union.variants().len();
                Value::Array(
                    branches.map(|at| branch(union.variants(), at, names, count)).collect(),
                )
            }
            items => Value::Array((0..2).map(|_| filled(items, names, count)).collect()),
        },
        Schema::Map(map) => {
            let entry = ("k".to_owned(), filled(&map.types, names, count));
            Value::Map([entry].into())
        }
        Schema::Union(union) => branch(union.variants(), union.variants().len() - 1, names, count),
        Schema::Record(record) => {
            let fields = record.fields.iter();
            let fields = fields.map(|f| (f.name.clone(), filled(&f.schema, names, count)));
            Value::Record(fields.collect())
        }
        Schema::Null => Value::Null,
        other => panic!("no contract holds a {other:?}"),
    }
}

fn branch(all: &[Schema], at: usize, names: &dyn Fn(&Name) -> Schema, count: &mut i64) -> Value {
    Value::Union(at as u32, Box::new(filled(&all[at], names, count)))
}

/// Reads weir's own record and writes it again: its fields as declared, and its bytes.
macro_rules! reread {
    ($ty:ty) => {
        |contract, payload| {
            let record: $ty = decode_own(contract, payload).unwrap();
            let mut again = Vec::new();
            Encoder::default().encode(contract, &record, &mut again).unwrap();
            (declared(&record), again)
        }
    };
}

/// What the reference library writes, weir reads and writes again.
fn there_and_back(contract: Contract, reread: fn(Contract, &[u8]) -> (Ordered, Vec<u8>)) {
    let schema = contract.reference();
    let resolved = ResolvedSchema::new(schema).unwrap();
    let names = |name: &Name| (*resolved.get_names()[name]).clone();
    let value = filled(schema, &names, &mut 0);
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    let body = writer.write_value_to_vec(value.clone()).unwrap();
    let frame = [&[0xC3, 0x01], &contract.schema().rabin_fingerprint()[..]].concat();
    let (fields, again) = reread(contract, &[frame, body].concat());
    assert_eq!(fields, written(&value), "{contract:?}");
    assert_eq!(read_generically(contract, &again), value, "{contract:?}");
}

#[test]
fn what_weir_writes_is_read_back_field_for_field_as_its_schema_says() {
    there_and_back(Contract::Decision, reread!(Decision<'_>));
    there_and_back(Contract::Escalation, reread!(Escalation<'_>));
    there_and_back(Contract::DeadLetter, reread!(DeadLetter));
    there_and_back(Contract::Rollup, reread!(Rollup));
    there_and_back(Contract::Delivery, reread!(Delivery<'_>));
}

#[test]
fn the_documented_refusals_are_those_that_the_program_knows() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/contracts.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("## When an input record is refused").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| line.starts_with('|') && !line.starts_with("|---"))
        .map(|line| line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect())
        .collect();
    let (head, rows) = rows.split_first().unwrap();
    assert_eq!(head[..2], ["stage", "code"]);

    let documented: BTreeSet<&str> = rows.iter().map(|row| row[1].trim_matches('`')).collect();
    let known: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(documented, known);
    let stages: BTreeSet<&str> = rows.iter().map(|row| row[0]).collect();
    let known = [
        FailedStage::Decode,
        FailedStage::Validate,
        FailedStage::Dedupe,
        FailedStage::Panic,
        FailedStage::Notify,
        FailedStage::Store,
    ];
    assert_eq!(stages, known.iter().map(|stage| stage.name()).collect());
    for row in rows {
        assert!(row.len() == 3 && !row[2].is_empty(), "{row:?} says not when");
    }
}

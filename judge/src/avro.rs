//! Records taken apart by `apache-avro`, without any type of weir's.
//!
//! `apache-avro` reads a null where a body ends inside a text, a flag or a union, so a truncated
//! body may pass for a shorter one. [`Body`] notices every read past the end, and what is left over.

use std::collections::HashMap;
use std::io::Read;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;

use crate::fingerprint::Fingerprint;

const FRAME_BYTES: usize = 10;
const MARKER: [u8; 2] = [0xc3, 0x01];

/// Why a payload is not a record of its topic, in the order of the checks.
#[derive(Clone, Debug, PartialEq)]
pub enum Undecodable {
    /// too short, or without the marker
    Unframed,
    /// nobody knows the fingerprint
    UnknownSchema(Fingerprint),
    /// a record of another name
    WrongSchema,
    /// the writer's schema does not resolve
    Incompatible,
    /// the body is not what its schema says
    Malformed(String),
}

impl Undecodable {
    /// The code in dead letters.
    pub fn code(&self) -> &'static str {
        match self {
            Undecodable::Unframed => "unframed",
            Undecodable::UnknownSchema(_) => "unknown_schema",
            Undecodable::WrongSchema => "wrong_schema",
            Undecodable::Incompatible => "incompatible_schema",
            Undecodable::Malformed(_) => "malformed",
        }
    }
}

impl std::fmt::Display for Undecodable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Undecodable::Malformed(what) => write!(f, "malformed: {what}"),
            Undecodable::UnknownSchema(fingerprint) => {
                write!(f, "unknown_schema: {:016x}", u64::from_le_bytes(*fingerprint))
            }
            other => f.write_str(other.code()),
        }
    }
}

/// What a known writer is to one topic.
pub enum Writer<'s> {
    /// resolves to the topic's contract
    Readable(GenericDatumReader<'s>),
    /// writes another record
    OtherName,
    /// does not resolve
    Incompatible,
}

/// Reads the records of one topic.
pub struct Decoder<'s> {
    /// every known writer by its fingerprint
    pub writers: HashMap<Fingerprint, Writer<'s>>,
}

impl Decoder<'_> {
    /// Takes a payload apart, framing included.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn decode(&self, payload: &[u8]) -> Result<Fields, Undecodable> {
        if payload.len() < FRAME_BYTES || payload[..2] != MARKER {
            return Err(Undecodable::Unframed);
        }
        let fingerprint = fingerprint_of(payload);
        let reader = match self.writers.get(&fingerprint) {
            None => return Err(Undecodable::UnknownSchema(fingerprint)),
            Some(Writer::OtherName) => return Err(Undecodable::WrongSchema),
            Some(Writer::Incompatible) => return Err(Undecodable::Incompatible),
            Some(Writer::Readable(reader)) => reader,
        };
        let mut body = Body { rest: &payload[FRAME_BYTES..], starved: false };
        let value = reader.read_value(&mut body);
        let malformed = |what: &str| Err(Undecodable::Malformed(what.to_owned()));
        match value {
            _ if body.starved => malformed("the body is truncated"),
            Err(error) => malformed(&error.to_string()),
            Ok(_) if !body.rest.is_empty() => malformed("the body has bytes left over"),
            Ok(Value::Record(fields)) => Ok(Fields(fields)),
            Ok(_) => malformed("not a record"),
        }
    }
}

/// The fingerprint in the framing; zeros when there is none.
pub fn fingerprint_of(payload: &[u8]) -> Fingerprint {
    let mut fingerprint = [0; 8];
    if let Some(framed) = payload.get(2..FRAME_BYTES) {
        fingerprint.copy_from_slice(framed);
    }
    fingerprint
}

struct Body<'a> {
    rest: &'a [u8],
    starved: bool,
}

impl Read for Body<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let len = into.len().min(self.rest.len());
        self.starved |= len < into.len();
        let (taken, rest) = self.rest.split_at(len);
        into[..len].copy_from_slice(taken);
        self.rest = rest;
        Ok(len)
    }
}

/// The fields of a record, in the order of the contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields(pub Vec<(String, Value)>);

impl Fields {
    /// The field, unions opened; null where there is no such field.
    pub fn get(&self, name: &str) -> &Value {
        field(&self.0, name)
    }

    /// A text or an enum's symbol; empty for anything else.
    pub fn text(&self, name: &str) -> &str {
        text(self.get(name))
    }

    /// A whole number of any width or a time; `None` for anything else.
    pub fn long(&self, name: &str) -> Option<i64> {
        long(self.get(name))
    }

    /// The records of an array; none for anything else.
    pub fn records(&self, name: &str) -> impl Iterator<Item = &[(String, Value)]> {
        let items = match self.get(name) {
            Value::Array(items) => items.as_slice(),
            _ => &[],
        };
        items.iter().filter_map(|item| match item {
            Value::Record(fields) => Some(fields.as_slice()),
            _ => None,
        })
    }
}

/// The field of a record, unions opened; null where there is no such field.
pub fn field<'v>(fields: &'v [(String, Value)], name: &str) -> &'v Value {
    let found = fields.iter().find(|(of, _)| of == name);
    found.map_or(&Value::Null, |(_, value)| plain(value))
}

/// A text or an enum's symbol; empty for anything else.
pub fn text(value: &Value) -> &str {
    match value {
        Value::String(text) | Value::Enum(_, text) => text,
        _ => "",
    }
}

/// A whole number of any width or a time; `None` for anything else.
pub fn long(value: &Value) -> Option<i64> {
    match value {
        Value::Long(n) | Value::TimestampMillis(n) => Some(*n),
        Value::Int(n) | Value::Date(n) => Some(i64::from(*n)),
        _ => None,
    }
}

fn plain(value: &Value) -> &Value {
    match value {
        Value::Union(_, inner) => plain(inner),
        other => other,
    }
}

/// Visits every text below a value, symbols of enums not included, with the name of its field.
pub fn each_text<'v>(value: &'v Value, name: &'v str, visit: &mut impl FnMut(&'v str, &'v str)) {
    match value {
        Value::String(text) => visit(name, text),
        Value::Union(_, inner) => each_text(inner, name, visit),
        Value::Array(items) => items.iter().for_each(|item| each_text(item, name, visit)),
        Value::Record(fields) => {
            for (name, value) in fields {
                each_text(value, name, visit);
            }
        }
        Value::Map(items) => {
            for (key, value) in items {
                visit(name, key);
                each_text(value, name, visit);
            }
        }
        _ => {}
    }
}

/// Visits every number that may be infinite or none at all, with the name of its field.
pub fn each_float<'v>(value: &'v Value, name: &'v str, visit: &mut impl FnMut(&'v str, f64)) {
    match value {
        Value::Double(number) => visit(name, *number),
        Value::Float(number) => visit(name, f64::from(*number)),
        Value::Union(_, inner) => each_float(inner, name, visit),
        Value::Array(items) => items.iter().for_each(|item| each_float(item, name, visit)),
        Value::Record(fields) => {
            for (name, value) in fields {
                each_float(value, name, visit);
            }
        }
        _ => {}
    }
}

//! Records taken apart by `apache-avro`, without any type of weir's.
//!
//! `apache-avro` reads a null where a body ends inside a text, a flag or a union, so a truncated
//! body may pass for a shorter one. [`Body`] notices every read past the end, and what is left over.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, PoisonError, RwLock};

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;

use crate::fingerprint::Fingerprint;

const FRAME_BYTES: usize = 10;
const MARKER: [u8; 2] = [0xc3, 0x01];
/// A zero and the registry's id, big endian.
const CONFLUENT_BYTES: usize = 5;

/// How a payload names its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriterId {
    /// single-object encoding
    Fingerprint(Fingerprint),
    /// Confluent's framing
    Registry(u32),
}

impl WriterId {
    /// What stands in `source.schema_id`.
    pub fn number(self) -> i64 {
        match self {
            WriterId::Fingerprint(fingerprint) => i64::from_le_bytes(fingerprint),
            WriterId::Registry(id) => i64::from(id),
        }
    }
}

impl std::fmt::Display for WriterId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WriterId::Fingerprint(bytes) => write!(f, "{:016x}", u64::from_le_bytes(*bytes)),
            WriterId::Registry(id) => write!(f, "id {id}"),
        }
    }
}

/// Why a payload is not a record of its topic, in the order of the checks.
#[derive(Clone, Debug, PartialEq)]
pub enum Undecodable {
    /// too short, or without the marker
    Unframed,
    /// nobody knows the writer
    UnknownSchema(WriterId),
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
            Undecodable::UnknownSchema(id) => write!(f, "unknown_schema: {id}"),
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

/// A schema of the registry, for one topic; `None`: it has none under the id.
type Learned<'s> = Option<(Fingerprint, Arc<Writer<'s>>)>;

/// Reads the records of one topic.
pub struct Decoder<'s> {
    /// every known writer by its fingerprint
    pub writers: HashMap<Fingerprint, Writer<'s>>,
    /// writers by the registry's ids, as they come; `None`: there is no registry, and so no
    /// Confluent framing
    pub by_id: Option<RwLock<HashMap<u32, Learned<'s>>>>,
}

impl<'s> Decoder<'s> {
    /// How the payload names its writer; `None` when it is not framed.
    pub fn writer_id(&self, payload: &[u8]) -> Option<WriterId> {
        if payload.len() >= FRAME_BYTES && payload[..2] == MARKER {
            let framed = payload[2..FRAME_BYTES].try_into();
            return framed.ok().map(WriterId::Fingerprint);
        }
        let framed = payload.get(1..CONFLUENT_BYTES)?.try_into();
        let confluent = payload[0] == 0 && self.by_id.is_some();
        framed.ok().filter(|_| confluent).map(|id| WriterId::Registry(u32::from_be_bytes(id)))
    }

    /// The id of the registry in the framing, while [`Self::learn`] was not told of it.
    pub fn unlearned(&self, payload: &[u8]) -> Option<u32> {
        match (self.writer_id(payload)?, &self.by_id) {
            (WriterId::Registry(id), Some(by_id)) => {
                let by_id = by_id.read().unwrap_or_else(PoisonError::into_inner);
                (!by_id.contains_key(&id)).then_some(id)
            }
            _ => None,
        }
    }

    /// Says what the registry has under the id.
    pub fn learn(&self, id: u32, found: Option<(Fingerprint, Writer<'s>)>) {
        if let Some(by_id) = &self.by_id {
            let found = found.map(|(fingerprint, writer)| (fingerprint, Arc::new(writer)));
            by_id.write().unwrap_or_else(PoisonError::into_inner).insert(id, found);
        }
    }

    fn learned(&self, id: u32) -> Learned<'s> {
        let by_id = self.by_id.as_ref()?.read().unwrap_or_else(PoisonError::into_inner);
        by_id.get(&id).cloned().flatten()
    }

    /// The fingerprint of the writer, however it is named; `None` when nobody knows it.
    pub fn fingerprint(&self, payload: &[u8]) -> Option<Fingerprint> {
        match self.writer_id(payload)? {
            WriterId::Fingerprint(fingerprint) => Some(fingerprint),
            WriterId::Registry(id) => self.learned(id).map(|(fingerprint, _)| fingerprint),
        }
    }

    /// Takes a payload apart, framing included. Its registry id must have been learned.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn decode(&self, payload: &[u8]) -> Result<Fields, Undecodable> {
        match self.writer_id(payload) {
            None => Err(Undecodable::Unframed),
            Some(WriterId::Fingerprint(fingerprint)) => {
                let writer = self.writers.get(&fingerprint);
                let unknown = Undecodable::UnknownSchema(WriterId::Fingerprint(fingerprint));
                writer.ok_or(unknown)?.read(&payload[FRAME_BYTES..])
            }
            Some(WriterId::Registry(id)) => {
                let unknown = Undecodable::UnknownSchema(WriterId::Registry(id));
                let (_, writer) = self.learned(id).ok_or(unknown)?;
                writer.read(&payload[CONFLUENT_BYTES..])
            }
        }
    }
}

impl Writer<'_> {
    fn read(&self, body: &[u8]) -> Result<Fields, Undecodable> {
        let reader = match self {
            Writer::OtherName => return Err(Undecodable::WrongSchema),
            Writer::Incompatible => return Err(Undecodable::Incompatible),
            Writer::Readable(reader) => reader,
        };
        let mut body = Body { rest: body, starved: false };
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

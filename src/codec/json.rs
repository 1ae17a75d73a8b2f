//! Events as JSON Lines, for people and files: `{"kind": "transaction", …}` with the contract's
//! field names, times as RFC 3339 or milliseconds, dates as YYYY-MM-DD.

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::redact::shorten;
use super::{Contract, redact};
use crate::config::nearest;
use crate::event::{Date, Event, Kind, Millis};

/// Why a JSON value is not an event. Names the field, the value and what was expected.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum JsonError {
    /// not JSON at all
    #[error("not JSON at column {column}: {reason}")]
    Syntax {
        /// where, from 1
        column: usize,
        /// what is wrong
        reason: String,
    },
    /// JSON, but not an object
    #[error("found {found}, expected an object")]
    NotAnObject {
        /// what it is
        found: String,
    },
    /// no kind, or none that is known
    #[error(
        "kind is {found}, expected \"transaction\", \"dispute\", \"chat\", \"invoice\" or \"label\""
    )]
    Kind {
        /// what stands there
        found: String,
    },
    /// a field that the contract does not have
    #[error("unknown field {field:?} of a {kind}{}", suggestion(.nearest.as_deref()))]
    UnknownField {
        /// kind of the event
        kind: &'static str,
        /// the field
        field: String,
        /// what may have been meant
        nearest: Option<String>,
    },
    /// a field that is missing or holds something else
    #[error("{field} is {found}: {expected}")]
    Field {
        /// the field, with its path in lists
        field: String,
        /// what stands there
        found: String,
        /// what was expected
        expected: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default()
}

/// The event on one line of a file.
///
/// # Errors
/// See [`JsonError`].
pub fn from_line(line: &str) -> Result<Event<'static>, JsonError> {
    let value: Value = serde_json::from_str(line)
        .map_err(|error| JsonError::Syntax { column: error.column(), reason: error.to_string() })?;
    let Value::Object(mut fields) = value else {
        return Err(JsonError::NotAnObject { found: quote(&value) });
    };
    let kind = fields.remove("kind");
    // an invoice has a field of that name too: its own is written invoice_kind here
    if let Some(own) = fields.remove("invoice_kind") {
        fields.insert("kind".to_owned(), own);
    }
    let found = kind.as_ref().and_then(Value::as_str).and_then(Kind::from_label);
    match found {
        Some(kind) => from_fields(kind, fields),
        None => Err(JsonError::Kind { found: kind.map_or("absent".to_owned(), |k| quote(&k)) }),
    }
}

/// The event with these fields.
///
/// # Errors
/// See [`JsonError`].
pub fn from_fields(kind: Kind, fields: Map<String, Value>) -> Result<Event<'static>, JsonError> {
    check_names(kind, &fields)?;
    Ok(match kind {
        Kind::Transaction => Event::Transaction(read(fields)?),
        Kind::Dispute => Event::Dispute(read(fields)?),
        Kind::Chat => Event::Chat(read(fields)?),
        Kind::Invoice => Event::Invoice(read(fields)?),
        Kind::Label => Event::Label(read(fields)?),
    })
}

/// The event as one line, without its end.
///
/// # Errors
/// When a number is not finite, which JSON cannot say.
pub fn to_line(event: &Event<'_>) -> Result<String, serde_json::Error> {
    let contract = Contract::of(event.kind());
    let value = match event {
        Event::Transaction(event) => to_value(contract, event),
        Event::Dispute(event) => to_value(contract, event),
        Event::Chat(event) => to_value(contract, event),
        Event::Invoice(event) => to_value(contract, event),
        Event::Label(event) => to_value(contract, event),
    }?;
    let mut line = Map::new();
    line.insert("kind".to_owned(), Value::from(event.kind().label()));
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            match (name.as_str(), value) {
                (_, Value::Null) => {}
                ("kind", own) => {
                    line.insert("invoice_kind".to_owned(), own);
                }
                (_, value) => {
                    line.insert(name, value);
                }
            }
        }
    }
    serde_json::to_string(&Value::Object(line))
}

/// A record of a contract as JSON for people: times as RFC 3339, dates as YYYY-MM-DD. Byte for byte
/// the same for equal records.
///
/// # Errors
/// When a number is not finite, which JSON cannot say.
pub fn to_value<T: Serialize>(contract: Contract, record: &T) -> Result<Value, serde_json::Error> {
    let mut value = serde_json::to_value(record)?;
    show_times(contract.reference(), &mut value);
    Ok(value)
}

/// Replaces numbers that stand for times and dates by what people read.
fn show_times(schema: &Schema, value: &mut Value) {
    match (schema, value) {
        (Schema::Record(record), Value::Object(fields)) => {
            for field in &record.fields {
                if let Some(value) = fields.get_mut(&field.name) {
                    show_times(&field.schema, value);
                }
            }
        }
        (Schema::Array(array), Value::Array(items)) => {
            items.iter_mut().for_each(|item| show_times(&array.items, item));
        }
        (Schema::Union(union), value) if !value.is_null() => {
            union.variants().iter().for_each(|branch| show_times(branch, value));
        }
        (Schema::TimestampMillis, value) => {
            if let Some(ms) = value.as_i64() {
                *value = Value::from(Millis(ms).to_string());
            }
        }
        (Schema::Date, value) => {
            if let Some(days) = value.as_i64().and_then(|days| i32::try_from(days).ok()) {
                *value = Value::from(Date(days).to_string());
            }
        }
        _ => {}
    }
}

fn check_names(kind: Kind, fields: &Map<String, Value>) -> Result<(), JsonError> {
    match Contract::of(kind).reference() {
        Schema::Record(record) => check_record(kind, record, fields),
        _ => Ok(()),
    }
}

fn check_record(
    kind: Kind,
    record: &RecordSchema,
    fields: &Map<String, Value>,
) -> Result<(), JsonError> {
    for (name, value) in fields {
        let Some(at) = record.lookup.get(name) else {
            let known = record.lookup.keys().map(String::as_str);
            let nearest = nearest(name, known).map(str::to_owned);
            return Err(JsonError::UnknownField {
                kind: kind.label(),
                field: name.clone(),
                nearest,
            });
        };
        if let Schema::Array(array) = &record.fields[*at].schema
            && let (Schema::Record(inner), Value::Array(items)) = (array.items.as_ref(), value)
        {
            let mut objects = items.iter().filter_map(Value::as_object);
            objects.try_for_each(|object| check_record(kind, inner, object))?;
        }
    }
    Ok(())
}

fn read<T: Deserialize<'static>>(fields: Map<String, Value>) -> Result<T, JsonError> {
    let fields = Value::Object(fields);
    serde_path_to_error::deserialize(fields.clone()).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.inner().to_string();
        match reason.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
            Some(name) => JsonError::Field {
                field: if path == "." { name.to_owned() } else { format!("{path}.{name}") },
                found: "absent".to_owned(),
                expected: "it is required".to_owned(),
            },
            None => JsonError::Field {
                found: at(&fields, &path).map_or("absent".to_owned(), quote),
                expected: redact(&reason).into_owned(),
                field: path,
            },
        }
    })
}

/// The value at a path such as `lines[3].quantity`.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).try_fold(value, |value, part| match part
        .strip_suffix(']')
    {
        Some(index) => value.get(index.parse::<usize>().ok()?),
        None => value.get(part),
    })
}

fn quote(value: &Value) -> String {
    shorten(&value.to_string())
}

#[cfg(test)]
mod tests;

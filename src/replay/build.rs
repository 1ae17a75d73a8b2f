//! Fields to events: what a map made, and weir's own JSON form.

use serde::Deserialize;
use serde::de::Deserializer;
use serde::de::value::MapDeserializer;
use serde_json::{Map as Object, Value};

use super::contract::{self, FieldSpec, FieldType};
use super::error::Problem;
use super::field::RowProblem;
use super::map::EventMap;
use super::row::{Columns, Row};
use super::suggest::{hint, quoted};
use crate::event::{Event, Kind};

/// The event a row, or the rows of a group, make.
pub(super) fn from_rows(
    map: &EventMap,
    rows: &[Row],
    columns: &Columns,
) -> Result<Event<'static>, RowProblem> {
    let mut values: Vec<(&'static str, Value)> = Vec::with_capacity(map.fields.len());
    for field in &map.fields {
        if let Some(value) = field.value(rows, columns)? {
            values.push((field.spec.name.as_str(), value));
        }
    }
    let fields = MapDeserializer::<_, serde_json::Error>::new(values.into_iter());
    deserialize(map.kind, fields).map_err(|problem| RowProblem {
        place: rows.first().map_or(Row::default().place, |row| row.place),
        problem: Box::new(problem),
    })
}

/// The event in one line of weir's own JSON form: an object with the `kind` of the event and the
/// fields of its contract. The contract of an invoice has a field `kind` itself: it is
/// `invoice_kind` here.
pub(super) fn from_json(line: &str) -> Result<Event<'static>, Problem> {
    let mut object: Object<String, Value> =
        serde_json::from_str(line).map_err(|error| Problem::NotJson(json_message(&error)))?;
    let kinds = || Kind::SCORED.into_iter().chain([Kind::Label]);
    let kind = match object.remove("kind") {
        Some(Value::String(label)) => Kind::from_label(&label).ok_or_else(|| Problem::Kind {
            value: quoted(&label),
            hint: hint(&label, kinds().map(Kind::label)),
        }),
        other => Err(Problem::Kind {
            value: other.map_or_else(|| "missing".to_owned(), |value| quoted(&value.to_string())),
            hint: hint("", kinds().map(Kind::label)),
        }),
    }?;
    from_object(kind, object)
}

/// The event of that kind with these fields, every one of them known.
fn from_object(kind: Kind, mut object: Object<String, Value>) -> Result<Event<'static>, Problem> {
    if kind == Kind::Invoice
        && let Some(value) = object.remove("invoice_kind")
    {
        object.insert("kind".to_owned(), value);
    }
    refuse_unknown(kind, contract::fields(kind), &object)?;
    deserialize(kind, Value::Object(object))
}

fn refuse_unknown(
    kind: Kind,
    specs: &[FieldSpec],
    object: &Object<String, Value>,
) -> Result<(), Problem> {
    for (name, value) in object {
        let Some(spec) = specs.iter().find(|spec| spec.name == *name) else {
            return Err(Problem::UnknownField {
                field: name.clone(),
                event: kind.label(),
                hint: hint(name, specs.iter().map(|spec| spec.name.as_str())),
            });
        };
        if let (FieldType::Records(specs), Value::Array(records)) = (&spec.ty, value) {
            for record in records.iter().filter_map(Value::as_object) {
                refuse_unknown(kind, specs, record)?;
            }
        }
    }
    Ok(())
}

fn deserialize<D>(kind: Kind, fields: D) -> Result<Event<'static>, Problem>
where
    D: Deserializer<'static, Error = serde_json::Error>,
{
    fn typed<T, D>(kind: Kind, fields: D) -> Result<T, Problem>
    where
        T: Deserialize<'static>,
        D: Deserializer<'static, Error = serde_json::Error>,
    {
        serde_path_to_error::deserialize(fields).map_err(|error| Problem::Event {
            field: match error.path().to_string().as_str() {
                "." => kind.label().to_owned(),
                path => path.to_owned(),
            },
            message: error.inner().to_string(),
        })
    }
    match kind {
        Kind::Transaction => typed(kind, fields).map(Event::Transaction),
        Kind::Dispute => typed(kind, fields).map(Event::Dispute),
        Kind::Chat => typed(kind, fields).map(Event::Chat),
        Kind::Invoice => typed(kind, fields).map(Event::Invoice),
        Kind::Label => typed(kind, fields).map(Event::Label),
    }
}

/// The message without serde's own line number, which counts from the row's beginning.
pub(super) fn json_message(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line ") {
        Some((message, _)) => format!("{message} at column {}", error.column()),
        None => message,
    }
}

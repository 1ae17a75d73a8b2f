//! Fields to events: what a map made, and weir's own JSON form.

use serde::Deserialize;
use serde::de::Deserializer;
use serde::de::value::MapDeserializer;
use serde_json::Value;

use super::error::Problem;
use super::field::RowProblem;
use super::map::EventMap;
use super::row::{Columns, Row};
use crate::codec;
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

/// The event in one line of weir's own JSON form.
pub(super) fn from_json(line: &str) -> Result<Event<'static>, Problem> {
    codec::json::from_line(line).map_err(Problem::Json)
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

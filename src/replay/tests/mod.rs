//! Tests of the room as a whole: maps over small texts, over bad input, and over real files.

mod bad_input;
mod features;
mod map_errors;
mod real_files;

use std::io::Cursor;

use super::input::Input;
use super::{Map, Mapped, ReplayError, Rows};

/// A map whose transactions need no column but those of `extra`, which holds fields.
fn transaction(head: &str, extra: &str) -> String {
    let mut text = format!("{head}\n[[event]]\nkind = \"transaction\"\n[event.fields]\n{extra}\n");
    for (field, source) in [
        ("event_id", "\"{$row}\""),
        ("event_time", "\"2026-01-05T09:00:00Z\""),
        ("account_id", "\"a\""),
        ("transaction_id", "\"{$row}\""),
        ("merchant_id", "\"m\""),
        ("amount_minor", "1"),
        ("currency", "\"EUR\""),
        ("channel", "\"POS\""),
        ("status", "\"AUTHORIZED\""),
    ] {
        if !extra.lines().any(|line| line.starts_with(&format!("{field} "))) {
            text.push_str(&format!("{field} = {source}\n"));
        }
    }
    text
}

fn map(text: &str) -> Map {
    Map::parse("test.toml", text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn input(data: impl Into<Vec<u8>>) -> Input {
    Input::new(Box::new(Cursor::new(data.into())), None).unwrap()
}

fn open(map_text: &str, data: impl Into<Vec<u8>>) -> Result<Rows, ReplayError> {
    Rows::mapped("data.csv".to_owned(), input(data), &map(map_text))
}

/// All events, every row without an error.
fn events(map_text: &str, data: &str) -> Vec<Mapped> {
    open(map_text, data)
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// What comes out, events as their ids, errors as their messages.
fn outcomes(rows: Rows) -> Vec<Result<String, String>> {
    rows.map(|mapped| {
        mapped.map(|mapped| mapped.event.event_id().to_owned()).map_err(|error| error.to_string())
    })
    .collect()
}

//! Lines of a JSON Lines file, and rows of them: the columns are the keys of the objects.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::BufRead;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::build::json_message;
use super::csv_rows::ROW_BYTES_MAX;
use super::error::{Place, Problem};
use super::input::{Input, Progress};
use super::row::{Columns, Row};

/// A reader of lines, blank ones left out.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    read: Progress,
    line: Vec<u8>,
    lines: u64,
    rows: u64,
}

impl Lines {
    pub(super) fn new(input: Input) -> Lines {
        Lines { reader: input.reader, read: input.read, line: Vec::new(), lines: 0, rows: 0 }
    }

    /// The place of the line read last.
    pub(super) fn place(&self) -> Place {
        Place { row: self.rows, line: self.lines }
    }

    /// The next line that is not blank, `None` at the end. A line that is too long is passed over.
    pub(super) fn next(&mut self) -> Result<Option<(Place, &str)>, Problem> {
        loop {
            let read = self.read_line();
            if matches!(read, Ok(true)) && self.line.is_empty() {
                return Ok(None);
            }
            self.lines += 1;
            let long = read.inspect_err(|_| self.rows += 1).map(|fits| !fits)?;
            if !long && self.line.trim_ascii().is_empty() {
                continue;
            }
            self.rows += 1;
            if long {
                return Err(Problem::TooLong { limit: ROW_BYTES_MAX, quoted: false });
            }
            break;
        }
        let place = self.place();
        match std::str::from_utf8(&self.line) {
            Ok(line) => Ok(Some((place, line.trim_end_matches(['\r', '\n'])))),
            Err(error) => {
                Err(Problem::NotUtf8 { what: "the line".to_owned(), at: error.valid_up_to() })
            }
        }
    }

    /// Reads a line with its end, at most the longest row of it: `false` says that it was longer.
    fn read_line(&mut self) -> Result<bool, Problem> {
        self.line.clear();
        let mut fits = true;
        loop {
            let available = match self.reader.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Problem::read(error, &self.read)),
            };
            let end = available.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(available.len(), |at| at + 1);
            fits = fits && self.line.len() + taken <= ROW_BYTES_MAX;
            if fits {
                self.line.extend_from_slice(&available[..taken]);
            }
            self.reader.consume(taken);
            if end.is_some() || taken == 0 {
                return Ok(fits);
            }
        }
    }
}

/// Reads the next line as a row; `false` says that there is none. The row's place is set in any
/// case.
pub(super) fn next(lines: &mut Lines, row: &mut Row, columns: &Columns) -> Result<bool, Problem> {
    let problem = match lines.next() {
        Ok(None) => return Ok(false),
        Ok(Some((place, line))) => {
            row.begin(place);
            return fill(row, line, columns).map(|()| true);
        }
        Err(problem) => problem,
    };
    row.begin(lines.place());
    Err(problem)
}

/// Reads a line as the cells of a row. Text stands for itself, numbers as they are written,
/// booleans as `true` and `false`, null as an empty cell.
fn fill(row: &mut Row, line: &str, columns: &Columns) -> Result<(), Problem> {
    let object: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(line).map_err(|error| Problem::NotJson(json_message(&error)))?;
    for column in columns.iter() {
        match object.get(column.name.as_str()).map(|value| value.get()) {
            None if column.optional => row.push(""),
            None => {
                let there = object.keys().map(|key| key.as_ref());
                return Err(Columns::missing(column, there));
            }
            Some("null") => row.push(""),
            Some(text) if text.starts_with('"') => {
                let text: Unescaped<'_> = serde_json::from_str(text)
                    .map_err(|error| Problem::NotJson(json_message(&error)))?;
                row.push(&text.0);
            }
            Some(nested) if nested.starts_with(['{', '[']) => {
                return Err(Problem::NotJson(format!(
                    "column {:?} holds an object or array, expected text or a number",
                    column.name
                )));
            }
            Some(scalar) => row.push(scalar),
        }
    }
    Ok(())
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Unescaped<'a>(#[serde(borrow)] Cow<'a, str>);

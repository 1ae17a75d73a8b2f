//! The events of a file, one by one.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::build;
use super::condition::all_hold;
use super::csv_rows::CsvRows;
use super::error::{Problem, ReplayError};
use super::field::RowProblem;
use super::group::Groups;
use super::input::{Input, Progress};
use super::json_rows::{self, Lines};
use super::map::{Format, Inner, Map};
use super::row::{Row, wrong_cell};
use crate::event::Event;

/// Rows no event of the map wanted, see [`Rows::skipped`].
const NO_EVENT: &str = "no event of the map has its conditions met";

/// An event and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    /// the event
    pub event: Event<'static>,
    /// the source row it came from, from 1; of a group the last one. It never falls from one event
    /// to the next, and events of one row come together
    pub row: u64,
    /// bytes of the file consumed so far, compressed ones where it is compressed, for a progress bar
    pub bytes_read: u64,
    /// what the column of [`Map::with_flag`] says, of a group in its first row
    pub flag: Option<bool>,
}

/// The events of a file in the order of its rows: a stream that holds one row, or the open groups.
///
/// A row that is in error gives no event at all and one error; the rows behind it follow unless the
/// error [is fatal](ReplayError::is_fatal). With a `[group]` a row that cannot be read is: what is
/// left of a group that lost a row is another event than the one that happened.
pub struct Rows {
    file: String,
    read: Progress,
    total_bytes: Option<u64>,
    from: From,
    /// events made and not yet handed out
    ready: VecDeque<Mapped>,
    skipped: BTreeMap<String, u64>,
    rows: u64,
    done: bool,
}

enum From {
    /// lines in weir's own JSON form
    Events(Lines),
    Mapped(Box<MappedRows>),
}

struct MappedRows {
    map: Arc<Inner>,
    reader: Reader,
    row: Row,
    rows_read: u64,
    groups: Option<Groups>,
    ended: bool,
}

enum Reader {
    Csv(CsvRows),
    Json(Lines),
}

/// What one step brought.
enum Step {
    /// events of one row, its number and what its flag says
    Made(Vec<Event<'static>>, u64, Option<bool>),
    /// so many rows, for this reason
    Skipped(u64, String),
    /// a row went into a group, or none was complete
    Nothing,
    End,
}

/// What a step failed on, and whether the rows end there.
struct Failure {
    at: RowProblem,
    fatal: bool,
}

impl Failure {
    /// A row that could not be read, or not be put where it belongs.
    fn of_reading(at: RowProblem, grouped: bool) -> Failure {
        let ends_file = matches!(
            *at.problem,
            Problem::Unreadable(_)
                | Problem::Truncated { .. }
                | Problem::TooLong { quoted: true, .. }
                | Problem::OpenQuote
        );
        Failure { at, fatal: grouped || ends_file }
    }

    /// A row that was read and makes no event.
    fn of_making(at: RowProblem) -> Failure {
        Failure { at, fatal: false }
    }
}

impl Rows {
    /// Opens a CSV or JSON Lines file, plain or zstd, told by content; `-` is standard input.
    ///
    /// # Errors
    /// When it cannot be read, has no header, or lacks a column that the map names.
    pub fn open(path: &Path, map: &Map) -> Result<Rows, ReplayError> {
        Rows::mapped(name_of(path), Input::open(path)?, map)
    }

    /// Opens a JSON Lines file whose lines are events in weir's own JSON form: an object with
    /// `kind` (transaction, dispute, chat, invoice, label) and the fields of the contract, times
    /// in RFC 3339 or milliseconds. The field `kind` of an invoice is `invoice_kind` here.
    ///
    /// # Errors
    /// When it cannot be read, or is not JSON Lines.
    pub fn open_events(path: &Path) -> Result<Rows, ReplayError> {
        Rows::events(name_of(path), Input::open(path)?)
    }

    pub(super) fn events(file: String, input: Input) -> Result<Rows, ReplayError> {
        if input.format == Some(Format::Csv) {
            return Err(ReplayError::fatal(&file, Problem::NeedsMap));
        }
        let (read, total_bytes) = (input.read.clone(), input.total_bytes);
        let from = From::Events(Lines::new(input));
        Ok(Rows::new(file, read, total_bytes, from))
    }

    pub(super) fn mapped(file: String, input: Input, map: &Map) -> Result<Rows, ReplayError> {
        let inner = Arc::clone(&map.inner);
        let (read, total_bytes) = (input.read.clone(), input.total_bytes);
        let reader = match inner.format.or(input.format).unwrap_or(Format::Csv) {
            Format::JsonLines => Reader::Json(Lines::new(input)),
            Format::Csv => CsvRows::open(input, inner.delimiter, &inner.columns)
                .map(Reader::Csv)
                .map_err(|problem| ReplayError::fatal(&file, problem))?,
        };
        let groups = inner.group.map(Groups::new);
        let from = From::Mapped(Box::new(MappedRows {
            map: inner,
            reader,
            row: Row::default(),
            rows_read: 0,
            groups,
            ended: false,
        }));
        Ok(Rows::new(file, read, total_bytes, from))
    }

    fn new(file: String, read: Progress, total_bytes: Option<u64>, from: From) -> Rows {
        Rows {
            file,
            read,
            total_bytes,
            from,
            ready: VecDeque::new(),
            skipped: BTreeMap::new(),
            rows: 0,
            done: false,
        }
    }

    /// Rows read so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Size of the file in bytes, compressed as it is; `None` for standard input.
    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Rows that were left out on purpose so far, by reason. Rows in error are not among them.
    pub fn skipped(&self) -> impl Iterator<Item = (&str, u64)> {
        self.skipped.iter().map(|(reason, rows)| (reason.as_str(), *rows))
    }

    fn step(&mut self) -> Result<(), ReplayError> {
        let (step, row) = match &mut self.from {
            From::Events(lines) => (event_of_line(lines), lines.place().row),
            From::Mapped(mapped) => (mapped.step(), mapped.rows_read),
        };
        self.rows = row;
        match step {
            Ok(step) => {
                self.take(step);
                Ok(())
            }
            Err(Failure { at, fatal }) => {
                self.done = fatal;
                Err(ReplayError {
                    file: self.file.clone(),
                    place: Some(at.place),
                    problem: at.problem,
                    fatal,
                })
            }
        }
    }

    fn take(&mut self, step: Step) {
        let bytes_read = self.read.bytes();
        match step {
            Step::Made(events, row, flag) => {
                self.ready.extend(events.into_iter().map(|event| Mapped {
                    event,
                    row,
                    bytes_read,
                    flag,
                }));
            }
            Step::Skipped(rows, reason) => *self.skipped.entry(reason).or_default() += rows,
            Step::Nothing => {}
            Step::End => self.done = true,
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Mapped, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mapped) = self.ready.pop_front() {
                return Some(Ok(mapped));
            }
            if self.done {
                return None;
            }
            if let Err(error) = self.step() {
                return Some(Err(error));
            }
        }
    }
}

fn event_of_line(lines: &mut Lines) -> Result<Step, Failure> {
    let made = match lines.next() {
        Ok(None) => return Ok(Step::End),
        Ok(Some((place, line))) => {
            let event = build::from_json(line).map_err(|problem| {
                Failure::of_making(RowProblem { place, problem: Box::new(problem) })
            })?;
            return Ok(Step::Made(vec![event], place.row, None));
        }
        Err(problem) => problem,
    };
    let at = RowProblem { place: lines.place(), problem: Box::new(made) };
    Err(Failure::of_reading(at, false))
}

impl MappedRows {
    fn step(&mut self) -> Result<Step, Failure> {
        let read = (!self.ended).then_some(self.rows_read);
        if let Some(rows) = self.groups.as_mut().and_then(|groups| groups.pop(read)) {
            return self.make(&rows).map_err(Failure::of_making);
        }
        if self.ended {
            return Ok(Step::End);
        }
        let grouped = self.groups.is_some();
        let more = self.read_row().map_err(|at| Failure::of_reading(at, grouped))?;
        if !more {
            self.ended = true;
            return Ok(Step::Nothing);
        }
        let skip = self.map.skips.iter().find(|skip| all_hold(&skip.when, &self.row));
        if let Some(skip) = skip {
            return Ok(Step::Skipped(1, skip.reason.clone()));
        }
        let Some(groups) = &mut self.groups else {
            let made = self.make(std::slice::from_ref(&self.row));
            return made.map_err(Failure::of_making);
        };
        groups
            .push(self.row.clone(), &self.map.columns)
            .map_err(RowProblem::at(&self.row))
            .map_err(|at| Failure::of_reading(at, grouped))?;
        Ok(Step::Nothing)
    }

    fn read_row(&mut self) -> Result<bool, RowProblem> {
        let columns = &self.map.columns;
        let read = match &mut self.reader {
            Reader::Csv(rows) => rows.next(&mut self.row, columns),
            Reader::Json(lines) => json_rows::next(lines, &mut self.row, columns),
        };
        if !matches!(read, Ok(false)) {
            self.rows_read = self.row.place.row;
        }
        read.map_err(RowProblem::at(&self.row))
    }

    /// What the row's flag says.
    fn flag(&self, row: &Row) -> Result<Option<bool>, RowProblem> {
        let Some(column) = self.map.flag else { return Ok(None) };
        match row.cell(column) {
            "" => Ok(None),
            "1" | "true" => Ok(Some(true)),
            "0" | "false" => Ok(Some(false)),
            cell => {
                let columns = &self.map.columns;
                let expected = "1 or 0, true or false, or nothing where it is not known";
                let from = columns.describe(&[column]);
                Err(RowProblem::at(row)(wrong_cell("label", from, cell, expected)))
            }
        }
    }

    /// The events of a row, or of the rows of a group: all of them or an error.
    fn make(&self, rows: &[Row]) -> Result<Step, RowProblem> {
        let Some((first, last)) = rows.first().zip(rows.last()) else {
            return Ok(Step::Nothing);
        };
        let wanted = self.map.events.iter().filter(|event| all_hold(&event.when, first));
        let events = wanted
            .map(|event| build::from_rows(event, rows, &self.map.columns))
            .collect::<Result<Vec<_>, _>>()?;
        match events.is_empty() {
            true => Ok(Step::Skipped(rows.len() as u64, NO_EVENT.to_owned())),
            false => Ok(Step::Made(events, last.place.row, self.flag(first)?)),
        }
    }
}

fn name_of(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

//! Rows of a CSV file (RFC 4180 with a header row).

use std::io::{self, BufRead, Read};

use super::error::{Place, Problem};
use super::input::{BUFFER_BYTES, Input, Progress};
use super::row::{Columns, Row};

/// The longest row, in bytes: four times the largest event, for columns no map names.
pub(super) const ROW_BYTES_MAX: usize = 4 * 1_048_576;

/// A reader of rows.
pub(super) struct CsvRows {
    reader: csv::Reader<Bounded>,
    record: csv::ByteRecord,
    read: Progress,
    /// number of fields of the header
    width: usize,
    /// where the map's columns stand
    places: Vec<Option<usize>>,
    row: u64,
}

/// What keeps one row from taking all memory: fails when too much was read since the row began.
struct Bounded {
    inner: Box<dyn BufRead + Send>,
    since_row: usize,
    /// whether the number of quotes so far is odd
    odd_quotes: bool,
    /// whether the end was met
    ended: bool,
}

#[derive(Debug, thiserror::Error)]
#[error("row too long")]
struct RowTooLong;

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row > ROW_BYTES_MAX {
            return Err(io::Error::other(RowTooLong));
        }
        let read = self.inner.read(buffer)?;
        self.since_row += read;
        self.ended |= read == 0 && !buffer.is_empty();
        let quotes = buffer[..read].iter().filter(|byte| **byte == b'"').count();
        self.odd_quotes ^= quotes % 2 == 1;
        Ok(read)
    }
}

impl CsvRows {
    /// Reads the header and finds the map's columns in it.
    pub(super) fn open(input: Input, delimiter: u8, columns: &Columns) -> Result<CsvRows, Problem> {
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(Bounded {
                inner: input.reader,
                since_row: 0,
                odd_quotes: false,
                ended: false,
            });
        let mut rows = CsvRows {
            reader,
            record: csv::ByteRecord::new(),
            read: input.read,
            width: 0,
            places: Vec::new(),
            row: 0,
        };
        if !rows.read_record()? {
            return Err(Problem::NoHeader);
        }
        rows.width = rows.record.len();
        rows.places = find_columns(&rows.record, columns)?;
        Ok(rows)
    }

    /// Reads the next row; `false` says that there is none. The row's place is set in any case.
    pub(super) fn next(&mut self, row: &mut Row, columns: &Columns) -> Result<bool, Problem> {
        self.row += 1;
        let before = self.reader.position().line();
        row.begin(Place { row: self.row, line: before });
        if !self.read_record()? {
            return Ok(false);
        }
        row.begin(Place { row: self.row, line: self.first_line(before) });
        if self.swallowed_the_rest() {
            return Err(Problem::OpenQuote);
        }
        if self.record.len() != self.width {
            return Err(Problem::Fields { found: self.record.len(), expected: self.width });
        }
        for (column, place) in columns.iter().zip(&self.places) {
            let cell = place.and_then(|at| self.record.get(at)).unwrap_or_default();
            let cell = std::str::from_utf8(cell).map_err(|error| Problem::NotUtf8 {
                what: format!("column {:?}", column.name),
                at: error.valid_up_to(),
            })?;
            row.push(cell);
        }
        Ok(true)
    }

    fn read_record(&mut self) -> Result<bool, Problem> {
        self.reader.get_mut().since_row = 0;
        let read = self.reader.read_byte_record(&mut self.record);
        read.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|e| e.is::<RowTooLong>()) => {
                Problem::TooLong { limit: ROW_BYTES_MAX, quoted: true }
            }
            csv::ErrorKind::Io(error) => Problem::read(error, &self.read),
            kind => Problem::Unreadable(io::Error::other(format!("{kind:?}"))),
        })
    }

    /// A quote that is never closed swallows all rows behind it. In well-formed CSV quotes come in
    /// pairs, so an odd number of them at the end, and a last field with line breaks, give it away.
    fn swallowed_the_rest(&self) -> bool {
        let bounded = self.reader.get_ref();
        let last = self.record.iter().next_back().unwrap_or_default();
        bounded.ended && bounded.odd_quotes && last.contains(&b'\n')
    }

    /// The line the record begins on: empty lines before it are skipped with it, line breaks
    /// within it are its own, and the last line of a file may lack its line break.
    fn first_line(&self, before: u64) -> u64 {
        let breaks = self.record.as_slice().iter().filter(|byte| **byte == b'\n');
        let after = self.reader.position().line();
        before.max(after.saturating_sub(1 + breaks.count() as u64))
    }
}

/// Where the columns stand in the header.
fn find_columns(
    header: &csv::ByteRecord,
    columns: &Columns,
) -> Result<Vec<Option<usize>>, Problem> {
    let names: Vec<&str> =
        header.iter().map(|name| std::str::from_utf8(name)).collect::<Result<_, _>>().map_err(
            |error| Problem::NotUtf8 { what: "header".to_owned(), at: error.valid_up_to() },
        )?;
    columns
        .iter()
        .map(|column| {
            let mut at = (0..names.len()).filter(|at| names[*at] == column.name);
            match (at.next(), at.count()) {
                (None, _) if column.optional => Ok(None),
                (None, _) => Err(Columns::missing(column, names.iter().copied())),
                (first, 0) => Ok(first),
                (_, more) => Err(Problem::AmbiguousColumn {
                    column: column.name.clone(),
                    count: more + 1,
                    named_in: column.named_in.clone(),
                }),
            }
        })
        .collect()
}

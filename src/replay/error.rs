//! What can be wrong with a map, and what with a file.

use crate::codec::json::JsonError;
use std::io;

/// What is wrong with a map: where, what stands there, and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {problem}", line_part(.line))]
pub struct MapError {
    /// the map's file
    pub file: String,
    /// line in it, from 1
    pub line: Option<usize>,
    /// what is wrong
    pub problem: MapProblem,
}

/// See [`MapError`].
#[derive(Debug, thiserror::Error)]
pub enum MapProblem {
    /// the file cannot be read
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// it is no TOML
    #[error("is not TOML: {0}")]
    Syntax(String),
    /// a key or field nobody reads
    #[error("{key} is unknown{hint}")]
    UnknownKey {
        /// its path
        key: String,
        /// what may have been meant
        hint: String,
    },
    /// a key or field that must be there
    #[error("{key} is missing, expected {expected}")]
    MissingKey {
        /// its path
        key: String,
        /// what it should hold
        expected: String,
    },
    /// a value that is not what it should be
    #[error("{key} is {value}, expected {expected}")]
    WrongValue {
        /// path of its key
        key: String,
        /// the value as it is written
        value: String,
        /// what it should be
        expected: String,
    },
    /// keys that exclude or need one another
    #[error("{key} {what}")]
    Contradiction {
        /// path of the key
        key: String,
        /// what does not go together
        what: String,
    },
}

/// What is wrong with a replayed file: where, and what.
#[derive(Debug, thiserror::Error)]
#[error("{file}{}: {problem}", place_part(.place))]
pub struct ReplayError {
    /// the file
    pub file: String,
    /// which row, where it is about one
    pub place: Option<Place>,
    /// what is wrong
    pub problem: Box<Problem>,
    /// whether nothing after it can be read or trusted
    pub(super) fatal: bool,
}

impl ReplayError {
    /// A problem of the file as a whole.
    pub(super) fn fatal(file: &str, problem: Problem) -> ReplayError {
        ReplayError { file: file.to_owned(), place: None, problem: Box::new(problem), fatal: true }
    }

    /// Whether the rows end with this error. After any other the next row follows, and whoever
    /// goes on leaves the named row out.
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }
}

/// A row of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// number of the row, from 1; a header is none
    pub row: u64,
    /// line it begins on, from 1
    pub line: u64,
}

/// See [`ReplayError`].
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// it cannot be opened or read
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
    /// compressed data that stops too early
    #[error("is truncated: its zstd data ends in the middle of a frame after {bytes} bytes")]
    Truncated {
        /// compressed bytes there were
        bytes: u64,
    },
    /// another compression
    #[error("is compressed with {found}, expected plain text or zstd")]
    Compression {
        /// which
        found: &'static str,
    },
    /// not even a header
    #[error("is empty, expected a header row")]
    NoHeader,
    /// rows of columns without a map that names them
    #[error("does not begin with \"{{\", expected JSON Lines; a CSV file needs a map")]
    NeedsMap,
    /// the map names a column that is not there
    #[error("has no column {column:?}, which {named_in} names{hint}")]
    UnknownColumn {
        /// the column
        column: String,
        /// map, line and key
        named_in: String,
        /// what may have been meant
        hint: String,
    },
    /// the map names a column that is there twice
    #[error("has {count} columns {column:?}, expected one, as {named_in} names it")]
    AmbiguousColumn {
        /// the column
        column: String,
        /// how many there are
        count: usize,
        /// map, line and key
        named_in: String,
    },
    /// a row that is longer or shorter than the header
    #[error("has {found} fields, expected {expected}")]
    Fields {
        /// how many it has
        found: usize,
        /// how many the header has
        expected: usize,
    },
    /// a row too long to be one
    #[error("is over {limit} bytes long{}", quote_part(.quoted))]
    TooLong {
        /// the limit in bytes
        limit: usize,
        /// whether quotes can hold line breaks
        quoted: bool,
    },
    /// the last row's quotes never close
    #[error("has a quote that is left open up to the end of the file")]
    OpenQuote,
    /// other bytes than UTF-8
    #[error("{what} is not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// column, or line
        what: String,
        /// bytes that are
        at: usize,
    },
    /// a line that is no JSON object
    #[error("is not a JSON object: {0}")]
    NotJson(String),
    /// a value that does not fit its field
    #[error("{field}: {from} is {value}, expected {expected}")]
    Value {
        /// field of the event
        field: String,
        /// column or template it comes from
        from: String,
        /// the value, cut if it is long
        value: String,
        /// what it should be
        expected: String,
    },
    /// nothing for a field that must be there
    #[error("{field}: {from} is empty, expected {expected}; a default in the map would stand in")]
    Absent {
        /// field of the event
        field: String,
        /// column or template it should come from
        from: String,
        /// what it should be
        expected: String,
    },
    /// a row of a group that was complete already
    #[error(
        "{by} {key} comes again after more than {ahead} rows of others, expected its rows \
         together; raise group.ahead in the map"
    )]
    GroupAgain {
        /// column the rows are grouped by
        by: String,
        /// its value
        key: String,
        /// the map's look-ahead
        ahead: u64,
    },
    /// a group without an end
    #[error("{by} {key} has over {limit} bytes of rows, expected a group that makes one event")]
    GroupTooLarge {
        /// column the rows are grouped by
        by: String,
        /// its value
        key: String,
        /// the limit in bytes
        limit: usize,
    },
    /// a line of weir's own JSON form that is no event
    #[error(transparent)]
    Json(#[from] JsonError),
    /// fields that make no event
    #[error("{field}: {message}")]
    Event {
        /// path of the field, or the kind of event
        field: String,
        /// value and what was expected
        message: String,
    },
}

fn line_part(line: &Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" line {line}"))
}

fn quote_part(quoted: &bool) -> &'static str {
    match quoted {
        true => "; is a quote left open?",
        false => "",
    }
}

fn place_part(place: &Option<Place>) -> String {
    place.map_or_else(String::new, |place| format!(" line {} (row {})", place.line, place.row))
}

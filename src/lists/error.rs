//! What is wrong with a list or a change of it.

use crate::config::{Place, Problem};

use super::{ENTRIES_MAX, LAYERS_MAX, LIST_BYTES_MAX, NOTE_BYTES_MAX, VALUE_BYTES_MAX};

/// What is wrong with the file of a list, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct ListError {
    /// where
    pub place: Place,
    /// the value and what was expected
    pub fault: Fault,
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Problem {
        Problem::new(error.place, error.fault.to_string())
    }
}

/// What is wrong with an entry, a change or a whole list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// not even a first line
    #[error("is empty, expected a first line such as \"value,expires,note\"")]
    NoHeader,
    /// the first line has no such column
    #[error("the first line has no column \"value\", expected \"value,expires,note\"")]
    NoValues,
    /// a column that means nothing, or means it twice
    #[error("column {0:?} is unknown or there twice, expected \"value\", \"expires\", \"note\"")]
    Column(String),
    /// a line with more or fewer fields than the first
    #[error("{found} fields, expected {expected} as in the first line")]
    Fields {
        /// of this line
        found: usize,
        /// of the first line
        expected: usize,
    },
    /// the last field begins with a quote and nothing ends it
    #[error("a quote is not closed, expected another one")]
    OpenQuote,
    /// the reader of CSV gave up
    #[error("cannot be read as CSV: {0}")]
    Unreadable(String),
    /// a value of the wrong form
    #[error("value is {value:?}, expected {expected}")]
    Value {
        /// as written, its beginning
        value: String,
        /// what it could be
        expected: String,
    },
    /// longer than [`VALUE_BYTES_MAX`]
    #[error("value {0:?}… has more than {VALUE_BYTES_MAX} bytes, expected fewer")]
    LongValue(String),
    /// a time of the wrong form
    #[error("expires is {0:?}, expected a time such as 2026-01-31T10:00:00Z or a date")]
    Expires(String),
    /// longer than [`NOTE_BYTES_MAX`]
    #[error("note {0:?}… has more than {NOTE_BYTES_MAX} bytes, expected fewer")]
    LongNote(String),
    /// line breaks and the like
    #[error("{name} is {text:?}, expected one line without control characters")]
    Control {
        /// value or note
        name: &'static str,
        /// as written, its beginning
        text: String,
    },
    /// two entries of one value that say different things
    #[error("value {value:?} is in line {line} with another expires or note, expected it once")]
    Twice {
        /// as written the second time
        value: String,
        /// of the first, from 1
        line: usize,
    },
    /// each more is another search in every look-up
    #[error("range {0:?} crosses {LAYERS_MAX} others that cross one another, expected fewer")]
    Crossing(String),
    /// more than [`ENTRIES_MAX`] entries
    #[error("more than {ENTRIES_MAX} entries, expected at most so many")]
    Entries,
    /// more than [`LIST_BYTES_MAX`] bytes
    #[error("entries of more than {LIST_BYTES_MAX} bytes together, expected at most so many")]
    Bytes,
    /// larger than a list's file may be
    #[error("has {0} bytes, expected at most {max}", max = crate::config::LIST_FILE_BYTES_MAX)]
    FileBytes(usize),
}

/// The beginning of a text, for messages.
pub(super) fn shown(text: &str) -> String {
    const CHARS: usize = 80;
    text.chars().take(CHARS).collect()
}

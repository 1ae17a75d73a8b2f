//! The file of a list: CSV (RFC 4180), whose first line names its columns.

use std::path::Path;

use csv::StringRecord;

use super::ENTRIES_MAX;
use super::base::{Base, Builder};
use super::error::{Fault, ListError, shown};
use super::value::{Matching, check_note};
use crate::config::{LIST_FILE_BYTES_MAX, Place};
use crate::event::Millis;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A fault of the whole file.
pub(super) fn whole(path: &Path, fault: Fault) -> ListError {
    ListError { place: Place::file(path), fault }
}

/// Reads the entries of a file.
pub(super) fn read(matching: Matching, path: &Path, text: &str) -> Result<Base, ListError> {
    if text.len() as u64 > LIST_FILE_BYTES_MAX {
        return Err(whole(path, Fault::FileBytes(text.len())));
    }
    let mut rows = Rows::open(path, text)?;
    let mut builder = Builder::new(matching);
    while rows.next()? {
        if builder.len == ENTRIES_MAX {
            return Err(rows.fault(0, Fault::Entries));
        }
        rows.take(&mut builder)?;
    }
    let base = builder.done();
    match (base.twice, base.crossing()) {
        (None, None) => Ok(base),
        (Some(place), _) => Err(twice(matching, path, text, place)?),
        (None, Some(place)) => {
            let (rows, value) = row_of(matching, path, text, place)?;
            Err(rows.fault(rows.columns.value, Fault::Crossing(shown(&value))))
        }
    }
}

/// What is said of the entry at a place whose value is there twice: the file is read again up to it,
/// as nobody has kept where each line went.
fn twice(matching: Matching, path: &Path, text: &str, place: u32) -> Result<ListError, ListError> {
    let (second, value) = row_of(matching, path, text, place)?;
    let mut first = Rows::open(path, text)?;
    while first.next()? && matching.key(first.value()) != matching.key(&value) {}
    let line = first.fault(first.columns.value, Fault::NoValues).place.line;
    Ok(second.fault(second.columns.value, Fault::Twice { value: shown(&value), line }))
}

/// The row whose entry was put in at a place, and its value.
fn row_of<'a>(
    matching: Matching,
    path: &'a Path,
    text: &'a str,
    place: u32,
) -> Result<(Rows<'a>, String), ListError> {
    let mut rows = Rows::open(path, text)?;
    let mut builder = Builder::new(matching);
    while rows.next()? && rows.take(&mut builder)? != place {}
    let value = rows.value().to_owned();
    Ok((rows, value))
}

/// Where the columns stand.
struct Columns {
    value: usize,
    expires: Option<usize>,
    note: Option<usize>,
}

struct Rows<'a> {
    path: &'a Path,
    text: &'a str,
    reader: csv::Reader<&'a [u8]>,
    /// where the reader began
    skipped: usize,
    record: StringRecord,
    /// fields of the first line
    width: usize,
    columns: Columns,
    /// the byte at which the record begins
    start: usize,
}

impl<'a> Rows<'a> {
    fn open(path: &'a Path, text: &'a str) -> Result<Rows<'a>, ListError> {
        let body = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new();
        reader.has_headers(false).flexible(true);
        let mut rows = Rows {
            path,
            text,
            reader: reader.from_reader(body.as_bytes()),
            skipped: text.len() - body.len(),
            record: StringRecord::new(),
            width: 0,
            columns: Columns { value: 0, expires: None, note: None },
            start: 0,
        };
        if !rows.read()? {
            return Err(whole(path, Fault::NoHeader));
        }
        rows.header()?;
        Ok(rows)
    }

    fn header(&mut self) -> Result<(), ListError> {
        let (mut value, mut expires, mut note) = (None, None, None);
        for (i, name) in self.record.iter().enumerate() {
            let column = match name {
                "value" => &mut value,
                "expires" => &mut expires,
                "note" => &mut note,
                _ => return Err(self.fault(i, Fault::Column(shown(name)))),
            };
            if column.replace(i).is_some() {
                return Err(self.fault(i, Fault::Column(shown(name))));
            }
        }
        let value = value.ok_or_else(|| self.fault(0, Fault::NoValues))?;
        self.columns = Columns { value, expires, note };
        self.width = self.record.len();
        Ok(())
    }

    /// A fault of a field of the record.
    fn fault(&self, field: usize, fault: Fault) -> ListError {
        let starts = fields(self.text, self.start).starts;
        let at = starts.get(field).copied().unwrap_or(self.start);
        ListError { place: Place::at(self.path, self.text, at), fault }
    }

    /// Reads the next record; `false` says that there is none.
    fn read(&mut self) -> Result<bool, ListError> {
        let before = self.skipped + self.reader.position().byte() as usize;
        // the reader skips empty lines together with what follows them
        let rest = self.text.get(before..).unwrap_or_default().as_bytes();
        let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        self.start = before + empty;
        let read = self.reader.read_record(&mut self.record);
        read.map_err(|error| self.fault(0, Fault::Unreadable(error.to_string())))
    }

    fn next(&mut self) -> Result<bool, ListError> {
        if !self.read()? {
            return Ok(false);
        }
        // a quote that nothing ends swallows the rest of the file
        if self.skipped + self.reader.position().byte() as usize == self.text.len() {
            let fields = fields(self.text, self.start);
            if fields.is_open {
                return Err(self.fault(fields.starts.len() - 1, Fault::OpenQuote));
            }
        }
        let (found, expected) = (self.record.len(), self.width);
        match found == expected {
            true => Ok(true),
            false => Err(self.fault(0, Fault::Fields { found, expected })),
        }
    }

    fn value(&self) -> &str {
        self.record.get(self.columns.value).unwrap_or_default()
    }

    /// Puts the record into a list; its place there.
    fn take(&self, builder: &mut Builder) -> Result<u32, ListError> {
        let field = |column: Option<usize>| {
            let column = column?;
            self.record.get(column).filter(|text| !text.is_empty()).map(|text| (column, text))
        };
        let expires = match field(self.columns.expires) {
            None => None,
            Some((column, text)) => {
                let at = Millis::of_date_or_time(text);
                Some(at.ok_or_else(|| self.fault(column, Fault::Expires(shown(text))))?)
            }
        };
        let note = field(self.columns.note);
        if let Some((column, note)) = note {
            check_note(note).map_err(|fault| self.fault(column, fault))?;
        }
        builder
            .push(self.value(), expires, note.map(|(_, note)| note))
            .map_err(|fault| self.fault(self.columns.value, fault))
    }
}

/// The fields of a record as they stand in the file.
struct Fields {
    /// the byte at which each begins
    starts: Vec<usize>,
    /// whether the last begins with a quote that nothing ends
    is_open: bool,
}

/// The fields of the record that begins at this byte.
fn fields(text: &str, start: usize) -> Fields {
    let bytes = text.as_bytes();
    let mut starts = vec![start];
    let mut is_quoted = bytes.get(start) == Some(&b'"');
    let mut is_open = false;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match byte {
            b'"' if is_quoted => is_open = !is_open,
            b'\n' if !is_open => break,
            b',' if !is_open => {
                starts.push(at + 1);
                is_quoted = bytes.get(at + 1) == Some(&b'"');
            }
            _ => {}
        }
    }
    Fields { starts, is_open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Match;

    fn error(kind: Match, text: &str) -> String {
        let matching = Matching { kind, fold: false };
        read(matching, Path::new("lists/x.csv"), text).unwrap_err().to_string()
    }

    #[test]
    fn columns_come_in_any_order_and_some_may_lack() {
        for text in [
            "value\nx\n",
            "note,value\n,x\n",
            "\u{feff}value,expires,note\r\n\r\n\"x\",,\r\n",
            "value,note\nx,same\n\nx,same",
        ] {
            let matching = Matching { kind: Match::Exact, fold: false };
            let base = read(matching, Path::new("x"), text).unwrap();
            let values: Vec<_> =
                base.places().into_iter().map(|at| base.records.item(at).value).collect();
            assert_eq!((values, base.len), (vec!["x"], 1), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_line_and_column() {
        let long = format!("value,note\nx,{}\n", "é".repeat(200));
        for (kind, text, expected) in [
            (Match::Exact, "", ": is empty, expected a first line such as"),
            (Match::Exact, "x\n", ":1:1: column \"x\" is unknown"),
            (Match::Exact, "value,value\n", ":1:7: column \"value\" is unknown or there twice"),
            (Match::Exact, "note\n", ":1:1: the first line has no column \"value\""),
            (Match::Exact, "value,note\nx\n", ":2:1: 1 fields, expected 2 as in the first line"),
            (Match::Exact, "value\nx\n\n\ny,z\n", ":5:1: 2 fields, expected 1"),
            (Match::Exact, "value,note\nx,\"y\nz,\n", ":2:3: a quote is not closed"),
            (
                Match::Exact,
                "value,note\n\"x\ny\",\n",
                ":2:1: value is \"x\\ny\", expected one line",
            ),
            (Match::Exact, "\u{feff}value,note\r\né,\"a\tb\"\r\n", ":2:3: note is \"a\\tb\""),
            (Match::Exact, &long, ":2:3: note \"éééé"),
            (Match::Exact, "note,expires,value\n\"a,\"\"b\",soon,x\n", ":2:9: expires is \"soon\""),
            (Match::Exact, "value\n x\n", ":2:1: value is \" x\", expected a text without space"),
            (Match::Cidr, "value\n10.0.0.0/8\n10.0.0.300\n", ":3:1: value is \"10.0.0.300\", exp"),
            (Match::Range, "note,value\nx,5..4\n", ":2:3: value is \"5..4\", expected integers"),
        ] {
            let error = error(kind, text);
            assert!(error.starts_with(&format!("lists/x.csv{expected}")), "{error}");
        }
    }

    #[test]
    fn a_value_that_is_there_twice_is_told_with_both_lines() {
        for (kind, first, second) in [
            (Match::Exact, "x", "x"),
            (Match::Prefix, "x", "x"),
            (Match::Cidr, "10.0.0.1", "::ffff:10.0.0.1/128"),
            (Match::Cidr, "2001:db8::/32", "2001:0db8::/32"),
            (Match::Range, "7", "7..7"),
        ] {
            let text = format!("note,value\na,{first}\n\nb,{second}\n");
            let place = format!("lists/x.csv:4:3: value {second:?} is in line 2 with another");
            let error = error(kind, &text);
            assert!(error.starts_with(&place), "{error}");
        }
    }

    #[test]
    fn ranges_that_cross_too_many_others_are_refused() {
        let lines: String = (0..20).map(|i| format!("{i}..{}\n", i + 20)).collect();
        let error = error(Match::Range, &format!("value\n{lines}"));
        assert!(error.starts_with("lists/x.csv:18:1: range \"16..36\" crosses 16"), "{error}");
    }
}

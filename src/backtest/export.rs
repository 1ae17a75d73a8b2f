//! Features of payments as CSV, for training elsewhere: one line each, in order.
//!
//! What became of a payment may be known only at the end, when its line is written already: its label is
//! one byte then, which is written over. The file has its name once it is whole.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Plan, Sample, Truth};
use crate::event::{Event, Kind, Slot};

/// Bytes written at once.
const BUFFER_BYTES: usize = 1 << 20;
/// Columns that every line begins with.
const COLUMNS: [&str; 6] = ["event_id", "event_time", "account", "amount_minor", "label", "score"];

/// The exported file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", .path.display())]
pub struct ExportError {
    path: PathBuf,
    source: io::Error,
}

impl ExportError {
    /// Whether there is no room left.
    pub fn is_full(&self) -> bool {
        self.source.kind() == io::ErrorKind::StorageFull
    }
}

/// Whether a payment was fraud.
#[derive(Clone, Copy, Debug)]
pub(super) enum Label {
    /// as the data says
    Known(Option<bool>),
    /// known at the end; until then it was not
    Later,
}

/// A payment that was decided about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) event: &'a Event<'a>,
    /// `tenant/account_id`
    pub(super) account: &'a str,
    pub(super) amount_minor: i64,
    pub(super) label: Label,
    /// 0..1, as decided
    pub(super) score: f64,
    /// those that rules read
    pub(super) fields: &'a [Slot<'a>],
    pub(super) features: &'a [Slot<'a>],
}

/// Lines that are ready to be written.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    /// where the labels stand
    labels: Vec<usize>,
}

/// The file.
#[derive(Debug)]
pub(super) struct Export {
    path: PathBuf,
    aside: PathBuf,
    file: BufWriter<File>,
    /// bytes written so far
    end: u64,
    /// where the labels of all lines stand, if they are not known before the end
    labels: Option<Vec<u64>>,
    is_done: bool,
}

impl Export {
    pub(super) fn create(path: &Path, plan: &Plan) -> Result<Export, ExportError> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".new");
        let aside = PathBuf::from(aside);
        let failed = |source| ExportError { path: path.to_owned(), source };
        // another file takes its place: what is no file, such as a device, would be gone
        if path.metadata().is_ok_and(|known| !known.is_file()) {
            return Err(failed(io::Error::other("it is no regular file, expected one or none")));
        }
        let file = File::create(&aside).map_err(failed)?;
        let mut export = Export {
            path: path.to_owned(),
            aside,
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            end: 0,
            labels: (plan.truth == Truth::Disputes).then(Vec::new),
            is_done: false,
        };
        export.put(&Columns::of(plan).header(plan))?;
        Ok(export)
    }

    fn failed(&self, source: io::Error) -> ExportError {
        ExportError { path: self.path.clone(), source }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.end += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|source| self.failed(source))
    }

    /// Writes the next lines.
    pub(super) fn write(&mut self, lines: &Lines) -> Result<(), ExportError> {
        if let Some(labels) = &mut self.labels {
            labels.extend(lines.labels.iter().map(|at| self.end + *at as u64));
        }
        self.put(&lines.bytes)
    }

    /// Writes over the labels that are another than was thought, and gives the file its name. `samples`:
    /// all of them, payments and others.
    pub(super) fn finish(mut self, samples: &[Sample]) -> Result<(), ExportError> {
        let done = self.write_labels(samples).and_then(|()| {
            self.file.flush()?;
            std::fs::rename(&self.aside, &self.path)
        });
        self.is_done = done.is_ok();
        done.map_err(|source| self.failed(source))
    }

    fn write_labels(&mut self, samples: &[Sample]) -> io::Result<()> {
        let Some(labels) = self.labels.take() else { return Ok(()) };
        let payments = samples.iter().filter(|sample| sample.kind == Kind::Transaction);
        for (at, _) in labels.iter().zip(payments).filter(|(_, sample)| sample.label == Some(true))
        {
            self.file.seek(SeekFrom::Start(*at))?;
            self.file.write_all(b"1")?;
        }
        Ok(())
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        if !self.is_done {
            // what is left of it is of no use, and nobody could be told that it stays
            let _gone = std::fs::remove_file(&self.aside);
        }
    }
}

/// The columns beyond those that every line begins with.
#[derive(Debug)]
pub(super) struct Columns {
    /// places of the fields among those that rules read
    fields: Vec<usize>,
}

impl Columns {
    pub(super) fn of(plan: &Plan) -> Columns {
        let fields = plan.engine.fields_read(Kind::Transaction).enumerate();
        // one that has a column already has no second
        let fields = fields.filter(|(_, name)| !COLUMNS.contains(name));
        Columns { fields: fields.map(|(place, _)| place).collect() }
    }

    fn header(&self, plan: &Plan) -> Vec<u8> {
        let all: Vec<&str> = plan.engine.fields_read(Kind::Transaction).collect();
        let fields = self.fields.iter().map(|place| all[*place]);
        let features = plan.features.names().map(|(name, _)| name);
        let columns: Vec<&str> = COLUMNS.into_iter().chain(fields).chain(features).collect();
        format!("{}\n", columns.join(",")).into_bytes()
    }

    /// Adds the line of a payment.
    pub(super) fn add(&self, lines: &mut Lines, row: &Row<'_>) {
        let Row { event, account, amount_minor, label, score, fields, features } = *row;
        let out = &mut lines.bytes;
        put_text(out, event.event_id());
        // writing to a vector cannot fail
        let _always = write!(out, ",{},", event.event_time());
        put_text(out, account);
        let _always = write!(out, ",{amount_minor},");
        lines.labels.push(out.len());
        match label {
            Label::Later => out.push(b'0'),
            Label::Known(Some(label)) => out.push(if label { b'1' } else { b'0' }),
            Label::Known(None) => {}
        }
        let _always = write!(out, ",{score}");
        let fields = self.fields.iter().map(|place| &fields[*place]);
        for value in fields.chain(features) {
            out.push(b',');
            put(out, value);
        }
        out.push(b'\n');
    }
}

/// A value: nothing where it is not known, floats in the fewest digits that give them back.
fn put(out: &mut Vec<u8>, value: &Slot<'_>) {
    let _always = match value {
        Slot::Null => Ok(()),
        Slot::Bool(value) => write!(out, "{}", u8::from(*value)),
        Slot::Int(value) => write!(out, "{value}"),
        Slot::Float(value) => write!(out, "{value}"),
        Slot::Text(text) => {
            put_text(out, text);
            Ok(())
        }
    };
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    if !text.contains(['"', ',', '\n', '\r']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for (i, part) in text.split('"').enumerate() {
        if i > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

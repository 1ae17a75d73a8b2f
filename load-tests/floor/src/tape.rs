//! Records in a file: a line that says what it is, then each record as topic and partition (u16),
//! key and payload length (u32, little endian), key, payload.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use crate::Failure;

/// A record on a tape.
#[derive(Clone, Debug)]
struct Entry {
    topic: u16,
    partition: u16,
    key: Range<usize>,
    payload: Range<usize>,
}

/// A record read from a tape.
#[derive(Clone, Copy, Debug)]
pub struct Taped<'a> {
    /// index among the topics that the tape is about
    pub topic: usize,
    /// where it was
    pub partition: i32,
    /// its key
    pub key: &'a [u8],
    /// its payload
    pub payload: &'a [u8],
}

/// A whole file in memory.
#[derive(Debug)]
pub struct Tape {
    /// the first line
    pub header: Value,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Tape {
    /// Reads a file; `what` is what its first line must say.
    ///
    /// # Errors
    /// When it cannot be read or is not such a file.
    pub fn read(path: &Path, what: &str) -> Result<Tape, Failure> {
        let bad = |why: &str| format!("{}: {why}", path.display());
        let bytes = std::fs::read(path).map_err(|error| bad(&error.to_string()))?;
        let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let header: Value = serde_json::from_slice(&bytes[..line]).unwrap_or_default();
        if header["what"] != what {
            return Err(bad(&format!("this is no {what} of weir-floor")).into());
        }
        let mut entries = Vec::new();
        let mut at = (line + 1).min(bytes.len());
        while at < bytes.len() {
            let entry = entry(&bytes, at).ok_or_else(|| bad(&format!("cut off at byte {at}")))?;
            at = entry.payload.end;
            entries.push(entry);
        }
        Ok(Tape { header, bytes, entries })
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Taped<'_> {
        let Entry { topic, partition, key, payload } = &self.entries[index];
        Taped {
            topic: usize::from(*topic),
            partition: i32::from(*partition),
            key: &self.bytes[key.clone()],
            payload: &self.bytes[payload.clone()],
        }
    }
}

fn entry(bytes: &[u8], at: usize) -> Option<Entry> {
    let head: &[u8; 12] = bytes.get(at..at + 12)?.try_into().ok()?;
    let [t0, t1, p0, p1, k0, k1, k2, k3, l0, l1, l2, l3] = *head;
    let key = at + 12..at + 12 + u32::from_le_bytes([k0, k1, k2, k3]) as usize;
    let payload = key.end..key.end + u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    bytes.get(payload.clone())?;
    let (topic, partition) = (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]));
    Some(Entry { topic, partition, key, payload })
}

/// Writes a tape.
#[derive(Debug)]
pub struct Recorder(BufWriter<File>);

impl Recorder {
    /// Begins a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path, header: &Value) -> Result<Recorder, Failure> {
        let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut out = BufWriter::new(file);
        writeln!(out, "{header}")?;
        Ok(Recorder(out))
    }

    /// Adds a record.
    ///
    /// # Errors
    /// When it cannot be written, or a number does not fit.
    pub fn push(&mut self, record: Taped<'_>) -> Result<(), Failure> {
        self.0.write_all(&u16::try_from(record.topic)?.to_le_bytes())?;
        self.0.write_all(&u16::try_from(record.partition)?.to_le_bytes())?;
        self.0.write_all(&u32::try_from(record.key.len())?.to_le_bytes())?;
        self.0.write_all(&u32::try_from(record.payload.len())?.to_le_bytes())?;
        self.0.write_all(record.key)?;
        Ok(self.0.write_all(record.payload)?)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        Ok(self.0.flush()?)
    }
}

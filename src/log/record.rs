//! Records as they are read, and batches of records to be sent.

use crate::event::{Position, Topic};

/// One record as it was read. Key and payload share one allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// where it stands
    pub position: Position,
    /// when it was written, milliseconds since 1970
    pub timestamp_ms: i64,
    key_len: Option<u32>,
    bytes: Box<[u8]>,
    /// name and value; almost always empty
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// A record with key and payload copied into one allocation.
    pub fn new(
        position: Position,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        payload: &[u8],
        headers: Vec<(String, Vec<u8>)>,
    ) -> Record {
        let key_bytes = key.unwrap_or_default();
        let mut bytes = Vec::with_capacity(key_bytes.len() + payload.len());
        bytes.extend_from_slice(key_bytes);
        bytes.extend_from_slice(payload);
        Record {
            position,
            timestamp_ms,
            key_len: key.map(|key| u32::try_from(key.len()).unwrap_or(u32::MAX)),
            bytes: bytes.into_boxed_slice(),
            headers,
        }
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&[u8]> {
        self.key_len.map(|len| &self.bytes[..len as usize])
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[self.key_len.unwrap_or(0) as usize..]
    }

    /// Memory it takes, in bytes, for whoever bounds a buffer.
    pub fn size(&self) -> usize {
        size_of::<Record>() + self.bytes.len()
    }
}

/// Records to be sent, packed in one buffer: no allocation per record.
#[derive(Clone, Debug, Default)]
pub struct RecordBatch {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// name and value of those that have one, which hardly any has, by number
    headers: Vec<(usize, String, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    topic: Topic,
    partition: u32,
    timestamp_ms: i64,
    keyed: bool,
    key_start: usize,
    payload_start: usize,
    end: usize,
}

/// One record of a [`RecordBatch`].
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the parts of a record")]
pub struct Outgoing<'a> {
    pub topic: Topic,
    pub partition: u32,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    /// of a record with a header: nothing, which is null on a log that knows of that
    pub payload: &'a [u8],
    pub header: Option<(&'a str, &'a [u8])>,
}

impl RecordBatch {
    /// Appends a record whose payload `write` puts at the end of the buffer. What a failed `write`
    /// left behind is taken back.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn push_with<E>(
        &mut self,
        topic: Topic,
        partition: u32,
        timestamp_ms: i64,
        key: &[u8],
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let key_start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let payload_start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(key_start);
            return Err(error);
        }
        self.entries.push(Entry {
            topic,
            partition,
            timestamp_ms,
            keyed: true,
            key_start,
            payload_start,
            end: self.bytes.len(),
        });
        Ok(())
    }

    /// Takes the key of the last record away: requeued records keep what they had.
    pub fn last_without_key(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.keyed = false;
        }
    }

    /// Appends a record.
    pub fn push(
        &mut self,
        topic: Topic,
        partition: u32,
        timestamp_ms: i64,
        key: &[u8],
        payload: &[u8],
    ) {
        let written: Result<(), std::convert::Infallible> =
            self.push_with(topic, partition, timestamp_ms, key, |bytes| {
                bytes.extend_from_slice(payload);
                Ok(())
            });
        match written {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// Appends a record that has a header in place of a payload.
    pub fn push_header(
        &mut self,
        topic: Topic,
        partition: u32,
        timestamp_ms: i64,
        key: &[u8],
        (name, value): (&str, &[u8]),
    ) {
        self.headers.push((self.entries.len(), name.to_owned(), value.to_owned()));
        self.push(topic, partition, timestamp_ms, key, b"");
    }

    /// The records, in the order they were appended.
    pub fn iter(&self) -> impl Iterator<Item = Outgoing<'_>> {
        let mut headers = self.headers.iter().peekable();
        self.entries.iter().enumerate().map(move |(number, entry)| Outgoing {
            topic: entry.topic,
            partition: entry.partition,
            timestamp_ms: entry.timestamp_ms,
            key: entry.keyed.then(|| &self.bytes[entry.key_start..entry.payload_start]),
            payload: &self.bytes[entry.payload_start..entry.end],
            header: headers
                .next_if(|(of, ..)| *of == number)
                .map(|(_, name, value)| (name.as_str(), value.as_slice())),
        })
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and payloads, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.headers.clear();
    }

    /// Forgets the records from number `len` on.
    pub fn truncate(&mut self, len: usize) {
        if let Some(entry) = self.entries.get(len) {
            self.bytes.truncate(entry.key_start);
            self.entries.truncate(len);
            self.headers.retain(|(of, ..)| *of < len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_batch_as_it_was() {
        let mut batch = RecordBatch::default();
        batch.push(Topic::Decisions, 0, 1, b"k", b"payload");
        let failed = batch.push_with(Topic::Decisions, 0, 2, b"key2", |bytes| {
            bytes.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!((batch.len(), batch.bytes()), (1, 8));
        batch.push(Topic::Escalations, 1, 3, b"", b"x");
        let last = batch.iter().last().unwrap();
        assert_eq!((last.key, last.payload, last.partition), (Some(&b""[..]), &b"x"[..], 1));
        batch.truncate(1);
        assert_eq!((batch.len(), batch.bytes()), (1, 8));
    }

    #[test]
    fn a_header_stays_with_its_record() {
        let mut batch = RecordBatch::default();
        let headers = |batch: &RecordBatch| -> Vec<Option<String>> {
            batch.iter().map(|record| record.header.map(|(name, _)| name.to_owned())).collect()
        };
        batch.push_header(Topic::Chats, 0, 1, b"k", ("first", b"a"));
        batch.push(Topic::Chats, 0, 1, b"k", b"payload");
        batch.push_header(Topic::Chats, 0, 1, b"k", ("third", b"b"));
        assert_eq!(headers(&batch), [Some("first".to_owned()), None, Some("third".to_owned())]);
        batch.truncate(2);
        batch.push(Topic::Chats, 0, 1, b"k", b"payload");
        assert_eq!(headers(&batch), [Some("first".to_owned()), None, None]);
        batch.clear();
        batch.push(Topic::Chats, 0, 1, b"k", b"payload");
        assert_eq!(headers(&batch), [None]);
    }
}

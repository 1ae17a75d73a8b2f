//! The bytes of a stored batch: records back to back, as `docs/contracts.md` lays them out.

use crate::event::Position;
use crate::log::{LogError, Outgoing, Record};

/// Bytes of a record's fixed part: timestamp, key length, payload length, number of headers.
const FIXED: usize = 8 + 4 + 4 + 2;

/// Appends one record.
pub(super) fn put(record: &Outgoing<'_>, body: &mut Vec<u8>) {
    let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    body.extend_from_slice(&record.timestamp_ms.to_le_bytes());
    let key_len = record.key.map_or(-1, |key| i32::try_from(key.len()).unwrap_or(i32::MAX));
    body.extend_from_slice(&key_len.to_le_bytes());
    body.extend_from_slice(&len(record.payload).to_le_bytes());
    body.extend_from_slice(&u16::from(record.header.is_some()).to_le_bytes());
    body.extend_from_slice(record.key.unwrap_or_default());
    body.extend_from_slice(record.payload);
    if let Some((name, value)) = record.header {
        let name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
        body.extend_from_slice(&name_len.to_le_bytes());
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&len(value).to_le_bytes());
        body.extend_from_slice(value);
    }
}

/// Walks through a stored batch whose first record stands at `first`, handing out each record of
/// offset `from` and later until `take` says that it has enough.
///
/// # Errors
/// [`LogError::Damaged`] at the first byte that is not as it was written.
pub(super) fn read(
    body: &[u8],
    first: Position,
    count: i64,
    from: i64,
    mut take: impl FnMut(Record) -> bool,
) -> Result<(), LogError> {
    let mut cursor = Cursor { rest: body, position: first };
    for offset in first.offset..first.offset + count {
        cursor.position.offset = offset;
        let record = cursor.record(offset >= from)?;
        if let Some(record) = record
            && !take(record)
        {
            return Ok(());
        }
    }
    if cursor.rest.is_empty() { Ok(()) } else { Err(cursor.damaged("bytes left over")) }
}

struct Cursor<'a> {
    rest: &'a [u8],
    position: Position,
}

impl<'a> Cursor<'a> {
    fn damaged(&self, what: &'static str) -> LogError {
        LogError::Damaged { position: self.position, what }
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], LogError> {
        match self.rest.split_at_checked(len) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => Err(self.damaged("truncated")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LogError> {
        let bytes = self.bytes(N)?;
        bytes.try_into().map_err(|_| self.damaged("truncated"))
    }

    /// The next record; `None` where it was not wanted.
    fn record(&mut self, wanted: bool) -> Result<Option<Record>, LogError> {
        debug_assert_eq!(FIXED, 18, "the layout of docs/contracts.md");
        let timestamp_ms = i64::from_le_bytes(self.array()?);
        let key_len = i32::from_le_bytes(self.array()?);
        let payload_len = u32::from_le_bytes(self.array()?) as usize;
        let header_count = u16::from_le_bytes(self.array()?);
        let key = match usize::try_from(key_len) {
            Ok(len) => Some(self.bytes(len)?),
            Err(_) => None,
        };
        let payload = self.bytes(payload_len)?;
        let mut headers = Vec::new();
        for _ in 0..header_count {
            let len = u16::from_le_bytes(self.array()?) as usize;
            let name = String::from_utf8_lossy(self.bytes(len)?).into_owned();
            let len = u32::from_le_bytes(self.array()?) as usize;
            headers.push((name, self.bytes(len)?.to_vec()));
        }
        Ok(wanted.then(|| Record::new(self.position, timestamp_ms, key, payload, headers)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Topic;

    fn outgoing<'a>(key: &'a [u8], payload: &'a [u8], timestamp_ms: i64) -> Outgoing<'a> {
        let (topic, partition, key) = (Topic::Chats, 2, Some(key));
        // every other one has a header
        let header = (payload.len() % 2 == 1).then_some(("name", &b"value"[..]));
        Outgoing { topic, partition, timestamp_ms, key, payload, header }
    }

    #[test]
    fn what_was_put_is_read_from_any_offset_and_any_cut_is_noticed() {
        let mut body = Vec::new();
        for i in 0..5u8 {
            put(&outgoing(&[b'k', i], &vec![i; i as usize * 7], i64::from(i) - 2), &mut body);
        }
        let first = Position { topic: Topic::Chats, partition: 2, offset: 10 };
        for from in 10..=15 {
            let mut seen = Vec::new();
            read(&body, first, 5, from, |record| {
                seen.push(record);
                true
            })
            .unwrap();
            assert_eq!(seen.len(), (15 - from) as usize);
            for record in seen {
                let i = (record.position.offset - 10) as u8;
                assert_eq!(record.key(), Some(&[b'k', i][..]));
                assert_eq!(record.payload(), vec![i; i as usize * 7]);
                assert_eq!(record.timestamp_ms, i64::from(i) - 2);
                let header = ("name".to_owned(), b"value".to_vec());
                let expected = if i % 2 == 1 { vec![header] } else { Vec::new() };
                assert_eq!(record.headers, expected);
            }
        }
        for cut in 0..body.len() {
            let cut_short = read(&body[..cut], first, 5, 10, |_| true);
            assert!(matches!(cut_short, Err(LogError::Damaged { .. })), "cut at {cut}");
        }
        body.push(0);
        assert!(read(&body, first, 5, 10, |_| true).is_err());
    }
}

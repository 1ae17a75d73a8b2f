//! The layout of a stored batch: records back to back, all integers little endian.

use std::collections::VecDeque;

use crate::contract::Topic;

use super::{LogRecord, Read};

/// Takes a batch apart; what could be read before the damage stays in `into`.
pub fn unpack(
    topic: Topic,
    partition: u32,
    first: i64,
    count: i64,
    body: &[u8],
    into: &mut VecDeque<Read>,
) -> Result<(), String> {
    let mut rest = Cursor(body);
    for n in 0..count {
        let timestamp_ms = i64::from_le_bytes(rest.array()?);
        let key_len = i32::from_le_bytes(rest.array()?);
        let payload_len = u32::from_le_bytes(rest.array()?);
        let headers = u16::from_le_bytes(rest.array()?);
        let key = match key_len {
            -1 => None,
            len => {
                let len = usize::try_from(len).map_err(|_| format!("key length {len}"))?;
                Some(rest.take(len)?.to_vec())
            }
        };
        let payload = rest.take(payload_len as usize)?.to_vec();
        let mut names = Vec::new();
        for _ in 0..headers {
            let name_len = u16::from_le_bytes(rest.array()?);
            let name = rest.take(usize::from(name_len))?;
            names.push(String::from_utf8_lossy(name).into_owned());
            let value_len = u32::from_le_bytes(rest.array()?);
            rest.take(value_len as usize)?;
        }
        into.push_back(Ok(LogRecord {
            topic,
            partition,
            offset: first + n,
            timestamp_ms,
            key,
            payload,
            headers: names,
        }));
    }
    match rest.0.len() {
        0 => Ok(()),
        left => Err(format!("{left} bytes left over")),
    }
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| format!("{len} bytes wanted, {} left", self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }
}

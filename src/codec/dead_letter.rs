//! A refused record as a dead letter: everything needed to find, understand and requeue it, and
//! nothing that must not be kept.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_128;

use super::{Contract, EncodeError, Encoder, Refusal, contains_card_number, redact};
use crate::event::{DeadLetter, Millis, Topic};
use crate::log::{Record, RecordBatch};

/// Bytes of a payload that a dead letter carries along; a larger one is read at its source.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// Headers that a dead letter carries along, and characters of each name and value: all of them
/// together must not make it larger than a broker takes.
const HEADERS_MAX: usize = 32;
const HEADER_CHARS_MAX: usize = 1_024;
/// Bytes of a key that a dead letter carries along.
const KEY_CHARS_MAX: usize = 600;

impl Encoder {
    /// Adds the dead letter of a record, beside its cause: in the partition of the same number, with
    /// the record's place as its key.
    ///
    /// # Errors
    /// When it does not fit its contract: a defect.
    pub fn add_dead_letter(
        &mut self,
        record: &Record,
        refusal: &Refusal,
        now: Millis,
        into: &mut RecordBatch,
    ) -> Result<(), EncodeError> {
        let letter = dead_letter(record, refusal, now);
        let (partition, key) = (record.position.partition, record.position.to_string());
        into.push_with(Topic::DeadLetters, partition, now.0, key.as_bytes(), |out| {
            self.encode(Contract::DeadLetter, &letter, out)
        })
    }
}

/// The dead letter of a record.
pub fn dead_letter(record: &Record, refusal: &Refusal, now: Millis) -> DeadLetter {
    let payload = record.payload();
    let keep = payload.len() <= PAYLOAD_BYTES_MAX && !contains_card_number(payload);
    let clean = |bytes: &[u8]| redact(&String::from_utf8_lossy(bytes)).into_owned();
    // what is cut off cannot hide a card number: the whole is cleaned first
    let header = |bytes: &[u8]| clean(bytes).chars().take(HEADER_CHARS_MAX).collect::<String>();
    let headers: BTreeMap<String, String> = record
        .headers
        .iter()
        .take(HEADERS_MAX)
        .map(|(name, value)| (header(name.as_bytes()), header(value)))
        .collect();
    DeadLetter {
        topic: record.position.topic.name().to_owned(),
        partition: i32::try_from(record.position.partition).unwrap_or(i32::MAX),
        offset: record.position.offset,
        timestamp: Millis(record.timestamp_ms),
        failed_at: now,
        stage: refusal.stage.name().to_owned(),
        code: refusal.code.name().to_owned(),
        message: refusal.message.clone(),
        key: record.key().map(|key| clean(key).chars().take(KEY_CHARS_MAX).collect()),
        headers,
        payload_hash: format!("{:032x}", xxh3_128(payload)),
        payload_bytes: i64::try_from(payload.len()).unwrap_or(i64::MAX),
        payload: keep.then(|| payload.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Contract, Encoder};
    use crate::config::limits;
    use crate::event::{Code, FailedStage, Position, Topic};

    #[test]
    fn the_dead_letter_of_the_largest_record_fits_what_a_broker_takes() {
        let position = Position { topic: Topic::Chats, partition: 1, offset: 7 };
        // bytes that are no text become three each when they are made readable
        let headers = (0..1_000).map(|i| (format!("{i:04}"), vec![0xFF; 10_000])).collect();
        let (key, payload) = (vec![0xFF; 100_000], vec![0xFF; 900_000]);
        let record = Record::new(position, 0, Some(&key), &payload, headers);
        let message = "m".repeat(1_000);
        let refusal = Refusal { stage: FailedStage::Decode, code: Code::Malformed, message };
        let mut out = Vec::new();
        let letter = dead_letter(&record, &refusal, Millis(1));
        Encoder::default().encode(Contract::DeadLetter, &letter, &mut out).unwrap();
        assert!(out.len() < limits().kafka_message_bytes / 2, "{} bytes", out.len());
        assert_eq!(letter.headers.len(), HEADERS_MAX);
    }
}

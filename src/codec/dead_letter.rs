//! A refused record as a dead letter: everything needed to find, understand and requeue it, and
//! nothing that must not be kept.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_128;

use super::{Refusal, contains_card_number, redact};
use crate::event::{DeadLetter, Millis};
use crate::log::Record;

/// Bytes of a payload that a dead letter carries along; a larger one is read at its source.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a key that a dead letter carries along.
const KEY_CHARS_MAX: usize = 600;

/// The dead letter of a record.
pub fn dead_letter(record: &Record, refusal: &Refusal, now: Millis) -> DeadLetter {
    let payload = record.payload();
    let keep = payload.len() <= PAYLOAD_BYTES_MAX && !contains_card_number(payload);
    let clean = |bytes: &[u8]| redact(&String::from_utf8_lossy(bytes)).into_owned();
    let headers: BTreeMap<String, String> =
        record.headers.iter().map(|(name, value)| (clean(name.as_bytes()), clean(value))).collect();
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

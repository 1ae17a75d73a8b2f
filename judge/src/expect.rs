//! What each input record must become, from its bytes alone: refused, duplicate, label, decision or
//! tombstone.
//!
//! The rules stand in `docs/contracts.md`, "When an input record is refused" and "Duplicates"; they
//! are applied here in the order of the table there.

use std::collections::{HashMap, VecDeque};

use xxhash_rust::xxh3::xxh3_128;

use crate::avro::{Decoder, Fields, Undecodable, WriterId, each_float, each_text};
use crate::cards;
use crate::contract::{
    AHEAD_MAX_MS, EVENT_TIME_MIN_MS, ID_BYTES_MAX, PAYLOAD_BYTES_MAX, PROSE_BYTES_MAX,
    TEXT_BYTES_MAX, Topic,
};
use crate::log::LogRecord;

/// Stage and code of the dead letter a record must become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// where it is given up
    pub stage: &'static str,
    /// why
    pub code: &'static str,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.stage, self.code)
    }
}

/// A panic in place of a decision.
pub const PANICKED: Refusal = Refusal { stage: "panic", code: "panicked" };
/// An escalation nobody took.
pub const UNDELIVERABLE: Refusal = Refusal { stage: "notify", code: "undeliverable" };
/// A writer that was not known when its record was read.
pub const UNKNOWN: Refusal = Refusal { stage: "decode", code: "unknown_schema" };
const CONFLICT: Refusal = Refusal { stage: "dedupe", code: "conflicting_duplicate" };

/// What a decision must repeat of its event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of the contract")]
pub struct Identity {
    pub event_id: Box<str>,
    pub tenant: Box<str>,
    pub account_id: Box<str>,
    pub subject_id: Box<str>,
    pub event_time: i64,
    /// the writer's fingerprint as a number, or the registry's id
    pub schema_id: i64,
}

/// Decodes and validates a record of an input topic.
///
/// # Errors
/// The dead letter it must become.
pub fn admit(decoder: &Decoder<'_>, record: &LogRecord) -> Result<Identity, Refusal> {
    let decode = |code| Refusal { stage: "decode", code };
    if record.payload.len() > PAYLOAD_BYTES_MAX {
        return Err(decode("too_large"));
    }
    let decoded = decoder.decode(&record.payload);
    let fields = decoded.map_err(|why: Undecodable| decode(why.code()))?;
    match refusal_of(&fields, record) {
        Some(code) => Err(Refusal { stage: "validate", code }),
        None => Ok(Identity {
            event_id: fields.text("event_id").into(),
            tenant: fields.text("tenant").into(),
            account_id: fields.text("account_id").into(),
            subject_id: fields.text(record.topic.subject_field()).into(),
            event_time: fields.long("event_time").unwrap_or(i64::MIN),
            schema_id: decoder.writer_id(&record.payload).map_or(0, WriterId::number),
        }),
    }
}

/// The account that a tombstone names.
///
/// # Errors
/// The dead letter it must become where its key is none of an account.
pub fn erased(record: &LogRecord) -> Result<&str, Refusal> {
    let validate = |code| Refusal { stage: "validate", code };
    let key = record.key.as_deref().ok_or(validate("key_missing"))?;
    let text = std::str::from_utf8(key).ok();
    let parts = text.and_then(|text| text.split_once('/'));
    match (text, parts) {
        (Some(key), Some((tenant, account_id))) if !bad_id(tenant) && !bad_id(account_id) => {
            Ok(key)
        }
        _ => Err(validate("invalid_field")),
    }
}

fn bad_id(id: &str) -> bool {
    id.is_empty() || id.len() > ID_BYTES_MAX || id.chars().any(char::is_control)
}

/// The code of the first rule the event breaks.
fn refusal_of(fields: &Fields, record: &LogRecord) -> Option<&'static str> {
    if invalid_field(fields, record.topic) {
        return Some("invalid_field");
    }
    if over_long(fields) {
        return Some("too_large");
    }
    let Some(key) = &record.key else {
        return Some("key_missing");
    };
    if *key != key_of(fields.text("tenant"), fields.text("account_id")).into_bytes() {
        return Some("key_mismatch");
    }
    let event_time = fields.long("event_time").unwrap_or(i64::MIN);
    if event_time < EVENT_TIME_MIN_MS {
        return Some("time_too_early");
    }
    if event_time > record.timestamp_ms.saturating_add(AHEAD_MAX_MS) {
        return Some("time_in_future");
    }
    if cards::is_card_number(fields.text("card_id")) {
        return Some("card_number");
    }
    None
}

/// The key of an event, a decision or an escalation.
pub fn key_of(tenant: &str, account_id: &str) -> String {
    format!("{tenant}/{account_id}")
}

fn invalid_field(fields: &Fields, topic: Topic) -> bool {
    let ids = ["event_id", "tenant", "account_id", topic.subject_field()];
    if ids.into_iter().any(|name| bad_id(fields.text(name))) {
        return true;
    }
    if fields.text("tenant").contains('/') {
        return true;
    }
    let has_currency = fields.0.iter().any(|(name, _)| name == "currency");
    let currency = fields.text("currency").as_bytes();
    if has_currency && !(currency.len() == 3 && currency.iter().all(u8::is_ascii_uppercase)) {
        return true;
    }
    let mut finite = true;
    for (name, value) in &fields.0 {
        each_float(value, name, &mut |_, number| finite &= number.is_finite());
    }
    !finite
}

fn over_long(fields: &Fields) -> bool {
    let mut over = false;
    for (name, value) in &fields.0 {
        each_text(value, name, &mut |name, text| {
            let max = match name {
                "text" | "narrative" | "note" => PROSE_BYTES_MAX,
                _ => TEXT_BYTES_MAX,
            };
            over |= text.len() > max;
        });
    }
    over
}

/// Age is told in steps of 16.384 s.
fn step(time_ms: i64) -> i64 {
    time_ms >> 14
}

/// How duplicates are told, as the topology declares it.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// entries of a ring
    pub ids: usize,
    /// how much older than the latest an entry still counts, in milliseconds
    pub age_max_ms: i64,
}

/// What the ring says of a record that is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// its id is not known
    Never,
    /// known with the same payload
    Same,
    /// known with another payload
    Other,
}

impl Seen {
    /// The dead letter it must become, if any.
    pub fn refusal(self) -> Option<Refusal> {
        (self == Seen::Other).then_some(CONFLICT)
    }
}

/// The rings of the accounts of one input partition.
#[derive(Debug)]
pub struct Rings {
    horizon: Horizon,
    by_account: HashMap<Box<str>, Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Entry>,
    latest: Option<i64>,
}

/// Ids and payloads are kept as their 128-bit hashes: memory is per accepted record.
#[derive(Debug)]
struct Entry {
    event_id: u128,
    payload: u128,
    event_time: i64,
}

impl Rings {
    /// No account seen yet.
    pub fn new(horizon: Horizon) -> Rings {
        Rings { horizon, by_account: HashMap::new() }
    }

    /// What is known of the event's id now.
    pub fn seen(&self, event: &Identity, payload: &[u8]) -> Seen {
        let Some(ring) = self.by_account.get(account(event).as_str()) else {
            return Seen::Never;
        };
        let Some(latest) = ring.latest else {
            return Seen::Never;
        };
        let event_id = xxh3_128(event.event_id.as_bytes());
        let counts = |entry: &&Entry| {
            entry.event_id == event_id
                && step(latest) - step(entry.event_time)
                    <= step(self.horizon.age_max_ms + (1 << 14) - 1)
        };
        match ring.entries.iter().rev().find(counts) {
            None => Seen::Never,
            Some(entry) if entry.payload == xxh3_128(payload) => Seen::Same,
            Some(_) => Seen::Other,
        }
    }

    /// Forgets an account (`tenant/account_id`).
    pub fn forget(&mut self, account: &str) {
        self.by_account.remove(account);
    }

    /// Enters an accepted record.
    pub fn enter(&mut self, event: &Identity, payload: &[u8]) {
        let ring = self.by_account.entry(account(event).into()).or_default();
        ring.latest = ring.latest.max(Some(event.event_time));
        ring.entries.push_back(Entry {
            event_id: xxh3_128(event.event_id.as_bytes()),
            payload: xxh3_128(payload),
            event_time: event.event_time,
        });
        while ring.entries.len() > self.horizon.ids {
            ring.entries.pop_front();
        }
    }
}

fn account(event: &Identity) -> String {
    key_of(&event.tenant, &event.account_id)
}

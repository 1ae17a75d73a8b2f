//! One event of each kind with every field set, none to its default; and folders copied.

#![allow(dead_code, reason = "each test uses its part")]

pub mod world;

use std::path::Path;

use weir::codec::{Encoder, json};
use weir::event::{Event, Kind, Position};
use weir::log::Record;

/// What an event of each kind is called and holds.
pub const INPUTS: [(Kind, &str); 5] = [
    (Kind::Transaction, TRANSACTION),
    (Kind::Dispute, DISPUTE),
    (Kind::Chat, CHAT),
    (Kind::Invoice, INVOICE),
    (Kind::Label, LABEL),
];

/// A payment.
pub const TRANSACTION: &str = r#"{"event_id":"e1","event_time":1769853600000,"tenant":"t1",
"account_id":"a1","transaction_id":"p1","card_id":"c1","merchant_id":"m1","terminal_id":"x1",
"amount_minor":-1250,"currency":"EUR","mcc":"5411","channel":"ATM","entry_mode":"chip",
"country":"DE","lat":52.5,"lon":-13.25,"device_id":"d1","ip":"192.0.2.1","email_hash":"h1",
"beneficiary_id":"b1","status":"CAPTURED","decline_code":"05","recurring":true}"#;

pub const DISPUTE: &str = r#"{"event_id":"e2","event_time":1769853600001,"tenant":"t1",
"account_id":"a1","dispute_id":"d1","transaction_id":"p1","network":"AMEX","reason_code":"10.4",
"amount_minor":1250,"currency":"USD","opened_at":1769853600002,"due_by":1769853600003,
"stage":"PRE_ARBITRATION","merchant_id":"m1","terminal_id":"x1","card_id":"c1","device_id":"v1",
"ip":"2001:db8::1","transaction_time":1769853600004,"narrative":"größer als üblich"}"#;

pub const CHAT: &str = r#"{"event_id":"e3","event_time":1769853600005,"tenant":"t1","account_id":"a1",
"conversation_id":"v1","message_id":"m1","author":"BOT","text":"hello","channel":"phone",
"language":"de-AT","bot_confidence":0.875,"bot_intent":"greet"}"#;

pub const INVOICE: &str = r#"{"event_id":"e4","event_time":1769853600006,"tenant":"t1",
"account_id":"a1","invoice_id":"i1","kind":"CREDIT_NOTE","vendor_id":"v1","vendor_name":"Vendor",
"employee_id":"y1","number":"2026/7","issued_on":20484,"due_on":20514,"amount_minor":-99,
"currency":"GBP","bank_account_hash":"k1","purchase_order":"o1","category":"travel",
"lines":[{"description":"train","quantity":2.5,"unit_price_minor":100,"amount_minor":250},
{"description":"taxi","quantity":-1.0,"unit_price_minor":1,"amount_minor":-1}],
"document_sha256":"s1"}"#;

pub const LABEL: &str = r#"{"event_id":"e5","event_time":1769853600007,"tenant":"t1","account_id":"a1",
"subject_kind":"DISPUTE","subject_id":"d1","verdict":"FIRST_PARTY","source":"analyst","note":"n1"}"#;

/// The key of all these events.
pub const KEY: &str = "t1/a1";
/// When their records were written: after each of them.
pub const WRITTEN_MS: i64 = 1_769_853_600_100;

/// The event of a kind, with the text `from` in its JSON replaced by `to`.
pub fn event(kind: Kind, from: &str, to: &str) -> Event<'static> {
    let (_, text) = INPUTS.into_iter().find(|(known, _)| *known == kind).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    let fields = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
    json::from_fields(kind, fields).unwrap()
}

/// An event as its record's payload.
pub fn payload(event: &Event<'_>) -> Vec<u8> {
    let mut payload = Vec::new();
    Encoder::default().encode_event(event, &mut payload).unwrap();
    payload
}

/// A record of a kind's topic.
pub fn record(kind: Kind, key: Option<&[u8]>, payload: &[u8]) -> Record {
    let position = Position { topic: kind.topic(), partition: 3, offset: 17 };
    Record::new(position, WRITTEN_MS, key, payload, Vec::new())
}

/// Copies a folder and all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).unwrap()),
        }
    }
}

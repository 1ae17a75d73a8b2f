//! Every refusal of `docs/contracts.md`: which records meet it, what its stage and code are, that
//! its message names field, value and expectation, and that a dead letter keeps no card number.
//! `panicked` and `undeliverable` are no refusals of a record's content; the tests of the stage and
//! of the notify sink have them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken fixture is a failed test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use common::{INPUTS, KEY, WRITTEN_MS, event, payload, record};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir::codec::{Contract, Decoder, Encoder, Refusal, Writers, dead_letter, decode_own};
use weir::event::{
    Code, DeadLetter, Decision, Event, FailedStage, Kind, Millis, Position, Text, Topic,
};
use weir::log::embedded::{EmbeddedLog, Options};
use weir::log::{Log, Record, RecordBatch};

use FailedStage::{Decode, Validate};
use Kind::{Chat, Dispute, Invoice, Label, Transaction};

/// A valid card number of which no five digits repeat.
const CARD: &str = "4539578763621486";

/// A writer whose amounts have another meaning.
fn incompatible_schema() -> String {
    let text = Contract::Transaction.text();
    let at = text.find("\"amount_minor\"").unwrap();
    let (before, after) = text.split_at(at);
    format!("{before}{}", after.replacen("\"long\"", "\"double\"", 1))
}

fn decoder() -> Decoder {
    let mut writers = Writers::built_in();
    writers.add(&incompatible_schema()).unwrap();
    Decoder::new(writers)
}

/// Why a record is refused.
fn refused(decoder: &Decoder, record: &Record) -> Refusal {
    decoder.decode(record).unwrap_err().refusal().unwrap()
}

/// One record that is refused.
struct Case {
    kind: Kind,
    key: Option<Vec<u8>>,
    payload: Vec<u8>,
    stage: FailedStage,
    code: Code,
    /// what the message must name
    parts: Vec<String>,
}

impl Case {
    fn of(kind: Kind, payload: Vec<u8>, stage: FailedStage, code: Code, parts: &[&str]) -> Case {
        Case {
            kind,
            key: Some(KEY.into()),
            payload,
            stage,
            code,
            parts: parts.iter().map(|part| (*part).to_owned()).collect(),
        }
    }

    /// An event with a value that is not allowed; its key is its own.
    fn edit(kind: Kind, from: &str, to: &str, code: Code, parts: &[&str]) -> Case {
        let event = event(kind, from, to);
        let key = Some(event.key().into_bytes());
        Case { key, ..Case::of(kind, payload(&event), Validate, code, parts) }
    }

    /// A sound event under a key that is not its own.
    fn keyed(key: Option<&[u8]>, code: Code, parts: &[&str]) -> Case {
        Case {
            key: key.map(<[u8]>::to_vec),
            ..Case::of(Chat, payload(&event(Chat, "", "")), Validate, code, parts)
        }
    }

    fn record(&self) -> Record {
        record(self.kind, self.key.as_deref(), &self.payload)
    }
}

fn sound(kind: Kind) -> Vec<u8> {
    payload(&event(kind, "", ""))
}

/// The payload of an event with some bytes replaced by as many others.
fn bytes(kind: Kind, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut payload = sound(kind);
    let at = payload.windows(from.len()).position(|window| window == from).unwrap();
    payload.splice(at..at + from.len(), to.iter().copied());
    payload
}

fn not_finite() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let shown = value.to_string();
        for (field, mut event) in [
            ("lat", event(Transaction, "", "")),
            ("lon", event(Transaction, "", "")),
            ("bot_confidence", event(Chat, "", "")),
            ("lines.quantity", event(Invoice, "", "")),
        ] {
            match (&mut event, field) {
                (Event::Transaction(payment), "lat") => payment.lat = Some(value),
                (Event::Transaction(payment), _) => payment.lon = Some(value),
                (Event::Chat(chat), _) => chat.bot_confidence = Some(value),
                (Event::Invoice(invoice), _) => invoice.lines[1].quantity = value,
                _ => unreachable!("not among them"),
            }
            let parts = [field, &shown, "expected a finite number"];
            let payload = payload(&event);
            let kind = event.kind();
            cases.push(Case::of(kind, payload, Validate, Code::InvalidField, &parts));
        }
    }
    cases
}

fn decode_cases() -> Vec<Case> {
    let mut unknown = sound(Chat);
    unknown[2..10].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
    let mut incompatible = sound(Transaction);
    let schema: serde_avro_fast::Schema = incompatible_schema().parse().unwrap();
    incompatible[2..10].copy_from_slice(schema.rabin_fingerprint());
    let mut trailing = sound(Label);
    trailing.extend_from_slice(&[0, 0, 0]);
    let mut decision = sound(Chat);
    decision[2..10].copy_from_slice(Contract::Decision.schema().rabin_fingerprint());
    let huge = format!("\"text\":\"{}\"", "y".repeat(2 << 20));
    let huge = payload(&event(Chat, "\"text\":\"hello\"", &huge));

    let of = |kind, payload, code, parts: &[&str]| Case::of(kind, payload, Decode, code, parts);
    vec![
        of(Chat, huge, Code::TooLarge, &["payload", "bytes", "at most 1048576"]),
        of(Chat, b"{\"event_id\"".to_vec(), Code::Unframed, &["7B, 22", "expected C3 01"]),
        of(Chat, Vec::new(), Code::Unframed, &["0 bytes", "expected C3 01"]),
        of(Chat, vec![0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7], Code::Unframed, &["9 bytes", "C3 01"]),
        // an id of a registry where there is none
        of(Chat, vec![0, 0, 0, 0, 7, 1], Code::Unframed, &["00, 00", "none is configured"]),
        of(Chat, unknown, Code::UnknownSchema, &["0807060504030201", "chat"]),
        of(Dispute, sound(Transaction), Code::WrongSchema, &["weir.Transaction", "dispute"]),
        of(Chat, decision, Code::WrongSchema, &["weir.Decision", "chat"]),
        of(
            Transaction,
            incompatible,
            Code::IncompatibleSchema,
            &["amount_minor", "double", "expected long"],
        ),
        of(Label, trailing, Code::Malformed, &["3 bytes left over", "expected none"]),
        of(Chat, bytes(Chat, b"hello", b"he\xFFlo"), Code::Malformed, &["text", "utf-8"]),
        // the symbols are CUSTOMER, BOT and AGENT: numbers 0 to 2
        of(Chat, bytes(Chat, b"\x04m1\x02", b"\x04m1\x0A"), Code::Malformed, &["author", "enum"]),
        // a length below zero, and one beyond the end
        of(Chat, bytes(Chat, b"\x04m1", b"\x03m1"), Code::Malformed, &["message_id", "length"]),
        of(Chat, bytes(Chat, b"\x04m1", b"\x7Em1"), Code::Malformed, &["message_id"]),
        // null and string are branches 0 and 1
        of(Chat, bytes(Chat, b"\x02\x0Ade-AT", b"\x06\x0Ade-AT"), Code::Malformed, &["language"]),
    ]
}

fn id_cases() -> Vec<Case> {
    let long = "i".repeat(257);
    let mut cases = Vec::new();
    for (kind, subject, id) in [
        (Transaction, "transaction_id", "p1"),
        (Dispute, "dispute_id", "d1"),
        (Chat, "message_id", "m1"),
        (Invoice, "invoice_id", "i1"),
        (Label, "subject_id", "d1"),
    ] {
        let event_id = event(kind, "", "").event_id().to_owned();
        for (field, value) in
            [("event_id", event_id.as_str()), ("tenant", "t1"), ("account_id", "a1"), (subject, id)]
        {
            let from = format!("\"{field}\":\"{value}\"");
            let long = long.as_str();
            for (new, parts) in [
                ("", ["\"\"", "empty"]),
                (long, ["iii", "at most 256 bytes, not 257"]),
                ("a\\u0007b", ["a\\u{7}b", "no control characters"]),
                ("a\\u0085b", ["a\\u{85}b", "no control characters"]),
            ] {
                let to = format!("\"{field}\":\"{new}\"");
                let parts = [field, parts[0], parts[1]];
                cases.push(Case::edit(kind, &from, &to, Code::InvalidField, &parts));
            }
        }
        let parts = ["tenant", "a/b", "no '/'"];
        let slash = "\"tenant\":\"a/b\"";
        cases.push(Case::edit(kind, "\"tenant\":\"t1\"", slash, Code::InvalidField, &parts));
    }
    cases
}

fn validate_cases() -> Vec<Case> {
    let mut cases = id_cases();
    cases.extend(not_finite());
    for (kind, currency) in [(Transaction, "EUR"), (Dispute, "USD"), (Invoice, "GBP")] {
        for new in ["eur", "EU", "EURO", "E R", "ÄR", ""] {
            let parts = ["currency", new, "three capital letters"];
            cases.push(Case::edit(kind, currency, new, Code::InvalidField, &parts));
        }
    }
    for (kind, field, value, bytes, most) in [
        (Chat, "text", "hello", 70_000, "65536"),
        (Dispute, "narrative", "größer als üblich", 70_000, "65536"),
        (Label, "note", "n1", 65_537, "65536"),
        (Chat, "channel", "phone", 1_025, "1024"),
        (Transaction, "merchant_id", "m1", 1_025, "1024"),
        (Invoice, "lines.description", "taxi", 1_025, "1024"),
    ] {
        let name = field.rsplit('.').next().unwrap();
        let from = format!("\"{name}\":\"{value}\"");
        let to = format!("\"{name}\":\"{}\"", "z".repeat(bytes));
        let parts = [field, &bytes.to_string(), &format!("at most {most}")];
        cases.push(Case::edit(kind, &from, &to, Code::TooLarge, &parts));
    }
    for (key, parts) in [
        (&b"t1/a2"[..], ["t1/a2", "expected \"t1/a1\""]),
        (b"t1/a1x", ["t1/a1x", "expected \"t1/a1\""]),
        (b"t1a1", ["t1a1", "expected \"t1/a1\""]),
        (b"a1/t1", ["a1/t1", "expected \"t1/a1\""]),
        (b"", ["\"\"", "expected \"t1/a1\""]),
        (b"\xFF", ["\u{FFFD}", "expected \"t1/a1\""]),
    ] {
        cases.push(Case::keyed(Some(key), Code::KeyMismatch, &["key", parts[0], parts[1]]));
    }
    cases.push(Case::keyed(None, Code::KeyMissing, &["no key", "expected \"t1/a1\""]));
    let early = ["event_time", "1970-01-01T00:00:00", "2000-01-01"];
    let time = "\"event_time\":1769853600007";
    cases.push(Case::edit(Label, time, "\"event_time\":0", Code::TimeTooEarly, &early));
    for (new, shown) in [
        (7_258_118_400_000, "2200-01-01T00:00:00"),
        (WRITTEN_MS + 11 * 60_000, "2026-01-31T10:11:00"),
        (WRITTEN_MS + 10 * 60_000 + 1, "2026-01-31T10:10:00.101"),
        (i64::MAX, "9223372036854775807"),
    ] {
        let to = format!("\"event_time\":{new}");
        let parts = ["event_time", shown, "10 minutes after", "2026-01-31T10:00:00.100"];
        cases.push(Case::edit(Label, time, &to, Code::TimeInFuture, &parts));
    }
    let dashes = "4539-5787-6362-1486";
    for card in [CARD, dashes, "4539 5787 6362 1486"] {
        for kind in [Transaction, Dispute] {
            let to = format!("\"card_id\":\"{card}\"");
            let parts = ["card_id", "card number", "expected a token"];
            cases.push(Case::edit(kind, "\"card_id\":\"c1\"", &to, Code::CardNumber, &parts));
        }
    }
    cases
}

fn all_cases() -> Vec<Case> {
    let mut cases = decode_cases();
    cases.extend(validate_cases());
    cases
}

fn show(record: &Record) -> String {
    let payload = record.payload();
    let begin = &payload[..payload.len().min(200)];
    let text = String::from_utf8_lossy(begin);
    format!("{} key {:?} payload {text:?}", record.position, record.key())
}

#[test]
fn sound_events_are_accepted_also_at_the_limits() {
    let decoder = decoder();
    for (kind, _) in INPUTS {
        let record = record(kind, Some(KEY.as_bytes()), &sound(kind));
        let decoded = decoder.decode(&record).unwrap();
        assert_eq!(decoded.event, event(kind, "", ""));
    }
    let id = "i".repeat(256);
    let text = "ü".repeat(32_768);
    for (kind, from, to) in [
        (Chat, "\"tenant\":\"t1\"", format!("\"tenant\":\"{id}\"")),
        (Chat, "\"text\":\"hello\"", format!("\"text\":\"{text}\"")),
        (Chat, "\"text\":\"hello\"", "\"text\":\"\"".to_owned()),
        (Chat, "\"text\":\"hello\"", "\"text\":\"a\\u0007b\"".to_owned()),
        (Chat, "\"channel\":\"phone\"", format!("\"channel\":\"{}\"", "c".repeat(1_024))),
        (Label, "1769853600007", "946684800000".to_owned()),
        (Label, "1769853600007", (WRITTEN_MS + 10 * 60_000).to_string()),
        (Transaction, "\"card_id\":\"c1\"", "\"card_id\":\"4539578763621487\"".to_owned()),
        (Transaction, "\"card_id\":\"c1\"", "\"card_id\":\"453957******1486\"".to_owned()),
        (Transaction, "\"card_id\":\"c1\"", "\"card_id\":null".to_owned()),
    ] {
        let event = event(kind, from, &to);
        let record = record(kind, Some(event.key().as_bytes()), &payload(&event));
        assert_eq!(decoder.decode(&record).unwrap().event, event);
    }
}

#[test]
fn every_refusal_names_stage_code_field_value_and_expectation() {
    let decoder = decoder();
    let mut seen = BTreeSet::new();
    for case in all_cases() {
        let record = case.record();
        let refusal = match decoder.decode(&record) {
            Err(error) => error.refusal().unwrap(),
            Ok(_) => panic!("{:?} accepted: {}", case.code, show(&record)),
        };
        let Refusal { stage, code, message } = &refusal;
        assert_eq!((*stage, *code), (case.stage, case.code), "{message}: {}", show(&record));
        for part in &case.parts {
            assert!(message.contains(part), "{code:?}: {message:?} lacks {part:?}");
        }
        assert!(message.len() < 500 && !message.contains('\n'), "{message:?}");
        seen.insert(code.name());
    }
    // the others are no refusals of one record alone
    for code in Code::ALL {
        let others = [Code::ConflictingDuplicate, Code::Panicked, Code::Undeliverable];
        assert!(seen.contains(code.name()) != others.contains(code), "{code:?}");
    }
}

#[test]
fn a_record_of_an_output_topic_is_refused() {
    let position = Position { topic: Topic::Decisions, partition: 0, offset: 0 };
    let record = Record::new(position, WRITTEN_MS, Some(KEY.as_bytes()), &sound(Chat), Vec::new());
    let refusal = refused(&decoder(), &record);
    assert_eq!((refusal.stage, refusal.code), (Decode, Code::WrongSchema));
}

#[test]
fn a_payload_cut_at_any_byte_is_refused() {
    let decoder = decoder();
    for (kind, _) in INPUTS {
        let whole = sound(kind);
        for len in 0..whole.len() {
            let record = record(kind, Some(KEY.as_bytes()), &whole[..len]);
            let refusal = refused(&decoder, &record);
            let code = if len < 10 { Code::Unframed } else { Code::Malformed };
            assert_eq!((refusal.stage, refusal.code), (Decode, code), "{kind:?} cut at {len}");
            let names = Contract::of(kind).field_names();
            let named = names.iter().any(|name| refusal.message.starts_with(name));
            assert!(named || len < 10, "{kind:?} cut at {len}: {}", refusal.message);
        }
        let mut longer = whole.clone();
        longer.push(0);
        let record = record(kind, Some(KEY.as_bytes()), &longer);
        assert_eq!(refused(&decoder, &record).code, Code::Malformed);
    }
}

/// Whether any five digits of the card that stand together stand together here.
fn holds_card_digits(bytes: &[u8]) -> bool {
    let spellings = [CARD, "4539-5787-6362-1486", "4539 5787 6362 1486"];
    spellings.iter().any(|spelling| {
        spelling.as_bytes().windows(5).any(|part| bytes.windows(5).any(|window| window == part))
    })
}

#[test]
fn a_dead_letter_keeps_no_digits_of_a_card_wherever_they_stood() {
    let decoder = decoder();
    let mut letters = Vec::new();
    for case in all_cases() {
        let record = case.record();
        let refusal = refused(&decoder, &record);
        if case.code == Code::CardNumber {
            assert!(!holds_card_digits(refusal.message.as_bytes()), "{}", refusal.message);
        }
        letters.push((record, refusal));
    }
    // a card as account, in the key and in headers, names too; in a text that is cut off, in a field
    // that an error quotes, and as digits that the record's bytes touch
    let card_of = |from: &str, to: &str| event(Dispute, from, &to.replace("CARD", CARD));
    for (key, from, to) in [
        (format!("t1/{CARD}"), "\"currency\":\"USD\"", "\"currency\":\"CARD\""),
        (format!("t1/{CARD}"), "\"account_id\":\"a1\"", "\"account_id\":\"\\u0007CARD\""),
        (format!("{CARD}/a1"), "\"tenant\":\"t1\"", "\"tenant\":\"CARD/\""),
        (format!("t1/{CARD}"), "\"event_id\":\"e2\"", "\"event_id\":\"7 CARD 9\\u0000\""),
        ("x".to_owned(), "\"narrative\":\"", "\"narrative\":\"my card CARD, "),
        (format!("k{CARD}"), "\"reason_code\":\"10.4\"", "\"reason_code\":\"CARD\""),
    ] {
        let payload = payload(&card_of(from, to));
        let headers = vec![
            (format!("trace {CARD}"), b"1".to_vec()),
            ("note".to_owned(), format!("paid with {CARD}\u{FF}").into_bytes()),
        ];
        let mut record = record(Dispute, Some(key.as_bytes()), &payload);
        record.headers = headers;
        let refusal = refused(&decoder, &record);
        letters.push((record, refusal));
    }
    // what cannot be decoded is redacted as well
    for payload in [format!("{{\"card\":\"{CARD}\"}}"), format!("card {CARD}")] {
        let record = record(Chat, Some(KEY.as_bytes()), payload.as_bytes());
        let refusal = refused(&decoder, &record);
        letters.push((record, refusal));
    }
    let mut with_card = 0;
    for (record, refusal) in letters {
        let letter = dead_letter(&record, &refusal, Millis(WRITTEN_MS));
        let mut bytes = Vec::new();
        Encoder::default().encode(Contract::DeadLetter, &letter, &mut bytes).unwrap();
        assert!(!holds_card_digits(&bytes), "{letter:?}");
        let card = holds_card_digits(record.payload());
        with_card += usize::from(card);
        assert!(!card || letter.payload.is_none(), "{letter:?}");
        assert_eq!(letter.payload_bytes, record.payload().len() as i64);
        // a small payload without card is kept to the byte, for whoever mends the producer
        if !card && record.payload().len() < 10_000 {
            assert_eq!(letter.payload.as_deref(), Some(record.payload()));
        }
    }
    assert!(with_card >= 12, "only {with_card} payloads had a card number");
}

#[test]
fn no_mutation_of_a_sound_payload_panics_and_each_is_an_event_or_a_refusal() {
    let seed =
        std::env::var("WEIR_TEST_SEED").map_or_else(|_| rand::random(), |s| s.parse().unwrap());
    println!("WEIR_TEST_SEED={seed}");
    // the first has a list of invoice lines that says a wrong size and reads all the same
    for seed in [3_662_500_262_566_770_810, seed] {
        mutate(seed);
    }
}

fn mutate(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut below = move |n: usize| (rng.next_u64() % n as u64) as usize;
    let decoder = decoder();
    let sound: Vec<(Kind, Vec<u8>)> =
        INPUTS.iter().map(|(kind, _)| (*kind, sound(*kind))).collect();
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    for _ in 0..20_000 {
        let (kind, payload) = &sound[below(5)];
        let mut payload = payload.clone();
        for _ in 0..=below(3) {
            let at = below(payload.len());
            match below(6) {
                0 => payload[at] ^= 1 << below(8),
                1 => payload[at] = below(256) as u8,
                2 => payload.insert(at, below(256) as u8),
                3 => payload[at] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][below(6)],
                // many bytes that all say "more follows"
                4 => payload.splice(at..at, vec![0xFF; below(12)]).for_each(drop),
                _ if payload.len() > 1 => drop(payload.remove(at)),
                _ => {}
            }
        }
        let record = record(*kind, Some(KEY.as_bytes()), &payload);
        let time = decoder.event_time(&record).unwrap();
        let end = match decoder.decode(&record) {
            Ok(decoded) => {
                assert_eq!(
                    time,
                    Some(decoded.event.event_time()),
                    "seed {seed}: {kind:?} {payload:?}"
                );
                "accepted"
            }
            Err(error) => {
                let refusal = error.refusal().unwrap();
                assert!(!refusal.message.is_empty(), "seed {seed}: {refusal:?}");
                let letter = dead_letter(&record, &refusal, Millis(0));
                let mut bytes = Vec::new();
                Encoder::default().encode(Contract::DeadLetter, &letter, &mut bytes).unwrap();
                refusal.code.name()
            }
        };
        *ends.entry(end).or_default() += 1;
    }
    for end in ["accepted", "malformed", "unknown_schema", "key_mismatch"] {
        assert!(ends.contains_key(end), "seed {seed}: none ended {end}: {ends:?}");
    }
}

/// Every record of a topic, partition after partition.
fn read_all(log: &EmbeddedLog, topic: Topic) -> Vec<Record> {
    let mut records = Vec::new();
    for partition in 0..log.partitions(topic).unwrap() {
        let end = log.end(topic, partition).unwrap();
        let mut next = 0;
        while next < end {
            let from = Position { topic, partition, offset: next };
            next = log.reader().unwrap().read(from, end, 1 << 20, &mut records).unwrap();
        }
    }
    records
}

/// Runs the program on a data folder until everything in it was decided about.
fn run(data: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["run", "--until-end", "--roles", "score", "--topology"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("topology"))
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(!holds_card_digits(&output.stderr), "{errors}");
}

#[test]
fn a_run_turns_each_refused_record_into_one_dead_letter_and_skips_duplicates() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { partitions: 2, durable: false, pages_max: None };
    let mut batch = RecordBatch::default();
    let mut append = |kind: Kind, key: Option<&[u8]>, payload: &[u8]| {
        batch.push(kind.topic(), 1, WRITTEN_MS, key.unwrap_or_default(), payload);
        if key.is_none() {
            batch.last_without_key();
        }
    };
    let mut expected: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    // the incompatible writer is no schema of the shipped topology: there it is an unknown one
    for case in all_cases().into_iter().filter(|case| case.code != Code::IncompatibleSchema) {
        append(case.kind, case.key.as_deref(), &case.payload);
        *expected.entry((case.stage.name(), case.code.name())).or_default() += 1;
    }
    for (kind, _) in INPUTS {
        let mut other = event(kind, "", "");
        match &mut other {
            Event::Transaction(event) => event.amount_minor += 1,
            Event::Dispute(event) => event.amount_minor += 1,
            Event::Chat(event) => event.text = Text::from("hallo"),
            Event::Invoice(event) => event.amount_minor += 1,
            Event::Label(event) => event.source = Text::from("network"),
        }
        // accepted, a duplicate, and another payload under the same id
        for payload in [sound(kind), sound(kind), payload(&other)] {
            append(kind, Some(KEY.as_bytes()), &payload);
        }
        let conflict = ("dedupe", Code::ConflictingDuplicate.name());
        *expected.entry(conflict).or_default() += 1;
    }
    {
        let log = EmbeddedLog::open(folder.path(), &options).unwrap();
        log.appender().unwrap().append(&batch).unwrap();
    }
    run(folder.path());

    let log = EmbeddedLog::open_read_only(folder.path()).unwrap();
    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    for record in read_all(&log, Topic::DeadLetters) {
        let letter: DeadLetter = decode_own(Contract::DeadLetter, record.payload()).unwrap();
        assert_eq!(record.position.partition, 1, "{letter:?}");
        assert!(!holds_card_digits(record.payload()), "{letter:?}");
        if letter.code == Code::ConflictingDuplicate.name() {
            let event_id = format!("e{}", 1 + event_number(&letter.topic));
            assert!(letter.message.contains(&event_id), "{}", letter.message);
        }
        *found.entry((letter.stage, letter.code)).or_default() += 1;
    }
    let expected: BTreeMap<(String, String), usize> = expected
        .into_iter()
        .map(|((stage, code), count)| ((stage.to_owned(), code.to_owned()), count))
        .collect();
    assert_eq!(found, expected);

    let decided: Vec<String> = read_all(&log, Topic::Decisions)
        .iter()
        .map(|record| {
            let decision: Decision<'_> = decode_own(Contract::Decision, record.payload()).unwrap();
            decision.event_id.to_string()
        })
        .collect();
    let decided: BTreeSet<&str> = decided.iter().map(String::as_str).collect();
    assert_eq!(decided, ["e1", "e2", "e3", "e4"].into());
}

/// Place of a topic's kind among the events of this file.
fn event_number(topic: &str) -> usize {
    let kinds = INPUTS.iter().map(|(kind, _)| kind.topic().name());
    kinds.into_iter().position(|name| name == topic).unwrap()
}

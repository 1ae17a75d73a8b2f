//! The maps of `load-tests/maps` over the real files, where they are there, against a plain
//! recount with the csv crate.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::super::{Map, Mapped, Rows};
use crate::event::{Event, InvoiceKind, Kind, Millis};

fn map(name: &str) -> Map {
    let maps = Path::new(env!("CARGO_MANIFEST_DIR")).join("load-tests/maps");
    Map::load(&maps.join(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// The file, or `None` and a word about it.
fn file(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let there = path.is_file();
    if !there {
        println!("skipped: {} is not there", path.display());
    }
    there.then_some(path)
}

/// All events, every one of them valid and its id unique.
fn replay(map_name: &str, path: &Path, rows_max: usize) -> Vec<Mapped> {
    let mut ids = HashSet::new();
    let events: Vec<Mapped> = Rows::open(path, &map(map_name))
        .unwrap_or_else(|error| panic!("{error}"))
        .take_while(|mapped| mapped.as_ref().map_or(true, |m| m.row <= rows_max as u64))
        .map(|mapped| mapped.unwrap_or_else(|error| panic!("{error}")))
        .collect();
    for mapped in &events {
        let event = &mapped.event;
        check(event);
        assert!(
            ids.insert((event.kind(), event.key(), event.event_id().to_owned())),
            "{event:?} repeats its id"
        );
    }
    assert!(events.is_sorted_by_key(|mapped| mapped.row));
    events
}

/// The rules of docs/contracts.md, written anew.
fn check(event: &Event<'_>) {
    let value = match event {
        Event::Transaction(event) => serde_json::to_value(event),
        Event::Dispute(event) => serde_json::to_value(event),
        Event::Chat(event) => serde_json::to_value(event),
        Event::Invoice(event) => serde_json::to_value(event),
        Event::Label(event) => serde_json::to_value(event),
    }
    .unwrap();
    for (name, value) in value.as_object().unwrap() {
        let Some(text) = value.as_str() else { continue };
        let limit =
            if ["text", "narrative", "note"].contains(&name.as_str()) { 65_536 } else { 1_024 };
        assert!(text.len() <= limit, "{name} of {event:?}");
    }
    for id in [event.event_id(), event.tenant(), event.account_id(), event.subject_id()] {
        let valid = !id.is_empty() && id.len() <= 256 && !id.chars().any(char::is_control);
        assert!(valid, "{event:?}");
    }
    if let Some(currency) = value.get("currency").and_then(|currency| currency.as_str()) {
        assert!(currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase()));
    }
    // 2000-01-01
    assert!(event.event_time() >= Millis(946_684_800_000), "{event:?}");
    assert!(value.to_string().len() < 1_048_576);
}

/// The rows as the csv crate reads them, by column.
fn plain(path: &Path, rows_max: usize) -> Vec<BTreeMap<String, String>> {
    let file = std::fs::File::open(path).unwrap();
    let mut reader = csv::Reader::from_reader(zstd::Decoder::new(file).unwrap());
    reader.deserialize().take(rows_max).map(Result::unwrap).collect()
}

/// Hundredths (or, at scale 3, thousandths) of a decimal, by cutting its text apart.
fn scaled(text: &str, scale: usize) -> i128 {
    let negative = text.starts_with('-');
    let (whole, fraction) =
        text.trim_start_matches('-').split_once('.').unwrap_or((text.trim_start_matches('-'), ""));
    assert!(fraction.len() <= scale, "{text}");
    let digits: i128 = format!("{whole}{fraction:0<scale$}").parse().unwrap();
    if negative { -digits } else { digits }
}

fn count(events: &[Mapped], kind: Kind) -> usize {
    let of_kind = |mapped: &&Mapped| mapped.event.kind() == kind;
    events.iter().filter(of_kind).count()
}

fn amount(event: &Event<'_>) -> i128 {
    match event {
        Event::Transaction(event) => event.amount_minor.into(),
        Event::Dispute(event) => event.amount_minor.into(),
        Event::Invoice(event) => event.amount_minor.into(),
        Event::Chat(_) | Event::Label(_) => 0,
    }
}

fn sum(events: &[Mapped], kind: Kind) -> i128 {
    let of_kind = events.iter().filter(|mapped| mapped.event.kind() == kind);
    of_kind.map(|mapped| amount(&mapped.event)).sum()
}

#[test]
fn every_map_loads() {
    let maps = Path::new(env!("CARGO_MANIFEST_DIR")).join("load-tests/maps");
    let mut loaded = 0;
    for entry in std::fs::read_dir(maps).unwrap() {
        map(entry.unwrap().file_name().to_str().unwrap());
        loaded += 1;
    }
    assert!(loaded >= 8, "{loaded} maps");
}

#[test]
fn handbook_rows_are_transactions_and_frauds_disputes_a_week_later() {
    const ROWS: usize = 200_000;
    let Some(path) = file("handbook-transactions/transactions.csv.zst") else {
        return;
    };
    let rows = plain(&path, ROWS);
    let made = replay("handbook.toml", &path, ROWS);
    assert_eq!((rows.len(), made.len()), (ROWS, ROWS));
    let total: i128 = rows.iter().map(|row| scaled(&row["TX_AMOUNT"], 2)).sum();
    assert_eq!(sum(&made, Kind::Transaction), total);
    for (mapped, row) in made.iter().zip(&rows) {
        let Event::Transaction(event) = &mapped.event else {
            panic!("{mapped:?}");
        };
        assert_eq!(event.transaction_id.as_str(), row["TRANSACTION_ID"]);
        let time = format!("{}.000Z", row["TX_DATETIME"].replace(' ', "T"));
        assert_eq!(event.event_time.to_string(), time);
    }

    let frauds: Vec<_> = rows.iter().filter(|row| row["TX_FRAUD"] == "1").collect();
    let disputes = replay("handbook-disputes.toml", &path, ROWS);
    assert_eq!((count(&disputes, Kind::Dispute), disputes.len()), (frauds.len(), frauds.len()));
    assert!(frauds.len() > 500);
    let total: i128 = frauds.iter().map(|row| scaled(&row["TX_AMOUNT"], 2)).sum();
    assert_eq!(sum(&disputes, Kind::Dispute), total);
    for mapped in &disputes {
        let Event::Dispute(dispute) = &mapped.event else {
            panic!("{mapped:?}");
        };
        let Event::Transaction(payment) = &made[mapped.row as usize - 1].event else {
            panic!("{mapped:?}");
        };
        assert_eq!(dispute.transaction_id, payment.transaction_id);
        assert_eq!(dispute.account_id, payment.account_id);
        assert_eq!(dispute.event_time.0, payment.event_time.0 + 7 * 86_400_000);
        assert_eq!(dispute.transaction_time, Some(payment.event_time));
    }
}

#[test]
fn cloudwalk_rows_are_transactions_and_chargebacks_disputes() {
    let Some(path) = file("cloudwalk-chargebacks/transactions.csv.zst") else {
        return;
    };
    let rows = plain(&path, usize::MAX);
    let made = replay("cloudwalk.toml", &path, usize::MAX);
    assert_eq!(count(&made, Kind::Transaction), 2_154);
    assert_eq!(count(&made, Kind::Dispute), 211);
    assert_eq!(made.len(), 2_154 + 211);
    let cents = |row: &BTreeMap<String, String>| scaled(&row["transaction_amount"], 2);
    let all: i128 = rows.iter().map(cents).sum();
    let charged_back = rows.iter().filter(|row| row["has_cbk"] == "1");
    assert_eq!(sum(&made, Kind::Transaction), all);
    assert_eq!(sum(&made, Kind::Dispute), charged_back.map(cents).sum());
    let devices = made.iter().filter(
        |mapped| matches!(&mapped.event, Event::Transaction(event) if event.device_id.is_some()),
    );
    let recorded = rows.iter().filter(|row| !row["device_id"].is_empty());
    assert_eq!(devices.count(), recorded.count());
}

#[test]
fn online_retail_lines_are_invoices_with_all_their_lines() {
    let Some(path) = file("online-retail/invoice-lines.csv.zst") else {
        return;
    };
    let rows = plain(&path, usize::MAX);
    let made = replay("online-retail.toml", &path, usize::MAX);
    assert_eq!(made.len(), 19_121);
    // thousandths of a pound by invoice
    let mut expected: BTreeMap<&str, (i128, usize)> = BTreeMap::new();
    for row in &rows {
        let quantity: i128 = row["Quantity"].parse().unwrap();
        let entry = expected.entry(&row["InvoiceNo"]).or_default();
        entry.0 += quantity * scaled(&row["UnitPrice"], 3);
        entry.1 += 1;
    }
    let (mut lines, mut inexact) = (0, 0);
    for mapped in &made {
        let Event::Invoice(event) = &mapped.event else {
            panic!("{mapped:?}");
        };
        let (thousandths, count) = expected[event.number.as_str()];
        inexact += usize::from(thousandths % 10 != 0);
        let pence = thousandths / 10 + i128::from(thousandths % 10 >= 5);
        assert_eq!(i128::from(event.amount_minor), pence, "{}", event.number);
        assert_eq!(event.lines.len(), count, "{}", event.number);
        let by_lines: i64 = event.lines.iter().map(|line| line.amount_minor).sum();
        assert_eq!(by_lines, event.amount_minor, "{}", event.number);
        let credit = event.number.starts_with('C');
        assert_eq!(event.kind == InvoiceKind::CreditNote, credit);
        lines += count;
    }
    assert_eq!((lines, rows.len()), (379_900, 379_900));
    assert_eq!(inexact, 4);
}

#[test]
fn multidogo_turns_are_chats_in_order() {
    for (name, expected) in [("train", 15_213), ("dev", 2_167)] {
        let Some(path) = file(&format!("multidogo-finance/{name}.csv.zst")) else {
            return;
        };
        let rows = plain(&path, usize::MAX);
        let made = replay("multidogo.toml", &path, usize::MAX);
        assert_eq!((made.len(), count(&made, Kind::Chat)), (expected, expected));
        for (mapped, row) in made.iter().zip(&rows) {
            let Event::Chat(event) = &mapped.event else {
                panic!("{mapped:?}");
            };
            assert_eq!(event.text.as_str(), row["utterance"]);
        }
        assert!(made.is_sorted_by_key(|mapped| mapped.event.event_time()));
    }
}

#[test]
fn cfpb_complaints_are_disputes() {
    let Some(path) = file("cfpb-complaints/complaints-2015q1.csv.zst") else {
        return;
    };
    let made = replay("cfpb.toml", &path, usize::MAX);
    assert_eq!((made.len(), count(&made, Kind::Dispute)), (19_408, 19_408));
    for (mapped, row) in made.iter().zip(plain(&path, usize::MAX)) {
        let Event::Dispute(event) = &mapped.event else {
            panic!("{mapped:?}");
        };
        assert_eq!(event.dispute_id.as_str(), row["complaint_id"]);
        let opened = format!("{}T00:00:00.000Z", row["date_received"]);
        assert_eq!(event.opened_at.to_string(), opened);
    }
}

#[test]
fn tabformer_and_sparkov_rows_are_transactions() {
    for (name, map, column, expected) in [
        ("tabformer-user0/transactions", "tabformer.toml", "amount_usd", 13_946),
        ("sparkov-head/train-head", "sparkov.toml", "amt", 5_039),
    ] {
        let Some(path) = file(&format!("{name}.csv.zst")) else {
            return;
        };
        let rows = plain(&path, usize::MAX);
        let made = replay(map, &path, usize::MAX);
        assert_eq!((made.len(), count(&made, Kind::Transaction)), (expected, expected));
        let total: i128 = rows.iter().map(|row| scaled(&row[column], 2)).sum();
        assert_eq!(sum(&made, Kind::Transaction), total);
    }
}

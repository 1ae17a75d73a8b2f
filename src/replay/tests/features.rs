//! What a map can say.

use proptest::prelude::*;

use super::{Rows, events, input, map, open, outcomes, transaction};
use crate::event::{Channel, Date, Event, Invoice, InvoiceKind, Kind, Millis, Transaction};

fn transactions(map_text: &str, data: &str) -> Vec<Transaction<'static>> {
    let transaction = |event| match event {
        Event::Transaction(transaction) => transaction,
        other => panic!("a transaction, not {other:?}"),
    };
    events(map_text, data).into_iter().map(|mapped| transaction(mapped.event)).collect()
}

#[test]
fn the_maps_of_the_module_doc_load_and_make_events() {
    let doc = include_str!("../mod.rs");
    let blocks: Vec<String> = doc
        .split("//! ```toml\n")
        .skip(1)
        .map(|block| block.split("//! ```\n").next().unwrap())
        .map(|block| block.replace("//! ", "").replace("//!\n", "\n"))
        .collect();
    assert_eq!(blocks.len(), 2);
    let payments = "id,state,payer,way,shop,at,paid,latitude\n\
        1,done,p1,till 4,,2018-04-01 00:00:31,57.16,47.5\n\
        2,test,p1,web,s,2018-04-01 00:00:32,1.00,47.5\n\
        3,open,p1,web,s,2018-04-01 00:00:33,1.00,47.5\n";
    let mut rows = open(&blocks[0], payments).unwrap();
    let made: Vec<_> = rows.by_ref().map(Result::unwrap).collect();
    let Event::Transaction(payment) = &made[0].event else {
        panic!("a transaction");
    };
    assert_eq!(made.len(), 1);
    assert_eq!(payment.event_id.as_str(), "pay-1");
    assert_eq!(payment.merchant_id.as_str(), "unknown");
    assert_eq!(payment.channel, Channel::Pos);
    assert_eq!(payment.amount_minor, 5716);
    assert_eq!(payment.event_time.to_string(), "2018-04-07T22:00:31.000Z");
    assert_eq!((payment.lat, &payment.device_id), (Some(47.5), &None));
    let skipped: Vec<_> = rows.skipped().collect();
    assert_eq!(skipped[1], ("test payments", 1));
    assert_eq!((skipped[0].1, rows.rows()), (1, 3));

    let lines = "invoice,buyer,date,what,quantity,price\n\
        7,b,31.01.2026,pen,3,0.335\n7,b,31.01.2026,,1,2\n8,b,01.02.2026,ink,1,1\n";
    let made = events(&blocks[1], lines);
    let Event::Invoice(invoice) = &made[0].event else {
        panic!("an invoice");
    };
    // 1.005 + 2 rounded at the end, each line on its own
    assert_eq!((invoice.amount_minor, invoice.lines.len()), (301, 2));
    assert_eq!(invoice.lines[0].amount_minor, 101);
    assert_eq!(invoice.issued_on.to_string(), "2026-01-31");
    assert_eq!((made[0].row, made[1].row), (2, 3));
}

#[test]
fn an_empty_column_is_absent_and_a_default_stands_in() {
    let text = transaction(
        "",
        "card_id = \"c-{card}\"\nmcc = { column = \"mcc\", default = \"0000\" }\n\
         amount_minor = { column = \"paid\", scale = 2, default = 7 }\nlat = \"{lat}\"",
    );
    let made = transactions(&text, "card,mcc,paid,lat\n,,,\nx,5411,-1.5,-0.25\n");
    assert_eq!((&made[0].card_id, made[0].lat), (&None, None));
    assert_eq!(made[0].mcc.as_deref(), Some("0000"));
    assert_eq!((made[0].amount_minor, made[1].amount_minor), (7, -150));
    assert_eq!(made[1].card_id.as_deref(), Some("c-x"));
    assert_eq!((made[1].mcc.as_deref(), made[1].lat), (Some("5411"), Some(-0.25)));
}

#[test]
fn values_are_mapped_exactly_then_by_the_longest_beginning_then_otherwise() {
    let text = transaction(
        "",
        "channel = { column = \"way\", map = { web = \"ECOM\", \"w*\" = \"MOTO\", \"we*\" = \"ATM\" }, \
         otherwise = \"OTHER\" }\nentry_mode = { column = \"way\", map = { web = \"\" }, otherwise = \"x\" }\n\
         recurring = { column = \"again\", map = { y = \"true\" }, otherwise = \"false\" }",
    );
    let made = transactions(&text, "way,again\nweb,y\nwest,n\nwire,n\nz,n\n");
    let channels: Vec<Channel> = made.iter().map(|made| made.channel).collect();
    assert_eq!(channels, [Channel::Ecom, Channel::Atm, Channel::Moto, Channel::Other]);
    assert_eq!((&made[0].entry_mode, made[0].recurring), (&None, true));
    assert_eq!((made[1].entry_mode.as_deref(), made[1].recurring), (Some("x"), false));
}

#[test]
fn times_are_moved_or_made_up() {
    let text = transaction("", "event_time = { start = 2026-01-05T09:00:00Z, step = \"30s\" }");
    let made = transactions(&text, "a\n1\n2\n3\n");
    let times: Vec<String> = made.iter().map(|made| made.event_time.to_string()).collect();
    assert_eq!(times[0], "2026-01-05T09:00:00.000Z");
    assert_eq!(times[2], "2026-01-05T09:01:00.000Z");

    let text =
        transaction("", "event_time = { column = \"t\", format = \"unix\", plus = \"-1m\" }");
    assert_eq!(transactions(&text, "t\n120\n")[0].event_time, Millis(60_000));
}

#[test]
fn a_row_gives_zero_one_or_several_events_in_the_order_of_the_map() {
    let both = transaction("", "event_id = \"a{$row}\"\n")
        + &transaction("", "event_id = \"b{$row}\"\n").replace(
            "kind = \"transaction\"",
            "kind = \"transaction\"\nwhen = { column = \"x\", prefix = \"y\" }",
        );
    let made = events(&both, "x\nyes\nno\n");
    let ids: Vec<(&str, u64)> =
        made.iter().map(|mapped| (mapped.event.event_id(), mapped.row)).collect();
    assert_eq!(ids, [("a1", 1), ("b1", 1), ("a2", 2)]);
}

#[test]
fn conditions_test_one_column_each_and_must_all_hold() {
    for (when, expected) in [
        ("{ column = \"x\", equals = \"ab\" }", "1"),
        ("{ column = \"x\", one_of = [\"ab\", \"b\"] }", "12"),
        ("{ column = \"x\", prefix = \"a\" }", "14"),
        ("{ column = \"x\", not_empty = true }", "124"),
        ("{ column = \"x\", not_empty = true, not = true }", "3"),
        ("{ column = \"x\", equals = \"ab\", not = true }", "234"),
        ("[{ column = \"x\", prefix = \"a\" }, { column = \"y\", equals = \"2\" }]", "4"),
    ] {
        let text = transaction("", "")
            .replace("kind = \"transaction\"", &format!("kind = \"transaction\"\nwhen = {when}"));
        let ids: String = events(&text, "x,y\nab,1\nb,1\n,1\nac,2\n")
            .iter()
            .map(|mapped| mapped.event.event_id().to_owned())
            .collect();
        assert_eq!(ids, expected, "{when}");
    }
}

const INVOICES: &str = r#"
[group]
by = "no"
ahead = AHEAD
[[event]]
kind = "invoice"
[event.fields]
event_id = "{no}"
event_time = { column = "at", format = "unix" }
account_id = "a"
invoice_id = "{no}"
kind = { column = "no", map = { "C*" = "CREDIT_NOTE" }, otherwise = "INVOICE" }
number = "{no}"
issued_on = "2026-01-31"
due_on = { column = "at", format = "unix", plus = "30d" }
amount_minor = { product = ["n", "price"], scale = 2, sum = true }
currency = "EUR"
[event.fields.lines]
description = { column = "what", default = "" }
quantity = "{n}"
unit_price_minor = { column = "price", scale = 2 }
amount_minor = { product = ["n", "price"], scale = 2 }
"#;

fn grouped(ahead: u64) -> String {
    INVOICES.replace("AHEAD", &ahead.to_string())
}

fn invoices(ahead: u64, data: &str) -> Vec<(Invoice<'static>, u64)> {
    let invoice = |event| match event {
        Event::Invoice(invoice) => invoice,
        other => panic!("an invoice, not {other:?}"),
    };
    events(&grouped(ahead), data)
        .into_iter()
        .map(|mapped| (invoice(mapped.event), mapped.row))
        .collect()
}

#[test]
fn rows_are_grouped_across_others_within_the_look_ahead() {
    let data = "no,at,what,n,price\n\
        7,1,pen,2,0.50\nC8,2,ink,-1,3\n7,3,pen,2,0.50\nC8,4,,-2,1.25\n9,5,cap,1,0.01\n";
    let made = invoices(1, data);
    let summary: Vec<_> = made
        .iter()
        .map(|(made, row)| (made.event_id.as_str(), made.amount_minor, made.lines.len(), *row))
        .collect();
    // in the order of their last rows, and repeated lines are kept
    assert_eq!(summary, [("7", 200, 2, 3), ("C8", -550, 2, 4), ("9", 1, 1, 5)]);
    assert_eq!(made[1].0.kind, InvoiceKind::CreditNote);
    assert_eq!(made[0].0.event_time, Millis(1000));
    assert_eq!((made[0].0.issued_on, made[0].0.due_on), (Date(20_484), Some(Date(30))));
    assert_eq!((made[1].0.lines[1].quantity, made[1].0.lines[1].unit_price_minor), (-2.0, 125));
}

#[test]
fn a_row_of_a_group_that_left_is_refused_and_ends_the_rows() {
    let data = "no,at,what,n,price\n7,1,a,1,1\n8,1,a,1,1\n7,1,a,1,1\n8,1,a,1,1\n9,1,a,1,1\n";
    let made = outcomes(open(&grouped(0), data).unwrap());
    assert_eq!(made[0], Ok("7".to_owned()));
    let error = made.last().unwrap().clone().unwrap_err();
    assert_eq!(
        error,
        "data.csv line 4 (row 3): column \"no\" \"7\" comes again after more than 0 rows of \
         others, expected its rows together; raise group.ahead in the map"
    );
    assert_eq!(made.len(), 2, "{made:?}");
}

proptest! {
    /// Conservation: whatever the order of the rows, every one of them is in exactly one invoice,
    /// or the rows end with an error that names one; and with a look-ahead over all rows none does.
    #[test]
    fn every_row_is_in_exactly_one_group(
        keys in prop::collection::vec(0_u8..5, 1..60),
        ahead in 0_u64..8,
    ) {
        let mut data = "no,at,what,n,price\n".to_owned();
        for (at, key) in keys.iter().enumerate() {
            data.push_str(&format!("k{key},1,row{at},1,{at}\n"));
        }
        let whole = invoices(100, &data);
        let lines: usize = whole.iter().map(|(made, _)| made.lines.len()).sum();
        prop_assert_eq!(lines, keys.len());
        for (made, _) in &whole {
            let sum: i64 = made.lines.iter().map(|line| line.amount_minor).sum();
            prop_assert_eq!(made.amount_minor, sum);
        }

        // the naive rule: a group breaks where more than `ahead` rows stand between two of its own
        let mut last = std::collections::HashMap::new();
        let breaks = keys.iter().enumerate().any(|(at, key)| {
            let before = last.insert(key, at);
            before.is_some_and(|before| (at - before - 1) as u64 > ahead)
        });
        let made: Vec<_> = open(&grouped(ahead), data.as_str()).unwrap().collect();
        prop_assert_eq!(made.iter().any(Result::is_err), breaks);
        let rows: Vec<u64> = made.iter().flatten().map(|mapped| mapped.row).collect();
        prop_assert!(rows.is_sorted(), "{:?}", rows);
        if !breaks {
            prop_assert_eq!(made.len(), whole.len());
        }
    }
}

#[test]
fn json_lines_are_rows_whose_columns_are_keys() {
    let text = transaction(
        "optional = [\"mail\"]",
        "account_id = \"{who}\"\namount_minor = { column = \"paid\", scale = 2 }\n\
         email_hash = \"{mail}\"\nrecurring = \"{again}\"\ncard_id = \"{card}\"",
    );
    let data = "\u{feff}\n{\"who\":\"a\\nb\",\"paid\":57.10,\"again\":true,\"card\":null,\"more\":[1]}\r\n\n\
        {\"who\":12345678901234567890,\"paid\":\"0.07\",\"again\":false,\"card\":\"c\",\"mail\":\"m\"}";
    let made = transactions(&text, data);
    assert_eq!((made[0].account_id.as_str(), made[0].amount_minor), ("a\nb", 5710));
    assert_eq!((&made[0].card_id, &made[0].email_hash, made[0].recurring), (&None, &None, true));
    assert_eq!(made[1].account_id.as_str(), "12345678901234567890");
    assert_eq!((made[1].amount_minor, made[1].email_hash.as_deref()), (7, Some("m")));
}

#[test]
fn csv_follows_rfc_4180() {
    let text = transaction("", "account_id = \"{a b}\"\nmcc = \"{c}\"");
    let data = "\u{feff}\"a b\",c\r\n\"x, \"\"y\"\"\nz\",1\r\n2,\"\"\r\n";
    let made = transactions(&text, data);
    assert_eq!(made[0].account_id.as_str(), "x, \"y\"\nz");
    assert_eq!((made[1].account_id.as_str(), &made[1].mcc), ("2", &None));
    let semicolons = transaction("delimiter = \";\"", "account_id = \"{a}\"");
    assert_eq!(transactions(&semicolons, "a;b\n1,5;2\n")[0].account_id.as_str(), "1,5");
}

#[test]
fn compressed_content_is_told_by_its_first_bytes_and_progress_reaches_the_end() {
    let text = transaction("", "account_id = \"{a}\"");
    // hashes, so that the packed file is many buffers long
    let row = |row: u32| format!("{:x}\n", xxhash_rust::xxh3::xxh3_64(&row.to_le_bytes()));
    let rows: String = (0..60_000).map(row).collect();
    let mut packed = zstd::encode_all(format!("a\n{rows}").as_bytes(), 3).unwrap();
    packed.extend(zstd::encode_all(&b"last\n"[..], 3).unwrap());
    let total = packed.len() as u64;
    let made: Vec<_> = open(&text, packed).unwrap().map(Result::unwrap).collect();
    assert_eq!(made.len(), 60_001);
    assert_eq!(made[60_000].event.account_id(), "last");
    assert!(made.is_sorted_by_key(|mapped| mapped.bytes_read));
    assert!(made[0].bytes_read > 0 && made[0].bytes_read < total / 2);
    assert_eq!(made[60_000].bytes_read, total);
}

#[test]
fn events_in_weirs_own_json_form_need_no_map() {
    let data = r#"{"kind":"transaction","event_id":"e1","event_time":"2026-01-05T09:00:00Z","account_id":"a","transaction_id":"t","merchant_id":"m","amount_minor":5,"currency":"EUR","channel":"POS","status":"FAILED"}

{"kind":"label","event_id":"e2","event_time":1522540831000,"account_id":"a","subject_kind":"CHAT","subject_id":"s","verdict":"FRAUD","source":"analyst"}
{"kind":"invoice","invoice_kind":"CREDIT_NOTE","event_id":"e3","event_time":0,"account_id":"a","invoice_id":"i","number":"1","issued_on":"2026-01-31","amount_minor":-1,"currency":"EUR","lines":[{"description":"d","quantity":1.5,"unit_price_minor":1,"amount_minor":2}]}
"#;
    let rows = Rows::events("data.jsonl".to_owned(), input(data)).unwrap();
    let made: Vec<_> = rows.map(Result::unwrap).collect();
    let kinds: Vec<(Kind, u64)> =
        made.iter().map(|mapped| (mapped.event.kind(), mapped.row)).collect();
    assert_eq!(kinds, [(Kind::Transaction, 1), (Kind::Label, 2), (Kind::Invoice, 3)]);
    assert_eq!(made[0].event.tenant(), "default");
    assert_eq!(made[1].event.event_time(), Millis(1_522_540_831_000));
    let Event::Invoice(invoice) = &made[2].event else {
        panic!("an invoice");
    };
    assert_eq!((invoice.kind, invoice.lines[0].quantity), (InvoiceKind::CreditNote, 1.5));
    for nothing in ["", "\n \n"] {
        let empty = Rows::events("data.jsonl".to_owned(), input(nothing)).unwrap();
        assert_eq!(outcomes(empty), []);
    }
}

#[test]
fn maps_are_shared_between_files() {
    let shared = map(&transaction("", "account_id = \"{a}\""));
    for data in ["a\n1\n", "b,a\n2,1\n"] {
        let rows = Rows::mapped("data.csv".to_owned(), input(data), &shared).unwrap();
        let ids: Vec<String> =
            rows.map(|mapped| mapped.unwrap().event.account_id().to_owned()).collect();
        assert_eq!(ids, ["1"]);
    }
}

#[test]
fn rows_may_be_read_on_another_thread() {
    fn moves<T: Send>(_: &T) {}
    moves(&open(&transaction("", ""), "a\n").unwrap());
    moves(&map(&transaction("", "")));
}

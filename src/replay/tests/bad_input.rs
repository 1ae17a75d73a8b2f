//! Files that are not what they should be: every error names its row, and what follows is right.

use std::io::Cursor;

use super::super::csv_rows::ROW_BYTES_MAX;
use super::{Input, Rows, input, open, outcomes, transaction};

const AMOUNT: &str = "amount_minor = { column = \"paid\", scale = 2 }";

fn ok(id: &str) -> Result<String, String> {
    Ok(id.to_owned())
}

fn err(message: &str) -> Result<String, String> {
    Err(message.to_owned())
}

/// What an opening failed on.
fn refused(rows: Result<Rows, super::ReplayError>) -> String {
    match rows {
        Ok(_) => panic!("this file is wrong"),
        Err(error) => {
            assert!(error.is_fatal());
            error.to_string()
        }
    }
}

#[test]
fn a_bad_row_is_named_and_the_next_one_follows() {
    let text = transaction(
        "",
        &format!("{AMOUNT}\nevent_time = {{ column = \"day\", format = \"%Y-%m-%d\" }}"),
    );
    let data = "paid,day\n1.00,2026-01-31\n\n\"12,5\",2026-01-31\n1\n1.005,2026-01-31\n\
        ,2026-01-31\n1,\"2026-\n02-30\"\n1,31.01.2026\n99999999999999999999,2026-01-31\n\
        1,2026-01-31,3\n2,2026-02-01";
    assert_eq!(
        outcomes(open(&text, data).unwrap()),
        [
            ok("1"),
            err("data.csv line 4 (row 2): amount_minor: column \"paid\" is \"12,5\", expected a \
                 decimal such as 57.16"),
            err("data.csv line 5 (row 3): has 1 fields, expected 2"),
            err(
                "data.csv line 6 (row 4): amount_minor: column \"paid\" is \"1.005\", expected at \
                 most 2 digits after the point, or round in the map"
            ),
            err(
                "data.csv line 7 (row 5): amount_minor: column \"paid\" is empty, expected a whole \
                 number; a default in the map would stand in"
            ),
            err(
                "data.csv line 8 (row 6): event_time: column \"day\" is \"2026-\\n02-30\", expected \
                 a time written as %Y-%m-%d"
            ),
            err(
                "data.csv line 10 (row 7): event_time: column \"day\" is \"31.01.2026\", expected a \
                 time written as %Y-%m-%d"
            ),
            err("data.csv line 11 (row 8): amount_minor: column \"paid\" is \
                 \"99999999999999999999\", expected minor units that fit into 64 bits"),
            err("data.csv line 12 (row 9): has 3 fields, expected 2"),
            ok("10"),
        ]
    );
}

#[test]
fn a_bad_value_is_named_with_what_its_field_takes() {
    let text = transaction(
        "",
        "channel = \"{way}\"\nlat = \"{lat}\"\n\
         entry_mode = { column = \"way\", map = { POS = \"chip\" } }",
    );
    assert_eq!(
        outcomes(open(&text, "way,lat\nPOS,inf\nweb,1\nPOS,1\n").unwrap()),
        [
            err(
                "data.csv line 2 (row 1): lat: column \"lat\" is \"inf\", expected a finite number"
            ),
            err(
                "data.csv line 3 (row 2): channel: column \"way\" is \"web\", expected one of POS, \
                 ECOM, ATM, MOTO, TRANSFER, OTHER"
            ),
            ok("3"),
        ]
    );
    let text = transaction("", "entry_mode = { text = \"{a}-{b}\", map = { x = \"y\" } }");
    assert_eq!(
        outcomes(open(&text, "a,b\n1,2\n").unwrap()),
        [err(
            "data.csv line 2 (row 1): entry_mode: text \"{a}-{b}\" is \"1-2\", expected a value \
             its map names (otherwise would stand for the rest)"
        )]
    );
}

#[test]
fn an_unknown_column_is_refused_before_the_first_row() {
    let text = transaction("", "amount_minor = { column = \"TX_AMMOUNT\", scale = 2 }");
    assert_eq!(
        refused(open(&text, "TX_AMOUNT,TX_FRAUD\n1,0\n")),
        "data.csv: has no column \"TX_AMMOUNT\", which test.toml line 5 \
         (event[1].fields.amount_minor.column) names, did you mean \"TX_AMOUNT\"?"
    );
    let twice = transaction("", "account_id = \"{a}\"");
    assert_eq!(
        refused(open(&twice, "a,b,a\n1,2,3\n")),
        "data.csv: has 2 columns \"a\", expected one, as test.toml line 5 \
         (event[1].fields.account_id) names it"
    );
    assert_eq!(refused(open(&twice, "")), "data.csv: is empty, expected a header row");
}

#[test]
fn a_truncated_zstd_file_gives_its_rows_and_says_where_it_ends() {
    let rows: String = (0..50_000).map(|row| format!("{row}\n")).collect();
    let packed = zstd::encode_all(format!("a\n{rows}").as_bytes(), 1).unwrap();
    let text = transaction("", "account_id = \"{a}\"");
    for cut in [packed.len() / 2, packed.len() - 1] {
        let made = outcomes(open(&text, &packed[..cut]).unwrap());
        let (last, before) = made.split_last().unwrap();
        let ids = before.iter().map(|id| id.clone().unwrap());
        assert!(ids.eq((1..=before.len()).map(|row| row.to_string())));
        assert!(before.len() < 50_000);
        let message = last.clone().unwrap_err();
        let end =
            format!("is truncated: its zstd data ends in the middle of a frame after {cut} bytes");
        assert!(message.ends_with(&end), "{message}");
    }
    let header_only = Input::new(Box::new(Cursor::new(packed[..7].to_vec())), None);
    let message = header_only.err().map(|problem| problem.to_string());
    assert!(message.is_some_and(|message| message.starts_with("is truncated")));
}

#[test]
fn other_compressions_are_named() {
    for (magic, name) in [
        (&b"\x1F\x8B\x08\x00rest"[..], "gzip"),
        (b"BZh91AY", "bzip2"),
        (b"\xFD7zXZ\x00", "xz"),
        (b"PK\x03\x04", "zip"),
    ] {
        let problem = Input::new(Box::new(Cursor::new(magic.to_vec())), None).err();
        assert_eq!(
            problem.map(|problem| problem.to_string()),
            Some(format!("is compressed with {name}, expected plain text or zstd"))
        );
    }
    // damage behind a good beginning
    let mut packed = zstd::encode_all(&[b'x'; 100_000][..], 1).unwrap();
    let middle = packed.len() / 2;
    packed[middle..].fill(0xFF);
    let problem = Input::new(Box::new(Cursor::new(packed)), None).map(|input| {
        let rows = Rows::mapped("data.csv".to_owned(), input, &super::map(&transaction("", "")));
        rows.map(outcomes)
    });
    let failed = match problem {
        Err(_) | Ok(Err(_)) => true,
        Ok(Ok(made)) => made.iter().any(Result::is_err),
    };
    assert!(failed);
}

#[test]
fn bytes_that_are_not_utf8_are_named_where_a_map_reads_them() {
    let text = transaction("", "account_id = \"{a}\"");
    let data = b"a,b\n1,\xFF\nx\xE9,2\n3,3\n";
    assert_eq!(
        outcomes(open(&text, &data[..]).unwrap()),
        [
            ok("1"),
            err("data.csv line 3 (row 2): column \"a\" is not UTF-8 from byte 1 on"),
            ok("3"),
        ]
    );
    let json = b"{\"a\":\"1\"}\n{\"a\":\"\xFF\"}\n{\"a\":\"3\"}\n";
    assert_eq!(
        outcomes(open(&text, &json[..]).unwrap()),
        [ok("1"), err("data.csv line 2 (row 2): the line is not UTF-8 from byte 6 on"), ok("3"),]
    );
    assert_eq!(
        refused(open(&text, &b"a,\xFF\n"[..])),
        "data.csv: header is not UTF-8 from byte 0 on"
    );
}

#[test]
fn a_line_of_five_megabytes_is_refused() {
    let text = transaction("", "account_id = \"{a}\"");
    let long = "x".repeat(5_000_000);
    assert!(long.len() > ROW_BYTES_MAX);
    // the end of a CSV row that long cannot be trusted to be one
    assert_eq!(
        outcomes(open(&text, format!("a\n1\n{long}\n3\n")).unwrap()),
        [
            ok("1"),
            err("data.csv line 3 (row 2): is over 4194304 bytes long; is a quote left open?"),
        ]
    );
    assert_eq!(
        outcomes(open(&text, format!("{{\"a\":1}}\n{{\"a\":\"{long}\"}}\n{{\"a\":3}}\n")).unwrap()),
        [ok("1"), err("data.csv line 2 (row 2): is over 4194304 bytes long"), ok("3"),]
    );
}

#[test]
fn a_quote_left_open_does_not_swallow_rows_unnoticed() {
    let text = transaction("", "account_id = \"{a}\"");
    for end in ["", "\n"] {
        assert_eq!(
            outcomes(open(&text, format!("b,a\n1,1\n2,\"2\n3,3\n4,4{end}")).unwrap()),
            [
                ok("1"),
                err("data.csv line 3 (row 2): has a quote that is left open up to the end of the \
                     file"),
            ]
        );
    }
    for closed in ["b,a\n1,\"1\n\"\n", "b,a\n1,\"1\n\"", "b,a\n1,\"1\"\"\n\"\"\""] {
        assert_eq!(outcomes(open(&text, closed).unwrap()), [ok("1")], "{closed}");
    }
}

#[test]
fn lines_that_are_no_object_or_lack_a_column_are_named() {
    let text = transaction("", "account_id = \"{user_id}\"");
    let data =
        "{\"user_id\":1}\n[1]\n{\"user_id\":\n{\"user-id\":1}\n{\"user_id\":{}}\n\n{\"user_id\":6}";
    assert_eq!(
        outcomes(open(&text, data).unwrap()),
        [
            ok("1"),
            err(
                "data.csv line 2 (row 2): is not a JSON object: invalid type: sequence, expected a \
                 map at column 0"
            ),
            err(
                "data.csv line 3 (row 3): is not a JSON object: EOF while parsing a value at column \
                 11"
            ),
            err("data.csv line 4 (row 4): has no column \"user_id\", which test.toml line 5 \
                 (event[1].fields.account_id) names, did you mean \"user-id\"?"),
            err(
                "data.csv line 5 (row 5): is not a JSON object: column \"user_id\" holds an object \
                 or array, expected text or a number"
            ),
            ok("6"),
        ]
    );
}

#[test]
fn events_in_json_name_field_value_and_expectation() {
    let good = "\"event_id\":\"e\",\"event_time\":1,\"account_id\":\"a\",\"conversation_id\":\"c\",\
        \"message_id\":\"m\",\"author\":\"BOT\",\"text\":\"t\"";
    let line = |from: &str, to: &str| format!("{{\"kind\":\"chat\",{}}}", good.replace(from, to));
    for (line, expected) in [
        (
            line("\"author\"", "\"autor\""),
            "data.jsonl line 1 (row 1): unknown field \"autor\" of a chat, did you mean \"author\"?",
        ),
        (
            line("\"event_time\":1", "\"event_time\":\"yesterday\""),
            "data.jsonl line 1 (row 1): event_time is \"yesterday\": invalid value: string \"yesterday\", expected a \
             time: milliseconds since 1970, or RFC 3339 such as 2026-01-31T10:00:00Z",
        ),
        (
            line("\"text\":\"t\"", "\"text\":5"),
            "data.jsonl line 1 (row 1): text is 5: invalid type: integer `5`, expected a string",
        ),
        (line(",\"text\":\"t\"", ""), "data.jsonl line 1 (row 1): text is absent: it is required"),
        (
            line("\"BOT\"", "\"ROBOT\""),
            "data.jsonl line 1 (row 1): author is \"ROBOT\": unknown variant `ROBOT`, expected one of `CUSTOMER`, \
             `BOT`, `AGENT`",
        ),
        (
            line("", "").replace("\"chat\"", "\"chats\""),
            "data.jsonl line 1 (row 1): kind is \"chats\", expected \"transaction\", \"dispute\", \"chat\", \"invoice\" or \"label\"",
        ),
        (
            format!("{{{good}}}"),
            "data.jsonl line 1 (row 1): kind is absent, expected \"transaction\", \"dispute\", \"chat\", \"invoice\" or \"label\"",
        ),
    ] {
        let rows = Rows::events("data.jsonl".to_owned(), input(line.clone())).unwrap();
        assert_eq!(outcomes(rows), [err(expected)], "{line}");
    }
    assert_eq!(
        refused(Rows::events("data.csv".to_owned(), input("a,b\n"))),
        "data.csv: does not begin with \"{\", expected JSON Lines; a CSV file needs a map"
    );
    let missing = Rows::open_events(std::path::Path::new("/nowhere/data.jsonl"));
    assert!(refused(missing).starts_with("/nowhere/data.jsonl: cannot be read: "));
}

#[test]
fn an_unreadable_row_ends_grouped_rows_and_a_bad_value_does_not() {
    let text = "[group]\nby = \"no\"\n".to_owned()
        + &transaction("", &format!("{AMOUNT}\nevent_id = \"{{no}}\""));
    let bad_value = "no,paid\n1,1\n2,x\n3,3\n";
    let made = outcomes(open(&text, bad_value).unwrap());
    assert_eq!(made.len(), 3);
    assert_eq!((&made[0], &made[2]), (&ok("1"), &ok("3")));
    let made = outcomes(open(&text, "no,paid\n1,1\n2\n3,3\n").unwrap());
    assert_eq!(made, [err("data.csv line 3 (row 2): has 1 fields, expected 2")]);
    let made = outcomes(open(&text, "no,paid\n1,1\n,2\n").unwrap());
    assert!(
        made.last()
            .unwrap()
            .clone()
            .unwrap_err()
            .contains("group: column \"no\" is \"\", expected text")
    );
    let large = "y".repeat(1_000_000);
    let rows: String = (0..5).map(|_| format!("1,{large}\n")).collect();
    let made = outcomes(open(&text, format!("no,paid\n{rows}")).unwrap());
    assert_eq!(
        made,
        [err(
            "data.csv line 6 (row 5): column \"no\" \"1\" has over 4194304 bytes of rows, expected \
              a group that makes one event"
        )]
    );
}

//! What is wrong with a map, to the letter of the message.

use super::super::Map;
use super::transaction;

fn error(text: &str) -> String {
    match Map::parse("test.toml", text) {
        Ok(_) => panic!("this map is wrong:\n{text}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_mistake_names_line_key_value_and_what_was_expected() {
    let fields: &[(&str, &str)] = &[
        ("acount_id = \"a\"", "event[1].fields.acount_id is unknown, did you mean \"account_id\"?"),
        (
            "channel = \"POSS\"",
            "event[1].fields.channel is \"POSS\", expected one of POS, ECOM, ATM, MOTO, TRANSFER, \
             OTHER, did you mean \"POS\"?",
        ),
        (
            "channel = { column = \"c\", map = { a = \"web\" } }",
            "event[1].fields.channel.map.a is \"web\", expected one of POS, ECOM, ATM, MOTO, \
             TRANSFER, OTHER",
        ),
        (
            "channel = { column = \"c\", otherwise = \"POS\" }",
            "event[1].fields.channel.otherwise stands without a map",
        ),
        (
            "mcc = { colum = \"c\" }",
            "event[1].fields.mcc.colum is unknown, did you mean \"column\"?",
        ),
        (
            "mcc = { column = \"c\", text = \"{c}\" }",
            "event[1].fields.mcc needs either text or column",
        ),
        (
            "mcc = 5411",
            "event[1].fields.mcc is 5411, expected text in quotes, or a table with text or column",
        ),
        (
            "mcc = \"\"",
            "event[1].fields.mcc is \"\", expected some text; a field without a value is left out",
        ),
        (
            "mcc = \"{a\"",
            "event[1].fields.mcc is \"{a\", expected a column name between { and }; a brace itself \
             is written twice",
        ),
        (
            "mcc = \"{a % 0}\"",
            "event[1].fields.mcc is \"{a % 0}\", expected a whole number over 0 after the % of \
             {column % number}",
        ),
        (
            "amount_minor = \"5\"",
            "event[1].fields.amount_minor is \"5\", expected a whole number, or a table with column \
             and scale",
        ),
        (
            "amount_minor = { column = \"c\" }",
            "event[1].fields.amount_minor.scale is missing, expected the digits after the point of \
             the currency, such as 2",
        ),
        (
            "amount_minor = { column = \"c\", scale = 19 }",
            "event[1].fields.amount_minor.scale is 19, expected a whole number from 0 to 18",
        ),
        (
            "amount_minor = { column = \"c\", scale = 2, round = \"up\" }",
            "event[1].fields.amount_minor.round is \"up\", expected one of half_up, half_even, down",
        ),
        (
            "amount_minor = { column = \"c\", scale = 2, sum = true }",
            "event[1].fields.amount_minor.sum needs a [group] to sum over",
        ),
        (
            "amount_minor = { product = [\"c\"], scale = 2 }",
            "event[1].fields.amount_minor.product is an array, expected the names of at least two \
             columns",
        ),
        (
            "amount_minor = { column = \"c\", scale = 2, default = \"0\" }",
            "event[1].fields.amount_minor.default is \"0\", expected a whole number of minor units",
        ),
        (
            "event_time = \"yesterday\"",
            "event[1].fields.event_time is \"yesterday\", expected an RFC 3339 time, or a table \
             with column and format, or start and step",
        ),
        (
            "event_time = { column = \"t\", format = \"%H:%M\" }",
            "event[1].fields.event_time.format is \"%H:%M\", expected rfc3339, unix, unix_millis, \
             or a pattern such as %Y-%m-%d %H:%M:%S",
        ),
        (
            "event_time = { column = \"t\", format = \"unix\", zone = \"CET\" }",
            "event[1].fields.event_time.zone is \"CET\", expected an offset such as +02:00, or UTC",
        ),
        (
            "event_time = { column = \"t\", format = \"unix\", plus = \"1w\" }",
            "event[1].fields.event_time.plus is \"1w\", expected a length of time such as 7d, 12h, \
             30m, 10s or 250ms",
        ),
        (
            "event_time = { start = \"2026\", step = \"1s\" }",
            "event[1].fields.event_time.start is \"2026\", expected an RFC 3339 time such as \
             2026-01-31T10:00:00Z",
        ),
        (
            "event_time = { start = \"2026-01-31T10:00:00Z\" }",
            "event[1].fields.event_time.step is missing, expected a length of time such as 7d, 12h, \
             30m, 10s or 250ms",
        ),
        ("lat = \"north\"", "event[1].fields.lat is \"north\", expected a finite number"),
        (
            "lat = nan",
            "event[1].fields.lat is nan, expected text in quotes, or a table with text or column",
        ),
        ("recurring = \"yes\"", "event[1].fields.recurring is \"yes\", expected true or false"),
        (
            "mcc = { column = \"c\", map = [] }",
            "event[1].fields.mcc.map is an array, expected a table",
        ),
    ];
    for (field, message) in fields {
        // the field stands on the fifth line
        let text = transaction("", field);
        assert_eq!(error(&text), format!("test.toml line 5: {message}"));
    }
}

#[test]
fn mistakes_outside_of_fields_are_named_too() {
    let with = |head: &str, when: &str| {
        transaction(head, "")
            .replace("kind = \"transaction\"", &format!("kind = \"transaction\"\n{when}"))
    };
    for (text, message) in [
        (with("grup = 1", ""), "test.toml line 1: grup is unknown, did you mean \"group\"?"),
        (
            with("format = \"xml\"", ""),
            "test.toml line 1: format is \"xml\", expected \"csv\" or \"jsonl\"",
        ),
        (
            with("delimiter = \"tab\"", ""),
            "test.toml line 1: delimiter is \"tab\", expected one ASCII character such as \";\"",
        ),
        (
            with("optional = [\"x\"]", ""),
            "test.toml line 1: optional[1] is \"x\", expected a column that an event or condition \
             uses",
        ),
        (
            with("[group]\nahead = 1", ""),
            "test.toml line 1: group.by is missing, expected the name of a column",
        ),
        (
            with("[group]\nby = \"c\"\nahead = 1001", ""),
            "test.toml line 3: group.ahead is 1001, expected a whole number from 0 to 1000",
        ),
        (
            with("[[skip]]\nwhen = { column = \"c\", equals = \"\" }", ""),
            "test.toml line 1: skip[1].reason is missing, expected why these rows are left out",
        ),
        (
            with("", "when = { column = \"c\" }"),
            "test.toml line 4: event[1].when tests nothing, expected one of equals, one_of, prefix, \
             not_empty",
        ),
        (
            with("", "when = [{ column = \"c\", equals = \"a\", prefix = \"b\" }]"),
            "test.toml line 4: event[1].when[1] tests too much, expected one of equals, one_of, \
             prefix, not_empty",
        ),
        (
            with("", "when = { column = \"c\", not_empty = false }"),
            "test.toml line 4: event[1].when.not_empty is false, expected true; not = true asks for \
             the opposite",
        ),
        (
            with("", "when = { column = \"c\", equals = 1 }"),
            "test.toml line 4: event[1].when.equals is 1, expected text in quotes",
        ),
        (
            with("", "when = []"),
            "test.toml line 4: event[1].when is an array, expected at least one condition",
        ),
        (
            transaction("", "").replace("\"transaction\"", "\"payment\""),
            "test.toml line 3: event[1].kind is \"payment\", expected \"transaction\", \"dispute\", \
             \"chat\", \"invoice\" or \"label\"",
        ),
        (
            transaction("", "").replace("currency = \"EUR\"\n", ""),
            "test.toml line 4: event[1].fields.currency is missing, expected text",
        ),
        (
            "format = \"csv\"".to_owned(),
            "test.toml line 1: event is missing, expected at least one [[event]]",
        ),
        ("event = 1".to_owned(), "test.toml line 1: event is 1, expected an array"),
    ] {
        assert_eq!(error(&text), message, "\n{text}");
    }
    let invoice = "[[event]]\nkind = \"invoice\"\n[event.fields]\n".to_owned()
        + &["event_id", "account_id", "invoice_id", "number", "currency"]
            .map(|field| format!("{field} = \"x\"\n"))
            .concat()
        + "event_time = 2026-01-31T10:00:00Z\nkind = \"INVOICE\"\namount_minor = 1\n";
    for (date, message) in [
        (
            "issued_on = { column = \"d\", format = \"unix\", plus = \"36h\" }",
            "fields.issued_on.plus is \"36h\", expected whole days, such as 30d",
        ),
        (
            "issued_on = \"31.01.2026\"",
            "fields.issued_on is \"31.01.2026\", expected a date such as 2026-01-31, or a table \
             with column",
        ),
        (
            "issued_on = 2026-01-31\nlines = { description = \"d\" }",
            "fields.lines.quantity is missing, expected a finite number",
        ),
    ] {
        let message_of = error(&format!("{invoice}{date}\n"));
        assert!(message_of.ends_with(message), "{message_of}");
    }
    let syntax = error("[[event]\n");
    assert!(syntax.starts_with("test.toml line 1: is not TOML: "), "{syntax}");
    let missing = Map::load(std::path::Path::new("/nowhere/map.toml")).unwrap_err();
    let missing = missing.to_string();
    assert!(missing.starts_with("/nowhere/map.toml: cannot be read: "), "{missing}");
}

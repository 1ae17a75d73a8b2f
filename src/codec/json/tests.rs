use super::*;

const PAYMENT: &str = r#"{"kind":"transaction","event_id":"e1","event_time":"2026-01-31T10:00:00Z",
"account_id":"a1","transaction_id":"t1","merchant_id":"m1","amount_minor":1250,"currency":"EUR",
"channel":"POS","status":"AUTHORIZED"}"#;

#[test]
fn an_event_reads_back_as_it_was_written() {
    let payment = from_line(PAYMENT).unwrap();
    assert_eq!(payment.tenant(), "default");
    assert_eq!(payment.event_time().0, 1_769_853_600_000);
    let line = to_line(&payment).unwrap();
    assert!(line.contains("\"event_time\":\"2026-01-31T10:00:00.000Z\""), "{line}");
    assert_eq!(from_line(&line).unwrap(), payment);

    let invoice = from_line(
        r#"{"kind":"invoice","invoice_kind":"CREDIT_NOTE","event_id":"e","event_time":0,
        "account_id":"a","invoice_id":"i","number":"7","issued_on":"2011-10-05","amount_minor":-5,
        "currency":"GBP","lines":[{"description":"x","quantity":1,"unit_price_minor":-5,"amount_minor":-5}]}"#,
    )
    .unwrap();
    let line = to_line(&invoice).unwrap();
    assert!(line.contains("\"kind\":\"invoice\"") && line.contains("CREDIT_NOTE"), "{line}");
    assert_eq!(from_line(&line).unwrap(), invoice);
}

#[test]
fn errors_name_the_field_the_value_and_what_was_expected() {
    let with =
        |from: &str, to: &str| from_line(&PAYMENT.replace(from, to)).unwrap_err().to_string();
    for (error, parts) in [
        (with("1250", "\"12.50\""), &["amount_minor", "12.50", "i64"][..]),
        (with("1250", "12.5"), &["amount_minor", "12.5", "i64"]),
        (with("2026-01-31T10:00:00Z", "yesterday"), &["event_time", "yesterday", "RFC 3339"]),
        (with("AUTHORIZED", "AUTHORISED"), &["status", "AUTHORISED", "AUTHORIZED"]),
        (with("\"merchant_id\":\"m1\",", ""), &["merchant_id", "absent", "required"]),
        (with("amount_minor", "amuont_minor"), &["amuont_minor", "did you mean \"amount_minor\""]),
        (with("\"transaction\"", "\"payment\""), &["kind", "payment", "\"transaction\""]),
        (from_line("[1]").unwrap_err().to_string(), &["[1]", "object"]),
        (from_line("{\"kind\":").unwrap_err().to_string(), &["column", "EOF"]),
        (with("\"a1\"", "4111111111111111"), &["account_id", "[card]"]),
    ] {
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
        assert!(!error.contains("4111111111111111"), "{error}");
    }
}

#[test]
fn a_misspelt_field_of_a_line_is_unknown_too() {
    let error = from_line(
        r#"{"kind":"invoice","invoice_kind":"INVOICE","event_id":"e","event_time":0,"account_id":"a",
        "invoice_id":"i","number":"7","issued_on":"2011-10-05","amount_minor":5,"currency":"GBP",
        "lines":[{"description":"x","quantty":1,"unit_price_minor":5,"amount_minor":5}]}"#,
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("quantty") && error.contains("\"quantity\""), "{error}");
}

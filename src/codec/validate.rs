//! What an event must hold to be decided about, whatever its bytes were. `docs/contracts.md` lists
//! the checks in this order.

use super::decode::Refusal;
use super::redact::{is_card_number, shorten};
use crate::event::{Code, Event, FailedStage, Millis, Text};
use crate::log::Record;

/// Bytes of an identifier.
const ID_BYTES_MAX: usize = 256;
/// Bytes of a message, a narrative, a note.
const LONG_TEXT_BYTES_MAX: usize = 65_536;
/// Bytes of any other text.
const TEXT_BYTES_MAX: usize = 1_024;
/// 2000-01-01T00:00:00Z: whatever is older was made up by a clock that was not set.
const EARLIEST: Millis = Millis(946_684_800_000);
/// How far the producer's clock may be ahead of the log's.
const AHEAD_MAX_MS: i64 = 10 * 60 * 1_000;

/// Checks an event against its record.
///
/// # Errors
/// The refusal of the first check that fails.
pub(super) fn validate(event: &Event<'_>, record: &Record) -> Result<(), Refusal> {
    ids(event)?;
    fields(event)?;
    sizes(event)?;
    key(event, record)?;
    times(event, record.timestamp_ms)?;
    cards(event)
}

/// Checks an event that came in no record: its key is its own, and it was written when it happened.
///
/// # Errors
/// The refusal of the first check that fails.
pub(super) fn validate_own(event: &Event<'_>) -> Result<(), Refusal> {
    ids(event)?;
    fields(event)?;
    sizes(event)?;
    times(event, event.event_time().0)?;
    cards(event)
}

fn refuse(code: Code, message: String) -> Refusal {
    Refusal::new(FailedStage::Validate, code, message)
}

/// A value as errors quote it: redacted and short.
fn quote(value: &str) -> String {
    format!("{:?}", shorten(value))
}

fn ids(event: &Event<'_>) -> Result<(), Refusal> {
    let ids = [
        ("event_id", event.event_id()),
        ("tenant", event.tenant()),
        ("account_id", event.account_id()),
        (subject_field(event), event.subject_id()),
    ];
    for (field, value) in ids {
        if let Some(expected) = id_fault(field, value) {
            let message = format!("{field} is {}, expected {expected}", quote(value));
            return Err(refuse(Code::InvalidField, message));
        }
    }
    Ok(())
}

/// What an identifier should be, where it is not.
pub(super) fn id_fault(field: &str, value: &str) -> Option<String> {
    if value.is_empty() {
        Some("not to be empty".to_owned())
    } else if value.len() > ID_BYTES_MAX {
        Some(format!("at most {ID_BYTES_MAX} bytes, not {}", value.len()))
    } else if value.chars().any(char::is_control) {
        Some("no control characters".to_owned())
    } else if field == "tenant" && value.contains('/') {
        Some("no '/'".to_owned())
    } else {
        None
    }
}

fn subject_field(event: &Event<'_>) -> &'static str {
    match event {
        Event::Transaction(_) => "transaction_id",
        Event::Dispute(_) => "dispute_id",
        Event::Chat(_) => "message_id",
        Event::Invoice(_) => "invoice_id",
        Event::Label(_) => "subject_id",
    }
}

fn fields(event: &Event<'_>) -> Result<(), Refusal> {
    match event {
        Event::Transaction(event) => {
            currency(&event.currency)?;
            finite("lat", event.lat)?;
            finite("lon", event.lon)
        }
        Event::Dispute(event) => currency(&event.currency),
        Event::Chat(event) => finite("bot_confidence", event.bot_confidence),
        Event::Invoice(event) => {
            currency(&event.currency)?;
            event.lines.iter().try_for_each(|line| finite("lines.quantity", Some(line.quantity)))
        }
        Event::Label(_) => Ok(()),
    }
}

fn currency(value: &str) -> Result<(), Refusal> {
    if value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Ok(());
    }
    let message =
        format!("currency is {}, expected three capital letters as in ISO 4217", quote(value));
    Err(refuse(Code::InvalidField, message))
}

fn finite(field: &str, value: Option<f64>) -> Result<(), Refusal> {
    match value {
        Some(value) if !value.is_finite() => {
            Err(refuse(Code::InvalidField, format!("{field} is {value}, expected a finite number")))
        }
        _ => Ok(()),
    }
}

fn sizes(event: &Event<'_>) -> Result<(), Refusal> {
    let long = |field, text: Option<&Text<'_>>| size(field, text, LONG_TEXT_BYTES_MAX);
    let short = |field, text: Option<&Text<'_>>| size(field, text, TEXT_BYTES_MAX);
    match event {
        Event::Transaction(event) => {
            short("card_id", event.card_id.as_ref())?;
            short("merchant_id", Some(&event.merchant_id))?;
            short("terminal_id", event.terminal_id.as_ref())?;
            short("mcc", event.mcc.as_ref())?;
            short("entry_mode", event.entry_mode.as_ref())?;
            short("country", event.country.as_ref())?;
            short("device_id", event.device_id.as_ref())?;
            short("ip", event.ip.as_ref())?;
            short("email_hash", event.email_hash.as_ref())?;
            short("beneficiary_id", event.beneficiary_id.as_ref())?;
            short("decline_code", event.decline_code.as_ref())
        }
        Event::Dispute(event) => {
            short("transaction_id", Some(&event.transaction_id))?;
            short("reason_code", Some(&event.reason_code))?;
            short("merchant_id", event.merchant_id.as_ref())?;
            short("terminal_id", event.terminal_id.as_ref())?;
            short("card_id", event.card_id.as_ref())?;
            short("device_id", event.device_id.as_ref())?;
            short("ip", event.ip.as_ref())?;
            long("narrative", event.narrative.as_ref())
        }
        Event::Chat(event) => {
            short("conversation_id", Some(&event.conversation_id))?;
            long("text", Some(&event.text))?;
            short("channel", Some(&event.channel))?;
            short("language", event.language.as_ref())?;
            short("bot_intent", event.bot_intent.as_ref())
        }
        Event::Invoice(event) => {
            short("vendor_id", event.vendor_id.as_ref())?;
            short("vendor_name", event.vendor_name.as_ref())?;
            short("employee_id", event.employee_id.as_ref())?;
            short("number", Some(&event.number))?;
            short("bank_account_hash", event.bank_account_hash.as_ref())?;
            short("purchase_order", event.purchase_order.as_ref())?;
            short("category", event.category.as_ref())?;
            event
                .lines
                .iter()
                .try_for_each(|line| short("lines.description", Some(&line.description)))?;
            short("document_sha256", event.document_sha256.as_ref())
        }
        Event::Label(event) => {
            short("source", Some(&event.source))?;
            long("note", event.note.as_ref())
        }
    }
}

fn size(field: &str, text: Option<&Text<'_>>, max: usize) -> Result<(), Refusal> {
    match text {
        Some(text) if text.len() > max => Err(refuse(
            Code::TooLarge,
            format!("{field} has {} bytes, expected at most {max}", text.len()),
        )),
        _ => Ok(()),
    }
}

fn key(event: &Event<'_>, record: &Record) -> Result<(), Refusal> {
    let (tenant, account) = (event.tenant(), event.account_id());
    let Some(key) = record.key() else {
        let message = format!("record has no key, expected {}", quote(&event.key()));
        return Err(refuse(Code::KeyMissing, message));
    };
    // compared in place: this runs for every record
    let equal = key.len() == tenant.len() + 1 + account.len()
        && key.starts_with(tenant.as_bytes())
        && key[tenant.len()] == b'/'
        && key.ends_with(account.as_bytes());
    if equal {
        return Ok(());
    }
    let found = quote(&String::from_utf8_lossy(key));
    let message = format!("key is {found}, expected {} of the event", quote(&event.key()));
    Err(refuse(Code::KeyMismatch, message))
}

fn times(event: &Event<'_>, written_ms: i64) -> Result<(), Refusal> {
    let time = event.event_time();
    if time < EARLIEST {
        let message = format!("event_time is {time}, expected {EARLIEST} or later");
        return Err(refuse(Code::TimeTooEarly, message));
    }
    let latest = written_ms.saturating_add(AHEAD_MAX_MS);
    if time.0 > latest {
        let message = format!(
            "event_time is {time}, expected at most 10 minutes after the record's own {}",
            Millis(written_ms)
        );
        return Err(refuse(Code::TimeInFuture, message));
    }
    Ok(())
}

fn cards(event: &Event<'_>) -> Result<(), Refusal> {
    let card_id = match event {
        Event::Transaction(event) => &event.card_id,
        Event::Dispute(event) => &event.card_id,
        Event::Chat(_) | Event::Invoice(_) | Event::Label(_) => &None,
    };
    match card_id {
        Some(card_id) if is_card_number(card_id) => Err(refuse(
            Code::CardNumber,
            "card_id is a raw card number, expected a token".to_owned(),
        )),
        _ => Ok(()),
    }
}

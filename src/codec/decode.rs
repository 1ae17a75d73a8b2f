//! From a record's bytes to an event, or to the reason why not.

use std::io::BufRead;

use serde::Deserialize;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};

use super::redact::redact_in_place;
use super::symbols::Fields;
use super::validate::validate;
use super::writers::{Writer, Writers};
use crate::event::{Code, Event, FailedStage, Kind, Millis, Text};
use crate::log::Record;

/// Bytes a payload may have.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Items an array of a record may have; the only arrays are an invoice's lines.
const ITEMS_MAX: usize = 100_000;
/// Marker, fingerprint.
const FRAME: usize = 2 + 8;

/// An event and how it was written.
#[derive(Debug, PartialEq)]
pub struct Decoded<'a> {
    /// the event, redacted and valid
    pub event: Event<'a>,
    /// fingerprint of the writer's schema
    pub schema_id: i64,
}

/// Why a record is not an event that may be decided about. Names field, value and what was
/// expected; carries nothing that must be redacted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// where it was refused
    pub stage: FailedStage,
    /// why, for machines
    pub code: Code,
    /// why, for people
    pub message: String,
}

impl Refusal {
    pub(super) fn new(stage: FailedStage, code: Code, message: impl Into<String>) -> Refusal {
        Refusal { stage, code, message: message.into() }
    }

    fn decode(code: Code, message: impl Into<String>) -> Refusal {
        Refusal::new(FailedStage::Decode, code, message)
    }
}

/// Reads events. Shared by all workers.
#[derive(Debug)]
pub struct Decoder {
    writers: Writers,
}

/// What the merge needs to know of a record before anything else is read of it.
#[derive(Deserialize)]
struct Head {
    event_time: Millis,
}

impl Decoder {
    /// A decoder that knows these writers.
    pub fn new(writers: Writers) -> Decoder {
        Decoder { writers }
    }

    /// The event time of a record, `None` where it cannot be read.
    pub fn event_time(&self, record: &Record) -> Option<Millis> {
        let kind = record.position.topic.kind()?;
        let (writer, body) = self.unframe(kind, record.payload()).ok()?;
        read::<Head>(writer, body).ok().map(|(head, _)| head.event_time)
    }

    /// The event in a record of an input topic.
    ///
    /// # Errors
    /// The refusal that belongs into its dead letter; `docs/contracts.md` lists them in order.
    pub fn decode<'a>(&self, record: &'a Record) -> Result<Decoded<'a>, Refusal> {
        let topic = record.position.topic;
        let Some(kind) = topic.kind() else {
            let message = format!("topic {topic} carries no events");
            return Err(Refusal::decode(Code::WrongSchema, message));
        };
        let (writer, body) = self.unframe(kind, record.payload())?;
        let (mut event, rest) = read_event(kind, writer, body).map_err(|text| {
            // the library's text may quote the value
            Refusal::decode(Code::Malformed, super::redact(&text).into_owned())
        })?;
        if rest > 0 {
            let message = format!("{rest} bytes left over after the event, expected none");
            return Err(Refusal::decode(Code::Malformed, message));
        }
        redact_event(&mut event);
        validate(&event, record)?;
        let fingerprint = *writer.schema.rabin_fingerprint();
        Ok(Decoded { event, schema_id: i64::from_le_bytes(fingerprint) })
    }

    fn unframe<'a>(&self, kind: Kind, payload: &'a [u8]) -> Result<(&Writer, &'a [u8]), Refusal> {
        if payload.len() > RECORD_BYTES_MAX {
            let message =
                format!("payload has {} bytes, expected at most {RECORD_BYTES_MAX}", payload.len());
            return Err(Refusal::decode(Code::TooLarge, message));
        }
        let (Some([0xC3, 0x01]), Some(fingerprint)) =
            (payload.get(..2), payload.get(2..FRAME).and_then(|bytes| bytes.try_into().ok()))
        else {
            let begin = payload.get(..2).unwrap_or(payload);
            let message = format!(
                "payload of {} bytes begins with {begin:02X?}, expected C3 01 and a fingerprint",
                payload.len()
            );
            return Err(Refusal::decode(Code::Unframed, message));
        };
        let Some(writer) = self.writers.get(fingerprint) else {
            let message = format!(
                "no known schema has fingerprint {:016x}, expected one for {}",
                u64::from_le_bytes(*fingerprint),
                kind.label()
            );
            return Err(Refusal::decode(Code::UnknownSchema, message));
        };
        if writer.kind != Some(kind) {
            let message =
                format!("record of schema {}, expected a {} here", writer.name, kind.label());
            return Err(Refusal::decode(Code::WrongSchema, message));
        }
        if let Some(reason) = &writer.incompatible {
            let message = format!("schema {} cannot be read as ours: {reason}", writer.name);
            return Err(Refusal::decode(Code::IncompatibleSchema, message));
        }
        Ok((writer, &payload[FRAME..]))
    }
}

type ReadResult<T> = Result<(T, usize), serde_avro_fast::de::DeError>;

fn state<'w, 'a>(writer: &'w Writer, body: &'a [u8]) -> DeserializerState<'w, SliceRead<'a>> {
    let mut config = DeserializerConfig::new(&writer.schema);
    config.max_seq_size = ITEMS_MAX;
    DeserializerState::with_config(SliceRead::new(body), config)
}

/// The value and how many bytes were left over.
fn read<'a, T: Deserialize<'a>>(writer: &Writer, body: &'a [u8]) -> ReadResult<T> {
    let mut state = state(writer, body);
    let value = T::deserialize(Fields(state.deserializer()))?;
    let rest = state.into_reader().fill_buf().map_or(0, <[u8]>::len);
    Ok((value, rest))
}

/// As [`read`], with an error that names the field.
fn read_named<'a, T: Deserialize<'a>>(
    writer: &Writer,
    body: &'a [u8],
) -> Result<(T, usize), String> {
    read(writer, body).map_err(|error| {
        // once more, this time keeping account of the field: only refused records pay for it
        let mut state = state(writer, body);
        let again: Result<T, _> = serde_path_to_error::deserialize(Fields(state.deserializer()));
        match again {
            Err(located) => format!("{} cannot be read: {error}", located.path()),
            Ok(_) => error.to_string(),
        }
    })
}

fn read_event<'a>(
    kind: Kind,
    writer: &Writer,
    body: &'a [u8],
) -> Result<(Event<'a>, usize), String> {
    Ok(match kind {
        Kind::Transaction => {
            let (event, rest) = read_named(writer, body)?;
            (Event::Transaction(event), rest)
        }
        Kind::Dispute => {
            let (event, rest) = read_named(writer, body)?;
            (Event::Dispute(event), rest)
        }
        Kind::Chat => {
            let (event, rest) = read_named(writer, body)?;
            (Event::Chat(event), rest)
        }
        Kind::Invoice => {
            let (event, rest) = read_named(writer, body)?;
            (Event::Invoice(event), rest)
        }
        Kind::Label => {
            let (event, rest) = read_named(writer, body)?;
            (Event::Label(event), rest)
        }
    })
}

/// Takes card numbers out of free text before anybody sees it.
fn redact_event(event: &mut Event<'_>) {
    let optional = |text: &mut Option<Text<'_>>| {
        if let Some(text) = text {
            redact_in_place(text);
        }
    };
    match event {
        Event::Transaction(_) => {}
        Event::Dispute(dispute) => optional(&mut dispute.narrative),
        Event::Chat(chat) => redact_in_place(&mut chat.text),
        Event::Invoice(invoice) => {
            optional(&mut invoice.vendor_name);
            optional(&mut invoice.category);
            for line in &mut invoice.lines {
                redact_in_place(&mut line.description);
            }
        }
        Event::Label(label) => optional(&mut label.note),
    }
}

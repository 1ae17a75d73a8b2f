//! From a record's bytes to an event, or to the reason why not.

use std::io::BufRead;
use std::sync::Arc;

use serde::Deserialize;
use serde_avro_fast::Schema;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};

use super::Contract;
use super::frame::Frame;
use super::redact::redact_in_place;
use super::registry::{Known, Registry, RegistryError};
use super::symbols::Fields;
use super::validate::{validate, validate_own};
use super::writers::{Writer, Writers};
use crate::event::{Code, Event, FailedStage, Kind, Millis, Text};
use crate::log::Record;

/// Bytes a payload may have.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Items an array of a record may have; the only arrays are an invoice's lines.
const ITEMS_MAX: usize = 100_000;

/// An event and how it was written.
#[derive(Debug, PartialEq)]
pub struct Decoded<'a> {
    /// the event, redacted and valid
    pub event: Event<'a>,
    /// of the writer's schema: its id in the registry, or its fingerprint
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
    /// That an event's id was seen with another payload.
    pub fn conflict(event: &Event<'_>) -> Refusal {
        Refusal {
            stage: FailedStage::Dedupe,
            code: Code::ConflictingDuplicate,
            message: format!(
                "event_id {:?} was seen with another payload, expected the same bytes or another id",
                event.event_id()
            ),
        }
    }

    pub(super) fn new(stage: FailedStage, code: Code, message: impl Into<String>) -> Refusal {
        Refusal { stage, code, message: message.into() }
    }

    fn decode(code: Code, message: impl Into<String>) -> Refusal {
        Refusal::new(FailedStage::Decode, code, message)
    }
}

/// Why there is no event.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// the record is at fault: it becomes a dead letter
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// its schema cannot be had now, which says nothing about the record
    #[error(transparent)]
    Unavailable(#[from] RegistryError),
}

impl DecodeError {
    /// The refusal, if that is what it is.
    pub fn refusal(self) -> Option<Refusal> {
        match self {
            DecodeError::Refused(refusal) => Some(refusal),
            DecodeError::Unavailable(_) => None,
        }
    }
}

/// Reads events. Shared by all workers.
#[derive(Debug)]
pub struct Decoder {
    writers: Writers,
    registry: Option<Arc<Registry>>,
}

/// A writer as the decoder has it.
enum Held<'a> {
    /// for ever, known by its fingerprint
    File(&'a Writer),
    /// known by its id in the registry
    Registered(u32, Arc<Known>),
}

/// A record's frame taken off.
struct Unframed<'w, 'a> {
    held: Held<'w>,
    body: &'a [u8],
}

/// What the merge needs to know of a record before anything else is read of it.
#[derive(Deserialize)]
struct Head {
    event_time: Millis,
}

impl Decoder {
    /// A decoder that knows these writers.
    pub fn new(writers: Writers) -> Decoder {
        Decoder { writers, registry: None }
    }

    /// A decoder that knows these writers by their fingerprints, and a registry's by their ids. It
    /// blocks for a bounded time where an id is new to it.
    pub fn with_registry(writers: Writers, registry: Arc<Registry>) -> Decoder {
        Decoder { writers, registry: Some(registry) }
    }

    /// The event time of a record, `None` where it cannot be read.
    ///
    /// # Errors
    /// When its schema cannot be had now: it may well have a time.
    pub fn event_time(&self, record: &Record) -> Result<Option<Millis>, RegistryError> {
        let Some(kind) = record.position.topic.kind() else {
            return Ok(None);
        };
        let unframed = match self.unframe(kind, record.payload()) {
            Ok(unframed) => unframed,
            Err(DecodeError::Refused(_)) => return Ok(None),
            Err(DecodeError::Unavailable(error)) => return Err(error),
        };
        let writer = unframed.held.writer(kind).ok();
        let head = writer.and_then(|w| read::<Head>(&w.schema, unframed.body).ok());
        Ok(match head {
            Some((head, _)) => Some(head.event_time),
            // whoever skips a list goes by the size that its writer says, whoever reads it does not
            None => self.decode(record).ok().map(|decoded| decoded.event.event_time()),
        })
    }

    /// The event in a record of an input topic.
    ///
    /// # Errors
    /// The refusal that belongs into its dead letter, `docs/contracts.md` lists them in order; or
    /// that its schema cannot be had now.
    pub fn decode<'a>(&self, record: &'a Record) -> Result<Decoded<'a>, DecodeError> {
        let topic = record.position.topic;
        let Some(kind) = topic.kind() else {
            let message = format!("topic {topic} carries no events");
            return Err(Refusal::decode(Code::WrongSchema, message).into());
        };
        let unframed = self.unframe(kind, record.payload())?;
        let writer = unframed.held.writer(kind)?;
        let (mut event, rest) = read_event(kind, writer, unframed.body).map_err(|text| {
            // the library's text may quote the value
            Refusal::decode(Code::Malformed, super::redact(&text).into_owned())
        })?;
        if rest > 0 {
            let message = format!("{rest} bytes left over after the event, expected none");
            return Err(Refusal::decode(Code::Malformed, message).into());
        }
        redact_event(&mut event);
        validate(&event, record)?;
        let schema_id = match unframed.held {
            Held::File(writer) => i64::from_le_bytes(*writer.schema.rabin_fingerprint()),
            Held::Registered(id, _) => i64::from(id),
        };
        Ok(Decoded { event, schema_id })
    }

    fn unframe<'w, 'a>(
        &'w self,
        kind: Kind,
        payload: &'a [u8],
    ) -> Result<Unframed<'w, 'a>, DecodeError> {
        check_size(payload)?;
        let (held, body) = match (Frame::of(payload), &self.registry) {
            (Some(Frame::Fingerprint(fingerprint, body)), _) => {
                let writer = self.writers.get(fingerprint);
                (Held::File(writer.ok_or_else(|| unknown_print(*fingerprint, kind))?), body)
            }
            (Some(Frame::Id(id, body)), Some(registry)) => {
                let known = registry.schema(id)?;
                (Held::Registered(id, known.ok_or_else(|| unknown_id(id, kind))?), body)
            }
            (Some(Frame::Id(..)) | None, registry) => {
                return Err(unframed(payload, registry.is_some()).into());
            }
        };
        Ok(Unframed { held, body })
    }
}

/// Takes an event in that came in no record, as if it had come in one of this payload, under its own
/// key and written when it happened: redacts and checks it.
///
/// # Errors
/// The refusal that its dead letter would say.
pub fn admit(event: &mut Event<'_>, payload: &[u8]) -> Result<(), Refusal> {
    check_size(payload)?;
    redact_event(event);
    validate_own(event)
}

fn check_size(payload: &[u8]) -> Result<(), Refusal> {
    if payload.len() <= RECORD_BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("payload has {} bytes, expected at most {RECORD_BYTES_MAX}", payload.len());
    Err(Refusal::decode(Code::TooLarge, message))
}

fn unframed(payload: &[u8], has_registry: bool) -> Refusal {
    let begin = payload.get(..2).unwrap_or(payload);
    let expected = match (payload.first(), has_registry) {
        (_, true) => "expected C3 01 and a fingerprint, or 00 and an id",
        (Some(0), false) => {
            "expected C3 01 and a fingerprint; 00 and an id needs a schema registry, and none is \
             configured ([registry] in weir.toml)"
        }
        (_, false) => "expected C3 01 and a fingerprint",
    };
    let message =
        format!("payload of {} bytes begins with {begin:02X?}, {expected}", payload.len());
    Refusal::decode(Code::Unframed, message)
}

fn unknown_print(fingerprint: [u8; 8], kind: Kind) -> Refusal {
    let message = format!(
        "no known schema has fingerprint {:016x}, expected one for {}",
        u64::from_le_bytes(fingerprint),
        kind.label()
    );
    Refusal::decode(Code::UnknownSchema, message)
}

fn unknown_id(id: u32, kind: Kind) -> Refusal {
    let message =
        format!("the registry has no schema of id {id}, expected one for {}", kind.label());
    Refusal::decode(Code::UnknownSchema, message)
}

impl Held<'_> {
    /// The writer, if its records can be read as this kind of event.
    fn writer(&self, kind: Kind) -> Result<&Writer, Refusal> {
        let writer = match self {
            Held::File(writer) => writer,
            Held::Registered(id, known) => match &**known {
                Known::Writer(writer) => writer,
                Known::Unusable { code, why } => {
                    return Err(Refusal::decode(*code, format!("schema id {id}: {why}")));
                }
            },
        };
        if writer.contract != Some(Contract::of(kind)) {
            let message =
                format!("record of schema {}, expected a {} here", writer.name, kind.label());
            return Err(Refusal::decode(Code::WrongSchema, message));
        }
        if let Some(reason) = &writer.incompatible {
            let message = format!("schema {} cannot be read as ours: {reason}", writer.name);
            return Err(Refusal::decode(Code::IncompatibleSchema, message));
        }
        Ok(writer)
    }
}

type ReadResult<T> = Result<(T, usize), serde_avro_fast::de::DeError>;

fn state<'w, 'a>(schema: &'w Schema, body: &'a [u8]) -> DeserializerState<'w, SliceRead<'a>> {
    let mut config = DeserializerConfig::new(schema);
    config.max_seq_size = ITEMS_MAX;
    DeserializerState::with_config(SliceRead::new(body), config)
}

/// The value and how many bytes were left over.
pub(super) fn read<'a, T: Deserialize<'a>>(schema: &Schema, body: &'a [u8]) -> ReadResult<T> {
    let mut state = state(schema, body);
    let value = T::deserialize(Fields(state.deserializer()))?;
    let rest = state.into_reader().fill_buf().map_or(0, <[u8]>::len);
    Ok((value, rest))
}

/// As [`read`], with an error that names the field.
fn read_named<'a, T: Deserialize<'a>>(
    writer: &Writer,
    body: &'a [u8],
) -> Result<(T, usize), String> {
    read(&writer.schema, body).map_err(|error| {
        // once more, this time keeping account of the field: only refused records pay for it
        let mut state = state(&writer.schema, body);
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

//! One escalation on its way to the receivers.

use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::codec::{
    Contract, OwnError, Refusal, RegistryError, decode_own, erased_by, json, redact,
};
use crate::event::{Code, Escalation, FailedStage, Position};
use crate::log::Record;

/// What every request says it is about.
const EVENT_TYPE: &str = "escalation.created";

#[derive(Serialize)]
struct Envelope {
    r#type: &'static str,
    timestamp: String,
    data: Value,
}

/// An escalation with the body every attempt sends.
#[derive(Debug)]
pub(super) struct Message {
    /// the record it was read from, for its dead letter
    pub(super) record: Record,
    /// the escalation's id, which is the receivers' idempotency key
    pub(super) id: Uuid,
    /// the same bytes for the same escalation, always
    pub(super) body: Vec<u8>,
}

/// A record that is no message.
#[derive(Debug)]
pub(super) enum Unread {
    /// it cannot be sent to anybody: the record itself and why
    Unreadable(Box<(Record, Refusal)>),
    /// it is a tombstone, which is for the owner of its account: it stands there, and takes so many bytes
    Erasure(Position, usize),
    /// its schema cannot be had now
    Unavailable(RegistryError),
}

impl Message {
    /// Reads a record of the escalations topic.
    ///
    /// # Errors
    /// See [`Unread`].
    pub(super) fn read(record: Record) -> Result<Message, Unread> {
        if erased_by(&record).is_some() {
            return Err(Unread::Erasure(record.position, record.size()));
        }
        match body(record.payload()) {
            Ok((id, body)) => Ok(Message { record, id, body }),
            Err(OwnError::Unavailable(error)) => Err(Unread::Unavailable(error)),
            Err(OwnError::Unreadable(why)) => {
                let message = format!("cannot be read as an escalation: {why}");
                Err(Unread::Unreadable(Box::new((record, refusal(&message)))))
            }
        }
    }

    /// Memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        self.record.size() + self.body.len()
    }
}

/// Why an escalation is given up, for its dead letter.
pub(super) fn refusal(message: &str) -> Refusal {
    Refusal {
        stage: FailedStage::Notify,
        code: Code::Undeliverable,
        message: redact(message).into_owned(),
    }
}

fn body(payload: &[u8]) -> Result<(Uuid, Vec<u8>), OwnError> {
    let escalation: Escalation<'_> = decode_own(Contract::Escalation, payload)?;
    let id = Uuid::parse_str(&escalation.escalation_id)
        .map_err(|_| OwnError::Unreadable("escalation_id is not a UUID".to_owned()))?;
    let body = json::to_value(Contract::Escalation, &escalation).and_then(|data| {
        serde_json::to_vec(&Envelope {
            r#type: EVENT_TYPE,
            // not the time of the attempt: a repeat must be the same to the byte
            timestamp: escalation.created_at.to_string(),
            data,
        })
    });
    Ok((id, body.map_err(|error| OwnError::Unreadable(error.to_string()))?))
}

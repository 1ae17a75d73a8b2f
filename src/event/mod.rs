//! The domain: what happens (five kinds of event), what is decided about it, what could not be
//! decided, and where on the log each of them stands.
//!
//! Nothing here knows of Kafka, Avro or SQLite. The types borrow from the record they were read
//! from, so that the hot path copies no text; whoever keeps one longer copies what it needs.

mod control;
mod dead_letter;
mod decision;
mod delivery;
mod input;
mod position;
mod slot;
mod text;
mod touch;
mod verdict;

pub use control::{Control, ControlAction};
pub use dead_letter::{Code, DeadLetter, FailedStage};
pub use decision::{
    Decision, Escalation, FieldValue, Fired, Outcome, OutcomeCount, Reason, Rollup, RuleCount,
    Shadow, Source, decision_id, escalation_id,
};
pub use delivery::Delivery;
pub use input::{
    Author, Channel, Chat, Dispute, DisputeStage, Event, Invoice, InvoiceKind, InvoiceLine, Kind,
    Label, Network, SubjectKind, Transaction, TransactionStatus, Verdict,
};
pub use position::{Position, Topic};
pub use slot::Slot;
pub use text::{Date, Millis, Text};
pub use touch::{Entity, Mark, Touch, TouchEvent, TouchedEntity};

//! The store: the seam between weir and whatever keeps decisions for later.
//!
//! ```text
//!   decisions, escalations, roll-ups ─► StoreSink ─► Store::write ─► positions committed
//!                                                       │
//!   explain, API ◄──────────── Store::decision, … ◄─────┘
//! ```
//!
//! Decisions and escalations are immutable rows: the first one stored under an id wins, so that
//! writing a batch again changes nothing. Roll-ups are kept under the position of their record and
//! summed by whoever reads them.

mod embedded;
mod pump;

use uuid::Uuid;

pub use embedded::EmbeddedStore;
pub use pump::{StoreSink, StoreSinkFailure};

use crate::event::Millis;
use crate::log::LogError;

/// A decision as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct DecisionRow {
    /// its id
    pub decision_id: Uuid,
    /// whose it is
    pub tenant: String,
    /// which account it is about
    pub account_id: String,
    /// name of its kind on the wire
    pub kind: &'static str,
    /// name of its outcome on the wire
    pub outcome: &'static str,
    /// when the event happened
    pub event_time: Millis,
    /// when it was decided
    pub decided_at: Millis,
    /// the record as it stands on the topic, frame included
    pub record: Vec<u8>,
}

/// An escalation as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct EscalationRow {
    /// its id
    pub escalation_id: Uuid,
    /// of the decision
    pub decision_id: Uuid,
    /// whose it is
    pub tenant: String,
    /// which account it is about
    pub account_id: String,
    /// who should look
    pub queue: String,
    /// 1 is the most urgent
    pub priority: i32,
    /// when it was escalated
    pub created_at: Millis,
    /// the record as it stands on the topic, frame included
    pub record: Vec<u8>,
}

/// One entry of a roll-up, under the position of its record.
#[derive(Clone, Debug, PartialEq)]
pub struct RollupRow {
    /// partition of the roll-up's record
    pub partition: u32,
    /// its offset
    pub offset: i64,
    /// start of the minute counted
    pub minute: Millis,
    /// name of the kind on the wire
    pub kind: &'static str,
    /// name of the outcome on the wire; empty where a rule is counted
    pub outcome: &'static str,
    /// id of the rule; empty where an outcome is counted
    pub rule: String,
    /// how often
    pub count: i64,
}

/// How the delivery of an escalation to one receiver ended.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryRow {
    /// of the escalation
    pub escalation_id: Uuid,
    /// name of the receiver
    pub channel: String,
    /// `delivered` or `undeliverable`
    pub status: &'static str,
    /// how many attempts it took
    pub attempts: u32,
    /// when it ended, milliseconds since 1970
    pub updated_at: Millis,
    /// what the receiver said last
    pub detail: String,
}

/// What one write holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// decisions
    pub decisions: Vec<DecisionRow>,
    /// escalations
    pub escalations: Vec<EscalationRow>,
    /// roll-up entries
    pub rollups: Vec<RollupRow>,
    /// ends of deliveries
    pub deliveries: Vec<DeliveryRow>,
}

impl Rows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.decisions.len() + self.escalations.len() + self.rollups.len() + self.deliveries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How many decisions and escalations are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// decisions
    pub decisions: u64,
    /// escalations
    pub escalations: u64,
    /// escalations delivered
    pub delivered: u64,
}

/// A store of decisions.
pub trait Store: Send + Sync {
    /// Writes rows and waits until they are durable. Writing them again changes nothing.
    ///
    /// # Errors
    /// When they may not have been written.
    fn write(&self, rows: Rows) -> Result<(), StoreError>;

    /// The record of a decision.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn decision(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError>;

    /// The records of an account's newest decisions by event time, before `before`.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn decisions_of(
        &self,
        tenant: &str,
        account_id: &str,
        before: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError>;

    /// A page of all decisions in the order of their ids, after `after`: ids and records.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn page(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError>;

    /// How much is stored.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn counts(&self) -> Result<Counts, StoreError>;
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// the embedded store shares the log's file
    #[error(transparent)]
    Embedded(#[from] LogError),
}

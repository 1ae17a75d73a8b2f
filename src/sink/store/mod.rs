//! The store: the seam between weir and whatever keeps decisions for later.
//!
//! ```text
//!   decisions, escalations, roll-ups ─► StoreSink ─► Store::write ─► positions committed
//!                                                       │
//!   explain, API ◄──────────── Store::decision, … ◄─────┘
//! ```
//!
//! Two implementations: [`EmbeddedStore`], in the embedded log's file, and [`CqlStore`], a ScyllaDB or
//! Cassandra cluster. What holds on both, and one test suite asks of both:
//!
//! - A row is of the time of its record, which the broker gave it; of two rows under one key the
//!   later one counts, in whatever order they come. Writing a batch again thus changes nothing, and
//!   no rewind brings back what is older than what is there.
//! - Roll-ups are kept under the position of their record and summed by whoever reads them.

mod chunk;
mod cql;
mod embedded;
mod lag;
mod letters;
mod pump;

use std::sync::Arc;

use uuid::Uuid;

pub use cql::{CqlStore, Migrated, VERSION};
pub use embedded::EmbeddedStore;
pub use pump::{StoreContext, StoreSink, StoreSinkFailure};

use crate::event::Millis;
use crate::log::LogError;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

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
    /// when its record was written, by the broker's clock
    pub written_at: Millis,
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
    /// when its record was written, by the broker's clock
    pub written_at: Millis,
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
    /// when it was written, by the broker's clock
    pub written_at: Millis,
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
    pub status: String,
    /// how many attempts it took
    pub attempts: u32,
    /// when it ended
    pub updated_at: Millis,
    /// what the receiver said last
    pub detail: String,
}

/// How often something was decided, or a rule matched, within a minute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RollupCount {
    /// start of the minute
    pub minute: Millis,
    /// name of the kind on the wire
    pub kind: String,
    /// name of the outcome on the wire; empty where a rule is counted
    pub outcome: String,
    /// id of the rule; empty where an outcome is counted
    pub rule: String,
    /// how often
    pub count: i64,
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
    /// When not all of them may have been written.
    fn write(&self, rows: &Arc<Rows>) -> Result<(), StoreError>;

    /// Whether it can be worked with now. [`StoreError::passes`] tells what may be otherwise later.
    ///
    /// # Errors
    /// Why not.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The largest record it takes, in bytes.
    fn record_bytes_max(&self) -> usize;

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

    /// The records of a tenant's decisions with this outcome on events of the hour that `hour` is in,
    /// newest event first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn decisions_with(
        &self,
        tenant: &str,
        outcome: &str,
        hour: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError>;

    /// The record of an escalation.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn escalation(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError>;

    /// The records of a tenant's escalations to a queue on the day (UTC) that `day` is in, newest
    /// first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn escalations_of(
        &self,
        tenant: &str,
        queue: &str,
        day: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError>;

    /// What was counted in the minutes that begin within `from..until`, in order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn rollups(&self, from: Millis, until: Millis) -> Result<Vec<RollupCount>, StoreError>;

    /// How deliveries of an escalation ended, by the name of the receiver.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn deliveries_of(&self, escalation_id: Uuid) -> Result<Vec<DeliveryRow>, StoreError>;

    /// A page of all decisions after the decision `after`, in an order that stays: ids and records.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn page(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError>;

    /// How much is stored, where that is known without looking at all of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn counts(&self) -> Result<Option<Counts>, StoreError>;
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// the embedded store shares the log's file
    #[error(transparent)]
    Embedded(#[from] LogError),
    /// no node answers, or too few, or too late: it may pass
    #[error("store at {nodes} does not answer: {reason}")]
    Unreachable {
        /// whom we asked
        nodes: String,
        /// what the driver said
        reason: String,
    },
    /// the cluster will not: somebody must mend something
    #[error("store refuses to {doing}: {reason}")]
    Refused {
        /// what was asked
        doing: &'static str,
        /// what it said
        reason: String,
    },
    /// the tables are not those that this weir works with
    #[error("store: {}", .problems.join("; "))]
    Schema {
        /// what is wrong with them
        problems: Vec<String>,
    },
    /// an answer that is not understood
    #[error("store: cannot {doing}: {reason}")]
    Answer {
        /// what was asked
        doing: &'static str,
        /// what is wrong with the answer
        reason: String,
    },
}

impl StoreError {
    /// Whether it may be otherwise in a while, by itself.
    pub fn passes(&self) -> bool {
        matches!(self, StoreError::Unreachable { .. })
    }

    /// Its name in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            StoreError::Embedded(_) => "log",
            StoreError::Unreachable { .. } => "unreachable",
            StoreError::Refused { .. } => "refused",
            StoreError::Schema { .. } => "schema",
            StoreError::Answer { .. } => "answer",
        }
    }
}

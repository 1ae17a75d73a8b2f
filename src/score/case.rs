//! Everything a decision is made from.

use crate::event::{Kind, Millis, Slot, Source, Text};

/// Everything a decision is made from. The decision's record holds all of it, so that the same case
/// can be put together again from the record alone.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    /// kind of the event
    pub kind: Kind,
    /// the event's own id
    pub event_id: &'a str,
    /// when it happened
    pub event_time: Millis,
    /// whose it is
    pub tenant: &'a str,
    /// which account it is about
    pub account_id: &'a str,
    /// transaction_id, dispute_id, message_id or invoice_id
    pub subject_id: &'a str,
    /// wall clock of the batch
    pub decided_at: Millis,
    /// the fields that the kind's rules read, in the rule set's order
    pub fields: Vec<Slot<'a>>,
    /// all features, in the feature set's order
    pub features: &'a [Slot<'a>],
    /// see [`Decision`](crate::event::Decision)
    pub profile_age_ms: Option<i64>,
    /// what was left out or not known, and why
    pub degraded: Vec<Text<'a>>,
    /// the record the event came in
    pub source: Source<'a>,
}

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
    /// control records that what decides was made of
    pub policy_version: i64,
    /// wall clock of the batch
    pub decided_at: Millis,
    /// the fields that are read of the kind, in the engine's order
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

impl Case<'_> {
    /// Whether that is left out, and the decision says so.
    pub(super) fn leaves_out(&self, what: &str) -> bool {
        self.degraded.iter().any(|left_out| &**left_out == what)
    }
}

//! How the delivery of an escalation to one receiver ended.

use serde::{Deserialize, Serialize};

use super::{Millis, Text};

/// A line of the delivery log. Its key is (`escalation_id`, `channel`); after a crash the same line
/// may come again, and the latest counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery<'a> {
    /// the escalation
    #[serde(borrow)]
    pub escalation_id: Text<'a>,
    /// name of the receiver
    #[serde(borrow)]
    pub channel: Text<'a>,
    /// `delivered` or `undeliverable`
    #[serde(borrow)]
    pub status: Text<'a>,
    /// attempts made in the life in which it ended
    pub attempts: i32,
    /// when it ended
    pub updated_at: Millis,
    /// why it is undeliverable; empty where it was delivered
    #[serde(borrow)]
    pub detail: Text<'a>,
}

//! Where a record stands: topic, partition, offset.

use std::fmt;

use super::Kind;

/// The topics of the contract. What each is called on a given log is that log's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Topic {
    /// verdicts on earlier events
    Labels,
    /// payers contesting payments
    Disputes,
    /// messages of support conversations
    Chats,
    /// bills and expense claims
    Invoices,
    /// payments
    Transactions,
    /// what weir decided
    Decisions,
    /// decisions that a person should look at
    Escalations,
    /// input records that have no decision
    DeadLetters,
    /// what each commit decided, counted
    Rollups,
    /// what happened to entities other than the account, for every process
    Touches,
    /// deadlines that have fired
    Fired,
    /// what every process must know: one partition, never deleted
    Control,
    /// how deliveries of escalations ended
    Deliveries,
}

impl Topic {
    /// Every topic, inputs first.
    pub const ALL: [Topic; 13] = [
        Topic::Labels,
        Topic::Disputes,
        Topic::Chats,
        Topic::Invoices,
        Topic::Transactions,
        Topic::Decisions,
        Topic::Escalations,
        Topic::DeadLetters,
        Topic::Rollups,
        Topic::Touches,
        Topic::Fired,
        Topic::Control,
        Topic::Deliveries,
    ];

    /// The inputs, in the order in which records of equal event time are taken.
    pub const INPUTS: [Topic; 5] =
        [Topic::Labels, Topic::Disputes, Topic::Chats, Topic::Invoices, Topic::Transactions];

    /// What the owner of a partition reads: the inputs, and what it escalated itself.
    pub const READ: [Topic; 6] = [
        Topic::Labels,
        Topic::Disputes,
        Topic::Chats,
        Topic::Invoices,
        Topic::Transactions,
        Topic::Escalations,
    ];

    /// The default name.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Labels => "labels",
            Topic::Disputes => "disputes",
            Topic::Chats => "chats",
            Topic::Invoices => "invoices",
            Topic::Transactions => "transactions",
            Topic::Decisions => "decisions",
            Topic::Escalations => "escalations",
            Topic::DeadLetters => "dead-letters",
            Topic::Rollups => "weir.rollups",
            Topic::Touches => "weir.touches",
            Topic::Fired => "weir.fired",
            Topic::Control => "weir.control",
            Topic::Deliveries => "weir.deliveries",
        }
    }

    /// The topic of that name.
    pub fn from_name(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// What an input topic carries; `None` for outputs.
    pub fn kind(self) -> Option<Kind> {
        match self {
            Topic::Labels => Some(Kind::Label),
            Topic::Disputes => Some(Kind::Dispute),
            Topic::Chats => Some(Kind::Chat),
            Topic::Invoices => Some(Kind::Invoice),
            Topic::Transactions => Some(Kind::Transaction),
            _ => None,
        }
    }

    /// Place of an input among records of equal event time, 0 first. What explains comes before
    /// what is explained: labels, disputes, chats, invoices, transactions.
    pub fn rank(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A place on the log. As a consumer's position: the offset of the next record to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// which topic
    pub topic: Topic,
    /// which partition of it
    pub partition: u32,
    /// which record of the partition
    pub offset: i64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.topic, self.partition, self.offset)
    }
}

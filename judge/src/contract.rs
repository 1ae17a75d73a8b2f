//! What `docs/contracts.md` and the docs inside `schemas/` fix: names of topics and groups, limits,
//! and how identifiers are derived. Written down a second time on purpose: a constant taken from
//! weir could not show that weir has it wrong.

use uuid::Uuid;

/// The topics of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// payments
    Transactions,
    /// payers contesting payments
    Disputes,
    /// messages of support conversations
    Chats,
    /// bills and expense claims
    Invoices,
    /// verdicts on earlier events
    Labels,
    /// what was decided
    Decisions,
    /// decisions that a person should look at
    Escalations,
    /// records that were given up
    DeadLetters,
    /// what each commit decided, counted
    Rollups,
    /// what each batch did to entities; only where entities are shared
    Touches,
    /// stages of deadlines that have fired
    Fired,
    /// how deliveries of escalations ended
    Deliveries,
    /// changes of what decides
    Control,
}

impl Topic {
    /// Every topic that is judged, inputs first.
    pub const ALL: [Topic; 13] = [
        Topic::Transactions,
        Topic::Disputes,
        Topic::Chats,
        Topic::Invoices,
        Topic::Labels,
        Topic::Decisions,
        Topic::Escalations,
        Topic::DeadLetters,
        Topic::Rollups,
        Topic::Touches,
        Topic::Fired,
        Topic::Deliveries,
        Topic::Control,
    ];

    /// The inputs.
    pub const INPUTS: [Topic; 5] =
        [Topic::Transactions, Topic::Disputes, Topic::Chats, Topic::Invoices, Topic::Labels];

    /// The name on the log.
    pub fn name(self) -> &'static str {
        match self {
            Topic::Transactions => "transactions",
            Topic::Disputes => "disputes",
            Topic::Chats => "chats",
            Topic::Invoices => "invoices",
            Topic::Labels => "labels",
            Topic::Decisions => "decisions",
            Topic::Escalations => "escalations",
            Topic::DeadLetters => "dead-letters",
            Topic::Rollups => "weir.rollups",
            Topic::Touches => "weir.touches",
            Topic::Fired => "weir.fired",
            Topic::Deliveries => "weir.deliveries",
            Topic::Control => "weir.control",
        }
    }

    /// Whether a log without it is none of weir's.
    pub fn is_required(self) -> bool {
        !matches!(self, Topic::Touches | Topic::Fired | Topic::Deliveries | Topic::Control)
    }

    /// How many partitions it has where the others have so many.
    pub fn partitions(self, others: u32) -> u32 {
        if self == Topic::Control { 1 } else { others }
    }

    /// The topic of that name.
    pub fn from_name(name: &str) -> Option<Topic> {
        Topic::ALL.into_iter().find(|topic| topic.name() == name)
    }

    /// Full name of the schema of its records.
    pub fn schema(self) -> &'static str {
        match self {
            Topic::Transactions => "weir.Transaction",
            Topic::Disputes => "weir.Dispute",
            Topic::Chats => "weir.Chat",
            Topic::Invoices => "weir.Invoice",
            Topic::Labels => "weir.Label",
            Topic::Decisions => "weir.Decision",
            Topic::Escalations => "weir.Escalation",
            Topic::DeadLetters => "weir.DeadLetter",
            Topic::Rollups => "weir.Rollup",
            Topic::Touches => "weir.Touch",
            Topic::Fired => "weir.Fired",
            Topic::Deliveries => "weir.Delivery",
            Topic::Control => "weir.Control",
        }
    }

    /// The kind its decisions carry; `None` where there are none.
    pub fn kind(self) -> Option<&'static str> {
        match self {
            Topic::Transactions => Some("TRANSACTION"),
            Topic::Disputes => Some("DISPUTE"),
            Topic::Chats => Some("CHAT"),
            Topic::Invoices => Some("INVOICE"),
            _ => None,
        }
    }

    /// The field that holds the subject's id in an input.
    pub fn subject_field(self) -> &'static str {
        match self {
            Topic::Transactions => "transaction_id",
            Topic::Disputes => "dispute_id",
            Topic::Chats => "message_id",
            Topic::Invoices => "invoice_id",
            _ => "subject_id",
        }
    }
}

/// The header that makes a record without a payload the tombstone of its account.
pub const ERASE_HEADER: &str = "weir.erase";

/// Consumer group of the scoring stage; it reads [`Topic::INPUTS`].
pub const SCORE: &str = "weir.score";
/// Consumer group of the store.
pub const STORE: &str = "weir.store";
/// Consumer group of the notifier.
pub const NOTIFY: &str = "weir.notify";

/// Each group and a topic it reads.
pub const READERS: [(&str, Topic); 10] = [
    (SCORE, Topic::Transactions),
    (SCORE, Topic::Disputes),
    (SCORE, Topic::Chats),
    (SCORE, Topic::Invoices),
    (SCORE, Topic::Labels),
    (STORE, Topic::Decisions),
    (STORE, Topic::Escalations),
    (STORE, Topic::Rollups),
    (STORE, Topic::Deliveries),
    (NOTIFY, Topic::Escalations),
];

/// Largest payload of an input, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 1_048_576;
/// Longest id, in bytes.
pub const ID_BYTES_MAX: usize = 256;
/// Longest text people wrote (`text`, `narrative`, `note`), in bytes.
pub const PROSE_BYTES_MAX: usize = 65_536;
/// Longest other text, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// 2000-01-01T00:00:00Z in milliseconds since 1970.
pub const EVENT_TIME_MIN_MS: i64 = 946_684_800_000;
/// How far an event may be ahead of its record's timestamp, in milliseconds.
pub const AHEAD_MAX_MS: i64 = 600_000;

const NAMESPACE: Uuid = Uuid::from_u128(0x6e4d_1a5c_52c6_4a3e_9d0b_7c1f_4b8a_2e90);

/// The id of the decision about an event.
pub fn decision_id(tenant: &str, kind: &str, account_id: &str, event_id: &str) -> Uuid {
    let name = [tenant, kind, account_id, event_id].join("\0");
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The id of the escalation of a decision.
pub fn escalation_id(decision_id: &Uuid) -> Uuid {
    Uuid::new_v5(&NAMESPACE, decision_id.as_bytes())
}

/// The id of the escalation of a stage of a deadline: of tenant, account, dispute, its stage and the
/// deadline's.
pub fn deadline_id(parts: &[&str; 5]) -> Uuid {
    Uuid::new_v5(&NAMESPACE, parts.join("\0").as_bytes())
}

/// Whether a decision of this outcome is escalated.
pub fn escalates(outcome: &str) -> bool {
    matches!(outcome, "REVIEW" | "BLOCK")
}

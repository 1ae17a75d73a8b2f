//! What weir says about an event.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{DisputeStage, Kind, Millis, Slot, Text};

/// What to do with the event, from least to most restrictive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// let it pass
    Allow,
    /// ask the account holder for one more proof
    StepUp,
    /// a person decides
    Review,
    /// stop it
    Block,
}

impl Outcome {
    /// Every outcome, least restrictive first.
    pub const ALL: [Outcome; 4] =
        [Outcome::Allow, Outcome::StepUp, Outcome::Review, Outcome::Block];

    /// The name on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Allow => "ALLOW",
            Outcome::StepUp => "STEP_UP",
            Outcome::Review => "REVIEW",
            Outcome::Block => "BLOCK",
        }
    }
}

/// Why a decision is what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason<'a> {
    /// stable, for machines
    #[serde(borrow)]
    pub code: Text<'a>,
    /// for people
    pub text: Text<'a>,
    /// 0..1, what the rule adds to the score
    pub weight: f64,
    /// id of the rule
    pub rule: Text<'a>,
}

/// An event field that rules read, redacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldValue<'a> {
    /// name of the field in its contract
    #[serde(borrow)]
    pub name: Text<'a>,
    /// what it was
    pub value: Slot<'a>,
}

/// What a challenger would have said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shadow<'a> {
    /// name of the challenger
    #[serde(borrow)]
    pub name: Text<'a>,
    /// its outcome
    pub outcome: Text<'a>,
    /// its score
    pub score: f64,
}

/// The input record a decision was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source<'a> {
    /// name of the input topic
    #[serde(borrow)]
    pub topic: Text<'a>,
    /// its partition
    pub partition: i32,
    /// its offset
    pub offset: i64,
    /// fingerprint or registry id of the writer's schema
    pub schema_id: i64,
}

/// What weir decided about one event. It re-runs from this record alone, with the rule set and
/// the feature set whose hashes it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision<'a> {
    /// UUIDv5 of tenant, kind, account and event id, see [`decision_id`]
    #[serde(borrow)]
    pub decision_id: Text<'a>,
    /// the event's own id
    pub event_id: Text<'a>,
    /// when it happened
    pub event_time: Millis,
    /// whose it is
    pub tenant: Text<'a>,
    /// which account it is about
    pub account_id: Text<'a>,
    /// kind of the event
    pub kind: Kind,
    /// transaction_id, dispute_id, message_id or invoice_id
    pub subject_id: Text<'a>,
    /// wall clock of the batch that decided it
    pub decided_at: Millis,
    /// what to do
    pub outcome: Outcome,
    /// the same in the terms of the kind
    pub recommendation: Option<Text<'a>>,
    /// 0..1
    pub score: f64,
    /// 0..1
    pub confidence: f64,
    /// every rule that matched, heaviest first
    pub reasons: Vec<Reason<'a>>,
    /// the event fields that rules read
    pub fields: Vec<FieldValue<'a>>,
    /// feature values in the order of the feature set
    pub features: Vec<Slot<'a>>,
    /// hash of the feature set
    pub feature_set: Text<'a>,
    /// what any partition had committed so many milliseconds before `decided_at` was in the profiles
    /// that features read; `None`: none reads them
    pub profile_age_ms: Option<i64>,
    /// hash of everything that decides: feature set, rules, lists, models, challengers, flags
    #[serde(default)]
    pub policy: Text<'a>,
    /// records of `weir.control` that it was made of; never falls within a partition
    #[serde(default)]
    pub policy_version: i64,
    /// hash of rules and thresholds
    pub rule_set: Text<'a>,
    /// hash of the model
    pub model: Option<Text<'a>>,
    /// hash of the lists
    pub lists: Option<Text<'a>>,
    /// what was left out or not known, and why
    pub degraded: Vec<Text<'a>>,
    /// what challengers would have said
    pub shadow: Vec<Shadow<'a>>,
    /// the record it was made from
    pub source: Source<'a>,
}

/// A decision that a person should look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Escalation<'a> {
    /// UUIDv5 of the decision's id, see [`escalation_id`]
    #[serde(borrow)]
    pub escalation_id: Text<'a>,
    /// the decision
    pub decision_id: Text<'a>,
    /// whose it is
    pub tenant: Text<'a>,
    /// which account it is about
    pub account_id: Text<'a>,
    /// kind of the event
    pub kind: Kind,
    /// transaction_id, dispute_id, message_id or invoice_id
    pub subject_id: Text<'a>,
    /// when the event happened
    pub event_time: Millis,
    /// when it was escalated
    pub created_at: Millis,
    /// REVIEW or BLOCK
    pub outcome: Outcome,
    /// who should look
    pub queue: Text<'a>,
    /// 1 is the most urgent, 4 the least
    pub priority: i32,
    /// by when
    pub due_at: Option<Millis>,
    /// one line for people
    pub summary: Text<'a>,
    /// as in the decision
    pub reasons: Vec<Reason<'a>>,
}

/// Decisions of one minute, kind and outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// start of the minute of `decided_at`
    pub minute: Millis,
    /// kind of the events
    pub kind: Kind,
    /// what was decided
    pub outcome: Outcome,
    /// how often
    pub count: i64,
}

/// Hits of one rule in one minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleCount {
    /// start of the minute of `decided_at`
    pub minute: Millis,
    /// kind of the events
    pub kind: Kind,
    /// id of the rule
    pub rule: String,
    /// how often it matched
    pub count: i64,
}

/// What one commit decided, counted.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Rollup {
    /// by kind and outcome
    pub outcomes: Vec<OutcomeCount>,
    /// by rule
    pub rules: Vec<RuleCount>,
}

/// A stage of a dispute's deadline that has fired.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fired<'a> {
    /// whose it is
    #[serde(borrow)]
    pub tenant: Text<'a>,
    /// which account it is about
    pub account_id: Text<'a>,
    /// the dispute
    pub dispute_id: Text<'a>,
    /// how far the dispute had come
    pub dispute_stage: DisputeStage,
    /// which stage of the deadline, as in the topology
    pub stage: Text<'a>,
    /// the deadline
    pub due_at: Millis,
    /// when it fired
    pub fired_at: Millis,
}

impl Fired<'_> {
    /// The id of its escalation: one for each stage of the dispute and of the deadline, ever.
    pub fn escalation_id(&self) -> Uuid {
        let parts =
            [&*self.tenant, &*self.account_id, &*self.dispute_id, self.dispute_stage.name()];
        Uuid::new_v5(&NAMESPACE, [&parts[..], &[&*self.stage]].concat().join("\0").as_bytes())
    }
}

/// Namespace of weir's identifiers, drawn once; part of the contract (`schemas/decision.avsc`).
const NAMESPACE: Uuid = Uuid::from_u128(0x6e4d_1a5c_52c6_4a3e_9d0b_7c1f_4b8a_2e90);

/// The id of the decision about an event: the same event always gives the same id. The parts are
/// separated by a zero byte, which none of them may contain.
pub fn decision_id(tenant: &str, kind: Kind, account_id: &str, event_id: &str) -> Uuid {
    let mut name = Vec::with_capacity(tenant.len() + account_id.len() + event_id.len() + 16);
    for (i, part) in [tenant, kind.name(), account_id, event_id].into_iter().enumerate() {
        if i > 0 {
            name.push(0);
        }
        name.extend_from_slice(part.as_bytes());
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

/// The id of the escalation of a decision, which is also its idempotency key at receivers.
pub fn escalation_id(decision_id: &Uuid) -> Uuid {
    Uuid::new_v5(&NAMESPACE, decision_id.as_bytes())
}

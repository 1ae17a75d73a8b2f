//! What an event did to entities other than its account: the terminal it happened at, the device it
//! came from, the vendor it names.

use serde::{Deserialize, Serialize};

use super::{Event, Kind, Millis, Text};

/// Kind of entity that a profile can be kept of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "the symbols are the words of the trade")]
pub enum Entity {
    Card,
    Terminal,
    Merchant,
    Device,
    Ip,
    Beneficiary,
    Vendor,
    Employee,
    Email,
}

/// An entity that an event names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TouchedEntity<'a> {
    /// what it is
    pub entity: Entity,
    /// unique among those of its tenant
    #[serde(borrow)]
    pub id: Text<'a>,
}

/// A group of features that an event counts in, and what of it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// hash of the group's definition: whoever declares it alike has the same
    pub group: i64,
    /// the field's value as an integer
    pub value: i64,
}

/// One event and whom it met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TouchEvent<'a> {
    /// of the event
    pub kind: Kind,
    /// of the event
    pub event_time: Millis,
    /// of the event, or the payment that it says something of
    #[serde(borrow)]
    pub subject_id: Text<'a>,
    /// `tenant/account_id`
    pub account: Text<'a>,
    /// in the currency's minor unit
    pub amount_minor: Option<i64>,
    /// whom it met
    pub entities: Vec<TouchedEntity<'a>>,
    /// set when it says of the payment `subject_id` whether it was fraud
    pub verdict: Option<Text<'a>>,
    /// what it counts in
    #[serde(default)]
    pub marks: Vec<Mark>,
}

/// What records of one input partition did to entities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Touch<'a> {
    /// of the input
    pub partition: i32,
    /// what the partition's owner decided before then is in this touch or in one before it
    pub decided_until: Millis,
    /// in the order in which they were taken
    #[serde(borrow)]
    pub events: Vec<TouchEvent<'a>>,
}

/// Entities that one event can name.
const ENTITIES_MAX: usize = 7;

impl Event<'_> {
    /// The entities that this event may name, and what it calls them.
    pub fn entities(&self) -> [(Entity, Option<&str>); ENTITIES_MAX] {
        let named = match self {
            Event::Transaction(event) => [
                (Entity::Card, event.card_id.as_deref()),
                (Entity::Terminal, event.terminal_id.as_deref()),
                (Entity::Merchant, Some(&*event.merchant_id)),
                (Entity::Device, event.device_id.as_deref()),
                (Entity::Ip, event.ip.as_deref()),
                (Entity::Beneficiary, event.beneficiary_id.as_deref()),
                (Entity::Email, event.email_hash.as_deref()),
            ],
            Event::Dispute(event) => [
                (Entity::Card, event.card_id.as_deref()),
                (Entity::Terminal, event.terminal_id.as_deref()),
                (Entity::Merchant, event.merchant_id.as_deref()),
                (Entity::Device, event.device_id.as_deref()),
                (Entity::Ip, event.ip.as_deref()),
                (Entity::Beneficiary, None),
                (Entity::Email, None),
            ],
            Event::Invoice(event) => {
                let mut named = [(Entity::Vendor, None); ENTITIES_MAX];
                named[0] = (Entity::Vendor, event.vendor_id.as_deref());
                named[1] = (Entity::Employee, event.employee_id.as_deref());
                named
            }
            // a chat meets nobody else, and a label says nothing of whom its subject met
            Event::Chat(_) | Event::Label(_) => [(Entity::Vendor, None); ENTITIES_MAX],
        };
        named.map(|(entity, id)| (entity, id.filter(|id| !id.is_empty())))
    }

    fn amount_minor(&self) -> Option<i64> {
        match self {
            Event::Transaction(event) => Some(event.amount_minor),
            Event::Dispute(event) => Some(event.amount_minor),
            Event::Invoice(event) => Some(event.amount_minor),
            Event::Chat(_) | Event::Label(_) => None,
        }
    }
}

impl Entity {
    /// Whether events of this kind can name one.
    pub fn is_named_by(self, kind: Kind) -> bool {
        match self {
            Entity::Card | Entity::Terminal | Entity::Merchant | Entity::Device | Entity::Ip => {
                matches!(kind, Kind::Transaction | Kind::Dispute)
            }
            Entity::Beneficiary | Entity::Email => kind == Kind::Transaction,
            Entity::Vendor | Entity::Employee => kind == Kind::Invoice,
        }
    }
}

impl<'a> TouchEvent<'a> {
    /// What `event` of the account `tenant/account_id` touches of those entities that something is kept
    /// of, and what counts of it; `None`: nobody.
    pub fn of(
        event: &'a Event<'_>,
        account: &'a str,
        marks: &[Mark],
        is_kept: impl Fn(Entity) -> bool,
    ) -> Option<TouchEvent<'a>> {
        let met = |(entity, id): (Entity, Option<&'a str>)| {
            id.filter(|_| is_kept(entity)).map(|id| TouchedEntity { entity, id: Text::from(id) })
        };
        let entities: Vec<TouchedEntity<'a>> =
            event.entities().into_iter().filter_map(met).collect();
        let (subject_id, verdict) = event.speaks_of();
        (!entities.is_empty()).then(|| TouchEvent {
            kind: event.kind(),
            event_time: event.event_time(),
            subject_id: Text::from(subject_id),
            account: Text::from(account),
            amount_minor: event.amount_minor(),
            entities,
            verdict: verdict.map(|verdict| Text::from(verdict.name())),
            marks: marks.to_vec(),
        })
    }
}

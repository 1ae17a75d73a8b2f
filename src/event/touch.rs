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

/// One event and whom it met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TouchEvent<'a> {
    /// of the event
    pub kind: Kind,
    /// of the event
    pub event_time: Millis,
    /// of the event
    #[serde(borrow)]
    pub subject_id: Text<'a>,
    /// `tenant/account_id`
    pub account: Text<'a>,
    /// in the currency's minor unit
    pub amount_minor: Option<i64>,
    /// whom it met
    pub entities: Vec<TouchedEntity<'a>>,
    /// set when the touch carries a label
    pub verdict: Option<Text<'a>>,
}

/// What records of one input partition did to entities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Touch<'a> {
    /// of the input
    pub partition: i32,
    /// in the order in which they were taken
    #[serde(borrow)]
    pub events: Vec<TouchEvent<'a>>,
}

/// Entities that one event can name.
const ENTITIES_MAX: usize = 7;

impl<'a> TouchEvent<'a> {
    /// What `event` of the account `tenant/account_id` touches; `None`: nobody else.
    pub fn of(event: &'a Event<'_>, account: &'a str) -> Option<TouchEvent<'a>> {
        let named: [(Entity, Option<&'a str>); ENTITIES_MAX];
        let amount_minor;
        match event {
            Event::Transaction(event) => {
                named = [
                    (Entity::Card, event.card_id.as_deref()),
                    (Entity::Terminal, event.terminal_id.as_deref()),
                    (Entity::Merchant, Some(&event.merchant_id)),
                    (Entity::Device, event.device_id.as_deref()),
                    (Entity::Ip, event.ip.as_deref()),
                    (Entity::Beneficiary, event.beneficiary_id.as_deref()),
                    (Entity::Email, event.email_hash.as_deref()),
                ];
                amount_minor = event.amount_minor;
            }
            Event::Dispute(event) => {
                named = [
                    (Entity::Card, event.card_id.as_deref()),
                    (Entity::Terminal, event.terminal_id.as_deref()),
                    (Entity::Merchant, event.merchant_id.as_deref()),
                    (Entity::Device, event.device_id.as_deref()),
                    (Entity::Ip, event.ip.as_deref()),
                    (Entity::Beneficiary, None),
                    (Entity::Email, None),
                ];
                amount_minor = event.amount_minor;
            }
            Event::Invoice(event) => {
                let none = (Entity::Vendor, None);
                named = [
                    (Entity::Vendor, event.vendor_id.as_deref()),
                    (Entity::Employee, event.employee_id.as_deref()),
                    none,
                    none,
                    none,
                    none,
                    none,
                ];
                amount_minor = event.amount_minor;
            }
            // a chat meets nobody else, and a label says nothing of whom its subject met
            Event::Chat(_) | Event::Label(_) => return None,
        }
        let met = |(entity, id): (Entity, Option<&'a str>)| {
            let id = id.filter(|id| !id.is_empty())?;
            Some(TouchedEntity { entity, id: Text::from(id) })
        };
        let entities: Vec<TouchedEntity<'a>> = named.into_iter().filter_map(met).collect();
        (!entities.is_empty()).then(|| TouchEvent {
            kind: event.kind(),
            event_time: event.event_time(),
            subject_id: Text::from(event.subject_id()),
            account: Text::from(account),
            amount_minor: Some(amount_minor),
            entities,
            verdict: None,
        })
    }
}

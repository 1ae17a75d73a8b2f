//! What features need to know of one event, worked out once.

use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU128;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::set::{FLOAT_SCALE, FeatureSet, Field, KEYS, Key};
use crate::event::{Entity, Event, Kind, Slot, Verdict};
use crate::expr::{self, Scope};

/// Fields that an event of any kind has at most.
const FIELDS_MAX: usize = 32;

/// What features need to know of one event.
#[derive(Clone, Debug)]
pub struct Facts {
    pub(super) kind: Kind,
    pub(super) time: i64,
    /// hash of what the event is about
    pub(super) subject: i64,
    /// bit i: it passes the filter of group i of its kind and has the field
    pub(super) matched: u64,
    /// what is kept of its fields, by slot
    values: [i64; FIELDS_MAX],
    /// the entities it names that something is kept of, by [`Key::index`]
    entities: [Option<NonZeroU128>; KEYS.len()],
    /// hash of the payment it says something of, and what
    pub(super) says: Option<(i64, Verdict)>,
}

/// A hasher for keys that are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher;

impl BuildHasher for KeyHasher {
    type Hasher = Taken;

    fn build_hasher(&self) -> Taken {
        Taken(0)
    }
}

/// Takes the low half of a key as it is.
#[derive(Clone, Copy, Debug)]
pub struct Taken(u64);

impl Hasher for Taken {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= xxh3_64(bytes);
    }

    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

/// The name of an account or entity in the tables: two that are alike by chance are one in 2^128.
pub(super) fn key_hash(key: &str) -> u128 {
    xxh3_128(key.as_bytes())
}

/// The same of an entity, which is unique among those of its tenant.
pub(super) fn entity_hash(entity: Entity, tenant: &str, id: &str) -> u128 {
    joined([&[entity as u8][..], tenant.as_bytes(), &[0], id.as_bytes()], xxh3_128)
}

/// The name of a payment where accounts meet: its id is unique within its account.
pub(super) fn payment_hash(account: &str, payment: &str) -> i64 {
    joined([account.as_bytes(), &[0], payment.as_bytes()], xxh3_64).cast_signed()
}

/// The hash of parts as one text: a hasher that takes them one after another costs more than to join them.
fn joined<T, const N: usize>(parts: [&[u8]; N], hash: impl Fn(&[u8]) -> T) -> T {
    let mut text = [0; 256];
    let length: usize = parts.iter().map(|part| part.len()).sum();
    if length > text.len() {
        return hash(&parts.concat());
    }
    let mut at = 0;
    for part in parts {
        text[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    hash(&text[..length])
}

pub(super) fn subject_hash(subject: &str) -> i64 {
    xxh3_64(subject.as_bytes()).cast_signed()
}

impl Facts {
    /// Whether the event names such an entity, of which something is kept.
    pub fn meets(&self, entity: Entity) -> bool {
        self.entity(Key::Entity(entity)).is_some()
    }

    /// The entity it names under a key, if something is kept of such.
    pub(super) fn entity(&self, key: Key) -> Option<u128> {
        self.entities[key.index()].map(NonZeroU128::get)
    }

    /// All of them.
    pub(super) fn entities(&self) -> impl Iterator<Item = (Entity, u128)> {
        KEYS.iter().zip(self.entities).filter_map(|((_, key), id)| match key {
            Key::Entity(entity) => Some((*entity, id?.get())),
            Key::Account => None,
        })
    }

    /// What is kept of a field; of none, nothing.
    pub(super) fn value(&self, field: Option<Field>) -> i64 {
        field.map_or(0, |field| self.values[field.slot])
    }

    /// A moment at which nothing happens.
    pub(super) fn at(time: i64) -> Facts {
        Facts {
            kind: Kind::Transaction,
            time,
            subject: 0,
            matched: 0,
            values: [0; FIELDS_MAX],
            entities: [None; KEYS.len()],
            says: None,
        }
    }
}

impl FeatureSet {
    /// What the features need to know of an event.
    pub fn facts(&self, event: &Event<'_>) -> Facts {
        let kind = event.kind();
        let plan = &self.kinds[kind as usize];
        let mut slots = [Slot::Null; FIELDS_MAX];
        for slot in &plan.slots {
            slots[*slot] = expr::read(event, *slot);
        }
        let scope = Scope { slots: &slots, lists: &[], at: event.event_time() };
        let mut passes = 0_u64;
        for (i, filter) in plan.filters.iter().enumerate() {
            passes |= u64::from(filter.holds(&scope)) << i;
        }
        let mut facts = Facts {
            kind,
            subject: subject_hash(event.subject_id()),
            says: event
                .says_of_payment()
                .map(|(payment, verdict)| (subject_hash(payment), verdict)),
            ..Facts::at(event.event_time().0)
        };
        if self.has_profiles() {
            for (entity, id) in event.entities() {
                let i = Key::Entity(entity).index();
                let is_read = self.reads.iter().any(|reads| reads.key.index() == i);
                if let Some(id) = id.filter(|_| is_read) {
                    facts.entities[i] = NonZeroU128::new(entity_hash(entity, event.tenant(), id));
                }
            }
        }
        let mut known = 0_u64;
        for slot in &plan.kept {
            facts.values[*slot] = match slots[*slot] {
                Slot::Null => continue,
                Slot::Bool(value) => i64::from(value),
                Slot::Int(value) => value,
                Slot::Float(value) => (value * FLOAT_SCALE).round() as i64,
                Slot::Text(value) => subject_hash(value),
            };
            known |= 1 << slot;
        }
        for (i, group) in plan.groups.iter().enumerate() {
            let passes = group.filter.is_none_or(|filter| passes >> filter & 1 == 1);
            let has_field = group.field.is_none_or(|field| known >> field.slot & 1 == 1);
            facts.matched |= u64::from(passes && has_field) << i;
        }
        facts
    }
}

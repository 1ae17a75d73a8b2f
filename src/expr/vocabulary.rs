//! The names that expressions of one kind may use, and the slots they stand for: the event's fields
//! first, then what else there is, such as features.

use std::collections::HashMap;

use super::fields::fields;
use crate::config::nearest;
use crate::event::{Kind, Slot};

/// Type of a slot that is not null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// yes or no
    Bool,
    /// a whole number
    Int,
    /// a number
    Float,
    /// text
    Text,
}

impl Type {
    /// The name CEL has for it.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Float => "double",
            Type::Text => "string",
        }
    }

    /// The type of a value, `None` for null.
    pub fn of(slot: Slot<'_>) -> Option<Type> {
        match slot {
            Slot::Null => None,
            Slot::Bool(_) => Some(Type::Bool),
            Slot::Int(_) => Some(Type::Int),
            Slot::Float(_) => Some(Type::Float),
            Slot::Text(_) => Some(Type::Text),
        }
    }
}

/// The names of one kind.
#[derive(Debug)]
pub struct Vocabulary {
    names: Vec<(String, Type)>,
    by_name: HashMap<String, usize>,
    field_count: usize,
    lists: Vec<String>,
}

impl Vocabulary {
    /// The root through which an event's fields may be named: `event.card_id` is `card_id`.
    pub const EVENT: &'static str = "event";
    /// The root through which features may be named.
    pub const FEATURE: &'static str = "feature";

    /// The fields of a kind's events, then `more`.
    pub fn new<'a>(kind: Kind, more: impl Iterator<Item = (&'a str, Type)>) -> Vocabulary {
        let own = fields(kind);
        let names: Vec<(String, Type)> =
            own.iter().copied().chain(more).map(|(name, ty)| (name.to_owned(), ty)).collect();
        let by_name = names.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        Vocabulary { names, by_name, field_count: own.len(), lists: Vec::new() }
    }

    /// The same names, and lists that `in_list` may name: their order is that of the scope's lists.
    #[must_use]
    pub fn with_lists(mut self, names: &[String]) -> Vocabulary {
        self.lists = names.to_vec();
        self
    }

    /// The slot a name stands for.
    pub fn slot(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The slot and type of a name, plain or through its root.
    pub(super) fn qualified(&self, name: &str) -> Option<(usize, Type)> {
        let slot = match name.split_once('.') {
            None => self.slot(name)?,
            Some((Self::EVENT, name)) => self.slot(name).filter(|slot| *slot < self.field_count)?,
            Some((Self::FEATURE, name)) => {
                self.slot(name).filter(|slot| *slot >= self.field_count)?
            }
            Some(_) => return None,
        };
        Some((slot, self.type_of(slot)))
    }

    /// The place of a list.
    ///
    /// # Errors
    /// What is wrong with its name, with the nearest one that is known.
    pub(super) fn list(&self, name: &str) -> Result<usize, String> {
        if let Some(list) = self.lists.iter().position(|known| known == name) {
            return Ok(list);
        }
        Err(match nearest(name, self.lists.iter().map(String::as_str)) {
            Some(known) => format!("unknown list {name:?}, did you mean {known:?}?"),
            None => format!("unknown list {name:?}, expected the name of a declared list"),
        })
    }

    /// The name of a slot.
    pub fn name(&self, slot: usize) -> &str {
        &self.names[slot].0
    }

    /// The type of a slot.
    pub fn type_of(&self, slot: usize) -> Type {
        self.names[slot].1
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Slots below this are the event's own fields.
    pub fn field_count(&self) -> usize {
        self.field_count
    }

    /// What is wrong with a name that is not known, with the nearest one that is.
    pub fn unknown(&self, name: &str) -> String {
        match nearest(name, self.names.iter().map(|(known, _)| known.as_str())) {
            Some(known) => format!("unknown name {name:?}, did you mean {known:?}?"),
            None => format!("unknown name {name:?}, expected an event field or a feature"),
        }
    }
}

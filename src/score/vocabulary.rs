//! The names that rules of one kind may use, and the slots they stand for: the event's fields
//! first, then the features.

use std::collections::HashMap;

use super::fields::fields;
use crate::config::nearest;
use crate::event::{Kind, Slot};
use crate::state::{FEATURES, FeatureType};

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
pub(super) struct Vocabulary {
    names: Vec<(String, Type)>,
    by_name: HashMap<String, usize>,
    field_count: usize,
}

impl Vocabulary {
    pub(super) fn of(kind: Kind) -> Vocabulary {
        let own = fields(kind);
        let features = FEATURES.iter().map(|(name, ty)| {
            let ty = match ty {
                FeatureType::Int => Type::Int,
                FeatureType::Float => Type::Float,
            };
            (name.clone(), ty)
        });
        let names: Vec<(String, Type)> =
            own.iter().map(|(name, ty)| ((*name).to_owned(), *ty)).chain(features).collect();
        let by_name = names.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
        Vocabulary { names, by_name, field_count: own.len() }
    }

    pub(super) fn slot(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(super) fn by_name(&self) -> &HashMap<String, usize> {
        &self.by_name
    }

    pub(super) fn name(&self, slot: usize) -> &str {
        &self.names[slot].0
    }

    pub(super) fn type_of(&self, slot: usize) -> Type {
        self.names[slot].1
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Slots below this are the event's own fields.
    pub(super) fn field_count(&self) -> usize {
        self.field_count
    }

    /// What is wrong with a name that is not known, with the nearest one that is.
    pub(super) fn unknown(&self, name: &str) -> String {
        match nearest(name, self.names.iter().map(|(known, _)| known.as_str())) {
            Some(known) => format!("unknown name {name:?}, did you mean {known:?}?"),
            None => format!("unknown name {name:?}, expected an event field or a feature"),
        }
    }
}

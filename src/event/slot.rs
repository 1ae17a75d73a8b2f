//! One typed value as rules and models see it.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// An event field or a feature at the moment of a decision. `Null` is "not known", never zero.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Slot<'a> {
    /// absent, or no history yet
    #[default]
    Null,
    /// yes or no
    Bool(bool),
    /// counts, money in minor units, milliseconds
    Int(i64),
    /// ratios, seconds, degrees
    Float(f64),
    /// identifiers and words
    Text(&'a str),
}

impl<'a> From<Option<&'a str>> for Slot<'a> {
    fn from(text: Option<&'a str>) -> Self {
        text.map_or(Slot::Null, Slot::Text)
    }
}

impl fmt::Display for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Slot::Null => f.write_str("null"),
            Slot::Bool(v) => write!(f, "{v}"),
            Slot::Int(v) => write!(f, "{v}"),
            Slot::Float(v) => write!(f, "{v}"),
            Slot::Text(v) => write!(f, "{v:?}"),
        }
    }
}

impl Serialize for Slot<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Slot::Null => serializer.serialize_unit(),
            Slot::Bool(v) => serializer.serialize_bool(*v),
            Slot::Int(v) => serializer.serialize_i64(*v),
            Slot::Float(v) => serializer.serialize_f64(*v),
            Slot::Text(v) => serializer.serialize_str(v),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Slot<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SlotVisitor;

        impl<'de> Visitor<'de> for SlotVisitor {
            type Value = Slot<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null, a boolean, a number or a string")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Slot::Null)
            }

            fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Slot::Null)
            }

            fn visit_bool<E: de::Error>(self, v: bool) -> Result<Self::Value, E> {
                Ok(Slot::Bool(v))
            }

            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Self::Value, E> {
                Ok(Slot::Int(v))
            }

            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Self::Value, E> {
                i64::try_from(v)
                    .map(Slot::Int)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(v), &self))
            }

            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Self::Value, E> {
                Ok(Slot::Float(v))
            }

            fn visit_borrowed_str<E: de::Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Slot::Text(v))
            }
        }

        deserializer.deserialize_any(SlotVisitor)
    }
}

//! Values in the middle of an expression: how they are equal, and which comes first.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::Arc;

use super::fuel::Fuel;
use super::net::Cidr;
use super::time::{Moment, Span};
use crate::event::Slot;

/// Why an expression has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// it calculates or compares with what is absent
    #[error("something it needs is absent")]
    Absent,
    /// a whole number, a time or a duration beyond what can be told
    #[error("a number out of range")]
    Range,
    /// a whole number divided by 0
    #[error("division by zero")]
    Zero,
    /// a list or text has no such place, a map no such key
    #[error("no such key or place")]
    Missing,
    /// a text that is not what it is to be converted to
    #[error("a text that cannot be converted")]
    Conversion,
    /// a map with one key twice, or a key that is no bool, whole number or text
    #[error("a key that is there twice or cannot be one")]
    Key,
    /// an argument that the operator or function does not take
    #[error("an argument of the wrong kind")]
    Argument,
    /// a name or function that nobody knows, where that was not refused at load
    #[error("an unknown name")]
    Unknown,
    /// more steps, or a longer text or list, than an expression may take
    #[error("too long a calculation")]
    Cost,
}

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// absent
    Null,
    /// yes or no
    Bool(bool),
    /// a whole number
    Int(i64),
    /// a whole number that is not negative
    Uint(u64),
    /// a number
    Float(f64),
    /// text
    Text(Cow<'a, str>),
    /// bytes
    Bytes(Cow<'a, [u8]>),
    /// a moment
    Time(Moment),
    /// a stretch of time
    Span(Span),
    /// values in order
    List(Arc<[Value<'a>]>),
    /// values under keys, in the order they were written
    Map(Arc<[(Value<'a>, Value<'a>)]>),
    /// a type, by its name
    Type(&'static str),
    /// an address
    Ip(IpAddr),
    /// a block of addresses
    Cidr(Cidr),
}

impl<'a> From<Slot<'a>> for Value<'a> {
    #[inline]
    fn from(slot: Slot<'a>) -> Self {
        match slot {
            Slot::Null => Value::Null,
            Slot::Bool(value) => Value::Bool(value),
            Slot::Int(value) => Value::Int(value),
            Slot::Float(value) => Value::Float(value),
            Slot::Text(value) => Value::Text(Cow::Borrowed(value)),
        }
    }
}

impl<'a> Value<'a> {
    pub(super) fn text(text: impl Into<Cow<'a, str>>) -> Value<'a> {
        Value::Text(text.into())
    }

    pub(super) fn count(count: usize) -> Value<'a> {
        Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(super) fn list(values: Vec<Value<'a>>) -> Value<'a> {
        Value::List(values.into())
    }

    /// The name of its type, as CEL has it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Float(_) => "double",
            Value::Text(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Time(_) => "google.protobuf.Timestamp",
            Value::Span(_) => "google.protobuf.Duration",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Type(_) => "type",
            Value::Ip(_) => "net.IP",
            Value::Cidr(_) => "net.CIDR",
        }
    }

    /// A value that may outlive what this one borrows.
    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Int(value) => Value::Int(value),
            Value::Uint(value) => Value::Uint(value),
            Value::Float(value) => Value::Float(value),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Bytes(bytes) => Value::Bytes(Cow::Owned(bytes.into_owned())),
            Value::Time(time) => Value::Time(time),
            Value::Span(span) => Value::Span(span),
            Value::List(values) => {
                Value::List(values.iter().map(|value| value.clone().into_owned()).collect())
            }
            Value::Map(entries) => {
                let owned = |(key, value): &(Value<'a>, Value<'a>)| {
                    (key.clone().into_owned(), value.clone().into_owned())
                };
                Value::Map(entries.iter().map(owned).collect())
            }
            Value::Type(name) => Value::Type(name),
            Value::Ip(ip) => Value::Ip(ip),
            Value::Cidr(cidr) => Value::Cidr(cidr),
        }
    }

    /// What it costs to go through it once, in steps.
    pub(super) fn weight(&self) -> usize {
        /// Bytes of text that are gone through in about the time of one step.
        const BYTES_A_STEP: usize = 64;
        match self {
            Value::Text(text) => text.len() / BYTES_A_STEP,
            Value::Bytes(bytes) => bytes.len() / BYTES_A_STEP,
            Value::List(values) => values.len(),
            Value::Map(entries) => entries.len(),
            _ => 0,
        }
    }
}

/// The same value, without a copy of what it holds.
#[inline]
pub(super) fn borrowed<'a>(value: &'a Value<'static>) -> Value<'a> {
    match value {
        Value::Text(text) => Value::Text(Cow::Borrowed(text.as_ref())),
        Value::Bytes(bytes) => Value::Bytes(Cow::Borrowed(bytes.as_ref())),
        other => other.clone(),
    }
}

/// Whether two values are one. Numbers are compared by what they are worth, whatever their types; what
/// is of different types otherwise is different; not-a-number differs from itself.
///
/// # Errors
/// [`Fault::Cost`] where there is too much to compare.
pub(super) fn equal(left: &Value<'_>, right: &Value<'_>, fuel: &mut Fuel) -> Result<bool, Fault> {
    Ok(match (left, right) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a == b,
        (Value::Span(a), Value::Span(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Ip(a), Value::Ip(b)) => a == b,
        (Value::Cidr(a), Value::Cidr(b)) => a == b,
        (Value::List(a), Value::List(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b.iter()) {
                fuel.spend(1)?;
                if !equal(a, b, fuel)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) if a.len() == b.len() => {
            for (key, value) in a.iter() {
                match under(b, key, fuel)? {
                    Some(other) if equal(value, other, fuel)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        _ => numbers(left, right).is_some_and(|order| order == Some(Ordering::Equal)),
    })
}

/// The value of a map under a key.
pub(super) fn under<'v, 'a>(
    entries: &'v [(Value<'a>, Value<'a>)],
    key: &Value<'_>,
    fuel: &mut Fuel,
) -> Result<Option<&'v Value<'a>>, Fault> {
    for (known, value) in entries {
        fuel.spend(1)?;
        if equal(known, key, fuel)? {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// Which comes first. What is not a number has no place in an order.
pub(super) fn compare(left: &Value<'_>, right: &Value<'_>) -> Result<Ordering, Fault> {
    Ok(match (left, right) {
        (Value::Null, _) | (_, Value::Null) => return Err(Fault::Absent),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_ref().cmp(b.as_ref()),
        (Value::Bytes(a), Value::Bytes(b)) => a.as_ref().cmp(b.as_ref()),
        (Value::Time(a), Value::Time(b)) => a.cmp(b),
        (Value::Span(a), Value::Span(b)) => a.cmp(b),
        _ => return numbers(left, right).ok_or(Fault::Argument)?.ok_or(Fault::Range),
    })
}

/// How two numbers stand to each other; the outer `None`: they are not both numbers.
///
/// Where only one has a fraction the other is rounded to the nearest that can have one, as CEL's own
/// implementations do: beyond 2^53 whole numbers next to each other may count as one then.
fn numbers(left: &Value<'_>, right: &Value<'_>) -> Option<Option<Ordering>> {
    Some(match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Int(a), Value::Float(b)) => (*a as f64).partial_cmp(b),
        (Value::Uint(a), Value::Float(b)) => (*a as f64).partial_cmp(b),
        (Value::Float(a), Value::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Value::Float(a), Value::Uint(b)) => a.partial_cmp(&(*b as f64)),
        _ => return None,
    })
}

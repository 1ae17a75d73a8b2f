//! Places of lists and keys of maps.

use super::fuel::Fuel;
use super::program::Scope;
use super::value::{Fault, Value, equal, under};
use crate::event::Slot;

/// One more entry of a map that is being made.
pub(super) fn insert<'a>(
    made: &mut Vec<(Value<'a>, Value<'a>)>,
    key: Value<'a>,
    value: Value<'a>,
    fuel: &mut Fuel,
) -> Result<(), Fault> {
    let is_key = matches!(key, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Text(_));
    if !is_key || under(made, &key, fuel)?.is_some() {
        return Err(Fault::Key);
    }
    made.push((key, value));
    Ok(())
}

/// The element of a list, or the value of a map under a key.
pub(super) fn index<'a>(
    of: &Value<'a>,
    at: &Value<'a>,
    fuel: &mut Fuel,
) -> Result<Value<'a>, Fault> {
    match of {
        Value::List(values) => {
            let at = match at {
                Value::Int(at) => usize::try_from(*at).map_err(|_| Fault::Missing)?,
                Value::Uint(at) => usize::try_from(*at).map_err(|_| Fault::Missing)?,
                Value::Float(at) if at.trunc() == *at && *at >= 0.0 => *at as usize,
                Value::Null => return Err(Fault::Absent),
                _ => return Err(Fault::Argument),
            };
            values.get(at).cloned().ok_or(Fault::Missing)
        }
        Value::Map(entries) => under(entries, at, fuel)?.cloned().ok_or(Fault::Missing),
        Value::Null => Err(Fault::Absent),
        _ => Err(Fault::Argument),
    }
}

/// Whether a value is in a list, or a key of a map.
pub(super) fn is_in(needle: &Value<'_>, of: &Value<'_>, fuel: &mut Fuel) -> Result<bool, Fault> {
    match of {
        Value::List(values) => {
            for value in values.iter() {
                fuel.spend(1)?;
                if equal(needle, value, fuel)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(entries) => Ok(under(entries, needle, fuel)?.is_some()),
        Value::Null => Err(Fault::Absent),
        _ => Err(Fault::Argument),
    }
}

/// Whether a value is in a list of the scope; what is absent is in none.
pub(super) fn in_list(value: &Value<'_>, list: usize, scope: &Scope<'_>) -> bool {
    let slot = match value {
        Value::Text(text) => Slot::Text(text),
        Value::Int(value) => Slot::Int(*value),
        Value::Float(value) => Slot::Float(*value),
        Value::Bool(value) => Slot::Bool(*value),
        _ => return false,
    };
    scope.lists.get(list).is_some_and(|list| list.contains(slot, scope.at))
}

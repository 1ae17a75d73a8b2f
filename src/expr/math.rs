//! Numbers: calculations by signs, and the functions of the `math` library.

use std::borrow::Cow;

use super::fuel::Fuel;
use super::overloads::Row;
use super::types::Kind::{Bool, Float, Int, Uint};
use super::types::Ty;
use super::value::{Fault, Value};

pub(super) const ROWS: &[Row] = &[
    Row::plain("math.ceil", &[Float], Float, |of, _| float(of, f64::ceil)),
    Row::plain("math.floor", &[Float], Float, |of, _| float(of, f64::floor)),
    Row::plain("math.round", &[Float], Float, |of, _| float(of, f64::round)),
    Row::plain("math.trunc", &[Float], Float, |of, _| float(of, f64::trunc)),
    Row::plain("math.isNaN", &[Float], Bool, |of, _| test(of, f64::is_nan)),
    Row::plain("math.isInf", &[Float], Bool, |of, _| test(of, f64::is_infinite)),
    Row::plain("math.isFinite", &[Float], Bool, |of, _| test(of, f64::is_finite)),
    Row::plain("math.abs", &[Int], Int, abs),
    Row::plain("math.abs", &[Uint], Uint, abs),
    Row::plain("math.abs", &[Float], Float, abs),
    Row::plain("math.sign", &[Int], Int, sign),
    Row::plain("math.sign", &[Uint], Uint, sign),
    Row::plain("math.sign", &[Float], Float, sign),
    Row::plain("math.sqrt", &[Int], Float, sqrt),
    Row::plain("math.sqrt", &[Uint], Float, sqrt),
    Row::plain("math.sqrt", &[Float], Float, sqrt),
    Row::plain("math.bitAnd", &[Int, Int], Int, |of, _| bits(of, |a, b| a & b)),
    Row::plain("math.bitAnd", &[Uint, Uint], Uint, |of, _| bits(of, |a, b| a & b)),
    Row::plain("math.bitOr", &[Int, Int], Int, |of, _| bits(of, |a, b| a | b)),
    Row::plain("math.bitOr", &[Uint, Uint], Uint, |of, _| bits(of, |a, b| a | b)),
    Row::plain("math.bitXor", &[Int, Int], Int, |of, _| bits(of, |a, b| a ^ b)),
    Row::plain("math.bitXor", &[Uint, Uint], Uint, |of, _| bits(of, |a, b| a ^ b)),
    Row::plain("math.bitNot", &[Int], Int, bit_not),
    Row::plain("math.bitNot", &[Uint], Uint, bit_not),
    Row::plain("math.bitShiftLeft", &[Int, Int], Int, |of, _| shift(of, u64::checked_shl)),
    Row::plain("math.bitShiftLeft", &[Uint, Int], Uint, |of, _| shift(of, u64::checked_shl)),
    Row::plain("math.bitShiftRight", &[Int, Int], Int, |of, _| shift(of, u64::checked_shr)),
    Row::plain("math.bitShiftRight", &[Uint, Int], Uint, |of, _| shift(of, u64::checked_shr)),
];

fn float<'a>(of: &[Value<'a>], how: fn(f64) -> f64) -> Result<Value<'a>, Fault> {
    let [Value::Float(value)] = of else { return Err(Fault::Argument) };
    Ok(Value::Float(how(*value)))
}

fn test<'a>(of: &[Value<'a>], how: fn(f64) -> bool) -> Result<Value<'a>, Fault> {
    let [Value::Float(value)] = of else { return Err(Fault::Argument) };
    Ok(Value::Bool(how(*value)))
}

fn abs<'a>(of: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(match of {
        [Value::Int(value)] => Value::Int(value.checked_abs().ok_or(Fault::Range)?),
        [Value::Uint(value)] => Value::Uint(*value),
        [Value::Float(value)] => Value::Float(value.abs()),
        _ => return Err(Fault::Argument),
    })
}

fn sign<'a>(of: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(match of {
        [Value::Int(value)] => Value::Int(value.signum()),
        [Value::Uint(value)] => Value::Uint((*value).min(1)),
        [Value::Float(value)] if *value == 0.0 => Value::Float(0.0),
        [Value::Float(value)] if value.is_nan() => Value::Float(*value),
        [Value::Float(value)] => Value::Float(value.signum()),
        _ => return Err(Fault::Argument),
    })
}

fn sqrt<'a>(of: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Float(match of {
        [Value::Int(value)] => (*value as f64).sqrt(),
        [Value::Uint(value)] => (*value as f64).sqrt(),
        [Value::Float(value)] => value.sqrt(),
        _ => return Err(Fault::Argument),
    }))
}

fn bits<'a>(of: &[Value<'a>], how: fn(u64, u64) -> u64) -> Result<Value<'a>, Fault> {
    Ok(match of {
        [Value::Int(a), Value::Int(b)] => {
            Value::Int(how(a.cast_unsigned(), b.cast_unsigned()).cast_signed())
        }
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(how(*a, *b)),
        _ => return Err(Fault::Argument),
    })
}

fn bit_not<'a>(of: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(match of {
        [Value::Int(value)] => Value::Int(!value),
        [Value::Uint(value)] => Value::Uint(!value),
        _ => return Err(Fault::Argument),
    })
}

/// By 64 places and more nothing is left. Signs are bits like others.
fn shift<'a>(of: &[Value<'a>], how: fn(u64, u32) -> Option<u64>) -> Result<Value<'a>, Fault> {
    let [value, Value::Int(places)] = of else { return Err(Fault::Argument) };
    if *places < 0 {
        return Err(Fault::Range);
    }
    let places = u32::try_from(*places).unwrap_or(u32::MAX);
    Ok(match value {
        Value::Int(value) => {
            Value::Int(how(value.cast_unsigned(), places).unwrap_or(0).cast_signed())
        }
        Value::Uint(value) => Value::Uint(how(*value, places).unwrap_or(0)),
        _ => return Err(Fault::Argument),
    })
}

/// What a sign calculates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calculation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Calculation {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Calculation::Add => "+",
            Calculation::Subtract => "-",
            Calculation::Multiply => "*",
            Calculation::Divide => "/",
            Calculation::Modulo => "%",
        }
    }

    /// The type it gives, `None` where its sides do not go together.
    pub(super) fn gives(self, left: &Ty, right: &Ty) -> Option<Ty> {
        use Calculation::{Add, Modulo, Subtract};
        Some(match (self, left, right) {
            (Modulo, Ty::Float, _) | (Modulo, _, Ty::Float) => return None,
            (_, a, b) if a == b && a.is_number() => a.clone(),
            (_, Ty::Dyn, other) | (_, other, Ty::Dyn) if other.is_number() => other.clone(),
            (_, Ty::Dyn, _) | (_, _, Ty::Dyn) => Ty::Dyn,
            (Add, Ty::Text, Ty::Text) => Ty::Text,
            (Add, Ty::Bytes, Ty::Bytes) => Ty::Bytes,
            (Add, Ty::List(a), Ty::List(b)) => Ty::List(Box::new(a.join(b).unwrap_or(Ty::Dyn))),
            (Add | Subtract, Ty::Span, Ty::Span) | (Subtract, Ty::Time, Ty::Time) => Ty::Span,
            (Add | Subtract, Ty::Time, Ty::Span) | (Add, Ty::Span, Ty::Time) => Ty::Time,
            _ => return None,
        })
    }

    pub(super) fn of<'a>(
        self,
        left: Value<'a>,
        right: Value<'a>,
        fuel: &mut Fuel,
    ) -> Result<Value<'a>, Fault> {
        use Calculation::{Add, Subtract};
        Ok(match (self, left, right) {
            (_, Value::Int(a), Value::Int(b)) => Value::Int(self.int(a, b)?),
            (_, Value::Float(a), Value::Float(b)) => Value::Float(self.float(a, b)?),
            (_, Value::Uint(a), Value::Uint(b)) => Value::Uint(self.uint(a, b)?),
            (Add, Value::Text(a), Value::Text(b)) => {
                fuel.text(a.len() + b.len())?;
                Value::Text(a + b)
            }
            (Add, Value::Bytes(a), Value::Bytes(b)) => {
                fuel.text(a.len() + b.len())?;
                Value::Bytes(Cow::Owned([a, b].concat()))
            }
            (Add, Value::List(a), Value::List(b)) => {
                fuel.elements(a.len() + b.len())?;
                Value::List(a.iter().chain(b.iter()).cloned().collect())
            }
            (Add, Value::Span(a), Value::Span(b)) => Value::Span(a.plus(b)?),
            (Subtract, Value::Span(a), Value::Span(b)) => Value::Span(a.minus(b)?),
            (Add, Value::Time(a), Value::Span(b)) | (Add, Value::Span(b), Value::Time(a)) => {
                Value::Time(a.after(b)?)
            }
            (Subtract, Value::Time(a), Value::Span(b)) => Value::Time(a.before(b)?),
            (Subtract, Value::Time(a), Value::Time(b)) => Value::Span(a.since(b)?),
            (_, Value::Null, _) | (_, _, Value::Null) => return Err(Fault::Absent),
            _ => return Err(Fault::Argument),
        })
    }

    #[inline]
    pub(super) fn int(self, a: i64, b: i64) -> Result<i64, Fault> {
        match self {
            Calculation::Divide | Calculation::Modulo if b == 0 => return Err(Fault::Zero),
            Calculation::Add => a.checked_add(b),
            Calculation::Subtract => a.checked_sub(b),
            Calculation::Multiply => a.checked_mul(b),
            Calculation::Divide => a.checked_div(b),
            Calculation::Modulo => a.checked_rem(b),
        }
        .ok_or(Fault::Range)
    }

    fn uint(self, a: u64, b: u64) -> Result<u64, Fault> {
        match self {
            Calculation::Divide | Calculation::Modulo if b == 0 => return Err(Fault::Zero),
            Calculation::Add => a.checked_add(b),
            Calculation::Subtract => a.checked_sub(b),
            Calculation::Multiply => a.checked_mul(b),
            Calculation::Divide => a.checked_div(b),
            Calculation::Modulo => a.checked_rem(b),
        }
        .ok_or(Fault::Range)
    }

    fn float(self, a: f64, b: f64) -> Result<f64, Fault> {
        Ok(match self {
            Calculation::Add => a + b,
            Calculation::Subtract => a - b,
            Calculation::Multiply => a * b,
            Calculation::Divide => a / b,
            Calculation::Modulo => return Err(Fault::Argument),
        })
    }
}

/// A number with its sign turned.
pub(super) fn negated<'a>(value: &Value<'a>) -> Result<Value<'a>, Fault> {
    Ok(match value {
        Value::Int(value) => Value::Int(value.checked_neg().ok_or(Fault::Range)?),
        Value::Float(value) => Value::Float(-value),
        Value::Null => return Err(Fault::Absent),
        _ => return Err(Fault::Argument),
    })
}

//! From one type to another.

use std::borrow::Cow;

use super::fuel::Fuel;
use super::net::{self, Cidr};
use super::overloads::Row;
use super::time::{Moment, Span};
use super::types::Kind::{self, Any, Bool, Bytes, Float, Int, List, Map, Text, Time, Type, Uint};
use super::value::{Fault, Value};

pub(super) const ROWS: &[Row] = &[
    Row::plain("bool", &[Bool], Bool, same),
    Row::plain("bool", &[Text], Bool, to_bool),
    Row::plain("int", &[Int], Int, same),
    Row::plain("int", &[Uint], Int, to_int),
    Row::plain("int", &[Float], Int, to_int),
    Row::plain("int", &[Text], Int, to_int),
    Row::plain("int", &[Time], Int, to_int),
    Row::plain("uint", &[Uint], Uint, same),
    Row::plain("uint", &[Int], Uint, to_uint),
    Row::plain("uint", &[Float], Uint, to_uint),
    Row::plain("uint", &[Text], Uint, to_uint),
    Row::plain("double", &[Float], Float, same),
    Row::plain("double", &[Int], Float, to_float),
    Row::plain("double", &[Uint], Float, to_float),
    Row::plain("double", &[Text], Float, to_float),
    Row::plain("string", &[Text], Text, same),
    Row::plain("string", &[Bool], Text, to_text),
    Row::plain("string", &[Int], Text, to_text),
    Row::plain("string", &[Uint], Text, to_text),
    Row::plain("string", &[Float], Text, to_text),
    Row::plain("string", &[Bytes], Text, to_text),
    Row::plain("string", &[Time], Text, to_text),
    Row::plain("string", &[Kind::Span], Text, to_text),
    Row::plain("string", &[Kind::Ip], Text, to_text),
    Row::plain("string", &[Kind::Cidr], Text, to_text),
    Row::plain("bytes", &[Bytes], Bytes, same),
    Row::plain("bytes", &[Text], Bytes, to_bytes),
    Row::plain("timestamp", &[Time], Time, same),
    Row::plain("timestamp", &[Int], Time, to_time),
    Row::plain("timestamp", &[Text], Time, to_time),
    Row::plain("duration", &[Kind::Span], Kind::Span, same),
    Row::plain("duration", &[Text], Kind::Span, to_span),
    Row::plain("ip", &[Kind::Ip], Kind::Ip, same),
    Row::plain("ip", &[Text], Kind::Ip, to_ip),
    Row::plain("cidr", &[Kind::Cidr], Kind::Cidr, same),
    Row::plain("cidr", &[Text], Kind::Cidr, to_cidr),
    Row::plain("type", &[Any], Type, type_of),
    Row::both("size", &[Text], Int, size),
    Row::both("size", &[Bytes], Int, size),
    Row::both("size", &[List], Int, size),
    Row::both("size", &[Map], Int, size),
];

/// The end of what an i64 can be, as a float: exact, because it is a power of two.
const INT_END: f64 = 9_223_372_036_854_775_808.0;
/// The same of a u64.
const UINT_END: f64 = 18_446_744_073_709_551_616.0;

fn same<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    arguments.first().cloned().ok_or(Fault::Argument)
}

fn type_of<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    arguments.first().map(|value| Value::Type(value.type_name())).ok_or(Fault::Argument)
}

fn size<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::count(match arguments {
        [Value::Text(text)] => text.chars().count(),
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(values)] => values.len(),
        [Value::Map(entries)] => entries.len(),
        _ => return Err(Fault::Argument),
    }))
}

fn to_bool<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    match text.as_ref() {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(Value::Bool(true)),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(Value::Bool(false)),
        _ => Err(Fault::Conversion),
    }
}

fn to_int<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Int(match arguments {
        [Value::Uint(value)] => i64::try_from(*value).map_err(|_| Fault::Range)?,
        [Value::Float(value)] if *value > -INT_END && *value < INT_END => *value as i64,
        [Value::Float(_)] => return Err(Fault::Range),
        [Value::Text(text)] => text.parse().map_err(|_| Fault::Conversion)?,
        [Value::Time(time)] => time.seconds(),
        _ => return Err(Fault::Argument),
    }))
}

fn to_uint<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Uint(match arguments {
        [Value::Int(value)] => u64::try_from(*value).map_err(|_| Fault::Range)?,
        [Value::Float(value)] if *value >= 0.0 && *value < UINT_END => *value as u64,
        [Value::Float(_)] => return Err(Fault::Range),
        [Value::Text(text)] if text.starts_with('+') => return Err(Fault::Conversion),
        [Value::Text(text)] => text.parse().map_err(|_| Fault::Conversion)?,
        _ => return Err(Fault::Argument),
    }))
}

fn to_float<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Float(match arguments {
        [Value::Int(value)] => *value as f64,
        [Value::Uint(value)] => *value as f64,
        [Value::Text(text)] => {
            let value: f64 = text.parse().map_err(|_| Fault::Conversion)?;
            // a number too large is told from one that is called infinite
            match value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
                true => return Err(Fault::Conversion),
                false => value,
            }
        }
        _ => return Err(Fault::Argument),
    }))
}

fn to_text<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::text(match arguments {
        [Value::Bool(value)] => value.to_string(),
        [Value::Int(value)] => value.to_string(),
        [Value::Uint(value)] => value.to_string(),
        [Value::Float(value)] => float(*value),
        [Value::Bytes(Cow::Borrowed(bytes))] => {
            return std::str::from_utf8(bytes).map(Value::text).map_err(|_| Fault::Conversion);
        }
        [Value::Bytes(bytes)] => {
            String::from_utf8(bytes.to_vec()).map_err(|_| Fault::Conversion)?
        }
        [Value::Time(time)] => time.to_string(),
        [Value::Span(span)] => span.to_string(),
        [Value::Ip(ip)] => ip.to_string(),
        [Value::Cidr(cidr)] => cidr.to_string(),
        _ => return Err(Fault::Argument),
    }))
}

/// The shortest text that reads back as the same number; very small and very large ones with an exponent
/// of at least two digits.
fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..21) if value != 0.0 || exponent == 0 => value.to_string(),
        Ok(exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        Err(_) => scientific,
    }
}

fn to_bytes<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    match arguments {
        [Value::Text(Cow::Borrowed(text))] => Ok(Value::Bytes(Cow::Borrowed(text.as_bytes()))),
        [Value::Text(text)] => Ok(Value::Bytes(Cow::Owned(text.as_bytes().to_vec()))),
        _ => Err(Fault::Argument),
    }
}

fn to_time<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    match arguments {
        [Value::Int(seconds)] => Moment::of_seconds(*seconds).map(Value::Time),
        [Value::Text(text)] => Moment::parse(text).map(Value::Time),
        _ => Err(Fault::Argument),
    }
}

fn to_span<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    Span::parse(text).map(Value::Span)
}

fn to_ip<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    net::parse(text).map(Value::Ip).ok_or(Fault::Conversion)
}

fn to_cidr<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    Cidr::parse(text).map(Value::Cidr).ok_or(Fault::Conversion)
}

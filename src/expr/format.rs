//! `text.format(list)`: values put into a text, each by its clause.

use super::fuel::{Fuel, TEXT_BYTES_MAX};
use super::overloads::Row;
use super::types::Kind::{List, Text};
use super::value::{Fault, Value};

pub(super) const ROWS: &[Row] = &[Row::method("format", &[Text, List], Text, format)];

/// Digits after the point where a clause names none.
const PRECISION: usize = 6;
/// Digits that a clause may name.
const PRECISION_MAX: usize = 1_000;

fn format<'a>(arguments: &[Value<'a>], fuel: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text), Value::List(values)] = arguments else { return Err(Fault::Argument) };
    let mut out = Out { text: String::new(), fuel };
    let mut values = values.iter();
    let mut rest = text.as_ref();
    while let Some((before, after)) = rest.split_once('%') {
        out.push(before)?;
        if let Some(after) = after.strip_prefix('%') {
            out.push("%")?;
            rest = after;
            continue;
        }
        let (precision, clause) = precision(after)?;
        let mut chars = clause.chars();
        let clause = chars.next().ok_or(Fault::Conversion)?;
        out.value(clause, precision, values.next().ok_or(Fault::Missing)?)?;
        rest = chars.as_str();
    }
    out.push(rest)?;
    Ok(Value::text(out.text))
}

/// The digits that a clause asks for after the point, and the clause.
fn precision(clause: &str) -> Result<(Option<usize>, &str), Fault> {
    let Some(digits) = clause.strip_prefix('.') else { return Ok((None, clause)) };
    let end = digits.find(|c: char| !c.is_ascii_digit()).ok_or(Fault::Conversion)?;
    let precision = digits[..end].parse().map_err(|_| Fault::Conversion)?;
    match precision <= PRECISION_MAX {
        true => Ok((Some(precision), &digits[end..])),
        false => Err(Fault::Range),
    }
}

struct Out<'f> {
    text: String,
    fuel: &'f mut Fuel,
}

impl Out<'_> {
    fn push(&mut self, text: &str) -> Result<(), Fault> {
        self.fuel.spend(1 + text.len() / 64)?;
        if self.text.len() + text.len() > TEXT_BYTES_MAX {
            return Err(Fault::Cost);
        }
        self.text.push_str(text);
        Ok(())
    }

    fn value(
        &mut self,
        clause: char,
        precision: Option<usize>,
        value: &Value<'_>,
    ) -> Result<(), Fault> {
        match clause {
            's' => return self.plain(value),
            'd' => match value {
                Value::Int(_) | Value::Uint(_) | Value::Float(_) => return self.plain(value),
                _ => return Err(Fault::Argument),
            },
            _ => {}
        }
        let text = match clause {
            'f' | 'e' => fraction(clause, precision.unwrap_or(PRECISION), value)?,
            'b' | 'o' | 'x' | 'X' => based(clause, value)?,
            _ => return Err(Fault::Conversion),
        };
        self.push(&text)
    }

    /// A value as it is read by people.
    fn plain(&mut self, value: &Value<'_>) -> Result<(), Fault> {
        match value {
            Value::Text(text) => self.push(text),
            Value::Null => self.push("null"),
            Value::Bool(value) => self.push(if *value { "true" } else { "false" }),
            Value::Int(value) => self.push(&value.to_string()),
            Value::Uint(value) => self.push(&value.to_string()),
            Value::Float(value) => match unlimited(*value) {
                Some(name) => self.push(name),
                None => self.push(&value.to_string()),
            },
            Value::Bytes(bytes) => self.push(&String::from_utf8_lossy(bytes)),
            Value::Time(time) => self.push(&time.to_string()),
            Value::Span(span) => self.push(&span.to_string()),
            Value::Type(name) => self.push(name),
            Value::Ip(ip) => self.push(&ip.to_string()),
            Value::Cidr(cidr) => self.push(&cidr.to_string()),
            Value::List(values) => {
                self.push("[")?;
                for (i, value) in values.iter().enumerate() {
                    self.push(if i > 0 { ", " } else { "" })?;
                    self.plain(value)?;
                }
                self.push("]")
            }
            Value::Map(entries) => self.map(entries),
        }
    }

    /// A map, in the order of its keys' texts.
    fn map(&mut self, entries: &[(Value<'_>, Value<'_>)]) -> Result<(), Fault> {
        let mut sorted = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let mut out = Out { text: String::new(), fuel: &mut *self.fuel };
            out.plain(key)?;
            sorted.push((out.text, value));
        }
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        self.push("{")?;
        for (i, (key, value)) in sorted.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" })?;
            self.push(key)?;
            self.push(": ")?;
            self.plain(value)?;
        }
        self.push("}")
    }
}

/// The name of a number that has no digits.
fn unlimited(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        return Some("NaN");
    }
    value.is_infinite().then_some(if value > 0.0 { "Infinity" } else { "-Infinity" })
}

fn fraction(clause: char, precision: usize, value: &Value<'_>) -> Result<String, Fault> {
    let value = match value {
        Value::Float(value) => *value,
        Value::Int(value) => *value as f64,
        Value::Uint(value) => *value as f64,
        _ => return Err(Fault::Argument),
    };
    if let Some(name) = unlimited(value) {
        return Ok(name.to_owned());
    }
    if clause == 'f' {
        return Ok(format!("{value:.precision$}"));
    }
    let scientific = format!("{value:.precision$e}");
    let (digits, exponent) = scientific.split_once('e').ok_or(Fault::Conversion)?;
    let exponent: i32 = exponent.parse().map_err(|_| Fault::Conversion)?;
    let sign = if exponent < 0 { '-' } else { '+' };
    Ok(format!("{digits}e{sign}{:02}", exponent.abs()))
}

/// Binary, octal or hexadecimal.
fn based(clause: char, value: &Value<'_>) -> Result<String, Fault> {
    let (sign, number) = match value {
        Value::Bool(value) if clause == 'b' => ("", u64::from(*value)),
        Value::Int(value) => (if *value < 0 { "-" } else { "" }, value.unsigned_abs()),
        Value::Uint(value) => ("", *value),
        Value::Text(text) if matches!(clause, 'x' | 'X') => {
            return hex(clause, text.as_bytes());
        }
        Value::Bytes(bytes) if matches!(clause, 'x' | 'X') => return hex(clause, bytes),
        _ => return Err(Fault::Argument),
    };
    Ok(match clause {
        'b' => format!("{sign}{number:b}"),
        'o' => format!("{sign}{number:o}"),
        'x' => format!("{sign}{number:x}"),
        _ => format!("{sign}{number:X}"),
    })
}

fn hex(clause: char, bytes: &[u8]) -> Result<String, Fault> {
    if bytes.len() * 2 > TEXT_BYTES_MAX {
        return Err(Fault::Cost);
    }
    let digits = if clause == 'x' { b"0123456789abcdef" } else { b"0123456789ABCDEF" };
    let pair = |byte: &u8| [byte >> 4, byte & 15].map(|half| char::from(digits[usize::from(half)]));
    Ok(bytes.iter().flat_map(pair).collect())
}

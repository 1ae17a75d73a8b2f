//! What functions make of texts. Places are counted in characters.

use std::borrow::Cow;

use super::fuel::Fuel;
use super::overloads::Row;
use super::types::Kind::{Bool, Int, Text, Texts};
use super::value::{Fault, Value};

pub(super) const ROWS: &[Row] = &[
    Row::method("contains", &[Text, Text], Bool, contains),
    Row::method("startsWith", &[Text, Text], Bool, starts_with),
    Row::method("endsWith", &[Text, Text], Bool, ends_with),
    Row::method("charAt", &[Text, Int], Text, char_at),
    Row::method("indexOf", &[Text, Text], Int, index_of),
    Row::method("indexOf", &[Text, Text, Int], Int, index_of),
    Row::method("lastIndexOf", &[Text, Text], Int, last_index_of),
    Row::method("lastIndexOf", &[Text, Text, Int], Int, last_index_of),
    Row::method("substring", &[Text, Int], Text, substring),
    Row::method("substring", &[Text, Int, Int], Text, substring),
    Row::method("replace", &[Text, Text, Text], Text, replace),
    Row::method("replace", &[Text, Text, Text, Int], Text, replace),
    Row::method("split", &[Text, Text], Texts, split),
    Row::method("split", &[Text, Text, Int], Texts, split),
    Row::method("join", &[Texts], Text, join),
    Row::method("join", &[Texts, Text], Text, join),
    Row::method("trim", &[Text], Text, trim),
    Row::method("lowerAscii", &[Text], Text, lower),
    Row::method("upperAscii", &[Text], Text, upper),
    Row::method("reverse", &[Text], Text, reverse),
    Row::plain("strings.quote", &[Text], Text, quote),
];

fn contains<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text), Value::Text(part)] = arguments else { return Err(Fault::Argument) };
    Ok(Value::Bool(text.contains(part.as_ref())))
}

fn starts_with<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text), Value::Text(part)] = arguments else { return Err(Fault::Argument) };
    Ok(Value::Bool(text.starts_with(part.as_ref())))
}

fn ends_with<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text), Value::Text(part)] = arguments else { return Err(Fault::Argument) };
    Ok(Value::Bool(text.ends_with(part.as_ref())))
}

/// The byte at which a character begins, or the end of the text.
fn place(text: &str, at: i64) -> Result<usize, Fault> {
    let at = usize::try_from(at).map_err(|_| Fault::Missing)?;
    let places = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
    places.take(at + 1).nth(at).ok_or(Fault::Missing)
}

/// Part of a text, without a copy where the text itself was borrowed.
fn part<'a>(text: &Cow<'a, str>, from: usize, to: usize) -> Result<Value<'a>, Fault> {
    Ok(match text {
        Cow::Borrowed(text) => Value::text(text.get(from..to).ok_or(Fault::Missing)?),
        Cow::Owned(text) => Value::text(text.get(from..to).ok_or(Fault::Missing)?.to_owned()),
    })
}

fn char_at<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text), Value::Int(at)] = arguments else { return Err(Fault::Argument) };
    let from = place(text, *at)?;
    let length = text[from..].chars().next().map_or(0, char::len_utf8);
    part(text, from, from + length)
}

fn substring<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    match arguments {
        [Value::Text(text), Value::Int(from)] => part(text, place(text, *from)?, text.len()),
        [Value::Text(text), Value::Int(from), Value::Int(to)] => {
            part(text, place(text, *from)?, place(text, *to)?)
        }
        _ => Err(Fault::Argument),
    }
}

fn index_of<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let (text, part, from) = match arguments {
        [Value::Text(text), Value::Text(part)] => (text, part, 0),
        // an empty part is wherever it is looked for
        [_, Value::Text(part), Value::Int(from)] if part.is_empty() => {
            return Ok(Value::Int(*from));
        }
        [Value::Text(text), Value::Text(part), Value::Int(from)] => {
            let from = place(text, *from)?;
            if from == text.len() {
                return Err(Fault::Missing);
            }
            (text, part, from)
        }
        _ => return Err(Fault::Argument),
    };
    Ok(match text[from..].find(part.as_ref()) {
        Some(found) => Value::count(text[..from + found].chars().count()),
        None => Value::Int(-1),
    })
}

/// The last place of a part that begins at a place or before it.
fn last_index_of<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let (text, part, end) = match arguments {
        [Value::Text(text), Value::Text(part)] => (text, part, text.len()),
        [_, Value::Text(part), Value::Int(until)] if part.is_empty() => {
            return Ok(Value::Int(*until));
        }
        [Value::Text(text), Value::Text(part), Value::Int(until)] => {
            let until = place(text, *until)?;
            if until == text.len() {
                return Err(Fault::Missing);
            }
            // where it begins there it ends so many bytes later, if it is there at all
            (text, part, (until + part.len()).min(text.len()))
        }
        _ => return Err(Fault::Argument),
    };
    let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    Ok(match text[..end].rfind(part.as_ref()) {
        Some(found) => Value::count(text[..found].chars().count()),
        None => Value::Int(-1),
    })
}

/// Every part, or the first so many, made another; a negative number means every.
fn replace<'a>(arguments: &[Value<'a>], fuel: &mut Fuel) -> Result<Value<'a>, Fault> {
    let (text, part, by, most) = match arguments {
        [Value::Text(text), Value::Text(part), Value::Text(by)] => (text, part, by, -1),
        [Value::Text(text), Value::Text(part), Value::Text(by), Value::Int(most)] => {
            (text, part, by, *most)
        }
        _ => return Err(Fault::Argument),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let found = text.matches(part.as_ref()).take(most).count();
    fuel.text(text.len().saturating_add(found.saturating_mul(by.len())))?;
    Ok(Value::text(text.replacen(part.as_ref(), by, found)))
}

/// The parts between separators, at most so many; all characters where the separator is empty.
fn split<'a>(arguments: &[Value<'a>], fuel: &mut Fuel) -> Result<Value<'a>, Fault> {
    let (text, separator, most) = match arguments {
        [Value::Text(text), Value::Text(separator)] => (text, separator, -1),
        [Value::Text(text), Value::Text(separator), Value::Int(most)] => (text, separator, *most),
        _ => return Err(Fault::Argument),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let parts = match (most, separator.is_empty()) {
        (0, _) => return Ok(Value::list(Vec::new())),
        (most, true) => text.chars().count().min(most),
        (most, false) => text.matches(separator.as_ref()).take(most).count() + 1,
    };
    fuel.elements(parts)?;
    let own = |part: &str| Value::text(part.to_owned());
    if !separator.is_empty() {
        return Ok(Value::list(text.splitn(most, separator.as_ref()).map(own).collect()));
    }
    let cut = text.char_indices().nth(most - 1).map_or(text.len(), |(byte, _)| byte);
    let mut values: Vec<Value<'a>> =
        text[..cut].chars().map(|c| Value::text(c.to_string())).collect();
    if cut < text.len() {
        values.push(own(&text[cut..]));
    }
    Ok(Value::list(values))
}

fn join<'a>(arguments: &[Value<'a>], fuel: &mut Fuel) -> Result<Value<'a>, Fault> {
    let (parts, separator) = match arguments {
        [Value::List(parts)] => (parts, ""),
        [Value::List(parts), Value::Text(separator)] => (parts, separator.as_ref()),
        _ => return Err(Fault::Argument),
    };
    let separators = separator.len().saturating_mul(parts.len());
    let mut bytes = separators;
    for part in parts.iter() {
        let Value::Text(part) = part else { return Err(Fault::Argument) };
        bytes = bytes.saturating_add(part.len());
    }
    fuel.text(bytes)?;
    let mut joined = String::with_capacity(bytes);
    for (i, part) in parts.iter().enumerate() {
        let Value::Text(part) = part else { return Err(Fault::Argument) };
        if i > 0 {
            joined.push_str(separator);
        }
        joined.push_str(part);
    }
    Ok(Value::text(joined))
}

/// White space off both ends, as Unicode has it.
fn trim<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    let from = text.len() - text.trim_start().len();
    part(text, from, from + text.trim().len())
}

fn lower<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    Ok(Value::text(text.to_ascii_lowercase()))
}

fn upper<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    Ok(Value::text(text.to_ascii_uppercase()))
}

fn reverse<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    Ok(Value::text(text.chars().rev().collect::<String>()))
}

/// In quotes, with what would end or disturb them told by escapes.
fn quote<'a>(arguments: &[Value<'a>], fuel: &mut Fuel) -> Result<Value<'a>, Fault> {
    let [Value::Text(text)] = arguments else { return Err(Fault::Argument) };
    fuel.text(text.len() * 2 + 2)?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(Value::text(quoted))
}

//! The fields of an event in a map: which source each type of field may have.

use serde_json::Value;

use super::super::contract::{FieldSpec, FieldType};
use super::super::decimal::Round;
use super::super::field::{Amount, Field, Source, TextSource, ValueMap, Written};
use super::super::row::Columns;
use super::super::suggest::hint;
use super::super::template::Template;
use super::super::time::{self, TimeFormat};
use super::document::{Item, Section};
use super::read_column;
use crate::event::Date;
use crate::replay::error::MapError;
use jiff::tz::Offset;

/// Reads a table of fields against their contract.
pub(super) fn read_fields(
    section: &Section<'_>,
    specs: &'static [FieldSpec],
    grouped: bool,
    columns: &mut Columns,
) -> Result<Vec<Field>, MapError> {
    let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    section.only(&names)?;
    let mut fields = Vec::new();
    for spec in specs {
        let item = match section.get(&spec.name) {
            Some(item) => item,
            None if spec.required => section.need(&spec.name, &spec.ty.expected())?,
            None => continue,
        };
        let source = read_source(&item, spec, grouped, columns)?;
        fields.push(Field { spec, source });
    }
    Ok(fields)
}

fn read_source(
    item: &Item<'_>,
    spec: &'static FieldSpec,
    grouped: bool,
    columns: &mut Columns,
) -> Result<Source, MapError> {
    let expected = || spec.ty.expected();
    match &spec.ty {
        FieldType::Text => read_text(item, columns, &|_| Ok(())).map(Source::Text),
        FieldType::Symbol(symbols) => {
            let check = |text: &str| match symbols.iter().any(|symbol| symbol == text) {
                true => Ok(()),
                false => Err(symbol_expected(text, symbols)),
            };
            let source = read_text(item, columns, &check)?;
            Ok(Source::Symbol(source, symbols))
        }
        FieldType::Float => match item.as_float() {
            Some(number) => Ok(Source::Constant(Value::from(number))),
            None => read_text(item, columns, &|text| match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(()),
                _ => Err(expected()),
            })
            .map(Source::Float),
        },
        FieldType::Bool => match item.as_bool() {
            Some(flag) => Ok(Source::Constant(Value::from(flag))),
            None => read_text(item, columns, &|text| match text {
                "true" | "false" => Ok(()),
                _ => Err(expected()),
            })
            .map(Source::Bool),
        },
        FieldType::Int => match item.as_int() {
            Some(int) => Ok(Source::Constant(Value::from(int))),
            None => read_amount(item, grouped, columns).map(Source::Amount),
        },
        FieldType::Time => read_time(item, columns),
        FieldType::Date => read_date(item, columns),
        FieldType::Records(specs) => {
            let section = item.section()?;
            let fields = read_fields(&section, specs, false, columns)?;
            Ok(Source::Records(fields))
        }
    }
}

fn symbol_expected(text: &str, symbols: &[String]) -> String {
    let names = symbols.join(", ");
    match hint(text, symbols.iter().map(String::as_str)) {
        meant if meant.ends_with('?') => format!("one of {names}{meant}"),
        _ => format!("one of {names}"),
    }
}

/// Says what was expected instead of a text that is the same for every row.
type Check<'c> = &'c dyn Fn(&str) -> Result<(), String>;

/// A template, or a table with a template or column and what becomes of its text.
fn read_text(
    item: &Item<'_>,
    columns: &mut Columns,
    check: Check<'_>,
) -> Result<TextSource, MapError> {
    if !item.is_table() {
        return Ok(TextSource {
            template: read_template(item, columns, check)?,
            map: None,
            default: None,
        });
    }
    let section = item.section()?;
    section.only(&["text", "column", "map", "otherwise", "default"])?;
    let template = match (section.get("text"), section.get("column")) {
        (Some(text), None) => read_template(&text, columns, &|_| Ok(()))?,
        (None, Some(column)) => Template::column(read_column(&column, columns)?),
        _ => return Err(item.contradiction("needs either text or column")),
    };
    Ok(TextSource {
        template,
        map: read_value_map(&section, check)?,
        default: match section.get("default") {
            Some(default) => Some(checked_text(&default, check)?.to_owned()),
            None => None,
        },
    })
}

fn read_template(
    item: &Item<'_>,
    columns: &mut Columns,
    check: Check<'_>,
) -> Result<Template, MapError> {
    let text = item
        .as_text()
        .ok_or_else(|| item.wrong("text in quotes, or a table with text or column"))?;
    let template = Template::parse(text, |name| columns.intern(name, || item.place()))
        .map_err(|error| item.wrong(error.to_string()))?;
    match template.constant() {
        Some("") => Err(item.wrong("some text; a field without a value is left out")),
        Some(constant) => {
            check(constant).map(|()| template.clone()).map_err(|expected| item.wrong(expected))
        }
        None => Ok(template),
    }
}

/// Text that stands in for others; empty text stands for none.
fn checked_text<'d>(item: &Item<'d>, check: Check<'_>) -> Result<&'d str, MapError> {
    let text = item.text()?;
    if !text.is_empty() {
        check(text).map_err(|expected| item.wrong(expected))?;
    }
    Ok(text)
}

fn read_value_map(section: &Section<'_>, check: Check<'_>) -> Result<Option<ValueMap>, MapError> {
    let otherwise = section.get("otherwise");
    let Some(item) = section.get("map") else {
        return match otherwise {
            Some(otherwise) => Err(otherwise.contradiction("stands without a map")),
            None => Ok(None),
        };
    };
    let mut map = ValueMap::default();
    for (key, value) in item.section()?.entries() {
        let text = checked_text(&value, check)?.to_owned();
        match key.strip_suffix('*') {
            Some(prefix) => map.prefixes.push((prefix.to_owned(), text)),
            None => {
                map.exact.insert(key.to_owned(), text);
            }
        }
    }
    map.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
    if let Some(otherwise) = otherwise {
        map.otherwise = Some(checked_text(&otherwise, check)?.to_owned());
    }
    Ok(Some(map))
}

fn read_amount(item: &Item<'_>, grouped: bool, columns: &mut Columns) -> Result<Amount, MapError> {
    if !item.is_table() {
        return Err(item.wrong("a whole number, or a table with column and scale"));
    }
    let section = item.section()?;
    section.only(&["column", "product", "scale", "round", "sum", "default"])?;
    let factors = match (section.get("column"), section.get("product")) {
        (Some(column), None) => vec![read_column(&column, columns)?],
        (None, Some(product)) => {
            let items = product.items()?;
            if items.len() < 2 {
                return Err(product.wrong("the names of at least two columns"));
            }
            let factors = items.iter().map(|item| read_column(item, columns));
            factors.collect::<Result<_, _>>()?
        }
        _ => return Err(item.contradiction("needs either column or product")),
    };
    let scale = section.need("scale", "the digits after the point of the currency, such as 2")?;
    let round = section.get("round").map(|item| {
        item.as_text()
            .and_then(Round::from_name)
            .ok_or_else(|| item.wrong(format!("one of {}", Round::NAMES.join(", "))))
    });
    let sum = section.get("sum").map_or(Ok(false), |item| match item.bool()? {
        true if !grouped => Err(item.contradiction("needs a [group] to sum over")),
        sum => Ok(sum),
    })?;
    let default = section.get("default").map(|item| match item.as_int() {
        Some(_) if sum => Err(item.contradiction("does not go with sum")),
        Some(int) => Ok(int),
        None => Err(item.wrong("a whole number of minor units")),
    });
    Ok(Amount {
        factors,
        scale: u32::try_from(scale.int_in(0..=18)?).unwrap_or(0),
        round: round.transpose()?,
        sum,
        default: default.transpose()?,
    })
}

fn read_time(item: &Item<'_>, columns: &mut Columns) -> Result<Source, MapError> {
    const EXPECTED: &str = "an RFC 3339 time, or a table with column and format, or start and step";
    if let Some(start_ms) = rfc3339_ms(item) {
        return Ok(Source::Constant(Value::from(start_ms)));
    }
    if !item.is_table() {
        return Err(item.wrong(EXPECTED));
    }
    let section = item.section()?;
    if section.get("start").is_none() {
        return read_written(&section, columns).map(Source::Time);
    }
    section.only(&["start", "step"])?;
    let start = section.need("start", "an RFC 3339 time")?;
    let start_ms = rfc3339_ms(&start).ok_or_else(|| start.wrong(TimeFormat::Rfc3339.example()))?;
    let step_ms = read_duration(&section.need("step", DURATION)?)?;
    Ok(Source::Clock { start_ms, step_ms })
}

fn rfc3339_ms(item: &Item<'_>) -> Option<i64> {
    let time = TimeFormat::Rfc3339.time(item.as_time_text()?, Offset::UTC)?;
    Some(time.0)
}

fn read_date(item: &Item<'_>, columns: &mut Columns) -> Result<Source, MapError> {
    const DAY_MS: i64 = 86_400_000;
    if let Some(text) = item.as_time_text() {
        let format = TimeFormat::Pattern("%Y-%m-%d".to_owned());
        let Date(days) = format
            .date(text, Offset::UTC)
            .ok_or_else(|| item.wrong("a date such as 2026-01-31, or a table with column"))?;
        return Ok(Source::Constant(Value::from(days)));
    }
    let section = item.section()?;
    let written = read_written(&section, columns)?;
    match section.get("plus") {
        Some(plus) if written.plus_ms % DAY_MS != 0 => Err(plus.wrong("whole days, such as 30d")),
        _ => Ok(Source::Date(written)),
    }
}

const DURATION: &str = "a length of time such as 7d, 12h, 30m, 10s or 250ms";

fn read_duration(item: &Item<'_>) -> Result<i64, MapError> {
    item.as_text().and_then(time::duration_ms).ok_or_else(|| item.wrong(DURATION))
}

fn read_written(section: &Section<'_>, columns: &mut Columns) -> Result<Written, MapError> {
    const FORMAT: &str = "rfc3339, unix, unix_millis, or a pattern such as %Y-%m-%d %H:%M:%S";
    section.only(&["column", "format", "zone", "plus"])?;
    let column = read_column(&section.need("column", "the name of a column")?, columns)?;
    let format = section.need("format", FORMAT)?;
    let format =
        format.as_text().and_then(TimeFormat::from_name).ok_or_else(|| format.wrong(FORMAT))?;
    let zone = section.get("zone").map_or(Ok(Offset::UTC), |item| {
        item.as_text()
            .and_then(time::zone)
            .ok_or_else(|| item.wrong("an offset such as +02:00, or UTC"))
    })?;
    let plus_ms = section.get("plus").map_or(Ok(0), |item| read_duration(&item))?;
    Ok(Written { column, format, zone, plus_ms })
}

//! A TOML file read key by key, so that every error can name the line, the key and the value.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::error::{MapError, MapProblem};
use super::super::suggest::{hint, quoted};

/// The text of a map and where it came from.
pub(in crate::replay) struct Document<'t> {
    pub(in crate::replay) file: &'t str,
    pub(in crate::replay) text: &'t str,
}

impl<'t> Document<'t> {
    /// The parsed root table.
    pub(in crate::replay) fn parse(&self) -> Result<Spanned<DeTable<'t>>, MapError> {
        DeTable::parse(self.text).map_err(|error| MapError {
            file: self.file.to_owned(),
            line: error.span().map(|span| self.line(span.start)),
            problem: MapProblem::Syntax(error.message().replace('\n', ", ")),
        })
    }

    fn line(&self, at: usize) -> usize {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }

    fn error(&self, at: usize, problem: MapProblem) -> MapError {
        MapError { file: self.file.to_owned(), line: Some(self.line(at)), problem }
    }
}

/// A value with its place and the path of its key.
#[derive(Clone)]
pub(in crate::replay) struct Item<'d> {
    pub(in crate::replay) document: &'d Document<'d>,
    pub(in crate::replay) key: String,
    span: Range<usize>,
    value: &'d DeValue<'d>,
}

impl<'d> Item<'d> {
    fn new(document: &'d Document<'d>, key: String, value: &'d Spanned<DeValue<'d>>) -> Item<'d> {
        Item { document, key, span: value.span(), value: value.get_ref() }
    }

    /// File, line and key, for errors that are found later.
    pub(in crate::replay) fn place(&self) -> String {
        let line = self.document.line(self.span.start);
        format!("{} line {line} ({})", self.document.file, self.key)
    }

    /// The value is not what it should be.
    pub(in crate::replay) fn wrong(&self, expected: impl Into<String>) -> MapError {
        let value = match self.value {
            DeValue::String(text) => quoted(text),
            DeValue::Array(_) => "an array".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
            _ => self.source().to_owned(),
        };
        let problem =
            MapProblem::WrongValue { key: self.key.clone(), value, expected: expected.into() };
        self.document.error(self.span.start, problem)
    }

    /// The key does not go together with others.
    pub(in crate::replay) fn contradiction(&self, what: impl Into<String>) -> MapError {
        let problem = MapProblem::Contradiction { key: self.key.clone(), what: what.into() };
        self.document.error(self.span.start, problem)
    }

    fn source(&self) -> &'d str {
        self.document.text.get(self.span.clone()).unwrap_or_default()
    }

    pub(in crate::replay) fn as_text(&self) -> Option<&'d str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => None,
        }
    }

    pub(in crate::replay) fn as_bool(&self) -> Option<bool> {
        self.value.as_bool()
    }

    /// An integer written in decimal.
    pub(in crate::replay) fn as_int(&self) -> Option<i64> {
        let integer = self.value.as_integer()?;
        i64::from_str_radix(integer.as_str(), integer.radix()).ok()
    }

    /// A finite number.
    pub(in crate::replay) fn as_float(&self) -> Option<f64> {
        let number = match self.value {
            DeValue::Float(float) => float.as_str().parse().ok()?,
            DeValue::Integer(integer) => integer.as_str().parse::<f64>().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// Text, or a TOML date-time as it is written.
    pub(in crate::replay) fn as_time_text(&self) -> Option<&'d str> {
        match self.value {
            DeValue::Datetime(_) => Some(self.source()),
            _ => self.as_text(),
        }
    }

    pub(in crate::replay) fn text(&self) -> Result<&'d str, MapError> {
        self.as_text().ok_or_else(|| self.wrong("text in quotes"))
    }

    pub(in crate::replay) fn bool(&self) -> Result<bool, MapError> {
        self.as_bool().ok_or_else(|| self.wrong("true or false"))
    }

    /// A whole number within `range`.
    pub(in crate::replay) fn int_in(
        &self,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<i64, MapError> {
        self.as_int().filter(|int| range.contains(int)).ok_or_else(|| {
            self.wrong(format!("a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// The items of an array.
    pub(in crate::replay) fn items(&self) -> Result<Vec<Item<'d>>, MapError> {
        let DeValue::Array(array) = self.value else {
            return Err(self.wrong("an array"));
        };
        let item = |(index, value)| {
            Item::new(self.document, format!("{}[{}]", self.key, index + 1), value)
        };
        Ok(array.iter().enumerate().map(item).collect())
    }

    pub(in crate::replay) fn is_table(&self) -> bool {
        self.value.is_table()
    }

    pub(in crate::replay) fn is_array(&self) -> bool {
        self.value.is_array()
    }

    pub(in crate::replay) fn section(&self) -> Result<Section<'d>, MapError> {
        let DeValue::Table(table) = self.value else {
            return Err(self.wrong("a table"));
        };
        Ok(Section { document: self.document, key: self.key.clone(), at: self.span.start, table })
    }
}

/// A table with its place and path.
#[derive(Clone)]
pub(in crate::replay) struct Section<'d> {
    document: &'d Document<'d>,
    key: String,
    at: usize,
    table: &'d DeTable<'d>,
}

impl<'d> Section<'d> {
    /// The root of a document.
    pub(in crate::replay) fn root(
        document: &'d Document<'d>,
        table: &'d DeTable<'d>,
    ) -> Section<'d> {
        Section { document, key: String::new(), at: 0, table }
    }

    fn path(&self, key: &str) -> String {
        match self.key.as_str() {
            "" => key.to_owned(),
            own => format!("{own}.{key}"),
        }
    }

    /// Refuses every key that is none of these.
    pub(in crate::replay) fn only(&self, known: &[&str]) -> Result<(), MapError> {
        match self.table.keys().find(|key| !known.contains(&key.get_ref().as_ref())) {
            None => Ok(()),
            Some(key) => Err(self.document.error(
                key.span().start,
                MapProblem::UnknownKey {
                    key: self.path(key.get_ref()),
                    hint: hint(key.get_ref(), known.iter().copied()),
                },
            )),
        }
    }

    pub(in crate::replay) fn get(&self, key: &str) -> Option<Item<'d>> {
        let value = self.table.get(key)?;
        Some(Item::new(self.document, self.path(key), value))
    }

    pub(in crate::replay) fn need(&self, key: &str, expected: &str) -> Result<Item<'d>, MapError> {
        self.get(key).ok_or_else(|| {
            let problem =
                MapProblem::MissingKey { key: self.path(key), expected: expected.to_owned() };
            self.document.error(self.at, problem)
        })
    }

    /// Every key with its value.
    pub(in crate::replay) fn entries(&self) -> impl Iterator<Item = (&'d str, Item<'d>)> {
        self.table.iter().map(|(key, value)| {
            let name: &'d str = key.get_ref();
            (name, Item::new(self.document, self.path(name), value))
        })
    }
}

//! A map: how the rows of a file become events. The format is documented in [`crate::replay`].

pub(super) mod document;
mod fields;

use std::path::Path;
use std::sync::Arc;

use super::condition::{Condition, Test};
use super::contract;
use super::error::{MapError, MapProblem};
use super::field::Field;
use super::row::{ColumnId, Columns};
use super::suggest::hint;
use crate::event::Kind;
use document::{Document, Item, Section};

/// A loaded map. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Map {
    pub(super) inner: Arc<Inner>,
}

#[derive(Clone, Debug)]
pub(super) struct Inner {
    pub(super) columns: Columns,
    /// `None`: told by the first byte
    pub(super) format: Option<Format>,
    pub(super) delimiter: u8,
    pub(super) skips: Vec<Skip>,
    pub(super) group: Option<GroupBy>,
    pub(super) events: Vec<EventMap>,
    /// see [`Map::with_flag`]
    pub(super) flag: Option<ColumnId>,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    JsonLines,
}

/// Rows to leave out, and why.
#[derive(Clone, Debug)]
pub(super) struct Skip {
    pub(super) when: Vec<Condition>,
    pub(super) reason: String,
}

/// Rows with the same value here make one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupBy {
    pub(super) by: ColumnId,
    /// rows of others that may stand between two rows of a group
    pub(super) ahead: u64,
}

/// One kind of event made of a row or group.
#[derive(Clone, Debug)]
pub(super) struct EventMap {
    pub(super) kind: Kind,
    pub(super) when: Vec<Condition>,
    pub(super) fields: Vec<Field>,
}

/// Look-ahead a map may ask for, in rows; every one of them may be an open group in memory.
const AHEAD_MAX: i64 = 1_000;

impl Map {
    /// Reads and checks a map.
    ///
    /// # Errors
    /// The first thing wrong with it, with its line, key and value and what was expected.
    pub fn load(path: &Path) -> Result<Map, MapError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| MapError {
            file: file.clone(),
            line: None,
            problem: MapProblem::Unreadable(source),
        })?;
        Map::parse(&file, &text)
    }

    /// Checks a map that was read already; `file` names it in errors.
    ///
    /// # Errors
    /// As [`Map::load`].
    pub fn parse(file: &str, text: &str) -> Result<Map, MapError> {
        let document = Document { file, text };
        let root = document.parse()?;
        let inner = read_root(&Section::root(&document, root.get_ref()))?;
        Ok(Map { inner: Arc::new(inner) })
    }

    /// The kinds of the events it makes, some of them more than once.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.inner.events.iter().map(|event| event.kind)
    }

    /// The same map, which reads one column more: [`Mapped::flag`](super::Mapped) of a row's events.
    /// The column holds 1 or 0, true or false, or nothing; `named_in` says in errors who asks for it.
    #[must_use]
    pub fn with_flag(&self, column: &str, named_in: &str) -> Map {
        let mut inner = Inner::clone(&self.inner);
        inner.flag = Some(inner.columns.intern(column, || named_in.to_owned()));
        Map { inner: Arc::new(inner) }
    }
}

fn read_root(root: &Section<'_>) -> Result<Inner, MapError> {
    root.only(&["format", "delimiter", "optional", "skip", "group", "event"])?;
    let mut columns = Columns::default();
    let format = root.get("format").map(|item| match item.as_text() {
        Some("csv") => Ok(Format::Csv),
        Some("jsonl") => Ok(Format::JsonLines),
        _ => Err(item.wrong("\"csv\" or \"jsonl\"")),
    });
    let delimiter = root.get("delimiter").map(|item| match item.as_text() {
        Some(text) if text.len() == 1 && !"\"\r\n".contains(text) => Ok(text.as_bytes()[0]),
        _ => Err(item.wrong("one ASCII character such as \";\"")),
    });
    let group = root.get("group").map(|item| read_group(&item, &mut columns));
    let group = group.transpose()?;
    let mut skips = Vec::new();
    for item in root.get("skip").map_or(Ok(Vec::new()), |item| item.items())? {
        skips.push(read_skip(&item, &mut columns)?);
    }
    let mut events = Vec::new();
    for item in root.need("event", "at least one [[event]]")?.items()? {
        events.push(read_event(&item, group.is_some(), &mut columns)?);
    }
    if let Some(item) = root.get("optional") {
        read_optional(&item, &mut columns)?;
    }
    Ok(Inner {
        columns,
        format: format.transpose()?,
        delimiter: delimiter.transpose()?.unwrap_or(b','),
        skips,
        group,
        events,
        flag: None,
    })
}

fn read_optional(item: &Item<'_>, columns: &mut Columns) -> Result<(), MapError> {
    for item in item.items()? {
        let name = item.text()?;
        let known = columns.iter().any(|column| column.name == name);
        if !known {
            let names = hint(name, columns.iter().map(|column| column.name.as_str()));
            return Err(item.wrong(format!("a column that an event or condition uses{names}")));
        }
        let id = read_column(&item, columns)?;
        columns.mark_optional(id);
    }
    Ok(())
}

fn read_column(item: &Item<'_>, columns: &mut Columns) -> Result<ColumnId, MapError> {
    match item.as_text() {
        Some(name) if !name.is_empty() => Ok(columns.intern(name, || item.place())),
        _ => Err(item.wrong("the name of a column in quotes")),
    }
}

fn read_group(item: &Item<'_>, columns: &mut Columns) -> Result<GroupBy, MapError> {
    let section = item.section()?;
    section.only(&["by", "ahead"])?;
    let by = read_column(&section.need("by", "the name of a column")?, columns)?;
    let ahead = match section.get("ahead") {
        Some(ahead) => ahead.int_in(0..=AHEAD_MAX)?,
        None => 0,
    };
    Ok(GroupBy { by, ahead: ahead.unsigned_abs() })
}

fn read_skip(item: &Item<'_>, columns: &mut Columns) -> Result<Skip, MapError> {
    let section = item.section()?;
    section.only(&["when", "reason"])?;
    let when = read_conditions(&section.need("when", "a condition")?, columns)?;
    let reason = section.need("reason", "why these rows are left out")?;
    match reason.as_text() {
        Some(text) if !text.is_empty() => Ok(Skip { when, reason: text.to_owned() }),
        _ => Err(reason.wrong("why these rows are left out")),
    }
}

/// One condition, or an array of conditions that must all hold.
fn read_conditions(item: &Item<'_>, columns: &mut Columns) -> Result<Vec<Condition>, MapError> {
    if !item.is_array() {
        return Ok(vec![read_condition(item, columns)?]);
    }
    let items = item.items()?;
    if items.is_empty() {
        return Err(item.wrong("at least one condition"));
    }
    items.iter().map(|item| read_condition(item, columns)).collect()
}

fn read_condition(item: &Item<'_>, columns: &mut Columns) -> Result<Condition, MapError> {
    const TESTS: &str = "one of equals, one_of, prefix, not_empty";
    let section = item.section()?;
    section.only(&["column", "equals", "one_of", "prefix", "not_empty", "not"])?;
    let column = read_column(&section.need("column", "the name of a column")?, columns)?;
    let mut tests = Vec::new();
    if let Some(item) = section.get("equals") {
        tests.push(Test::Equals(item.text()?.to_owned()));
    }
    if let Some(item) = section.get("one_of") {
        let texts = item.items()?;
        let texts = texts.iter().map(|item| item.text().map(str::to_owned));
        tests.push(Test::OneOf(texts.collect::<Result<_, _>>()?));
    }
    if let Some(item) = section.get("prefix") {
        tests.push(Test::Prefix(item.text()?.to_owned()));
    }
    if let Some(item) = section.get("not_empty") {
        match item.as_bool() {
            Some(true) => tests.push(Test::NotEmpty),
            _ => return Err(item.wrong("true; not = true asks for the opposite")),
        }
    }
    let not = section.get("not").map_or(Ok(false), |item| item.bool())?;
    match (tests.pop(), tests.is_empty()) {
        (Some(test), true) => Ok(Condition { column, test, not }),
        (None, _) => Err(item.contradiction(format!("tests nothing, expected {TESTS}"))),
        (Some(_), false) => Err(item.contradiction(format!("tests too much, expected {TESTS}"))),
    }
}

fn read_event(item: &Item<'_>, grouped: bool, columns: &mut Columns) -> Result<EventMap, MapError> {
    const KINDS: &str = "\"transaction\", \"dispute\", \"chat\", \"invoice\" or \"label\"";
    let section = item.section()?;
    section.only(&["kind", "when", "fields"])?;
    let kind = section.need("kind", KINDS)?;
    let kind = kind.as_text().and_then(Kind::from_label).ok_or_else(|| kind.wrong(KINDS))?;
    let when = match section.get("when") {
        Some(item) => read_conditions(&item, columns)?,
        None => Vec::new(),
    };
    let what = format!("a table with the fields of a {}", kind.label());
    let fields = section.need("fields", &what)?.section()?;
    Ok(EventMap {
        kind,
        when,
        fields: fields::read_fields(&fields, contract::fields(kind), grouped, columns)?,
    })
}

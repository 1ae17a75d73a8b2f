//! Which rows an event is made of.

use super::row::{ColumnId, Row};

/// A test of one column of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) column: ColumnId,
    pub(super) test: Test,
    /// the opposite is wanted
    pub(super) not: bool,
}

/// See [`Condition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Equals(String),
    OneOf(Vec<String>),
    Prefix(String),
    NotEmpty,
}

impl Condition {
    fn holds(&self, row: &Row) -> bool {
        let cell = row.cell(self.column);
        let passed = match &self.test {
            Test::Equals(text) => cell == text,
            Test::OneOf(texts) => texts.iter().any(|text| cell == text),
            Test::Prefix(prefix) => cell.starts_with(prefix.as_str()),
            Test::NotEmpty => !cell.is_empty(),
        };
        passed != self.not
    }
}

/// Whether all of them hold; none at all hold always.
pub(super) fn all_hold(conditions: &[Condition], row: &Row) -> bool {
    conditions.iter().all(|condition| condition.holds(row))
}

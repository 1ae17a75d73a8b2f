//! One source row, reduced to the columns the map names, whatever format it came in.

use super::error::{Place, Problem};
use super::suggest::{hint, quoted};

/// Number of a column among those the map names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ColumnId(pub(super) usize);

/// The columns a map names, each once, with the place that names it first.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    entries: Vec<Column>,
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// file, line and key of the map
    pub(super) named_in: String,
    /// it may be missing from the file
    pub(super) optional: bool,
}

impl Columns {
    /// The number of the column of that name, a new one if it was not named before.
    pub(super) fn intern(&mut self, name: &str, named_in: impl FnOnce() -> String) -> ColumnId {
        let known = self.entries.iter().position(|column| column.name == name);
        ColumnId(known.unwrap_or_else(|| {
            self.entries.push(Column {
                name: name.to_owned(),
                named_in: named_in(),
                optional: false,
            });
            self.entries.len() - 1
        }))
    }

    pub(super) fn mark_optional(&mut self, id: ColumnId) {
        self.entries[id.0].optional = true;
    }

    pub(super) fn name(&self, id: ColumnId) -> &str {
        &self.entries[id.0].name
    }

    /// These columns, for messages.
    pub(super) fn describe(&self, ids: &[ColumnId]) -> String {
        let names: Vec<String> = ids.iter().map(|id| format!("{:?}", self.name(*id))).collect();
        match &names[..] {
            [name] => format!("column {name}"),
            names => format!("product of columns {}", names.join(", ")),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Column> {
        self.entries.iter()
    }

    /// The column is not there, but must be.
    pub(super) fn missing<'n>(
        column: &Column,
        there: impl IntoIterator<Item = &'n str>,
    ) -> Problem {
        Problem::UnknownColumn {
            column: column.name.clone(),
            named_in: column.named_in.clone(),
            hint: hint(&column.name, there),
        }
    }
}

/// The cells of one row, in the order of [`Columns`], in one allocation.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) place: Place,
    text: String,
    ends: Vec<usize>,
}

impl Default for Row {
    fn default() -> Row {
        Row { place: Place { row: 0, line: 1 }, text: String::new(), ends: Vec::new() }
    }
}

impl Row {
    /// Forgets the cells and keeps the memory.
    pub(super) fn begin(&mut self, place: Place) {
        self.place = place;
        self.text.clear();
        self.ends.clear();
    }

    /// Appends the next column's cell.
    pub(super) fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    /// The cell of a column; empty is "not recorded".
    pub(super) fn cell(&self, id: ColumnId) -> &str {
        let start = match id.0 {
            0 => 0,
            after => self.ends[after - 1],
        };
        &self.text[start..self.ends[id.0]]
    }

    /// Memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        size_of::<Row>() + self.text.len() + self.ends.len() * size_of::<usize>()
    }
}

/// The problem of a cell that is not what its field expects.
pub(super) fn wrong_cell(
    field: &str,
    from: String,
    value: &str,
    expected: impl Into<String>,
) -> Problem {
    Problem::Value {
        field: field.to_owned(),
        from,
        value: quoted(value),
        expected: expected.into(),
    }
}

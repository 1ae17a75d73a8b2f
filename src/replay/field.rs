//! What a field of an event is made from, and making it.

use std::collections::HashMap;

use jiff::tz::Offset;
use serde_json::{Map as Object, Value};

use super::contract::FieldSpec;
use super::decimal::{Decimal, NotMinor, Round};
use super::error::{Place, Problem};
use super::row::{ColumnId, Columns, Row, wrong_cell};
use super::template::Template;
use super::time::TimeFormat;
use crate::event::{Date, Millis};

/// A field with its source.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) spec: &'static FieldSpec,
    pub(super) source: Source,
}

/// Where a field's value comes from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// the same for every row
    Constant(Value),
    Text(TextSource),
    /// text that has to be one of these symbols
    Symbol(TextSource, &'static [String]),
    /// text that has to be a finite number
    Float(TextSource),
    /// text that has to be `true` or `false`
    Bool(TextSource),
    Amount(Amount),
    Time(Written),
    Date(Written),
    /// made up: `start + (row - 1) * step`
    Clock {
        start_ms: i64,
        step_ms: i64,
    },
    /// one record for every row of the group
    Records(Vec<Field>),
}

/// Text from columns.
#[derive(Clone, Debug)]
pub(super) struct TextSource {
    pub(super) template: Template,
    pub(super) map: Option<ValueMap>,
    /// stands in where the template is empty
    pub(super) default: Option<String>,
}

/// Values by what a column holds.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueMap {
    pub(super) exact: HashMap<String, String>,
    /// longest first
    pub(super) prefixes: Vec<(String, String)>,
    pub(super) otherwise: Option<String>,
}

/// Minor units from decimals: the product of the columns, summed over the group if asked to.
#[derive(Clone, Debug)]
pub(super) struct Amount {
    pub(super) factors: Vec<ColumnId>,
    pub(super) scale: u32,
    pub(super) round: Option<Round>,
    pub(super) sum: bool,
    pub(super) default: Option<i64>,
}

/// A time or date that a column holds.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) column: ColumnId,
    pub(super) format: TimeFormat,
    pub(super) zone: Offset,
    pub(super) plus_ms: i64,
}

/// A problem with the row it is about.
#[derive(Debug)]
pub(super) struct RowProblem {
    pub(super) place: Place,
    pub(super) problem: Box<Problem>,
}

impl RowProblem {
    pub(super) fn at(row: &Row) -> impl Fn(Problem) -> RowProblem {
        let place = row.place;
        move |problem| RowProblem { place, problem: Box::new(problem) }
    }
}

impl Field {
    /// The value for a row or the rows of a group, `None` if there is none and need not be.
    /// All but sums and records look at the first row only.
    pub(super) fn value(
        &self,
        rows: &[Row],
        columns: &Columns,
    ) -> Result<Option<Value>, RowProblem> {
        let Some(first) = rows.first() else {
            return Ok(None);
        };
        let value = match &self.source {
            Source::Amount(amount) if amount.sum => Some(self.sum(amount, rows, columns)?),
            Source::Records(fields) => Some(records(fields, rows, columns)?),
            _ => self.single(first, columns).map_err(RowProblem::at(first))?,
        };
        if value.is_none() && self.spec.required {
            return Err(RowProblem::at(first)(self.absent(columns)));
        }
        Ok(value)
    }

    fn single(&self, row: &Row, columns: &Columns) -> Result<Option<Value>, Problem> {
        match &self.source {
            Source::Constant(value) => Ok(Some(value.clone())),
            Source::Text(source) => Ok(self.text(source, row, columns)?.map(Value::String)),
            Source::Symbol(source, symbols) => {
                let symbol = self.text(source, row, columns)?;
                self.checked(symbol, source, columns, |text| {
                    symbols.contains(&text).then_some(Value::String(text))
                })
            }
            Source::Float(source) => {
                let number = self.text(source, row, columns)?;
                self.checked(number, source, columns, |text| {
                    let number = serde_json::Number::from_f64(text.parse().ok()?)?;
                    Some(Value::Number(number))
                })
            }
            Source::Bool(source) => {
                let flag = self.text(source, row, columns)?;
                self.checked(flag, source, columns, |text| text.parse().ok().map(Value::Bool))
            }
            Source::Amount(amount) => {
                let decimal = self.product(amount, row, columns)?;
                match decimal {
                    Some(decimal) => self.minor(amount, decimal, columns).map(Some),
                    None => Ok(amount.default.map(Value::from)),
                }
            }
            Source::Time(written) => self.written(written, row, columns, |cell| {
                let Millis(ms) = written.format.time(cell, written.zone)?;
                Some(Value::from(ms.checked_add(written.plus_ms)?))
            }),
            Source::Date(written) => self.written(written, row, columns, |cell| {
                let Date(days) = written.format.date(cell, written.zone)?;
                let plus = i32::try_from(written.plus_ms / 86_400_000).ok()?;
                Some(Value::from(days.checked_add(plus)?))
            }),
            Source::Clock { start_ms, step_ms } => {
                let steps = i64::try_from(row.place.row.saturating_sub(1)).unwrap_or(i64::MAX);
                let ms = start_ms.saturating_add(step_ms.saturating_mul(steps));
                Ok(Some(Value::from(ms)))
            }
            Source::Records(_) => Ok(None),
        }
    }

    fn text(
        &self,
        source: &TextSource,
        row: &Row,
        columns: &Columns,
    ) -> Result<Option<String>, Problem> {
        let Some(text) = source.template.fill(row) else {
            return Ok(source.default.clone());
        };
        let Some(map) = &source.map else {
            return Ok(Some(text));
        };
        match map.get(&text) {
            Some("") => Ok(None),
            Some(mapped) => Ok(Some(mapped.to_owned())),
            None => Err(wrong_cell(
                &self.spec.name,
                source.template.describe(columns),
                &text,
                "a value its map names (otherwise would stand for the rest)",
            )),
        }
    }

    fn checked(
        &self,
        text: Option<String>,
        source: &TextSource,
        columns: &Columns,
        read: impl FnOnce(String) -> Option<Value>,
    ) -> Result<Option<Value>, Problem> {
        let Some(text) = text else { return Ok(None) };
        match read(text.clone()) {
            Some(value) => Ok(Some(value)),
            None => Err(wrong_cell(
                &self.spec.name,
                source.template.describe(columns),
                &text,
                self.spec.ty.expected(),
            )),
        }
    }

    fn written(
        &self,
        written: &Written,
        row: &Row,
        columns: &Columns,
        read: impl FnOnce(&str) -> Option<Value>,
    ) -> Result<Option<Value>, Problem> {
        match row.cell(written.column) {
            "" => Ok(None),
            cell => read(cell).map(Some).ok_or_else(|| {
                let from = columns.describe(&[written.column]);
                wrong_cell(&self.spec.name, from, cell, written.format.example())
            }),
        }
    }

    /// The product of the columns, `None` if one is empty.
    fn product(
        &self,
        amount: &Amount,
        row: &Row,
        columns: &Columns,
    ) -> Result<Option<Decimal>, Problem> {
        let mut product: Option<Decimal> = None;
        for column in &amount.factors {
            let cell = row.cell(*column);
            if cell.is_empty() {
                return Ok(None);
            }
            let wrong = |expected: &str| {
                let from = columns.describe(&[*column]);
                wrong_cell(&self.spec.name, from, cell, expected)
            };
            let factor = Decimal::parse(cell).ok_or_else(|| wrong("a decimal such as 57.16"))?;
            product = Some(match product {
                None => factor,
                Some(so_far) => {
                    so_far.times(factor).ok_or_else(|| wrong("a product of at most 38 digits"))?
                }
            });
        }
        Ok(product)
    }

    fn minor(&self, amount: &Amount, exact: Decimal, columns: &Columns) -> Result<Value, Problem> {
        exact.minor(amount.scale, amount.round).map(Value::from).map_err(|not| {
            let expected = match not {
                NotMinor::Inexact => {
                    format!("at most {} digits after the point, or round in the map", amount.scale)
                }
                NotMinor::TooLarge => "minor units that fit into 64 bits".to_owned(),
            };
            let from = columns.describe(&amount.factors);
            wrong_cell(&self.spec.name, from, &exact.to_string(), expected)
        })
    }

    fn sum(&self, amount: &Amount, rows: &[Row], columns: &Columns) -> Result<Value, RowProblem> {
        let mut sum = Decimal::ZERO;
        let mut last = rows.first();
        for row in rows {
            let wrong = RowProblem::at(row);
            let product = self.product(amount, row, columns).map_err(&wrong)?;
            let product = product.ok_or_else(|| wrong(self.absent(columns)))?;
            sum = sum.plus(product).ok_or_else(|| {
                let from = columns.describe(&amount.factors);
                let expected = "a sum of at most 38 digits";
                wrong(wrong_cell(&self.spec.name, from, &product.to_string(), expected))
            })?;
            last = Some(row);
        }
        let place = last.map_or(Place { row: 0, line: 0 }, |row| row.place);
        self.minor(amount, sum, columns)
            .map_err(|problem| RowProblem { place, problem: Box::new(problem) })
    }

    fn absent(&self, columns: &Columns) -> Problem {
        let from = match &self.source {
            Source::Text(source)
            | Source::Symbol(source, _)
            | Source::Float(source)
            | Source::Bool(source) => source.template.describe(columns),
            Source::Amount(amount) => columns.describe(&amount.factors),
            Source::Time(written) | Source::Date(written) => columns.describe(&[written.column]),
            Source::Constant(_) | Source::Clock { .. } | Source::Records(_) => "it".to_owned(),
        };
        Problem::Absent { field: self.spec.name.clone(), from, expected: self.spec.ty.expected() }
    }
}

impl ValueMap {
    fn get(&self, text: &str) -> Option<&str> {
        let by_prefix = || {
            let (_, value) =
                self.prefixes.iter().find(|(prefix, _)| text.starts_with(prefix.as_str()))?;
            Some(value)
        };
        self.exact.get(text).or_else(by_prefix).or(self.otherwise.as_ref()).map(String::as_str)
    }
}

fn records(fields: &[Field], rows: &[Row], columns: &Columns) -> Result<Value, RowProblem> {
    let mut records = Vec::with_capacity(rows.len());
    for row in rows {
        let mut record = Object::new();
        for field in fields {
            if let Some(value) = field.value(std::slice::from_ref(row), columns)? {
                record.insert(field.spec.name.clone(), value);
            }
        }
        records.push(Value::Object(record));
    }
    Ok(Value::Array(records))
}

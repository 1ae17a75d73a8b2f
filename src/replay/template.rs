//! Text made of constants and columns: `cust-{CUSTOMER_ID}`.

use xxhash_rust::xxh3::xxh3_64;

use super::row::{ColumnId, Columns, Row};

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Constant(String),
    Column(ColumnId),
    /// hash of the column, modulo this
    Bucket(ColumnId, u64),
    RowNumber,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoTemplate {
    #[error("a column name between {{ and }}; a brace itself is written twice")]
    Brace,
    #[error("a whole number over 0 after the % of {{column % number}}")]
    Buckets,
}

impl Template {
    /// The template that is one column and nothing else.
    pub(super) fn column(id: ColumnId) -> Template {
        Template { parts: vec![Part::Column(id)] }
    }

    /// Reads `{column}`, `{column % number}`, `{$row}` and `{{`, `}}`; all else stands for itself.
    pub(super) fn parse(
        text: &str,
        mut intern: impl FnMut(&str) -> ColumnId,
    ) -> Result<Template, NoTemplate> {
        let mut parts = Vec::new();
        let mut constant = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            constant.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(after_both) = after.strip_prefix(brace) {
                constant.push_str(brace);
                rest = after_both;
                continue;
            }
            if brace == "}" {
                return Err(NoTemplate::Brace);
            }
            let (name, after_name) = after.split_once('}').ok_or(NoTemplate::Brace)?;
            if !constant.is_empty() {
                parts.push(Part::Constant(std::mem::take(&mut constant)));
            }
            parts.push(placeholder(name, &mut intern)?);
            rest = after_name;
        }
        constant.push_str(rest);
        if !constant.is_empty() || parts.is_empty() {
            parts.push(Part::Constant(constant));
        }
        Ok(Template { parts })
    }

    /// The text, if it is the same for every row.
    pub(super) fn constant(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part::Constant(text)] => Some(text),
            _ => None,
        }
    }

    /// The text for a row; `None` if it is empty or one of its columns is.
    pub(super) fn fill(&self, row: &Row) -> Option<String> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Constant(constant) => text.push_str(constant),
                Part::RowNumber => text.push_str(&row.place.row.to_string()),
                Part::Column(id) => match row.cell(*id) {
                    "" => return None,
                    cell => text.push_str(cell),
                },
                Part::Bucket(id, buckets) => match row.cell(*id) {
                    "" => return None,
                    cell => text.push_str(&(xxh3_64(cell.as_bytes()) % buckets).to_string()),
                },
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// What the text comes from, for messages.
    pub(super) fn describe(&self, columns: &Columns) -> String {
        match &self.parts[..] {
            [Part::Column(id)] => format!("column {:?}", columns.name(*id)),
            parts => {
                let written = parts.iter().map(|part| match part {
                    Part::Constant(text) => text.clone(),
                    Part::Column(id) => format!("{{{}}}", columns.name(*id)),
                    Part::Bucket(id, buckets) => format!("{{{} % {buckets}}}", columns.name(*id)),
                    Part::RowNumber => "{$row}".to_owned(),
                });
                format!("text {:?}", written.collect::<String>())
            }
        }
    }
}

fn placeholder(name: &str, intern: &mut impl FnMut(&str) -> ColumnId) -> Result<Part, NoTemplate> {
    if name == "$row" {
        return Ok(Part::RowNumber);
    }
    if name.trim().is_empty() || name.contains('{') {
        return Err(NoTemplate::Brace);
    }
    match name.split_once(" % ") {
        None => Ok(Part::Column(intern(name))),
        Some((column, buckets)) => match buckets.parse() {
            Ok(buckets) if buckets > 0 => Ok(Part::Bucket(intern(column), buckets)),
            _ => Err(NoTemplate::Buckets),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Place;
    use super::*;

    fn fill(template: &str, cells: &[(&str, &str)]) -> Option<String> {
        let mut columns = Columns::default();
        let template = Template::parse(template, |name| columns.intern(name, String::new)).unwrap();
        let mut row = Row::default();
        row.begin(Place { row: 12, line: 13 });
        for column in columns.iter() {
            row.push(cells.iter().find(|(name, _)| *name == column.name).unwrap().1);
        }
        template.fill(&row)
    }

    #[test]
    fn columns_constants_and_row_numbers_are_filled_in() {
        let cells = [("A", "1"), ("B b", "zwei"), ("leer", "")];
        for (template, expected) in [
            ("cust-{A}", Some("cust-1")),
            ("{A}/{B b}/{A}", Some("1/zwei/1")),
            ("{B b}", Some("zwei")),
            ("row {$row}", Some("row 12")),
            ("plain", Some("plain")),
            ("{{{A}}}", Some("{1}")),
            ("ü{A}é", Some("ü1é")),
            ("", None),
            ("{leer}", None),
            ("x-{leer}", None),
            ("x-{leer % 5}", None),
        ] {
            assert_eq!(fill(template, &cells).as_deref(), expected, "{template}");
        }
    }

    #[test]
    fn buckets_are_stable_and_cover_their_range() {
        let bucket = |value: &str| fill("acct-{A % 10}", &[("A", value)]).unwrap();
        assert_eq!(bucket("596"), bucket("596"));
        let all: std::collections::BTreeSet<String> =
            (0..200).map(|n| bucket(&n.to_string())).collect();
        assert_eq!(all.len(), 10);
        // a change of hash would move every synthetic account
        assert_eq!(bucket("596"), format!("acct-{}", xxh3_64(b"596") % 10));
    }

    #[test]
    fn unbalanced_braces_and_bad_buckets_are_refused() {
        let parse = |text: &str| Template::parse(text, |_| ColumnId(0));
        for text in ["{", "a}", "{}", "{a", "{a{b}", "{ }"] {
            assert_eq!(parse(text), Err(NoTemplate::Brace), "{text}");
        }
        for text in ["{a % 0}", "{a % x}", "{a % -1}"] {
            assert_eq!(parse(text), Err(NoTemplate::Buckets), "{text}");
        }
    }
}

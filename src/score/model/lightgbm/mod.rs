//! LightGBM's text, as `save_model` writes it (versions v3 and v4).
//!
//! ```text
//!  tree │ header: names, objective … │ Tree=0 … │ Tree=1 … │ end of trees │ importances, parameters │ pandas_categorical
//! ```
//!
//! Unknown lines of the header and of trees are refused: a later LightGBM may mean something by
//! them. What comes after the trees is a record of the training and is skipped, but for the words of
//! categorical columns at the end.

mod header;
mod tree;

use super::build::Builder;
use super::error::short;
use super::feature::{FeatureValues, ModelFeature, Words};
use super::forest::Sum;
use super::limits::{MODEL_CATEGORIES_MAX, MODEL_TREES_MAX};
use super::{Body, ModelError, Parsed, Spot};
use header::{Header, Info};

/// Reads a model.
pub(super) fn parse(file: &str, text: &str) -> Result<Parsed, ModelError> {
    let mut lines = Lines { file, lines: text.lines().enumerate(), at: 0 };
    let header = Header::read(&mut lines)?;
    let mut builder = Builder::new(header.names.len(), Sum::Double, 0.0);
    for number in 0..header.trees {
        let (tree, start) = tree::read(&mut lines, number, &header)?;
        builder.add(&tree, true).map_err(|fault| {
            ModelError::new(file, start, format!("tree {number}: {}", fault.message))
        })?;
    }
    let words = trailer(&mut lines, header.trees)?;
    let divisor = if header.is_average { header.trees as f64 } else { 1.0 };
    Ok(Parsed {
        kind: "lightgbm",
        features: features(file, &header, words)?,
        body: Body::Trees(builder.finish(divisor)),
        link: header.link,
        objective: header.objective,
    })
}

/// The lines of a file, with their numbers.
struct Lines<'a> {
    file: &'a str,
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    /// the number of the last one read, from 1
    at: usize,
}

impl<'a> Lines<'a> {
    /// The next line that is not empty.
    fn next(&mut self) -> Option<&'a str> {
        let (at, line) = self.lines.by_ref().find(|(_, line)| !line.trim().is_empty())?;
        self.at = at + 1;
        Some(line.trim_end())
    }

    /// As [`Lines::next`], where the file must go on.
    fn expect(&mut self, what: &str) -> Result<&'a str, ModelError> {
        let end = self.at;
        self.next().ok_or_else(|| {
            let message = format!("the file ends here, expected {what}: it is cut short");
            ModelError::new(self.file, Spot::Line(end), message)
        })
    }

    /// About the last line read.
    fn error(&self, message: impl Into<String>) -> ModelError {
        ModelError::new(self.file, Spot::Line(self.at), message)
    }

    /// Numbers with blanks between them, as many as there must be.
    fn numbers<T: std::str::FromStr>(
        &self,
        key: &str,
        value: &str,
        count: usize,
    ) -> Result<Vec<T>, ModelError> {
        let parse = |(at, word): (usize, &str)| {
            let number = word.parse();
            number.map_err(|_| {
                self.error(format!("{key}[{at}] is {}, expected a number", short(word)))
            })
        };
        let numbers: Vec<T> =
            value.split_ascii_whitespace().enumerate().map(parse).collect::<Result<_, _>>()?;
        match numbers.len() == count {
            true => Ok(numbers),
            false => {
                let found = numbers.len();
                Err(self.error(format!("{key} has {found} numbers, expected {count}")))
            }
        }
    }

    /// One whole number.
    fn count(&self, key: &str, value: &str) -> Result<usize, ModelError> {
        let number = value.parse();
        number
            .map_err(|_| self.error(format!("{key} is {}, expected a whole number", short(value))))
    }
}

/// What follows the trees: the words of categorical columns.
fn trailer(lines: &mut Lines<'_>, trees: usize) -> Result<Vec<Vec<String>>, ModelError> {
    let end = lines.expect("`end of trees`")?;
    if end != "end of trees" {
        let message = format!("{}, expected `end of trees` after {trees} trees", short(end));
        return Err(lines.error(message));
    }
    let mut found = None;
    while let Some(line) = lines.next() {
        if let Some(json) = line.strip_prefix("pandas_categorical:") {
            found = Some((lines.at, json));
        }
    }
    let Some((at, json)) = found else { return Ok(Vec::new()) };
    lines.at = at;
    let read: Option<Vec<Vec<serde_json::Value>>> = serde_json::from_str(json)
        .map_err(|error| lines.error(format!("pandas_categorical: {error}, expected lists")))?;
    let word = |value: &serde_json::Value| match value {
        serde_json::Value::String(word) => Ok(word.clone()),
        serde_json::Value::Bool(value) => Ok(value.to_string()),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(whole.to_string()),
            (None, Some(value)) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Ok((value as i64).to_string())
            }
            _ => Err(lines.error(format!("category {number}, expected a word or a whole number"))),
        },
        other => Err(lines.error(format!("category {other}, expected a word or a whole number"))),
    };
    let column = |column: &Vec<serde_json::Value>| column.iter().map(word).collect();
    read.unwrap_or_default().iter().map(column).collect()
}

/// Names with their kinds. The words belong to the categorical columns in their order.
fn features(
    file: &str,
    header: &Header,
    words: Vec<Vec<String>>,
) -> Result<Vec<ModelFeature>, ModelError> {
    let categorical = header.infos.iter().filter(|info| **info == Info::Categorical).count();
    if !words.is_empty() && words.len() != categorical {
        let message = format!(
            "pandas_categorical has {} columns and feature_infos {categorical} with categories, expected \
             as many of each: a categorical column of one value, or of plain codes, cannot be told from \
             the rest",
            words.len()
        );
        return Err(ModelError::file(file, message));
    }
    let mut words = words.into_iter();
    let features = header.names.iter().zip(&header.infos).map(|(name, info)| {
        let values = match (info, *info == Info::Categorical && words.len() > 0) {
            (Info::Numeric, _) => FeatureValues::Numeric,
            (Info::Categorical, false) => FeatureValues::Codes,
            (Info::Categorical, true) => {
                let known = words.next().unwrap_or_default();
                if known.len() > MODEL_CATEGORIES_MAX {
                    let found = known.len();
                    return Err(format!(
                        "{found} categories, expected at most {MODEL_CATEGORIES_MAX}"
                    ));
                }
                let twice = |word| format!("category {word:?} is there twice");
                FeatureValues::Words(Words::new(known).map_err(twice)?)
            }
        };
        Ok(ModelFeature::new(name, values))
    });
    let features: Result<Vec<ModelFeature>, String> = features.collect();
    features.map_err(|message| ModelError::file(file, message))
}

/// The trees a header may announce.
fn check_trees(lines: &Lines<'_>, trees: usize) -> Result<(), ModelError> {
    match trees {
        0 => Err(lines.error("no trees, expected at least one")),
        1..=MODEL_TREES_MAX => Ok(()),
        _ => Err(lines.error(format!("{trees} trees, expected at most {MODEL_TREES_MAX}"))),
    }
}

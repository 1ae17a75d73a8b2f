//! Why a model or a calibration is refused.

use std::fmt;

/// What is wrong with a file: where, the value, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{place}: {message}")]
pub struct ModelError {
    /// the file, as the caller named it
    pub file: String,
    /// where in it
    pub place: Spot,
    /// the value and what was expected
    pub message: String,
}

/// A place in a model's file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Spot {
    /// the file as a whole
    #[default]
    File,
    /// a line of text, from 1
    Line(usize),
    /// a path in JSON
    Path(String),
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Spot::File => Ok(()),
            Spot::Line(line) => write!(f, ":{line}"),
            Spot::Path(path) => write!(f, ": {path}"),
        }
    }
}

impl ModelError {
    /// About a place in a file.
    pub(super) fn new(file: &str, place: Spot, message: impl Into<String>) -> ModelError {
        ModelError { file: file.to_owned(), place, message: message.into() }
    }

    /// About a file as a whole.
    pub(super) fn file(file: &str, message: impl Into<String>) -> ModelError {
        ModelError::new(file, Spot::File, message)
    }

    /// About what a TOML parser found.
    pub(super) fn toml(file: &str, text: &str, error: &toml::de::Error) -> ModelError {
        let line = error.span().map(|span| line_of(text, span.start));
        ModelError::new(file, line.map_or(Spot::File, Spot::Line), error.message())
    }
}

/// The line of byte `at`, from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or(text).matches('\n').count() + 1
}

/// As much of a value as a message can take.
pub(super) fn short(value: &str) -> String {
    const SHOWN: usize = 60;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}

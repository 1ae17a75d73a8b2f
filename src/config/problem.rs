//! What is wrong with a topology, said so that it can be mended without looking at weir's source.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// the file
    pub file: PathBuf,
    /// from 1; 0 when it is about the whole file
    pub line: usize,
    /// from 1
    pub column: usize,
}

impl Place {
    /// The whole file.
    pub fn file(file: &Path) -> Place {
        Place { file: file.to_owned(), line: 0, column: 0 }
    }

    /// The place of byte `at` in a file's text.
    pub fn at(file: &Path, text: &str, at: usize) -> Place {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The place where a range of a file's text begins.
    pub fn span(file: &Path, text: &str, span: Range<usize>) -> Place {
        Place::at(file, text, span.start)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}:{}", self.file.display(), self.column),
        }
    }
}

/// One thing that is wrong: where, the value, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// where
    pub place: Place,
    /// the value and what was expected
    pub message: String,
}

impl Problem {
    /// A problem at a place. The message may quote a value: keys of webhooks are taken out of it.
    pub fn new(place: Place, message: impl Into<String>) -> Problem {
        Problem { place, message: without_keys(&message.into()) }
    }
}

/// How the key of a webhook begins, as Standard Webhooks has it.
pub(super) const KEY_PREFIX: &str = "whsec_";

fn without_keys(message: &str) -> String {
    let mut parts = message.split(KEY_PREFIX);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean.push_str(KEY_PREFIX);
        let rest = part.trim_start_matches(|c: char| c.is_alphanumeric() || "+/=_-".contains(c));
        if rest.len() < part.len() {
            clean.push('…');
        }
        clean.push_str(rest);
    }
    clean
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Everything that is wrong with a topology.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems(vec![problem])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_never_shows_the_key_of_a_webhook() {
        for (message, clean) in [
            ("url is \"whsec_aB+/=\", expected x", "url is \"whsec_…\", expected x"),
            ("whsec_a and whsec_b", "whsec_… and whsec_…"),
            ("expected: whsec_ and the base64", "expected: whsec_ and the base64"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            let problem = Problem::new(Place::file(Path::new("f")), message);
            assert_eq!(problem.message, clean);
        }
    }
}

//! Reason texts: words with `{name}` where a value belongs.

use crate::event::Slot;
use crate::expr::Vocabulary;

/// Characters of a text value that a reason quotes.
const VALUE_CHARS: usize = 80;

#[derive(Clone, Debug)]
enum Part {
    Words(String),
    Value(usize),
}

/// A reason's text.
#[derive(Clone, Debug)]
pub(super) struct Template {
    parts: Vec<Part>,
}

impl Template {
    /// Parses a text; the error is what is wrong with it.
    pub(super) fn load(text: &str, vocabulary: &Vocabulary) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let Some((name, after)) = after.split_once('}') else {
                return Err(format!("{text:?} has \"{{\" without \"}}\", expected {{name}}"));
            };
            let slot = vocabulary.slot(name).ok_or_else(|| vocabulary.unknown(name))?;
            parts.push(Part::Words(before.to_owned()));
            parts.push(Part::Value(slot));
            rest = after;
        }
        parts.push(Part::Words(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Words(words) if words.is_empty()));
        Ok(Template { parts })
    }

    /// The slots it shows.
    pub(super) fn slots(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().filter_map(|part| match part {
            Part::Words(_) => None,
            Part::Value(slot) => Some(*slot),
        })
    }

    /// The text for these values.
    pub(super) fn render(&self, slots: &[Slot<'_>]) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Words(words) => text.push_str(words),
                Part::Value(slot) => show(slots[*slot], &mut text),
            }
        }
        text
    }
}

/// Adds a value as reasons show it.
pub(super) fn show(value: Slot<'_>, text: &mut String) {
    match value {
        Slot::Null => text.push_str("unknown"),
        Slot::Text(value) => text.extend(value.chars().take(VALUE_CHARS)),
        value => text.push_str(&value.to_string()),
    }
}

//! What a model asks for: features by name, and words to codes.

use crate::event::Slot;

/// A feature of a model, in the file's order.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFeature {
    /// as the file has it
    pub name: String,
    /// what its values are
    pub values: FeatureValues,
    /// the stable code of reasons that speak of it: `MODEL_` and the name in capitals
    pub code: String,
}

/// What values a feature has.
#[derive(Clone, Debug, PartialEq)]
pub enum FeatureValues {
    /// numbers; yes is 1 and no is 0
    Numeric,
    /// codes from 0, whose words the file does not tell: the value is the code. A word is missing
    /// in every row, so whoever has words for it must refuse the model
    Codes,
    /// words, or integers that stand for words, each with its code
    Words(Words),
}

/// The values of a categorical feature and their codes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// ascending by word
    by_word: Vec<(String, u32)>,
    /// those that are integers, ascending: an event's integer is looked up without being written out
    by_integer: Vec<(i64, u32)>,
}

impl Words {
    /// Of words in the order of their codes. The first word that is there twice is handed back.
    pub(super) fn new(words: Vec<String>) -> Result<Words, String> {
        let mut by_word: Vec<(String, u32)> = words.into_iter().zip(0u32..).collect();
        by_word.sort();
        if let Some(pair) = by_word.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(pair[0].0.clone());
        }
        let integer =
            |word: &str| word.parse().ok().filter(|value: &i64| value.to_string() == word);
        let mut by_integer: Vec<(i64, u32)> =
            by_word.iter().filter_map(|(word, code)| Some((integer(word)?, *code))).collect();
        by_integer.sort_unstable();
        Ok(Words { by_word, by_integer })
    }

    /// Values and codes, ascending by value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.by_word.iter().map(|(word, code)| (word.as_str(), *code))
    }

    fn of_word(&self, word: &str) -> Option<u32> {
        let at = self.by_word.binary_search_by(|(known, _)| known.as_str().cmp(word)).ok()?;
        Some(self.by_word[at].1)
    }

    fn of_integer(&self, value: i64) -> Option<u32> {
        let at = self.by_integer.binary_search_by_key(&value, |(known, _)| *known).ok()?;
        Some(self.by_integer[at].1)
    }
}

impl ModelFeature {
    /// A feature by its name.
    pub(super) fn new(name: impl Into<String>, values: FeatureValues) -> ModelFeature {
        let name = name.into();
        let capital =
            |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        let code = format!("MODEL_{}", name.chars().map(capital).collect::<String>());
        ModelFeature { name, values, code }
    }

    /// The number that stands for a value; NaN where it is missing, not of the feature's type, or a
    /// word the model was not trained with.
    pub(super) fn encode(&self, value: Slot<'_>) -> f64 {
        match &self.values {
            FeatureValues::Numeric | FeatureValues::Codes => match value {
                Slot::Null | Slot::Text(_) => f64::NAN,
                Slot::Bool(v) => f64::from(u8::from(v)),
                Slot::Int(v) => v as f64,
                Slot::Float(v) => v,
            },
            FeatureValues::Words(words) => {
                let code = match value {
                    Slot::Null => None,
                    Slot::Bool(v) => words.of_word(if v { "true" } else { "false" }),
                    Slot::Int(v) => words.of_integer(v),
                    Slot::Float(v) => match v.fract() == 0.0 && v.abs() < 9e15 {
                        true => words.of_integer(v as i64),
                        false => None,
                    },
                    Slot::Text(v) => words.of_word(v),
                };
                code.map_or(f64::NAN, f64::from)
            }
        }
    }
}

/// The first thing wrong with a list of features, if there is any: two of one name, or of one code.
pub(super) fn fault(features: &[ModelFeature]) -> Option<String> {
    let mut seen = std::collections::BTreeMap::new();
    for feature in features {
        if feature.name.is_empty() {
            return Some("a feature has no name".to_owned());
        }
        if let Some(other) = seen.insert(&feature.code, &feature.name) {
            return Some(match *other == feature.name {
                true => format!("feature {other:?} is there twice, expected it once"),
                false => format!(
                    "features {other:?} and {:?} both have the reason code {}, expected names that \
                     differ in letters and digits",
                    feature.name, feature.code
                ),
            });
        }
    }
    None
}

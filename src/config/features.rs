//! `features.toml`: what is remembered of accounts and other entities, and read by every decision.
//!
//! ```toml
//! retention = "90d"                 # an account or entity that is idle for longer is forgotten
//! grace = "10m"                     # an event that comes so much later than newer ones finds all windows whole
//!
//! [[feature]]
//! name = "declines_count_1h"
//! kind = "transaction"              # of the events it is made of
//! aggregate = "count"
//! where = "status == 'DECLINED'"
//! window = "1h"
//! empty = 0                         # without history; default null
//! ```

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::topology::parse;
use super::{Place, Problem};

/// What weir remembers where a topology does not say otherwise.
const SHIPPED: &str = include_str!("../../topology/features.toml");

/// One feature as written. `docs/state.md` explains each key.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// unique among the features
    pub name: Spanned<String>,
    /// kind of the events it is made of
    pub kind: Spanned<String>,
    /// whose it is: account, or an entity that the event names
    pub key: Option<Spanned<String>>,
    /// count, sum, mean, …
    pub aggregate: Spanned<String>,
    /// the field it is taken of
    pub field: Option<Spanned<String>>,
    /// how far it reaches back
    pub window: Option<Spanned<String>>,
    /// how long before the event the window ends
    pub delay: Option<Spanned<String>>,
    /// which events count: a condition in CEL over their fields
    #[serde(rename = "where")]
    pub condition: Option<Spanned<String>>,
    /// which of those are the part of a share
    pub of: Option<Spanned<String>>,
    /// `exact`, or the length of a bucket
    pub resolution: Option<Spanned<String>>,
    /// events kept at most where the resolution is exact
    pub entries: Option<Spanned<usize>>,
    /// whether each subject (payment, dispute, …) counts once however many steps of it arrive
    pub once: Option<bool>,
    /// what it is without history
    pub empty: Option<Spanned<f64>>,
    /// of robust_mean and cusum: a value counts as at most so many times the mean
    pub cap: Option<Spanned<f64>>,
    /// of robust_mean and cusum: events that the mean remembers
    pub span: Option<Spanned<f64>>,
    /// of cusum: deviation that is overlooked, in multiples of the mean
    pub slack: Option<Spanned<f64>>,
    /// of cusum: the least it falls to
    pub floor: Option<Spanned<f64>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    retention: Option<Spanned<String>>,
    #[serde(default)]
    grace: Option<Spanned<String>>,
    #[serde(default)]
    feature: Vec<FeatureSpec>,
}

/// The features of a topology.
#[derive(Clone, Debug)]
pub struct FeatureFile {
    /// where they were read
    pub path: PathBuf,
    /// the file's text
    pub text: String,
    /// how long what is idle is remembered, milliseconds
    pub retention_ms: i64,
    /// how much later than newer ones an event may come and find all windows whole
    pub grace_ms: i64,
    /// the features, in the order of the file
    pub features: Vec<FeatureSpec>,
}

impl FeatureFile {
    /// The features that weir ships with.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn shipped() -> Result<FeatureFile, Problem> {
        FeatureFile::parse(Path::new("features.toml"), SHIPPED.to_owned())
    }

    /// Reads `features.toml` of a topology; where there is none, weir's own stand in.
    pub(super) fn load(folder: &Path) -> Result<FeatureFile, Problem> {
        let path = folder.join("features.toml");
        match std::fs::read_to_string(&path) {
            Ok(text) => FeatureFile::parse(&path, text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => FeatureFile::shipped(),
            Err(error) => Err(Problem::new(Place::file(&path), format!("cannot be read: {error}"))),
        }
    }

    /// Reads the text of a feature file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(path: &Path, text: String) -> Result<FeatureFile, Problem> {
        let file: File = parse(path, &text)?;
        let duration = |name: &str, given: &Option<Spanned<String>>, usual: &str| {
            let (given, span) = match given {
                Some(given) => (given.get_ref().as_str(), given.span()),
                None => (usual, 0..0),
            };
            duration_ms(given).ok_or_else(|| {
                let message = format!(
                    "{name} is {given:?}, expected a number and s, m, h or d such as {usual:?}"
                );
                Problem::new(Place::span(path, &text, span), message)
            })
        };
        let retention_ms = duration("retention", &file.retention, "90d")?;
        let grace_ms = duration("grace", &file.grace, "10m")?;
        let path = path.to_owned();
        Ok(FeatureFile { path, text, retention_ms, grace_ms, features: file.feature })
    }
}

/// Milliseconds of a duration such as `10s`, `5m`, `24h`, `30d`; at most ten years.
pub fn duration_ms(text: &str) -> Option<i64> {
    const TEN_YEARS_MS: i64 = 3_652 * 24 * 3_600_000;
    let unit = text.chars().last()?;
    let number: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let unit_ms = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 24 * 3_600_000,
        _ => return None,
    };
    number.checked_mul(unit_ms).filter(|ms| (0..=TEN_YEARS_MS).contains(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        assert_eq!(duration_ms("10s"), Some(10_000));
        assert_eq!(duration_ms("30d"), Some(2_592_000_000));
        for text in ["", "d", "10", "-1d", "1.5h", "9999999999d", "10x"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
    }

    #[test]
    fn the_shipped_features_are_sound() {
        assert!(FeatureFile::shipped().unwrap().features.len() > 30);
    }
}

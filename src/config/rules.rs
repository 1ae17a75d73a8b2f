//! `rules/*.toml`: what weir decides by, one file per kind of event.
//!
//! ```toml
//! kind = "transaction"
//! thresholds = { step_up = 0.5, review = 0.7, block = 0.95 }
//! tenants = { acme = { step_up = 0.4, review = 0.6, block = 0.9 } }
//! escalate = { queue = "payments", review_priority = 3, block_priority = 2, due_hours = 24 }
//!
//! [[rule]]
//! id = "declines_in_a_row"
//! when = "declines_count_1h >= 5"
//! action = "block"
//! weight = 0.6
//! reason = "CARD_TESTING"
//! text = "{declines_count_1h} declined payments within an hour"
//! tests = [
//!     { given = { declines_count_1h = 5 }, expect = true },
//!     { given = { declines_count_1h = 4 }, expect = false },
//! ]
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::name::wrong_kind;
use super::topology::parse;
use super::{Place, Problem, Problems, limits};

/// What a matching rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// nothing by itself: it adds its weight to the score
    Score,
    /// one more proof
    StepUp,
    /// let it pass, whatever else matches below it
    Allow,
    /// stop it
    Block,
    /// a person decides
    Review,
}

/// From which score on an outcome follows where no rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Thresholds {
    /// one more proof
    pub step_up: f64,
    /// a person decides
    pub review: f64,
    /// stop it
    pub block: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { step_up: 0.5, review: 0.7, block: 0.95 }
    }
}

/// Where escalations of this kind go.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Escalate {
    /// who looks at them
    pub queue: String,
    /// 1 (most urgent) to 4
    pub review_priority: i32,
    /// 1 (most urgent) to 4
    pub block_priority: i32,
    /// hours until somebody should have looked
    pub due_hours: u32,
}

impl Default for Escalate {
    fn default() -> Self {
        Escalate { queue: "risk".into(), review_priority: 3, block_priority: 2, due_hours: 24 }
    }
}

/// What each outcome is called in the terms of the kind.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "the four outcomes")]
pub struct Wording {
    pub allow: Option<String>,
    pub step_up: Option<String>,
    pub review: Option<String>,
    pub block: Option<String>,
}

/// An example of a rule: given these values, and null for all others, it matches or not.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleTest {
    /// values by name
    pub given: Spanned<toml::Table>,
    /// whether the rule matches
    pub expect: bool,
}

/// What a rule adds to the score.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, expecting = "expected a number from 0 to 1, or an expression that gives one")]
pub enum Weight {
    /// always the same
    Number(f64),
    /// an expression in CEL that gives a double: less than 0 counts as 0, more than 1 as 1, no answer as 0
    Computed(String),
}

impl std::fmt::Display for Weight {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Weight::Number(weight) => write!(f, "{weight}"),
            Weight::Computed(source) => f.write_str(source),
        }
    }
}

/// One rule as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// unique among the rules
    pub id: Spanned<String>,
    /// a condition in CEL over event fields and features
    pub when: Spanned<String>,
    /// what it asks for
    pub action: Action,
    /// 0..1, what it adds to the score
    pub weight: Spanned<Weight>,
    /// stable code for machines
    pub reason: String,
    /// for people; `{name}` stands for a value
    pub text: Spanned<String>,
    /// what to do in the terms of the kind, where it differs from the outcome's wording
    pub recommend: Option<String>,
    /// from this moment on it matches nothing: RFC 3339, or a date in UTC
    pub expires: Option<Spanned<String>>,
    /// share of the accounts that it is about, 0..1
    pub sample: Option<Spanned<f64>>,
    /// it matches only while this flag is set
    pub flag: Option<String>,
    /// for people and reports
    #[serde(default)]
    pub tags: Vec<String>,
    /// examples
    #[serde(default)]
    pub tests: Vec<RuleTest>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    kind: Spanned<String>,
    #[serde(default)]
    thresholds: Option<Spanned<Thresholds>>,
    #[serde(default)]
    tenants: BTreeMap<String, Spanned<Thresholds>>,
    #[serde(default)]
    escalate: Option<Spanned<Escalate>>,
    #[serde(default)]
    recommend: Wording,
    #[serde(default)]
    rule: Vec<RuleSpec>,
}

/// The rules of one kind of event.
#[derive(Clone, Debug)]
pub struct RuleFile {
    /// where they were read
    pub path: PathBuf,
    /// the file's text, which is what the hash is taken of
    pub text: String,
    /// whose rules they are: transaction, dispute, chat or invoice
    pub kind: String,
    /// outcomes by score
    pub thresholds: Thresholds,
    /// the same of tenants that have their own
    pub tenants: BTreeMap<String, Thresholds>,
    /// where escalations go
    pub escalate: Escalate,
    /// outcomes in the terms of the kind
    pub recommend: Wording,
    /// the rules, in the order of the file
    pub rules: Vec<RuleSpec>,
}

impl RuleFile {
    /// Reads every `.toml` file of a folder, in the order of their names.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place, or that there is none.
    pub fn load_folder(folder: &Path) -> Result<Vec<RuleFile>, Problems> {
        let mut problems = Vec::new();
        let files = RuleFile::load_all(folder, &mut problems);
        if files.is_empty() && problems.is_empty() {
            let message = "has no .toml file, expected one for each kind that is scored";
            problems.push(Problem::new(Place::file(folder), message));
        }
        match problems.is_empty() {
            true => Ok(files),
            false => Err(Problems(problems)),
        }
    }

    /// The same; what is wrong is added to `problems`.
    pub(super) fn load_all(folder: &Path, problems: &mut Vec<Problem>) -> Vec<RuleFile> {
        let mut paths: Vec<PathBuf> = match std::fs::read_dir(folder) {
            Ok(entries) => entries
                .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
                .collect(),
            Err(error) => {
                let message = format!("cannot be read: {error}, expected a folder with rules");
                problems.push(Problem::new(Place::file(folder), message));
                return Vec::new();
            }
        };
        paths.sort();
        let mut files: Vec<RuleFile> = Vec::new();
        for path in paths {
            let read = std::fs::read_to_string(&path).map_err(|error| {
                Problem::new(Place::file(&path), format!("cannot be read: {error}"))
            });
            match read.and_then(|text| RuleFile::parse(&path, text)) {
                Ok(file) => match files.iter().find(|other| other.kind == file.kind) {
                    Some(other) => {
                        let message = format!(
                            "rules of kind {:?} are in {} already, expected one file a kind",
                            file.kind,
                            other.path.display()
                        );
                        problems.push(Problem::new(Place::file(&path), message));
                    }
                    None => files.push(file),
                },
                Err(problem) => problems.push(problem),
            }
        }
        files
    }

    /// Reads the text of a rule file.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(path: &Path, text: String) -> Result<RuleFile, Problem> {
        let file: File = parse(path, &text)?;
        if let Some(message) = wrong_kind(file.kind.get_ref()) {
            let place = Place::span(path, &text, file.kind.span());
            return Err(Problem::new(place, message));
        }
        let (thresholds, span) = match file.thresholds {
            Some(spanned) => (*spanned.get_ref(), spanned.span()),
            None => (Thresholds::default(), 0..0),
        };
        let own = file.tenants.values().map(|own| (*own.get_ref(), own.span()));
        for (thresholds, span) in std::iter::once((thresholds, span)).chain(own) {
            let Thresholds { step_up, review, block } = thresholds;
            if !(0.0 < step_up && step_up <= review && review <= block && block <= 1.0) {
                let message = format!(
                    "thresholds are step_up {step_up}, review {review}, block {block}, \
                     expected 0 < step_up <= review <= block <= 1"
                );
                return Err(Problem::new(Place::span(path, &text, span), message));
            }
        }
        let tenants_max = limits().tenants_max;
        if file.tenants.len() > tenants_max {
            let message = format!(
                "{} tenants have thresholds of their own, expected at most {tenants_max}",
                file.tenants.len()
            );
            return Err(Problem::new(Place::file(path), message));
        }
        let (escalate, span) = match file.escalate {
            Some(spanned) => (spanned.get_ref().clone(), spanned.span()),
            None => (Escalate::default(), 0..0),
        };
        for (name, priority) in [
            ("review_priority", escalate.review_priority),
            ("block_priority", escalate.block_priority),
        ] {
            if !(1..=4).contains(&priority) {
                let message = format!("{name} is {priority}, expected 1 to 4");
                return Err(Problem::new(Place::span(path, &text, span), message));
            }
        }
        Ok(RuleFile {
            path: path.to_owned(),
            text,
            kind: file.kind.into_inner(),
            thresholds,
            tenants: file.tenants.into_iter().map(|(name, own)| (name, own.into_inner())).collect(),
            escalate,
            recommend: file.recommend,
            rules: file.rule,
        })
    }
}

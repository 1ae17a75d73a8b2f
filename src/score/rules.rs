//! Rule files to rules that run. Whatever is wrong is found here, with its place in the file.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::template::Template;
use crate::config::{
    Action, Escalate, Place, Problem, Problems, RuleFile, RuleSpec, RuleTest, Thresholds, Wording,
    limits,
};
use crate::event::{Kind, Slot};
use crate::expr::{Program, Type, Vocabulary};
use crate::state::FeatureSet;

/// One rule, ready to run.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) action: Action,
    pub(super) weight: f64,
    pub(super) reason: String,
    pub(super) text: Template,
    pub(super) recommend: Option<String>,
    pub(super) program: Program,
}

/// The rules of one kind.
#[derive(Debug)]
pub(super) struct KindRules {
    pub(super) vocabulary: Vocabulary,
    pub(super) rules: Vec<Rule>,
    pub(super) thresholds: Thresholds,
    pub(super) escalate: Escalate,
    pub(super) recommend: Wording,
    /// the event fields that rules read, ascending; what a decision records
    pub(super) fields_read: Vec<usize>,
}

/// All rules of a topology, checked and hashed.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) kinds: [Option<KindRules>; 4],
    hash: String,
    files: BTreeMap<String, String>,
    features: Arc<FeatureSet>,
}

impl RuleSet {
    /// Checks rule files and makes them ready to run. Kinds without a file have no rules.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(files: &[RuleFile], features: &Arc<FeatureSet>) -> Result<RuleSet, Problems> {
        let mut problems = Vec::new();
        let mut kinds = [None, None, None, None];
        let mut ids = HashSet::new();
        for file in files {
            let Some(kind) = Kind::from_label(&file.kind).filter(|kind| *kind != Kind::Label)
            else {
                let message = format!("kind is {:?}, expected a kind that is scored", file.kind);
                problems.push(Problem::new(Place::file(&file.path), message));
                continue;
            };
            let loader = Loader { file, vocabulary: vocabulary(kind, features) };
            kinds[kind as usize] = Some(loader.load(&mut ids, &mut problems));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let files: BTreeMap<String, String> =
            files.iter().map(|file| (file.kind.clone(), file.text.clone())).collect();
        Ok(RuleSet {
            kinds,
            hash: hash(&files, features.hash()),
            files,
            features: Arc::clone(features),
        })
    }

    /// Hash of all rule files and of the feature set they are written against: SHA-256, first 16
    /// bytes, hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The features they are written against.
    pub fn features(&self) -> &Arc<FeatureSet> {
        &self.features
    }

    /// The text of each rule file by kind: what must be kept to run a decision again.
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }

    /// Ids of the rules of a kind, in order.
    pub fn rule_ids(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.kinds
            .get(kind as usize)
            .and_then(Option::as_ref)
            .into_iter()
            .flat_map(|kind| kind.rules.iter().map(|rule| rule.id.as_str()))
    }
}

/// What rules of a kind may name.
fn vocabulary(kind: Kind, features: &FeatureSet) -> Vocabulary {
    Vocabulary::new(kind, features.names())
}

fn hash(files: &BTreeMap<String, String>, feature_set: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(feature_set);
    for (kind, text) in files {
        hasher.update(format!("\n{kind} {}\n", text.len()));
        hasher.update(text);
    }
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Loader<'a> {
    file: &'a RuleFile,
    vocabulary: Vocabulary,
}

impl Loader<'_> {
    fn problem(&self, at: usize, message: String) -> Problem {
        Problem::new(Place::at(&self.file.path, &self.file.text, at), message)
    }

    fn load(self, ids: &mut HashSet<String>, problems: &mut Vec<Problem>) -> KindRules {
        let specs = &self.file.rules;
        if specs.len() > limits().rules_max {
            let message = format!("{} rules, expected at most {}", specs.len(), limits().rules_max);
            problems.push(Problem::new(Place::file(&self.file.path), message));
        }
        let mut rules = Vec::new();
        for spec in specs {
            if !ids.insert(spec.id.get_ref().clone()) {
                let message =
                    format!("rule {:?} is there twice, expected unique ids", spec.id.get_ref());
                problems.push(self.problem(spec.id.span().start, message));
            }
            match self.rule(spec) {
                Ok(rule) => {
                    self.run_tests(spec, &rule, problems);
                    rules.push(rule);
                }
                Err(problem) => problems.push(problem),
            }
        }
        let mut fields_read: Vec<usize> = rules
            .iter()
            .flat_map(|rule| rule.program.slots().iter().copied().chain(rule.text.slots()))
            .filter(|slot| *slot < self.vocabulary.field_count())
            .collect();
        fields_read.sort_unstable();
        fields_read.dedup();
        KindRules {
            rules,
            thresholds: self.file.thresholds,
            escalate: self.file.escalate.clone(),
            recommend: self.file.recommend.clone(),
            fields_read,
            vocabulary: self.vocabulary,
        }
    }

    fn rule(&self, spec: &RuleSpec) -> Result<Rule, Problem> {
        let weight = *spec.weight.get_ref();
        if !(0.0..=1.0).contains(&weight) {
            let message = format!("weight is {weight}, expected 0 to 1");
            return Err(self.problem(spec.weight.span().start, message));
        }
        let source = spec.when.get_ref();
        if source.len() > limits().expression_bytes_max {
            let message = format!(
                "when has {} bytes, expected at most {}",
                source.len(),
                limits().expression_bytes_max
            );
            return Err(self.problem(spec.when.span().start, message));
        }
        let program = Program::load(source, &self.vocabulary).map_err(|error| {
            let id = spec.id.get_ref();
            let message = format!("rule {id:?}: {} in {source:?}", error.message);
            self.problem(self.place_in(spec.when.span(), source, error.at), message)
        })?;
        let text = Template::load(spec.text.get_ref(), &self.vocabulary).map_err(|message| {
            let message = format!("text of rule {:?}: {message}", spec.id.get_ref());
            self.problem(spec.text.span().start, message)
        })?;
        Ok(Rule {
            id: spec.id.get_ref().clone(),
            action: spec.action,
            weight,
            reason: spec.reason.clone(),
            text,
            recommend: spec.recommend.clone(),
            program,
        })
    }

    /// The byte of the file at which byte `at` of a string value stands; the value's own place
    /// where escapes or indentation make that unclear.
    fn place_in(&self, span: std::ops::Range<usize>, value: &str, at: Option<usize>) -> usize {
        let raw = self.file.text.get(span.clone()).unwrap_or_default();
        match (raw.find(value), at) {
            (Some(inside), Some(at)) => span.start + inside + at,
            _ => span.start,
        }
    }

    fn run_tests(&self, spec: &RuleSpec, rule: &Rule, problems: &mut Vec<Problem>) {
        for test in &spec.tests {
            match self.given(test) {
                Ok(slots) => {
                    let found = rule.program.holds(&slots);
                    if found != test.expect {
                        let message = format!(
                            "test of rule {:?} gives {found}, expected {}",
                            rule.id, test.expect
                        );
                        problems.push(self.problem(test.given.span().start, message));
                    }
                }
                Err(message) => {
                    let message = format!("test of rule {:?}: {message}", rule.id);
                    problems.push(self.problem(test.given.span().start, message));
                }
            }
        }
    }

    fn given<'t>(&self, test: &'t RuleTest) -> Result<Vec<Slot<'t>>, String> {
        let mut slots = vec![Slot::Null; self.vocabulary.len()];
        for (name, value) in test.given.get_ref() {
            let slot = self.vocabulary.slot(name).ok_or_else(|| self.vocabulary.unknown(name))?;
            let ty = self.vocabulary.type_of(slot);
            slots[slot] = match (ty, value) {
                (Type::Bool, toml::Value::Boolean(value)) => Slot::Bool(*value),
                (Type::Int, toml::Value::Integer(value)) => Slot::Int(*value),
                (Type::Float, toml::Value::Float(value)) => Slot::Float(*value),
                (Type::Float, toml::Value::Integer(value)) => Slot::Float(*value as f64),
                (Type::Text, toml::Value::String(value)) => Slot::Text(value),
                (ty, value) => {
                    let expected = ty.name();
                    return Err(format!("{name} is {value}, expected a {expected}"));
                }
            };
        }
        Ok(slots)
    }
}

//! Rule files to rules that run. Whatever is wrong is found here, with its place in the file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use toml::Spanned;
use xxhash_rust::xxh3::xxh3_64;

use super::case::Case;
use super::lists::Lists;
use super::template::Template;
use crate::config::{
    Action, Escalate, Place, Problem, Problems, RuleFile, RuleSpec, Thresholds, Weight, Wording,
    hex, limits, wrong_name,
};
use crate::event::{Kind, Millis};
use crate::expr::{Computed, Expression, Program, ProgramError, Scope, Type, Vocabulary};
use crate::state::FeatureSet;

/// What a rule adds to the score.
#[derive(Debug)]
pub(super) enum Adds {
    Always(f64),
    Computed(Expression),
}

/// One rule, ready to run.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) action: Action,
    pub(super) weight: Adds,
    pub(super) reason: String,
    pub(super) text: Template,
    pub(super) recommend: Option<String>,
    pub(super) program: Program,
    /// event time from which on it matches nothing
    pub(super) expires: Option<Millis>,
    /// accounts whose draw is above it are none of its business
    pub(super) sample: Option<u64>,
    /// what it waits for
    pub(super) flag: Option<String>,
}

impl Rule {
    /// The slots that it reads or shows.
    fn slots(&self) -> impl Iterator<Item = usize> {
        let weight = match &self.weight {
            Adds::Always(_) => &[],
            Adds::Computed(expression) => expression.slots(),
        };
        self.program.slots().iter().chain(weight).copied().chain(self.text.slots())
    }

    /// Whether it holds of a case with these slots.
    pub(super) fn matches(&self, case: &Case<'_>, scope: &Scope<'_>) -> bool {
        self.program.holds(scope)
            && self.expires.is_none_or(|expires| case.event_time < expires)
            && self.sample.is_none_or(|most| self.draw(case) <= most)
    }

    /// 0..1, what it adds to the score of a case that it matches.
    pub(super) fn weight(&self, scope: &Scope<'_>) -> f64 {
        match &self.weight {
            Adds::Always(weight) => *weight,
            Adds::Computed(expression) => match expression.value(scope) {
                Some(Computed::Float(weight)) if !weight.is_nan() => weight.clamp(0.0, 1.0),
                _ => 0.0,
            },
        }
    }

    /// The same for all events of an account, another for each rule.
    fn draw(&self, case: &Case<'_>) -> u64 {
        xxh3_64([&self.id, "\0", case.tenant, "\0", case.account_id].concat().as_bytes())
    }
}

/// The rules of one kind.
#[derive(Debug)]
pub(super) struct KindRules {
    pub(super) rules: Vec<Rule>,
    thresholds: Thresholds,
    /// of tenants that have their own
    tenants: HashMap<String, Thresholds>,
    pub(super) escalate: Escalate,
    pub(super) recommend: Wording,
    /// the event fields that rules read, ascending; what a decision records
    pub(super) fields_read: Vec<usize>,
}

impl KindRules {
    /// From which score on an outcome follows, for a tenant.
    pub(super) fn thresholds(&self, tenant: &str) -> Thresholds {
        self.tenants.get(tenant).copied().unwrap_or(self.thresholds)
    }
}

/// All rules of a topology, checked and hashed.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) kinds: [Option<KindRules>; 4],
    hash: String,
    features: Arc<FeatureSet>,
}

impl RuleSet {
    /// Makes rule files ready to run, and runs their tests against these lists.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(
        files: &[RuleFile],
        lists: &Lists,
        features: &Arc<FeatureSet>,
    ) -> Result<RuleSet, Problems> {
        let rules = RuleSet::compile(files, lists.names(), features)?;
        rules.test(files, lists)?;
        Ok(rules)
    }

    /// Makes rule files ready to run with lists of these names, in that order. Kinds without a file have no
    /// rules.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn compile(
        files: &[RuleFile],
        lists: &[String],
        features: &Arc<FeatureSet>,
    ) -> Result<RuleSet, Problems> {
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
            let vocabulary = Vocabulary::new(kind, features.names()).with_lists(lists);
            let loader = Loader { file, vocabulary };
            kinds[kind as usize] = Some(loader.load(&mut ids, &mut problems));
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let files: BTreeMap<String, String> =
            files.iter().map(|file| (file.kind.clone(), file.text.clone())).collect();
        Ok(RuleSet { kinds, hash: hash(&files, features.hash()), features: Arc::clone(features) })
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

    /// Ids of the rules of a kind, in order.
    pub fn rule_ids(&self, kind: Kind) -> impl Iterator<Item = &str> {
        self.kinds
            .get(kind as usize)
            .and_then(Option::as_ref)
            .into_iter()
            .flat_map(|kind| kind.rules.iter().map(|rule| rule.id.as_str()))
    }
}

fn hash(files: &BTreeMap<String, String>, feature_set: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(feature_set);
    for (kind, text) in files {
        hasher.update(format!("\n{kind} {}\n", text.len()));
        hasher.update(text);
    }
    hex(&hasher.finalize()[..16])
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
                Ok(rule) => rules.push(rule),
                Err(problem) => problems.push(problem),
            }
        }
        let mut fields_read: Vec<usize> = rules
            .iter()
            .flat_map(|rule| rule.slots())
            .filter(|slot| *slot < self.vocabulary.field_count())
            .collect();
        fields_read.sort_unstable();
        fields_read.dedup();
        KindRules {
            rules,
            thresholds: self.file.thresholds,
            tenants: self.file.tenants.clone().into_iter().collect(),
            escalate: self.file.escalate.clone(),
            recommend: self.file.recommend.clone(),
            fields_read,
        }
    }

    fn rule(&self, spec: &RuleSpec) -> Result<Rule, Problem> {
        let weight = self.weight(spec)?;
        let program = self
            .compile(spec, "when", &spec.when, |source| Program::load(source, &self.vocabulary))?;
        if let Some(wrong) = spec.flag.as_ref().and_then(|flag| wrong_name("flag", flag)) {
            let message = format!("rule {:?}: {wrong}", spec.id.get_ref());
            return Err(self.problem(spec.id.span().start, message));
        }
        let text = Template::load(spec.text.get_ref(), &self.vocabulary).map_err(|message| {
            let message = format!("text of rule {:?}: {message}", spec.id.get_ref());
            self.problem(spec.text.span().start, message)
        })?;
        let expires = spec.expires.as_ref().map(|expires| self.moment(expires)).transpose()?;
        let sample = spec.sample.as_ref().map(|sample| *sample.get_ref());
        if let Some(found) = sample.filter(|sample| !(0.0..=1.0).contains(sample)) {
            let message = format!("sample is {found}, expected 0 to 1");
            let at = spec.sample.as_ref().map_or(0, |sample| sample.span().start);
            return Err(self.problem(at, message));
        }
        Ok(Rule {
            id: spec.id.get_ref().clone(),
            action: spec.action,
            weight,
            reason: spec.reason.clone(),
            text,
            recommend: spec.recommend.clone(),
            program,
            expires,
            sample: sample.map(|sample| (sample * u64::MAX as f64) as u64),
            flag: spec.flag.clone(),
        })
    }

    fn weight(&self, spec: &RuleSpec) -> Result<Adds, Problem> {
        let given = &spec.weight;
        let source = match given.get_ref() {
            Weight::Number(weight) if (0.0..=1.0).contains(weight) => {
                return Ok(Adds::Always(*weight));
            }
            Weight::Number(weight) => {
                let message = format!("weight is {weight}, expected 0 to 1");
                return Err(self.problem(given.span().start, message));
            }
            Weight::Computed(source) => Spanned::new(given.span(), source.clone()),
        };
        self.compile(spec, "weight", &source, |source| {
            let expression = Expression::load(source, &self.vocabulary)?;
            match expression.ty() {
                Type::Float => Ok(Adds::Computed(expression)),
                ty => Err(ProgramError {
                    at: None,
                    message: format!("the weight gives a {}, expected a double", ty.name()),
                    is_outside: false,
                }),
            }
        })
    }

    /// Compiles an expression of a rule; what is wrong with it is named with its place.
    fn compile<T>(
        &self,
        spec: &RuleSpec,
        what: &str,
        given: &Spanned<String>,
        load: impl FnOnce(&str) -> Result<T, ProgramError>,
    ) -> Result<T, Problem> {
        let source = given.get_ref();
        if source.len() > limits().expression_bytes_max {
            let message = format!(
                "{what} has {} bytes, expected at most {}",
                source.len(),
                limits().expression_bytes_max
            );
            return Err(self.problem(given.span().start, message));
        }
        load(source).map_err(|error| {
            let id = spec.id.get_ref();
            let message = format!("rule {id:?}: {} in {source:?}", error.message);
            self.problem(self.place_in(given.span(), source, error.at), message)
        })
    }

    fn moment(&self, given: &Spanned<String>) -> Result<Millis, Problem> {
        let text = given.get_ref();
        Millis::of_date_or_time(text).ok_or_else(|| {
            let message = format!(
                "expires is {text:?}, expected a date such as \"2027-01-31\" or a time such as \"2027-01-31T12:00:00Z\""
            );
            self.problem(given.span().start, message)
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
}

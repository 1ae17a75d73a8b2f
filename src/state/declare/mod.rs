//! Feature declarations, checked, as a [`FeatureSet`]. Whatever is wrong is found here, with its place.
//!
//! ```text
//!  [[feature]] ─► operation: what it reads ─► draft: groups, rings, grids ─► layout: regions of words
//! ```

mod draft;
mod layout;
mod operation;

use std::collections::HashSet;

use toml::Spanned;

use self::draft::{Draft, TotalDraft};
use super::set::{Feature, FeatureSet, KEYS, KINDS, Key};
use crate::config::Place as FilePlace;
use crate::config::{FeatureFile, FeatureSpec, Problem, Problems, limits};
use crate::event::Kind;
use crate::expr::{Program, fields};

struct Loader<'a> {
    file: &'a FeatureFile,
    filters: [Vec<(String, Program)>; KINDS],
    drafts: [Vec<Draft>; KINDS],
    totals: Vec<TotalDraft>,
    labels: [bool; KEYS.len()],
}

impl FeatureSet {
    /// Checks declarations. `dedupe_ids`: accepted events remembered per account and topic.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn load(file: &FeatureFile, dedupe_ids: usize) -> Result<FeatureSet, Problems> {
        let mut loader = Loader {
            file,
            filters: Default::default(),
            drafts: Default::default(),
            totals: Vec::new(),
            labels: [false; KEYS.len()],
        };
        let mut problems = Vec::new();
        if file.features.len() > limits().features_max {
            let (found, most) = (file.features.len(), limits().features_max);
            let message = format!("{found} features, expected at most {most}");
            problems.push(Problem::new(FilePlace::file(&file.path), message));
        }
        let mut names = HashSet::new();
        // a count without a field joins a group of the same events that has one
        let mut order: Vec<usize> = (0..file.features.len()).collect();
        order.sort_by_key(|i| file.features[*i].field.is_none());
        let mut features: Vec<Option<Feature>> = Vec::new();
        features.resize_with(file.features.len(), || None);
        for i in order {
            let spec = &file.features[i];
            if !names.insert(spec.name.get_ref().as_str()) {
                let message = format!(
                    "feature {:?} is there twice, expected unique names",
                    spec.name.get_ref()
                );
                problems.push(loader.problem(&spec.name, &message));
            }
            match loader.feature(spec) {
                Ok(feature) => features[i] = Some(feature),
                Err(problem) => problems.push(problem),
            }
        }
        if !problems.is_empty() {
            problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
            return Err(Problems(problems));
        }
        loader.finish(features.into_iter().flatten().collect(), dedupe_ids)
    }

    /// The features that weir ships with, for tests and tools without a topology.
    ///
    /// # Errors
    /// Never, as a test shows.
    pub fn shipped() -> Result<FeatureSet, Problems> {
        FeatureSet::load(&FeatureFile::shipped()?, super::Horizon::default().ids)
    }
}

impl Loader<'_> {
    fn problem<T>(&self, at: &Spanned<T>, message: &str) -> Problem {
        Problem::new(FilePlace::span(&self.file.path, &self.file.text, at.span()), message)
    }

    fn about<T>(&self, spec: &FeatureSpec, at: &Spanned<T>, message: &str) -> Problem {
        self.problem(at, &format!("feature {:?}: {message}", spec.name.get_ref()))
    }

    fn feature(&mut self, spec: &FeatureSpec) -> Result<Feature, Problem> {
        let name = spec.name.get_ref();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty()
            || !name.chars().all(is_plain)
            || name.starts_with(|c: char| c.is_ascii_digit())
        {
            let message = format!("name is {name:?}, expected lower case letters, digits and _");
            return Err(self.problem(&spec.name, &message));
        }
        let kind = Kind::from_label(spec.kind.get_ref()).ok_or_else(|| {
            let message = format!(
                "kind is {:?}, expected transaction, dispute, chat, invoice or label",
                spec.kind.get_ref()
            );
            self.about(spec, &spec.kind, &message)
        })?;
        for scored in Kind::SCORED {
            if fields(scored).iter().any(|(field, _)| field == name) {
                let message =
                    format!("name {name:?} is a field of a {}, expected another", scored.label());
                return Err(self.problem(&spec.name, &message));
            }
        }
        let key = self.key(spec, kind)?;
        self.operation(spec, kind, key)
    }

    fn key(&self, spec: &FeatureSpec, kind: Kind) -> Result<Key, Problem> {
        let Some(named) = &spec.key else { return Ok(Key::Account) };
        let found = KEYS.iter().find(|(name, _)| name == named.get_ref()).map(|(_, key)| *key);
        let known = |key: Key| match key {
            Key::Account => true,
            Key::Entity(entity) => entity.is_named_by(kind),
        };
        match found {
            Some(key) if known(key) => Ok(key),
            Some(_) => {
                let message =
                    format!("key is {:?}, which a {} does not name", named.get_ref(), kind.label());
                Err(self.about(spec, named, &message))
            }
            None => {
                let names = KEYS.map(|(name, _)| name).join(", ");
                let message = format!("key is {:?}, expected one of {names}", named.get_ref());
                Err(self.about(spec, named, &message))
            }
        }
    }
}

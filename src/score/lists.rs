//! The lists of a topology, ready to be looked up: by rules, and by themselves where they decide.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::template::Template;
use crate::config::{Decided, ListsFile, Place, Problem, Problems, hex};
use crate::event::{Kind, Outcome};
use crate::expr::Vocabulary;
use crate::lists::{List, Matching};
use crate::state::FeatureSet;

/// A list that decides before any rule does.
#[derive(Clone, Debug)]
pub(super) struct HardList {
    /// its place among the lists
    pub(super) list: usize,
    /// what is looked up
    pub(super) slot: usize,
    pub(super) outcome: Outcome,
    pub(super) reason: String,
    pub(super) text: Template,
    /// what stands for it where a rule's id would
    pub(super) rule: String,
}

/// The lists of a topology. Clones share the lists themselves.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    names: Vec<String>,
    pub(super) lists: Vec<Arc<List>>,
    /// by kind, in the order of the file
    pub(super) hard: [Vec<HardList>; 4],
    source: String,
    hash: String,
}

impl Lists {
    /// Builds the lists.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn load(file: &ListsFile, features: &FeatureSet) -> Result<Lists, Problems> {
        let mut problems = Vec::new();
        let mut lists = Lists { source: file.text.clone(), ..Lists::default() };
        for list in &file.lists {
            let (name, spec) = (list.spec.name.get_ref(), &list.spec);
            let matching = Matching { kind: spec.matching, fold: spec.folds() };
            match List::load(matching, &list.path, &list.text) {
                Ok(list) => lists.lists.push(Arc::new(list)),
                Err(error) => problems.push(error.into()),
            }
            lists.names.push(name.clone());
        }
        for (number, list) in file.lists.iter().enumerate() {
            for decides in &list.spec.decides {
                let problem = |span, message: String| {
                    Problem::new(Place::span(&file.path, &file.text, span), message)
                };
                // what is no kind was told when the file was read
                let Some(kind) = Kind::from_label(decides.kind.get_ref()) else { continue };
                let vocabulary = Vocabulary::new(kind, features.names());
                let field = decides.field.get_ref();
                let Some(slot) = vocabulary.slot(field) else {
                    problems.push(problem(decides.field.span(), vocabulary.unknown(field)));
                    continue;
                };
                match Template::load(decides.text.get_ref(), &vocabulary) {
                    Ok(text) => lists.hard[kind as usize].push(HardList {
                        list: number,
                        slot,
                        outcome: outcome(decides.outcome),
                        reason: decides.reason.get_ref().clone(),
                        text,
                        rule: format!("list:{}", list.spec.name.get_ref()),
                    }),
                    Err(message) => problems.push(problem(decides.text.span(), message)),
                }
            }
        }
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        lists.hash = lists.hash_of_all();
        Ok(lists)
    }

    /// Their names, in the order of the file.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Every list by its name, in the order of the file.
    pub fn all(&self) -> impl Iterator<Item = (&String, &Arc<List>)> {
        self.names.iter().zip(&self.lists)
    }

    /// The list of a name.
    pub fn get(&self, name: &str) -> Option<&Arc<List>> {
        let place = self.names.iter().position(|known| known == name)?;
        self.lists.get(place)
    }

    /// The same lists, but for one of them.
    #[must_use]
    pub fn with(mut self, name: &str, list: Arc<List>) -> Lists {
        if let Some(place) = self.names.iter().position(|known| known == name) {
            self.lists[place] = list;
            self.hash = self.hash_of_all();
        }
        self
    }

    /// Hash of what they hold and decide: SHA-256, first 16 bytes, hex. `None` where there are none.
    pub fn hash(&self) -> Option<&str> {
        (!self.names.is_empty()).then_some(&self.hash)
    }

    fn hash_of_all(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.source);
        for (name, list) in self.names.iter().zip(&self.lists) {
            hasher.update(format!("\n{name} {}", list.hash()));
        }
        hex(&hasher.finalize()[..16])
    }
}

fn outcome(decided: Decided) -> Outcome {
    match decided {
        Decided::Allow => Outcome::Allow,
        Decided::StepUp => Outcome::StepUp,
        Decided::Review => Outcome::Review,
        Decided::Block => Outcome::Block,
    }
}

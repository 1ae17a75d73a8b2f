//! What decides, by the hashes of its contents. Its own hash is the policy that decisions name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Rejection;
use super::bundle::{Bundle, BundleKind};
use crate::config::is_name;
use crate::event::ControlAction::{Publish as PUBLISH, Rollback as ROLLBACK};
use crate::event::{Control, ControlAction};
use crate::lists::Change;
use crate::snapshot::artifact_hash;

const FILE: &str = "manifest.json";
/// Challengers beside what decides: each costs what deciding costs.
const CHALLENGERS_MAX: usize = 8;

/// What a control record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// the rules of all kinds
    Rules,
    /// the entries of a list
    List(&'a str),
    /// the models of all kinds
    Models,
    /// what is evaluated beside what decides
    Challenger(&'a str),
    /// what rules may be turned on and off by
    Flag(&'a str),
}

impl<'a> Subject<'a> {
    /// The subject of a name as control records have it.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(name: &'a str) -> Result<Subject<'a>, Rejection> {
        let unknown = || Rejection::Name(name.to_owned());
        match name.split_once('/') {
            None if name == "rules" => Ok(Subject::Rules),
            None if name == "models" => Ok(Subject::Models),
            Some(("list", part)) if is_name(part) => Ok(Subject::List(part)),
            Some(("challenger", part)) if is_name(part) => Ok(Subject::Challenger(part)),
            Some(("flag", part)) if is_name(part) => Ok(Subject::Flag(part)),
            _ => Err(unknown()),
        }
    }
}

/// What was published of a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// bundle of its entries; `None`: as the topology has them
    pub entries: Option<String>,
    /// what was added and removed since, in order
    pub changes: Vec<Change>,
}

/// Changes of a list that a manifest names one by one; then its entries are to be published anew.
pub const CHANGES_MAX: usize = 1_000;

/// What decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// bundle of the features
    pub features: String,
    /// bundle of the rules
    pub rules: String,
    /// bundle of the lists, as the topology has them
    pub lists: String,
    /// what was published of lists since, by their name
    pub listed: BTreeMap<String, Listed>,
    /// bundle of the models
    pub models: String,
    /// bundle of each challenger
    pub challengers: BTreeMap<String, String>,
    /// what each flag is set to
    pub flags: BTreeMap<String, bool>,
}

impl Manifest {
    /// The policy's hash.
    pub fn hash(&self) -> String {
        artifact_hash(&self.bundle().to_bytes())
    }

    /// The hash of every content.
    pub fn contents(&self) -> impl Iterator<Item = &String> {
        let own = [&self.features, &self.rules, &self.lists, &self.models];
        let entries = self.listed.values().filter_map(|listed| listed.entries.as_ref());
        own.into_iter().chain(entries).chain(self.challengers.values())
    }

    /// As a bundle, whose hash is the policy's.
    pub fn bundle(&self) -> Bundle {
        // maps of texts always have a JSON form
        let text = serde_json::to_string(self).unwrap_or_default();
        Bundle::new(BundleKind::Manifest, BTreeMap::from([(FILE.to_owned(), text)]))
    }

    /// The manifest in a bundle.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of(bundle: &Bundle) -> Result<Manifest, String> {
        serde_json::from_str(bundle.file(FILE)).map_err(|error| format!("{FILE}: {error}"))
    }

    /// What decides after a change. `base`: what the topology says, which a rollback may go back to.
    ///
    /// # Errors
    /// Why the change is none.
    pub fn after(&self, base: &Manifest, change: &Control<'_>) -> Result<Manifest, Rejection> {
        if change.format != Control::FORMAT {
            return Err(Rejection::Format { found: change.format, weir: change.weir.to_string() });
        }
        let mut next = self.clone();
        let artifact = change.artifact.as_ref().map(ToString::to_string);
        let subject = Subject::parse(&change.name)?;
        match (subject, change.action, artifact) {
            (Subject::Rules, PUBLISH | ROLLBACK, Some(artifact)) => next.rules = artifact,
            (Subject::Rules, ROLLBACK, None) => next.rules.clone_from(&base.rules),
            (Subject::Models, PUBLISH | ROLLBACK, Some(artifact)) => next.models = artifact,
            (Subject::Models, ROLLBACK, None) => next.models.clone_from(&base.models),
            (Subject::List(name), PUBLISH | ROLLBACK, Some(artifact)) => {
                let listed = Listed { entries: Some(artifact), changes: Vec::new() };
                next.listed.insert(name.to_owned(), listed);
            }
            (Subject::List(name), ROLLBACK, None) => match change.change.as_deref() {
                None => drop(next.listed.remove(name)),
                Some(left) => {
                    let count: usize =
                        left.parse().map_err(|_| Rejection::Change(left.to_owned()))?;
                    next.listed.entry(name.to_owned()).or_default().changes.truncate(count);
                }
            },
            (Subject::List(name), ControlAction::Change, None) => {
                let text = change.change.as_deref().unwrap_or_default();
                let entry: Change = serde_json::from_str(text)
                    .map_err(|error| Rejection::Change(format!("{text:?}: {error}")))?;
                let listed = next.listed.entry(name.to_owned()).or_default();
                if listed.changes.len() >= CHANGES_MAX {
                    return Err(Rejection::Change(format!(
                        "list {name:?} has {CHANGES_MAX} changes, expected its entries to be published anew"
                    )));
                }
                listed.changes.push(entry);
            }
            (Subject::Challenger(name), PUBLISH | ROLLBACK, Some(artifact)) => {
                if next.challengers.len() >= CHALLENGERS_MAX && !next.challengers.contains_key(name)
                {
                    return Err(Rejection::Challengers(CHALLENGERS_MAX));
                }
                next.challengers.insert(name.to_owned(), artifact);
            }
            (Subject::Challenger(name), ROLLBACK, None) => drop(next.challengers.remove(name)),
            (Subject::Flag(name), ControlAction::Set, None) => {
                let value = change.change.as_deref().unwrap_or_default();
                let value = value.parse().map_err(|_| Rejection::Flag(value.to_owned()))?;
                next.flags.insert(name.to_owned(), value);
            }
            (Subject::Flag(name), ROLLBACK, None) => drop(next.flags.remove(name)),
            (_, action, _) => {
                return Err(Rejection::Action { name: change.name.to_string(), action });
            }
        }
        Ok(next)
    }
}

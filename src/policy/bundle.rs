//! Files that belong together, as one content under one hash.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{ListsFile, ModelFile, Problem, Problems, ReadError, RuleFile};

/// What a bundle holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BundleKind {
    /// the features that all else is written against
    Features,
    /// rule files, one a kind of event
    Rules,
    /// `lists.toml` and the files it names
    Lists,
    /// the entries of one list
    Entries,
    /// `models.toml` and the files it names
    Models,
    /// rules, lists and models of a challenger; what it has none of is as with the one that decides
    Challenger,
    /// which of the others decide together
    Manifest,
}

impl BundleKind {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            BundleKind::Features => "features",
            BundleKind::Rules => "rules",
            BundleKind::Lists => "lists",
            BundleKind::Entries => "entries",
            BundleKind::Models => "models",
            BundleKind::Challenger => "a challenger",
            BundleKind::Manifest => "a manifest",
        }
    }
}

const RULES: &str = "rules/";
const LISTS: &str = "lists.toml";
const MODELS: &str = "models.toml";

/// What a bundle is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// rule files
    pub rules: &'a [RuleFile],
    /// lists with their files
    pub lists: &'a ListsFile,
    /// models with their files
    pub models: &'a [ModelFile],
}

/// What a challenger has of its own; the rest is as with what decides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) rules: bool,
    pub(super) lists: bool,
    pub(super) models: bool,
}

/// The form of bundles that this weir writes and reads.
pub const FORMAT: u32 = 1;

/// Files that belong together. Its bytes are the same for the same files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    format: u32,
    kind: BundleKind,
    /// text by name
    files: BTreeMap<String, String>,
}

impl Bundle {
    /// A bundle of these files.
    pub fn new(kind: BundleKind, files: BTreeMap<String, String>) -> Bundle {
        Bundle { format: FORMAT, kind, files }
    }

    /// A bundle of rules, lists and models, whichever there are.
    pub fn of(kind: BundleKind, parts: &Parts<'_>) -> Bundle {
        let Parts { rules, lists, models } = *parts;
        let mut files = BTreeMap::new();
        for file in rules {
            files.insert(format!("{RULES}{}.toml", file.kind), file.text.clone());
        }
        if !lists.lists.is_empty() {
            files.insert(LISTS.to_owned(), lists.text.clone());
        }
        for list in &lists.lists {
            if let Some(name) = &list.spec.file {
                files.insert(name.get_ref().clone(), list.text.to_string());
            }
        }
        for model in models {
            files.insert(MODELS.to_owned(), model.source.to_string());
            files.insert(model.spec.file.get_ref().clone(), model.text.to_string());
            if let (Some(name), Some((_, text))) = (&model.spec.calibration, &model.calibration) {
                files.insert(name.get_ref().clone(), text.to_string());
            }
        }
        Bundle::new(kind, files)
    }

    /// What it holds.
    pub fn kind(&self) -> BundleKind {
        self.kind
    }

    /// Whether it holds that.
    pub fn is(&self, kind: BundleKind) -> bool {
        self.kind == kind
    }

    /// Its bytes: JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        // a map of texts always has a JSON form
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// A bundle of that kind.
    ///
    /// # Errors
    /// What is wrong with the bytes, or that it holds something else.
    pub fn from_bytes(bytes: &[u8], kind: BundleKind) -> Result<Bundle, String> {
        let bundle: Bundle = serde_json::from_slice(bytes)
            .map_err(|error| format!("it is no bundle of this weir: {error}"))?;
        if bundle.format != FORMAT {
            return Err(format!("it has format {}, expected {FORMAT}", bundle.format));
        }
        match bundle.is(kind) {
            true => Ok(bundle),
            false => Err(format!("it holds {}, expected {}", bundle.kind.name(), kind.name())),
        }
    }

    /// What it has of a policy.
    pub(super) fn own(&self) -> Own {
        Own {
            rules: self.files.keys().any(|name| name.starts_with(RULES)),
            lists: self.files.contains_key(LISTS),
            models: self.files.contains_key(MODELS),
        }
    }

    /// The text of one file; empty where it is not there.
    pub fn file(&self, name: &str) -> &str {
        self.files.get(name).map_or("", String::as_str)
    }

    /// The rule files in it.
    ///
    /// # Errors
    /// The first thing that is wrong with one of them.
    pub fn rules(&self) -> Result<Vec<RuleFile>, Problem> {
        self.files
            .iter()
            .filter(|(name, _)| name.starts_with(RULES))
            .map(|(name, text)| RuleFile::parse(Path::new(name), text.clone()))
            .collect()
    }

    /// The lists in it; `None` where it has no `lists.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn lists(&self) -> Result<Option<ListsFile>, Problems> {
        let Some(text) = self.files.get(LISTS) else { return Ok(None) };
        let read = |name: &str| self.read(name).map_err(ReadError::Missing);
        let lists = ListsFile::parse(Path::new(LISTS), text.clone(), read).map_err(Problems)?;
        Ok(Some(lists))
    }

    /// The models in it; `None` where it has no `models.toml`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn models(&self) -> Result<Option<Vec<ModelFile>>, Problems> {
        let Some(text) = self.files.get(MODELS) else { return Ok(None) };
        let read = |name: &str| self.read(name);
        ModelFile::parse(Path::new(MODELS), text, read).map(Some).map_err(Problems)
    }

    fn read(&self, name: &str) -> Result<String, String> {
        self.files.get(name).cloned().ok_or_else(|| "it is not in the bundle".to_owned())
    }
}

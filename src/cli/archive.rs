//! Rule sets by their hash, kept in the data folder, so that a decision can be run again long after
//! the rules have changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Exit, Failure};
use crate::config::{FeatureFile, RuleFile};
use crate::score::{Engine, RuleSet};
use crate::state::FeatureSet;

/// Name of the file with the features beside the rules.
const FEATURES: &str = "features.toml";

fn folder(data: &Path, hash: &str) -> PathBuf {
    data.join("rules").join(hash)
}

/// Keeps the files of a rule set, unless they are kept already.
pub(super) fn keep(data: &Path, rules: &RuleSet) -> Result<(), Failure> {
    let folder = folder(data, rules.hash());
    let failed = |error| {
        let message = format!("cannot keep the rule set in {}: {error}", folder.display());
        Failure::new(Exit::Failed, message)
    };
    if folder.exists() {
        return Ok(());
    }
    // written aside and renamed, so that a rule set is there whole or not at all
    let aside = folder.with_extension("new");
    std::fs::create_dir_all(&aside).map_err(failed)?;
    for (kind, text) in rules.files() {
        std::fs::write(aside.join(format!("{kind}.toml")), text).map_err(failed)?;
    }
    std::fs::write(aside.join(FEATURES), rules.features().text()).map_err(failed)?;
    std::fs::rename(&aside, &folder).map_err(failed)
}

/// An engine that decides by a kept rule set.
///
/// # Errors
/// What is missing or does not match the hash.
pub(super) fn engine(data: &Path, hash: &str) -> Result<Engine, String> {
    let folder = folder(data, hash);
    let mut files = Vec::new();
    let mut features = FeatureFile::shipped();
    let entries = std::fs::read_dir(&folder)
        .map_err(|error| format!("rule set {hash} is not in {}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        if path.ends_with(FEATURES) {
            features = FeatureFile::parse(&path, text);
            continue;
        }
        files.push(RuleFile::parse(&path, text).map_err(|problem| problem.to_string())?);
    }
    let features = features.map_err(|problem| problem.to_string())?;
    // nothing is kept to decide again: how much that might be does not matter
    let features = FeatureSet::load(&features, 1);
    let features = Arc::new(features.map_err(|problems| problems.to_string())?);
    let rules = RuleSet::load(&files, &features).map_err(|problems| problems.to_string())?;
    if rules.hash() != hash {
        return Err(format!(
            "{} holds rule set {}, expected {hash}: it was changed, or features were",
            folder.display(),
            rules.hash()
        ));
    }
    Ok(Engine::new(rules))
}

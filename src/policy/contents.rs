//! Contents by their hash, and what is built of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::bundle::{Bundle, BundleKind};
use super::manifest::{Listed, Manifest};
use super::rejection::{Rejection, Trouble};
use crate::config::{ListsFile, ModelFile, RuleFile};
use crate::lists::List;
use crate::score::model::Model;
use crate::score::{Engine, Lists, Models, Policy};
use crate::snapshot::Vault;
use crate::state::FeatureSet;

/// Name of the file in a bundle of entries.
pub const ENTRIES: &str = "entries.csv";

/// What was built already, so that what stays need not be built again: a list has a million entries, a model
/// thousands of trees.
#[derive(Clone, Debug, Default)]
pub(super) struct Built {
    /// of the lists as the topology has them, by bundle and name
    own: BTreeMap<(String, String), Arc<List>>,
    /// with what was published, by name
    listed: BTreeMap<String, (Listed, Arc<List>)>,
    /// by what they are
    models: BTreeMap<String, Arc<Model>>,
}

/// Where contents are.
pub(super) struct Contents<'a> {
    pub(super) vault: Option<&'a Vault>,
    /// those that a topology folder has
    pub(super) own: &'a BTreeMap<String, Arc<Bundle>>,
}

impl Contents<'_> {
    pub(super) fn bundle(
        &self,
        what: &str,
        hash: &str,
        kind: BundleKind,
    ) -> Result<Arc<Bundle>, Trouble> {
        if let Some(own) = self.own.get(hash).filter(|own| own.is(kind)) {
            return Ok(Arc::clone(own));
        }
        let content = |reason: String| Rejection::Content {
            what: what.to_owned(),
            hash: hash.to_owned(),
            reason,
        };
        let missing = |place: &str| Trouble::Missing {
            what: what.to_owned(),
            hash: hash.to_owned(),
            place: place.to_owned(),
        };
        let Some(vault) = self.vault else { return Err(missing("none")) };
        let bytes = match vault.artifact(hash) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(missing(vault.place())),
            Err(error) if error.is_about_content() => return Err(content(error.to_string()).into()),
            Err(error) => return Err(Trouble::Unavailable(error)),
        };
        Ok(Arc::new(Bundle::from_bytes(&bytes, kind).map_err(content)?))
    }

    pub(super) fn rules(&self, hash: &str) -> Result<Vec<RuleFile>, Trouble> {
        let bundle = self.bundle("rule set", hash, BundleKind::Rules)?;
        Ok(bundle.rules().map_err(|problem| Rejection::Invalid(problem.into()))?)
    }

    /// What a manifest names, ready to decide, and what of it can be taken over into the next.
    pub(super) fn engine(
        &self,
        manifest: &Manifest,
        features: &Arc<FeatureSet>,
        before: &Built,
    ) -> Result<(Engine, Built), Trouble> {
        let mut built = Built::default();
        let rules = self.rules(&manifest.rules)?;
        let (listed, lists) = self.lists(manifest, features, before, &mut built)?;
        let bundle = self.bundle("models", &manifest.models, BundleKind::Models)?;
        let files = bundle.models().map_err(Rejection::Invalid)?.unwrap_or_default();
        let load = |files: &[ModelFile], lists: &Lists| {
            Models::load(files, &before.models, lists.names(), features).map_err(Rejection::Invalid)
        };
        let models = load(&files, &lists)?;
        built.models.extend(models.built());
        let mut challengers = Vec::new();
        for (name, hash) in &manifest.challengers {
            let what = format!("challenger {name:?}");
            let bundle = self.bundle(&what, hash, BundleKind::Challenger)?;
            let own = bundle.rules().map_err(|problem| Rejection::Invalid(problem.into()))?;
            let own_rules = if own.is_empty() { &rules } else { &own };
            let own_lists = match bundle.lists().map_err(Rejection::Invalid)? {
                Some(file) => Lists::load(&file, &BTreeMap::new(), features),
                None => Lists::load(&listed, &known(&lists), features),
            };
            let own_lists = own_lists.map_err(Rejection::Invalid)?;
            let own = bundle.models().map_err(Rejection::Invalid)?;
            let own_models = load(own.as_ref().unwrap_or(&files), &own_lists)?;
            built.models.extend(own_models.built());
            let policy = Policy::load(own_rules, own_lists, own_models, &manifest.flags, features)
                .map_err(|problems| Rejection::Challenger(name.clone(), problems))?;
            challengers.push((name.clone(), policy));
        }
        let policy = Policy::load(&rules, lists, models, &manifest.flags, features)
            .map_err(Rejection::Invalid)?;
        Ok((Engine::of(manifest.hash(), policy, challengers), built))
    }

    /// The lists of a topology with what was published of them since.
    pub(super) fn lists(
        &self,
        manifest: &Manifest,
        features: &Arc<FeatureSet>,
        before: &Built,
        built: &mut Built,
    ) -> Result<(ListsFile, Lists), Trouble> {
        let bundle = self.bundle("lists", &manifest.lists, BundleKind::Lists)?;
        let file = bundle.lists().map_err(Rejection::Invalid)?.unwrap_or_default();
        let place = |name: &str| (manifest.lists.clone(), name.to_owned());
        let mut own = BTreeMap::new();
        for name in file.lists.iter().map(|list| list.spec.name.get_ref()) {
            if let Some(list) = before.own.get(&place(name)) {
                own.insert(name.clone(), Arc::clone(list));
            }
        }
        let mut lists = Lists::load(&file, &own, features).map_err(Rejection::Invalid)?;
        for (name, list) in known(&lists) {
            built.own.insert(place(&name), list);
        }
        for (name, listed) in &manifest.listed {
            let Some(own) = lists.get(name) else {
                return Err(Rejection::List(name.clone()).into());
            };
            let list = match before.listed.get(name) {
                Some((known, list)) if known == listed => Arc::clone(list),
                known => Arc::new(self.listed(name, listed, own, known)?),
            };
            built.listed.insert(name.clone(), (listed.clone(), Arc::clone(&list)));
            lists = lists.with(name, list);
        }
        Ok((file, lists))
    }

    /// A list with what was published of it, made from what it was before where that is only less.
    fn listed(
        &self,
        name: &str,
        listed: &Listed,
        own: &List,
        before: Option<&(Listed, Arc<List>)>,
    ) -> Result<List, Trouble> {
        let (mut list, done) = match before {
            Some((known, list))
                if known.entries == listed.entries
                    && listed.changes.starts_with(&known.changes) =>
            {
                (List::clone(list), known.changes.len())
            }
            _ => (self.entries(name, listed, own)?, 0),
        };
        for change in &listed.changes[done..] {
            list = list
                .with(change)
                .map_err(|fault| Rejection::Change(format!("of list {name:?}: {fault}")))?;
        }
        Ok(list)
    }

    fn entries(&self, name: &str, listed: &Listed, own: &List) -> Result<List, Trouble> {
        let Some(hash) = &listed.entries else { return Ok(own.clone()) };
        let bundle = self.bundle(&format!("list {name:?}"), hash, BundleKind::Entries)?;
        let path = format!("{name}/{ENTRIES}");
        let list = List::load(own.matching(), Path::new(&path), bundle.file(ENTRIES));
        Ok(list.map_err(|error| Rejection::Invalid(crate::config::Problem::from(error).into()))?)
    }
}

/// Lists by their name.
fn known(lists: &Lists) -> BTreeMap<String, Arc<List>> {
    lists.all().map(|(name, list)| (name.clone(), Arc::clone(list))).collect()
}

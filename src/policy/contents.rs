//! Contents by their hash, and what is built of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::bundle::{Bundle, BundleKind, Own};
use super::manifest::{Listed, Manifest};
use super::rejection::{Rejection, Trouble};
use crate::config::{Problem, RuleFile};
use crate::lists::List;
use crate::score::model::Model;
use crate::score::{Engine, Lists, Models, Policy, RuleSet};
use crate::snapshot::Vault;
use crate::state::FeatureSet;

/// Name of the file in a bundle of entries.
pub const ENTRIES: &str = "entries.csv";

/// Where contents are.
#[derive(Clone, Copy)]
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
            Err(error) if error.is_about_content() => {
                return Err(Trouble::Damaged { what: what.to_owned(), error });
            }
            Err(error) => return Err(Trouble::Unavailable(error)),
        };
        Ok(Arc::new(Bundle::from_bytes(&bytes, kind).map_err(content)?))
    }

    pub(super) fn rules(&self, hash: &str) -> Result<Vec<RuleFile>, Trouble> {
        rule_files(&*self.bundle("rule set", hash, BundleKind::Rules)?)
    }
}

fn rule_files(bundle: &Bundle) -> Result<Vec<RuleFile>, Trouble> {
    Ok(bundle.rules().map_err(|problem| Rejection::Invalid(problem.into()))?)
}

/// Where a part of a policy stands, and the hash of the lists that it knows by their place.
type Part = (BundleKind, String, String);

/// What was built already, so that what stays need not be fetched and built again: a list has a million
/// entries, a model thousands of trees, and most changes are of one entry or one flag. All of one feature set.
#[derive(Clone, Debug, Default)]
pub(super) struct Built {
    /// as their bundle has them
    lists: BTreeMap<(BundleKind, String), Lists>,
    /// with what was published, by the bundle of the topology's lists and name
    listed: BTreeMap<(String, String), (Listed, Arc<List>)>,
    rules: BTreeMap<Part, Arc<RuleSet>>,
    models: BTreeMap<Part, Arc<Models>>,
    /// by what they are
    each_model: BTreeMap<String, Arc<Model>>,
    /// what those have of their own, by the hash of their bundle
    challengers: BTreeMap<String, Own>,
}

impl Built {
    /// What a manifest names of a topology that is loaded already.
    pub(super) fn of(manifest: &Manifest, policy: &Policy) -> Built {
        let Manifest { rules, lists, models, .. } = manifest;
        let part = |kind, hash: &String| (kind, hash.clone(), lists.clone());
        Built {
            lists: [((BundleKind::Lists, lists.clone()), policy.lists().clone())].into(),
            rules: [(part(BundleKind::Rules, rules), Arc::clone(policy.rules()))].into(),
            models: [(part(BundleKind::Models, models), Arc::clone(policy.models()))].into(),
            each_model: policy.models().built(),
            ..Built::default()
        }
    }
}

/// A bundle that may be needed.
#[derive(Clone, Copy)]
struct Source<'m> {
    what: &'m str,
    hash: &'m str,
    kind: BundleKind,
}

impl<'m> Source<'m> {
    fn new(what: &'m str, hash: &'m str, kind: BundleKind) -> Source<'m> {
        Source { what, hash, kind }
    }

    fn part(self, lists: &str) -> Part {
        (self.kind, self.hash.to_owned(), lists.to_owned())
    }
}

/// Builds what a manifest names, and notes what of it can be taken over into the next.
pub(super) struct Builder<'a> {
    contents: Contents<'a>,
    features: &'a Arc<FeatureSet>,
    before: &'a Built,
    /// those that were needed, each once
    bundles: BTreeMap<(BundleKind, String), Arc<Bundle>>,
    pub(super) built: Built,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        contents: Contents<'a>,
        features: &'a Arc<FeatureSet>,
        before: &'a Built,
    ) -> Builder<'a> {
        let (bundles, built) = (BTreeMap::new(), Built::default());
        Builder { contents, features, before, bundles, built }
    }

    /// What decides by a manifest.
    pub(super) fn engine(&mut self, manifest: &Manifest) -> Result<Engine, Trouble> {
        let rules = Source::new("rule set", &manifest.rules, BundleKind::Rules);
        let models = Source::new("models", &manifest.models, BundleKind::Models);
        let lists = self.lists(manifest)?;
        let live = Policy::new(
            self.rules(rules, &manifest.lists, &lists)?,
            lists.clone(),
            self.models(models, &manifest.lists, &lists)?,
            &manifest.flags,
        );
        let mut challengers = Vec::new();
        for (name, hash) in &manifest.challengers {
            let what = format!("challenger {name:?}");
            let its = Source::new(&what, hash, BundleKind::Challenger);
            let own = self.own(its)?;
            let (lists_hash, lists) = match own.lists {
                true => (hash, self.lists_in(its)?),
                false => (&manifest.lists, lists.clone()),
            };
            let rules = self.rules(if own.rules { its } else { rules }, lists_hash, &lists);
            let models = self.models(if own.models { its } else { models }, lists_hash, &lists);
            // one that was there may be in the way of something new
            let refusal = |trouble| match self.before.challengers.contains_key(hash) {
                true => in_the_way(name, trouble),
                false => trouble,
            };
            let (rules, models) = (rules.map_err(refusal)?, models.map_err(refusal)?);
            challengers.push((name.clone(), Policy::new(rules, lists, models, &manifest.flags)));
        }
        Ok(Engine::of(manifest.hash(), live, challengers))
    }

    fn bundle(&mut self, source: Source<'_>) -> Result<Arc<Bundle>, Trouble> {
        let place = (source.kind, source.hash.to_owned());
        if let Some(bundle) = self.bundles.get(&place) {
            return Ok(Arc::clone(bundle));
        }
        let bundle = self.contents.bundle(source.what, source.hash, source.kind)?;
        self.bundles.insert(place, Arc::clone(&bundle));
        Ok(bundle)
    }

    fn own(&mut self, source: Source<'_>) -> Result<Own, Trouble> {
        let own = match self.before.challengers.get(source.hash) {
            Some(own) => *own,
            None => self.bundle(source)?.own(),
        };
        self.built.challengers.insert(source.hash.to_owned(), own);
        Ok(own)
    }

    fn rules(
        &mut self,
        source: Source<'_>,
        lists_hash: &str,
        lists: &Lists,
    ) -> Result<Arc<RuleSet>, Trouble> {
        let part = source.part(lists_hash);
        let known = self.built.rules.get(&part).or_else(|| self.before.rules.get(&part));
        let rules = match known {
            Some(known) => Arc::clone(known),
            None => {
                let files = rule_files(&*self.bundle(source)?)?;
                let rules = RuleSet::compile(&files, lists.names(), self.features);
                Arc::new(rules.map_err(Rejection::Invalid)?)
            }
        };
        self.built.rules.insert(part, Arc::clone(&rules));
        Ok(rules)
    }

    fn models(
        &mut self,
        source: Source<'_>,
        lists_hash: &str,
        lists: &Lists,
    ) -> Result<Arc<Models>, Trouble> {
        let part = source.part(lists_hash);
        let known = self.built.models.get(&part).or_else(|| self.before.models.get(&part));
        let models = match known {
            Some(known) => Arc::clone(known),
            None => {
                let files = self.bundle(source)?.models().map_err(Rejection::Invalid)?;
                let (files, known) = (files.unwrap_or_default(), &self.before.each_model);
                let models = Models::load(&files, known, lists.names(), self.features);
                Arc::new(models.map_err(Rejection::Invalid)?)
            }
        };
        self.built.each_model.extend(models.built());
        self.built.models.insert(part, Arc::clone(&models));
        Ok(models)
    }

    /// The lists of a bundle as it has them.
    fn lists_in(&mut self, source: Source<'_>) -> Result<Lists, Trouble> {
        let place = (source.kind, source.hash.to_owned());
        let lists = match self.before.lists.get(&place) {
            Some(lists) => lists.clone(),
            None => {
                let file = self.bundle(source)?.lists().map_err(Rejection::Invalid)?;
                Lists::load(&file.unwrap_or_default(), self.features).map_err(Rejection::Invalid)?
            }
        };
        self.built.lists.insert(place, lists.clone());
        Ok(lists)
    }

    /// The lists of a topology with what was published of them since.
    pub(super) fn lists(&mut self, manifest: &Manifest) -> Result<Lists, Trouble> {
        let mut lists = self.lists_in(Source::new("lists", &manifest.lists, BundleKind::Lists))?;
        for (name, listed) in &manifest.listed {
            let Some(own) = lists.get(name) else {
                return Err(Rejection::List(name.clone()).into());
            };
            let place = (manifest.lists.clone(), name.clone());
            let list = match self.before.listed.get(&place) {
                Some((known, list)) if known == listed => Arc::clone(list),
                known => Arc::new(self.listed(name, listed, own, known)?),
            };
            self.built.listed.insert(place, (listed.clone(), Arc::clone(&list)));
            lists = lists.with(name, list);
        }
        Ok(lists)
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
        let what = format!("list {name:?}");
        let bundle = self.contents.bundle(&what, hash, BundleKind::Entries)?;
        let path = format!("{name}/{ENTRIES}");
        let list = List::load(own.matching(), Path::new(&path), bundle.file(ENTRIES));
        Ok(list.map_err(|error| Rejection::Invalid(Problem::from(error).into()))?)
    }
}

fn in_the_way(challenger: &str, trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Rejected(Rejection::Invalid(problems)) => {
            Rejection::Challenger(challenger.to_owned(), problems).into()
        }
        trouble => trouble,
    }
}

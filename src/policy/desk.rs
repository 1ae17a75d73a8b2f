//! From control records to engines.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use super::bundle::{Bundle, BundleKind, Parts};
use super::contents::{Builder, Built, Contents};
use super::manifest::{Listed, Manifest};
use super::rejection::{Rejection, Trouble};
use crate::config::{FeatureFile, Place, Problem, Problems, RuleFile, Topology, limits};
use crate::event::Control;
use crate::lists::List;
use crate::score::{Engine, Lists, Policy};
use crate::snapshot::{SnapshotError, Vault, artifact_hash};
use crate::state::FeatureSet;

/// Name of the file of features in its bundle.
const FEATURES: &str = "features.toml";

/// Makes engines of what the topology and control records say.
#[derive(Clone, Debug)]
pub struct Desk {
    features: Arc<FeatureSet>,
    vault: Option<Vault>,
    /// the topology's own contents
    own: BTreeMap<String, Arc<Bundle>>,
    base: Manifest,
    now: Manifest,
    /// contents that are known to be kept
    stored: BTreeSet<String>,
    /// lists and models of what decides now, to be taken over where they stay
    built: Built,
}

impl Desk {
    /// What the topology says. `vault`: where contents are kept; without one only the topology's own can be
    /// had, and no change can be taken.
    ///
    /// # Errors
    /// When rules, lists or models are more than can be kept.
    pub fn new(
        features: &Arc<FeatureSet>,
        topology: &Topology,
        vault: Option<Vault>,
    ) -> Result<Desk, Problems> {
        let (mut own, mut problems) = (BTreeMap::new(), Vec::new());
        let mut keep = |bundle: Bundle| {
            let bytes = bundle.to_bytes();
            let (found, most) = (bytes.len() as u64, limits().artifact_bytes_max);
            if found > most {
                let message = format!(
                    "{} take {found} bytes together, expected at most {most}",
                    bundle.kind().name()
                );
                problems.push(Problem::new(Place::file(&topology.folder), message));
            }
            let hash = artifact_hash(&bytes);
            own.insert(hash.clone(), Arc::new(bundle));
            hash
        };
        let text = BTreeMap::from([(FEATURES.to_owned(), features.text().to_owned())]);
        let nothing = Parts { rules: &[], lists: &Default::default(), models: &[] };
        let rules = Parts { rules: &topology.rules, ..nothing };
        let lists = Parts { lists: &topology.lists, ..nothing };
        let models = Parts { models: &topology.models, ..nothing };
        let base = Manifest {
            features: keep(Bundle::new(BundleKind::Features, text)),
            rules: keep(Bundle::of(BundleKind::Rules, &rules)),
            lists: keep(Bundle::of(BundleKind::Lists, &lists)),
            listed: BTreeMap::new(),
            models: keep(Bundle::of(BundleKind::Models, &models)),
            challengers: BTreeMap::new(),
            flags: BTreeMap::new(),
        };
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let (features, now) = (Arc::clone(features), base.clone());
        let (stored, built) = (BTreeSet::new(), Built::default());
        Ok(Desk { features, vault, own, base, now, stored, built })
    }

    /// The same, with what was built of the topology already.
    #[must_use]
    pub fn knowing(self, policy: &Policy) -> Desk {
        Desk { built: Built::of(&self.base, policy), ..self }
    }

    /// The same; from now on contents are kept there.
    #[must_use]
    pub fn kept_in(self, vault: Vault) -> Desk {
        Desk { vault: Some(vault), ..self }
    }

    /// What the topology says, by the hashes of its contents.
    pub fn base(&self) -> &Manifest {
        &self.base
    }

    /// What decides now, by the hashes of its contents.
    pub fn manifest(&self) -> &Manifest {
        &self.now
    }

    /// The rule files that decide now.
    ///
    /// # Errors
    /// What cannot be had now.
    pub fn rules(&self) -> Result<Vec<RuleFile>, Trouble> {
        self.contents().rules(&self.now.rules)
    }

    /// The lists that decide now.
    ///
    /// # Errors
    /// What is wrong with them, or what cannot be had now.
    pub fn lists(&self) -> Result<Lists, Trouble> {
        self.lists_of(&self.now)
    }

    /// A list as it was published once.
    ///
    /// # Errors
    /// What is wrong with it, or what cannot be had now.
    pub fn list(&self, name: &str, listed: &Listed) -> Result<Arc<List>, Trouble> {
        let mut manifest = self.now.clone();
        manifest.listed.insert(name.to_owned(), listed.clone());
        let list = self.lists_of(&manifest)?.get(name).map(Arc::clone);
        list.ok_or_else(|| Rejection::List(name.to_owned()).into())
    }

    fn lists_of(&self, manifest: &Manifest) -> Result<Lists, Trouble> {
        Builder::new(self.contents(), &self.features, &self.built).lists(manifest)
    }

    /// What decides now.
    ///
    /// # Errors
    /// What is wrong with it, or what cannot be had now.
    pub fn engine(&mut self) -> Result<Engine, Trouble> {
        self.build(&self.now.clone())
    }

    /// Takes a change: what decides from then on, once it is [kept](Desk::keep). On an error what decided
    /// before goes on; where it says that it may pass, the same change is to be tried again.
    ///
    /// Tests of rules are no part of it: they are for who publishes. Whether a change counts must not depend
    /// on the lists of whoever looks at it, nor on when.
    ///
    /// # Errors
    /// Why the change changes nothing.
    pub fn take(&mut self, change: &Control<'_>) -> Result<Engine, Trouble> {
        let take = || {
            let next = self.now.after(&self.base, change)?;
            let engine = self.build(&next)?;
            self.now = next;
            Ok(engine)
        };
        catch_unwind(AssertUnwindSafe(take)).unwrap_or(Err(Rejection::Panicked.into()))
    }

    /// Keeps what decides now, so that whatever it decides can be run again: before its first decision.
    ///
    /// # Errors
    /// When the place does not take it.
    pub fn keep(&mut self) -> Result<(), SnapshotError> {
        let Some(vault) = &self.vault else { return Ok(()) };
        let manifest = self.now.bundle();
        let own = self.now.contents().filter(|hash| !self.stored.contains(*hash));
        let own = own.filter_map(|hash| self.own.get(hash)).map(Arc::as_ref);
        let mut stored = Vec::new();
        for bundle in own.chain([&manifest]) {
            stored.push(vault.put_artifact(&bundle.to_bytes())?);
        }
        self.stored.extend(stored);
        Ok(())
    }

    fn contents(&self) -> Contents<'_> {
        Contents { vault: self.vault.as_ref(), own: &self.own }
    }

    fn build(&mut self, manifest: &Manifest) -> Result<Engine, Trouble> {
        let mut builder = Builder::new(self.contents(), &self.features, &self.built);
        let engine = builder.engine(manifest)?;
        self.built = builder.built;
        Ok(engine)
    }
}

/// Has what was kept decide again.
#[derive(Debug)]
pub struct Recall {
    vault: Vault,
    /// by hash, with what was built last of each
    sets: BTreeMap<String, (Arc<FeatureSet>, Built)>,
}

impl Recall {
    /// `vault`: where contents are kept.
    pub fn new(vault: Vault) -> Recall {
        Recall { vault, sets: BTreeMap::new() }
    }

    /// Lets go of what was built.
    pub fn forget(&mut self) {
        self.sets.clear();
    }

    /// What decided under a policy. It shares lists and models with the policy that was asked for before, where
    /// these have not changed.
    ///
    /// # Errors
    /// What is missing or damaged, or that the place does not answer.
    pub fn engine(&mut self, policy: &str) -> Result<Engine, Trouble> {
        let contents = Contents { vault: Some(&self.vault), own: &BTreeMap::new() };
        let bundle = contents.bundle("policy", policy, BundleKind::Manifest)?;
        let manifest = Manifest::of(&bundle).map_err(|reason| Rejection::Content {
            what: "policy".to_owned(),
            hash: policy.to_owned(),
            reason,
        })?;
        let (features, built) = match self.sets.entry(manifest.features.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(free) => {
                let features = feature_set(&contents, &manifest.features)?;
                free.insert((Arc::new(features), Built::default()))
            }
        };
        let mut builder = Builder::new(contents, features, built);
        let engine = builder.engine(&manifest)?;
        *built = builder.built;
        Ok(engine)
    }
}

fn feature_set(contents: &Contents<'_>, hash: &str) -> Result<FeatureSet, Trouble> {
    let bundle = contents.bundle("feature set", hash, BundleKind::Features)?;
    let text = bundle.file(FEATURES).to_owned();
    let file = FeatureFile::parse(Path::new(FEATURES), text)
        .map_err(|problem| Rejection::Invalid(problem.into()))?;
    // nothing is kept to decide again: how much that might be does not matter
    Ok(FeatureSet::load(&file, 1).map_err(Rejection::Invalid)?)
}

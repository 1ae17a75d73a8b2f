//! From control records to engines.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::bundle::{Bundle, BundleKind, Parts};
use super::contents::{Built, Contents};
use super::manifest::{Listed, Manifest};
use super::rejection::{Rejection, Trouble};
use crate::config::{FeatureFile, RuleFile, Topology};
use crate::event::Control;
use crate::lists::List;
use crate::score::{Engine, Lists};
use crate::snapshot::{Vault, artifact_hash};
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
    pub fn new(features: &Arc<FeatureSet>, topology: &Topology, vault: Option<Vault>) -> Desk {
        let mut own = BTreeMap::new();
        let mut keep = |bundle: Bundle| {
            let hash = artifact_hash(&bundle.to_bytes());
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
        let (features, now) = (Arc::clone(features), base.clone());
        Desk { features, vault, own, base, now, stored: BTreeSet::new(), built: Built::default() }
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
        let contents = self.contents();
        let (_, lists) =
            contents.lists(manifest, &self.features, &self.built, &mut Built::default())?;
        Ok(lists)
    }

    /// What decides now.
    ///
    /// # Errors
    /// What is wrong with it, or what cannot be had now.
    pub fn engine(&mut self) -> Result<Engine, Trouble> {
        self.load(&self.now.clone())
    }

    /// Takes a change: what decides from then on. On an error what decided before goes on; where it says
    /// that it may pass, the same change is to be tried again.
    ///
    /// # Errors
    /// Why the change changes nothing.
    pub fn take(&mut self, change: &Control<'_>) -> Result<Engine, Trouble> {
        let next = self.now.after(&self.base, change)?;
        let engine = self.load(&next)?;
        self.now = next;
        Ok(engine)
    }

    fn contents(&self) -> Contents<'_> {
        Contents { vault: self.vault.as_ref(), own: &self.own }
    }

    /// Loads what a manifest names, and keeps it, so that whatever it decides can be run again.
    fn load(&mut self, manifest: &Manifest) -> Result<Engine, Trouble> {
        let (engine, built) = self.contents().engine(manifest, &self.features, &self.built)?;
        if let Some(vault) = &self.vault {
            let own = manifest.contents().filter(|hash| !self.stored.contains(*hash));
            let own: Vec<&Bundle> =
                own.filter_map(|hash| self.own.get(hash)).map(Arc::as_ref).collect();
            let manifest = manifest.bundle();
            for bundle in own.into_iter().chain([&manifest]) {
                let hash = vault.put_artifact(&bundle.to_bytes()).map_err(Trouble::Unavailable)?;
                self.stored.insert(hash);
            }
        }
        self.built = built;
        Ok(engine)
    }
}

/// What decided under a policy, from what was kept then.
///
/// # Errors
/// What is missing or damaged, or that the place does not answer.
pub fn recall(vault: &Vault, policy: &str) -> Result<Engine, Trouble> {
    let contents = Contents { vault: Some(vault), own: &BTreeMap::new() };
    let bundle = contents.bundle("policy", policy, BundleKind::Manifest)?;
    let manifest = Manifest::of(&bundle).map_err(|reason| Rejection::Content {
        what: "policy".to_owned(),
        hash: policy.to_owned(),
        reason,
    })?;
    let features = contents.bundle("feature set", &manifest.features, BundleKind::Features)?;
    let text = features.file(FEATURES).to_owned();
    let file = FeatureFile::parse(Path::new(FEATURES), text)
        .map_err(|problem| Rejection::Invalid(problem.into()))?;
    // nothing is kept to decide again: how much that might be does not matter
    let features = FeatureSet::load(&file, 1).map_err(Rejection::Invalid)?;
    let (engine, _) = contents.engine(&manifest, &Arc::new(features), &Built::default())?;
    Ok(engine)
}

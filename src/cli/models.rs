//! `weir models`: looked at, published and taken back.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use super::control::{Office, Signed};
use super::{Exit, Failure, Places};
use crate::config::{ListsFile, ModelFile, Problems};
use crate::policy::{Bundle, BundleKind, Manifest, Parts};

/// The name of the models on `weir.control`.
const MODELS: &str = "models";

/// Models: looked at, published and taken back while weir runs.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  weir models list\n  weir models publish candidates/\n  \
    weir models rollback\n\nOn a data folder changes are taken up at the next start: weir must not be running \
    on it. On Kafka every process takes them up at once.")]
pub(super) enum Models {
    List(List),
    Publish(Publish),
    Rollback(Rollback),
}

impl Models {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Models::List(list) => list.run(),
            Models::Publish(publish) => publish.run(),
            Models::Rollback(rollback) => rollback.run(),
        }
    }
}

/// Lists the models that score now.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir models list --json")]
pub(super) struct List {
    /// As JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Has the models of a folder score from now on, if they load.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir models publish candidates/ --note 'trained on May'\n\n\
    Exit code 2 when a model is unsound or reads what is not there: then nothing has changed.")]
pub(super) struct Publish {
    /// A folder with models.toml and the files it names; by default the topology's
    folder: Option<PathBuf>,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version", "artifact", "models"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Has earlier models score again: those before the ones that score now, or those of a version.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir models rollback\n  weir models rollback --to 12\n  \
    weir models rollback --to 0    (what the topology folder says)")]
pub(super) struct Rollback {
    /// The version whose models are to score; 0: the topology's own
    #[arg(long, value_name = "VERSION")]
    to: Option<i64>,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version", "artifact"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, false)?;
        let engine = office.desk.engine()?;
        for (name, kind, model) in engine.live().models().all() {
            let (of, trees, features) = (model.kind(), model.tree_count(), model.features().len());
            match self.json {
                true => say!(
                    "{}",
                    json!({
                        "name": name, "kind": kind.label(), "library": of, "trees": trees,
                        "features": features, "objective": model.objective(), "hash": model.hash(),
                    })
                ),
                false => say!(
                    "{name:<24} {:<12} {of:<9} {trees:>6} trees, {features} features",
                    kind.label()
                ),
            }
        }
        Ok(())
    }
}

impl Publish {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, true)?;
        let files = match &self.folder {
            Some(folder) => ModelFile::load_folder(folder).map_err(Problems)?,
            None => office.topology.models.clone(),
        };
        if files.is_empty() {
            let message = "there is no model, expected models.toml with at least one";
            return Err(Failure::new(Exit::Invalid, message));
        }
        let parts = Parts { rules: &[], lists: &ListsFile::default(), models: &files };
        let bundle = Bundle::of(BundleKind::Models, &parts);
        let (version, artifact) = office.publish(MODELS, &bundle, &self.signed)?;
        match self.json {
            true => say!(
                "{}",
                json!({ "version": version, "artifact": artifact, "models": files.len() })
            ),
            false => say!("published as version {version}: {} models", files.len()),
        }
        Ok(())
    }
}

impl Rollback {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, true)?;
        let models = |manifest: &Manifest| manifest.models.clone();
        let (version, artifact) = office.roll_back(MODELS, self.to, models, &self.signed)?;
        match self.json {
            true => say!("{}", json!({ "version": version, "artifact": artifact })),
            false => say!("version {version}: earlier models score again"),
        }
        Ok(())
    }
}

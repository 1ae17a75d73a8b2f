//! `weir shadow`: challengers beside what decides.

mod report;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::control::{Office, Signed};
use super::{Exit, Failure, Places};
use crate::config::{ListsFile, ModelFile, Problems, RuleFile};
use crate::event::ControlAction;
use crate::policy::{Bundle, BundleKind, Parts};
use crate::score::{Lists, RuleSet};

/// Challengers: rules, lists and models that are evaluated beside what decides, and recorded with every
/// decision.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  weir shadow publish stricter candidates/\n  weir shadow list\n  \
    weir shadow report\n  \
    weir shadow withdraw stricter\n\nA challenger is a folder with rules/, lists.toml or models.toml; what it has \
    none of is as with what decides.\n\nOn a data folder changes are taken up at the next start: weir must not be \
    running on it. On Kafka every process takes them up at once."
)]
pub(super) enum Shadow {
    Publish(Publish),
    Withdraw(Withdraw),
    List(List),
    Report(report::Report),
}

impl Shadow {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Shadow::Publish(publish) => publish.run(),
            Shadow::Withdraw(withdraw) => withdraw.run(),
            Shadow::List(list) => list.run(),
            Shadow::Report(report) => report.run(),
        }
    }
}

/// Has a challenger evaluated from now on, if it loads.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir shadow publish stricter candidates/")]
pub(super) struct Publish {
    /// What it is called in decisions and reports: a-z, 0-9, _ and -
    name: String,
    /// The folder with what it has of its own
    folder: PathBuf,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version", "artifact"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Ends a challenger.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir shadow withdraw stricter")]
pub(super) struct Withdraw {
    /// The challenger
    name: String,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Lists the challengers.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir shadow list --json")]
pub(super) struct List {
    /// As JSON: {"name": "artifact"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

fn subject(name: &str) -> String {
    format!("challenger/{name}")
}

/// The bundle of a challenger's folder. Its rules pass their tests against its own lists, or those that decide
/// now.
fn read(folder: &Path, office: &Office) -> Result<Bundle, Failure> {
    let rules = match folder.join("rules") {
        rules if rules.is_dir() => RuleFile::load_folder(&rules)?,
        _ => Vec::new(),
    };
    let lists = ListsFile::load(folder).map_err(Problems)?;
    let models = ModelFile::load_folder(folder).map_err(Problems)?;
    if rules.is_empty() && lists.lists.is_empty() && models.is_empty() {
        let folder = folder.display();
        let message =
            format!("{folder} has nothing of its own, expected rules/, lists.toml or models.toml");
        return Err(Failure::new(Exit::Invalid, message));
    }
    let against = match lists.lists.is_empty() {
        true => office.lists()?,
        false => Lists::load(&lists, &office.features)?,
    };
    RuleSet::load(&rules, &against, &office.features)?;
    let parts = Parts { rules: &rules, lists: &lists, models: &models };
    Ok(Bundle::of(BundleKind::Challenger, &parts))
}

impl Publish {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, true)?;
        let bundle = read(&self.folder, &office)?;
        let name = subject(&self.name);
        let (version, artifact) = office.publish(&name, &bundle, &self.signed)?;
        match self.json {
            true => say!("{}", json!({ "version": version, "artifact": artifact })),
            false => say!("published as version {version}"),
        }
        Ok(())
    }
}

impl Withdraw {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, true)?;
        if !office.desk.manifest().challengers.contains_key(&self.name) {
            let known: Vec<&String> = office.desk.manifest().challengers.keys().collect();
            let message =
                format!("there is no challenger {:?}, expected one of {known:?}", self.name);
            return Err(Failure::new(Exit::Invalid, message));
        }
        let name = subject(&self.name);
        let version = office.change(&name, ControlAction::Rollback, (None, None), &self.signed)?;
        match self.json {
            true => say!("{}", json!({ "version": version })),
            false => say!("version {version}: {} is withdrawn", self.name),
        }
        Ok(())
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let office = Office::open(&self.places, false)?;
        let challengers = &office.desk.manifest().challengers;
        match self.json {
            true => say!("{}", json!(challengers)),
            false => challengers.iter().for_each(|(name, hash)| say!("{name:<32} {hash}")),
        }
        Ok(())
    }
}

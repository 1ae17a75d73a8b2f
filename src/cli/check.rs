//! `weir check`: everything that can be known before anything runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::{Exit, Failure};
use crate::codec::Writers;
use crate::config::{Place, Problem, Problems, Topology};
use crate::event::Kind;
use crate::policy::Desk;
use crate::score::{Lists, Models, Policy, RuleSet};
use crate::state::FeatureSet;

/// Checks a topology without running it: files, types of all rules, their tests, schemas.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir check --topology topology/\n\nExit code 0 if it is sound, 2 if not."
)]
pub(super) struct Check {
    /// The topology folder
    #[arg(long, value_name = "DIR", default_value = "topology")]
    topology: PathBuf,
    /// Problems as JSON lines: {"file", "line", "column", "message"}
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match check(&self.topology) {
            Ok((topology, policy)) => {
                if !self.json {
                    say_on!("{}", describe(&topology, &policy));
                }
                Ok(())
            }
            Err(problems) if self.json => {
                for problem in &problems.0 {
                    let Place { file, line, column } = &problem.place;
                    say!(
                        "{}",
                        serde_json::json!({
                            "file": file, "line": line, "column": column, "message": problem.message,
                        })
                    );
                }
                let count = problems.0.len();
                Err(Failure::new(Exit::Invalid, format!("{count} problems")))
            }
            Err(problems) => Err(problems.into()),
        }
    }
}

/// Loads a topology with everything it names.
pub(super) fn check(folder: &std::path::Path) -> Result<(Topology, Policy), Problems> {
    let topology = Topology::load(folder)?;
    let features = features(&topology)?;
    let policy = load(&topology, &features)?;
    // what decides is kept, and must not be more than can be
    Desk::new(&features, &topology, None)?;
    Writers::built_in()
        .add_folder(&topology.schemas())
        .map_err(|error| Problem::new(Place::file(&topology.schemas()), error.to_string()))?;
    Ok((topology, policy))
}

/// Loads what is remembered and read.
pub(super) fn features(topology: &Topology) -> Result<Arc<FeatureSet>, Problems> {
    let ids = *topology.dedupe.ids.get_ref();
    FeatureSet::load(&topology.features, ids).map(Arc::new)
}

/// Loads what decides.
pub(super) fn load(topology: &Topology, features: &Arc<FeatureSet>) -> Result<Policy, Problems> {
    let lists = Lists::load(&topology.lists, features)?;
    let models = Models::load(&topology.models, &BTreeMap::new(), lists.names(), features)?;
    let rules = RuleSet::load(&topology.rules, &lists, features)?;
    Ok(Policy::new(Arc::new(rules), lists, Arc::new(models), &BTreeMap::new()))
}

fn describe(topology: &Topology, policy: &Policy) -> String {
    let rules = policy.rules();
    let mut text = String::new();
    let mut line = |line: String| {
        // writing to a string cannot fail
        let _always = writeln!(text, "{line}");
    };
    line(format!("topology  {} is sound", topology.folder.display()));
    line(match &topology.kafka {
        Some(kafka) => format!("log       kafka at {}, prefix {:?}", kafka.brokers, kafka.prefix),
        None => format!("log       embedded in {}", topology.embedded.data.0),
    });
    line(format!("rule set  {}", rules.hash()));
    for kind in Kind::SCORED {
        let ids: Vec<&str> = rules.rule_ids(kind).collect();
        line(format!("  {:<12} {} rules: {}", kind.label(), ids.len(), ids.join(", ")));
    }
    for (name, list) in policy.lists().all() {
        line(format!("list      {name}: {} entries", list.len()));
    }
    for (name, kind, model) in policy.models().all() {
        line(format!(
            "model     {name} of {}: {} with {} features",
            kind.label(),
            model.kind(),
            model.features().len()
        ));
    }
    let features = rules.features();
    line(format!("features  {}, feature set {}", features.len(), features.hash()));
    for (key, bytes) in features.bytes_max() {
        line(format!("  {key:<12} at most {bytes} bytes each"));
    }
    let webhooks: Vec<&str> = topology.webhooks.iter().map(|hook| hook.name.as_str()).collect();
    line(format!(
        "webhooks  {}",
        if webhooks.is_empty() { "none".into() } else { webhooks.join(", ") }
    ));
    line(String::new());
    line("flowchart LR".to_owned());
    for kind in [Kind::Label, Kind::Dispute, Kind::Chat, Kind::Invoice, Kind::Transaction] {
        line(format!("  {} --> score", kind.topic()));
    }
    line("  score --> decisions --> store[(store)]".to_owned());
    line("  score --> escalations --> store".to_owned());
    line("  score --> dead-letters".to_owned());
    for hook in webhooks {
        line(format!("  escalations --> webhook[\"{hook}\"]"));
    }
    text
}

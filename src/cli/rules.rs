//! `weir rules`: looked at, tested, compared, published and taken back.

mod diff;
mod lint;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use self::diff::Difference;
use super::check::features;
use super::control::{Entry, Office, Signed};
use super::{Exit, Failure, Places};
use crate::config::{ListsFile, Place, Problem, Problems, RuleFile, RuleSpec, Topology};
use crate::event::Kind;
use crate::policy::{Bundle, BundleKind, Manifest, Parts};
use crate::score::{Lists, RuleSet};

/// The name of the rules on `weir.control`.
const RULES: &str = "rules";

/// Rules: looked at, tested, compared, published and taken back while weir runs.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  weir rules test topology/rules\n  weir rules diff\n  \
    weir rules publish topology/rules --note 'fewer false alarms at night'\n  weir rules rollback\n  \
    weir rules history\n\nOn a data folder publish and rollback are taken up at the next start: weir must \
    not be running on it. On Kafka every process takes them up at once.")]
pub(super) enum Rules {
    Test(Test),
    Lint(Lint),
    List(List),
    Diff(Diff),
    Publish(Publish),
    Rollback(Rollback),
    History(History),
}

impl Rules {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Rules::Test(test) => test.run(),
            Rules::Lint(lint) => lint.run(),
            Rules::List(list) => list.run(),
            Rules::Diff(diff) => diff.run(),
            Rules::Publish(publish) => publish.run(),
            Rules::Rollback(rollback) => rollback.run(),
            Rules::History(history) => history.run(),
        }
    }
}

/// Runs the tests beside the rules.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir rules test topology/rules\n\n\
    Exit code 0 when all rules load and all tests hold, 2 when not.")]
pub(super) struct Test {
    /// The folder with rule files; by default the topology's
    folder: Option<PathBuf>,
    /// As JSON: {"rules", "tests", "rule_set"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Says what is allowed and most likely not meant: rules without tests, repeated conditions, rules that have
/// expired.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir rules lint --json\n\n\
    Exit code 0 when there is nothing to say, 1 when there is, 2 when the rules do not load.")]
pub(super) struct Lint {
    /// The folder with rule files; by default the topology's
    folder: Option<PathBuf>,
    /// As JSON lines: {"file", "line", "column", "message"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Lists the rules that decide now.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir rules list --json")]
pub(super) struct List {
    /// As JSON lines, one a rule
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Compares the rules of a folder with those that decide now.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir rules diff candidates/rules\n\n\
    Exit code 0 when they are the same, 1 when they differ, 2 when they do not load.")]
pub(super) struct Diff {
    /// The folder with rule files; by default the topology's
    folder: Option<PathBuf>,
    /// As JSON: {"added", "removed", "changed", "kinds"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Has the rules of a folder decide from now on, if they load and their tests hold.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir rules publish topology/rules --note 'fewer false alarms'\n\n\
    Exit code 0 when they are published, 2 when they are unsound: then nothing has changed; 4 when weir \
    runs on the data folder; 5 when a newer weir has published meanwhile."
)]
pub(super) struct Publish {
    /// The folder with rule files; by default the topology's
    folder: Option<PathBuf>,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version", "rule_set", "artifact"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Has earlier rules decide again: those before the ones that decide now, or those of a version.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir rules rollback\n  weir rules rollback --to 12\n  \
    weir rules rollback --to 0    (what the topology folder says)")]
pub(super) struct Rollback {
    /// The version whose rules are to decide; 0: the topology's own
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

/// Lists every change of what decides, newest last, with what became of it.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir rules history --json")]
pub(super) struct History {
    /// As JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// The rule files of a folder, or the topology's.
fn read(topology: &Topology, folder: Option<&Path>) -> Result<Vec<RuleFile>, Problems> {
    match folder {
        Some(folder) => RuleFile::load_folder(folder),
        None => Ok(topology.rules.clone()),
    }
}

/// The same, checked and tested, without a log.
fn load(places: &Places, folder: Option<&Path>) -> Result<(Vec<RuleFile>, RuleSet), Failure> {
    let topology = places.load()?;
    let features = features(&topology)?;
    let files = read(&topology, folder)?;
    let lists = Lists::load(&topology.lists, &features)?;
    let rules = RuleSet::load(&files, &lists, &features)?;
    Ok((files, rules))
}

fn count_tests(files: &[RuleFile]) -> (usize, usize) {
    let rules = || files.iter().flat_map(|file| &file.rules);
    (rules().count(), rules().map(|rule| rule.tests.len()).sum())
}

impl Test {
    fn run(&self) -> Result<(), Failure> {
        let (files, rule_set) = load(&self.places, self.folder.as_deref())?;
        let (rules, tests) = count_tests(&files);
        match self.json {
            true => {
                let rule_set = rule_set.hash();
                say!("{}", json!({ "rules": rules, "tests": tests, "rule_set": rule_set }));
            }
            false => say!("{rules} rules, {tests} tests hold, rule set {}", rule_set.hash()),
        }
        Ok(())
    }
}

impl Lint {
    fn run(&self) -> Result<(), Failure> {
        let (files, _) = load(&self.places, self.folder.as_deref())?;
        let found = lint::lint(&files);
        for Problem { place, message } in &found {
            match self.json {
                true => {
                    let Place { file, line, column } = place;
                    say!(
                        "{}",
                        json!({ "file": file, "line": line, "column": column, "message": message })
                    );
                }
                false => say!("{place}: {message}"),
            }
        }
        match found.len() {
            0 => Ok(()),
            count => Err(Failure::new(Exit::Failed, format!("{count} things to look at"))),
        }
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let office = Office::open(&self.places, false)?;
        let files = office.desk.rules()?;
        if !self.json {
            say!("version {}, bundle {}", office.version(), office.desk.manifest().rules);
        }
        for file in &files {
            for rule in &file.rules {
                let (id, weight) = (rule.id.get_ref(), rule.weight.get_ref().to_string());
                let action = format!("{:?}", rule.action).to_lowercase();
                let expires = rule.expires.as_ref().map(|expires| expires.get_ref().as_str());
                let sample = rule.sample.as_ref().map(|sample| *sample.get_ref());
                if self.json {
                    say!(
                        "{}",
                        json!({
                            "kind": file.kind, "id": id, "action": action, "weight": weight,
                            "reason": rule.reason, "when": rule.when.get_ref(), "tags": rule.tags,
                            "expires": expires, "sample": sample, "flag": rule.flag,
                            "tests": rule.tests.len(),
                        })
                    );
                    continue;
                }
                let mut notes = rule.tags.clone();
                notes.extend(expires.map(|expires| format!("until {expires}")));
                notes.extend(sample.map(|sample| format!("of {:.1} %", sample * 100.0)));
                notes.extend(rule.flag.as_ref().map(|flag| format!("with flag {flag}")));
                let (kind, notes) = (&file.kind, notes.join(", "));
                say!("{kind:<12} {id:<28} {action:<8} {weight:<5} {} {notes}", rule.reason);
            }
        }
        Ok(())
    }
}

impl Diff {
    fn run(&self) -> Result<(), Failure> {
        let office = Office::open(&self.places, false)?;
        let files = read(&office.topology, self.folder.as_deref())?;
        RuleSet::load(&files, &office.lists()?, &office.features)?;
        let difference = Difference::between(&office.desk.rules()?, &files);
        match self.json {
            true => say!("{}", difference.to_json()),
            false => say_on!("{difference}"),
        }
        match difference.is_empty() {
            true => Ok(()),
            false => Err(Failure::new(Exit::Failed, "they differ from the rules that decide now")),
        }
    }
}

impl Publish {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, true)?;
        let files = read(&office.topology, self.folder.as_deref())?;
        let rule_set = RuleSet::load(&files, &office.lists()?, &office.features)?;
        let has = |files: &[RuleFile], kind: &str| files.iter().any(|file| file.kind == kind);
        let now = office.desk.rules()?;
        if let Some(left_out) = now.iter().find(|file| !has(&files, &file.kind)) {
            let message = format!(
                "rules of kind {:?} decide now and are not there, expected a file of theirs, with or without rules",
                left_out.kind
            );
            return Err(Failure::new(Exit::Invalid, message));
        }
        let parts = Parts { rules: &files, lists: &ListsFile::default(), models: &[] };
        let bundle = Bundle::of(BundleKind::Rules, &parts);
        let (version, artifact) = office.publish(RULES, &bundle, &self.signed)?;
        let (rules, tests) = count_tests(&files);
        match self.json {
            true => say!(
                "{}",
                json!({ "version": version, "rule_set": rule_set.hash(), "artifact": artifact })
            ),
            false => say!(
                "published as version {version}: {rules} rules, {tests} tests hold, rule set {}",
                rule_set.hash()
            ),
        }
        Ok(())
    }
}

impl Rollback {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, true)?;
        let rules = |manifest: &Manifest| manifest.rules.clone();
        let (version, artifact) = office.roll_back(RULES, self.to, rules, &self.signed)?;
        let shown = artifact.as_deref().unwrap_or("the topology's own");
        match self.json {
            true => say!("{}", json!({ "version": version, "artifact": artifact })),
            false => say!("version {version}: the rules are {shown} again"),
        }
        Ok(())
    }
}

impl History {
    fn run(&self) -> Result<(), Failure> {
        let office = Office::open(&self.places, false)?;
        for entry in &office.entries {
            match self.json {
                true => say!("{}", to_json(entry)),
                false => say!("{}", to_line(entry)),
            }
        }
        Ok(())
    }
}

fn to_json(entry: &Entry) -> Value {
    let Entry { version, change, rejected, .. } = entry;
    json!({
        "version": version, "name": &*change.name, "action": change.action.name(),
        "artifact": change.artifact.as_deref(), "change": change.change.as_deref(),
        "note": change.note.as_deref(), "issued_at": change.issued_at.to_string(),
        "issued_by": &*change.issued_by, "rejected": rejected,
    })
}

fn to_line(entry: &Entry) -> String {
    let Entry { version, change, rejected, .. } = entry;
    let what =
        change.artifact.as_deref().or(change.change.as_deref()).unwrap_or("the topology's own");
    let note = change.note.as_deref().map(|note| format!("  {note}")).unwrap_or_default();
    let result = rejected.as_ref().map(|reason| format!("\n       rejected: {reason}"));
    format!(
        "{version:>6} {} {:<8} {:<20} {what} by {}{note}{}",
        change.issued_at,
        change.action.name(),
        &*change.name,
        &*change.issued_by,
        result.unwrap_or_default()
    )
}

/// Rules by kind and id.
fn by_id(files: &[RuleFile]) -> BTreeMap<(&str, &str), &RuleSpec> {
    files
        .iter()
        .flat_map(|file| {
            file.rules.iter().map(|rule| ((file.kind.as_str(), rule.id.get_ref().as_str()), rule))
        })
        .collect()
}

/// The kinds that rules decide about, in order.
fn kinds() -> impl Iterator<Item = &'static str> {
    Kind::SCORED.into_iter().map(Kind::label)
}

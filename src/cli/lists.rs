//! `weir lists`: looked at, and changed while weir runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::control::{Office, Signed};
use super::{Exit, Failure, Places};
use crate::event::{ControlAction, Millis, Slot};
use crate::lists::{Change, Entry, List};
use crate::policy::{Bundle, BundleKind, ENTRIES, Listed};
use crate::telemetry::Clock;

/// Lists: looked at, and changed while weir runs.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  weir lists show\n  weir lists find bad_ips 10.1.2.3\n  \
    weir lists add bad_ips 10.0.0.0/8 --expires 2027-01-01 --note 'card testing'\n  \
    weir lists remove bad_ips 10.0.0.0/8\n  weir lists publish bad_ips bad_ips.csv\n\n\
    On a data folder changes are taken up at the next start: weir must not be running on it. On Kafka every \
    process takes them up at once.")]
pub(super) enum Lists {
    Show(Show),
    Find(Find),
    Add(Add),
    Remove(Remove),
    Publish(Publish),
    Rollback(Rollback),
}

impl Lists {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Lists::Show(show) => show.run(),
            Lists::Find(find) => find.run(),
            Lists::Add(add) => add.run(),
            Lists::Remove(remove) => remove.run(),
            Lists::Publish(publish) => publish.run(),
            Lists::Rollback(rollback) => rollback.run(),
        }
    }
}

/// Lists the lists, or the entries of one.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir lists show bad_ips --json")]
pub(super) struct Show {
    /// The list whose entries are wanted
    name: Option<String>,
    /// As JSON lines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Says by which entry a value is in a list now.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir lists find bad_ips 10.1.2.3\n\n\
    Exit code 0 when it is in the list, 1 when not.")]
pub(super) struct Find {
    /// The list
    name: String,
    /// The value, as an event would have it
    value: String,
    /// As JSON: {"value", "expires", "note"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Adds an entry, or says something else of one that is there.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir lists add bad_ips 10.0.0.0/8 --expires 2027-01-01")]
pub(super) struct Add {
    /// The list
    name: String,
    /// In the form that the list's kind asks for
    value: String,
    /// When it no longer counts: a date, or RFC 3339
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Removes an entry.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir lists remove bad_ips 10.0.0.0/8")]
pub(super) struct Remove {
    /// The list
    name: String,
    /// The entry as it was added: a network removes itself, not what lies within it
    value: String,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Replaces all entries of a list by those of a CSV file.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir lists publish bad_ips bad_ips.csv\n\n\
    Exit code 2 when a line of the file is wrong: it is named, and nothing has changed.")]
pub(super) struct Publish {
    /// The list
    name: String,
    /// CSV with the columns value, expires, note
    file: PathBuf,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version", "artifact", "entries"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Takes back what was last done to a list, or everything since a version.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir lists rollback bad_ips\n  \
    weir lists rollback bad_ips --to 0    (what the topology folder says)")]
pub(super) struct Rollback {
    /// The list
    name: String,
    /// The version whose entries are to count; 0: the topology's own
    #[arg(long, value_name = "VERSION")]
    to: Option<i64>,
    #[command(flatten)]
    signed: Signed,
    /// As JSON: {"version", "entries"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

fn subject(name: &str) -> String {
    format!("list/{name}")
}

fn find(office: &Office, name: &str) -> Result<Arc<List>, Failure> {
    let lists = office.lists()?;
    lists.get(name).map(Arc::clone).ok_or_else(|| {
        let message = format!("there is no list {name:?}, expected one of {:?}", lists.names());
        Failure::new(Exit::Invalid, message)
    })
}

fn changed(version: i64, json: bool) {
    match json {
        true => say!("{}", json!({ "version": version })),
        false => say!("version {version}"),
    }
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        let office = Office::open(&self.places, false)?;
        let Some(name) = &self.name else {
            for (name, list) in office.lists()?.all() {
                let (kind, count, hash) = (list.matching().kind.name(), list.len(), list.hash());
                match self.json {
                    true => say!(
                        "{}",
                        json!({ "name": name, "match": kind, "entries": count, "hash": hash })
                    ),
                    false => say!("{name:<24} {kind:<7} {count:>10} entries"),
                }
            }
            return Ok(());
        };
        for entry in in_order(&*find(&office, name)?) {
            let expires = entry.expires.map(|expires| expires.to_string());
            match self.json {
                true => say!("{}", to_json(&entry)),
                false => say!(
                    "{:<32} {:<24} {}",
                    entry.value,
                    expires.unwrap_or_default(),
                    entry.note.unwrap_or_default()
                ),
            }
        }
        Ok(())
    }
}

impl Find {
    fn run(&self) -> Result<(), Failure> {
        let office = Office::open(&self.places, false)?;
        let list = find(&office, &self.name)?;
        let now = Millis(Clock::system().now_ms());
        let Some(entry) = list.find(Slot::Text(&self.value), now) else {
            let message = format!("{} is not in {} now", self.value, self.name);
            return Err(Failure::new(Exit::Failed, message));
        };
        let expires = entry.expires.map(|expires| expires.to_string());
        match self.json {
            true => say!("{}", to_json(&entry)),
            false => {
                let until = expires.map(|expires| format!(" until {expires}")).unwrap_or_default();
                let note = entry.note.map(|note| format!(": {note}")).unwrap_or_default();
                say!("{} is in {} by {}{until}{note}", self.value, self.name, entry.value);
            }
        }
        Ok(())
    }
}

impl Add {
    fn run(&self) -> Result<(), Failure> {
        let expires = self.expires.as_deref().map(|text| {
            Millis::of_date_or_time(text).ok_or_else(|| {
                let message = format!(
                    "--expires is {text:?}, expected a date such as 2027-01-31 or a time such as \
                     2027-01-31T12:00:00Z"
                );
                Failure::new(Exit::Invalid, message)
            })
        });
        let (value, expires) = (self.value.clone(), expires.transpose()?);
        let change = Change::Add { value, expires, note: self.signed.note().map(str::to_owned) };
        let mut office = Office::open(&self.places, true)?;
        changed(edit(&mut office, &self.name, &change, &self.signed)?, self.json);
        Ok(())
    }
}

impl Remove {
    fn run(&self) -> Result<(), Failure> {
        let change = Change::Remove { value: self.value.clone() };
        let mut office = Office::open(&self.places, true)?;
        changed(edit(&mut office, &self.name, &change, &self.signed)?, self.json);
        Ok(())
    }
}

fn edit(office: &mut Office, name: &str, change: &Change, signed: &Signed) -> Result<i64, Failure> {
    let json = serde_json::to_string(change).map_err(|error| Failure::new(Exit::Failed, error))?;
    office.change(&subject(name), ControlAction::Change, (None, Some(json)), signed)
}

fn to_json(entry: &Entry<'_>) -> Value {
    let expires = entry.expires.map(|expires| expires.to_string());
    json!({ "value": entry.value, "expires": expires, "note": entry.note })
}

/// All entries by their value: a list has them in another order in every process.
fn in_order(list: &List) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = list.entries().collect();
    entries.sort_unstable_by_key(|entry| entry.value);
    entries
}

fn entries(text: String) -> Bundle {
    Bundle::new(BundleKind::Entries, BTreeMap::from([(ENTRIES.to_owned(), text)]))
}

impl Publish {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, true)?;
        let known = find(&office, &self.name)?;
        let text = std::fs::read_to_string(&self.file).map_err(|error| {
            let message = format!("{} cannot be read: {error}", self.file.display());
            Failure::new(Exit::Invalid, message)
        })?;
        let list = List::load(known.matching(), &self.file, &text)
            .map_err(|error| Failure::new(Exit::Invalid, error))?;
        let name = subject(&self.name);
        let (version, artifact) = office.publish(&name, &entries(text), &self.signed)?;
        match self.json {
            true => say!(
                "{}",
                json!({ "version": version, "artifact": artifact, "entries": list.len() })
            ),
            false => say!("published as version {version}: {} entries", list.len()),
        }
        Ok(())
    }
}

impl Rollback {
    fn run(&self) -> Result<(), Failure> {
        let mut office = Office::open(&self.places, true)?;
        find(&office, &self.name)?;
        let name = subject(&self.name);
        let of = |listed: &BTreeMap<String, Listed>| listed.get(&self.name).cloned();
        let target = office.before(&name, self.to, |manifest| of(&manifest.listed))?.flatten();
        let now = of(&office.desk.manifest().listed).unwrap_or_default();
        let content = match target {
            None => (None, None),
            Some(Listed { entries, changes }) if changes.is_empty() => (entries, None),
            // the entries are what they are to each process: some changes are left
            Some(Listed { entries, changes })
                if entries == now.entries && now.changes.starts_with(&changes) =>
            {
                (None, Some(changes.len().to_string()))
            }
            Some(listed) => (Some(self.keep(&office, &listed)?), None),
        };
        let version = office.change(&name, ControlAction::Rollback, content, &self.signed)?;
        let count = find(&office, &self.name)?.len();
        match self.json {
            true => say!("{}", json!({ "version": version, "entries": count })),
            false => say!("version {version}: {} has {count} entries again", self.name),
        }
        Ok(())
    }

    /// A content with what was published of the list then.
    fn keep(&self, office: &Office, listed: &Listed) -> Result<String, Failure> {
        if listed.entries.is_none() {
            let message = format!(
                "the entries of {} were each process's own then, and others were published since: go back \
                 --to 0, or publish the entries that are wanted",
                self.name
            );
            return Err(Failure::new(Exit::Invalid, message));
        }
        let list = office.desk.list(&self.name, listed)?;
        let mut writer = csv::Writer::from_writer(Vec::new());
        let failed = |error: csv::Error| Failure::new(Exit::Failed, error);
        writer.write_record(["value", "expires", "note"]).map_err(failed)?;
        for entry in in_order(&list) {
            let expires = entry.expires.map(|expires| expires.to_string()).unwrap_or_default();
            let row = [entry.value, &expires, entry.note.unwrap_or_default()];
            writer.write_record(row).map_err(failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| Failure::new(Exit::Failed, error))?;
        office.keep(&entries(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

//! What decides, as topology and `weir.control` have it, and the pen to change it: for the commands that
//! publish, roll back and look.

use std::sync::Arc;

use clap::Args;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::check::features;
use super::open::{open_log, read_log, runtime, use_registry_of};
use super::{Exit, Failure, Places};
use crate::codec::{Contract, Encoder, OwnError, decode_own};
use crate::config::Topology;
use crate::event::{Control, ControlAction, Millis, Position, Text, Topic};
use crate::log::{Log, LogError, RecordBatch, each_record};
use crate::policy::{Bundle, Desk, Manifest, Rejection, Trouble};
use crate::score::Lists;
use crate::snapshot::Vault;
use crate::state::FeatureSet;
use crate::telemetry::Clock;

/// Bytes of what people write beside a change.
const NOTE_BYTES_MAX: usize = 1_024;
/// Bytes of who changes it.
const BY_BYTES_MAX: usize = 256;

/// Who changes something, and why.
#[derive(Debug, Args)]
pub(super) struct Signed {
    /// Why: stands in the record and in the history
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Who: stands in the record and in the history
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    #[arg(default_value = "unknown")]
    by: String,
}

impl Signed {
    /// Why.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

/// One change that was asked for, and what became of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) version: i64,
    pub(super) change: Control<'static>,
    /// whether this weir can read it
    is_read: bool,
    /// why it changed nothing
    pub(super) rejected: Option<String>,
    /// whether it may yet change something: it, or one before it, names what cannot be had
    waits: bool,
}

impl Entry {
    /// Whether it goes back to what each process has in its own topology.
    fn is_own(&self) -> bool {
        let Control { action, artifact, change, .. } = &self.change;
        *action == ControlAction::Rollback && artifact.is_none() && change.is_none()
    }
}

/// What decides now, and how it came to that.
pub(super) struct Office {
    pub(super) topology: Topology,
    pub(super) features: Arc<FeatureSet>,
    pub(super) desk: Desk,
    pub(super) entries: Vec<Entry>,
    vault: Vault,
    log: Arc<dyn Log>,
    _runtime: Runtime,
}

impl Office {
    /// Reads topology and log. `writes`: whether something is to be changed; a data folder must then not be in
    /// use.
    pub(super) fn open(places: &Places, writes: bool) -> Result<Office, Failure> {
        let topology = places.load()?;
        let features = features(&topology)?;
        let data = places.data()?;
        let runtime = runtime()?;
        let log = match writes {
            true => open_log(&topology, &data)?,
            false => {
                // changes are framed as all else
                use_registry_of(&topology)?;
                read_log(places)?
            }
        };
        let vault = Vault::open(&topology.snapshots, &data, runtime.handle())?;
        let desk = Desk::new(&features, &topology, Some(vault.clone()))?;
        let entries = Vec::new();
        let mut office =
            Office { topology, features, desk, entries, vault, log, _runtime: runtime };
        office.read()?;
        Ok(office)
    }

    /// Takes up what was published since, and what was waited for.
    fn read(&mut self) -> Result<(), Failure> {
        let (topic, partition) = (Topic::Control, 0);
        let waiting = self.entries.iter().position(|entry| entry.waits);
        self.entries.truncate(waiting.unwrap_or(self.entries.len()));
        let next = self.entries.last().map(|entry| entry.version);
        let offset = match next {
            Some(next) => next,
            None => self.log.beginning(topic, partition)?,
        };
        let end = self.log.settled_end(topic, partition)?;
        let log = Arc::clone(&self.log);
        each_record(log.as_ref(), Position { topic, partition, offset }, end, |record| {
            self.take(record.position.offset + 1, record.payload())
        })
    }

    fn take(&mut self, version: i64, payload: &[u8]) -> Result<(), Failure> {
        let (change, unreadable) = match decode_own::<Control<'_>>(Contract::Control, payload) {
            Ok(change) => (change.into_owned(), None),
            Err(OwnError::Unreadable(reason)) => (unreadable(), Some(reason)),
            Err(OwnError::Unavailable(error)) => return Err(Trouble::Schema(error).into()),
        };
        let is_read = unreadable.is_none();
        let (rejected, waits) = match (self.waited_for(), unreadable) {
            // no process goes past it either
            (Some(first), _) => (Some(format!("waits for version {}", first.version)), true),
            (None, Some(reason)) => (Some(Rejection::Unreadable(reason).to_string()), false),
            (None, None) => match self.desk.take(&change) {
                Ok(_) => (None, false),
                Err(Trouble::Rejected(reason)) => (Some(reason.to_string()), false),
                Err(trouble @ (Trouble::Missing { .. } | Trouble::Damaged { .. })) => {
                    (Some(format!("waited for: {trouble}")), true)
                }
                Err(trouble) => return Err(trouble.into()),
            },
        };
        self.entries.push(Entry { version, change, is_read, rejected, waits });
        Ok(())
    }

    /// The first change that names what cannot be had.
    fn waited_for(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.waits)
    }

    /// The lists that decide now.
    pub(super) fn lists(&self) -> Result<Lists, Failure> {
        Ok(self.desk.lists()?)
    }

    /// The version of what decides now.
    pub(super) fn version(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.version)
    }

    /// A part of what decided as of a version; of the one before what decides now, where none is wanted.
    /// `None`: what each process has in its own topology. `name` is what changes of it are called.
    pub(super) fn before<T: PartialEq>(
        &self,
        name: &str,
        to: Option<i64>,
        part: impl Fn(&Manifest) -> T,
    ) -> Result<Option<T>, Failure> {
        let applied = self.applied(name, part)?.into_iter();
        let invalid = |message: String| Err(Failure::new(Exit::Invalid, message));
        match to {
            Some(0) => Ok(None),
            Some(version) if (1..=self.version()).contains(&version) => {
                let then = applied.take_while(|(entry, _)| entry.version <= version).last();
                Ok(then.and_then(|(_, part)| part))
            }
            Some(version) => invalid(format!(
                "there is no version {version}, expected 0 to {}: see weir rules history",
                self.version()
            )),
            None => {
                // what was taken back is not to come again
                let mut stack: Vec<Option<T>> = vec![None];
                for (entry, then) in applied {
                    if entry.change.action == ControlAction::Rollback {
                        match stack.iter().rposition(|known| *known == then) {
                            Some(place) => stack.truncate(place),
                            None => stack.clear(),
                        }
                    }
                    stack.push(then);
                }
                stack.pop();
                match stack.pop() {
                    Some(before) => Ok(before),
                    None => invalid(format!(
                        "nothing was published of {name} that is not taken back, there is nothing to go back to"
                    )),
                }
            }
        }
    }

    /// The changes of a name that counted, each with what the part has been since; `None`: what each process has
    /// in its own topology.
    fn applied<T>(
        &self,
        name: &str,
        part: impl Fn(&Manifest) -> T,
    ) -> Result<Vec<(&Entry, Option<T>)>, Failure> {
        let base = self.desk.base();
        let (mut manifest, mut found) = (base.clone(), Vec::new());
        for entry in self.entries.iter().filter(|entry| entry.rejected.is_none()) {
            manifest = manifest.after(base, &entry.change).map_err(Trouble::from)?;
            if &*entry.change.name == name {
                found.push((entry, (!entry.is_own()).then(|| part(&manifest))));
            }
        }
        Ok(found)
    }

    /// Stores a content, so that a change can name it.
    pub(super) fn keep(&self, bundle: &Bundle) -> Result<String, Failure> {
        Ok(self.vault.put_artifact(&bundle.to_bytes())?)
    }

    /// Publishes a content under a name; version and hash.
    pub(super) fn publish(
        &mut self,
        name: &str,
        bundle: &Bundle,
        signed: &Signed,
    ) -> Result<(i64, String), Failure> {
        let artifact = self.keep(bundle)?;
        let content = (Some(artifact.clone()), None);
        Ok((self.change(name, ControlAction::Publish, content, signed)?, artifact))
    }

    /// Has an earlier content decide again, see [`Office::before`]; version and hash.
    pub(super) fn roll_back(
        &mut self,
        name: &str,
        to: Option<i64>,
        part: impl Fn(&Manifest) -> String,
        signed: &Signed,
    ) -> Result<(i64, Option<String>), Failure> {
        let artifact = self.before(name, to, part)?;
        let content = (artifact.clone(), None);
        Ok((self.change(name, ControlAction::Rollback, content, signed)?, artifact))
    }

    /// Tries a change, and where it is sound writes it to the log; its version. Where not, nothing is written.
    pub(super) fn change(
        &mut self,
        name: &str,
        action: ControlAction,
        content: (Option<String>, Option<String>),
        signed: &Signed,
    ) -> Result<i64, Failure> {
        let note = signed.note.as_deref().unwrap_or_default();
        for (option, text, most) in
            [("--note", note, NOTE_BYTES_MAX), ("--by", &signed.by, BY_BYTES_MAX)]
        {
            if text.len() > most {
                let message = format!("{option} has {} bytes, expected at most {most}", text.len());
                return Err(Failure::new(Exit::Invalid, message));
            }
        }
        let newer = |entry: &&Entry| entry.change.format > Control::FORMAT || !entry.is_read;
        if let Some(Entry { version, change, .. }) = self.entries.iter().find(newer) {
            let message = format!(
                "version {version} was published by weir {:?} in format {}, and this one writes format {}: \
                 upgrade before you publish",
                &*change.weir,
                change.format,
                Control::FORMAT
            );
            return Err(Failure::new(Exit::Newer, message));
        }
        // what was just kept may be what was waited for
        self.read()?;
        if let Some(Entry { version, rejected, .. }) = self.waited_for() {
            let message = format!(
                "version {version} is {}: nothing can follow before that is there, publish the same again",
                rejected.as_deref().unwrap_or_default()
            );
            return Err(Failure::new(Exit::Failed, message));
        }
        let (artifact, value) = content;
        let change = Control {
            format: Control::FORMAT,
            name: Text::from(name.to_owned()),
            action,
            artifact: artifact.map(Text::from),
            change: value.map(Text::from),
            note: signed.note.clone().map(Text::from),
            issued_at: Millis(Clock::system().now_ms()),
            issued_by: Text::from(signed.by.clone()),
            weir: Text::from(env!("CARGO_PKG_VERSION")),
        };
        // what is unsound is not written
        self.desk.clone().take(&change)?;
        let version = self.append(&change)?;
        // somebody else may have changed something meanwhile
        self.read()?;
        let ours = self.entries.iter().find(|entry| entry.version == version);
        match ours.and_then(|entry| entry.rejected.as_ref()) {
            None => Ok(version),
            Some(reason) => {
                let message =
                    format!("version {version} is rejected after another change: {reason}");
                Err(Failure::new(Exit::Invalid, message))
            }
        }
    }

    fn append(&mut self, change: &Control<'_>) -> Result<i64, Failure> {
        // no two changes have a key in common: compaction is to leave all of them
        let key = format!("{}@{}", change.name, Uuid::new_v4());
        let mut batch = RecordBatch::default();
        let mut encoder = Encoder::of_process();
        batch
            .push_with(Topic::Control, 0, change.issued_at.0, key.as_bytes(), |out| {
                encoder.encode(Contract::Control, change, out)
            })
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        let begin = self.log.end(Topic::Control, 0)?;
        self.log.appender()?.append(&batch)?;
        let end = self.log.settled_end(Topic::Control, 0)?;
        let from = Position { topic: Topic::Control, partition: 0, offset: begin };
        let mut version = None;
        each_record(self.log.as_ref(), from, end, |record| -> Result<(), LogError> {
            if record.key() == Some(key.as_bytes()) {
                version = Some(record.position.offset + 1);
            }
            Ok(())
        })?;
        version.ok_or_else(|| {
            let message = format!("the change {key} is written and cannot be read");
            Failure::new(Exit::Failed, message)
        })
    }
}

/// Stands for a record that cannot be read.
fn unreadable() -> Control<'static> {
    Control {
        format: 0,
        name: Text::from("?"),
        action: ControlAction::Publish,
        artifact: None,
        change: None,
        note: None,
        issued_at: Millis(0),
        issued_by: Text::from("?"),
        weir: Text::from("?"),
    }
}

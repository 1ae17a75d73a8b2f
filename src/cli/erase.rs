//! `weir erase`: an account is forgotten.
//!
//! ```text
//!  key ─► a tombstone in each input and in escalations ─► where they stand
//!          └─► taken by the owner of the partition ─► the next snapshots are without it,
//!                                                     the ones before them are pruned
//! ```
//!
//! Nothing is deleted here: whoever owns the account meets its tombstones in their places, as everybody
//! does who rebuilds its state.

use std::fmt;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::open::{open, read_log, runtime};
use super::{Exit, Failure, Places};
use crate::codec::{ERASE_HEADER, check_account, check_erased_by, erased_by};
use crate::config::{Topology, duration_ms};
use crate::event::{Position, Topic};
use crate::log::{Log, Record, RecordBatch, each_record, partition_of};
use crate::snapshot::{Holding, Series, SnapshotError, Vault};
use crate::stage;
use crate::state::{Range, State};
use crate::telemetry::{Clock, Stop};

/// How often it looks what is left: ever more rarely, since a place may take money for each look.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(15);
/// How often it says what is left.
const TELL: Duration = Duration::from_secs(10);

/// Has an account forgotten: what weir remembers of it, and the snapshots of that. Writes a tombstone
/// into each input and into escalations; what comes after it counts as on a new account. Decisions, dead
/// letters and the inputs stay in their topics until these topics' retention, rows in the store until theirs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir erase --account default/c-17\n  \
    weir erase --account default/c-17 --by 'Jo Doe, ticket 17' --yes --wait 30m --json\n\n\
    weir must not be running on the data folder; with --wait it is to be started meanwhile. Doing it \
    again is harmless.\n\nExit code 0 when the tombstones are written, with --wait when it is gone; 2 \
    without --yes where nobody can be asked; 4 when weir runs on the data folder; 7 when the wait has \
    ended and something holds it still, which is named; 9 when log or snapshots do not answer.")]
pub(super) struct Erase {
    /// The account: tenant/account_id
    #[arg(long, value_name = "KEY")]
    account: String,
    /// Who asks for it: stands in the tombstones and in the log
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    #[arg(default_value = "unknown")]
    by: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Wait, but no longer, until it is forgotten and no snapshot holds it: 30s, 10m, 2h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wait: Option<Duration>,
    /// As JSON: {"account", "by", "tombstones": [{"topic", "partition", "offset"}], "gone": null
    /// without --wait, "not_taken": […], "held_by": {"snapshots", "unreadable", "shards"},
    /// "escalated_since"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

fn duration(text: &str) -> Result<Duration, String> {
    let ms = duration_ms(text).and_then(|ms| u64::try_from(ms).ok());
    let expected = || "expected a number and s, m, h or d such as 10m".to_owned();
    ms.map(Duration::from_millis).ok_or_else(expected)
}

/// What is left of an account.
#[derive(Default)]
struct Left {
    /// tombstones that nobody has taken yet
    not_taken: Vec<Position>,
    /// what is stored of its shard as of before them
    held_by: Holding,
}

impl Left {
    fn is_nothing(&self) -> bool {
        self.not_taken.is_empty() && self.held_by == Holding::default()
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| items.join(", ");
        let mut parts = Vec::new();
        let Left { not_taken, held_by: Holding { manifests, unread, shards } } = self;
        if !not_taken.is_empty() {
            let places = list(not_taken.iter().map(Position::to_string).collect());
            parts.push(format!("the tombstones at {places} are not taken yet"));
        }
        if !manifests.is_empty() {
            let numbers = list(manifests.iter().map(u64::to_string).collect());
            parts.push(format!("the snapshots {numbers} are from before"));
        }
        if !unread.is_empty() {
            let numbers = list(unread.iter().map(u64::to_string).collect());
            parts.push(format!("the snapshots {numbers} cannot be read"));
        }
        if !shards.is_empty() {
            let shards = list(shards.clone());
            parts
                .push(format!("no snapshot names {shards} any more, and they are not deleted yet"));
        }
        f.write_str(&parts.join("; "))
    }
}

impl Erase {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let invalid = |option: &str, fault: String| {
            Failure::new(Exit::Invalid, format!("--{option}: {fault}"))
        };
        check_account(&self.account).map_err(|fault| invalid("account", fault))?;
        check_erased_by(&self.by).map_err(|fault| invalid("by", fault))?;
        let topology = self.places.load()?;
        let data = self.places.data()?;
        if topology.kafka.is_none() {
            // a data folder that is not there is not to be made
            drop(read_log(&self.places)?);
        }
        self.confirm()?;
        let tombstones = self.append(&topology, &data)?;
        for at in &tombstones {
            tracing::info!(account = self.account, by = self.by, %at, "an account is to be forgotten");
            if !self.json {
                say!("{at}");
            }
        }
        let Some(patience) = self.wait else {
            if self.json {
                say!("{}", self.report(&tombstones, None, 0));
            } else {
                say!(
                    "{} is forgotten once the tombstones are taken; snapshots from before give way \
                     to newer ones. Topics and stored rows keep what they hold until their retention",
                    self.account
                );
            }
            return Ok(());
        };
        let left = self.wait(&topology, &data, &tombstones, patience)?;
        let since = self.escalated_since(&tombstones)?;
        if self.json {
            say!("{}", self.report(&tombstones, Some(&left), since));
        } else if since > 0 {
            say!(
                "{since} escalations came after their tombstone and count as of a new account: where \
                 they are of what was before it, erase once more"
            );
        }
        if !left.is_nothing() {
            let hint = match left.not_taken.is_empty() && !left.held_by.manifests.is_empty() {
                // where nothing happens none is written
                true => " (they give way to newer ones, or to weir snapshot prune --keep 1)",
                false => "",
            };
            let message = format!("{} is not gone after {patience:?}: {left}{hint}", self.account);
            return Err(Failure::new(Exit::Unproved, message));
        }
        if !self.json {
            say!("{} is forgotten, and in no snapshot", self.account);
        }
        Ok(())
    }

    fn confirm(&self) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            let message = "what is forgotten does not come back: say --yes";
            return Err(Failure::new(Exit::Invalid, message));
        }
        // standard output is for what was done
        eprint!("Forget {}? It does not come back. [y/N] ", self.account);
        let mut answer = String::new();
        stdin.read_line(&mut answer).map_err(|error| Failure::new(Exit::Failed, error))?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new(Exit::Failed, "nothing was written")),
        }
    }

    /// Writes the tombstones; where they stand.
    fn append(&self, topology: &Topology, data: &Path) -> Result<Vec<Position>, Failure> {
        // no registry is asked: nothing is encoded
        let log = open(topology, data, false)?.log;
        let key = self.account.as_bytes();
        let mut begins = Vec::new();
        let mut batch = RecordBatch::default();
        let now_ms = Clock::system().now_ms();
        for topic in Topic::READ {
            let partition = partition_of(key, log.partitions(topic)?);
            begins.push(Position { topic, partition, offset: log.end(topic, partition)? });
            batch.push_header(topic, partition, now_ms, key, (ERASE_HEADER, self.by.as_bytes()));
        }
        let half_done = |error| {
            let Failure { exit, message } = Failure::from(error);
            let message = format!("some tombstones may not be written, erase again: {message}");
            Failure::new(exit, message)
        };
        log.appender()?.append(&batch).map_err(half_done)?;
        let stand = |begin: Position| {
            let mut last = None;
            self.each_of_account(log.as_ref(), begin, |record| {
                if erased_by(record).is_some() {
                    last = Some(record.position);
                }
            })?;
            last.ok_or_else(|| {
                let message = format!("the tombstone after {begin} is written and cannot be read");
                Failure::new(Exit::Failed, message)
            })
        };
        begins.into_iter().map(stand).collect()
    }

    /// Visits the records of the account from there on.
    fn each_of_account(
        &self,
        log: &dyn Log,
        from: Position,
        mut visit: impl FnMut(&Record),
    ) -> Result<(), Failure> {
        let end = log.settled_end(from.topic, from.partition)?;
        each_record(log, from, end, |record| {
            if record.key() == Some(self.account.as_bytes()) {
                visit(record);
            }
            Ok(())
        })
    }

    /// Waits until nothing is left, but no longer than told; what is left.
    fn wait(
        &self,
        topology: &Topology,
        data: &Path,
        tombstones: &[Position],
        patience: Duration,
    ) -> Result<Left, Failure> {
        let log: Arc<dyn Log> = read_log(&self.places)?;
        let runtime = runtime()?;
        let began = Instant::now();
        let deadline = began + patience;
        let stop = Stop::default();
        let mut told: Option<Instant> = None;
        loop {
            // a folder may come to be while weir runs
            let vault = Vault::open_existing(&topology.snapshots, data, runtime.handle())?;
            let left = self.left(log.as_ref(), vault.as_ref(), tombstones)?;
            let now = Instant::now();
            match left {
                Ok(left) if left.is_nothing() || now >= deadline => return Ok(left),
                Err(error) if now >= deadline => return Err(error.into()),
                _ if told.is_some_and(|told| told.elapsed() < TELL) => {}
                Ok(left) => {
                    told = Some(now);
                    tracing::info!(%left, "waiting");
                }
                Err(error) => {
                    told = Some(now);
                    tracing::warn!(%error, "waiting: the snapshots cannot be looked at");
                }
            }
            let nap = (began.elapsed() / 10).clamp(LOOK, LOOK_MAX);
            stop.wait(nap.min(deadline.saturating_duration_since(now)));
        }
    }

    /// What is left; an inner error passes by itself.
    fn left(
        &self,
        log: &dyn Log,
        vault: Option<&Vault>,
        tombstones: &[Position],
    ) -> Result<Result<Left, SnapshotError>, Failure> {
        let places: Vec<(Topic, u32)> =
            tombstones.iter().map(|at| (at.topic, at.partition)).collect();
        let committed = log.committed_all(stage::GROUP, &places)?;
        let pairs = tombstones.iter().zip(committed);
        let not_taken = pairs.filter(|(at, next)| next.is_none_or(|next| next <= at.offset));
        let mut left =
            Left { not_taken: not_taken.map(|(at, _)| *at).collect(), ..Left::default() };
        let (Some(vault), Some(at)) = (vault, tombstones.first()) else { return Ok(Ok(left)) };
        let key = State::key(&self.account);
        let holds = |number: u32, vector: &crate::snapshot::Vector| {
            let is_of = Range::from_number(number).is_none_or(|range| range.has(key));
            let is_before = |at: &Position| vector.next(at.topic, at.partition) <= at.offset;
            is_of && tombstones.iter().any(is_before)
        };
        match vault.holding(Series::Partition(at.partition), holds) {
            Ok(held_by) => left.held_by = held_by,
            Err(error) if error.passes() => return Ok(Err(error)),
            Err(error) => return Err(error.into()),
        }
        Ok(Ok(left))
    }

    /// Escalations of the account that came after its tombstone there.
    fn escalated_since(&self, tombstones: &[Position]) -> Result<u64, Failure> {
        let Some(at) = tombstones.iter().find(|at| at.topic == Topic::Escalations) else {
            return Ok(0);
        };
        let log = read_log(&self.places)?;
        let mut count = 0;
        self.each_of_account(log.as_ref(), *at, |record| {
            count += u64::from(erased_by(record).is_none());
        })?;
        Ok(count)
    }

    fn report(
        &self,
        tombstones: &[Position],
        left: Option<&Left>,
        escalated_since: u64,
    ) -> serde_json::Value {
        let places = |positions: &[Position]| -> Vec<serde_json::Value> {
            let place = |at: &Position| json!({ "topic": at.topic.name(), "partition": at.partition, "offset": at.offset });
            positions.iter().map(place).collect()
        };
        let mut report = json!({
            "account": self.account, "by": self.by, "tombstones": places(tombstones),
            "gone": left.map(Left::is_nothing),
        });
        if let Some(Left { not_taken, held_by: Holding { manifests, unread, shards } }) = left {
            report["not_taken"] = json!(places(not_taken));
            report["held_by"] =
                json!({ "snapshots": manifests, "unreadable": unread, "shards": shards });
            report["escalated_since"] = json!(escalated_since);
        }
        report
    }
}

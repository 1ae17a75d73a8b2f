//! `weir snapshot`: what is kept of the state, whether it is sound, and deleting what is too old.

use clap::{Args, Subcommand};
use serde_json::json;
use tokio::runtime::Runtime;

use super::open::runtime;
use super::{Exit, Failure, Places};
use crate::config::{SnapshotPlace, Snapshots};
use crate::snapshot::{Finding, Listing, Series, Vault};

/// Shows, checks and prunes snapshots of the state.
#[derive(Debug, Subcommand)]
pub(super) enum Snapshot {
    List(List),
    Verify(Verify),
    Prune(Prune),
}

impl Snapshot {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Snapshot::List(list) => list.run(),
            Snapshot::Verify(verify) => verify.run(),
            Snapshot::Prune(prune) => prune.run(),
        }
    }
}

/// Lists the snapshots of every series, newest first.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir snapshot list --data weir-data\n\nExit code 0, whether or not there is one; 2 when the place refuses, 9 when it does not answer."
)]
pub(super) struct List {
    /// As JSON: {"place", "series": [{"series", "shards", "bytes", "manifests": [{"sequence",
    /// "written_at", "shards", "bytes", "problem"}]}]}; times are milliseconds since 1970
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

/// Reads every snapshot and every shard it names, and says what is wrong with them.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir snapshot verify --series partition-3 --json\n\nExit code 0 when all are sound, 7 when not, 2 when the place refuses, 9 when it does not answer."
)]
pub(super) struct Verify {
    /// As JSON: {"place", "manifests", "problems": [{"series", "sequence", "problem"}]}
    #[arg(long)]
    json: bool,
    /// Only that series: partition-3, profiles
    #[arg(long, value_name = "SERIES")]
    series: Option<Series>,
    #[command(flatten)]
    places: Places,
}

/// Deletes snapshots older than those kept, and shards that none of them names. weir does so itself
/// after each snapshot; this is for a smaller number, or for series that nobody writes any more.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir snapshot prune --keep 2 --series partition-3\n\nExit code 0 when done, 2 when the place refuses, 9 when it does not answer."
)]
pub(super) struct Prune {
    /// Snapshots kept of each series, instead of the topology's number
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100))]
    keep: Option<u32>,
    /// Only that series: partition-3, profiles
    #[arg(long, value_name = "SERIES")]
    series: Option<Series>,
    #[command(flatten)]
    places: Places,
}

/// A vault, and what it runs on.
struct Opened {
    settings: Snapshots,
    place: String,
    /// `None`: its folder is not there, and so no snapshot
    vault: Option<Vault>,
    _runtime: Runtime,
}

impl Opened {
    /// The topology need not be there for a data folder.
    fn new(places: &Places) -> Result<Opened, Failure> {
        let settings = match places.data.is_none() || places.topology.is_dir() {
            true => places.load()?.snapshots,
            false => Snapshots::default(),
        };
        let (data, runtime) = (places.data()?, runtime()?);
        let vault = Vault::open_existing(&settings, &data, runtime.handle())?;
        let place = match (&vault, &settings.place) {
            (Some(vault), _) => vault.place().to_owned(),
            (None, SnapshotPlace::Folder(folder)) => data.join(folder).display().to_string(),
            (None, SnapshotPlace::Bucket { bucket, .. }) => bucket.clone(),
        };
        Ok(Opened { settings, place, vault, _runtime: runtime })
    }

    /// The series asked for, else all that are there.
    fn series(&self, wanted: Option<Series>) -> Result<Vec<Series>, Failure> {
        let there = match &self.vault {
            Some(vault) => vault.series()?,
            None => Vec::new(),
        };
        match wanted {
            Some(series) if there.contains(&series) => Ok(vec![series]),
            Some(series) => {
                let known: Vec<String> = there.iter().map(Series::to_string).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let message = format!("no {series} in {}, expected one of: {known}", self.place);
                Err(Failure::new(Exit::Invalid, message))
            }
            None => Ok(there),
        }
    }
}

impl List {
    fn run(&self) -> Result<(), Failure> {
        let opened = Opened::new(&self.places)?;
        let listings = match &opened.vault {
            Some(vault) => vault.list()?,
            None => Vec::new(),
        };
        if self.json {
            let series: Vec<_> = listings.iter().map(listing_json).collect();
            say!("{}", json!({ "place": opened.place, "series": series }));
            return Ok(());
        }
        if listings.is_empty() {
            say!("no snapshots in {}", opened.place);
        }
        for listing in &listings {
            let Listing { series, manifests, shards, bytes } = listing;
            say!("{series}: {} snapshots, {shards} shards, {bytes} bytes", manifests.len());
            for listed in manifests {
                match &listed.manifest {
                    Ok(manifest) => say!(
                        "{:>10}  {}  {:>6} shards  {:>14} bytes",
                        listed.sequence,
                        manifest.written_at,
                        manifest.shards.len(),
                        manifest.bytes()
                    ),
                    Err(error) => say!("{:>10}  {error}", listed.sequence),
                }
            }
        }
        Ok(())
    }
}

fn listing_json(listing: &Listing) -> serde_json::Value {
    let manifests = listing.manifests.iter().map(|listed| {
        let manifest = listed.manifest.as_ref();
        json!({
            "sequence": listed.sequence,
            "written_at": manifest.ok().map(|manifest| manifest.written_at),
            "shards": manifest.ok().map(|manifest| manifest.shards.len()),
            "bytes": manifest.ok().map(|manifest| manifest.bytes()),
            "problem": manifest.err().map(ToString::to_string),
        })
    });
    json!({
        "series": listing.series,
        "shards": listing.shards,
        "bytes": listing.bytes,
        "manifests": manifests.collect::<Vec<_>>(),
    })
}

impl Verify {
    fn run(&self) -> Result<(), Failure> {
        let opened = Opened::new(&self.places)?;
        let mut findings: Vec<(Series, Finding)> = Vec::new();
        let mut manifests = 0;
        for series in opened.series(self.series)? {
            let Some(vault) = &opened.vault else { continue };
            manifests += vault.manifests(series)?.len();
            findings.extend(vault.verify(series)?.into_iter().map(|found| (series, found)));
        }
        if self.json {
            let problems = findings.iter().map(|(series, Finding { sequence, problem })| {
                json!({ "series": series, "sequence": sequence, "problem": problem })
            });
            let problems: Vec<_> = problems.collect();
            let place = &opened.place;
            say!("{}", json!({ "place": place, "manifests": manifests, "problems": problems }));
        } else {
            for (series, Finding { sequence, problem }) in &findings {
                say!("{series}, snapshot {sequence}: {problem}");
            }
        }
        match findings.len() {
            0 if self.json => Ok(()),
            0 => {
                say!("{manifests} snapshots in {} are sound", opened.place);
                Ok(())
            }
            count => {
                let message = format!("{count} things are wrong with {manifests} snapshots");
                Err(Failure::new(Exit::Unproved, message))
            }
        }
    }
}

impl Prune {
    fn run(&self) -> Result<(), Failure> {
        let opened = Opened::new(&self.places)?;
        let keep = self.keep.map_or(opened.settings.keep, |keep| keep as usize);
        for series in opened.series(self.series)? {
            let Some(vault) = &opened.vault else { continue };
            let pruned = vault.prune(series, keep)?;
            say!(
                "{series}: deleted {} snapshots, {} shards, {} bytes, {} files half written",
                pruned.manifests.len(),
                pruned.shards.len(),
                pruned.bytes,
                pruned.staged
            );
        }
        Ok(())
    }
}

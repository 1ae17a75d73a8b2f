//! `weir store`: the tables of a ScyllaDB or Cassandra cluster, made and checked.

use clap::{Args, Subcommand};

use super::open::runtime;
use super::{Exit, Failure, Places};
use crate::config::{StoreCluster, Topology};
use crate::sink::store::{CqlStore, VERSION};

/// Makes and checks the tables of a ScyllaDB or Cassandra cluster.
#[derive(Debug, Subcommand)]
pub(super) enum Store {
    Migrate(Migrate),
    Verify(Verify),
}

impl Store {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Store::Migrate(migrate) => migrate.run(),
            Store::Verify(verify) => verify.run(),
        }
    }
}

/// Makes keyspace and tables where they are not there, and sets how long rows are kept. What is
/// there stays; run again, it changes nothing.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir store migrate --topology topology\n\nExit code 0 when the tables are as they must be, 2 when the cluster refuses, 9 when it does not answer."
)]
pub(super) struct Migrate {
    #[command(flatten)]
    places: Places,
}

/// Checks that the tables are there, of the version this weir works with, and that rows are kept as
/// long as the topology says.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir store verify --json\n\nExit code 0 when they are sound, 2 when not, 9 when the cluster does not answer."
)]
pub(super) struct Verify {
    /// As JSON: {"keyspace", "version", "problems"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

fn cluster(topology: &Topology) -> Result<&StoreCluster, Failure> {
    topology.store.as_ref().ok_or_else(|| {
        let message = format!(
            "{} has no [store] section: the tables of a data folder make themselves",
            topology.folder.join("weir.toml").display()
        );
        Failure::new(Exit::Invalid, message)
    })
}

impl Migrate {
    fn run(&self) -> Result<(), Failure> {
        let topology = self.places.load()?;
        let cluster = cluster(&topology)?;
        let migrated = CqlStore::migrate(cluster, runtime()?.handle())?;
        for table in &migrated.made {
            say!("made {}.{table}", cluster.keyspace);
        }
        for table in &migrated.altered {
            say!("changed how long rows of {}.{table} are kept", cluster.keyspace);
        }
        say!("keyspace {} has version {VERSION}", cluster.keyspace);
        Ok(())
    }
}

impl Verify {
    fn run(&self) -> Result<(), Failure> {
        let topology = self.places.load()?;
        let cluster = cluster(&topology)?;
        let problems = CqlStore::verify(cluster, runtime()?.handle())?;
        if self.json {
            let keyspace = &cluster.keyspace;
            say!(
                "{}",
                serde_json::json!({ "keyspace": keyspace, "version": VERSION, "problems": problems })
            );
        } else {
            for problem in &problems {
                say!("{problem}");
            }
        }
        match problems.len() {
            0 if self.json => Ok(()),
            0 => {
                say!("keyspace {} is sound: version {VERSION}", cluster.keyspace);
                Ok(())
            }
            count => {
                let message = format!("{count} things about the tables are not as they must be");
                Err(Failure::new(Exit::Invalid, message))
            }
        }
    }
}

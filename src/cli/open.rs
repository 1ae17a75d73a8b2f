//! Where a command finds its topics and its tables: a Kafka cluster where the topology names one,
//! else the data folder.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};

use super::{Exit, Failure, Places};
use crate::codec::{Registry, RegistryError, use_registry};
use crate::config::Topology;
use crate::log::Log;
use crate::log::embedded::{Database, EmbeddedLog, Options};
use crate::log::kafka::KafkaLog;
use crate::sink::store::{CqlStore, EmbeddedStore, Store};
use crate::telemetry::Clock;

/// What a process works on.
pub(super) struct Opened {
    pub(super) log: Arc<dyn Log>,
    /// the data folder's tables, for whoever asked for them
    pub(super) database: Option<Database>,
    /// how long a transaction may be open before the log ends it by itself
    pub(super) transaction_timeout: Option<Duration>,
}

/// Opens the log for a process, and the tables where `tables` says so. On a cluster a process
/// without tables needs no data folder.
pub(super) fn open(topology: &Topology, data: &Path, tables: bool) -> Result<Opened, Failure> {
    let Some(kafka) = &topology.kafka else {
        let embedded = open_folder(topology, data)?;
        let database = Some(embedded.database().clone());
        return Ok(Opened { log: Arc::new(embedded), database, transaction_timeout: None });
    };
    let log = KafkaLog::open(kafka)?;
    let database = match tables {
        true => Some(open_folder(topology, data)?.database().clone()),
        false => None,
    };
    let transaction_timeout = Some(log.transaction_timeout());
    Ok(Opened { log: Arc::new(log), database, transaction_timeout })
}

/// Where what is not on the hot path runs: requests in and out, the store's driver.
pub(super) fn runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("weir-io")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Failed, error))
}

/// Opens the store for a process: a cluster where the topology names one, else the data folder's
/// tables. A cluster that is away is no reason not to start, one that refuses is.
pub(super) fn open_store(
    topology: &Topology,
    database: Option<&Database>,
    runtime: &Handle,
) -> Result<Option<Arc<dyn Store>>, Failure> {
    if let Some(cluster) = &topology.store {
        let store = CqlStore::new(cluster, runtime, Clock::system());
        match store.check() {
            Ok(()) => {}
            Err(error) if error.passes() => {
                tracing::warn!(%error, "weir starts without its store, which is waited for");
            }
            Err(error) => return Err(error.into()),
        }
        return Ok(Some(Arc::new(store)));
    }
    match database {
        Some(database) => Ok(Some(Arc::new(EmbeddedStore::open(database)?))),
        None => Ok(None),
    }
}

/// Opens the store for reading only; the topology need not be there for a data folder.
pub(super) fn read_store(places: &Places, runtime: &Handle) -> Result<Arc<dyn Store>, Failure> {
    // whoever names a folder means its tables
    if places.data.is_none() {
        let topology = places.load()?;
        if let Some(cluster) = &topology.store {
            let store = CqlStore::new(cluster, runtime, Clock::system());
            store.check()?;
            return Ok(Arc::new(store));
        }
    }
    let database = Database::open_read_only(&places.data()?)?;
    Ok(Arc::new(EmbeddedStore::read_only(&database)))
}

/// Takes the schema registry up that the topology names, if it names one: from then on everything
/// this process writes is framed with its ids.
pub(super) fn use_registry_of(topology: &Topology) -> Result<Option<Arc<Registry>>, Failure> {
    let Some(section) = &topology.registry else {
        return Ok(None);
    };
    let registry = Registry::start(section).map_err(|error| {
        let exit = match &error {
            RegistryError::Unavailable { .. } => Exit::Unreachable,
            _ => Exit::Invalid,
        };
        Failure::new(exit, error)
    })?;
    use_registry(&registry);
    Ok(Some(registry))
}

/// Opens the log for appending to it.
pub(super) fn open_log(topology: &Topology, data: &Path) -> Result<Arc<dyn Log>, Failure> {
    use_registry_of(topology)?;
    Ok(open(topology, data, false)?.log)
}

/// Opens the log for reading only; the topology need not be there for a data folder.
pub(super) fn read_log(places: &Places) -> Result<Arc<dyn Log>, Failure> {
    if places.data.is_none() || places.topology.is_dir() {
        let topology = places.load()?;
        if let Some(kafka) = &topology.kafka {
            return Ok(Arc::new(KafkaLog::open(kafka)?));
        }
    }
    Ok(Arc::new(EmbeddedLog::open_read_only(&places.data()?)?))
}

/// Opens a data folder for writing.
fn open_folder(topology: &Topology, data: &Path) -> Result<EmbeddedLog, Failure> {
    let options = Options {
        partitions: *topology.embedded.partitions.get_ref(),
        durable: topology.embedded.durable,
        pages_max: None,
    };
    Ok(EmbeddedLog::open(data, &options)?)
}

//! The store in a ScyllaDB or Cassandra cluster. [`schema`] has the tables.
//!
//! ```text
//!  rows ─► statements, prepared, token-aware ─► at most `in_flight` under way ─► all acknowledged
//!              each names its whole row and the broker's time of its record: it may run again
//! ```
//!
//! The session is made when it is first needed, so that weir starts, and decides, while the store
//! is away. What the cluster cannot do now is [`StoreError::Unreachable`]: whoever asked waits and
//! asks again. What it will not do is told at once.

mod error;
mod read;
mod run;
mod schema;
mod write;

use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod};
use openssl::x509::X509;
use openssl::x509::store::X509StoreBuilder;
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::{OpenSsl010Config, Session};
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use uuid::Uuid;

use self::read::{Asker, Asking};
use self::write::Writer;
use super::{Counts, DAY_MS, DeliveryRow, HOUR_MS, RollupCount, Rows, Store, StoreError};
use crate::config::{StoreCluster, limits};
use crate::event::Millis;
use crate::telemetry::Clock;

pub use schema::{Migrated, VERSION};

/// A cluster as a store. Its calls block; they are made from threads that may.
pub struct CqlStore {
    cluster: StoreCluster,
    runtime: Handle,
    clock: Clock,
    tables: OnceCell<Tables>,
}

/// A session whose tables are as they must be.
struct Tables {
    session: Session,
    writer: Writer,
    asker: Asker,
}

impl std::fmt::Debug for CqlStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CqlStore").field("nodes", &self.cluster.nodes).finish()
    }
}

impl CqlStore {
    /// A store that has not been spoken to yet. `runtime` needs tokio's I/O and time; `clock` says
    /// how long a row is still to be kept.
    pub fn new(cluster: &StoreCluster, runtime: &Handle, clock: Clock) -> CqlStore {
        let (cluster, runtime) = (cluster.clone(), runtime.clone());
        CqlStore { cluster, runtime, clock, tables: OnceCell::new() }
    }

    /// Makes keyspace and tables where they are not there.
    ///
    /// # Errors
    /// When the cluster cannot or will not.
    pub fn migrate(cluster: &StoreCluster, runtime: &Handle) -> Result<Migrated, StoreError> {
        let work = async { schema::migrate(&connect(cluster).await?, cluster).await };
        runtime.block_on(within(cluster, limits().store_tables_deadline, work))
    }

    /// Everything that is wrong with the tables; none is the answer wanted.
    ///
    /// # Errors
    /// When the cluster cannot or will not say.
    pub fn verify(cluster: &StoreCluster, runtime: &Handle) -> Result<Vec<String>, StoreError> {
        let work = async { schema::verify(&connect(cluster).await?, cluster).await };
        runtime.block_on(within(cluster, limits().store_tables_deadline, work))
    }

    async fn tables(&self) -> Result<&Tables, StoreError> {
        let open = async || {
            let session = connect(&self.cluster).await?;
            schema::check(&session, &self.cluster).await?;
            let writer = Writer::prepare(&session, &self.cluster).await?;
            let asker = Asker::prepare(&session, &self.cluster).await?;
            Ok(Tables { session, writer, asker })
        };
        self.tables.get_or_try_init(open).await
    }

    fn ask<T>(
        &self,
        question: impl AsyncFnOnce(Asking<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let work = async {
            let Tables { session, asker, .. } = self.tables().await?;
            question(Asking { session, cluster: &self.cluster, asker }).await
        };
        self.runtime.block_on(within(&self.cluster, limits().store_tables_deadline, work))
    }
}

/// Work at the cluster, and no longer: the driver's own time-outs do not cover all that it waits for.
async fn within<T>(
    cluster: &StoreCluster,
    deadline: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
        let reason = format!("not done within {deadline:?}");
        Err(StoreError::Unreachable { nodes: cluster.nodes.join(","), reason })
    })
}

async fn connect(cluster: &StoreCluster) -> Result<Session, StoreError> {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &cluster.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone());
    }
    let profile = ExecutionProfile::builder()
        .load_balancing_policy(policy.build())
        // trying again is ours: how often, how long, and what is said of it
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .request_timeout(Some(cluster.timeout))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&cluster.nodes)
        .default_execution_profile_handle(profile.into_handle())
        .connection_timeout(cluster.timeout)
        .hostname_resolution_timeout(Some(cluster.timeout))
        .pool_size(PoolSize::default())
        .keepalive_interval(Duration::from_secs(10))
        .keepalive_timeout(cluster.timeout)
        .tcp_nodelay(true);
    if let Some(login) = &cluster.login {
        builder = builder.user(&login.username, login.password.reveal());
    }
    if let Some(path) = &cluster.tls_ca {
        let refused = |error: openssl::error::ErrorStack| StoreError::Refused {
            doing: "use tls_ca",
            reason: format!("{}: {error}", path.display()),
        };
        let unread = |error: std::io::Error| StoreError::Refused {
            doing: "use tls_ca",
            reason: format!("{}: {error}", path.display()),
        };
        // these and no others: the connector would trust the system's as well
        let mut trusted = X509StoreBuilder::new().map_err(refused)?;
        let certificates = std::fs::read(path).map_err(unread)?;
        for certificate in X509::stack_from_pem(&certificates).map_err(refused)? {
            trusted.add_cert(certificate).map_err(refused)?;
        }
        let mut tls = SslConnector::builder(SslMethod::tls_client()).map_err(refused)?;
        tls.set_cert_store(trusted.build());
        builder = builder.tls_context(Some(OpenSsl010Config::new(tls)));
    }
    builder.build().await.map_err(|error| error::unconnected(cluster, &error))
}

impl Store for CqlStore {
    fn write(&self, rows: &Arc<Rows>) -> Result<(), StoreError> {
        let work = async {
            let Tables { session, writer, .. } = self.tables().await?;
            writer.write(session, &self.cluster, rows, self.clock.now_ms()).await
        };
        self.runtime.block_on(within(&self.cluster, limits().store_write_deadline, work))
    }

    fn check(&self) -> Result<(), StoreError> {
        let work = async { self.tables().await.map(drop) };
        self.runtime.block_on(within(&self.cluster, limits().store_write_deadline, work))
    }

    fn record_bytes_max(&self) -> usize {
        self.cluster.record_bytes_max
    }

    fn decision(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(async |asking| asking.decision(id).await)
    }

    fn decisions_of(
        &self,
        tenant: &str,
        account_id: &str,
        before: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.ask(async |asking| asking.decisions_of(tenant, account_id, before, limit).await)
    }

    fn decisions_with(
        &self,
        tenant: &str,
        outcome: &str,
        hour: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.ask(async |asking| asking.decisions_with(tenant, outcome, hour, limit).await)
    }

    fn escalation(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(async |asking| asking.escalation(id).await)
    }

    fn escalations_of(
        &self,
        tenant: &str,
        queue: &str,
        day: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.ask(async |asking| asking.escalations_of(tenant, queue, day, limit).await)
    }

    fn rollups(&self, from: Millis, until: Millis) -> Result<Vec<RollupCount>, StoreError> {
        self.ask(async |asking| asking.rollups(from, until).await)
    }

    fn deliveries_of(&self, escalation_id: Uuid) -> Result<Vec<DeliveryRow>, StoreError> {
        self.ask(async |asking| asking.deliveries_of(escalation_id).await)
    }

    fn page(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError> {
        self.ask(async |asking| asking.page(after, limit).await)
    }

    /// Counting would be a walk over everything on every node.
    fn counts(&self) -> Result<Option<Counts>, StoreError> {
        Ok(None)
    }
}

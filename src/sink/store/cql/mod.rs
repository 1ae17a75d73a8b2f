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
mod schema;
mod write;

use std::sync::Arc;
use std::time::Duration;

use openssl::ssl::{SslConnector, SslMethod};
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
use super::{Counts, DeliveryRow, RollupCount, Rows, Store, StoreError};
use crate::config::StoreCluster;
use crate::event::Millis;

pub use schema::{Migrated, VERSION};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A cluster as a store. Its calls block; they are made from threads that may.
pub struct CqlStore {
    cluster: StoreCluster,
    runtime: Handle,
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
    /// A store that has not been spoken to yet. `runtime` needs tokio's I/O and time.
    pub fn new(cluster: &StoreCluster, runtime: &Handle) -> CqlStore {
        CqlStore { cluster: cluster.clone(), runtime: runtime.clone(), tables: OnceCell::new() }
    }

    /// Connects, if that is not done yet, and sees whether the tables can be worked with.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] may pass, anything else somebody must mend.
    pub fn check(&self) -> Result<(), StoreError> {
        self.runtime.block_on(async { self.tables().await.map(drop) })
    }

    /// Makes keyspace and tables where they are not there.
    ///
    /// # Errors
    /// When the cluster cannot or will not.
    pub fn migrate(cluster: &StoreCluster, runtime: &Handle) -> Result<Migrated, StoreError> {
        runtime.block_on(async { schema::migrate(&connect(cluster).await?, cluster).await })
    }

    /// Everything that is wrong with the tables; none is the answer wanted.
    ///
    /// # Errors
    /// When the cluster cannot or will not say.
    pub fn verify(cluster: &StoreCluster, runtime: &Handle) -> Result<Vec<String>, StoreError> {
        runtime.block_on(async { schema::verify(&connect(cluster).await?, cluster).await })
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
        self.runtime.block_on(async {
            let Tables { session, asker, .. } = self.tables().await?;
            question(Asking { session, cluster: &self.cluster, asker }).await
        })
    }
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
        let mut tls = SslConnector::builder(SslMethod::tls_client()).map_err(refused)?;
        tls.set_ca_file(path).map_err(refused)?;
        builder = builder.tls_context(Some(OpenSsl010Config::new(tls)));
    }
    builder.build().await.map_err(|error| error::unconnected(cluster, &error))
}

impl Store for CqlStore {
    fn write(&self, rows: &Arc<Rows>) -> Result<(), StoreError> {
        self.runtime.block_on(async {
            let Tables { session, writer, .. } = self.tables().await?;
            writer.write(session, &self.cluster, rows).await
        })
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

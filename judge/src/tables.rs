//! The tables of a ScyllaDB or Cassandra cluster, copied into a private SQLite database: from there on
//! they are judged like those of a data folder.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use rusqlite::{Connection, params};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::DeserializeRow;
use scylla::value::{CqlDate, CqlTimestamp};
use uuid::Uuid;

use crate::error::Unreadable;

/// Where the tables are.
#[derive(Clone, Debug)]
pub struct StoreCluster {
    /// `host:port`
    pub nodes: String,
    /// their keyspace
    pub keyspace: String,
    /// name and password, where the cluster asks for them
    pub login: Option<(String, String)>,
}

/// As in a data folder, and beside them what a cluster is looked up by.
const TABLES: &str = "
CREATE TABLE decision (
    decision_id BLOB PRIMARY KEY, tenant TEXT, account_id TEXT, kind TEXT, outcome TEXT,
    event_time INTEGER, decided_at INTEGER, record BLOB);
CREATE TABLE escalation (
    escalation_id BLOB PRIMARY KEY, decision_id BLOB, tenant TEXT, account_id TEXT, queue TEXT,
    priority INTEGER, created_at INTEGER, record BLOB);
CREATE TABLE rollup (
    partition INTEGER, offset INTEGER, minute INTEGER, kind TEXT, outcome TEXT, rule TEXT,
    count INTEGER);
CREATE TABLE delivery (escalation_id BLOB, channel TEXT, status TEXT);
CREATE TABLE decision_by_account (
    tenant TEXT, account_id TEXT, day INTEGER, event_time INTEGER, decision_id BLOB, kind TEXT,
    outcome TEXT);
CREATE TABLE account_day (tenant TEXT, account_id TEXT, day INTEGER);
CREATE TABLE decision_by_outcome (
    tenant TEXT, outcome TEXT, hour INTEGER, event_time INTEGER, decision_id BLOB,
    account_id TEXT, kind TEXT);
CREATE TABLE escalation_by_queue (
    tenant TEXT, queue TEXT, day INTEGER, created_at INTEGER, escalation_id BLOB,
    priority INTEGER, account_id TEXT);
";

const HOUR_MS: i64 = 3_600_000;
/// As `docs/contracts.md` has them.
const OUTCOME_BUCKETS: u8 = 64;
const ROLLUP_BUCKETS: i32 = 16;

/// A day's number in CQL, of 1970-01-01.
const EPOCH_DAY: i64 = 1 << 31;

/// What the tables that others are looked up by must hold, as queries for what they hold.
pub const LOOKUPS: [(&str, &str, &str); 4] = [
    (
        "decision_by_account",
        "SELECT tenant, account_id, event_time / 86400000, event_time, decision_id, kind, outcome \
         FROM decision",
        "SELECT tenant, account_id, day, event_time, decision_id, kind, outcome \
         FROM decision_by_account",
    ),
    (
        "account_day",
        "SELECT DISTINCT tenant, account_id, event_time / 86400000 FROM decision",
        "SELECT tenant, account_id, day FROM account_day",
    ),
    (
        "decision_by_outcome",
        "SELECT tenant, outcome, event_time / 3600000 * 3600000, event_time, decision_id, \
         account_id, kind FROM decision",
        "SELECT tenant, outcome, hour, event_time, decision_id, account_id, kind \
         FROM decision_by_outcome",
    ),
    (
        "escalation_by_queue",
        "SELECT tenant, queue, created_at / 86400000, created_at, escalation_id, priority, \
         account_id FROM escalation",
        "SELECT tenant, queue, day, created_at, escalation_id, priority, account_id \
         FROM escalation_by_queue",
    ),
];

/// Copies all tables.
///
/// # Errors
/// When the cluster cannot be read.
pub fn copy(cluster: &StoreCluster) -> Result<Connection, Unreadable> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| cql(cluster, &error))?;
    // no name: SQLite keeps it in a file that goes with the connection
    let connection = Connection::open("").map_err(Unreadable::sqlite("make a database"))?;
    let make = |sql| connection.execute_batch(sql).map_err(Unreadable::sqlite("make tables"));
    make(TABLES)?;
    make("BEGIN")?;
    runtime.block_on(copy_all(cluster, &connection))?;
    make("COMMIT")?;
    Ok(connection)
}

fn cql(cluster: &StoreCluster, error: &dyn std::error::Error) -> Unreadable {
    Unreadable::Store { nodes: cluster.nodes.clone(), why: error.to_string() }
}

async fn copy_all(cluster: &StoreCluster, into: &Connection) -> Result<(), Unreadable> {
    let mut builder = SessionBuilder::new().known_nodes(cluster.nodes.split(','));
    if let Some((name, password)) = &cluster.login {
        builder = builder.user(name, password);
    }
    let session = builder.build().await.map_err(|error| cql(cluster, &error))?;
    let copy = Copy { cluster, session: &session };
    type Decision = (Uuid, String, String, String, String, CqlTimestamp, CqlTimestamp, Vec<u8>);
    copy.table(
        "decision_id, tenant, account_id, kind, outcome, event_time, decided_at, record",
        "decision",
        |(id, tenant, account, kind, outcome, time, decided, record): Decision| {
            let id = id.as_bytes().as_slice();
            let values = params![id, tenant, account, kind, outcome, time.0, decided.0, record];
            insert(into, "INSERT INTO decision VALUES (?1,?2,?3,?4,?5,?6,?7,?8)", values)
        },
    )
    .await?;
    type Escalation = (Uuid, Uuid, String, String, String, i32, CqlTimestamp, Vec<u8>);
    copy.table(
        "escalation_id, decision_id, tenant, account_id, queue, priority, created_at, record",
        "escalation",
        |(id, decision, tenant, account, queue, priority, created, record): Escalation| {
            let (id, decision) = (id.as_bytes().as_slice(), decision.as_bytes().as_slice());
            let values = params![id, decision, tenant, account, queue, priority, created.0, record];
            insert(into, "INSERT INTO escalation VALUES (?1,?2,?3,?4,?5,?6,?7,?8)", values)
        },
    )
    .await?;
    type Counts = Option<HashMap<String, i64>>;
    type Rollup = (CqlTimestamp, i8, i32, i64, CqlTimestamp, Counts, Counts);
    copy.table(
        "hour, bucket, source, position, minute, outcomes, rules",
        "rollup",
        |(hour, bucket, source, position, minute, outcomes, rules): Rollup| {
            let place = (minute.0.div_euclid(HOUR_MS) * HOUR_MS, source % ROLLUP_BUCKETS);
            if (hour.0, i32::from(bucket)) != place {
                // nobody looks for it there
                return Ok(());
            }
            let counts =
                [(outcomes, false), (rules, true)].into_iter().flat_map(|(counts, is_rule)| {
                    counts.into_iter().flatten().map(move |entry| (entry, is_rule))
                });
            for ((name, count), is_rule) in counts {
                let (kind, name) = name.split_once('/').unwrap_or((name.as_str(), "?"));
                let (outcome, rule) = if is_rule { ("", name) } else { (name, "") };
                let values = params![source, position, minute.0, kind, outcome, rule, count];
                insert(into, "INSERT INTO rollup VALUES (?1,?2,?3,?4,?5,?6,?7)", values)?;
            }
            Ok(())
        },
    )
    .await?;
    copy.table(
        "escalation_id, channel, status",
        "delivery",
        |(id, channel, status): (Uuid, String, String)| {
            let values = params![id.as_bytes().as_slice(), channel, status];
            insert(into, "INSERT INTO delivery VALUES (?1,?2,?3)", values)
        },
    )
    .await?;
    type ByAccount = (String, String, CqlDate, CqlTimestamp, Uuid, String, String);
    copy.table(
        "tenant, account_id, day, event_time, decision_id, kind, outcome",
        "decision_by_account",
        |(tenant, account, day, time, id, kind, outcome): ByAccount| {
            let (day, id) = (i64::from(day.0) - EPOCH_DAY, id.as_bytes().as_slice());
            let values = params![tenant, account, day, time.0, id, kind, outcome];
            insert(into, "INSERT INTO decision_by_account VALUES (?1,?2,?3,?4,?5,?6,?7)", values)
        },
    )
    .await?;
    copy.table(
        "tenant, account_id, day",
        "account_day",
        |(tenant, account, day): (String, String, CqlDate)| {
            let values = params![tenant, account, i64::from(day.0) - EPOCH_DAY];
            insert(into, "INSERT INTO account_day VALUES (?1,?2,?3)", values)
        },
    )
    .await?;
    type ByOutcome = (String, String, CqlTimestamp, i8, CqlTimestamp, Uuid, String, String);
    copy.table(
        "tenant, outcome, hour, bucket, event_time, decision_id, account_id, kind",
        "decision_by_outcome",
        |(tenant, outcome, hour, bucket, time, id, account, kind): ByOutcome| {
            if id.as_bytes()[15] % OUTCOME_BUCKETS != bucket as u8 {
                // nobody looks for it there
                return Ok(());
            }
            let id = id.as_bytes().as_slice();
            let values = params![tenant, outcome, hour.0, time.0, id, account, kind];
            insert(into, "INSERT INTO decision_by_outcome VALUES (?1,?2,?3,?4,?5,?6,?7)", values)
        },
    )
    .await?;
    type ByQueue = (String, String, CqlDate, CqlTimestamp, Uuid, i32, String);
    copy.table(
        "tenant, queue, day, created_at, escalation_id, priority, account_id",
        "escalation_by_queue",
        |(tenant, queue, day, created, id, priority, account): ByQueue| {
            let (day, id) = (i64::from(day.0) - EPOCH_DAY, id.as_bytes().as_slice());
            let values = params![tenant, queue, day, created.0, id, priority, account];
            insert(into, "INSERT INTO escalation_by_queue VALUES (?1,?2,?3,?4,?5,?6,?7)", values)
        },
    )
    .await
}

fn insert(into: &Connection, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
    into.prepare_cached(sql)?.execute(values).map(drop)
}

struct Copy<'a> {
    cluster: &'a StoreCluster,
    session: &'a Session,
}

impl Copy<'_> {
    /// Reads a whole table, page by page.
    async fn table<R>(
        &self,
        columns: &str,
        table: &str,
        mut take: impl FnMut(R) -> rusqlite::Result<()>,
    ) -> Result<(), Unreadable>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm> + Send + 'static,
    {
        let statement = format!("SELECT {columns} FROM {}.{table}", self.cluster.keyspace);
        let pager = self.session.query_iter(statement, ()).await;
        let pager = pager.map_err(|error| cql(self.cluster, &error))?;
        let rows = pager.rows_stream::<R>().map_err(|error| cql(self.cluster, &error))?;
        let mut rows = std::pin::pin!(rows);
        while let Some(row) = rows.try_next().await.map_err(|error| cql(self.cluster, &error))? {
            take(row).map_err(Unreadable::sqlite("copy a table of the store"))?;
        }
        Ok(())
    }
}

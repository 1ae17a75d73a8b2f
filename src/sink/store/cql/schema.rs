//! The tables, how they come to be, and whether they are as they must be.
//!
//! | table | partition | rows of a partition |
//! |---|---|---|
//! | `decision` | a decision | 1 |
//! | `decision_by_account` | an account's day | what it did that day |
//! | `account_day` | an account | the days on which it did something, as long as they are kept |
//! | `decision_by_outcome` | a tenant's outcome, hour, one of 64 buckets | 1/64 of that hour's |
//! | `escalation` | an escalation | 1 |
//! | `escalation_by_queue` | a tenant's queue and day | that day's |
//! | `rollup` | an hour, one of 16 buckets | one for each commit and minute |
//! | `delivery` | an escalation | 1 for each receiver |
//!
//! Days and hours are of event time, in UTC.

use std::collections::BTreeMap;

use scylla::client::session::Session;

use super::StoreError;
use super::error::failed;
use crate::config::{StoreCluster, Ttl};

/// The version of the tables that this weir writes. A higher one was made by a newer weir.
pub const VERSION: i32 = 1;

/// Buckets of an outcome's hour.
pub(super) const OUTCOME_BUCKETS: u8 = 64;
/// Buckets of an hour's roll-ups.
pub(super) const ROLLUP_BUCKETS: u8 = 16;

/// A table: its columns and key as CQL has them, and how long its rows are kept.
struct Table {
    name: &'static str,
    columns: &'static [(&'static str, &'static str)],
    key: &'static str,
    order: &'static str,
    days: fn(&Ttl) -> u32,
}

const TABLES: [Table; 8] = [
    Table {
        name: "decision",
        columns: &[
            ("decision_id", "uuid"),
            ("tenant", "text"),
            ("account_id", "text"),
            ("kind", "text"),
            ("outcome", "text"),
            ("event_time", "timestamp"),
            ("decided_at", "timestamp"),
            ("record", "blob"),
        ],
        key: "decision_id",
        order: "",
        days: |ttl| ttl.decisions,
    },
    Table {
        name: "decision_by_account",
        columns: &[
            ("tenant", "text"),
            ("account_id", "text"),
            ("day", "date"),
            ("event_time", "timestamp"),
            ("decision_id", "uuid"),
            ("kind", "text"),
            ("outcome", "text"),
        ],
        key: "(tenant, account_id, day), event_time, decision_id",
        order: "event_time DESC, decision_id ASC",
        days: |ttl| ttl.decisions,
    },
    Table {
        name: "account_day",
        columns: &[("tenant", "text"), ("account_id", "text"), ("day", "date")],
        key: "(tenant, account_id), day",
        order: "day DESC",
        days: |ttl| ttl.decisions,
    },
    Table {
        name: "decision_by_outcome",
        columns: &[
            ("tenant", "text"),
            ("outcome", "text"),
            ("hour", "timestamp"),
            ("bucket", "tinyint"),
            ("event_time", "timestamp"),
            ("decision_id", "uuid"),
            ("account_id", "text"),
            ("kind", "text"),
        ],
        key: "(tenant, outcome, hour, bucket), event_time, decision_id",
        order: "event_time DESC, decision_id ASC",
        days: |ttl| ttl.decisions,
    },
    Table {
        name: "escalation",
        columns: &[
            ("escalation_id", "uuid"),
            ("decision_id", "uuid"),
            ("tenant", "text"),
            ("account_id", "text"),
            ("queue", "text"),
            ("priority", "int"),
            ("created_at", "timestamp"),
            ("record", "blob"),
        ],
        key: "escalation_id",
        order: "",
        days: |ttl| ttl.escalations,
    },
    Table {
        name: "escalation_by_queue",
        columns: &[
            ("tenant", "text"),
            ("queue", "text"),
            ("day", "date"),
            ("created_at", "timestamp"),
            ("escalation_id", "uuid"),
            ("priority", "int"),
            ("account_id", "text"),
        ],
        key: "(tenant, queue, day), created_at, escalation_id",
        order: "created_at DESC, escalation_id ASC",
        days: |ttl| ttl.escalations,
    },
    Table {
        name: "rollup",
        columns: &[
            ("hour", "timestamp"),
            ("bucket", "tinyint"),
            ("minute", "timestamp"),
            ("source", "int"),
            ("position", "bigint"),
            ("outcomes", "frozen<map<text, bigint>>"),
            ("rules", "frozen<map<text, bigint>>"),
        ],
        key: "(hour, bucket), minute, source, position",
        order: "",
        days: |ttl| ttl.rollups,
    },
    Table {
        name: "delivery",
        columns: &[
            ("escalation_id", "uuid"),
            ("channel", "text"),
            ("status", "text"),
            ("attempts", "int"),
            ("updated_at", "timestamp"),
            ("detail", "text"),
        ],
        key: "escalation_id, channel",
        order: "",
        days: |ttl| ttl.deliveries,
    },
];

/// Where the version stands; not of [`TABLES`] because its rows are kept for ever.
const VERSION_TABLE: &str = "weir_schema";
const DAY_SECONDS: u32 = 86_400;

impl Table {
    /// Rows are written about when they happen and go together, so files are kept by time: about
    /// thirty of them in a table's life.
    fn options(&self, ttl: &Ttl) -> String {
        let days = (self.days)(ttl);
        let window = (days / 30).max(1);
        format!(
            "default_time_to_live = {} AND compaction = {{'class': 'TimeWindowCompactionStrategy', \
             'compaction_window_unit': 'DAYS', 'compaction_window_size': '{window}'}}",
            days * DAY_SECONDS
        )
    }

    fn create(&self, keyspace: &str, ttl: &Ttl) -> String {
        let columns: Vec<String> =
            self.columns.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
        let order = match self.order {
            "" => String::new(),
            order => format!("CLUSTERING ORDER BY ({order}) AND "),
        };
        format!(
            "CREATE TABLE IF NOT EXISTS {keyspace}.{} ({}, PRIMARY KEY ({})) WITH {order}{}",
            self.name,
            columns.join(", "),
            self.key,
            self.options(ttl)
        )
    }
}

/// What a migration did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Migrated {
    /// tables that were made
    pub made: Vec<&'static str>,
    /// tables whose rows are kept for another time from now on
    pub altered: Vec<&'static str>,
}

/// Makes keyspace and tables where they are not there, and keeps what is: run again, it changes
/// nothing.
pub(super) async fn migrate(
    session: &Session,
    cluster: &StoreCluster,
) -> Result<Migrated, StoreError> {
    let keyspace = &cluster.keyspace;
    let replication = cluster.replication;
    let mut migrated = Migrated::default();
    let run = |statement: String| async move {
        let ran = session.query_unpaged(statement, ()).await;
        ran.map(drop).map_err(|error| failed(cluster, "make the tables", &error))
    };
    run(format!(
        "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
         {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replication}}}"
    ))
    .await?;
    run(format!(
        "CREATE TABLE IF NOT EXISTS {keyspace}.{VERSION_TABLE} (name text PRIMARY KEY, version int)"
    ))
    .await?;
    let there = found(session, cluster).await?;
    if there.version.is_some_and(|version| version > VERSION) {
        return Err(StoreError::Schema { problems: there.problems(cluster) });
    }
    for table in &TABLES {
        match there.tables.get(table.name) {
            None => {
                run(table.create(keyspace, &cluster.ttl)).await?;
                migrated.made.push(table.name);
            }
            Some(found) if found.ttl_seconds != (table.days)(&cluster.ttl) * DAY_SECONDS => {
                let options = table.options(&cluster.ttl);
                run(format!("ALTER TABLE {keyspace}.{} WITH {options}", table.name)).await?;
                migrated.altered.push(table.name);
            }
            Some(_) => {}
        }
    }
    // last, so that a version says that all of it is there
    run(format!(
        "INSERT INTO {keyspace}.{VERSION_TABLE} (name, version) VALUES ('weir', {VERSION})"
    ))
    .await?;
    // what was there already may not be what is needed
    match found(session, cluster).await?.problems(cluster) {
        problems if problems.is_empty() => Ok(migrated),
        problems => Err(StoreError::Schema { problems }),
    }
}

/// Everything that is wrong with the tables; none is the answer wanted.
pub(super) async fn verify(
    session: &Session,
    cluster: &StoreCluster,
) -> Result<Vec<String>, StoreError> {
    Ok(found(session, cluster).await?.problems(cluster))
}

/// Refuses tables that this weir cannot work with. How long rows are kept is not looked at: that is
/// no reason not to decide.
pub(super) async fn check(session: &Session, cluster: &StoreCluster) -> Result<(), StoreError> {
    match found(session, cluster).await?.obstacles(cluster) {
        problems if problems.is_empty() => Ok(()),
        problems => Err(StoreError::Schema { problems }),
    }
}

/// What is there.
#[derive(Debug, Default)]
struct Found {
    keyspace: bool,
    version: Option<i32>,
    tables: BTreeMap<String, FoundTable>,
}

#[derive(Debug, Default)]
struct FoundTable {
    ttl_seconds: u32,
    columns: BTreeMap<String, String>,
}

impl Found {
    /// Everything that is not as it must be.
    fn problems(&self, cluster: &StoreCluster) -> Vec<String> {
        let mut problems = self.obstacles(cluster);
        for table in TABLES.iter().filter(|_| self.is_known()) {
            let days = (table.days)(&cluster.ttl);
            if let Some(found) = self.tables.get(table.name)
                && found.ttl_seconds != days * DAY_SECONDS
            {
                problems.push(format!(
                    "rows of {}.{} are kept for {} days, expected {days}: run \
                     `weir store migrate`",
                    cluster.keyspace,
                    table.name,
                    found.ttl_seconds / DAY_SECONDS
                ));
            }
        }
        problems
    }

    /// Whether what is there is of a version that this weir knows.
    fn is_known(&self) -> bool {
        self.version.is_some_and(|version| version <= VERSION)
    }

    /// What keeps this weir from working with the tables.
    fn obstacles(&self, cluster: &StoreCluster) -> Vec<String> {
        let keyspace = &cluster.keyspace;
        if !self.keyspace {
            return vec![format!("there is no keyspace {keyspace}: `weir store migrate` makes it")];
        }
        let mut problems = match self.version {
            Some(VERSION) => Vec::new(),
            Some(version) if version > VERSION => {
                return vec![format!(
                    "tables of keyspace {keyspace} have version {version}, expected {VERSION}: a \
                     newer weir has migrated them, and only such a one can use them"
                )];
            }
            Some(version) => vec![format!(
                "tables of keyspace {keyspace} have version {version}, expected {VERSION}: run \
                 `weir store migrate`"
            )],
            None => vec![format!(
                "keyspace {keyspace} has no tables of weir's: `weir store migrate` makes them"
            )],
        };
        if self.version.is_none() {
            return problems;
        }
        for table in &TABLES {
            let Some(found) = self.tables.get(table.name) else {
                problems.push(format!("table {keyspace}.{} is missing", table.name));
                continue;
            };
            for (column, kind) in table.columns {
                match found.columns.get(*column) {
                    Some(there) if there == kind => {}
                    Some(there) => problems.push(format!(
                        "column {column} of {keyspace}.{} is {there}, expected {kind}",
                        table.name
                    )),
                    None => problems.push(format!(
                        "column {column} of {keyspace}.{} is missing, expected {kind}",
                        table.name
                    )),
                }
            }
        }
        problems
    }
}

async fn found(session: &Session, cluster: &StoreCluster) -> Result<Found, StoreError> {
    let keyspace = cluster.keyspace.as_str();
    let mut found = Found::default();
    let rows = async |statement: &str| {
        let answer = session.query_unpaged(statement, (keyspace,)).await;
        let answer = answer.map_err(|error| failed(cluster, "look at the tables", &error))?;
        answer.into_rows_result().map_err(|error| StoreError::Answer {
            doing: "look at the tables",
            reason: error.to_string(),
        })
    };
    let unexpected = |error: &dyn std::error::Error| StoreError::Answer {
        doing: "look at the tables",
        reason: error.to_string(),
    };
    let keyspaces =
        rows("SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?").await?;
    found.keyspace = keyspaces.rows_num() > 0;
    if !found.keyspace {
        return Ok(found);
    }
    let tables = rows(
        "SELECT table_name, default_time_to_live FROM system_schema.tables WHERE keyspace_name = ?",
    )
    .await?;
    let mut versioned = false;
    for row in tables.rows::<(String, Option<i32>)>().map_err(|error| unexpected(&error))? {
        let (name, ttl) = row.map_err(|error| unexpected(&error))?;
        versioned |= name == VERSION_TABLE;
        let ttl_seconds = ttl.and_then(|ttl| u32::try_from(ttl).ok()).unwrap_or(0);
        found.tables.insert(name, FoundTable { ttl_seconds, columns: BTreeMap::new() });
    }
    let columns = rows(
        "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?",
    )
    .await?;
    for row in columns.rows::<(String, String, String)>().map_err(|error| unexpected(&error))? {
        let (table, column, kind) = row.map_err(|error| unexpected(&error))?;
        if let Some(table) = found.tables.get_mut(&table) {
            table.columns.insert(column, kind);
        }
    }
    if versioned {
        let statement =
            format!("SELECT version FROM {keyspace}.{VERSION_TABLE} WHERE name = 'weir'");
        let answer = session.query_unpaged(statement, ()).await;
        let answer = answer.map_err(|error| failed(cluster, "look at the tables", &error))?;
        let rows = answer.into_rows_result().map_err(|error| unexpected(&error))?;
        let version =
            rows.maybe_first_row::<(Option<i32>,)>().map_err(|error| unexpected(&error))?;
        found.version = version.and_then(|(version,)| version);
    }
    Ok(found)
}

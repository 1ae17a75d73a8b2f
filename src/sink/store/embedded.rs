//! The store in the log's SQLite file. `docs/contracts.md` has the tables.

use std::sync::Arc;

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Counts, DAY_MS, DeliveryRow, HOUR_MS, RollupCount, Rows, Store, StoreError};
use crate::event::Millis;
use crate::log::LogError;
use crate::log::embedded::Database;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS decision (
    decision_id BLOB PRIMARY KEY, tenant TEXT NOT NULL, account_id TEXT NOT NULL,
    kind TEXT NOT NULL, outcome TEXT NOT NULL, event_time INTEGER NOT NULL,
    decided_at INTEGER NOT NULL, record BLOB NOT NULL, written_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS decision_by_account ON decision (tenant, account_id, event_time);
CREATE INDEX IF NOT EXISTS decision_by_outcome ON decision (tenant, outcome, event_time);
CREATE TABLE IF NOT EXISTS escalation (
    escalation_id BLOB PRIMARY KEY, decision_id BLOB NOT NULL, tenant TEXT NOT NULL,
    account_id TEXT NOT NULL, queue TEXT NOT NULL, priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL, record BLOB NOT NULL, written_at INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS escalation_by_day ON escalation (tenant, queue, created_at);
CREATE TABLE IF NOT EXISTS rollup (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, minute INTEGER NOT NULL,
    kind TEXT NOT NULL, outcome TEXT NOT NULL, rule TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (partition, offset, minute, kind, outcome, rule)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
    escalation_id BLOB NOT NULL, channel TEXT NOT NULL, status TEXT NOT NULL,
    attempts INTEGER NOT NULL, updated_at INTEGER NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (escalation_id, channel)) WITHOUT ROWID;
";

/// What SQLite takes at most in one value.
const RECORD_BYTES_MAX: usize = 1_000_000_000;

/// Decisions in the data folder of the embedded log.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    database: Database,
}

impl EmbeddedStore {
    /// Makes the tables if they are not there.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn open(database: &Database) -> Result<EmbeddedStore, StoreError> {
        database.write(Box::new(|connection| {
            connection.execute_batch(TABLES)?;
            ["decision", "escalation"].into_iter().try_for_each(|table| upgrade(connection, table))
        }))?;
        Ok(EmbeddedStore { database: database.clone() })
    }

    /// The store of a folder that somebody else writes.
    pub fn read_only(database: &Database) -> EmbeddedStore {
        EmbeddedStore { database: database.clone() }
    }

    fn read<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let connection = self.database.connect()?;
        let failed = |error| StoreError::Embedded(self.database.error(doing, error));
        read(&connection).map_err(failed)
    }

    fn records(
        &self,
        doing: &'static str,
        sql: &str,
        values: &[&dyn ToSql],
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(doing, |connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map(values, |row| row.get(0))?;
            rows.collect()
        })
    }
}

/// Gives a table of an older weir the column it lacks; its rows count as the oldest there are.
fn upgrade(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM pragma_table_info(?1) WHERE name = 'written_at'";
    let is_there: i64 = connection.query_row(sql, [table], |row| row.get(0))?;
    match is_there {
        0 => connection.execute_batch(&format!(
            "ALTER TABLE {table} ADD COLUMN written_at INTEGER NOT NULL DEFAULT 0"
        )),
        _ => Ok(()),
    }
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Runs one prepared insert for each row.
fn each<R>(
    connection: &Connection,
    sql: &str,
    rows: &[R],
    insert: impl Fn(&mut rusqlite::CachedStatement<'_>, &R) -> rusqlite::Result<usize>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    rows.iter().try_for_each(|row| insert(&mut statement, row).map(|_| ()))
}

fn write(connection: &Connection, rows: &Rows) -> rusqlite::Result<()> {
    let sql = "INSERT INTO decision VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (decision_id) DO UPDATE SET
                   tenant = excluded.tenant, account_id = excluded.account_id,
                   kind = excluded.kind, outcome = excluded.outcome,
                   event_time = excluded.event_time, decided_at = excluded.decided_at,
                   record = excluded.record, written_at = excluded.written_at
               WHERE excluded.written_at > decision.written_at";
    each(connection, sql, &rows.decisions, |statement, row| {
        let values: [&dyn ToSql; 9] = [
            &row.decision_id.as_bytes().as_slice(),
            &row.tenant,
            &row.account_id,
            &row.kind,
            &row.outcome,
            &row.event_time.0,
            &row.decided_at.0,
            &row.record,
            &row.written_at.0,
        ];
        statement.execute(values)
    })?;
    let sql = "INSERT INTO escalation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
               ON CONFLICT (escalation_id) DO UPDATE SET
                   decision_id = excluded.decision_id, tenant = excluded.tenant,
                   account_id = excluded.account_id, queue = excluded.queue,
                   priority = excluded.priority, created_at = excluded.created_at,
                   record = excluded.record, written_at = excluded.written_at
               WHERE excluded.written_at > escalation.written_at";
    each(connection, sql, &rows.escalations, |statement, row| {
        let values: [&dyn ToSql; 9] = [
            &row.escalation_id.as_bytes().as_slice(),
            &row.decision_id.as_bytes().as_slice(),
            &row.tenant,
            &row.account_id,
            &row.queue,
            &row.priority,
            &row.created_at.0,
            &row.record,
            &row.written_at.0,
        ];
        statement.execute(values)
    })?;
    let sql = "INSERT OR IGNORE INTO rollup VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    each(connection, sql, &rows.rollups, |statement, row| {
        let (minute, count) = (row.minute.0, row.count);
        statement.execute(params![
            row.partition,
            row.offset,
            minute,
            row.kind,
            row.outcome,
            row.rule,
            count
        ])
    })?;
    // a delivery that ended twice, as at-least-once allows, ended the last time
    let sql = "INSERT INTO delivery VALUES (?1, ?2, ?3, ?4, ?5, ?6)
               ON CONFLICT (escalation_id, channel) DO UPDATE SET
                   status = excluded.status, attempts = excluded.attempts,
                   updated_at = excluded.updated_at, detail = excluded.detail
               WHERE excluded.updated_at > delivery.updated_at";
    each(connection, sql, &rows.deliveries, |statement, row| {
        let id = row.escalation_id.as_bytes().as_slice();
        let at = row.updated_at.0;
        statement.execute(params![id, row.channel, row.status, row.attempts, at, row.detail])
    })
}

fn uuid_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    Ok(Uuid::from_bytes(row.get::<_, [u8; 16]>(column)?))
}

impl Store for EmbeddedStore {
    fn write(&self, rows: &Arc<Rows>) -> Result<(), StoreError> {
        let rows = Arc::clone(rows);
        self.database.write(Box::new(move |connection| write(connection, &rows))).map_err(|error| {
            match error {
                LogError::Sqlite { source, .. } => {
                    StoreError::Embedded(self.database.error("store decisions", source))
                }
                other => StoreError::Embedded(other),
            }
        })
    }

    fn record_bytes_max(&self) -> usize {
        RECORD_BYTES_MAX
    }

    fn decision(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT record FROM decision WHERE decision_id = ?1";
        self.read("read a decision", |connection| {
            connection.query_row(sql, [id.as_bytes().as_slice()], |row| row.get(0)).optional()
        })
    }

    fn decisions_of(
        &self,
        tenant: &str,
        account_id: &str,
        before: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT record FROM decision
                   WHERE tenant = ?1 AND account_id = ?2 AND event_time < ?3
                   ORDER BY event_time DESC LIMIT ?4";
        let values = params![tenant, account_id, before.0, sql_limit(limit)];
        self.records("read the decisions of an account", sql, values)
    }

    fn decisions_with(
        &self,
        tenant: &str,
        outcome: &str,
        hour: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT record FROM decision
                   WHERE tenant = ?1 AND outcome = ?2 AND event_time >= ?3 AND event_time < ?4
                   ORDER BY event_time DESC, decision_id LIMIT ?5";
        let (from, limit) = (hour.0 - hour.0.rem_euclid(HOUR_MS), sql_limit(limit));
        let values = params![tenant, outcome, from, from + HOUR_MS, limit];
        self.records("read decisions by outcome", sql, values)
    }

    fn escalation(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT record FROM escalation WHERE escalation_id = ?1";
        self.read("read an escalation", |connection| {
            connection.query_row(sql, [id.as_bytes().as_slice()], |row| row.get(0)).optional()
        })
    }

    fn escalations_of(
        &self,
        tenant: &str,
        queue: &str,
        day: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT record FROM escalation
                   WHERE tenant = ?1 AND queue = ?2 AND created_at >= ?3 AND created_at < ?4
                   ORDER BY created_at DESC, escalation_id LIMIT ?5";
        let (from, limit) = (day.0 - day.0.rem_euclid(DAY_MS), sql_limit(limit));
        let values = params![tenant, queue, from, from + DAY_MS, limit];
        self.records("read escalations of a queue", sql, values)
    }

    fn rollups(&self, from: Millis, until: Millis) -> Result<Vec<RollupCount>, StoreError> {
        let sql = "SELECT minute, kind, outcome, rule, sum(count) FROM rollup
                   WHERE minute >= ?1 AND minute < ?2
                   GROUP BY minute, kind, outcome, rule ORDER BY minute, kind, outcome, rule";
        self.read("read roll-ups", |connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([from.0, until.0], |row| {
                Ok(RollupCount {
                    minute: Millis(row.get(0)?),
                    kind: row.get(1)?,
                    outcome: row.get(2)?,
                    rule: row.get(3)?,
                    count: row.get(4)?,
                })
            })?;
            rows.collect()
        })
    }

    fn deliveries_of(&self, escalation_id: Uuid) -> Result<Vec<DeliveryRow>, StoreError> {
        let sql = "SELECT channel, status, attempts, updated_at, detail FROM delivery
                   WHERE escalation_id = ?1 ORDER BY channel";
        self.read("read deliveries", |connection| {
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map([escalation_id.as_bytes().as_slice()], |row| {
                Ok(DeliveryRow {
                    escalation_id,
                    channel: row.get(0)?,
                    status: row.get(1)?,
                    attempts: row.get(2)?,
                    updated_at: Millis(row.get(3)?),
                    detail: row.get(4)?,
                })
            })?;
            rows.collect()
        })
    }

    fn page(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError> {
        let sql = "SELECT decision_id, record FROM decision WHERE decision_id > ?1
                   ORDER BY decision_id LIMIT ?2";
        self.read("read decisions", |connection| {
            let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
            let mut statement = connection.prepare(sql)?;
            let rows = statement.query_map(params![after, sql_limit(limit)], |row| {
                Ok((uuid_of(row, 0)?, row.get(1)?))
            })?;
            rows.collect()
        })
    }

    fn counts(&self) -> Result<Option<Counts>, StoreError> {
        let counts = self.read("count decisions", |connection| {
            let count = |sql: &str| -> rusqlite::Result<u64> {
                let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
                Ok(count.unsigned_abs())
            };
            Ok(Counts {
                decisions: count("SELECT count(*) FROM decision")?,
                escalations: count("SELECT count(*) FROM escalation")?,
                delivered: count("SELECT count(*) FROM delivery WHERE status = 'delivered'")?,
            })
        })?;
        Ok(Some(counts))
    }
}

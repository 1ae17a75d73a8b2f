//! The store in the log's SQLite file. `docs/contracts.md` has the tables.

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::{Counts, Rows, Store, StoreError};
use crate::event::Millis;
use crate::log::LogError;
use crate::log::embedded::Database;

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS decision (
    decision_id BLOB PRIMARY KEY, tenant TEXT NOT NULL, account_id TEXT NOT NULL,
    kind TEXT NOT NULL, outcome TEXT NOT NULL, event_time INTEGER NOT NULL,
    decided_at INTEGER NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS decision_by_account ON decision (tenant, account_id, event_time);
CREATE TABLE IF NOT EXISTS escalation (
    escalation_id BLOB PRIMARY KEY, decision_id BLOB NOT NULL, tenant TEXT NOT NULL,
    account_id TEXT NOT NULL, queue TEXT NOT NULL, priority INTEGER NOT NULL,
    created_at INTEGER NOT NULL, record BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS escalation_by_queue ON escalation (queue, priority, created_at);
CREATE TABLE IF NOT EXISTS rollup (
    partition INTEGER NOT NULL, offset INTEGER NOT NULL, minute INTEGER NOT NULL,
    kind TEXT NOT NULL, outcome TEXT NOT NULL, rule TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (partition, offset, minute, kind, outcome, rule)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS delivery (
    escalation_id BLOB NOT NULL, channel TEXT NOT NULL, status TEXT NOT NULL,
    attempts INTEGER NOT NULL, updated_at INTEGER NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (escalation_id, channel)) WITHOUT ROWID;
";

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
        database.write(Box::new(|connection| connection.execute_batch(TABLES)))?;
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
    // the first one stored under an id wins
    let sql = "INSERT OR IGNORE INTO decision VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    each(connection, sql, &rows.decisions, |statement, row| {
        let values: [&dyn ToSql; 8] = [
            &row.decision_id.as_bytes().as_slice(),
            &row.tenant,
            &row.account_id,
            &row.kind,
            &row.outcome,
            &row.event_time.0,
            &row.decided_at.0,
            &row.record,
        ];
        statement.execute(values)
    })?;
    let sql = "INSERT OR IGNORE INTO escalation VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    each(connection, sql, &rows.escalations, |statement, row| {
        let values: [&dyn ToSql; 8] = [
            &row.escalation_id.as_bytes().as_slice(),
            &row.decision_id.as_bytes().as_slice(),
            &row.tenant,
            &row.account_id,
            &row.queue,
            &row.priority,
            &row.created_at.0,
            &row.record,
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
    let sql = "INSERT OR REPLACE INTO delivery VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
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
    fn write(&self, rows: Rows) -> Result<(), StoreError> {
        self.database.write(Box::new(move |connection| write(connection, &rows))).map_err(|error| {
            match error {
                LogError::Sqlite { source, .. } => {
                    StoreError::Embedded(self.database.error("store decisions", source))
                }
                other => StoreError::Embedded(other),
            }
        })
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
        self.read("read the decisions of an account", |connection| {
            let mut statement = connection.prepare(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement
                .query_map(params![tenant, account_id, before.0, limit], |row| row.get(0))?;
            rows.collect()
        })
    }

    fn page(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError> {
        let sql = "SELECT decision_id, record FROM decision WHERE decision_id > ?1
                   ORDER BY decision_id LIMIT ?2";
        self.read("read decisions", |connection| {
            let after: &[u8] = after.as_ref().map_or(&[], |id| id.as_bytes());
            let mut statement = connection.prepare(sql)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = statement
                .query_map(params![after, limit], |row| Ok((uuid_of(row, 0)?, row.get(1)?)))?;
            rows.collect()
        })
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        self.read("count decisions", |connection| {
            let count = |sql: &str| -> rusqlite::Result<u64> {
                let count: i64 = connection.query_row(sql, [], |row| row.get(0))?;
                Ok(count.unsigned_abs())
            };
            Ok(Counts {
                decisions: count("SELECT count(*) FROM decision")?,
                escalations: count("SELECT count(*) FROM escalation")?,
                delivered: count("SELECT count(*) FROM delivery WHERE status = 'delivered'")?,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::embedded::{EmbeddedLog, Options};
    use crate::sink::store::{DecisionRow, DeliveryRow, EscalationRow, RollupRow};

    fn row(n: u128, account: &str, time: i64) -> DecisionRow {
        DecisionRow {
            decision_id: Uuid::from_u128(n),
            tenant: "default".into(),
            account_id: account.into(),
            kind: "TRANSACTION",
            outcome: "ALLOW",
            event_time: Millis(time),
            decided_at: Millis(9),
            record: n.to_le_bytes().to_vec(),
        }
    }

    #[test]
    fn writing_twice_changes_nothing_and_the_first_record_wins() {
        let folder = tempfile::tempdir().unwrap();
        let log =
            EmbeddedLog::open(folder.path(), &Options { durable: false, ..Options::default() });
        let log = log.unwrap();
        let store = EmbeddedStore::open(log.database()).unwrap();
        let id = Uuid::from_u128(7);
        let rows = Rows {
            decisions: (1..=5).map(|n| row(n, if n < 4 { "a" } else { "b" }, n as i64)).collect(),
            escalations: vec![EscalationRow {
                escalation_id: id,
                decision_id: Uuid::from_u128(1),
                tenant: "default".into(),
                account_id: "a".into(),
                queue: "risk".into(),
                priority: 2,
                created_at: Millis(9),
                record: vec![1],
            }],
            rollups: vec![RollupRow {
                partition: 0,
                offset: 0,
                minute: Millis(0),
                kind: "TRANSACTION",
                outcome: "ALLOW",
                rule: String::new(),
                count: 5,
            }],
            deliveries: vec![DeliveryRow {
                escalation_id: id,
                channel: "ops".into(),
                status: "delivered",
                attempts: 1,
                updated_at: Millis(1),
                detail: "200".into(),
            }],
        };
        store.write(rows.clone()).unwrap();
        let mut again = rows;
        again.decisions[0].record = vec![9];
        store.write(again).unwrap();
        let expected = Counts { decisions: 5, escalations: 1, delivered: 1 };
        assert_eq!(store.counts().unwrap(), expected);
        assert_eq!(store.decision(Uuid::from_u128(1)).unwrap(), Some(1u128.to_le_bytes().to_vec()));
        assert_eq!(store.decision(Uuid::from_u128(99)).unwrap(), None);
        let newest = store.decisions_of("default", "a", Millis(3), 10).unwrap();
        assert_eq!(newest, [2u128.to_le_bytes(), 1u128.to_le_bytes()]);
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = store.page(after, 2).unwrap();
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            seen.extend(page.iter().map(|(id, _)| id.as_u128()));
        }
        assert_eq!(seen, [1, 2, 3, 4, 5]);
    }
}

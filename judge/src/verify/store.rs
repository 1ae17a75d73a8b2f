//! The tables of the store against the topics they are made from.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use uuid::Uuid;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::avro::Fields;
use crate::contract::{STORE, Topic};
use crate::error::Unreadable;
use crate::log::LogRecord;
use crate::report::{Check, Report};
use crate::tables::LOOKUPS;

use super::rollups::{Counts, Entry, differences};
use super::{Case, Findings, Id};

/// What must be stored under an id: the first record of it, kept as hashes.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) partition: u32,
    pub(super) offset: i64,
    payload: u128,
    columns: u128,
    /// first records in further partitions: the contract orders records within one only
    others: Vec<(u128, u128)>,
}

impl Stored {
    pub(super) fn new(record: &LogRecord, columns: &[Column<'_>]) -> Stored {
        Stored {
            partition: record.partition,
            offset: record.offset,
            payload: xxh3_128(&record.payload),
            columns: digest(columns),
            others: Vec::new(),
        }
    }

    /// The digest of the columns that belong to this payload.
    fn columns_of(&self, payload: u128) -> Option<u128> {
        let mut all = std::iter::once((self.payload, self.columns)).chain(self.others.clone());
        all.find(|(of, _)| *of == payload).map(|(_, columns)| columns)
    }
}

pub(super) fn merge(into: &mut HashMap<Id, Stored>, from: HashMap<Id, Stored>) {
    for (id, stored) in from {
        match into.get_mut(&id) {
            Some(known) => known.others.push((stored.payload, stored.columns)),
            None => {
                into.insert(id, stored);
            }
        }
    }
}

/// A value as it should stand in a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Column<'a> {
    Text(&'a str),
    Int(i64),
    Uuid(Id),
    Blob(&'a [u8]),
    /// null, a fraction, or anything else no column should hold
    Odd,
}

impl<'a> Column<'a> {
    fn read(value: ValueRef<'a>) -> Column<'a> {
        match value {
            ValueRef::Text(text) => std::str::from_utf8(text).map_or(Column::Odd, Column::Text),
            ValueRef::Integer(n) => Column::Int(n),
            ValueRef::Blob(bytes) => bytes.try_into().map_or(Column::Blob(bytes), Column::Uuid),
            ValueRef::Null | ValueRef::Real(_) => Column::Odd,
        }
    }
}

fn digest(columns: &[Column<'_>]) -> u128 {
    let mut hash = Xxh3::new();
    for column in columns {
        let (tag, bytes): (u8, &[u8]) = match column {
            Column::Text(text) => (1, text.as_bytes()),
            Column::Int(n) => (2, &n.to_le_bytes()),
            Column::Uuid(id) => (3, id),
            Column::Blob(bytes) => (4, bytes),
            Column::Odd => (5, &[]),
        };
        hash.update(&[tag]);
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.digest128()
}

const DECISION: Table = Table {
    check: Check::StoreDecisions,
    topic: Topic::Decisions,
    sql: "SELECT decision_id, tenant, account_id, kind, outcome, event_time, decided_at, record \
          FROM decision",
    columns: &["tenant", "account_id", "kind", "outcome", "event_time", "decided_at"],
    of: decision_columns,
};

const ESCALATION: Table = Table {
    check: Check::StoreEscalations,
    topic: Topic::Escalations,
    sql: "SELECT escalation_id, decision_id, tenant, account_id, queue, priority, created_at, \
          record FROM escalation",
    columns: &["decision_id", "tenant", "account_id", "queue", "priority", "created_at"],
    of: escalation_columns,
};

/// The columns beside a stored decision.
pub(super) fn decision_columns(fields: &Fields) -> [Column<'_>; 6] {
    [
        Column::Text(fields.text("tenant")),
        Column::Text(fields.text("account_id")),
        Column::Text(fields.text("kind")),
        Column::Text(fields.text("outcome")),
        int(fields, "event_time"),
        int(fields, "decided_at"),
    ]
}

/// The columns beside a stored escalation.
pub(super) fn escalation_columns(fields: &Fields) -> [Column<'_>; 6] {
    let decision_id = Uuid::parse_str(fields.text("decision_id"));
    [
        decision_id.map_or(Column::Odd, |id| Column::Uuid(*id.as_bytes())),
        Column::Text(fields.text("tenant")),
        Column::Text(fields.text("account_id")),
        Column::Text(fields.text("queue")),
        int(fields, "priority"),
        int(fields, "created_at"),
    ]
}

fn int<'a>(fields: &Fields, name: &str) -> Column<'a> {
    fields.long(name).map_or(Column::Odd, Column::Int)
}

/// A table of records by id: the id, `columns`, the record.
struct Table {
    check: Check,
    topic: Topic,
    sql: &'static str,
    columns: &'static [&'static str; 6],
    of: for<'f> fn(&'f Fields) -> [Column<'f>; 6],
}

/// Checks the three tables.
pub(super) fn check(
    case: &Case<'_>,
    tables: &Connection,
    findings: &mut Findings,
) -> Result<(), Unreadable> {
    let decisions = std::mem::take(&mut findings.decisions);
    check_table(case, tables, &DECISION, &decisions, findings)?;
    let escalations = std::mem::take(&mut findings.escalations);
    check_table(case, tables, &ESCALATION, &escalations, findings)?;
    findings.escalations = escalations;
    if case.options.store.is_some() && !case.options.allow_behind {
        for (table, wanted, found) in LOOKUPS {
            check_lookup(tables, table, wanted, found, &mut findings.report)?;
        }
    }
    check_rollups(case, tables, findings)
}

/// Says that there is nothing to hold the topics against.
pub(super) fn skip(report: &mut Report) {
    for check in [Check::StoreDecisions, Check::StoreEscalations, Check::StoreRollups] {
        report.skip(check, "no data folder is given");
    }
}

fn check_table(
    case: &Case<'_>,
    tables: &Connection,
    table: &Table,
    wanted: &HashMap<Id, Stored>,
    findings: &mut Findings,
) -> Result<(), Unreadable> {
    let doing = "read a table of the store";
    let report = &mut findings.report;
    report.checked(table.check, wanted.len() as u64);
    let prepared = tables.prepare(table.sql);
    let mut statement = prepared.map_err(Unreadable::sqlite(doing))?;
    let mut rows = statement.query([]).map_err(Unreadable::sqlite(doing))?;
    let mut missing: HashMap<&Id, &Stored> = wanted.iter().collect();
    while let Some(row) = rows.next().map_err(Unreadable::sqlite(doing))? {
        let id = row.get_ref(0).map_err(Unreadable::sqlite(doing))?;
        let Column::Uuid(id) = Column::read(id) else {
            report.fail(table.check, || "a row's id is not 16 bytes".to_owned());
            continue;
        };
        let fault = match (missing.remove(&id), wanted.get(&id)) {
            (Some(stored), _) => row_fault(case, table, row, stored)?,
            (None, Some(_)) => Some("is stored more than once".to_owned()),
            (None, None) => Some("is stored, but not in the topic".to_owned()),
        };
        if let Some(fault) = fault {
            report.fail(table.check, || format!("{} {fault}", Uuid::from_bytes(id)));
        }
    }
    let mut missing: Vec<_> = missing.into_iter().collect();
    missing.retain(|(_, stored)| is_due(case, table.topic, stored.partition, stored.offset));
    missing.sort_by_key(|(_, stored)| (stored.partition, stored.offset));
    for (id, stored) in missing {
        report.fail(table.check, || {
            let (topic, partition) = (table.topic.name(), stored.partition);
            let id = Uuid::from_bytes(*id);
            format!("{id}, {topic}/{partition}@{}, is not stored", stored.offset)
        });
    }
    Ok(())
}

/// A table that others are looked up by against the table that it is made from, both ways.
fn check_lookup(
    tables: &Connection,
    table: &'static str,
    wanted: &str,
    found: &str,
    report: &mut Report,
) -> Result<(), Unreadable> {
    let doing = "compare a table that others are looked up by";
    let check = match table {
        "escalation_by_queue" => Check::StoreEscalations,
        _ => Check::StoreDecisions,
    };
    let count = |sql: &str| -> Result<i64, Unreadable> {
        let sql = format!("SELECT count(*) FROM ({sql})");
        tables.query_row(&sql, [], |row| row.get(0)).map_err(Unreadable::sqlite(doing))
    };
    report.checked(check, count(wanted)?.unsigned_abs());
    for (faults, what) in [
        (count(&format!("{wanted} EXCEPT {found}"))?, "are missing"),
        (count(&format!("{found} EXCEPT {wanted}"))?, "are of no row"),
        (count(found)? - count(&format!("{found} INTERSECT {found}"))?, "are there twice"),
    ] {
        if faults > 0 {
            report.fail(check, || format!("{faults} rows of {table} {what}"));
        }
    }
    Ok(())
}

/// Whether the store must have this record by now.
fn is_due(case: &Case<'_>, topic: Topic, partition: u32, offset: i64) -> bool {
    !case.options.allow_behind || offset < case.bounds.committed(STORE, topic, partition)
}

fn row_fault(
    case: &Case<'_>,
    table: &Table,
    row: &Row<'_>,
    stored: &Stored,
) -> Result<Option<String>, Unreadable> {
    let sqlite = |source| Unreadable::Sqlite { doing: "read a row of the store", source };
    let last = table.columns.len() + 1;
    let ValueRef::Blob(record) = row.get_ref(last).map_err(sqlite)? else {
        return Ok(Some("is stored without its record".to_owned()));
    };
    let Some(wanted) = stored.columns_of(xxh3_128(record)) else {
        let (topic, partition, offset) = (table.topic.name(), stored.partition, stored.offset);
        let place = format!("{topic}/{partition}@{offset}");
        return Ok(Some(format!("is stored with other bytes than {place}")));
    };
    let mut found = [Column::Odd; 6];
    for (at, column) in found.iter_mut().enumerate() {
        *column = Column::read(row.get_ref(at + 1).map_err(sqlite)?);
    }
    if digest(&found) == wanted {
        return Ok(None);
    }
    let fields = case.decoders.get(&table.topic).map(|d| d.decode(record));
    let Some(Ok(fields)) = fields else {
        return Ok(Some("is stored with columns unlike its record".to_owned()));
    };
    let wanted = (table.of)(&fields);
    let at = (0..found.len()).find(|at| found[*at] != wanted[*at]);
    Ok(at.map(|at| {
        let (name, found, wanted) = (table.columns[at], found[at], wanted[at]);
        format!("is stored with {name} {found:?}, expected {wanted:?} as in its record")
    }))
}

fn check_rollups(
    case: &Case<'_>,
    tables: &Connection,
    findings: &mut Findings,
) -> Result<(), Unreadable> {
    let stored = stored_rollups(tables)?;
    let report = &mut findings.report;
    report.checked(Check::StoreRollups, findings.rollups.len() as u64);
    let none = Counts::new();
    let mut places: Vec<_> = stored.keys().chain(findings.rollups.keys()).collect();
    places.sort_unstable();
    places.dedup();
    for place in places {
        let (partition, offset) = *place;
        if !stored.contains_key(place) && !is_due(case, Topic::Rollups, partition, offset) {
            continue;
        }
        let found = stored.get(place).unwrap_or(&none);
        let wanted = findings.rollups.get(place).unwrap_or(&none);
        for (entry, found, wanted) in differences(found, wanted) {
            report.fail(Check::StoreRollups, || {
                let place = format!("{}/{partition}@{offset}", Topic::Rollups.name());
                format!("{place}: {entry} is stored as {found}, expected {wanted}")
            });
        }
    }
    Ok(())
}

fn stored_rollups(tables: &Connection) -> Result<HashMap<(u32, i64), Counts>, Unreadable> {
    let doing = "read stored roll-ups";
    let sql = "SELECT partition, offset, minute, kind, outcome, rule, count FROM rollup";
    let prepared = tables.prepare(sql);
    let mut statement = prepared.map_err(Unreadable::sqlite(doing))?;
    let rows = statement.query_map([], |row| {
        let text = |at| row.get::<_, Option<String>>(at).map(Option::unwrap_or_default);
        let entry = Entry {
            minute: row.get(2)?,
            kind: text(3)?.into(),
            outcome: text(4)?.into(),
            rule: text(5)?.into(),
        };
        Ok(((row.get(0)?, row.get(1)?), entry, row.get::<_, i64>(6)?))
    });
    let mut stored: HashMap<(u32, i64), Counts> = HashMap::new();
    for row in rows.map_err(Unreadable::sqlite(doing))? {
        let (place, entry, count) = row.map_err(Unreadable::sqlite(doing))?;
        *stored.entry(place).or_default().entry(entry).or_default() += count;
    }
    Ok(stored)
}

//! Rows as statements, a bounded number of them under way at once.
//!
//! Every statement may run twice: it names the whole row and the time it is of. That time is the
//! broker's, of the record, never a clock's: a row that is written again after a rewind changes
//! nothing, and an erase can shadow exactly what came before it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use metrics::gauge;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlTimestamp};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::error::unprepared;
use super::run::{Run, Timing};
use super::schema::{OUTCOME_BUCKETS, ROLLUP_BUCKETS};
use super::{DAY_MS, HOUR_MS, StoreError};
use crate::config::StoreCluster;
use crate::event::Millis;
use crate::sink::store::{DecisionRow, DeliveryRow, EscalationRow, RollupRow, Rows};
use crate::telemetry::metric;

/// Days of accounts whose index row is known to be there; past that they are forgotten and written
/// again.
const KNOWN_DAYS_MAX: usize = 100_000;
/// How long such a row is taken to be there: somebody may erase it, and it must outlive what it leads
/// to.
const DAY_KNOWN_FOR: Duration = Duration::from_secs(3_600);
/// Days that it is kept longer than that.
const DAY_KEPT_LONGER: u32 = 2;

/// The statements, prepared.
pub(super) struct Writer {
    decision: PreparedStatement,
    by_account: PreparedStatement,
    account_day: PreparedStatement,
    by_outcome: PreparedStatement,
    escalation: PreparedStatement,
    by_queue: PreparedStatement,
    rollup: PreparedStatement,
    delivery: PreparedStatement,
    /// hashes of accounts and days, and when their index row was written
    known_days: Mutex<HashMap<u128, Instant>>,
    timing: Timing,
}

/// One statement with what it needs.
enum Insert<'a> {
    Decision(&'a DecisionRow),
    ByAccount(&'a DecisionRow),
    AccountDay(&'a DecisionRow),
    ByOutcome(&'a DecisionRow),
    Escalation(&'a EscalationRow),
    ByQueue(&'a EscalationRow),
    Rollup(Rolled<'a>),
    Delivery(&'a DeliveryRow),
}

/// What one roll-up record counted in one minute.
struct Rolled<'a> {
    first: &'a RollupRow,
    /// by kind and outcome
    outcomes: BTreeMap<String, i64>,
    /// by kind and rule
    rules: BTreeMap<String, i64>,
}

impl Writer {
    pub(super) async fn prepare(
        session: &Session,
        cluster: &StoreCluster,
    ) -> Result<Writer, StoreError> {
        let prepare = async |table: &str, columns: &str| {
            let marks = vec!["?"; columns.split(',').count()].join(", ");
            let keyspace = &cluster.keyspace;
            let statement = format!(
                "INSERT INTO {keyspace}.{table} ({columns}) VALUES ({marks}) USING TIMESTAMP ? \
                 AND TTL ?"
            );
            let prepared = session.prepare(statement).await;
            let mut prepared =
                prepared.map_err(|error| unprepared(cluster, "prepare statements", &error))?;
            prepared.set_is_idempotent(true);
            Ok::<_, StoreError>(prepared)
        };
        Ok(Writer {
            decision: prepare(
                "decision",
                "decision_id, tenant, account_id, kind, outcome, event_time, decided_at, record",
            )
            .await?,
            by_account: prepare(
                "decision_by_account",
                "tenant, account_id, day, event_time, decision_id, kind, outcome",
            )
            .await?,
            account_day: prepare("account_day", "tenant, account_id, day").await?,
            by_outcome: prepare(
                "decision_by_outcome",
                "tenant, outcome, hour, bucket, event_time, decision_id, account_id, kind",
            )
            .await?,
            escalation: prepare(
                "escalation",
                "escalation_id, decision_id, tenant, account_id, queue, priority, created_at, record",
            )
            .await?,
            by_queue: prepare(
                "escalation_by_queue",
                "tenant, queue, day, created_at, escalation_id, priority, account_id",
            )
            .await?,
            rollup: prepare("rollup", "hour, bucket, minute, source, position, outcomes, rules")
                .await?,
            delivery: prepare(
                "delivery",
                "escalation_id, channel, status, attempts, updated_at, detail",
            )
            .await?,
            known_days: Mutex::default(),
            timing: Timing::default(),
        })
    }

    /// Writes all rows, or as many as it can before the first one that fails for good.
    pub(super) async fn write(
        &self,
        session: &Session,
        cluster: &StoreCluster,
        rows: &Rows,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let (inserts, new_days) = self.inserts(rows);
        let under_way = gauge!(metric::STORE_IN_FLIGHT);
        let run = Run { session, cluster, timing: &self.timing, under_way, now_ms };
        stream::iter(&inserts)
            .map(|insert| self.insert(&run, insert))
            .buffer_unordered(cluster.in_flight)
            .try_collect::<()>()
            .await?;
        self.remember(new_days);
        Ok(())
    }

    /// The statements for these rows, and the days whose index row is among them.
    fn inserts<'a>(&self, rows: &'a Rows) -> (Vec<Insert<'a>>, HashSet<u128>) {
        let mut inserts = Vec::with_capacity(rows.len() * 3);
        let mut new_days = HashSet::new();
        {
            let known = self.known_days.lock().unwrap_or_else(PoisonError::into_inner);
            for row in &rows.decisions {
                inserts.push(Insert::Decision(row));
                inserts.push(Insert::ByAccount(row));
                inserts.push(Insert::ByOutcome(row));
                let day = day_hash(row);
                let is_known = known.get(&day).is_some_and(|at| at.elapsed() < DAY_KNOWN_FOR);
                if !is_known && new_days.insert(day) {
                    inserts.push(Insert::AccountDay(row));
                }
            }
        }
        for row in &rows.escalations {
            inserts.push(Insert::Escalation(row));
            inserts.push(Insert::ByQueue(row));
        }
        inserts.extend(rolled(&rows.rollups).into_iter().map(Insert::Rollup));
        inserts.extend(rows.deliveries.iter().map(Insert::Delivery));
        (inserts, new_days)
    }

    fn remember(&self, new_days: HashSet<u128>) {
        let mut known = self.known_days.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + new_days.len() > KNOWN_DAYS_MAX {
            known.clear();
        }
        let now = Instant::now();
        known.extend(new_days.into_iter().take(KNOWN_DAYS_MAX).map(|day| (day, now)));
    }

    async fn insert(&self, run: &Run<'_>, insert: &Insert<'_>) -> Result<(), StoreError> {
        let ttl = &run.cluster.ttl;
        let (written_at, days) = match insert {
            Insert::Decision(row) | Insert::ByAccount(row) | Insert::ByOutcome(row) => {
                (row.written_at, ttl.decisions)
            }
            // longer than what it leads to
            Insert::AccountDay(row) => (row.written_at, ttl.decisions + DAY_KEPT_LONGER),
            Insert::Escalation(row) | Insert::ByQueue(row) => (row.written_at, ttl.escalations),
            Insert::Rollup(rolled) => (rolled.first.written_at, ttl.rollups),
            Insert::Delivery(row) => (row.updated_at, ttl.deliveries),
        };
        let Some(left) = seconds_left(written_at, days, run.now_ms) else {
            // its time was up before it came: it would be gone, had it come in time
            return Ok(());
        };
        match insert {
            Insert::Decision(row) => {
                let values = (
                    row.decision_id,
                    row.tenant.as_str(),
                    row.account_id.as_str(),
                    row.kind,
                    row.outcome,
                    time(row.event_time),
                    time(row.decided_at),
                    row.record.as_slice(),
                    micros(row.written_at),
                    left,
                );
                run.statement(&self.decision, &values).await
            }
            Insert::ByAccount(row) => {
                let values = (
                    row.tenant.as_str(),
                    row.account_id.as_str(),
                    day(row.event_time),
                    time(row.event_time),
                    row.decision_id,
                    row.kind,
                    row.outcome,
                    micros(row.written_at),
                    left,
                );
                run.statement(&self.by_account, &values).await
            }
            Insert::AccountDay(row) => {
                let values = (
                    row.tenant.as_str(),
                    row.account_id.as_str(),
                    day(row.event_time),
                    micros(row.written_at),
                    left,
                );
                run.statement(&self.account_day, &values).await
            }
            Insert::ByOutcome(row) => {
                let values = (
                    row.tenant.as_str(),
                    row.outcome,
                    time(floor(row.event_time, HOUR_MS)),
                    outcome_bucket(row.decision_id),
                    time(row.event_time),
                    row.decision_id,
                    row.account_id.as_str(),
                    row.kind,
                    micros(row.written_at),
                    left,
                );
                run.statement(&self.by_outcome, &values).await
            }
            Insert::Escalation(row) => {
                let values = (
                    row.escalation_id,
                    row.decision_id,
                    row.tenant.as_str(),
                    row.account_id.as_str(),
                    row.queue.as_str(),
                    row.priority,
                    time(row.created_at),
                    row.record.as_slice(),
                    micros(row.written_at),
                    left,
                );
                run.statement(&self.escalation, &values).await
            }
            Insert::ByQueue(row) => {
                let values = (
                    row.tenant.as_str(),
                    row.queue.as_str(),
                    day(row.created_at),
                    time(row.created_at),
                    row.escalation_id,
                    row.priority,
                    row.account_id.as_str(),
                    micros(row.written_at),
                    left,
                );
                run.statement(&self.by_queue, &values).await
            }
            Insert::Rollup(Rolled { first, outcomes, rules }) => {
                let source = i32::try_from(first.partition).unwrap_or(i32::MAX);
                let values = (
                    time(floor(first.minute, HOUR_MS)),
                    rollup_bucket(first.partition),
                    time(first.minute),
                    source,
                    first.offset,
                    outcomes,
                    rules,
                    micros(first.written_at),
                    left,
                );
                run.statement(&self.rollup, &values).await
            }
            Insert::Delivery(row) => {
                let values = (
                    row.escalation_id,
                    row.channel.as_str(),
                    row.status.as_str(),
                    i32::try_from(row.attempts).unwrap_or(i32::MAX),
                    time(row.updated_at),
                    row.detail.as_str(),
                    micros(row.updated_at),
                    left,
                );
                run.statement(&self.delivery, &values).await
            }
        }
    }
}

/// How long a row is still to be kept: it goes when it would have gone, had it been written once and
/// in time. `None`: that is over.
fn seconds_left(written_at: Millis, days: u32, now_ms: i64) -> Option<i32> {
    let until = written_at.0.saturating_add(i64::from(days) * DAY_MS);
    let seconds = until.saturating_sub(now_ms) / 1_000;
    // a record from the future is kept no longer than one of now
    i32::try_from(seconds.min(i64::from(days) * DAY_MS / 1_000)).ok().filter(|left| *left > 0)
}

fn rolled(rows: &[RollupRow]) -> Vec<Rolled<'_>> {
    let mut all: BTreeMap<(u32, i64, i64), Rolled<'_>> = BTreeMap::new();
    for row in rows {
        let rolled = all.entry((row.partition, row.offset, row.minute.0)).or_insert_with(|| {
            Rolled { first: row, outcomes: BTreeMap::new(), rules: BTreeMap::new() }
        });
        let (counts, name) = match row.rule.as_str() {
            "" => (&mut rolled.outcomes, row.outcome),
            rule => (&mut rolled.rules, rule),
        };
        *counts.entry(format!("{}/{name}", row.kind)).or_default() += row.count;
    }
    all.into_values().collect()
}

fn day_hash(row: &DecisionRow) -> u128 {
    let mut key = Vec::with_capacity(row.tenant.len() + row.account_id.len() + 16);
    key.extend_from_slice(row.tenant.as_bytes());
    key.push(0);
    key.extend_from_slice(row.account_id.as_bytes());
    key.push(0);
    key.extend_from_slice(&row.event_time.0.div_euclid(DAY_MS).to_le_bytes());
    xxh3_128(&key)
}

/// The bucket of an outcome's hour that a decision is in.
pub(super) fn outcome_bucket(id: Uuid) -> i8 {
    // the last byte of an id is as good as random
    (id.as_bytes()[15] % OUTCOME_BUCKETS) as i8
}

/// The bucket of an hour's roll-ups that a partition's are in.
pub(super) fn rollup_bucket(partition: u32) -> i8 {
    (partition % u32::from(ROLLUP_BUCKETS)) as i8
}

pub(super) fn floor(at: Millis, step: i64) -> Millis {
    Millis(at.0 - at.0.rem_euclid(step))
}

pub(super) fn time(at: Millis) -> CqlTimestamp {
    CqlTimestamp(at.0)
}

/// A day as CQL counts it: 1970-01-01 is 2^31.
pub(super) fn day(at: Millis) -> CqlDate {
    let days = at.0.div_euclid(DAY_MS) + (1 << 31);
    CqlDate(u32::try_from(days.max(0)).unwrap_or(u32::MAX))
}

/// The time a cell is of. Cassandra takes the lowest value for none.
fn micros(at: Millis) -> i64 {
    at.0.saturating_mul(1_000).max(i64::MIN + 1)
}

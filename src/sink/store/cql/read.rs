//! What is asked of the tables, page by page.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::NextRowError;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlTimestamp};
use uuid::Uuid;

use super::error::{unanswered, unprepared};
use super::schema::{OUTCOME_BUCKETS, ROLLUP_BUCKETS};
use super::write::{day, floor, time};
use super::{HOUR_MS, StoreError};
use crate::config::StoreCluster;
use crate::event::Millis;
use crate::sink::store::{DeliveryRow, RollupCount};

/// Rows of one page.
const PAGE: i32 = 1_000;
/// Questions about parts of one answer that are under way at once.
const ASKED_AT_ONCE: usize = 16;

/// The questions, prepared.
pub(super) struct Asker {
    decision: PreparedStatement,
    days: PreparedStatement,
    by_account: PreparedStatement,
    by_outcome: PreparedStatement,
    first_page: PreparedStatement,
    next_page: PreparedStatement,
    escalation: PreparedStatement,
    by_queue: PreparedStatement,
    rollups: PreparedStatement,
    deliveries: PreparedStatement,
}

impl Asker {
    pub(super) async fn prepare(
        session: &Session,
        cluster: &StoreCluster,
    ) -> Result<Asker, StoreError> {
        let prepare = async |what: &str, table: &str, rest: &str| {
            let statement = format!("SELECT {what} FROM {}.{table} {rest}", cluster.keyspace);
            let prepared = session.prepare(statement).await;
            let mut prepared =
                prepared.map_err(|error| unprepared(cluster, "prepare questions", &error))?;
            prepared.set_is_idempotent(true);
            prepared.set_page_size(PAGE);
            Ok::<_, StoreError>(prepared)
        };
        Ok(Asker {
            decision: prepare("record, outcome", "decision", "WHERE decision_id = ?").await?,
            days: prepare("day", "account_day", "WHERE tenant = ? AND account_id = ? AND day <= ?")
                .await?,
            by_account: prepare(
                "decision_id",
                "decision_by_account",
                "WHERE tenant = ? AND account_id = ? AND day = ? AND event_time < ?",
            )
            .await?,
            by_outcome: prepare(
                "event_time, decision_id",
                "decision_by_outcome",
                "WHERE tenant = ? AND outcome = ? AND hour = ? AND bucket = ?",
            )
            .await?,
            first_page: prepare("decision_id, record", "decision", "LIMIT ?").await?,
            next_page: prepare(
                "decision_id, record",
                "decision",
                "WHERE token(decision_id) >= token(?) LIMIT ?",
            )
            .await?,
            escalation: prepare("record", "escalation", "WHERE escalation_id = ?").await?,
            by_queue: prepare(
                "escalation_id",
                "escalation_by_queue",
                "WHERE tenant = ? AND queue = ? AND day = ?",
            )
            .await?,
            rollups: prepare(
                "minute, outcomes, rules",
                "rollup",
                "WHERE hour = ? AND bucket = ? AND minute >= ? AND minute < ?",
            )
            .await?,
            deliveries: prepare(
                "channel, status, attempts, updated_at, detail",
                "delivery",
                "WHERE escalation_id = ?",
            )
            .await?,
        })
    }
}

/// Records that are asked for one by one, in that order; one that is kept no more is left out.
async fn records(
    questions: impl Iterator<Item = impl Future<Output = Result<Option<Vec<u8>>, StoreError>>>,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let records: Vec<Option<Vec<u8>>> =
        stream::iter(questions).buffered(ASKED_AT_ONCE).try_collect().await?;
    Ok(records.into_iter().flatten().collect())
}

/// One conversation with the cluster.
pub(super) struct Asking<'a> {
    pub(super) session: &'a Session,
    pub(super) cluster: &'a StoreCluster,
    pub(super) asker: &'a Asker,
}

impl Asking<'_> {
    /// All rows of an answer, or the first `limit` of them.
    async fn rows<R>(
        &self,
        statement: &PreparedStatement,
        values: impl SerializeRow,
        limit: usize,
    ) -> Result<Vec<R>, StoreError>
    where
        R: for<'f, 'm> DeserializeRow<'f, 'm> + Send + 'static,
    {
        let pager = self.session.execute_iter(statement.clone(), values).await;
        let pager = pager.map_err(|error| unanswered(self.cluster, &error))?;
        let rows = pager.rows_stream::<R>().map_err(|error| StoreError::Answer {
            doing: "read rows",
            reason: error.to_string(),
        })?;
        let rows: Result<Vec<R>, NextRowError> = rows.take(limit).try_collect().await;
        rows.map_err(|error| unanswered(self.cluster, &error))
    }

    pub(super) async fn decision(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.decided(id).await?.map(|(record, _)| record))
    }

    /// A decision's record and outcome.
    async fn decided(&self, id: Uuid) -> Result<Option<(Vec<u8>, String)>, StoreError> {
        let rows = self.rows::<(Vec<u8>, String)>(&self.asker.decision, (id,), 1).await?;
        Ok(rows.into_iter().next())
    }

    pub(super) async fn escalation(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.rows::<(Vec<u8>,)>(&self.asker.escalation, (id,), 1).await?;
        Ok(rows.into_iter().next().map(|(record,)| record))
    }

    pub(super) async fn decisions_of(
        &self,
        tenant: &str,
        account_id: &str,
        before: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let mut ids: Vec<Uuid> = Vec::new();
        let key = (tenant, account_id, day(before));
        let days = self.rows::<(CqlDate,)>(&self.asker.days, key, usize::MAX).await?;
        for (day,) in days {
            if ids.len() >= limit {
                break;
            }
            let key = (tenant, account_id, day, time(before));
            let left = limit - ids.len();
            let rows = self.rows::<(Uuid,)>(&self.asker.by_account, key, left).await?;
            ids.extend(rows.into_iter().map(|(id,)| id));
        }
        records(ids.into_iter().map(|id| self.decision(id))).await
    }

    pub(super) async fn decisions_with(
        &self,
        tenant: &str,
        outcome: &str,
        hour: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let hour = time(floor(hour, HOUR_MS));
        let buckets: Vec<Vec<(CqlTimestamp, Uuid)>> = stream::iter(0..OUTCOME_BUCKETS)
            .map(|bucket| {
                let key = (tenant, outcome, hour, bucket as i8);
                self.rows::<(CqlTimestamp, Uuid)>(&self.asker.by_outcome, key, limit)
            })
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await?;
        let mut found: Vec<(i64, Uuid)> =
            buckets.into_iter().flatten().map(|(at, id)| (at.0, id)).collect();
        found.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut records = Vec::new();
        let decided = stream::iter(found).map(|(_, id)| self.decided(id)).buffered(ASKED_AT_ONCE);
        let mut decided = std::pin::pin!(decided);
        while records.len() < limit
            && let Some(found) = decided.try_next().await?
        {
            // one that was decided again, otherwise, leaves its first row behind here
            records.extend(found.filter(|(_, now)| now == outcome).map(|(record, _)| record));
        }
        Ok(records)
    }

    pub(super) async fn page(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<(Uuid, Vec<u8>)>, StoreError> {
        let asked = |limit: usize| i32::try_from(limit).unwrap_or(i32::MAX);
        let Some(after) = after else {
            return self.rows(&self.asker.first_page, (asked(limit),), limit).await;
        };
        // begins with the last one of the page before, and those of its token that came before it
        let more = limit.saturating_add(8);
        let key = (after, asked(more));
        let rows = self.rows::<(Uuid, Vec<u8>)>(&self.asker.next_page, key, more).await?;
        let next = rows.iter().position(|(id, _)| *id == after).map_or(0, |at| at + 1);
        Ok(rows.into_iter().skip(next).take(limit).collect())
    }

    pub(super) async fn escalations_of(
        &self,
        tenant: &str,
        queue: &str,
        on: Millis,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let key = (tenant, queue, day(on));
        let ids = self.rows::<(Uuid,)>(&self.asker.by_queue, key, limit).await?;
        records(ids.into_iter().map(|(id,)| self.escalation(id))).await
    }

    pub(super) async fn rollups(
        &self,
        from: Millis,
        until: Millis,
    ) -> Result<Vec<RollupCount>, StoreError> {
        type Counts = Option<BTreeMap<String, i64>>;
        type Row = (CqlTimestamp, Counts, Counts);
        let hours = (floor(from, HOUR_MS).0..until.0).step_by(HOUR_MS as usize);
        let parts = hours.flat_map(|hour| (0..ROLLUP_BUCKETS).map(move |bucket| (hour, bucket)));
        let rows: Vec<Vec<Row>> = stream::iter(parts)
            .map(|(hour, bucket)| {
                let key = (CqlTimestamp(hour), bucket as i8, time(from), time(until));
                self.rows::<Row>(&self.asker.rollups, key, usize::MAX)
            })
            .buffered(ASKED_AT_ONCE)
            .try_collect()
            .await?;
        let mut sums: BTreeMap<RollupCount, i64> = BTreeMap::new();
        for (minute, outcomes, rules) in rows.into_iter().flatten() {
            let mut add = |name: &str, count: i64, is_rule: bool| {
                let (kind, name) = name.split_once('/').unwrap_or((name, ""));
                let (outcome, rule) = if is_rule { ("", name) } else { (name, "") };
                let key = RollupCount {
                    minute: Millis(minute.0),
                    kind: kind.to_owned(),
                    outcome: outcome.to_owned(),
                    rule: rule.to_owned(),
                    count: 0,
                };
                *sums.entry(key).or_default() += count;
            };
            outcomes.iter().flatten().for_each(|(name, count)| add(name, *count, false));
            rules.iter().flatten().for_each(|(name, count)| add(name, *count, true));
        }
        Ok(sums.into_iter().map(|(key, count)| RollupCount { count, ..key }).collect())
    }

    pub(super) async fn deliveries_of(
        &self,
        escalation_id: Uuid,
    ) -> Result<Vec<DeliveryRow>, StoreError> {
        type Row = (String, String, i32, CqlTimestamp, String);
        let rows = self.rows::<Row>(&self.asker.deliveries, (escalation_id,), usize::MAX).await?;
        Ok(rows
            .into_iter()
            .map(|(channel, status, attempts, updated_at, detail)| DeliveryRow {
                escalation_id,
                channel,
                status,
                attempts: attempts.unsigned_abs(),
                updated_at: Millis(updated_at.0),
                detail,
            })
            .collect())
    }
}

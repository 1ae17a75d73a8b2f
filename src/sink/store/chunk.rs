//! Records as rows: what one write of the sink holds, and how far it reaches.

use std::collections::BTreeMap;

use metrics::counter;
use uuid::Uuid;

use super::letters::Letters;
use super::{DecisionRow, DeliveryRow, EscalationRow, RollupRow, Rows};
use crate::codec::{Contract, EncodeError, OwnError, RegistryError, decode_own, erased_by};
use crate::event::{Decision, Delivery, Escalation, Millis, Position, Rollup, Topic};
use crate::log::Record;
use crate::telemetry::metric;

/// Why records are no rows.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// the schema of a record cannot be had now
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// a dead letter does not fit its contract: a defect
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("{position}: unreadable record of weir's own: {what}")]
    Unreadable { position: Position, what: String },
}

/// Records of one partition within a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    /// the offset after the last one
    pub(super) next: i64,
    /// when the first one was written, milliseconds
    pub(super) first_written: i64,
    /// when the last one was
    pub(super) last_written: i64,
}

/// What one write of the sink holds.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) rows: Rows,
    /// tombstones of accounts among the records: they are no rows, and what is stored stays
    pub(super) skipped: u64,
    pub(super) spans: BTreeMap<(Topic, u32), Span>,
}

impl Chunk {
    /// The rows of these records; one that can never be stored becomes a letter.
    ///
    /// # Errors
    /// When a record cannot be read.
    pub(super) fn of(
        records: &[Record],
        bytes_max: usize,
        now: Millis,
        letters: &mut Letters,
    ) -> Result<Chunk, Unread> {
        let mut chunk = Chunk::default();
        letters.clear();
        for record in records {
            let Position { topic, partition, offset } = record.position;
            let written = record.timestamp_ms;
            let first = Span { next: 0, first_written: written, last_written: written };
            let span = chunk.spans.entry((topic, partition)).or_insert(first);
            span.next = offset + 1;
            span.last_written = written;
            if topic == Topic::Escalations && erased_by(record).is_some() {
                chunk.skipped += 1;
            } else if letters.pass(record, bytes_max, now)? {
                add(record, &mut chunk.rows)?;
            }
        }
        Ok(chunk)
    }

    /// Where the sink goes on once this is stored.
    pub(super) fn positions(&self) -> Vec<Position> {
        let position = |(&(topic, partition), span): (&(Topic, u32), &Span)| Position {
            topic,
            partition,
            offset: span.next,
        };
        self.spans.iter().map(position).collect()
    }
}

/// Counts rows that were stored.
pub(super) fn count(rows: &Rows) {
    for (table, count) in [
        ("decision", rows.decisions.len()),
        ("escalation", rows.escalations.len()),
        ("rollup", rows.rollups.len()),
        ("delivery", rows.deliveries.len()),
    ] {
        if count > 0 {
            counter!(metric::STORE_ROWS, "table" => table).increment(count as u64);
        }
    }
}

/// Adds the rows of a record.
///
/// # Errors
/// When it cannot be read, or its schema cannot be had.
fn add(record: &Record, rows: &mut Rows) -> Result<(), Unread> {
    let position = record.position;
    let written_at = Millis(record.timestamp_ms);
    let unreadable = |what: String| Unread::Unreadable { position, what };
    let unread = |error: OwnError| match error {
        OwnError::Unreadable(what) => unreadable(what),
        OwnError::Unavailable(error) => Unread::Registry(error),
    };
    let id = |text: &str| Uuid::parse_str(text).map_err(|error| unreadable(error.to_string()));
    match position.topic {
        Topic::Decisions => {
            let decision: Decision<'_> =
                decode_own(Contract::Decision, record.payload()).map_err(unread)?;
            rows.decisions.push(DecisionRow {
                decision_id: id(&decision.decision_id)?,
                tenant: decision.tenant.to_string(),
                account_id: decision.account_id.to_string(),
                kind: decision.kind.name(),
                outcome: decision.outcome.name(),
                event_time: decision.event_time,
                decided_at: decision.decided_at,
                written_at,
                record: record.payload().to_vec(),
            });
        }
        Topic::Escalations => {
            let escalation: Escalation<'_> =
                decode_own(Contract::Escalation, record.payload()).map_err(unread)?;
            rows.escalations.push(EscalationRow {
                escalation_id: id(&escalation.escalation_id)?,
                decision_id: id(&escalation.decision_id)?,
                tenant: escalation.tenant.to_string(),
                account_id: escalation.account_id.to_string(),
                queue: escalation.queue.to_string(),
                priority: escalation.priority,
                created_at: escalation.created_at,
                written_at,
                record: record.payload().to_vec(),
            });
        }
        Topic::Deliveries => {
            let delivery: Delivery<'_> =
                decode_own(Contract::Delivery, record.payload()).map_err(unread)?;
            rows.deliveries.push(DeliveryRow {
                escalation_id: id(&delivery.escalation_id)?,
                channel: delivery.channel.to_string(),
                status: delivery.status.to_string(),
                attempts: u32::try_from(delivery.attempts).unwrap_or(0),
                updated_at: delivery.updated_at,
                detail: delivery.detail.to_string(),
            });
        }
        _ => {
            let rollup: Rollup = decode_own(Contract::Rollup, record.payload()).map_err(unread)?;
            add_rollup(position, written_at, rollup, rows);
        }
    }
    Ok(())
}

fn add_rollup(position: Position, written_at: Millis, rollup: Rollup, rows: &mut Rows) {
    let Position { partition, offset, .. } = position;
    let outcomes = rollup.outcomes.into_iter().map(|entry| RollupRow {
        partition,
        offset,
        written_at,
        minute: entry.minute,
        kind: entry.kind.name(),
        outcome: entry.outcome.name(),
        rule: String::new(),
        count: entry.count,
    });
    let rules = rollup.rules.into_iter().map(|entry| RollupRow {
        partition,
        offset,
        written_at,
        minute: entry.minute,
        kind: entry.kind.name(),
        outcome: "",
        rule: entry.rule,
        count: entry.count,
    });
    rows.rollups.extend(outcomes.chain(rules));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::ERASE_HEADER;

    #[test]
    fn a_tombstone_among_escalations_is_no_row_and_is_passed() {
        let at = |topic, offset| Position { topic, partition: 0, offset };
        let headers = vec![(ERASE_HEADER.to_owned(), b"a test".to_vec())];
        let key = Some(&b"default/a"[..]);
        let tombstone = Record::new(at(Topic::Escalations, 7), 5, key, b"", headers.clone());
        let mut letters = Letters::new();
        let chunk = Chunk::of(&[tombstone], 100, Millis(0), &mut letters).unwrap();
        assert_eq!((chunk.skipped, chunk.rows.escalations.len()), (1, 0));
        assert_eq!(chunk.positions(), [at(Topic::Escalations, 8)]);
        // nobody writes one there, and without the header nothing cannot be read
        let strange = Record::new(at(Topic::Decisions, 7), 5, key, b"", headers);
        assert!(Chunk::of(&[strange], 100, Millis(0), &mut letters).is_err());
        let nothing = Record::new(at(Topic::Escalations, 7), 5, key, b"", Vec::new());
        assert!(Chunk::of(&[nothing], 100, Millis(0), &mut letters).is_err());
    }
}

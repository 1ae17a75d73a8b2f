//! How far the store sink is behind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use metrics::gauge;

use super::chunk::Chunk;
use super::pump::{SINK, of_topics};
use crate::event::{Position, Topic};
use crate::log::{Backlog, Log};
use crate::telemetry::{Clock, metric};

/// How often it is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// How far the sink is behind, over everything it owns.
#[derive(Default)]
pub(super) struct Lag {
    next: BTreeMap<(Topic, u32), i64>,
    /// when the record of each partition that was stored last was written, before the first one that
    /// of the record to be stored
    written: BTreeMap<(Topic, u32), i64>,
    measured: Option<Instant>,
    backlog: Backlog,
}

impl Lag {
    /// Partitions are taken up at these positions.
    pub(super) fn assigned(&mut self, positions: &[Position]) {
        let key = |position: &Position| ((position.topic, position.partition), position.offset);
        self.next.extend(positions.iter().map(key));
    }

    /// Partitions are somebody else's now.
    pub(super) fn revoked(&mut self, partitions: &[u32]) {
        self.next.retain(|(_, partition), _| !partitions.contains(partition));
        self.written.retain(|(_, partition), _| !partitions.contains(partition));
        for key in of_topics(partitions) {
            self.backlog.forget(key);
        }
        if self.next.is_empty() {
            tell_lag(0, 0);
        }
    }

    /// A chunk is about to be stored.
    pub(super) fn took(&mut self, chunk: &Chunk) {
        for (key, span) in &chunk.spans {
            self.written.entry(*key).or_insert(span.first_written);
        }
    }

    /// A chunk was stored, its positions committed.
    pub(super) fn stored(&mut self, chunk: &Chunk) {
        for (key, span) in &chunk.spans {
            self.next.insert(*key, span.next);
            self.written.insert(*key, span.last_written);
        }
    }

    /// Everything it owns.
    pub(super) fn owned(&self) -> Vec<(Topic, u32)> {
        self.next.keys().copied().collect()
    }

    /// Tells it, once in a while. A log that does not answer is told by the work itself.
    pub(super) fn measure(&mut self, log: &dyn Log, clock: &Clock) {
        if self.next.is_empty() || self.measured.is_some_and(|at| at.elapsed() < LAG_EVERY) {
            return;
        }
        self.measured = Some(Instant::now());
        let Ok(ends) = log.ends(&self.owned()) else { return };
        let now = clock.now_ms();
        let (mut records, mut age_ms) = (0, 0);
        for ((key, next), end) in self.next.iter().zip(ends) {
            let left = self.backlog.left(*key, *next, end);
            records += left;
            if let Some(written) = self.written.get(key).filter(|_| left > 0) {
                age_ms = age_ms.max(now - written);
            }
        }
        tell_lag(records, age_ms);
    }
}

fn tell_lag(records: i64, age_ms: i64) {
    gauge!(metric::SINK_LAG_RECORDS, "sink" => SINK).set(records as f64);
    gauge!(metric::SINK_LAG_SECONDS, "sink" => SINK).set(age_ms as f64 / 1e3);
}

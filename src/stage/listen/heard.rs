//! Until when everything that any partition committed has been heard: what a decision says of the age of
//! the profiles that it read.
//!
//! A touch says it of its partition. A partition that takes nothing writes no touches: of one that is
//! silent the log is asked where it ends, beside the listening, since a broker that does not answer must
//! not keep the others from being heard.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::gauge;

use crate::event::{Millis, Position, Topic};
use crate::log::{Log, LogError};
use crate::state::Profiles;
use crate::telemetry::{Clock, Stop, metric};

/// How long a partition says nothing before the log is asked, and how long until it is asked again.
const SILENT: Duration = Duration::from_secs(1);

/// Until when each partition has been heard, shared by who listens and who asks.
#[derive(Clone, Debug)]
pub struct Heard {
    profiles: Arc<Profiles>,
    partitions: Arc<Mutex<Partitions>>,
}

#[derive(Debug, Default)]
struct Partitions {
    all: Vec<Partition>,
    /// whether everything that was committed before the start has been heard
    complete: bool,
}

#[derive(Clone, Copy, Debug)]
struct Partition {
    /// offset that is heard next
    next: i64,
    /// what was committed before has been heard, milliseconds since 1970
    until: i64,
    /// an end of the log before which nothing was left to hear
    settled: i64,
}

impl Heard {
    /// Nothing of any partition was heard.
    pub fn new(profiles: Arc<Profiles>) -> Heard {
        Heard { profiles, partitions: Arc::default() }
    }

    fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins at these positions, one for each partition in their order. What is to be heard before any
    /// of it counts was committed before `now_ms`.
    pub fn begin(&self, first: &[i64], now_ms: i64) {
        let partition = |next: &i64| Partition { next: *next, until: now_ms, settled: i64::MIN };
        let all = first.iter().map(partition).collect();
        *self.partitions() = Partitions { all, complete: false };
        self.profiles.hear(None);
    }

    /// What was committed before the beginning has all been heard.
    pub fn complete(&self) {
        let mut partitions = self.partitions();
        partitions.complete = true;
        self.tell(&partitions);
    }

    /// A touch was taken up; what had been decided before it, as far as it says.
    pub fn touch(&self, position: Position, decided_until: Option<Millis>) {
        let mut partitions = self.partitions();
        if let Some(partition) = partitions.all.get_mut(position.partition as usize) {
            partition.next = position.offset + 1;
            partition.until = partition.until.max(decided_until.map_or(i64::MIN, |until| until.0));
        }
        self.tell(&partitions);
    }

    fn tell(&self, partitions: &Partitions) {
        let until = partitions.all.iter().map(|partition| partition.until).min();
        if let Some(until) = until.filter(|_| partitions.complete) {
            self.profiles.hear(Some(until));
            gauge!(metric::PROFILES_HEARD).set(until as f64 / 1_000.0);
        }
    }

    /// Starts to ask of silent partitions, until a stop is wanted.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn ask(
        self,
        log: Arc<dyn Log>,
        clock: Clock,
        stop: Stop,
    ) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("weir-heard".into()).spawn(move || {
            while !stop.wait(SILENT) {
                if let Err(error) = self.ask_once(log.as_ref(), clock.now_ms()) {
                    // the age that decisions tell grows meanwhile
                    tracing::debug!(%error, "no end of silent partitions");
                }
            }
        })
    }

    /// Asks where the silent partitions end: one of which nothing is left to hear was heard until now.
    fn ask_once(&self, log: &dyn Log, now_ms: i64) -> Result<(), LogError> {
        let silent_ms = i64::try_from(SILENT.as_millis()).unwrap_or(i64::MAX);
        let known = self.partitions().all.clone();
        let silent: Vec<(Topic, u32)> = (0u32..)
            .zip(&known)
            .filter(|(_, partition)| now_ms.saturating_sub(partition.until) >= silent_ms)
            .map(|(number, _)| (Topic::Touches, number))
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        for ((topic, number), end) in silent.iter().zip(log.ends(&silent)?) {
            let Some(before) = known.get(*number as usize) else { continue };
            // marks of transactions at an end are never heard
            let is_settled = before.next >= end
                || before.settled == end
                || before.next >= log.record_end(*topic, *number)?;
            let mut partitions = self.partitions();
            if let Some(partition) = partitions.all.get_mut(*number as usize)
                && is_settled
            {
                partition.settled = end;
                partition.until = partition.until.max(now_ms);
            }
        }
        self.tell(&self.partitions());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::RecordBatch;
    use crate::log::embedded::{EmbeddedLog, Options};

    #[test]
    fn the_partition_that_was_heard_least_decides_and_a_silent_one_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { partitions: 2, durable: false, pages_max: None };
        let log = EmbeddedLog::open(folder.path(), &options).unwrap();
        let profiles = Arc::new(Profiles::default());
        let heard = Heard::new(Arc::clone(&profiles));
        let touch = |partition, offset, until| {
            let position = Position { topic: Topic::Touches, partition, offset };
            heard.touch(position, Some(Millis(until)));
        };
        heard.begin(&[0, 0], 10_000);
        touch(0, 0, 9_000);
        assert_eq!(profiles.heard_until(), None, "there is more from before the start");
        heard.complete();
        assert_eq!(profiles.heard_until(), Some(10_000));
        touch(0, 1, 20_000);
        assert_eq!(profiles.heard_until(), Some(10_000), "the other one has said nothing");
        touch(1, 0, 19_000);
        assert_eq!(profiles.heard_until(), Some(19_000));
        // what cannot be read says nothing of what was decided
        heard.touch(Position { topic: Topic::Touches, partition: 1, offset: 1 }, None);
        assert_eq!(profiles.heard_until(), Some(19_000));

        // nothing is on the log that was not heard
        heard.ask_once(&log, 20_500).unwrap();
        assert_eq!(profiles.heard_until(), Some(20_000), "partition 0 is not silent yet");
        heard.ask_once(&log, 30_000).unwrap();
        assert_eq!(profiles.heard_until(), Some(30_000));
        // two records are, one more than was heard
        let mut batch = RecordBatch::default();
        for _ in 0..3 {
            batch.push(Topic::Touches, 1, 40_000, b"", b"");
        }
        log.appender().unwrap().append(&batch).unwrap();
        heard.ask_once(&log, 50_000).unwrap();
        assert_eq!(profiles.heard_until(), Some(30_000), "there is one more to hear");
        touch(1, 2, 45_000);
        assert_eq!(profiles.heard_until(), Some(45_000));
        heard.ask_once(&log, 60_000).unwrap();
        assert_eq!(profiles.heard_until(), Some(60_000));
    }
}

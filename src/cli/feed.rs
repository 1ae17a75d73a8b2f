//! Events into topics: what generating, replaying and the demo share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Exit, Failure};
use crate::codec::Encoder;
use crate::event::Event;
use crate::log::{Appender, Log, RecordBatch, partition_of};
use crate::telemetry::Stop;

/// Encodes events and appends them in batches, each to the partition of its account.
pub(super) struct Feed {
    appender: Box<dyn Appender>,
    encoder: Encoder,
    batch: RecordBatch,
    partitions: u32,
}

impl Feed {
    pub(super) fn new(log: &Arc<dyn Log>) -> Result<Feed, Failure> {
        let topic = crate::event::Topic::Transactions;
        Ok(Feed {
            appender: log.appender()?,
            encoder: Encoder::of_process(),
            batch: RecordBatch::default(),
            partitions: log.partitions(topic)?,
        })
    }

    /// Adds an event, written at `now_ms`.
    pub(super) fn push(&mut self, event: &Event<'_>, now_ms: i64) -> Result<(), Failure> {
        let key = event.key();
        let partition = partition_of(key.as_bytes(), self.partitions);
        let topic = event.kind().topic();
        let encoder = &mut self.encoder;
        self.batch
            .push_with(topic, partition, now_ms, key.as_bytes(), |out| {
                encoder.encode_event(event, out)
            })
            .map_err(|error| Failure::new(Exit::Failed, error))
    }

    /// Events added and not yet appended.
    pub(super) fn pending(&self) -> usize {
        self.batch.len()
    }

    /// Appends what was added and waits until it is durable.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if !self.batch.is_empty() {
            self.appender.append(&self.batch)?;
            self.batch.clear();
        }
        Ok(())
    }
}

/// The shortest pause worth taking: below it, events go out in small groups.
const NAP_MIN: Duration = Duration::from_millis(5);

/// Paces an open loop: events are due by the clock, whether or not the receiver keeps up; a late
/// receiver gets them late and all, never fewer.
pub(super) struct Pacer {
    began: Instant,
    rate: Option<f64>,
    number: u64,
    stop: Stop,
}

impl Pacer {
    /// `rate` events per second; without one, flat out.
    pub(super) fn new(rate: Option<f64>) -> Pacer {
        let rate = rate.filter(|rate| *rate > 0.0);
        Pacer { began: Instant::now(), rate, number: 0, stop: Stop::default() }
    }

    /// The same, ending its naps when a stop is wanted.
    pub(super) fn with_stop(mut self, stop: Stop) -> Pacer {
        self.stop = stop;
        self
    }

    /// Counts the next event; how much too early it is, if that is worth a nap.
    pub(super) fn next(&mut self) -> Option<Duration> {
        let number = self.number;
        self.number += 1;
        let due = Duration::from_secs_f64(number as f64 / self.rate?);
        let early = due.saturating_sub(self.began.elapsed());
        (early >= NAP_MIN).then_some(early)
    }

    /// When the event counted last was due.
    pub(super) fn due(&self) -> Instant {
        let number = self.number.saturating_sub(1);
        self.rate.map_or_else(Instant::now, |rate| {
            self.began + Duration::from_secs_f64(number as f64 / rate)
        })
    }

    /// Waits.
    pub(super) fn nap(&self, early: Duration) {
        self.stop.wait(early);
    }
}

//! Lag: where the inputs end, less where the workers are; and the pressure that follows from it.
//!
//! Measured by weir itself, on a thread of its own: Kafka's client knows old ends only while
//! transactions are written, and asking must not hold up a worker.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::gauge;

use super::pressure::{Gauge, Pressure};
use crate::event::{Millis, Topic};
use crate::log::{Backlog, Log};
use crate::telemetry::{Clock, Stop, metric};

/// How often lag is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// Where a worker is in one input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// whose it is
    pub worker: u32,
    /// the offset after the record taken last
    pub next: i64,
    /// time of the event taken last
    pub event_time: Option<Millis>,
    /// when that record was written; `None` before the first
    pub written: Option<Millis>,
}

/// Where all workers of a process are.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<HashMap<(Topic, u32), Place>>>);

impl Progress {
    /// A worker says where it is.
    pub fn put(&self, places: impl Iterator<Item = ((Topic, u32), Place)>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(places);
    }

    /// A worker owns these partitions no more; `None`: none at all.
    pub fn forget(&self, worker: u32, partition: Option<u32>) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.retain(|(_, of), place| {
            place.worker != worker || partition.is_some_and(|gone| gone != *of)
        });
    }

    fn snapshot(&self) -> BTreeMap<(Topic, u32), Place> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter().map(|(key, place)| (*key, *place)).collect()
    }
}

/// Lag of the partitions that one worker owns of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lag {
    records: i64,
    /// age of the event decided about last, where more are waiting
    seconds: f64,
    /// how long that record had been on the log
    wait: Duration,
}

#[derive(Debug, Default)]
struct Meter {
    backlog: Backlog,
}

impl Meter {
    fn measure(
        &mut self,
        places: &BTreeMap<(Topic, u32), Place>,
        ends: &[i64],
        now: Millis,
    ) -> BTreeMap<(u32, Topic), Lag> {
        let mut lags: BTreeMap<(u32, Topic), Lag> = BTreeMap::new();
        for ((key, place), end) in places.iter().zip(ends) {
            let lag = lags.entry((place.worker, key.0)).or_default();
            let left = self.backlog.left(*key, place.next, *end);
            if left == 0 {
                continue;
            }
            lag.records += left;
            if let Some(time) = place.event_time {
                lag.seconds = lag.seconds.max((now.0 - time.0).max(0) as f64 / 1e3);
            }
            if let Some(written) = place.written {
                let wait = u64::try_from(now.0 - written.0).unwrap_or(0);
                lag.wait = lag.wait.max(Duration::from_millis(wait));
            }
        }
        lags
    }
}

/// Starts to measure, until a stop is wanted.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    log: Arc<dyn Log>,
    progress: Progress,
    clock: Clock,
    stop: Stop,
    pressure: Option<(Pressure, Duration)>,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("weir-lag".into()).spawn(move || {
        let mut meter = Meter::default();
        let mut told: BTreeSet<(u32, Topic)> = BTreeSet::new();
        let mut steps = 0;
        let mut valve = pressure.map(|(pressure, wait)| Gauge::new(pressure, wait));
        while !stop.wait(MEASURE) {
            let places = progress.snapshot();
            let wanted: Vec<(Topic, u32)> = places.keys().copied().collect();
            // a log that does not answer is told by those who work with it
            let Ok(ends) = log.ends(&wanted) else { continue };
            let mut lags = meter.measure(&places, &ends, Millis(clock.now_ms()));
            // what a worker has given up is nobody's lag here
            for key in &told {
                lags.entry(*key).or_default();
            }
            export(&lags);
            told = lags.keys().copied().collect();
            if let Some(valve) = &mut valve {
                let wait = lags.values().map(|lag| lag.wait).max().unwrap_or_default();
                let now = valve.measured(wait);
                gauge!(metric::PRESSURE).set(now as f64);
                if now != steps {
                    tracing::warn!(?wait, steps = now, before = steps, "pressure has changed");
                    steps = now;
                }
            }
        }
    })
}

fn export(lags: &BTreeMap<(u32, Topic), Lag>) {
    for ((worker, topic), lag) in lags {
        let labels = [("worker", worker.to_string()), ("topic", topic.name().to_owned())];
        gauge!(metric::LAG_RECORDS, &labels).set(lag.records as f64);
        gauge!(metric::LAG_SECONDS, &labels).set(lag.seconds);
        gauge!(metric::LAG_WAIT_SECONDS, &labels).set(lag.wait.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (Topic, u32) = (Topic::Chats, 3);

    fn at(next: i64) -> BTreeMap<(Topic, u32), Place> {
        let (time, written) = (Some(Millis(1_000)), Some(Millis(5_000)));
        BTreeMap::from([(KEY, Place { worker: 1, next, event_time: time, written })])
    }

    #[test]
    fn lag_is_what_waits_and_since_when() {
        let lags = Meter::default().measure(&at(10), &[25], Millis(9_000));
        let lag = lags[&(1, Topic::Chats)];
        assert_eq!((lag.records, lag.seconds, lag.wait), (15, 8.0, Duration::from_secs(4)));
        let lags = Meter::default().measure(&at(25), &[25], Millis(9_000));
        assert_eq!(lags[&(1, Topic::Chats)], Lag::default());
    }

    #[test]
    fn what_a_worker_gave_up_is_not_measured() {
        let progress = Progress::default();
        progress.put(at(1).into_iter());
        progress.forget(2, None);
        progress.forget(1, Some(4));
        assert_eq!(progress.snapshot().len(), 1);
        progress.forget(1, Some(3));
        assert_eq!(progress.snapshot().len(), 0);
    }
}

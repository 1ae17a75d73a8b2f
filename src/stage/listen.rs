//! What every process hears, whichever partitions it owns: touches of all partitions, and control.
//!
//! Both are read without a group, each process for itself: touches from now on, control from its
//! beginning. What is heard is counted, and how old a touch is when it gets here is measured.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::{counter, histogram};

use crate::codec::{Contract, decode_own};
use crate::config::limits;
use crate::event::{Position, Topic, Touch};
use crate::log::{Log, LogError, Record, Restarts, every_partition};
use crate::telemetry::{Clock, Stop, metric};

/// Starts to listen, until a stop is wanted.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(log: Arc<dyn Log>, clock: Clock, stop: Stop) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("weir-listen".into()).spawn(move || {
        let mut at: Vec<Position> = Vec::new();
        let mut restarts = Restarts::begin("listen");
        while !stop.is_stopped() {
            let Err(error) = listen(log.as_ref(), &clock, &stop, &mut at) else {
                return;
            };
            let pause = restarts.pause("log");
            tracing::warn!(%error, ?pause, "touches are not heard, listening again");
            if stop.wait(pause) {
                return;
            }
        }
    })
}

/// Where listening begins: touches at their ends, control at its beginning.
fn beginning(log: &dyn Log) -> Result<Vec<Position>, LogError> {
    let touches = every_partition(log, &[Topic::Touches])?;
    let control = every_partition(log, &[Topic::Control])?;
    let offsets = log.ends(&touches)?.into_iter().chain(log.beginnings(&control)?);
    let position = |((topic, partition), offset): (&(Topic, u32), i64)| Position {
        topic: *topic,
        partition: *partition,
        offset,
    };
    Ok(touches.iter().chain(&control).zip(offsets).map(position).collect())
}

fn listen(
    log: &dyn Log,
    clock: &Clock,
    stop: &Stop,
    at: &mut Vec<Position>,
) -> Result<(), LogError> {
    if at.is_empty() {
        *at = beginning(log)?;
    }
    let mut follower = log.follow(at)?;
    let mut records = Vec::new();
    while !stop.is_stopped() {
        follower.poll(limits().poll_wait, &mut records)?;
        for record in records.drain(..) {
            hear(&record, clock.now_ms());
            let same = |known: &&mut Position| {
                (known.topic, known.partition) == (record.position.topic, record.position.partition)
            };
            if let Some(known) = at.iter_mut().find(same) {
                known.offset = record.position.offset + 1;
            }
        }
    }
    Ok(())
}

fn hear(record: &Record, now_ms: i64) {
    let position = record.position;
    counter!(metric::HEARD, "topic" => position.topic.name()).increment(1);
    if position.topic != Topic::Touches {
        return;
    }
    let age = u64::try_from(now_ms - record.timestamp_ms).unwrap_or(0);
    histogram!(metric::TOUCH_AGE_SECONDS).record(Duration::from_millis(age).as_secs_f64());
    match decode_own::<Touch<'_>>(Contract::Touch, record.payload()) {
        Ok(touch) => counter!(metric::TOUCHED).increment(touch.events.len() as u64),
        Err(error) => tracing::error!(%position, %error, "unreadable touches"),
    }
}

//! Takes the changes of what decides from `weir.control`, one after another, and posts what comes of them.
//!
//! Everything slow happens here: contents are fetched, parsed, compiled and freed on this thread, and
//! workers only pick up what is ready, between batches.

use std::sync::Arc;
use std::thread::JoinHandle;

use metrics::{counter, gauge};

use crate::codec::{Contract, OwnError, decode_own};
use crate::config::limits;
use crate::event::{Control, Position, Topic};
use crate::log::{Log, LogError, Record, Restarts};
use crate::policy::{Desk, Rejection, Switch, Trouble};
use crate::score::Engine;
use crate::telemetry::{Part, Stop, metric};

/// What becomes of a change.
const RESULTS: [&str; 2] = ["applied", "rejected"];

/// Starts to follow, until a stop is wanted.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    log: Arc<dyn Log>,
    desk: Desk,
    switch: Switch,
    part: Part,
    stop: Stop,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("weir-control".into()).spawn(move || {
        for result in RESULTS {
            counter!(metric::POLICY_CHANGES, "result" => result).increment(0);
        }
        tell(&switch, 0);
        let mut follower = Follower { desk, switch, part: part.clone(), next: None, engine: None };
        let follow = || follower.follow(log.as_ref(), &stop);
        Restarts::live("control", &stop, follow, |error, pause| {
            part.not_ready(error.to_string());
            tracing::warn!(%error, ?pause, "changes of what decides are not heard, trying again");
        });
    })
}

/// Where the changes begin. Without the first of them nobody knows what decides.
fn first(log: &dyn Log) -> Result<i64, LogError> {
    match log.beginning(Topic::Control, 0)? {
        0 => Ok(0),
        beginning => Err(LogError::Kafka {
            doing: "read what was published",
            reason: format!(
                "{} begins at {beginning}, expected 0: its records must never be deleted (cleanup.policy=compact)",
                Topic::Control
            ),
        }),
    }
}

/// Says what decides now.
fn tell(switch: &Switch, version: i64) {
    /// as many as a gauge holds
    const HASH_DIGITS: usize = 48 / 4;
    gauge!(metric::POLICY_VERSION).set(version as f64);
    let posted = switch.posted();
    let digits = posted.engine.policy().get(..HASH_DIGITS).unwrap_or_default();
    gauge!(metric::POLICY_HASH).set(u64::from_str_radix(digits, 16).unwrap_or(0) as f64);
}

struct Follower {
    desk: Desk,
    switch: Switch,
    part: Part,
    /// offset of the next record
    next: Option<i64>,
    /// what decides by what was taken, where nobody was told of it yet
    engine: Option<Engine>,
}

impl Follower {
    fn follow(&mut self, log: &dyn Log, stop: &Stop) -> Result<(), LogError> {
        let next = match self.next {
            Some(next) => next,
            None => first(log)?,
        };
        self.next = Some(next);
        let end = log.record_end(Topic::Control, 0)?;
        let from = Position { topic: Topic::Control, partition: 0, offset: next };
        let mut follower = log.follow(&[from])?;
        let mut records = Vec::new();
        while !stop.is_stopped() {
            match self.next.is_some_and(|next| next < end) {
                true => self.part.not_ready("changes of what decides are being read"),
                false => self.part.ready(),
            }
            follower.poll(limits().poll_wait, &mut records)?;
            for record in records.drain(..) {
                let version = record.position.offset + 1;
                // of what was there before only the last decides, and only that is kept
                if !self.take(&record, stop) || version >= end && !self.post(version, stop) {
                    return Ok(());
                }
                self.next = Some(version);
            }
            self.switch.free();
        }
        Ok(())
    }

    /// Takes one change up, or says why it is none; waits for what cannot be had now. Whether no stop was
    /// wanted meanwhile.
    fn take(&mut self, record: &Record, stop: &Stop) -> bool {
        let version = record.position.offset + 1;
        let Some(taken) = self.until_had(version, stop, |follower| follower.attempt(record)) else {
            return false;
        };
        let result = match taken {
            Ok(engine) => {
                tracing::info!(version, policy = engine.policy(), "what decides has changed");
                self.engine = Some(engine);
                RESULTS[0]
            }
            Err(reason) => {
                tracing::error!(version, %reason, "a change of what decides is rejected");
                RESULTS[1]
            }
        };
        counter!(metric::POLICY_CHANGES, "result" => result).increment(1);
        true
    }

    /// From now on what was taken decides, once it is kept. Whether no stop was wanted meanwhile.
    fn post(&mut self, version: i64, stop: &Stop) -> bool {
        let is_kept = self.engine.is_none()
            || self.until_had(version, stop, |follower| follower.desk.keep()).is_some();
        if !is_kept {
            return false;
        }
        self.switch.post(self.engine.take(), version);
        tell(&self.switch, version);
        true
    }

    /// What comes of some work, which is tried again as long as it fails. `None`: a stop is wanted.
    fn until_had<T, E: std::fmt::Display>(
        &mut self,
        version: i64,
        stop: &Stop,
        mut work: impl FnMut(&mut Follower) -> Result<T, E>,
    ) -> Option<T> {
        let mut pause = limits().restart_backoff;
        loop {
            match work(self) {
                Ok(had) => return Some(had),
                Err(error) => {
                    tracing::warn!(version, %error, ?pause, "what decides cannot be had, trying again");
                    self.part.not_ready(format!("version {version} is waited for: {error}"));
                    if stop.wait(pause) {
                        return None;
                    }
                    pause = (pause * 2).min(limits().restart_backoff_max);
                }
            }
        }
    }

    /// What decides after a change, or why it is none; on an error neither is known yet.
    fn attempt(&mut self, record: &Record) -> Result<Result<Engine, Rejection>, Trouble> {
        let change = match decode_own::<Control<'_>>(Contract::Control, record.payload()) {
            Ok(change) => change,
            Err(OwnError::Unreadable(reason)) => return Ok(Err(Rejection::Unreadable(reason))),
            Err(OwnError::Unavailable(error)) => return Err(Trouble::Schema(error)),
        };
        match self.desk.take(&change) {
            Ok(engine) => Ok(Ok(engine)),
            Err(Trouble::Rejected(reason)) => Ok(Err(reason)),
            Err(trouble) => Err(trouble),
        }
    }
}

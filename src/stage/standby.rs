//! A warm standby: the state of partitions that others own, followed up to what is committed, so that
//! taking one over replays moments instead of minutes.
//!
//! ```text
//!  committed positions ─► dead letters ─► inputs up to there ─► state, set aside
//!                                                                └─► the worker that is assigned it
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::process::Processor;
use super::restore::{Restorer, restore};
use super::snapshots::Loaded;
use super::worker::Crash;
use super::{Context, Settings};
use crate::event::{Position, Topic};
use crate::log::{LogError, Restarts};
use crate::state::State;
use crate::telemetry::{Health, Stop};

/// How often it looks what has been committed.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// How long a worker waits for a state that is being brought up to date: what an owner that died has left
/// open must have ended before anybody can tell what is committed, and the worker would wait for that itself.
const TAKE_PATIENCE: Duration = Duration::from_secs(20);
const TAKE_NAP: Duration = Duration::from_millis(10);

/// The state of a partition, and up to where it has seen the log.
struct Followed {
    state: State,
    positions: Vec<Position>,
}

#[derive(Default)]
struct Slot {
    /// a worker of this process has it
    is_owned: AtomicBool,
    /// there is a state, or would be but for its being brought up to date
    is_warm: AtomicBool,
    followed: Mutex<Option<Followed>>,
}

/// The states that are set aside, by partition.
#[derive(Clone, Default)]
pub struct Standby(Arc<Vec<Slot>>);

impl std::fmt::Debug for Standby {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Standby of {} partitions", self.0.len())
    }
}

impl Standby {
    /// A standby of so many partitions, none of which it knows yet.
    pub fn new(partitions: u32) -> Standby {
        Standby(Arc::new((0..partitions).map(|_| Slot::default()).collect()))
    }

    /// Hands a partition over to a worker of this process. What was set aside of it goes into
    /// `processor`, if it lies before `committed`, and up to where it has seen the log is returned.
    ///
    /// # Errors
    /// What `alive` says, which is called while the state is being brought up to date.
    pub(super) fn take(
        &self,
        partition: u32,
        committed: &[Position],
        processor: &mut Processor,
        stop: &Stop,
        mut alive: impl FnMut() -> Result<(), LogError>,
    ) -> Result<Option<Loaded>, LogError> {
        let Some(slot) = self.0.get(partition as usize) else { return Ok(None) };
        slot.is_owned.store(true, Ordering::SeqCst);
        // one that is only being made takes as long as making it here does
        let patience = match slot.is_warm.load(Ordering::SeqCst) {
            true => TAKE_PATIENCE,
            false => Duration::ZERO,
        };
        let deadline = Instant::now() + patience;
        let followed = loop {
            match slot.followed.try_lock() {
                Ok(mut followed) => break followed.take(),
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner().take(),
                Err(TryLockError::WouldBlock)
                    if Instant::now() < deadline && !stop.is_stopped() =>
                {
                    alive()?;
                    // a stop is seen by whoever restores without it
                    stop.wait(TAKE_NAP);
                }
                Err(TryLockError::WouldBlock) => break None,
            }
        };
        let Some(Followed { state, positions }) = followed else { return Ok(None) };
        // positions go back where somebody has set them so
        let is_before = positions.iter().zip(committed).all(|(at, to)| at.offset <= to.offset);
        if !is_before {
            return Ok(None);
        }
        processor.adopt(partition, state);
        Ok(Some(Loaded::at(&positions)))
    }

    /// Whether a worker of this process has a partition.
    pub(super) fn owned(&self, partition: u32, is_owned: bool) {
        if let Some(slot) = self.0.get(partition as usize) {
            slot.is_owned.store(is_owned, Ordering::SeqCst);
        }
    }

    /// Follows what this process does not own, until a stop is wanted.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        &self,
        context: &Context,
        settings: &Settings,
        stop: Stop,
    ) -> std::io::Result<JoinHandle<()>> {
        let (standby, context, settings) = (self.clone(), context.clone(), settings.clone());
        std::thread::Builder::new().name("weir-standby".into()).spawn(move || {
            let follow = || standby.follow(&context, &settings, &stop);
            Restarts::live("standby", &stop, follow, |crash, pause| {
                tracing::warn!(%crash, ?pause, "other partitions are not followed, following again");
            });
        })
    }

    fn follow(&self, context: &Context, settings: &Settings, stop: &Stop) -> Result<(), Crash> {
        // it decides nothing
        let mut processor = Processor::of(context, settings);
        let mut reader = context.log.reader()?;
        // nobody waits for it to be ready
        let health = Health::default();
        let part = health.part("standby");
        while !stop.wait(FOLLOW_EVERY) {
            // what was replaced is not held on to
            processor.renew();
            for (partition, slot) in (0..).zip(self.0.iter()) {
                let mut followed = slot.followed.lock().unwrap_or_else(PoisonError::into_inner);
                if slot.is_owned.load(Ordering::SeqCst) {
                    *followed = None;
                    slot.is_warm.store(false, Ordering::SeqCst);
                    continue;
                }
                let wanted = Topic::READ.map(|topic| (topic, partition));
                let committed = context.log.resume_all(&settings.group, &wanted)?;
                let is_new = followed.is_none();
                let head_start = followed.take().map(|Followed { state, positions }| {
                    processor.adopt(partition, state);
                    Loaded::at(&positions)
                });
                let mut means = Restorer {
                    log: context.log.as_ref(),
                    reader: reader.as_mut(),
                    vault: context.snapshots.vault(),
                    part: &part,
                    stop,
                    alive: &mut || Ok(()),
                };
                let restored =
                    restore(&mut means, partition, &committed, &mut processor, head_start);
                let restored = match restored {
                    Err(Crash::StateGap(_)) => {
                        // for the owner to say
                        processor.forget(partition);
                        continue;
                    }
                    restored => restored?,
                };
                let state = processor.release(partition);
                // what it lacks is for the owner to say
                if restored.unreadable == 0 && restored.trimmed.is_none() {
                    if is_new {
                        tracing::info!(partition, accounts = state.len(), "partition followed");
                    }
                    *followed = Some(Followed { state, positions: committed });
                    slot.is_warm.store(true, Ordering::SeqCst);
                }
            }
        }
        Ok(())
    }
}

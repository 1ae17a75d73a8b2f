//! The thread that commits. While it commits batch N, the worker makes batch N + 1.
//!
//! ```text
//!  worker ──(one slot)──► begin, send, send positions, commit ──(one slot)──► worker
//! ```
//!
//! Any error ends both: the outcome of the transaction is not known, so the worker drops its state
//! and starts again from what the log says is committed.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::batch::Batch;
use crate::log::{Log, LogError, Membership, Producer};

/// A batch that was committed.
#[derive(Debug)]
pub struct Committed {
    /// the batch
    pub batch: Batch,
    /// from opening the transaction to its commit
    pub took: Duration,
}

type Done = Result<Committed, LogError>;

/// The worker's end of the committer.
#[derive(Debug)]
pub struct Committer {
    batches: Option<Sender<(Batch, Membership)>>,
    done: Receiver<Done>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Committer {
    /// Starts the thread with a producer of its own.
    ///
    /// # Errors
    /// When the producer cannot be made.
    pub fn start(log: &dyn Log, identity: &str) -> Result<Committer, LogError> {
        let mut producer = log.producer(identity)?;
        let (batches, queue) = bounded::<(Batch, Membership)>(1);
        let (report, done) = bounded::<Done>(1);
        let name = format!("weir-commit-{}", identity.rsplit('/').next().unwrap_or_default());
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                // ends when the worker drops its end, or with the first error
                for (batch, membership) in queue {
                    let committed = commit(producer.as_mut(), batch, &membership);
                    let failed = committed.is_err();
                    if report.send(committed).is_err() || failed {
                        return;
                    }
                }
            })
            .map_err(|source| LogError::Io {
                doing: "start",
                path: "the committer's thread".into(),
                source,
            })?;
        Ok(Committer { batches: Some(batches), done, thread: Some(thread), busy: false })
    }

    /// Whether a batch is under way.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Hands a batch over. Only while none is under way.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn submit(&mut self, batch: Batch, membership: Membership) -> Result<(), LogError> {
        debug_assert!(!self.busy, "one batch at a time");
        let Some(batches) = &self.batches else {
            return Err(LogError::Closed);
        };
        match batches.try_send((batch, membership)) {
            Ok(()) => {
                self.busy = true;
                Ok(())
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(LogError::Closed),
        }
    }

    /// The committed batch, if it is committed within `wait`; `None` if it is not yet, or if none
    /// is under way.
    ///
    /// # Errors
    /// When the transaction failed or its outcome is not known.
    pub fn wait(&mut self, wait: Duration) -> Result<Option<Committed>, LogError> {
        if !self.busy {
            return Ok(None);
        }
        match self.done.recv_timeout(wait) {
            Ok(done) => {
                self.busy = false;
                done.map(Some)
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(LogError::Closed),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.batches = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the committer panicked");
        }
    }
}

fn commit(producer: &mut dyn Producer, batch: Batch, membership: &Membership) -> Done {
    let started = Instant::now();
    producer.begin()?;
    tracing::debug!(records = batch.records.len(), taken = batch.taken, "transaction opened");
    producer.send(&batch.records)?;
    producer.send_positions(&batch.positions(), membership)?;
    producer.commit()?;
    let took = started.elapsed();
    tracing::debug!(taken = batch.taken, ?took, "transaction committed");
    Ok(Committed { batch, took })
}

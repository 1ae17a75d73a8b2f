//! The thread that commits. While it commits batch N, the worker makes batch N + 1.
//!
//! ```text
//!  worker ──(one slot)──► begin, send, send positions, commit ──(one slot)──► worker
//! ```
//!
//! Any error ends both: the outcome of the transaction is not known, so the worker drops its state
//! and starts again from what the log says is committed.
//!
//! Without transactions the outputs are appended, and the worker commits the positions after them.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::batch::Batch;
use super::watchdog::Watched;
use crate::log::{Appender, Log, LogError, Member, Membership, Producer};

/// A batch that was committed.
#[derive(Debug)]
pub struct Committed {
    /// the batch
    pub batch: Batch,
    /// from opening the transaction to its commit
    pub took: Duration,
}

/// How often an idle producer is looked after.
const IDLE: Duration = Duration::from_secs(1);

type Done = Result<Committed, LogError>;

/// How batches reach the log.
enum Writer {
    Transactions(Box<dyn Producer>),
    Appends(Box<dyn Appender>),
}

impl Writer {
    fn idle(&mut self) {
        if let Writer::Transactions(producer) = self {
            producer.idle();
        }
    }
}

/// What a committer needs to know.
#[derive(Clone, Debug)]
pub struct Means {
    /// whether outputs and positions become visible together
    pub exactly_once: bool,
    /// how long a transaction may be open before the log ends it by itself
    pub transaction_timeout: Option<Duration>,
    /// ends the process where a commit hangs
    pub watched: Watched,
}

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
    pub fn start(log: &dyn Log, member: &Member, means: Means) -> Result<Committer, LogError> {
        let mut writer = match means.exactly_once {
            true => Writer::Transactions(log.producer(member)?),
            false => Writer::Appends(log.appender()?),
        };
        let (batches, queue) = bounded::<(Batch, Membership)>(1);
        let (report, done) = bounded::<Done>(1);
        let name = format!("weir-commit-{}", member.index);
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || {
                // ends when the worker drops its end, or with the first error
                loop {
                    let (batch, membership) = match queue.recv_timeout(IDLE) {
                        Ok(handed) => handed,
                        Err(RecvTimeoutError::Timeout) => {
                            writer.idle();
                            continue;
                        }
                        Err(RecvTimeoutError::Disconnected) => return,
                    };
                    let committed = commit(&mut writer, batch, &membership, &means);
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

fn commit(writer: &mut Writer, batch: Batch, membership: &Membership, means: &Means) -> Done {
    let started = Instant::now();
    let done = match writer {
        Writer::Transactions(producer) => {
            means.watched.begin();
            let done = transact(producer.as_mut(), &batch, membership);
            means.watched.end();
            done
        }
        Writer::Appends(appender) => appender.append(&batch.records),
    };
    let took = started.elapsed();
    match done {
        Ok(()) => {
            tracing::debug!(taken = batch.taken, ?took, "transaction committed");
            Ok(Committed { batch, took })
        }
        // the log ends a transaction that takes too long and fences its owner: nobody took over
        Err(LogError::Fenced { .. }) if means.transaction_timeout.is_some_and(|t| took >= t) => {
            Err(LogError::Timeout { doing: "committing a batch", after: took })
        }
        Err(error) => Err(error),
    }
}

fn transact(
    producer: &mut dyn Producer,
    batch: &Batch,
    membership: &Membership,
) -> Result<(), LogError> {
    producer.begin()?;
    tracing::debug!(records = batch.records.len(), taken = batch.taken, "transaction opened");
    producer.send(&batch.records)?;
    producer.send_positions(&batch.positions(), membership)?;
    producer.commit()
}

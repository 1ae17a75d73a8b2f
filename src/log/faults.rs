//! Faults that tests inject at the steps of a batch's way, to prove that a crash at any of them
//! loses nothing and doubles nothing. Costs one branch where none is asked for.

use std::fmt;
use std::sync::Arc;

use super::LogError;
use crate::event::Position;

/// A step at which a crash would matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// before records are fetched
    Poll,
    /// before a record is applied to state
    Apply,
    /// before a transaction is opened
    Begin,
    /// before records are sent
    Send,
    /// after records were sent
    Sent,
    /// after positions were added
    PositionsSent,
    /// before the commit
    Commit,
    /// after the commit, before anybody is told
    Committed,
    /// before a captured part of the state is stored
    ShardCaptured,
    /// after it was
    ShardStored,
    /// before the stored parts are named
    Manifest,
    /// after they were
    ManifestWritten,
    /// before a partition is restored
    Restore,
    /// before a stage of a deadline fires
    Fire,
}

impl Step {
    /// Every step, for tests that draw one.
    pub const ALL: [Step; 14] = [
        Step::Poll,
        Step::Apply,
        Step::Begin,
        Step::Send,
        Step::Sent,
        Step::PositionsSent,
        Step::Commit,
        Step::Committed,
        Step::ShardCaptured,
        Step::ShardStored,
        Step::Manifest,
        Step::ManifestWritten,
        Step::Restore,
        Step::Fire,
    ];

    /// Its name in errors.
    pub fn name(self) -> &'static str {
        match self {
            Step::Poll => "poll",
            Step::Apply => "apply",
            Step::Begin => "begin",
            Step::Send => "send",
            Step::Sent => "sent",
            Step::PositionsSent => "positions sent",
            Step::Commit => "commit",
            Step::Committed => "committed",
            Step::ShardCaptured => "shard captured",
            Step::ShardStored => "shard stored",
            Step::Manifest => "manifest",
            Step::ManifestWritten => "manifest written",
            Step::Restore => "restore",
            Step::Fire => "fire",
        }
    }
}

type Decide = dyn Fn(Step, Option<Position>) -> bool + Send + Sync;

/// Decides at each step whether to fail there. The default never does.
#[derive(Clone, Default)]
pub struct Faults(Option<Arc<Decide>>);

impl Faults {
    /// Fails wherever `decide` says so; it is told the record, where the step is about one. It may
    /// also panic, to stand for a defect.
    pub fn new(decide: impl Fn(Step, Option<Position>) -> bool + Send + Sync + 'static) -> Faults {
        Faults(Some(Arc::new(decide)))
    }

    /// Passes a step.
    ///
    /// # Errors
    /// [`LogError::Injected`] where a test wants the crash.
    #[inline]
    pub fn pass(&self, step: Step) -> Result<(), LogError> {
        self.check(step, None)
    }

    /// Passes a step that is about one record.
    ///
    /// # Errors
    /// [`LogError::Injected`] where a test wants the crash.
    #[inline]
    pub fn pass_at(&self, step: Step, position: Position) -> Result<(), LogError> {
        self.check(step, Some(position))
    }

    #[inline]
    fn check(&self, step: Step, position: Option<Position>) -> Result<(), LogError> {
        match &self.0 {
            Some(decide) if decide(step, position) => Err(LogError::Injected(step.name())),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Faults(on)" } else { "Faults(off)" })
    }
}

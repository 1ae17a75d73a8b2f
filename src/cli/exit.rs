//! How commands end: exit codes that a script can tell apart, and one line that says why.

use std::fmt;
use std::process::ExitCode;

use crate::config::Problems;
use crate::log::LogError;
use crate::policy::Trouble;
use crate::sink::store::StoreError;
use crate::snapshot::SnapshotError;
use crate::stage::StageFailure;

/// Exit codes. 0 is success; clap itself ends with 2 on a wrong command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// it failed
    Failed = 1,
    /// wrong configuration or input: nothing was begun
    Invalid = 2,
    /// too much bad input: `[poison]` limits passed
    Poison = 3,
    /// another process holds the data folder, or the process's identity
    InUse = 4,
    /// the data folder was written by a newer weir
    Newer = 5,
    /// no space left
    DiskFull = 6,
    /// what was to be proved does not hold
    Unproved = 7,
    /// records that were decided about cannot be read any more
    StateGap = 8,
    /// the log, the store or the schema registry does not answer
    Unreachable = 9,
    /// a commit hung and the watchdog ended the process
    Hung = 10,
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// the process's exit code
    pub exit: Exit,
    /// one line, or several problems
    pub message: String,
}

impl Failure {
    /// A failure with its code.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Failure {
        Failure { exit, message: message.to_string() }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        ExitCode::from(failure.exit as u8)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Failure::new(Exit::Invalid, problems)
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        let exit = match &error {
            LogError::Locked { .. } => Exit::InUse,
            LogError::NewerFormat { .. } => Exit::Newer,
            LogError::DiskFull { .. } => Exit::DiskFull,
            LogError::Missing { .. } | LogError::Partitions { .. } | LogError::Topics { .. } => {
                Exit::Invalid
            }
            LogError::Unreachable { .. } => Exit::Unreachable,
            LogError::Fenced { .. } => Exit::InUse,
            _ => Exit::Failed,
        };
        Failure::new(exit, error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Embedded(error) => error.into(),
            StoreError::Unreachable { .. } => Failure::new(Exit::Unreachable, error),
            StoreError::Refused { .. } | StoreError::Schema { .. } => {
                Failure::new(Exit::Invalid, error)
            }
            StoreError::Answer { .. } => Failure::new(Exit::Failed, error),
        }
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        let exit = match &error {
            SnapshotError::Unreachable { .. } => Exit::Unreachable,
            SnapshotError::Full { .. } => Exit::DiskFull,
            SnapshotError::Refused { .. } => Exit::Invalid,
            _ => Exit::Failed,
        };
        Failure::new(exit, error)
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Unavailable(error) => error.into(),
            Trouble::Schema(_) => Failure::new(Exit::Unreachable, trouble),
            Trouble::Missing { .. } | Trouble::Damaged { .. } => {
                Failure::new(Exit::Failed, trouble)
            }
            Trouble::Rejected(_) => Failure::new(Exit::Invalid, trouble),
        }
    }
}

impl From<StageFailure> for Failure {
    fn from(failure: StageFailure) -> Self {
        let exit = match &failure {
            StageFailure::Poison(_) | StageFailure::Panics(_) => Exit::Poison,
            StageFailure::StateGap(_) => Exit::StateGap,
            StageFailure::Log(LogError::DiskFull { .. }) => Exit::DiskFull,
            StageFailure::Fenced(_) => Exit::InUse,
            StageFailure::Log(_) | StageFailure::Lost(_) => Exit::Failed,
        };
        Failure::new(exit, failure)
    }
}

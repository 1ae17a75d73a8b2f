//! What can go wrong with a log.

use std::fmt;
use std::time::Duration;

use crate::event::{Position, Topic};

/// Why the log did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// another process holds the data folder
    #[error("data folder {folder} is in use by another process{}", owner(.pid))]
    Locked {
        /// the folder
        folder: String,
        /// who holds it, if it said so
        pid: Option<u32>,
    },
    /// the data folder was written by a later weir
    #[error(
        "data folder {folder} has format {found}, this weir reads up to {supported}; use the newer weir"
    )]
    NewerFormat {
        /// the folder
        folder: String,
        /// its format
        found: i64,
        /// the newest one known here
        supported: i64,
    },
    /// no space left
    #[error("disk full: cannot {doing} in {folder}; free some space, nothing committed is lost")]
    DiskFull {
        /// the folder
        folder: String,
        /// what was tried
        doing: &'static str,
    },
    /// the folder cannot be used
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// what was tried
        doing: &'static str,
        /// on what
        path: String,
        /// why not
        source: std::io::Error,
    },
    /// SQLite said no
    #[error("cannot {doing}: {source}")]
    Sqlite {
        /// what was tried
        doing: &'static str,
        /// why not
        source: rusqlite::Error,
    },
    /// partition counts that cannot work together
    #[error("topic {topic} has {found} partitions, expected {expected}")]
    Partitions {
        /// which topic
        topic: Topic,
        /// how many it has
        found: u32,
        /// how many it should have
        expected: u32,
    },
    /// a stored batch that is not what was written
    #[error("{position}: stored batch is damaged: {what}")]
    Damaged {
        /// where
        position: Position,
        /// how
        what: &'static str,
    },
    /// the data folder was opened for reading only
    #[error("data folder {folder} was opened for reading only")]
    ReadOnly {
        /// the folder
        folder: String,
    },
    /// there is nothing to open
    #[error("no data in {folder}: {path} does not exist")]
    Missing {
        /// the folder
        folder: String,
        /// the file that should be there
        path: String,
    },
    /// the log is closed, for instance because its writer has ended
    #[error("log is closed")]
    Closed,
    /// a deadline passed
    #[error("{doing} took longer than {after:?}")]
    Timeout {
        /// what was waited for
        doing: &'static str,
        /// how long
        after: Duration,
    },
    /// no broker answers
    #[error("kafka at {brokers} does not answer: {reason}")]
    Unreachable {
        /// which were asked
        brokers: String,
        /// what the client was told last
        reason: String,
    },
    /// the topics are not as they must be
    #[error(
        "topics are not as they must be (weir topics create makes missing ones):\n  {}",
        problems.join("\n  ")
    )]
    Topics {
        /// each with its name
        problems: Vec<String>,
    },
    /// somebody else took the identity over, or a transaction outlived its time-out
    #[error("kafka: fenced ({what}): {reason}")]
    Fenced {
        /// which client, or at what
        what: &'static str,
        /// what the broker said
        reason: String,
    },
    /// Kafka's client or a broker said no
    #[error("kafka: cannot {doing}: {reason}")]
    Kafka {
        /// what was tried
        doing: &'static str,
        /// why not
        reason: String,
    },
    /// a fault that a test asked for
    #[error("injected fault at {0}")]
    Injected(&'static str),
}

fn owner(pid: &Option<u32>) -> OwnerNote {
    OwnerNote(*pid)
}

struct OwnerNote(Option<u32>);

impl fmt::Display for OwnerNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, " (pid {pid})"),
            None => Ok(()),
        }
    }
}

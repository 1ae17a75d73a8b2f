//! Why a change of what decides is none.

use crate::codec::RegistryError;
use crate::config::Problems;
use crate::event::{Control, ControlAction};
use crate::snapshot::SnapshotError;

/// Why a control record changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// the record cannot be read
    #[error("the record cannot be read: {0}")]
    Unreadable(String),
    /// another weir's
    #[error(
        "it was published by weir {weir:?} in format {found}, expected format {}: publish it again with \
         this one, or upgrade",
        Control::FORMAT
    )]
    Format {
        /// its format
        found: i32,
        /// version of the program that wrote it
        weir: String,
    },
    /// about nothing that is known
    #[error("it changes {0:?}, expected rules, models, list/NAME, challenger/NAME or flag/NAME")]
    Name(String),
    /// not to be done to that
    #[error("it wants to {} {name:?} in a way that is not possible", action.name())]
    Action {
        /// what it is about
        name: String,
        /// what it wants
        action: ControlAction,
    },
    /// no flag's value
    #[error("the flag is set to {0:?}, expected true or false")]
    Flag(String),
    /// a list that the topology does not have
    #[error("there is no list {0:?}, expected one of lists.toml")]
    List(String),
    /// a challenger does not load beside it
    #[error("challenger {0:?} would not load any more, withdraw it first: {1}")]
    Challenger(String, Problems),
    /// no change of a list
    #[error("the entry is no change of a list: {0}")]
    Change(String),
    /// more challengers than are evaluated
    #[error("there are {0} challengers already, expected one of them to be withdrawn first")]
    Challengers(usize),
    /// its content is not what it should be
    #[error("{what} of hash {hash}: {reason}")]
    Content {
        /// what it is
        what: String,
        /// its hash
        hash: String,
        /// what is wrong with it
        reason: String,
    },
    /// it made weir panic
    #[error("loading it panicked")]
    Panicked,
    /// it does not load
    #[error("{0}")]
    Invalid(#[from] Problems),
}

/// Why something that decides cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// it will not be otherwise
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// it may pass
    #[error(transparent)]
    Unavailable(SnapshotError),
    /// a content is not stored: whoever published it stored it first, so it is another place, or comes late
    #[error("{what} of hash {hash} is not among the artifacts at {place}")]
    Missing {
        /// what is missing
        what: String,
        /// its hash
        hash: String,
        /// where it was looked for
        place: String,
    },
    /// a content is not what was stored: it may be stored again
    #[error("{what} cannot be read: {error}")]
    Damaged {
        /// what it is
        what: String,
        /// what is wrong with it
        error: SnapshotError,
    },
    /// the record's schema may be had later
    #[error(transparent)]
    Schema(RegistryError),
}

//! What a state may lack that is rebuilt from the log: none of it goes unsaid.

use crate::event::Position;

/// Why the state of a partition cannot be rebuilt whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// records that were read once are not events any more
    #[error(
        "{records} records of partition {partition} were decided about and cannot be read any more: is a \
         writer's schema missing?"
    )]
    Unreadable {
        /// of which partition
        partition: u32,
        /// how many
        records: u64,
    },
    /// the log has forgotten what is needed of it
    #[error(
        "{needed} is needed and the log begins at {beginning}: is its retention shorter than snapshots are \
         old, or weir was away?"
    )]
    Trimmed {
        /// the first record needed
        needed: Position,
        /// where the log begins
        beginning: i64,
    },
    /// accounts are in other partitions than they were
    #[error(
        "the newest snapshot of partition {partition} is of topics with {then} partitions, there are {now}: \
         accounts live elsewhere now, and what is remembered of them does not"
    )]
    Repartitioned {
        /// of which partition
        partition: u32,
        /// how many there were
        then: u32,
        /// how many there are
        now: u32,
    },
}

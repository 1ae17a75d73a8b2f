//! Rows that belong together, collected into groups.
//!
//! Files write the rows of an invoice one below the other, save for the few that another one came
//! between. So a group is held open until more than `ahead` rows passed without one of its own; it
//! is then complete, and groups leave in the order of their last rows. That keeps at most
//! `ahead + 1` groups in memory. A row of a group that already left would make a second, partial
//! event under the same id: it is an error, and the rows end there.

use std::collections::{HashSet, VecDeque};

use xxhash_rust::xxh3::xxh3_64;

use super::error::Problem;
use super::map::GroupBy;
use super::row::{Columns, Row, wrong_cell};
use super::suggest::quoted;

/// The largest group, in bytes of its rows: four times the largest event.
pub(super) const GROUP_BYTES_MAX: usize = 4 * 1_048_576;

/// Groups that left and are remembered, so that a row of one of them is noticed.
const REMEMBERED: usize = 262_144;

/// Collects rows into groups.
pub(super) struct Groups {
    by: GroupBy,
    open: Vec<Group>,
    /// hashes of the values whose groups left, the oldest first
    left: VecDeque<u64>,
    left_set: HashSet<u64>,
}

struct Group {
    hash: u64,
    rows: Vec<Row>,
    bytes: usize,
    /// number of its last row
    last: u64,
}

impl Groups {
    pub(super) fn new(by: GroupBy) -> Groups {
        Groups { by, open: Vec::new(), left: VecDeque::new(), left_set: HashSet::new() }
    }

    /// Adds a row to its group.
    pub(super) fn push(&mut self, row: Row, columns: &Columns) -> Result<(), Problem> {
        let key = row.cell(self.by.by);
        let by = || columns.describe(&[self.by.by]);
        if key.is_empty() {
            let expected = "text that the rows of a group share";
            return Err(wrong_cell("group", by(), key, expected));
        }
        let hash = xxh3_64(key.as_bytes());
        let (size, number) = (row.size(), row.place.row);
        let at = match self.open.iter().position(|group| group.hash == hash) {
            Some(at) => at,
            None if self.left_set.contains(&hash) => {
                return Err(Problem::GroupAgain {
                    by: by(),
                    key: quoted(key),
                    ahead: self.by.ahead,
                });
            }
            None => {
                self.open.push(Group { hash, rows: Vec::new(), bytes: 0, last: number });
                self.open.len() - 1
            }
        };
        let group = &mut self.open[at];
        group.bytes += size;
        if group.bytes > GROUP_BYTES_MAX {
            return Err(Problem::GroupTooLarge {
                by: by(),
                key: quoted(key),
                limit: GROUP_BYTES_MAX,
            });
        }
        group.last = number;
        group.rows.push(row);
        Ok(())
    }

    /// Takes the next group that is complete once the row of this number has been read, or any
    /// group at the end of the rows.
    pub(super) fn pop(&mut self, read: Option<u64>) -> Option<Vec<Row>> {
        let (at, group) = self.open.iter().enumerate().min_by_key(|(_, group)| group.last)?;
        let complete = read.is_none_or(|read| read - group.last > self.by.ahead);
        if !complete {
            return None;
        }
        let group = self.open.remove(at);
        self.remember(group.hash);
        Some(group.rows)
    }

    fn remember(&mut self, hash: u64) {
        if self.left.len() == REMEMBERED
            && let Some(oldest) = self.left.pop_front()
        {
            self.left_set.remove(&oldest);
        }
        if self.left_set.insert(hash) {
            self.left.push_back(hash);
        }
    }
}

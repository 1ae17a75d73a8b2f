//! How many records wait between a position and an end.

use std::collections::HashMap;

use crate::event::Topic;

/// Offsets that may be marks of a transaction and no records: a position that stands still for two
/// measures with no more than so many offsets left is at the end.
const MARKS_MAX: i64 = 2;

/// What waits in some partitions, measured again and again.
#[derive(Debug, Default)]
pub struct Backlog {
    /// position and end at the last measure
    last: HashMap<(Topic, u32), (i64, i64)>,
}

impl Backlog {
    /// Records from `next` up to `end`, which are where the partition is read and where it ends now.
    pub fn left(&mut self, partition: (Topic, u32), next: i64, end: i64) -> i64 {
        let stands = self.last.insert(partition, (next, end)) == Some((next, end));
        match (end - next).max(0) {
            marks if stands && marks <= MARKS_MAX => 0,
            left => left,
        }
    }

    /// A partition went: should it come back, it is new.
    pub fn forget(&mut self, partition: (Topic, u32)) {
        self.last.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_transactions_at_the_end_are_no_records() {
        let mut backlog = Backlog::default();
        let key = (Topic::Chats, 3);
        assert_eq!(backlog.left(key, 10, 11), 1);
        assert_eq!(backlog.left(key, 10, 11), 0);
        assert_eq!(backlog.left(key, 10, 20), 10);
        assert_eq!(backlog.left(key, 10, 20), 10, "so many are no marks");
        assert_eq!(backlog.left(key, 20, 20), 0);
        assert_eq!(backlog.left(key, 25, 20), 0, "an end that is known late");
    }
}

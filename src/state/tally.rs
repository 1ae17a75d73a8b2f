//! The first and the last event of a group, ever since its key is remembered.

use super::arena::Arena;
use super::window::{Entry, Region};

/// First time; time, subject and value of the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) region: Region,
}

impl Tally {
    pub(super) const WORDS: usize = 4;

    pub(super) fn add(self, arena: &mut Arena, entry: Entry) {
        let Region { at, of } = self.region;
        let Entry { time, subject, value } = entry;
        match arena.get_mut(at, of) {
            [] => arena.insert(at, of, 0, &[time, time, subject, value]),
            words => {
                words[0] = words[0].min(time);
                if (words[1], words[2], words[3]) < (time, subject, value) {
                    words[1..].copy_from_slice(&[time, subject, value]);
                }
            }
        }
    }

    /// When the first one was.
    pub(super) fn first(self, arena: &Arena) -> Option<i64> {
        self.region.get(arena).first().copied()
    }

    /// Time and value of the last one.
    pub(super) fn last(self, arena: &Arena) -> Option<(i64, i64)> {
        match self.region.get(arena) {
            [_, time, _, value] => Some((*time, *value)),
            _ => None,
        }
    }
}

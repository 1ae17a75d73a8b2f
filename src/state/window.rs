//! Windows over event time: exact ones over a [`super::ring::Ring`] of entries, the others over the
//! buckets of a [`super::grid::Grid`].
//!
//! A window of length `w` with delay `d` read at `t` is `(t - d - w, t - d]`. Over buckets of length
//! `b` it covers the buckets after that of `t - d - w` up to that of `t - d`. Entries and buckets are in
//! order of time, whatever order they came in; sums and squares are integers. What is remembered thus
//! does not depend on the order of arrival.

use super::arena::Arena;

/// A place among the regions of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// which one
    pub(super) at: usize,
    /// of how many
    pub(super) of: usize,
}

impl Region {
    #[inline(always)]
    pub(super) fn get(self, arena: &Arena) -> &[i64] {
        arena.get(self.at, self.of)
    }

    /// Puts an item in at a word. Where `makes_way` says that nobody sees the first one any more, that one
    /// goes if it takes no longer; returns whether it did.
    #[inline]
    pub(super) fn put(self, arena: &mut Arena, word: usize, item: &[i64], makes_way: bool) -> bool {
        let turns = makes_way && word <= TURNED_MAX;
        match turns {
            true => arena.turn(self.at, self.of, word, item),
            false => arena.insert(self.at, self.of, word, item),
        }
        turns
    }
}

/// Words that are moved within a region for its oldest item to make way for a new one; where it would be
/// more, those that nobody sees any more go by the dozen.
const TURNED_MAX: usize = 256;

/// One event of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) time: i64,
    /// hash of what the event is about
    pub(super) subject: i64,
    pub(super) value: i64,
}

/// What a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) count: i64,
    /// wraps at the ends of an i64, which no real currency reaches
    pub(super) sum: i64,
    pub(super) squares: i128,
    pub(super) min: i64,
    pub(super) max: i64,
}

/// How much of a total is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wants {
    Count,
    Sum,
    All,
}

impl Total {
    pub(super) const NOTHING: Total =
        Total { count: 0, sum: 0, squares: 0, min: i64::MAX, max: i64::MIN };

    /// With one more.
    pub(super) fn with(mut self, value: i64) -> Total {
        self.add(value);
        self
    }

    /// As much of it as somebody wants: count, sum; squares, least and greatest.
    pub(super) fn seen(&self, wants: Wants) -> (i64, i64) {
        (self.count, if wants == Wants::Count { 0 } else { self.sum })
    }

    pub(super) fn add(&mut self, value: i64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
        self.squares = self.squares.wrapping_add(square(value));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}

pub(super) fn square(value: i64) -> i128 {
    i128::from(value) * i128::from(value)
}

/// A stretch of time: after `after`, up to and with `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) after: i64,
    pub(super) until: i64,
}

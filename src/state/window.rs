//! Windows over event time: exact ones over a ring of entries, the others over buckets.
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
    pub(super) fn get(self, arena: &Arena) -> &[i64] {
        arena.get(self.at, self.of)
    }
}

/// One event of an exact window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) time: i64,
    /// hash of what the event is about
    pub(super) subject: i64,
    pub(super) value: i64,
}

impl Entry {
    pub(super) const WORDS: usize = 3;

    fn of(words: &[i64]) -> Entry {
        Entry { time: words[0], subject: words[1], value: words[2] }
    }
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

impl Total {
    pub(super) const NOTHING: Total =
        Total { count: 0, sum: 0, squares: 0, min: i64::MAX, max: i64::MIN };

    fn add(&mut self, value: i64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
        self.squares = self.squares.wrapping_add(square(value));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }
}

fn square(value: i64) -> i128 {
    i128::from(value) * i128::from(value)
}

/// A stretch of time: after `after`, up to and with `until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) after: i64,
    pub(super) until: i64,
}

/// The newest entries, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) region: Region,
    /// entries kept at most; the oldest go first
    pub(super) entries_max: usize,
    /// how far behind the watermark an entry is kept
    pub(super) retention_ms: i64,
}

impl Ring {
    pub(super) fn add(&self, arena: &mut Arena, entry: Entry, watermark: i64) {
        self.expire(arena, watermark);
        let Region { at, of } = self.region;
        if entry.time <= watermark.saturating_sub(self.retention_ms) {
            return;
        }
        let words = self.region.get(arena);
        let place = partition(words, Entry::WORDS, |words| Entry::of(words) < entry);
        if words.len() / Entry::WORDS >= self.entries_max {
            if place == 0 {
                return;
            }
            // the oldest goes, everything up to the place moves down: nothing grows
            let words = arena.get_mut(at, of);
            let place = place * Entry::WORDS;
            words.copy_within(Entry::WORDS..place, 0);
            words[place - Entry::WORDS..place].copy_from_slice(&[
                entry.time,
                entry.subject,
                entry.value,
            ]);
            return;
        }
        let words = [entry.time, entry.subject, entry.value];
        arena.insert(at, of, place * Entry::WORDS, words);
    }

    pub(super) fn expire(&self, arena: &mut Arena, watermark: i64) {
        let oldest = watermark.saturating_sub(self.retention_ms);
        let words = self.region.get(arena);
        if words.first().is_some_and(|time| *time <= oldest) {
            let gone = partition(words, Entry::WORDS, |words| words[0] <= oldest);
            arena.remove(self.region.at, self.region.of, 0..gone * Entry::WORDS);
        }
    }

    /// The entries within a span, oldest first.
    pub(super) fn entries(
        self,
        arena: &Arena,
        span: Span,
    ) -> impl DoubleEndedIterator<Item = Entry> + '_ {
        let words = self.region.get(arena);
        let from = partition(words, Entry::WORDS, |words| words[0] <= span.after);
        let to = partition(words, Entry::WORDS, |words| words[0] <= span.until).max(from);
        words[from * Entry::WORDS..to * Entry::WORDS].chunks_exact(Entry::WORDS).map(Entry::of)
    }

    pub(super) fn total(self, arena: &Arena, span: Span) -> Total {
        let mut total = Total::NOTHING;
        self.entries(arena, span).for_each(|entry| total.add(entry.value));
        total
    }
}

/// Bits of a bucket's first word that count; the number of the bucket stands above them.
const COUNT_BITS: u32 = 28;
const COUNT_MAX: i64 = (1 << COUNT_BITS) - 1;

/// Buckets of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) region: Region,
    pub(super) bucket_ms: i64,
    /// how far behind the watermark a bucket is kept
    pub(super) retention_ms: i64,
    /// whether sums are kept
    pub(super) sums: bool,
    /// whether sums of squares are kept
    pub(super) squares: bool,
    /// whether least and greatest are kept
    pub(super) extremes: bool,
}

impl Grid {
    /// Words of one bucket.
    pub(super) fn words(&self) -> usize {
        1 + usize::from(self.sums) + 2 * usize::from(self.squares) + 2 * usize::from(self.extremes)
    }

    fn number(&self, time: i64) -> i64 {
        time.div_euclid(self.bucket_ms)
    }

    pub(super) fn add(&self, arena: &mut Arena, time: i64, value: i64, watermark: i64) {
        self.expire(arena, watermark);
        let number = self.number(time);
        if number <= self.number(watermark.saturating_sub(self.retention_ms)) {
            return;
        }
        let Region { at, of } = self.region;
        let stride = self.words();
        let words = self.region.get(arena);
        // almost always the last one
        let place = match words.len().checked_sub(stride) {
            Some(last) if words[last] >> COUNT_BITS == number => last / stride,
            _ => partition(words, stride, |words| words[0] >> COUNT_BITS < number),
        };
        let known = words.get(place * stride).is_some_and(|word| word >> COUNT_BITS == number);
        if !known {
            self.insert(arena, place * stride, number);
        }
        let bucket = &mut arena.get_mut(at, of)[place * stride..(place + 1) * stride];
        if bucket[0] & COUNT_MAX < COUNT_MAX {
            bucket[0] += 1;
        }
        let mut at = 1;
        if self.sums {
            bucket[at] = bucket[at].wrapping_add(value);
            at += 1;
        }
        if self.squares {
            let [low, high] = split(join(bucket[at], bucket[at + 1]).wrapping_add(square(value)));
            (bucket[at], bucket[at + 1]) = (low, high);
            at += 2;
        }
        if self.extremes {
            bucket[at] = bucket[at].min(value);
            bucket[at + 1] = bucket[at + 1].max(value);
        }
    }

    fn insert(&self, arena: &mut Arena, at: usize, number: i64) {
        let Region { at: region, of } = self.region;
        let first = number << COUNT_BITS;
        match (self.sums, self.squares, self.extremes) {
            (false, false, false) => arena.insert(region, of, at, [first]),
            (true, false, false) => arena.insert(region, of, at, [first, 0]),
            (true, true, false) => arena.insert(region, of, at, [first, 0, 0, 0]),
            (true, true, true) => {
                arena.insert(region, of, at, [first, 0, 0, 0, i64::MAX, i64::MIN]);
            }
            (true, false, true) => arena.insert(region, of, at, [first, 0, i64::MAX, i64::MIN]),
            (false, false, true) => arena.insert(region, of, at, [first, i64::MAX, i64::MIN]),
            (false, true, false) => arena.insert(region, of, at, [first, 0, 0]),
            (false, true, true) => {
                arena.insert(region, of, at, [first, 0, 0, i64::MAX, i64::MIN]);
            }
        }
    }

    pub(super) fn expire(&self, arena: &mut Arena, watermark: i64) {
        let oldest = self.number(watermark.saturating_sub(self.retention_ms));
        let stride = self.words();
        let words = self.region.get(arena);
        if words.first().is_some_and(|word| word >> COUNT_BITS <= oldest) {
            let gone = partition(words, stride, |words| words[0] >> COUNT_BITS <= oldest);
            arena.remove(self.region.at, self.region.of, 0..gone * stride);
        }
    }

    pub(super) fn total(self, arena: &Arena, span: Span) -> Total {
        let (after, until) = (self.number(span.after), self.number(span.until));
        let stride = self.words();
        let words = self.region.get(arena);
        let from = match words.first() {
            Some(first) if first >> COUNT_BITS > after => 0,
            _ => partition(words, stride, |words| words[0] >> COUNT_BITS <= after),
        };
        let mut total = Total::NOTHING;
        for bucket in words[from * stride..].chunks_exact(stride) {
            if bucket[0] >> COUNT_BITS > until {
                break;
            }
            total.count += bucket[0] & COUNT_MAX;
            let mut at = 1;
            if self.sums {
                total.sum = total.sum.wrapping_add(bucket[at]);
                at += 1;
            }
            if self.squares {
                total.squares = total.squares.wrapping_add(join(bucket[at], bucket[at + 1]));
                at += 2;
            }
            if self.extremes {
                total.min = total.min.min(bucket[at]);
                total.max = total.max.max(bucket[at + 1]);
            }
        }
        total
    }
}

fn split(value: i128) -> [i64; 2] {
    [value as i64, (value >> 64) as i64]
}

fn join(low: i64, high: i64) -> i128 {
    i128::from(high) << 64 | i128::from(low.cast_unsigned())
}

/// Number of leading items of `stride` words each that are `before`, which holds for them alone.
pub(super) fn partition(words: &[i64], stride: usize, before: impl Fn(&[i64]) -> bool) -> usize {
    let (mut low, mut high) = (0, words.len() / stride);
    while low < high {
        let middle = (low + high) / 2;
        match before(&words[middle * stride..(middle + 1) * stride]) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    low
}

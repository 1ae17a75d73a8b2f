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
    /// Words that so many entries have at most, those included that nobody sees any more.
    pub(super) fn words_max(entries_max: usize) -> usize {
        (entries_max + slack(entries_max) + 1) * Entry::WORDS
    }

    pub(super) fn add(&self, arena: &mut Arena, entry: Entry, watermark: i64) {
        let Region { at, of } = self.region;
        let oldest = watermark.saturating_sub(self.retention_ms);
        if entry.time <= oldest {
            return;
        }
        let entries = self.region.get(arena).as_chunks::<{ Entry::WORDS }>().0;
        // almost always the last one
        let place = match entries.last() {
            Some(newest) if Entry::of(newest) > entry => {
                entries.partition_point(|words| Entry::of(words) < entry)
            }
            _ => entries.len(),
        };
        if entries.len() >= self.entries_max && place <= entries.len() - self.entries_max {
            return;
        }
        // what nobody sees any more goes by the dozen: all that follows has to move for it
        let is_full = entries.len() >= self.entries_max + slack(self.entries_max);
        let is_old = entries.get(slack(entries.len())).is_some_and(|words| words[0] <= oldest);
        arena.insert(at, of, place * Entry::WORDS, [entry.time, entry.subject, entry.value]);
        if is_full || is_old {
            self.expire(arena, watermark);
        }
    }

    /// Takes out what nobody sees any more.
    pub(super) fn expire(&self, arena: &mut Arena, watermark: i64) {
        let oldest = watermark.saturating_sub(self.retention_ms);
        let entries = self.region.get(arena).as_chunks::<{ Entry::WORDS }>().0;
        let surplus = entries.len().saturating_sub(self.entries_max);
        let gone = match entries.get(surplus) {
            Some(words) if words[0] <= oldest => {
                entries.partition_point(|words| words[0] <= oldest)
            }
            _ => surplus,
        };
        arena.remove(self.region.at, self.region.of, 0..gone * Entry::WORDS);
    }

    /// The entries that somebody may see, oldest first.
    fn kept(self, arena: &Arena) -> &[[i64; Entry::WORDS]] {
        let entries = self.region.get(arena).as_chunks().0;
        &entries[entries.len().saturating_sub(self.entries_max)..]
    }

    /// The entries within a span, oldest first.
    pub(super) fn entries(
        self,
        arena: &Arena,
        span: Span,
    ) -> impl DoubleEndedIterator<Item = Entry> + ExactSizeIterator + '_ {
        let entries = self.kept(arena);
        let from = up_to(entries, span.after);
        let to = up_to(entries, span.until).max(from);
        entries[from..to].iter().map(|entry| Entry::of(entry))
    }

    /// What a window holds, as far as somebody wants to know.
    pub(super) fn total(self, arena: &Arena, span: Span, wants: Wants) -> Total {
        if wants == Wants::Count {
            return Total { count: self.entries(arena, span).len() as i64, ..Total::NOTHING };
        }
        let entries = self.kept(arena);
        // backwards until the window begins: whatever is added up is met anyway
        let newest_first = entries[..up_to(entries, span.until)].iter().rev();
        let held = newest_first.take_while(|[time, ..]| *time > span.after);
        let mut total = Total::NOTHING;
        match wants {
            Wants::All => held.for_each(|[.., value]| total.add(*value)),
            _ => held.for_each(|[.., value]| {
                total.count += 1;
                total.sum = total.sum.wrapping_add(*value);
            }),
        }
        total
    }
}

/// Entries or buckets that nobody sees any more and that may be left for a while.
fn slack(of: usize) -> usize {
    (of / 8).clamp(2, 32)
}

/// How many entries, which are in order of time, are of `time` or before. Searches from where that time
/// would stand if they were evenly spaced: far fewer cache lines than halving touches.
fn up_to(entries: &[[i64; Entry::WORDS]], time: i64) -> usize {
    let ([first, ..], [.., last]) = (entries, entries) else { return 0 };
    if first[0] > time {
        return 0;
    }
    if last[0] <= time {
        return entries.len();
    }
    // the first is of `time` or before, the last is not
    let (length, passed) = (last[0].abs_diff(first[0]), time.abs_diff(first[0]));
    let guess = (passed as f64 / length as f64 * (entries.len() - 1) as f64) as usize;
    let guess = guess.min(entries.len() - 1);
    let mut step = 1;
    let (mut low, mut high) = match entries[guess][0] <= time {
        true => (guess, guess + 1),
        false => (guess.saturating_sub(1), guess),
    };
    while entries[low][0] > time {
        step *= 2;
        (low, high) = (low.saturating_sub(step), low);
    }
    while entries.get(high).is_some_and(|entry| entry[0] <= time) {
        step *= 2;
        (low, high) = (high, (high + step).min(entries.len() - 1));
    }
    low + entries[low..high].partition_point(|entry| entry[0] <= time)
}

/// Bits of a bucket's first word that count; the number of the bucket stands above them.
const COUNT_BITS: u32 = 28;
const COUNT_MAX: i64 = (1 << COUNT_BITS) - 1;

/// The length of a bucket, with what divides by it: buckets are told by their number far more often than
/// the processor's own division allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) ms: i64,
    /// 2^84 divided by the length, rounded up
    inverse: u128,
}

impl Bucket {
    /// Times that the inverse is exact for: until the year 2248. Lengths are below 2^39, ten years.
    const TIME_BITS: u32 = 43;
    const SHIFT: u32 = 84;

    pub(super) fn new(ms: i64) -> Bucket {
        Bucket { ms, inverse: (1_u128 << Bucket::SHIFT).div_ceil(ms.unsigned_abs().max(1).into()) }
    }

    /// The number of the bucket that a time is in.
    fn number(self, time: i64) -> i64 {
        // with n < 2^43 and an inverse that is less than 1 too large, the error is below n / 2^84, which
        // is less than the 1 / length that a quotient may be short of the next whole number
        match time.cast_unsigned() >> Bucket::TIME_BITS {
            0 => ((u128::from(time.cast_unsigned()) * self.inverse) >> Bucket::SHIFT) as i64,
            _ => time.div_euclid(self.ms),
        }
    }
}

/// Buckets that nobody sees any more and that may be left for a while.
const SLACK: usize = 2;

/// Buckets of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) region: Region,
    pub(super) bucket: Bucket,
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
    /// Words that its buckets have at most, those included that nobody sees any more.
    pub(super) fn words_max(&self) -> usize {
        let buckets = usize::try_from(self.retention_ms / self.bucket.ms).unwrap_or(0);
        (buckets + 2 + SLACK) * self.words()
    }

    /// Words of one bucket.
    pub(super) fn words(&self) -> usize {
        1 + usize::from(self.sums) + 2 * usize::from(self.squares) + 2 * usize::from(self.extremes)
    }

    fn number(&self, time: i64) -> i64 {
        self.bucket.number(time)
    }

    pub(super) fn add(&self, arena: &mut Arena, time: i64, value: i64, watermark: i64) {
        let number = self.number(time);
        let oldest = self.number(watermark.saturating_sub(self.retention_ms));
        if number <= oldest {
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
            // as with the entries of a ring: those that nobody sees any more go by the dozen
            let is_old = words.get(SLACK * stride).is_some_and(|word| word >> COUNT_BITS <= oldest);
            self.insert(arena, place * stride, number);
            if is_old {
                self.expire(arena, watermark);
                return self.add(arena, time, value, watermark);
            }
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
        let to = match words.len().checked_sub(stride) {
            Some(last) if words[last] >> COUNT_BITS <= until => words.len() / stride,
            _ => partition(words, stride, |words| words[0] >> COUNT_BITS <= until),
        };
        let words = &words[from * stride..to.max(from) * stride];
        let mut total = Total::NOTHING;
        // nearly all grids are one of these two
        if stride == 1 {
            total.count = words.iter().map(|word| word & COUNT_MAX).sum();
            return total;
        }
        if stride == 2 {
            for [count, sum] in words.as_chunks::<2>().0 {
                total.count += count & COUNT_MAX;
                total.sum = total.sum.wrapping_add(*sum);
            }
            return total;
        }
        for bucket in words.chunks_exact(stride) {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_is_told_as_division_tells_it(
            ms in prop_oneof![1i64..=7 * 24 * 3_600_000, 1i64..1 << 39],
            time in prop_oneof![any::<i64>(), -1_000i64..1_000, 0i64..1 << 43],
            near in -2i64..=2,
        ) {
            let bucket = Bucket::new(ms);
            prop_assert_eq!(bucket.number(time), time.div_euclid(ms));
            // where the quotient is about to change
            let edge = (time.rem_euclid(1 << 43) / ms * ms).saturating_add(near);
            prop_assert_eq!(bucket.number(edge), edge.div_euclid(ms));
        }

        #[test]
        fn a_guess_finds_what_halving_finds(
            mut times in proptest::collection::vec(-50i64..200, 0..80),
            time in -60i64..210,
            scale in prop_oneof![Just(1i64), Just(1 << 30), Just(i64::MAX / 300)],
        ) {
            times.sort_unstable();
            let entries: Vec<[i64; 3]> = times.iter().map(|time| [time * scale, 0, 0]).collect();
            let expected = times.iter().filter(|known| **known <= time).count();
            prop_assert_eq!(up_to(&entries, time * scale), expected);
        }
    }
}

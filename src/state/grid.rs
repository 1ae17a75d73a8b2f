//! Windows over buckets of one length: each holds how many events fell in it, and their sums.

use super::arena::Arena;
use super::items::Items;
use super::window::{Region, Span, Total, square};

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

/// Words that a bucket has at most: number and count, sum, squares, least and greatest.
const WORDS_MAX: usize = 6;
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
        let buckets = Items::new(words, stride);
        // almost always the last one, or a new one behind it
        let mut place = match buckets.last().map(|last| number_of(last[0])) {
            Some(last) if last == number => words.len() - stride,
            Some(last) if last > number => {
                buckets.partition(|bucket| number_of(bucket[0]) < number) * stride
            }
            _ => words.len(),
        };
        if words.get(place).is_none_or(|word| number_of(*word) != number) {
            // as with the entries of a ring
            let is_past =
                |i: usize| words.get(i * stride).is_some_and(|word| number_of(*word) <= oldest);
            if is_past(SLACK) {
                self.expire(arena, watermark);
                return self.add(arena, time, value, watermark);
            }
            if self.open(arena, place, number, is_past(0)) {
                place -= stride;
            }
        }
        let bucket = &mut arena.get_mut(at, of)[place..place + stride];
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

    /// An empty bucket at a word of the region; returns whether the first one made way for it.
    fn open(&self, arena: &mut Arena, at: usize, number: i64, makes_way: bool) -> bool {
        let mut new = [0; WORDS_MAX];
        new[0] = number << COUNT_BITS;
        let stride = self.words();
        if self.extremes {
            [new[stride - 2], new[stride - 1]] = [i64::MAX, i64::MIN];
        }
        self.region.put(arena, at, &new[..stride], makes_way)
    }

    pub(super) fn expire(&self, arena: &mut Arena, watermark: i64) {
        let oldest = self.number(watermark.saturating_sub(self.retention_ms));
        let words = self.region.get(arena);
        if words.first().is_some_and(|word| number_of(*word) <= oldest) {
            let buckets = Items::new(words, self.words());
            let gone = buckets.partition(|bucket| number_of(bucket[0]) <= oldest);
            arena.remove(self.region.at, self.region.of, 0..gone * self.words());
        }
    }

    /// Whether the bucket of a time comes after that in which a span begins.
    pub(super) fn begins_before(&self, span: Span, time: i64) -> bool {
        self.number(span.after) < self.number(time)
    }

    pub(super) fn total(&self, arena: &Arena, span: Span) -> Total {
        let (after, until) = (self.number(span.after), self.number(span.until));
        let buckets = Items::new(self.region.get(arena), self.words());
        let mut total = Total::NOTHING;
        // backwards until the window begins: whatever is added up is met anyway
        for bucket in buckets.backwards().skip_while(|bucket| number_of(bucket[0]) > until) {
            if number_of(bucket[0]) <= after {
                break;
            }
            total.count += bucket[0] & COUNT_MAX;
            self.add_up(bucket, &mut total);
        }
        total
    }

    #[inline]
    fn add_up(&self, bucket: &[i64], total: &mut Total) {
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
}

/// The number of a bucket, by its first word.
#[inline(always)]
fn number_of(word: i64) -> i64 {
    word >> COUNT_BITS
}

fn split(value: i128) -> [i64; 2] {
    [value as i64, (value >> 64) as i64]
}

fn join(low: i64, high: i64) -> i128 {
    i128::from(high) << 64 | i128::from(low.cast_unsigned())
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
    }
}

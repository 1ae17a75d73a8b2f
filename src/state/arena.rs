//! What is remembered under one key, in one allocation: regions of 64-bit words, one after another.
//!
//! ```text
//!  directory: end of each region, 16 bits each │ region 0 │ region 1 │ …
//! ```
//!
//! Which region means what is the layout's affair. Growing and shrinking a region moves what follows
//! it: some hundred bytes, which costs less than a second allocation would.

use xxhash_rust::xxh3::Xxh3;

/// Words that an arena may have: what 16 bits can say, directory apart.
pub(super) const WORDS_MAX: usize = u16::MAX as usize;
/// Ends of regions in one word of the directory.
const ENDS: usize = 4;
/// Words of a line of the cache.
const LINE: usize = 8;
/// Words of an arena that is fetched as a whole.
const SMALL_WORDS: usize = 320;
/// Words of a larger one that are fetched at its beginning and at its end.
const ENDS_WORDS: usize = 96;
/// A one in each of its lanes.
const ONES: u64 = 0x0001_0001_0001_0001;

/// The regions of one key. One that was never written to holds nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arena {
    words: Vec<i64>,
}

/// Words of the directory for so many regions.
fn directory(regions: usize) -> usize {
    regions.div_ceil(ENDS)
}

impl Arena {
    /// An arena that was never written to.
    pub(super) const EMPTY: Arena = Arena { words: Vec::new() };

    /// Whether it was never written to.
    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Of its words.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        self.words.iter().for_each(|word| hasher.update(&word.to_le_bytes()));
        hasher.digest()
    }

    /// An arena with empty regions.
    pub(super) fn new(regions: usize) -> Arena {
        Arena { words: vec![0; directory(regions)] }
    }

    /// The arena of these words, if they can be one with so many regions.
    pub(super) fn from_words(words: Vec<i64>, regions: usize) -> Option<Arena> {
        let arena = Arena { words };
        let ends: Option<Vec<usize>> = (arena.words.len() >= directory(regions))
            .then(|| (0..regions).map(|region| arena.end(region)).collect());
        let ends = ends?;
        let whole = directory(regions) + ends.last().copied().unwrap_or(0) == arena.words.len();
        (whole && ends.is_sorted()).then_some(arena)
    }

    /// All of it, directory first.
    pub(super) fn words(&self) -> &[i64] {
        &self.words
    }

    #[inline]
    fn end(&self, region: usize) -> usize {
        let lanes = self.words[region / ENDS].cast_unsigned();
        ((lanes >> ((region % ENDS) * 16)) & 0xffff) as usize
    }

    #[inline]
    fn range(&self, region: usize, regions: usize) -> std::ops::Range<usize> {
        let start = match region {
            0 => 0,
            _ => self.end(region - 1),
        };
        let body = directory(regions);
        body + start..body + self.end(region)
    }

    /// A region's words.
    #[inline]
    pub(super) fn get(&self, region: usize, regions: usize) -> &[i64] {
        match self.words.is_empty() {
            true => &[],
            false => &self.words[self.range(region, regions)],
        }
    }

    /// A region's words, to change them in place.
    #[inline]
    pub(super) fn get_mut(&mut self, region: usize, regions: usize) -> &mut [i64] {
        let range = self.range(region, regions);
        &mut self.words[range]
    }

    /// Puts words into a region, before word `at` of it. Where the arena would grow too large it stays
    /// as it is: the layout is checked at load so that this cannot be.
    pub(super) fn insert<const N: usize>(
        &mut self,
        region: usize,
        regions: usize,
        at: usize,
        new: [i64; N],
    ) {
        let (place, length) = (self.range(region, regions).start + at, self.words.len());
        if length + N > WORDS_MAX {
            debug_assert!(false, "an arena outgrew its layout");
            return;
        }
        if length + N > self.words.capacity() {
            // an eighth ahead: doubling would waste as much as it holds
            self.words.reserve_exact(N + length / 8);
        }
        self.words.resize(length + N, 0);
        self.words.copy_within(place..length, place + N);
        self.words[place..place + N].copy_from_slice(&new);
        self.shift(region, regions, N as u64);
    }

    /// Puts words at the end of a region.
    pub(super) fn extend(&mut self, region: usize, regions: usize, new: &[i64]) {
        let (place, length) = (self.range(region, regions).end, self.words.len());
        self.words.resize(length + new.len(), 0);
        self.words.copy_within(place..length, place + new.len());
        self.words[place..place + new.len()].copy_from_slice(new);
        self.shift(region, regions, new.len() as u64);
    }

    /// Takes words out of a region.
    pub(super) fn remove(&mut self, region: usize, regions: usize, range: std::ops::Range<usize>) {
        if range.is_empty() {
            return;
        }
        let start = self.range(region, regions).start;
        let count = range.len() as u64;
        self.words.drain(start + range.start..start + range.end);
        self.shift(region, regions, count.wrapping_neg());
    }

    /// Empties a region.
    pub(super) fn clear(&mut self, region: usize, regions: usize) {
        let length = self.get(region, regions).len();
        self.remove(region, regions, 0..length);
    }

    /// Moves the ends of a region and of those after it.
    fn shift(&mut self, region: usize, regions: usize, by: u64) {
        for lane in region..region.next_multiple_of(ENDS) {
            self.shift_lane(lane, by);
        }
        let whole = region.div_ceil(ENDS)..directory(regions);
        // lanes do not run over: no end passes 16 bits, above or below
        let by = (by & 0xffff).wrapping_mul(ONES);
        for word in &mut self.words[whole] {
            *word = add_lanes(word.cast_unsigned(), by).cast_signed();
        }
    }

    fn shift_lane(&mut self, lane: usize, by: u64) {
        let (word, shift) = (&mut self.words[lane / ENDS], (lane % ENDS) * 16);
        let lanes = word.cast_unsigned();
        let end = (lanes >> shift).wrapping_add(by) & 0xffff;
        *word = (lanes & !(0xffff << shift) | end << shift).cast_signed();
    }

    /// Has all of it fetched into the cache. Its lines are independent of each other, so that the memory
    /// brings many at once; whoever walks through them one after another waits for each.
    pub(super) fn fetch(&self) {
        std::hint::black_box(lines(&self.words));
    }

    /// Has fetched what an event will most likely meet: of a large one both ends. To look up where its
    /// regions end would be to wait for it.
    pub(super) fn fetch_ends(&self) {
        let words = self.words.as_slice();
        match words.len() > SMALL_WORDS {
            true => {
                let (head, tail) = (&words[..ENDS_WORDS], &words[words.len() - ENDS_WORDS..]);
                std::hint::black_box(lines(head) ^ lines(tail));
            }
            false => self.fetch(),
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.words.capacity() * size_of::<i64>()
    }
}

/// The hash of many arenas by their keys, in whatever order they are given.
pub(super) fn hash_of(mut all: Vec<(u128, u64)>) -> u64 {
    all.sort_unstable();
    let mut hasher = Xxh3::new();
    for (key, hash) in all {
        hasher.update(&key.to_le_bytes());
        hasher.update(&hash.to_le_bytes());
    }
    hasher.digest()
}

/// Reads a word of each line of the cache that these are in, or nearly: they begin anywhere in one.
fn lines(words: &[i64]) -> i64 {
    words.iter().step_by(LINE).fold(0, |all, word| all ^ word)
}

/// Adds four lanes of 16 bits, each by itself.
fn add_lanes(a: u64, b: u64) -> u64 {
    const HIGH: u64 = 0x8000_8000_8000_8000;
    ((a & !HIGH) + (b & !HIGH)) ^ ((a ^ b) & HIGH)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn regions_are_vectors_that_do_not_know_of_each_other(
            regions in 1usize..13,
            steps in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<i64>(), 0u8..4), 0..200),
        ) {
            let mut arena = Arena::new(regions);
            let mut twin = vec![Vec::new(); regions];
            for (region, at, value, what) in steps {
                let region = region.index(regions);
                let at = at.index(twin[region].len() + 1);
                match what {
                    0 | 1 => {
                        arena.insert(region, regions, at, [value, !value]);
                        twin[region].splice(at..at, [value, !value]);
                    }
                    2 => {
                        let end = (at + 3).min(twin[region].len());
                        arena.remove(region, regions, at..end);
                        twin[region].drain(at..end);
                    }
                    _ => if let Some(word) = arena.get_mut(region, regions).get_mut(at) {
                        *word = value;
                        twin[region][at] = value;
                    }
                }
                for (region, twin) in twin.iter().enumerate() {
                    prop_assert_eq!(arena.get(region, regions), twin.as_slice());
                }
            }
            let again = Arena::from_words(arena.words().to_vec(), regions);
            prop_assert_eq!(again, Some(arena.clone()));
            prop_assert_eq!(Arena::from_words(arena.words()[..arena.words().len() - 1].to_vec(), regions), None);
        }
    }
}

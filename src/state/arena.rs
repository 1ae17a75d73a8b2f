//! What is remembered under one key, in one allocation: regions of 64-bit words, one after another.
//!
//! ```text
//!  spare room │ directory: end of each region, 16 bits each │ region 0 │ region 1 │ … │ spare room
//! ```
//!
//! Which region means what is the layout's affair. When a region grows or shrinks, what stands before it
//! moves or what stands after it, whichever is less: a ring at the end that holds thousands of words stays
//! where it is while buckets before it come and go.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

/// Words that an arena may have: what 16 bits can say, directory apart.
pub(super) const WORDS_MAX: usize = u16::MAX as usize;
/// Ends of regions in one word of the directory.
const ENDS: usize = 4;
/// Words of a line of the cache.
const LINE: usize = 8;
/// Words of an arena that is fetched as a whole.
const SMALL_WORDS: usize = 320;
/// Words of a larger one that are fetched at its beginning, and at its end, where a ring goes on.
const HEAD_WORDS: usize = 96;
const TAIL_WORDS: usize = 32;
/// A one in each of its lanes.
const ONES: u64 = 0x0001_0001_0001_0001;

/// The regions of one key. One that was never written to holds nothing at all.
#[derive(Clone, Debug, Default)]
pub(super) struct Arena {
    room: Option<Box<[i64]>>,
    /// the words of the room that count: those before and after are spare
    from: u32,
    to: u32,
}

impl PartialEq for Arena {
    fn eq(&self, other: &Arena) -> bool {
        self.words() == other.words()
    }
}

impl Eq for Arena {}

/// Words of the directory for so many regions.
fn directory(regions: usize) -> usize {
    regions.div_ceil(ENDS)
}

impl Arena {
    /// An arena that was never written to.
    pub(super) const EMPTY: Arena = Arena { room: None, from: 0, to: 0 };

    /// Whether it was never written to.
    pub(super) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Of its words.
    pub(super) fn hash(&self) -> u64 {
        let mut hasher = Xxh3::new();
        self.words().iter().for_each(|word| hasher.update(&word.to_le_bytes()));
        hasher.digest()
    }

    /// An arena with empty regions.
    pub(super) fn new(regions: usize) -> Arena {
        Arena::of(vec![0; directory(regions)])
    }

    /// An arena of no more than [`WORDS_MAX`] words, without spare room.
    fn of(words: Vec<i64>) -> Arena {
        let to = words.len() as u32;
        Arena { room: Some(words.into()), from: 0, to }
    }

    /// The arena of these words, if they can be one with so many regions.
    pub(super) fn from_words(words: Vec<i64>, regions: usize) -> Option<Arena> {
        if !(directory(regions)..=WORDS_MAX).contains(&words.len()) {
            return None;
        }
        let ends: Vec<usize> = (0..regions).map(|region| end(&words, region)).collect();
        let whole = directory(regions) + ends.last().copied().unwrap_or(0) == words.len();
        (whole && ends.is_sorted()).then(|| Arena::of(words))
    }

    /// All of it, directory first.
    #[inline(always)]
    pub(super) fn words(&self) -> &[i64] {
        match &self.room {
            Some(room) => &room[self.used()],
            None => &[],
        }
    }

    /// What of the room counts.
    #[inline]
    fn used(&self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    #[inline]
    fn words_mut(&mut self) -> &mut [i64] {
        let used = self.used();
        match &mut self.room {
            Some(room) => &mut room[used],
            None => &mut [],
        }
    }

    /// A region's words.
    #[inline(always)]
    pub(super) fn get(&self, region: usize, regions: usize) -> &[i64] {
        match self.words() {
            [] => &[],
            words => &words[range(words, region, regions)],
        }
    }

    /// A region's words, to change them in place.
    #[inline]
    pub(super) fn get_mut(&mut self, region: usize, regions: usize) -> &mut [i64] {
        let words = self.words_mut();
        let range = range(words, region, regions);
        &mut words[range]
    }

    /// Puts words into a region, before word `at` of it. Where the arena would grow too large it stays
    /// as it is: the layout is checked at load so that this cannot be.
    #[inline]
    pub(super) fn insert(&mut self, region: usize, regions: usize, at: usize, new: &[i64]) {
        let place = range(self.words(), region, regions).start + at;
        self.put(place, new, region, regions);
    }

    /// Puts words into a region, before word `at` of it, and takes as many out at its beginning. Nothing
    /// moves but what stood between.
    #[inline]
    pub(super) fn turn(&mut self, region: usize, regions: usize, at: usize, new: &[i64]) {
        let words = &mut self.get_mut(region, regions)[..at];
        words.copy_within(new.len().., 0);
        words[at - new.len()..].copy_from_slice(new);
    }

    /// Puts words at the end of a region.
    pub(super) fn extend(&mut self, region: usize, regions: usize, new: &[i64]) {
        let place = range(self.words(), region, regions).end;
        self.put(place, new, region, regions);
    }

    /// Puts words before word `place` of all, at which or before which this region ends.
    #[inline]
    fn put(&mut self, place: usize, new: &[i64], region: usize, regions: usize) {
        if self.words().len() + new.len() > WORDS_MAX {
            debug_assert!(false, "an arena outgrew its layout");
            return;
        }
        if !self.part(place, new.len()) {
            self.make_room(new.len());
            self.part(place, new.len());
        }
        let words = self.words_mut();
        words[place..place + new.len()].copy_from_slice(new);
        shift(words, region, regions, new.len() as u64);
    }

    /// Moves what stands before a place or what stands after it, whichever is less, so that so many words
    /// fit between. False where there is no spare room on that side.
    #[inline]
    fn part(&mut self, place: usize, count: usize) -> bool {
        let Range { start: from, end: to } = self.used();
        let Some(room) = &mut self.room else { return false };
        let place = from + place;
        match place - from < to - place {
            true if count <= from => {
                room.copy_within(from..place, from - count);
                self.from -= count as u32;
            }
            false if count <= room.len() - to => {
                room.copy_within(place..to, place + count);
                self.to += count as u32;
            }
            _ => return false,
        }
        true
    }

    /// Makes spare room for so many words at both ends: by moving to the middle of what there is, where
    /// that does for a while, else a fifth more. Doubling would waste as much as it holds.
    #[cold]
    fn make_room(&mut self, count: usize) {
        let (used, length) = (self.used(), self.words().len());
        let spare = match &mut self.room {
            Some(room) if room.len() - length >= 2 * count + length / 16 => {
                let spare = room.len() - length;
                room.copy_within(used, spare / 2);
                spare
            }
            _ => {
                let spare = 2 * count + length / 5;
                let mut room = Vec::with_capacity(length + spare);
                room.resize(spare / 2, 0);
                room.extend_from_slice(self.words());
                room.resize(length + spare, 0);
                self.room = Some(room.into());
                spare
            }
        };
        let from = spare / 2;
        (self.from, self.to) = (from as u32, (from + length) as u32);
    }

    /// Takes words out of a region.
    pub(super) fn remove(&mut self, region: usize, regions: usize, taken: Range<usize>) {
        let Range { start: from, end: to } = self.used();
        let Some(room) = self.room.as_mut().filter(|_| !taken.is_empty()) else { return };
        let start = from + range(&room[from..to], region, regions).start;
        let (first, next, count) = (start + taken.start, start + taken.end, taken.len());
        match first - from < to - next {
            true => {
                room.copy_within(from..first, from + count);
                self.from += count as u32;
            }
            false => {
                room.copy_within(next..to, first);
                self.to -= count as u32;
            }
        }
        shift(self.words_mut(), region, regions, (count as u64).wrapping_neg());
    }

    /// Empties a region.
    pub(super) fn clear(&mut self, region: usize, regions: usize) {
        let length = self.get(region, regions).len();
        self.remove(region, regions, 0..length);
    }

    /// Has all of it fetched into the cache. Its lines are independent of each other, so that the memory
    /// brings many at once; whoever walks through them one after another waits for each.
    pub(super) fn fetch(&self) {
        std::hint::black_box(lines(self.words()));
    }

    /// Has fetched what an event will most likely meet: of a large one both ends. To look up where its
    /// regions end would be to wait for it.
    pub(super) fn fetch_ends(&self) {
        let words = self.words();
        match words.len() > SMALL_WORDS {
            true => {
                let (head, tail) = (&words[..HEAD_WORDS], &words[words.len() - TAIL_WORDS..]);
                std::hint::black_box(lines(head) ^ lines(tail));
            }
            false => self.fetch(),
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.room.as_ref().map_or(0, |room| size_of_val(&**room))
    }
}

/// Where a region ends, counted from the end of the directory.
#[inline(always)]
fn end(words: &[i64], region: usize) -> usize {
    let lanes = words[region / ENDS].cast_unsigned();
    ((lanes >> ((region % ENDS) * 16)) & 0xffff) as usize
}

/// Where a region stands among all words.
#[inline(always)]
fn range(words: &[i64], region: usize, regions: usize) -> Range<usize> {
    let start = match region {
        0 => 0,
        _ => end(words, region - 1),
    };
    let body = directory(regions);
    body + start..body + end(words, region)
}

/// Moves the ends of a region and of those after it.
fn shift(words: &mut [i64], region: usize, regions: usize, by: u64) {
    for lane in region..region.next_multiple_of(ENDS) {
        shift_lane(words, lane, by);
    }
    let whole = region.div_ceil(ENDS)..directory(regions);
    // lanes do not run over: no end passes 16 bits, above or below
    let by = (by & 0xffff).wrapping_mul(ONES);
    for word in &mut words[whole] {
        *word = add_lanes(word.cast_unsigned(), by).cast_signed();
    }
}

fn shift_lane(words: &mut [i64], lane: usize, by: u64) {
    let (word, shift) = (&mut words[lane / ENDS], (lane % ENDS) * 16);
    let lanes = word.cast_unsigned();
    let end = (lanes >> shift).wrapping_add(by) & 0xffff;
    *word = (lanes & !(0xffff << shift) | end << shift).cast_signed();
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
                    0 if at >= 2 => {
                        arena.turn(region, regions, at, &[value, !value]);
                        twin[region].splice(at..at, [value, !value]);
                        twin[region].drain(..2);
                    }
                    0 | 1 => {
                        arena.insert(region, regions, at, &[value, !value]);
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

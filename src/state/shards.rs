//! Accounts in shards of bounded size, each a part of the space of key hashes. A shard that grows past
//! the bound becomes two, so that none ever has to be copied in one piece for long.

use hashbrown::HashMap;

use super::arena::{Arena, hash_of};
use super::facts::KeyHasher;

/// Bytes past which a shard becomes two, or a range of profiles is captured in two pieces.
pub(super) const BYTES_MAX: usize = 3 << 16;
/// A shard is expired at its first capture and at each so-manieth: that takes longer than to copy it.
const EXPIRED_EVERY: u32 = 8;
/// Leading bits of a hash that shards may be told apart by.
const DEPTH_MAX: u32 = 20;

/// The keys whose hash begins with the `depth` bits of `prefix`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    prefix: u32,
    depth: u32,
}

impl Range {
    /// Its number: unique among all ranges.
    pub fn number(self) -> u32 {
        1 << self.depth | self.prefix
    }

    /// The range of that number.
    pub fn from_number(number: u32) -> Option<Range> {
        let depth = number.checked_ilog2().filter(|depth| *depth <= DEPTH_MAX)?;
        Some(Range { prefix: number ^ 1 << depth, depth })
    }

    /// Whether every key is of one of these.
    pub fn cover_all(ranges: impl Iterator<Item = Range>) -> bool {
        let ranges: Vec<Range> = ranges.collect();
        let mut open = vec![Range::default()];
        while let Some(range) = open.pop() {
            if ranges.iter().any(|known| known.covers(range)) {
                continue;
            }
            if !ranges.iter().any(|known| range.covers(*known)) {
                return false;
            }
            open.extend(range.halves());
        }
        true
    }

    /// Its two halves.
    pub fn halves(self) -> [Range; 2] {
        let Range { prefix, depth } = self;
        [prefix << 1, prefix << 1 | 1].map(|prefix| Range { prefix, depth: depth + 1 })
    }

    /// How many leading bits it fixes.
    pub fn depth(self) -> u32 {
        self.depth
    }

    /// The leading bits of a key's hash, as a number.
    pub fn leading(key: u128, bits: u32) -> usize {
        leading(key, bits)
    }

    /// The keys of it, by that many leading bits, which are no fewer than its own.
    pub fn slots(self, bits: u32) -> std::ops::Range<usize> {
        let spread = bits.saturating_sub(self.depth);
        let first = (self.prefix as usize) << spread;
        first..first + (1 << spread)
    }

    /// Whether a key is of it.
    pub fn has(self, key: u128) -> bool {
        leading(key, self.depth) == self.prefix as usize
    }

    /// Whether every key of `other` is of it.
    pub fn covers(self, other: Range) -> bool {
        self.depth <= other.depth && other.prefix >> (other.depth - self.depth) == self.prefix
    }
}

#[derive(Debug, Default)]
struct Shard {
    range: Range,
    accounts: HashMap<u128, Arena, KeyHasher>,
    bytes: usize,
    /// since it was captured last
    changed: bool,
    captures: u32,
}

impl Shard {
    /// Has all of it fetched into the cache: walked through one after another, each account would be
    /// waited for.
    fn fetch(&self) {
        self.accounts.values().for_each(Arena::fetch);
    }

    fn expire(&mut self, expire: &mut impl FnMut(&mut Arena) -> bool) {
        self.accounts.retain(|_, arena| expire(arena));
        self.bytes = self.accounts.values().map(bytes_of).sum();
    }
}

/// Bytes that an account takes, its arena's spare room not.
fn bytes_of(arena: &Arena) -> usize {
    size_of::<(u128, Arena)>() + size_of_val(arena.words())
}

/// All accounts of a partition.
#[derive(Debug)]
pub(super) struct Shards {
    /// by the leading `depth` bits of the hash
    directory: Vec<u32>,
    depth: u32,
    shards: Vec<Shard>,
    bytes_max: usize,
    /// whose turn it is to be expired
    turn: usize,
}

impl Default for Shards {
    fn default() -> Self {
        Shards::of_bytes(BYTES_MAX)
    }
}

static NOBODY: Arena = Arena::EMPTY;

impl Shards {
    fn of_bytes(bytes_max: usize) -> Shards {
        let shards = vec![Shard::default()];
        Shards { directory: vec![0], depth: 0, shards, bytes_max, turn: 0 }
    }

    fn place(&self, key: u128) -> usize {
        self.directory[leading(key, self.depth)] as usize
    }

    /// The account of this key; an empty one where there is none.
    pub(super) fn get(&self, key: u128) -> &Arena {
        self.shards[self.place(key)].accounts.get(&key).unwrap_or(&NOBODY)
    }

    /// Changes the account of this key, made if it is new.
    pub(super) fn change<T>(&mut self, key: u128, change: impl FnOnce(&mut Arena) -> T) -> T {
        let place = self.place(key);
        let shard = &mut self.shards[place];
        let arena = shard.accounts.entry(key).or_default();
        let before = if arena.is_empty() { 0 } else { bytes_of(arena) };
        let done = change(arena);
        shard.bytes = shard.bytes + bytes_of(arena) - before;
        shard.changed = true;
        if shard.bytes > self.bytes_max {
            self.split(place);
        }
        done
    }

    /// Changes the account of this key, if it is there, and takes it out where nothing is left of it. Its
    /// shard counts as changed either way.
    pub(super) fn reduce(&mut self, key: u128, reduce: impl FnOnce(&mut Arena) -> bool) {
        let place = self.place(key);
        let shard = &mut self.shards[place];
        shard.changed = true;
        let Some(arena) = shard.accounts.get_mut(&key) else { return };
        shard.bytes -= bytes_of(arena);
        match reduce(arena) {
            true => shard.bytes += bytes_of(arena),
            false => drop(shard.accounts.remove(&key)),
        }
    }

    /// Makes two shards of one.
    fn split(&mut self, place: usize) {
        let Range { prefix, depth } = self.shards[place].range;
        if depth == DEPTH_MAX {
            return;
        }
        if depth == self.depth {
            self.directory = self.directory.iter().flat_map(|shard| [*shard, *shard]).collect();
            self.depth += 1;
        }
        let upper = Range { prefix: prefix << 1 | 1, depth: depth + 1 };
        let shard = &mut self.shards[place];
        shard.range = Range { prefix: prefix << 1, depth: depth + 1 };
        let is_upper = |key: u128| leading(key, depth + 1) == upper.prefix as usize;
        let accounts: HashMap<u128, Arena, KeyHasher> =
            shard.accounts.extract_if(|key, _| is_upper(*key)).collect();
        let bytes = accounts.values().map(bytes_of).sum();
        shard.bytes -= bytes;
        shard.accounts.shrink_to_fit();
        let number = self.shards.len() as u32;
        self.shards.push(Shard { range: upper, accounts, bytes, changed: true, captures: 0 });
        self.directory[upper.slots(self.depth)].fill(number);
    }

    /// Every shard's range.
    pub(super) fn ranges(&self) -> impl Iterator<Item = Range> {
        self.shards.iter().map(|shard| shard.range)
    }

    /// The ranges that changed since they were captured last.
    pub(super) fn changed(&self) -> impl Iterator<Item = Range> {
        self.shards.iter().filter(|shard| shard.changed).map(|shard| shard.range)
    }

    /// Hands over the accounts of the shard that has this range now, and their bytes; it counts as
    /// unchanged from now on. Before that, now and then, takes out what `expire` says nothing is left of.
    /// `None` where the shard was split meanwhile.
    pub(super) fn capture<T>(
        &mut self,
        range: Range,
        mut expire: impl FnMut(&mut Arena) -> bool,
        take: impl FnOnce(&mut dyn Iterator<Item = (&u128, &Arena)>, usize) -> T,
    ) -> Option<T> {
        let first = (range.prefix as usize) << self.depth.checked_sub(range.depth)?;
        let shard = self.directory.get(first).map(|shard| &mut self.shards[*shard as usize])?;
        if shard.range != range {
            return None;
        }
        shard.fetch();
        if shard.captures.is_multiple_of(EXPIRED_EVERY) {
            shard.expire(&mut expire);
        }
        shard.captures = shard.captures.wrapping_add(1);
        shard.changed = false;
        Some(take(&mut shard.accounts.iter(), shard.bytes))
    }

    /// Takes out of one shard, each in its turn, what `expire` says nothing is left of.
    pub(super) fn expire_next(&mut self, mut expire: impl FnMut(&mut Arena) -> bool) {
        let turn = self.turn % self.shards.len();
        self.shards[turn].fetch();
        self.shards[turn].expire(&mut expire);
        self.turn = turn + 1;
    }

    /// Puts an account in, as it was captured.
    pub(super) fn insert(&mut self, key: u128, arena: Arena) {
        self.change(key, |known| *known = arena);
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.accounts.len()).sum()
    }

    pub(super) fn bytes(&self) -> usize {
        let of = |arena: &Arena| size_of::<(u128, Arena)>() + arena.heap_bytes();
        self.shards.iter().flat_map(|shard| shard.accounts.values()).map(of).sum()
    }

    /// A hash of all accounts once each is expired; one of which nothing is left does not count.
    pub(super) fn hash(&self, expire: impl Fn(&mut Arena) -> bool) -> u64 {
        let mut all: Vec<(u128, u64)> = Vec::with_capacity(self.len());
        for (key, arena) in self.shards.iter().flat_map(|shard| &shard.accounts) {
            let mut arena = arena.clone();
            if expire(&mut arena) {
                all.push((*key, arena.hash()));
            }
        }
        hash_of(all)
    }
}

/// The leading bits of a hash.
fn leading(key: u128, bits: u32) -> usize {
    match bits {
        0 => 0,
        bits => (key >> (u128::BITS - bits)) as usize,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn shards_are_one_map_however_often_they_split(
            changes in proptest::collection::vec((0u64..80, any::<i64>()), 0..600),
        ) {
            let mut shards = Shards::of_bytes(600);
            let mut twin: std::collections::HashMap<u128, Vec<i64>> = std::collections::HashMap::new();
            for (key, value) in changes {
                let is_reduced = key % 7 == 0 && value % 3 == 0;
                // spread as hashes are
                let key = u128::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                if is_reduced {
                    shards.reduce(key, |_| false);
                    twin.remove(&key);
                    continue;
                }
                shards.change(key, |arena| {
                    if arena.is_empty() {
                        *arena = Arena::new(1);
                    }
                    let end = arena.get(0, 1).len();
                    arena.insert(0, 1, end, &[value]);
                });
                twin.entry(key).or_default().push(value);
            }
            prop_assert_eq!(shards.len(), twin.len());
            for (key, values) in &twin {
                prop_assert_eq!(shards.get(*key).get(0, 1), values.as_slice());
            }
            for shard in &shards.shards {
                let bytes: usize = shard.accounts.values().map(bytes_of).sum();
                prop_assert_eq!(bytes, shard.bytes);
                let Range { prefix, depth } = shard.range;
                for key in shard.accounts.keys() {
                    prop_assert_eq!(leading(*key, depth), prefix as usize);
                }
            }
        }
    }
}

//! A table of texts: which entry has exactly this key.
//!
//! ```text
//!  hash of the key ─► group of 7 slots: a byte of the hash for each ─► the slot with that byte
//!                     8 bytes, small enough for the cache             its entry, one read of memory
//! ```
//!
//! A slot's entry stands where its number says, so that nothing has to be read to know where. Keys of
//! about one length have slots of one size. An entry that takes more, as of a note or another spelling,
//! stands behind all slots, and its slot says where. A key that is not there mostly ends at the group:
//! one in forty shares a byte with another and is compared with that.
//!
//! A group that is full passes entries on to the next, and keeps in its eighth byte one bit for each
//! eighth of the keys of which one was passed on.

use std::hash::{BuildHasher, RandomState};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::records::{FAR_BYTES, Records};

/// Slots of a group.
const SLOTS: usize = 7;

/// Entries of a group, on average: fewer cost memory, more are passed on.
const ENTRIES: usize = 6;

/// Key lengths of a class: more cost memory, fewer cost classes.
const CLASS: usize = 4;

/// Bytes that it is worth to wait for memory once and not twice.
const SECOND_READ: usize = 16;

/// A number whose bytes are all 1.
const EACH: u64 = u64::MAX / 255;

/// Which entry has a key.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// of the hash: whoever chooses keys does not choose their groups
    seed: u64,
    groups: Box<[Group]>,
    classes: Vec<Class>,
}

/// The slots of keys of about one length, [`CLASS`] bytes apart.
#[derive(Clone, Copy, Debug, Default)]
struct Class {
    /// the first group, and how many
    first: u32,
    groups: u32,
    /// where the first slot stands, and its bytes
    place: u32,
    stride: u32,
}

/// A byte for each slot, 0 where it is free; the highest byte says what was passed on.
#[derive(Clone, Copy, Debug, Default)]
struct Group(u64);

/// Where a key belongs, and how it is told from others there.
#[derive(Clone, Copy)]
struct Home {
    group: usize,
    tag: u8,
    passed: u64,
}

impl Home {
    #[inline]
    fn of(key: &[u8], class: Class, seed: u64) -> Home {
        let hash = xxh3_64_with_seed(key, seed);
        Home {
            group: (((hash >> 32) * u64::from(class.groups)) >> 32) as usize,
            tag: (((hash & 0xffff) * 255) >> 16) as u8 + 1,
            passed: 1 << (56 + (hash >> 16 & 7)),
        }
    }
}

impl Class {
    /// Where a slot stands.
    #[inline]
    fn slot(self, group: usize, slot: usize) -> usize {
        self.place as usize + (group * SLOTS + slot) * self.stride as usize
    }

    /// The group that takes what another has no room for.
    #[inline]
    fn next(self, group: usize) -> usize {
        if group + 1 == self.groups as usize { 0 } else { group + 1 }
    }
}

impl Group {
    /// The slots that have this byte: the highest bit of each.
    #[inline]
    fn with(self, tag: u8) -> u64 {
        const LOW: u64 = 0x7f * EACH;
        let differ = self.0 ^ (u64::from(tag) * EACH);
        !(((differ & LOW) + LOW) | differ | LOW) & (u64::MAX >> 8)
    }
}

/// The number of the first slot of some.
#[inline]
fn first(slots: u64) -> usize {
    slots.trailing_zeros() as usize / 8
}

impl Table {
    /// Puts entries in the order of a table: that, the entries in their new places, and how many keys
    /// they have. Of one key the first is kept; where another says something else, `twice` is its
    /// place of before.
    pub(super) fn build(
        from: Records,
        places: &[u32],
        twice: &mut Option<u32>,
    ) -> (Table, Records, usize) {
        Table::build_with(RandomState::new().hash_one(()), from, places, twice)
    }

    fn build_with(
        seed: u64,
        from: Records,
        places: &[u32],
        twice: &mut Option<u32>,
    ) -> (Table, Records, usize) {
        let (classes, groups, slots) = classes(&from, places);
        let mut table = Table { seed, groups: vec![Group::default(); groups].into(), classes };
        let mut records = from.room(slots);
        let mut len = 0;
        for place in places {
            let key = from.key(*place);
            match table.find(key, &records) {
                Some(first) => {
                    if twice.is_none() && records.said(first) != from.said(*place) {
                        *twice = Some(*place);
                    }
                }
                None => {
                    let class = table.classes[class_of(key)];
                    let slot = table.take(class, Home::of(key, class, seed));
                    records.copy(slot, class.stride as usize, &from, *place);
                    len += 1;
                }
            }
        }
        records.shrink();
        (table, records.with_notes(from), len)
    }

    /// Takes a free slot of a class for a key; where it stands.
    fn take(&mut self, class: Class, home: Home) -> usize {
        let mut at = home.group;
        loop {
            let group = &mut self.groups[class.first as usize + at];
            // there are more slots than entries
            let free = group.with(0);
            if free != 0 {
                let slot = first(free);
                group.0 |= u64::from(home.tag) << (8 * slot);
                return class.slot(at, slot);
            }
            group.0 |= home.passed;
            at = class.next(at);
        }
    }

    /// The entry that has this key.
    #[inline]
    pub(super) fn find(&self, key: &[u8], records: &Records) -> Option<u32> {
        let class = *self.classes.get(class_of(key))?;
        let home = Home::of(key, class, self.seed);
        let mut at = home.group;
        for _ in 0..class.groups {
            let group = self.groups[class.first as usize + at];
            let mut slots = group.with(home.tag);
            while slots != 0 {
                if let Some(place) = records.in_slot(class.slot(at, first(slots)), key) {
                    return Some(place);
                }
                slots &= slots - 1;
            }
            if group.0 & home.passed == 0 {
                return None;
            }
            at = class.next(at);
        }
        None
    }

    /// The places of all entries, in the order of the table.
    pub(super) fn places<'a>(&'a self, records: &'a Records) -> impl Iterator<Item = u32> + 'a {
        let slots = |class: &'a Class| (0..class.groups as usize * SLOTS).map(move |i| (class, i));
        let taken = |(class, i): &(&Class, usize)| {
            self.groups[class.first as usize + i / SLOTS].0 >> (8 * (i % SLOTS)) & 0xff != 0
        };
        let all = self.classes.iter().flat_map(slots).filter(taken);
        all.map(|(class, i)| records.place(class.slot(i / SLOTS, i % SLOTS)))
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.groups) + size_of_val(&*self.classes)
    }
}

#[inline]
fn class_of(key: &[u8]) -> usize {
    key.len() / CLASS
}

/// The classes of some entries, with how many groups they have and how many bytes all slots take.
fn classes(from: &Records, places: &[u32]) -> (Vec<Class>, usize, usize) {
    // for each class how many entries have how many bytes
    let mut lengths: Vec<Vec<usize>> = Vec::new();
    for place in places {
        let (class, length) = (class_of(from.key(*place)), from.len_at(*place));
        lengths.resize(lengths.len().max(class + 1), Vec::new());
        let of = &mut lengths[class];
        of.resize(of.len().max(length + 1), 0);
        of[length] += 1;
    }
    let (mut groups, mut bytes) = (0, 0);
    let class = |of: Vec<usize>| {
        let count: usize = of.iter().sum();
        if count == 0 {
            return Class::default();
        }
        let (first, place) = (groups, bytes);
        let own = count / ENTRIES + 1;
        let stride = stride(own * SLOTS, &of);
        groups += own;
        bytes += own * SLOTS * stride;
        Class {
            first: first as u32,
            groups: own as u32,
            place: place as u32,
            stride: stride as u32,
        }
    };
    let classes = lengths.into_iter().map(class).collect();
    (classes, groups, bytes)
}

/// Bytes of a slot with which so many slots, and what does not fit into one, cost the least. `of` says how
/// many entries have how many bytes.
fn stride(slots: usize, of: &[usize]) -> usize {
    let cost = |(length, count): (usize, &usize)| (length + SECOND_READ) * count;
    let mut far: usize = of.iter().enumerate().map(cost).sum();
    let mut best = (slots * FAR_BYTES + far, FAR_BYTES);
    for (length, count) in of.iter().enumerate() {
        far -= cost((length, count));
        if length >= FAR_BYTES {
            best = best.min((slots * length + far, length));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::super::records::{Item, Notes};
    use super::*;

    const SEED: u64 = 7;

    fn table(keys: &[String]) -> (Table, Records, usize) {
        let (mut records, mut notes) = (Records::default(), Notes::default());
        let place = |key: &String| {
            let item = Item { key, value: key, expires: None, note: None };
            records.push(item, &mut notes).unwrap()
        };
        let places: Vec<u32> = keys.iter().map(place).collect();
        Table::build_with(SEED, records, &places, &mut None)
    }

    fn check(keys: &[String], distinct: usize) -> (Table, Records) {
        let (table, records, len) = table(keys);
        assert_eq!(len, distinct);
        let mut found = Vec::new();
        for key in keys {
            let place = table.find(key.as_bytes(), &records).unwrap();
            assert_eq!(records.key(place), key.as_bytes());
            found.push(place);
        }
        found.sort_unstable();
        found.dedup();
        let mut places: Vec<u32> = table.places(&records).collect();
        places.sort_unstable();
        assert_eq!(found, places);
        for i in 0..1_000 {
            assert_eq!(table.find(format!("none {i}").as_bytes(), &records), None);
        }
        (table, records)
    }

    #[test]
    fn keys_of_any_length_are_found_in_slots_or_behind_them() {
        for longest in [1, 3, 8, 40, 250] {
            let keys: Vec<String> =
                (0..2_000).map(|i| format!("{i:0w$}", w = i % longest)).collect();
            check(&keys, keys.len());
        }
        let mut keys: Vec<String> = (0..1_000).map(|i| format!("{i:08}")).collect();
        keys.extend((0..10).map(|i| format!("{i:0250}")));
        let (table, records) = check(&keys, keys.len());
        let slots = |length: usize, stride: usize| {
            let class = table.classes[length / CLASS];
            assert_eq!(class.stride as usize, stride);
            class.groups as usize * SLOTS * stride
        };
        // few long ones would leave too much free
        let bytes = slots(8, 10) + slots(250, FAR_BYTES) + 10 * 252;
        assert_eq!(records.bytes(), bytes);
    }

    #[test]
    fn groups_pass_on_what_they_have_no_room_for() {
        // all of the last group, as of somebody who chooses them
        const KEYS: usize = 300;
        let groups = 2 * KEYS / ENTRIES + 1;
        let class = Class { groups: groups as u32, ..Class::default() };
        let is_last = |key: &String| Home::of(key.as_bytes(), class, SEED).group == groups - 1;
        let mut keys: Vec<String> =
            (0..).map(|i: usize| format!("{i:08}")).filter(is_last).take(KEYS).collect();
        keys.extend(keys.clone());
        let (table, _) = check(&keys, KEYS);
        assert_eq!(table.groups.len(), groups);
    }

    #[test]
    fn few_keys_that_are_not_there_are_compared() {
        let keys: Vec<String> = (0..20_000).map(|i| format!("{i:09}")).collect();
        let (table, _) = check(&keys, keys.len());
        let is_compared = |i: &usize| {
            let key = format!("x{i:08}");
            let home = Home::of(key.as_bytes(), table.classes[class_of(key.as_bytes())], SEED);
            table.groups[home.group].with(home.tag) != 0
        };
        let compared = (0..100_000).filter(is_compared).count();
        assert!((1_800..2_900).contains(&compared), "{compared} of 100000");
    }

    #[test]
    fn a_byte_is_found_wherever_it_is_and_nowhere_else() {
        for tag in [0_u8, 1, 2, 127, 128, 254, 255] {
            for others in [0_u8, 1, 127, 128, 129, 254, 255] {
                for slot in 0..8 {
                    let mut bytes = [others; 8];
                    bytes[slot] = tag;
                    let is = |at: &usize| *at < SLOTS && bytes[*at] == tag;
                    let expected: u64 = (0..8).filter(is).map(|at| 0x80 << (8 * at)).sum();
                    assert_eq!(Group(u64::from_le_bytes(bytes)).with(tag), expected);
                }
            }
        }
    }
}

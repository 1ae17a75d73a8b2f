//! A table of texts: which entry has exactly this key.
//!
//! ```text
//!  hash of the key ─► bucket: place and filter ─► its entries, one behind the other
//!                     8 bytes, two entries        about 50 bytes
//! ```
//!
//! The entries themselves stand in the order of their buckets, so that a key that is there costs two
//! reads of memory. Most of what is looked up is in no list: a filter has two bits for each entry of
//! its bucket, and 49 of 50 keys that are not there end at it, which is four bytes an entry.

use xxhash_rust::xxh3::xxh3_64;

use super::records::Records;

/// Entries of a bucket, on average.
const BUCKET: usize = 2;

/// Which entry has a key.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// the place of each bucket, and in the lower half its filter; at last, where the last one ends
    buckets: Box<[u64]>,
}

/// Where a key belongs, and its bits of the filter there.
#[derive(Clone, Copy)]
struct Home {
    bucket: usize,
    bits: u64,
}

impl Home {
    #[inline]
    fn of(key: &[u8], buckets: usize) -> Home {
        let hash = xxh3_64(key);
        let bucket = ((hash >> 32) * buckets as u64) >> 32;
        Home { bucket: bucket as usize, bits: 1 << (hash & 31) | 1 << (hash >> 5 & 31) }
    }
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
        let count = places.len() / BUCKET + 1;
        // first how many bytes each bucket has, then where it begins, then where it ends so far
        let mut ends = vec![0_u32; count];
        for place in places {
            ends[Home::of(from.key(*place), count).bucket] += from.len_at(*place) as u32;
        }
        let mut buckets: Vec<u64> = Vec::with_capacity(count + 1);
        let mut at = 0;
        for end in &mut ends {
            buckets.push(u64::from(at) << 32);
            at += std::mem::replace(end, at);
        }
        buckets.push(u64::from(at) << 32);
        let mut records = from.room_for_same();
        let mut len = 0;
        for place in places {
            let key = from.key(*place);
            let Home { bucket, bits } = Home::of(key, count);
            let begin = (buckets[bucket] >> 32) as u32;
            match records.scan(begin, ends[bucket], key) {
                Some(first) => {
                    if twice.is_none() && records.said(first) != from.said(*place) {
                        *twice = Some(*place);
                    }
                }
                None => {
                    ends[bucket] = records.copy(ends[bucket], &from, *place);
                    buckets[bucket] |= bits;
                    len += 1;
                }
            }
        }
        (Table { buckets: buckets.into() }, records.with_notes(from), len)
    }

    /// The entry that has this key.
    #[inline]
    pub(super) fn find(&self, key: &[u8], records: &Records) -> Option<u32> {
        let Home { bucket, bits } = Home::of(key, self.buckets.len() - 1);
        let found = self.buckets[bucket];
        if found & bits != bits {
            return None;
        }
        records.scan((found >> 32) as u32, (self.buckets[bucket + 1] >> 32) as u32, key)
    }

    /// The places of all entries, in the order of the table.
    pub(super) fn places<'a>(&'a self, records: &'a Records) -> impl Iterator<Item = u32> + 'a {
        let bounds = self.buckets.windows(2).map(|pair| (pair[0] >> 32, pair[1] >> 32));
        bounds.flat_map(|(begin, end)| records.places(begin as u32, end as u32))
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }
}

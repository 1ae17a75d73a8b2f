//! Which events of one account and topic were seen: a ring of (event id, payload) hashes.

use super::arena::Arena;
use super::window::Region;
use crate::event::Millis;

/// How far back a repeated event id is recognised. `docs/contracts.md` says it to the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// accepted events remembered per account and topic
    pub ids: usize,
    /// how much older than the newest accepted event an entry may be, in milliseconds; compared in steps
    /// of 16.384 s
    pub age_ms: i64,
}

impl Default for Horizon {
    fn default() -> Self {
        Horizon { ids: 64, age_ms: 7 * 24 * 3_600_000 }
    }
}

/// What is known of an event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// nothing: the event was applied
    New,
    /// the same event, to the byte
    Duplicate,
    /// another payload under the same id
    Conflict,
}

/// A region with the newest time accepted, the place of the oldest entry, and the entries: hash of the id;
/// 40 bits of the payload's hash and 24 of the time in steps. Entries are in order of arrival, oldest first
/// from that place. It grows while the oldest entry may still be met, up to the ids of the horizon; then
/// the oldest makes way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ring(pub(super) Region);

const HEAD: usize = 2;
const ENTRY: usize = 2;
/// Bits of a time that do not count: age is told in steps of 16.384 s, 2^24 of which are eight years.
const STEP_BITS: u32 = 14;
const TIME_BITS: u32 = 24;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// Steps since the beginning of time, as far as an entry has room for them.
fn steps(time_ms: i64) -> u64 {
    (time_ms >> STEP_BITS).cast_unsigned() & TIME
}

impl Horizon {
    /// Whether an entry is young enough, once `newest` is the newest time accepted. One that is not
    /// never is again.
    fn reaches(self, newest: i64, entry: i64) -> bool {
        let most = (self.age_ms + (1 << STEP_BITS) - 1) >> STEP_BITS;
        steps(newest).wrapping_sub(entry.cast_unsigned()) & TIME <= most.cast_unsigned()
    }
}

fn packed(payload: i64, time_ms: i64) -> i64 {
    (payload.cast_unsigned() << TIME_BITS | steps(time_ms)).cast_signed()
}

fn is_same_payload(entry: i64, payload: i64) -> bool {
    entry.cast_unsigned() >> TIME_BITS == payload.cast_unsigned() << TIME_BITS >> TIME_BITS
}

/// Words that a ring of so many ids has at most.
pub(super) fn words_max(ids: usize) -> usize {
    HEAD + ids * ENTRY
}

impl Ring {
    /// The newest time accepted.
    pub(super) fn newest(self, arena: &Arena) -> Option<i64> {
        self.0.get(arena).first().copied()
    }

    /// Looks an event up without changing anything.
    pub(super) fn look_up(self, arena: &Arena, id: i64, payload: i64, horizon: Horizon) -> Seen {
        let [newest, next, entries @ ..] = self.0.get(arena) else {
            return Seen::New;
        };
        let entries = entries.as_chunks::<ENTRY>().0;
        let (younger, older) = entries.split_at((*next as usize).min(entries.len()));
        // newest first: of several entries with this id the last accepted one counts
        let mut newest_first = younger.iter().rev().chain(older.iter().rev());
        let is_met = |entry: i64| horizon.reaches(*newest, entry);
        match newest_first.find(|[known, entry]| *known == id && is_met(*entry)) {
            None => Seen::New,
            Some([_, known]) if is_same_payload(*known, payload) => Seen::Duplicate,
            Some(_) => Seen::Conflict,
        }
    }

    /// Puts a ring that was kept under a greater number of ids in order: oldest first, the newest `ids`.
    pub(super) fn settle(self, arena: &mut Arena, ids: usize) {
        let Region { at, of } = self.0;
        let [newest, next, entries @ ..] = self.0.get(arena) else { return };
        let known = entries.len() / ENTRY;
        if known <= ids {
            return;
        }
        let (newest, mut entries) = (*newest, entries.to_vec());
        entries.rotate_left((*next as usize * ENTRY).min(known * ENTRY));
        arena.clear(at, of);
        arena.extend(at, of, &[newest, 0]);
        arena.extend(at, of, &entries[(known - ids) * ENTRY..]);
    }

    /// Remembers an accepted event.
    pub(super) fn accept(
        self,
        arena: &mut Arena,
        id: i64,
        payload: i64,
        time: Millis,
        horizon: Horizon,
    ) {
        let Region { at, of } = self.0;
        let entry = [id, packed(payload, time.0)];
        let length = self.0.get(arena).len();
        if length == 0 {
            arena.insert(at, of, 0, &[time.0, 0, entry[0], entry[1]]);
            return;
        }
        let ids = (length - HEAD) / ENTRY;
        let words = arena.get_mut(at, of);
        words[0] = words[0].max(time.0);
        let next = words[1] as usize % ids;
        let place = HEAD + next * ENTRY;
        if ids >= horizon.ids || !horizon.reaches(words[0], words[place + 1]) {
            words[place..place + ENTRY].copy_from_slice(&entry);
            words[1] = ((next + 1) % ids) as i64;
        } else if next == 0 {
            arena.insert(at, of, length, &entry);
        } else {
            // between the newest and the oldest
            words[1] += 1;
            arena.insert(at, of, place, &entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP_MS: i64 = 1 << STEP_BITS;
    const HORIZON: Horizon = Horizon { ids: 3, age_ms: 100 * STEP_MS };

    const RING: Ring = Ring(Region { at: 0, of: 1 });

    fn see(arena: &mut Arena, id: i64, payload: i64, time: i64) -> Seen {
        let seen = RING.look_up(arena, id, payload, HORIZON);
        if seen == Seen::New {
            RING.accept(arena, id, payload, Millis(time * STEP_MS), HORIZON);
        }
        seen
    }

    /// The same rule, said naively.
    #[derive(Default)]
    struct Naive(Vec<(i64, i64, i64)>);

    impl Naive {
        fn see(&mut self, id: i64, payload: i64, time: i64) -> Seen {
            let newest = self.0.iter().map(|entry| entry.2).max();
            let last = self.0.iter().rev().take(HORIZON.ids).find(|entry| {
                entry.0 == id && newest.is_some_and(|newest| newest - entry.2 <= 100)
            });
            match last {
                Some(entry) if entry.1 == payload => Seen::Duplicate,
                Some(_) => Seen::Conflict,
                None => {
                    self.0.push((id, payload, time));
                    Seen::New
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn the_ring_agrees_with_the_naive_rule(
            events in proptest::collection::vec((0i64..6, 0i64..2, 0i64..400), 0..60)
        ) {
            let (mut ring, mut naive) = (Arena::new(1), Naive::default());
            for (id, payload, time) in events {
                let seen = see(&mut ring, id, payload, time);
                proptest::prop_assert_eq!(seen, naive.see(id, payload, time));
            }
        }
    }

    #[test]
    fn an_id_is_forgotten_after_enough_others_or_enough_time() {
        let mut ring = Arena::new(1);
        assert_eq!(see(&mut ring, 1, 1, 0), Seen::New);
        assert_eq!(see(&mut ring, 1, 1, 0), Seen::Duplicate);
        assert_eq!(see(&mut ring, 1, 2, 0), Seen::Conflict);
        assert_eq!(see(&mut ring, 2, 1, 100), Seen::New);
        assert_eq!(see(&mut ring, 1, 1, 0), Seen::Duplicate, "100 steps old: at the edge");
        assert_eq!(see(&mut ring, 3, 1, 101), Seen::New);
        assert_eq!(see(&mut ring, 1, 1, 0), Seen::New, "101 steps old: beyond");
        for id in 4..7 {
            assert_eq!(see(&mut ring, id, 1, 101), Seen::New);
        }
        assert_eq!(see(&mut ring, 3, 1, 101), Seen::New, "three others came after it");
    }
}

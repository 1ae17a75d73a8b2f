//! Which events of one account and topic were seen: a ring of (event id, payload) hashes.

use crate::event::Millis;

/// How far back a repeated event id is recognised. `docs/contracts.md` says it to the letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// accepted events remembered per account and topic
    pub ids: usize,
    /// how much older than the newest accepted event an entry may be, in milliseconds
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    id: u64,
    payload: u64,
    time: Millis,
}

/// The ring. Entries are in order of arrival, oldest first from `next`.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Ring {
    entries: Vec<Entry>,
    next: usize,
    newest: Option<Millis>,
}

impl Ring {
    /// Looks an event up without changing anything.
    pub(super) fn look_up(&self, id: u64, payload: u64, horizon: Horizon) -> Seen {
        let Some(newest) = self.newest else {
            return Seen::New;
        };
        let (younger, older) = self.entries.split_at(self.next.min(self.entries.len()));
        // newest first: of several entries with this id the last accepted one counts
        let found = younger.iter().rev().chain(older.iter().rev()).find(|entry| {
            entry.id == id && newest.0.saturating_sub(entry.time.0) <= horizon.age_ms
        });
        match found {
            None => Seen::New,
            Some(entry) if entry.payload == payload => Seen::Duplicate,
            Some(_) => Seen::Conflict,
        }
    }

    /// Remembers an accepted event.
    pub(super) fn accept(&mut self, id: u64, payload: u64, time: Millis, horizon: Horizon) {
        let entry = Entry { id, payload, time };
        if self.entries.len() < horizon.ids {
            self.entries.push(entry);
        } else if let Some(oldest) = self.entries.get_mut(self.next) {
            *oldest = entry;
            self.next = (self.next + 1) % horizon.ids;
        }
        self.newest = self.newest.max(Some(time));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Horizon = Horizon { ids: 3, age_ms: 100 };

    fn see(ring: &mut Ring, id: u64, payload: u64, time: i64) -> Seen {
        let seen = ring.look_up(id, payload, HORIZON);
        if seen == Seen::New {
            ring.accept(id, payload, Millis(time), HORIZON);
        }
        seen
    }

    /// The same rule, said naively.
    #[derive(Default)]
    struct Naive(Vec<(u64, u64, i64)>);

    impl Naive {
        fn see(&mut self, id: u64, payload: u64, time: i64) -> Seen {
            let newest = self.0.iter().map(|entry| entry.2).max();
            let last = self.0.iter().rev().take(HORIZON.ids).find(|entry| {
                entry.0 == id && newest.is_some_and(|newest| newest - entry.2 <= HORIZON.age_ms)
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
            events in proptest::collection::vec((0u64..6, 0u64..2, 0i64..400), 0..60)
        ) {
            let (mut ring, mut naive) = (Ring::default(), Naive::default());
            for (id, payload, time) in events {
                let seen = see(&mut ring, id, payload, time);
                proptest::prop_assert_eq!(seen, naive.see(id, payload, time));
            }
        }
    }

    #[test]
    fn an_id_is_forgotten_after_enough_others_or_enough_time() {
        let mut ring = Ring::default();
        assert_eq!(see(&mut ring, 1, 1, 0), Seen::New);
        assert_eq!(see(&mut ring, 1, 1, 0), Seen::Duplicate);
        assert_eq!(see(&mut ring, 1, 2, 0), Seen::Conflict);
        assert_eq!(see(&mut ring, 2, 1, 100), Seen::New);
        assert_eq!(see(&mut ring, 1, 1, 0), Seen::Duplicate, "100 ms old: at the edge");
        assert_eq!(see(&mut ring, 3, 1, 101), Seen::New);
        assert_eq!(see(&mut ring, 1, 1, 0), Seen::New, "101 ms old: beyond");
        for id in 4..7 {
            assert_eq!(see(&mut ring, id, 1, 101), Seen::New);
        }
        assert_eq!(see(&mut ring, 3, 1, 101), Seen::New, "three others came after it");
    }
}

//! What a registry has said, kept within bounds.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use hashbrown::HashMap;

/// A map that forgets its oldest entry when a new one would be one too many.
#[derive(Debug)]
pub(super) struct Bounded<V> {
    map: HashMap<u32, V>,
    order: VecDeque<u32>,
    most: usize,
}

impl<V> Bounded<V> {
    pub(super) fn new(most: usize) -> Bounded<V> {
        Bounded { map: HashMap::new(), order: VecDeque::new(), most: most.max(1) }
    }

    pub(super) fn get(&self, id: u32) -> Option<&V> {
        self.map.get(&id)
    }

    pub(super) fn insert(&mut self, id: u32, value: V) {
        if self.map.insert(id, value).is_some() {
            return;
        }
        self.order.push_back(id);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.map.remove(&oldest);
        }
    }
}

/// Schemas by id, for ever as far as there is room, and ids without one, for a while. Read by
/// every worker for every record.
#[derive(Debug)]
pub(super) struct Cache<V> {
    known: RwLock<Bounded<V>>,
    unknown: RwLock<Bounded<Instant>>,
    ttl: Duration,
}

impl<V: Clone> Cache<V> {
    pub(super) fn new(known_max: usize, unknown_max: usize, ttl: Duration) -> Cache<V> {
        Cache {
            known: RwLock::new(Bounded::new(known_max)),
            unknown: RwLock::new(Bounded::new(unknown_max)),
            ttl,
        }
    }

    /// What is known of an id: its value, `Some(None)` where it has none, `None` where it must be
    /// asked for.
    pub(super) fn get(&self, id: u32, now: impl FnOnce() -> Instant) -> Option<Option<V>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = known.get(id) {
            return Some(Some(value.clone()));
        }
        drop(known);
        let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner);
        let since = unknown.get(id)?;
        (now().saturating_duration_since(*since) < self.ttl).then_some(None)
    }

    pub(super) fn learn(&self, id: u32, value: V) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(id, value);
    }

    pub(super) fn has_none(&self, id: u32, now: Instant) {
        self.unknown.write().unwrap_or_else(PoisonError::into_inner).insert(id, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_its_bound_and_the_newest_are_kept() {
        let mut map = Bounded::new(10);
        for id in 0..1_000u32 {
            map.insert(id, id);
            map.insert(id, id + 1);
            assert_eq!(map.map.len(), 10.min(id as usize + 1));
            assert_eq!(map.map.len(), map.order.len());
            for kept in id.saturating_sub(9)..=id {
                assert_eq!(map.get(kept), Some(&(kept + 1)), "after {id}");
            }
        }
    }

    #[test]
    fn an_id_is_unknown_for_a_while_and_known_for_good() {
        let cache = Cache::new(10, 10, Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| move || start + Duration::from_secs(seconds);
        assert_eq!(cache.get(7, at(0)), None);
        cache.has_none(7, start);
        assert_eq!(cache.get(7, at(9)), Some(None));
        assert_eq!(cache.get(7, at(10)), None, "it is asked for again");
        // asked again with the same answer, it is unknown for as long again
        cache.has_none(7, at(10)());
        assert_eq!(cache.get(7, at(19)), Some(None));
        cache.learn(7, 'x');
        assert_eq!(cache.get(7, at(19)), Some(Some('x')));
        assert_eq!(cache.get(7, at(1_000_000)), Some(Some('x')));
        // however many ids are unknown, none of them displaces a known one
        for id in 100..200 {
            cache.has_none(id, start);
        }
        assert_eq!(cache.get(7, at(0)), Some(Some('x')));
    }
}

//! What is remembered of entities other than accounts: terminals, cards, devices, vendors. One table for
//! the whole process; what was done to an entity comes from every partition, as touches.
//!
//! Everything kept here commutes: touches of different partitions may come in any order and leave the
//! same behind. `declare` refuses aggregates that do not.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use hashbrown::HashMap;

use super::account::Watermarks;
use super::arena::{Arena, hash_of};
use super::capture::{self, BodyError, Writer};
use super::facts::{Facts, KeyHasher, entity_hash, payment_hash};
use super::read::Known;
use super::set::{FeatureSet, KEYS, KINDS, Key};
use super::shards::{BYTES_MAX, Range};
use super::window::Entry;
use crate::event::{Entity, Event, Kind, Mark, TouchEvent, Verdict};

/// Leading bits of an entity's hash that tell its part.
const PART_BITS: u32 = 10;
/// Where not even that is known which was committed before the start.
const NOT_HEARD: i64 = i64::MIN;

/// A part of the table, behind a lock of its own.
#[derive(Debug, Default)]
struct Part {
    entities: HashMap<u128, (Entity, Arena), KeyHasher>,
    /// of all of them, spare room not
    bytes: usize,
    /// since it was captured last
    changed: bool,
}

/// Bytes that an entity takes; nothing before there is anything.
fn bytes_of(arena: &Arena) -> usize {
    match arena.is_empty() {
        true => 0,
        false => size_of::<(u128, Entity, Arena)>() + size_of_val(arena.words()),
    }
}

/// What an event does to whomever it meets.
#[derive(Clone, Copy, Debug)]
struct Deed<'a> {
    kind: Kind,
    time: i64,
    /// hash of the payment it is or speaks of: its id is unique within its account
    subject: i64,
    verdict: Option<Verdict>,
    marks: &'a [Mark],
}

/// The table.
#[derive(Debug)]
pub struct Profiles {
    parts: Vec<Mutex<Part>>,
    /// the newest event time of each kind, whoever said it
    watermarks: [AtomicI64; KINDS],
    /// by key and region, since when it is kept; empty: ever since
    since: RwLock<[Vec<i64>; KEYS.len()]>,
    /// what is captured in one piece; such a range is only ever split
    ranges: Mutex<Vec<Range>>,
    /// see [`Profiles::heard_until`]
    heard: AtomicI64,
    /// whose turn it is to be expired
    turn: AtomicUsize,
}

impl Default for Profiles {
    fn default() -> Self {
        Profiles {
            parts: std::iter::repeat_with(Mutex::default).take(1 << PART_BITS).collect(),
            watermarks: std::array::from_fn(|_| AtomicI64::new(i64::MIN)),
            since: RwLock::default(),
            ranges: Mutex::new(vec![Range::default()]),
            heard: AtomicI64::new(NOT_HEARD),
            turn: AtomicUsize::new(0),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Profiles {
    fn part_of(&self, id: u128) -> &Mutex<Part> {
        &self.parts[Range::leading(id, PART_BITS)]
    }

    fn part(&self, id: u128) -> MutexGuard<'_, Part> {
        locked(self.part_of(id))
    }

    /// Says until when everything that any partition committed is in it, milliseconds since 1970;
    /// `None`: not even what was committed before the start.
    pub fn hear(&self, until: Option<i64>) {
        self.heard.store(until.unwrap_or(NOT_HEARD), Ordering::Release);
    }

    /// Until when everything that any partition committed is in it, as somebody said who keeps it.
    pub fn heard_until(&self) -> Option<i64> {
        Some(self.heard.load(Ordering::Acquire)).filter(|until| *until != NOT_HEARD)
    }

    fn watermarks(&self) -> Watermarks {
        Watermarks(std::array::from_fn(|kind| self.watermarks[kind].load(Ordering::Acquire)))
    }

    fn begin_with(&self, watermarks: Watermarks) {
        for (known, time) in self.watermarks.iter().zip(watermarks.0) {
            known.store(time, Ordering::Release);
        }
    }

    /// Looks at an entity; at nothing where it was never met.
    pub(super) fn with(&self, entity: Entity, id: u128, look: impl FnOnce(&Arena, Known<'_>)) {
        let watermarks = self.watermarks();
        let since = self.since.read().unwrap_or_else(PoisonError::into_inner);
        let since = since[Key::Entity(entity).index()].as_slice();
        let known = Known { watermarks: &watermarks, since };
        let part = self.part(id);
        match part.entities.get(&id) {
            Some((_, arena)) => look(arena, known),
            None => look(&Arena::EMPTY, known),
        }
    }

    /// Has the entities fetched into the cache that some events name. Their parts are held for it all at
    /// once, those aside that somebody else has: with a lock between them, each would be waited for.
    pub fn fetch<'a>(&self, all: impl Iterator<Item = &'a Facts>) {
        let ids = all.flat_map(Facts::entities);
        let hold = |(_, id)| Some((id, self.part_of(id).try_lock().ok()?));
        let held: Vec<(u128, MutexGuard<'_, Part>)> = ids.filter_map(hold).collect();
        for (id, part) in &held {
            if let Some((_, arena)) = part.entities.get(id) {
                arena.fetch_ends();
            }
        }
    }

    /// Takes up what an event did to the entities it met, but for those that `has_seen` it.
    pub fn apply(&self, set: &FeatureSet, touch: &TouchEvent<'_>, has_seen: impl Fn(u128) -> bool) {
        let tenant = touch.account.split_once('/').map_or("", |(tenant, _)| tenant);
        let met = touch.entities.iter().map(|met| {
            let id = entity_hash(met.entity, tenant, &met.id);
            (met.entity, id)
        });
        let deed = Deed {
            kind: touch.kind,
            time: touch.event_time.0,
            subject: payment_hash(&touch.account, &touch.subject_id),
            verdict: touch.verdict.as_deref().and_then(Verdict::from_name),
            marks: &touch.marks,
        };
        self.take_up(set, deed, met.filter(|(_, id)| !has_seen(*id)));
    }

    /// The same of an event that is at hand itself, with what counts of it.
    pub fn apply_own(
        &self,
        set: &FeatureSet,
        event: &Event<'_>,
        account: &str,
        facts: &Facts,
        marks: &[Mark],
    ) {
        let (subject, verdict) = event.speaks_of();
        let subject = payment_hash(account, subject);
        self.take_up(
            set,
            Deed { kind: facts.kind, time: facts.time, subject, verdict, marks },
            facts.entities(),
        );
    }

    fn take_up(&self, set: &FeatureSet, deed: Deed<'_>, met: impl Iterator<Item = (Entity, u128)>) {
        let Deed { kind, time, subject, verdict, marks } = deed;
        let watermark = self.watermarks[kind as usize].fetch_max(time, Ordering::AcqRel).max(time);
        for (entity, id) in met {
            let key = Key::Entity(entity);
            let i = key.index();
            let kept = || {
                let groups = marks.iter().map(|mark| (set.of_entity(mark.group), mark.value));
                groups.filter_map(|(group, value)| {
                    Some((group.filter(|group| group.key == key)?, value))
                })
            };
            let labels = set.entity_labels[i].filter(|_| verdict.is_some());
            if labels.is_none() && kept().next().is_none() {
                continue;
            }
            let mut part = self.part(id);
            let part = &mut *part;
            part.changed = true;
            let (_, arena) = part.entities.entry(id).or_insert_with(|| (entity, Arena::EMPTY));
            let before = bytes_of(arena);
            set.layouts[i].open(arena);
            let newest = set.entity_newest[i];
            match arena.get_mut(newest.at, newest.of) {
                [known] => *known = (*known).max(time),
                _ => arena.insert(newest.at, newest.of, 0, &[time]),
            }
            if let (Some(labels), Some(verdict)) = (labels, verdict) {
                labels.expire(arena, watermark.saturating_sub(set.retention_ms));
                labels.add(arena, subject, time, verdict);
            }
            for (group, value) in kept() {
                group.add(arena, Entry { time, subject, value }, watermark);
            }
            part.bytes = part.bytes + bytes_of(arena) - before;
        }
    }

    /// Takes out what no reader can see any more.
    pub fn expire(&self, set: &FeatureSet) {
        let watermarks = self.watermarks();
        self.parts.iter().for_each(|part| locked(part).expire(set, &watermarks));
    }

    /// The same of one part, each in its turn: for whoever captures none.
    pub fn expire_next(&self, set: &FeatureSet) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.parts.len();
        locked(&self.parts[turn]).expire(set, &self.watermarks());
    }

    /// The ranges that changed since they were captured last.
    pub fn changed(&self) -> Vec<Range> {
        let changed = |range: &Range| {
            self.parts[range.slots(PART_BITS)].iter().any(|part| locked(part).changed)
        };
        self.ranges().into_iter().filter(changed).collect()
    }

    /// What is captured in one piece each; one that has grown too large is split first.
    pub fn ranges(&self) -> Vec<Range> {
        let mut ranges = locked(&self.ranges);
        let mut open = std::mem::take(&mut *ranges);
        while let Some(range) = open.pop() {
            let parts = &self.parts[range.slots(PART_BITS)];
            let bytes: usize = parts.iter().map(|part| locked(part).bytes).sum();
            match range.depth() < PART_BITS && bytes > BYTES_MAX {
                true => {
                    parts.iter().for_each(|part| locked(part).changed = true);
                    open.extend(range.halves());
                }
                false => ranges.push(range),
            }
        }
        ranges.clone()
    }

    /// The bytes of one range, from which [`Profiles::load`] has it again. Nobody else may apply
    /// touches meanwhile.
    pub fn capture(&self, set: &FeatureSet, range: Range) -> Vec<u8> {
        let watermarks = self.watermarks();
        let since = self.since.read().unwrap_or_else(PoisonError::into_inner);
        let mut writers: Vec<Writer> = set
            .layouts
            .iter()
            .zip(since.iter())
            .map(|(layout, since)| Writer::begin(layout, &watermarks, since, 0))
            .collect();
        for part in &self.parts[range.slots(PART_BITS)] {
            let mut part = locked(part);
            part.expire(set, &watermarks);
            part.changed = false;
            for (id, (entity, arena)) in &part.entities {
                writers[Key::Entity(*entity).index()].add(*id, arena);
            }
        }
        let mut body = Vec::new();
        for writer in writers {
            let bytes = writer.finish();
            body.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            body.extend_from_slice(&bytes);
        }
        body
    }

    /// Takes in what was captured of those entities that `wanted` says.
    ///
    /// # Errors
    /// When these are no bytes of a table; then a part of it may have been taken in.
    pub fn load(
        &self,
        set: &FeatureSet,
        body: &[u8],
        wanted: impl Fn(u128) -> bool,
    ) -> Result<(), BodyError> {
        for (i, body) in pieces(body)?.into_iter().enumerate() {
            let mut reader = capture::Reader::begin(body, &set.layouts[i])?;
            let mut since = self.since.write().unwrap_or_else(PoisonError::into_inner);
            reader.since_into(&mut since[i]);
            let entity = KEYS.iter().find_map(|(_, key)| match key {
                Key::Entity(entity) if key.index() == i => Some(*entity),
                _ => None,
            });
            while let (Some((id, arena)), Some(entity)) = (reader.next()?, entity) {
                if wanted(id) {
                    let mut part = self.part(id);
                    part.bytes += bytes_of(&arena);
                    if let Some((_, old)) = part.entities.insert(id, (entity, arena)) {
                        part.bytes -= bytes_of(&old);
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins at the watermarks that were captured with a range.
    ///
    /// # Errors
    /// When these are no bytes of a table.
    pub fn begin_at(&self, set: &FeatureSet, body: &[u8]) -> Result<(), BodyError> {
        let first = pieces(body)?[0];
        self.begin_with(capture::Reader::begin(first, &set.layouts[0])?.watermarks);
        Ok(())
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.parts.iter().for_each(|part| *locked(part) = Part::default());
        self.begin_with(Watermarks::default());
        *locked(&self.ranges) = vec![Range::default()];
        *self.since.write().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }

    /// Number of entities.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| locked(part).entities.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory in bytes, the table's own spare room not.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|part| locked(part).bytes).sum()
    }

    /// A hash of everything that can still be read, equal for equal tables however they came about.
    pub fn hash(&self, set: &FeatureSet) -> u64 {
        self.expire(set);
        let mut all: Vec<(u128, u64)> = Vec::new();
        for part in &self.parts {
            let part = locked(part);
            all.extend(part.entities.iter().map(|(id, (_, arena))| (*id, arena.hash())));
        }
        hash_of(all)
    }
}

impl Part {
    fn expire(&mut self, set: &FeatureSet, watermarks: &Watermarks) {
        // of whatever kind it was met by last
        let newest = watermarks.newest();
        self.entities.retain(|_, (entity, arena)| {
            let i = Key::Entity(*entity).index();
            let known = set.entity_newest[i].get(arena).first().copied();
            if known.is_none_or(|known| known <= newest.saturating_sub(set.retention_ms)) {
                return false;
            }
            for (kind, plan) in set.kinds.iter().enumerate() {
                let of_entity = plan.groups.iter().filter(|group| group.key.index() == i);
                of_entity.for_each(|group| group.expire(arena, watermarks.0[kind]));
            }
            if let Some(labels) = set.entity_labels[i] {
                labels.expire(arena, newest.saturating_sub(set.retention_ms));
            }
            true
        });
        self.bytes = self.entities.values().map(|(_, arena)| bytes_of(arena)).sum();
    }
}

/// A body by key, each piece after its length.
fn pieces(body: &[u8]) -> Result<Vec<&[u8]>, BodyError> {
    let mut pieces = Vec::with_capacity(KEYS.len());
    let mut left = body;
    while pieces.len() < KEYS.len() {
        let at = body.len() - left.len();
        let damaged = BodyError::Damaged { at, what: "it ends here" };
        let Some((length, rest)) = left.split_first_chunk::<8>() else { return Err(damaged) };
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((piece, rest)) = rest.split_at_checked(length) else { return Err(damaged) };
        pieces.push(piece);
        left = rest;
    }
    Ok(pieces)
}

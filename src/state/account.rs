//! One account: a section per input topic, each written only by records of that topic.

use xxhash_rust::xxh3::xxh3_64;

use super::arena::Arena;
use super::dedupe::{Horizon, Ring, Seen};
use super::facts::Facts;
use super::set::{FeatureSet, Group, KINDS, Key, SectionPlan};
use super::window::{Entry, Region};
use crate::event::{Event, Kind, Millis};

/// Subjects (payments, disputes, …) remembered per section, so that each is counted once however
/// many steps of it arrive.
const SUBJECTS_MAX: usize = 64;
/// Words of the region that remembers them: the place of the oldest, then hash and mask of each, in one
/// word where the mask fits beside 48 bits of the hash.
pub(super) const SUBJECT_WORDS_MAX: usize = 1 + 2 * SUBJECTS_MAX;
const MASK_BITS: u32 = 16;
const MASK: u64 = (1 << MASK_BITS) - 1;

/// The newest event time of each kind, of one partition of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks(pub(super) [i64; KINDS]);

impl Default for Watermarks {
    fn default() -> Self {
        Watermarks([i64::MIN; KINDS])
    }
}

impl Watermarks {
    /// The newest event time of all kinds.
    pub(super) fn newest(&self) -> i64 {
        self.0.iter().copied().max().unwrap_or(i64::MIN)
    }

    pub(super) fn pass(&mut self, kind: usize, time: i64) -> i64 {
        self.0[kind] = self.0[kind].max(time);
        self.0[kind]
    }
}

/// How an event came.
#[derive(Clone, Copy, Debug)]
pub struct Came<'a> {
    /// its bytes, framing included
    pub payload: &'a [u8],
    /// when it was written to its topic
    pub written: Millis,
}

/// Whether an event was new, and in which groups it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// whether and how it was seen before
    pub seen: Seen,
    /// whether it came so late that windows were not kept whole for it
    pub late: bool,
    /// bit i: it counts in group i of its kind
    pub(super) counted: u64,
}

impl FeatureSet {
    /// Applies an event to its section of an account, unless it was seen before. `watermark` is that of
    /// its kind, the event included.
    pub(super) fn apply(
        &self,
        arena: &mut Arena,
        event: &Event<'_>,
        facts: &Facts,
        came: Came<'_>,
        horizon: Horizon,
        watermark: i64,
    ) -> Applied {
        let kind = facts.kind as usize;
        let section = &self.sections[kind];
        self.account_layout().open(arena);
        let ring = Ring(section.seen);
        if ring.newest(arena).is_some_and(|newest| self.is_idle(newest, watermark, horizon)) {
            self.forget(arena, kind);
        }
        let id = xxh3_64(event.event_id().as_bytes()).cast_signed();
        let payload = xxh3_64(came.payload).cast_signed();
        let seen = ring.look_up(arena, id, payload, horizon);
        if seen != Seen::New {
            return Applied { seen, late: false, counted: 0 };
        }
        ring.accept(arena, id, payload, event.event_time(), horizon);
        if let (Some(labels), Some((payment, verdict))) = (section.labels, facts.says) {
            labels.expire(arena, watermark.saturating_sub(self.retention_ms));
            labels.add(arena, payment, facts.time, verdict);
        }
        if let Event::Dispute(dispute) = event {
            self.watch(arena, dispute, came.written);
        }
        let counted = self.count(arena, facts, section.subjects);
        for (i, group) in self.kinds[kind].groups.iter().enumerate() {
            if counted >> i & 1 == 1 && group.key == Key::Account {
                group.add(arena, facts.entry(group), watermark);
            }
        }
        let late = facts.time < watermark.saturating_sub(self.grace_ms);
        Applied { seen, late, counted }
    }

    /// The groups an event counts in: those it matches, but for what counted its subject already.
    fn count(&self, arena: &mut Arena, facts: &Facts, subjects: Region) -> u64 {
        let once = self.kinds[facts.kind as usize].once;
        let wanted = facts.matched & once;
        let (subject, groups) = (facts.subject, wanted.cast_signed());
        let before = match wanted {
            0 => 0,
            _ if once <= MASK => {
                let entry = subject & !MASK.cast_signed() | groups;
                mark_subject(arena, subjects, [entry], MASK)
            }
            _ => mark_subject(arena, subjects, [subject, groups], u64::MAX),
        };
        facts.matched & !(before & once)
    }

    fn is_idle(&self, newest: i64, watermark: i64, horizon: Horizon) -> bool {
        newest <= watermark.saturating_sub(self.retention_ms.max(horizon.age_ms))
    }

    /// Empties a section.
    fn forget(&self, arena: &mut Arena, kind: usize) {
        let SectionPlan { seen, subjects, labels } = self.sections[kind];
        let of_groups = self.kinds[kind].groups.iter().filter(|group| group.key == Key::Account);
        let regions = of_groups.flat_map(Group::regions).chain([seen, subjects]);
        regions.chain(labels.map(|labels| labels.region)).for_each(|Region { at, of }| {
            arena.clear(at, of);
        });
    }

    /// Forgets what events of this kind have said of an account. Whether anything is left.
    pub(super) fn erase(&self, arena: &mut Arena, kind: Kind) -> bool {
        if arena.is_empty() {
            return false;
        }
        self.forget(arena, kind as usize);
        if kind == Kind::Dispute {
            let Region { at, of } = self.deadlines;
            arena.clear(at, of);
        }
        is_left(arena, self.escalated.of)
    }

    /// Forgets the escalations of an account. Whether anything is left.
    pub(super) fn erase_escalated(&self, arena: &mut Arena) -> bool {
        if arena.is_empty() {
            return false;
        }
        let Region { at, of } = self.escalated;
        arena.clear(at, of);
        is_left(arena, of)
    }

    /// Takes out of an account what no reader can see any more. Whether anything is left.
    pub(super) fn expire(
        &self,
        arena: &mut Arena,
        watermarks: &Watermarks,
        horizon: Horizon,
    ) -> bool {
        if arena.is_empty() {
            return false;
        }
        let mut left = self.expire_escalated(arena, watermarks.newest());
        left |= self.expire_deadlines(arena, watermarks.0[Kind::Dispute as usize]);
        for (kind, section) in self.sections.iter().enumerate() {
            let watermark = watermarks.0[kind];
            let Some(newest) = Ring(section.seen).newest(arena) else { continue };
            if self.is_idle(newest, watermark, horizon) {
                self.forget(arena, kind);
                continue;
            }
            left = true;
            if let Some(labels) = section.labels {
                labels.expire(arena, watermark.saturating_sub(self.retention_ms));
            }
            for group in &self.kinds[kind].groups {
                if group.key == Key::Account {
                    group.expire(arena, watermark);
                }
            }
        }
        left
    }

    /// Puts an account in order that was kept under another `[dedupe] ids`.
    pub(super) fn settle(&self, arena: &mut Arena) {
        for section in &self.sections {
            Ring(section.seen).settle(arena, self.dedupe_ids);
        }
    }

    /// Forgets escalations that lie far back. Whether any are left.
    fn expire_escalated(&self, arena: &mut Arena, watermark: i64) -> bool {
        let Region { at, of } = self.escalated;
        let oldest = watermark.saturating_sub(self.retention_ms);
        if let [_, latest] = self.escalated.get(arena)
            && *latest <= oldest
        {
            arena.clear(at, of);
        }
        !self.escalated.get(arena).is_empty()
    }

    /// Leaves of an account what was read back alone, or all but that. Whether anything is left.
    pub(super) fn part(&self, arena: &mut Arena, of_read_back: bool) -> bool {
        let Region { at, of } = self.escalated;
        let read_back = self.escalated.get(arena).to_vec();
        match of_read_back {
            true => {
                *arena = Arena::new(of);
                arena.extend(at, of, &read_back);
                !read_back.is_empty()
            }
            false => {
                arena.clear(at, of);
                is_left(arena, of)
            }
        }
    }

    /// Remembers an escalation of an account, by the time of its event.
    pub(super) fn escalated(&self, arena: &mut Arena, event_time: Millis) {
        self.account_layout().open(arena);
        let Region { at, of } = self.escalated;
        match arena.get_mut(at, of) {
            [count, latest] => {
                *count = count.saturating_add(1);
                *latest = (*latest).max(event_time.0);
            }
            _ => arena.insert(at, of, 0, &[1, event_time.0]),
        }
    }
}

/// Whether any of so many regions holds anything.
fn is_left(arena: &Arena, regions: usize) -> bool {
    (0..regions).any(|region| !arena.get(region, regions).is_empty())
}

/// Notes that a subject counted in these groups, and returns those it had counted in before. An entry is
/// the subject's hash and then, in the bits `mask` of its last word, the groups.
fn mark_subject<const N: usize>(
    arena: &mut Arena,
    region: Region,
    entry: [i64; N],
    mask: u64,
) -> u64 {
    let Region { at, of } = region;
    let subject = |mut entry: [i64; N]| {
        entry[N - 1] &= !mask.cast_signed();
        entry
    };
    let length = region.get(arena).len();
    if length == 0 {
        arena.insert(at, of, 0, &[0]);
        arena.insert(at, of, 1, &entry);
        return 0;
    }
    let words = arena.get_mut(at, of);
    let known = words[1..].as_chunks_mut::<N>().0.iter_mut().rev();
    for known in known {
        if subject(*known) == subject(entry) {
            let before = known[N - 1].cast_unsigned() & mask;
            known[N - 1] |= entry[N - 1];
            return before;
        }
    }
    if (length - 1) / N < SUBJECTS_MAX {
        arena.insert(at, of, length, &entry);
        return 0;
    }
    let oldest = words[0] as usize % SUBJECTS_MAX;
    words[1 + N * oldest..][..N].copy_from_slice(&entry);
    words[0] = (words[0] + 1) % SUBJECTS_MAX as i64;
    0
}

impl Facts {
    fn entry(&self, group: &Group) -> Entry {
        Entry { time: self.time, subject: self.subject, value: self.value(group.field) }
    }
}

impl Group {
    /// Takes an event up, in whatever is kept of the group.
    pub(super) fn add(&self, arena: &mut Arena, entry: Entry, watermark: i64) {
        if let Some(tally) = self.tally {
            tally.add(arena, entry);
        }
        if let Some(ring) = self.ring {
            ring.add(arena, entry, watermark);
        }
        for grid in &self.grids {
            grid.add(arena, entry.time, entry.value, watermark);
        }
        let scale = self.field.map_or(1.0, super::set::Field::scale);
        for running in &self.runnings {
            running.add(arena, entry.value as f64 / scale);
        }
    }

    pub(super) fn expire(&self, arena: &mut Arena, watermark: i64) {
        if let Some(ring) = self.ring {
            ring.expire(arena, watermark);
        }
        for grid in &self.grids {
            grid.expire(arena, watermark);
        }
    }

    pub(super) fn regions(&self) -> impl Iterator<Item = Region> {
        let tally = self.tally.map(|tally| tally.region).into_iter();
        tally
            .chain(self.ring.map(|ring| ring.region))
            .chain(self.grids.iter().map(|grid| grid.region))
            .chain(self.runnings.iter().map(|running| running.region))
    }
}

//! One account: a section per input topic, each written only by records of that topic.

use xxhash_rust::xxh3::xxh3_64;

use super::dedupe::{Horizon, Ring, Seen};
use super::windows::Series;
use crate::event::{Event, Kind, Millis, TransactionStatus, Verdict};

/// Subjects (payments, disputes, …) remembered per section, so that each is counted once however
/// many steps of it arrive.
const SUBJECTS_MAX: usize = 64;
/// Series a section may have: what is counted of its events.
pub(super) const SERIES_MAX: usize = 2;

/// What is known of an account from one input topic.
#[derive(Clone, Debug, Default, Hash)]
pub struct Section {
    seen: Ring,
    subjects: Vec<Subject>,
    next_subject: usize,
    series: [Series; SERIES_MAX],
}

#[derive(Clone, Copy, Debug, Hash)]
struct Subject {
    id: u64,
    /// bit i: counted in series i
    counted: u8,
}

impl Section {
    fn apply(&mut self, event: &Event<'_>) {
        let subject = xxh3_64(event.subject_id().as_bytes());
        let (series, amount) = counted_in(event);
        for (i, counts) in series.into_iter().enumerate() {
            if counts && self.first_time(subject, i) {
                self.series[i].add(event.event_time(), amount);
            }
        }
    }

    /// Whether this subject has not been counted in series `i` yet; from now on it has.
    fn first_time(&mut self, id: u64, i: usize) -> bool {
        let bit = 1 << i;
        if let Some(subject) = self.subjects.iter_mut().rev().find(|subject| subject.id == id) {
            let first = subject.counted & bit == 0;
            subject.counted |= bit;
            return first;
        }
        let subject = Subject { id, counted: bit };
        if self.subjects.len() < SUBJECTS_MAX {
            self.subjects.push(subject);
        } else if let Some(oldest) = self.subjects.get_mut(self.next_subject) {
            *oldest = subject;
            self.next_subject = (self.next_subject + 1) % SUBJECTS_MAX;
        }
        true
    }

    pub(super) fn series(&self, i: usize) -> &Series {
        &self.series[i]
    }

    fn heap_bytes(&self) -> usize {
        self.seen.heap_bytes()
            + self.subjects.capacity() * size_of::<Subject>()
            + self.series.iter().map(Series::heap_bytes).sum::<usize>()
    }
}

/// Which series of its section an event counts in, and with what amount in minor units.
fn counted_in(event: &Event<'_>) -> ([bool; SERIES_MAX], i64) {
    match event {
        // an attempt counts once, at whichever step is seen first; money going back is no attempt
        Event::Transaction(event) => {
            let attempt = event.status != TransactionStatus::Refunded;
            let decline = event.status == TransactionStatus::Declined;
            ([attempt, decline], event.amount_minor)
        }
        Event::Dispute(event) => ([true, false], event.amount_minor),
        Event::Chat(_) => ([true, false], 0),
        Event::Invoice(event) => ([true, false], event.amount_minor),
        Event::Label(event) => ([event.verdict == Verdict::Fraud, false], 0),
    }
}

/// One account.
#[derive(Clone, Debug, Default, Hash)]
pub struct Account {
    // boxed: most accounts have one or two
    sections: [Option<Box<Section>>; 5],
    decided_before: DecidedBefore,
}

/// What was escalated of an account, as its owner reads it back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DecidedBefore {
    /// escalations so far
    pub escalations: u64,
    /// when the latest was made
    pub latest: Option<Millis>,
}

impl Account {
    /// Applies an event to its section, unless it was seen before.
    pub fn apply(&mut self, event: &Event<'_>, payload: &[u8], horizon: Horizon) -> Seen {
        let (id, payload) = (xxh3_64(event.event_id().as_bytes()), xxh3_64(payload));
        let section = self.sections[event.kind() as usize].get_or_insert_default();
        let seen = section.seen.look_up(id, payload, horizon);
        if seen == Seen::New {
            section.seen.accept(id, payload, event.event_time(), horizon);
            section.apply(event);
        }
        seen
    }

    /// Remembers an escalation of the account.
    pub fn escalated(&mut self, created_at: Millis) {
        let before = &mut self.decided_before;
        before.escalations += 1;
        before.latest = before.latest.max(Some(created_at));
    }

    /// What was escalated of it.
    pub fn decided_before(&self) -> DecidedBefore {
        self.decided_before
    }

    /// Whether and how an event was seen before, without applying it.
    pub fn look_up(&self, event: &Event<'_>, payload: &[u8], horizon: Horizon) -> Seen {
        match self.section(event.kind()) {
            None => Seen::New,
            Some(section) => {
                let (id, payload) = (xxh3_64(event.event_id().as_bytes()), xxh3_64(payload));
                section.seen.look_up(id, payload, horizon)
            }
        }
    }

    /// The section of one kind of event, if there was any.
    pub fn section(&self, kind: Kind) -> Option<&Section> {
        self.sections[kind as usize].as_deref()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let section = |section: &Section| size_of::<Section>() + section.heap_bytes();
        self.sections.iter().flatten().map(|boxed| section(boxed)).sum()
    }
}

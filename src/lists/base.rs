//! Entries and the index of their kind: made once, never changed.

use std::collections::BTreeSet;

use super::error::Fault;
use super::records::{Item, Notes, Records};
use super::spans::{Hit, Raw, Spans};
use super::table::Table;
use super::value::{Key, Matching, Probe};
use crate::config::Match;
use crate::event::Millis;

/// Entries of one list.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) records: Records,
    index: Index,
    /// how many
    pub(super) len: usize,
    /// an entry whose key another had before that says something else, if there is one: the place at
    /// which it was put in
    pub(super) twice: Option<u32>,
}

#[derive(Debug)]
enum Index {
    Exact(Table),
    /// with the lengths of all keys, the longest first
    Prefix(Table, Vec<usize>),
    Cidr(Spans<u32>, Spans<u128>),
    Range(Spans<i64>),
}

/// Entries before they have an index.
pub(super) struct Builder {
    matching: Matching,
    records: Records,
    notes: Notes,
    texts: Vec<u32>,
    v4: Vec<Raw<u32>>,
    v6: Vec<Raw<u128>>,
    ranges: Vec<Raw<i64>>,
    pub(super) len: usize,
}

impl Builder {
    pub(super) fn new(matching: Matching) -> Builder {
        Builder {
            matching,
            records: Records::default(),
            notes: Notes::default(),
            texts: Vec::new(),
            v4: Vec::new(),
            v6: Vec::new(),
            ranges: Vec::new(),
            len: 0,
        }
    }

    /// Takes an entry; its place.
    pub(super) fn push(
        &mut self,
        value: &str,
        expires: Option<Millis>,
        note: Option<&str>,
    ) -> Result<u32, Fault> {
        let key = self.matching.key(value)?;
        let text = match &key {
            Key::Text(text) => text,
            _ => value,
        };
        let item = Item { key: text, value, expires, note };
        let place = self.records.push(item, &mut self.notes)?;
        self.len += 1;
        match key {
            Key::Text(_) => self.texts.push(place),
            Key::V4(span) => self.v4.push((span, place)),
            Key::V6(span) => self.v6.push((span, place)),
            Key::Range(span) => self.ranges.push((span, place)),
        }
        Ok(place)
    }

    /// Takes an entry of another list of the kind.
    pub(super) fn copy(&mut self, item: Item<'_>) -> Result<u32, Fault> {
        self.push(item.value, item.expires, item.note)
    }

    /// An entry that was taken.
    pub(super) fn item(&self, place: u32) -> Item<'_> {
        self.records.item(place)
    }

    /// Makes the index. Of entries of one key the first is kept.
    pub(super) fn done(mut self) -> Base {
        self.records.shrink();
        let mut twice = None;
        let (records, index, len) = match self.matching.kind {
            Match::Exact => {
                let (table, records, len) = Table::build(self.records, &self.texts, &mut twice);
                (records, Index::Exact(table), len)
            }
            Match::Prefix => {
                let lengths = self.texts.iter().map(|place| self.records.key(*place).len());
                let lengths: BTreeSet<usize> = lengths.collect();
                let lengths = lengths.into_iter().rev().collect();
                let (table, records, len) = Table::build(self.records, &self.texts, &mut twice);
                (records, Index::Prefix(table, lengths), len)
            }
            Match::Cidr => {
                let (v4, len4) = Spans::build(self.v4, &self.records, &mut twice);
                let (v6, len6) = Spans::build(self.v6, &self.records, &mut twice);
                (self.records, Index::Cidr(v4, v6), len4 + len6)
            }
            Match::Range => {
                let (ranges, len) = Spans::build(self.ranges, &self.records, &mut twice);
                (self.records, Index::Range(ranges), len)
            }
        };
        Base { records, index, len, twice }
    }
}

impl Base {
    /// Whether an exact list has a text that counts at that time and is not gone.
    #[inline]
    pub(super) fn has(&self, text: &str, time: Millis, gone: &[u32]) -> bool {
        let Index::Exact(table) = &self.index else { return false };
        table.find(text.as_bytes(), &self.records).is_some_and(|place| {
            self.records.is_live(place, time)
                && (gone.is_empty() || gone.binary_search(&place).is_err())
        })
    }

    /// The nearest entry of a value that counts at that time and is not gone.
    #[inline]
    pub(super) fn find(&self, probe: Probe<'_>, time: Millis, gone: &[u32]) -> Option<Hit> {
        let accept = |place: u32| {
            self.records.is_live(place, time)
                && (gone.is_empty() || gone.binary_search(&place).is_err())
        };
        let all = !self.records.expiring && gone.is_empty();
        match (&self.index, probe) {
            (Index::Exact(table), Probe::Text(text)) => {
                let place = table.find(text, &self.records).filter(|place| accept(*place))?;
                Some(Hit { layer: 0, at: place, rank: (0, 0) })
            }
            (Index::Prefix(table, lengths), Probe::Text(text)) => {
                lengths.iter().find_map(|length| {
                    let prefix = text.get(..*length)?;
                    let place = table.find(prefix, &self.records).filter(|at| accept(*at))?;
                    Some(Hit { layer: 0, at: place, rank: (u128::MAX - *length as u128, 0) })
                })
            }
            (Index::Cidr(spans, _), Probe::V4(address)) => spans.find(address, all, accept),
            (Index::Cidr(_, spans), Probe::V6(address)) => spans.find(address, all, accept),
            (Index::Range(spans), Probe::Int(value)) => spans.find(value, all, accept),
            _ => None,
        }
    }

    /// The entry that was found for a probe.
    pub(super) fn item(&self, probe: Probe<'_>, hit: Hit) -> Item<'_> {
        let place = match (&self.index, probe) {
            (Index::Cidr(spans, _), Probe::V4(_)) => spans.place(hit),
            (Index::Cidr(_, spans), _) => spans.place(hit),
            (Index::Range(spans), _) => spans.place(hit),
            _ => hit.at,
        };
        self.records.item(place)
    }

    /// The entry of exactly this key, whether or not it counts.
    pub(super) fn locate(&self, key: &Key<'_>) -> Option<u32> {
        match (&self.index, key) {
            (Index::Exact(table) | Index::Prefix(table, _), Key::Text(text)) => {
                table.find(text.as_bytes(), &self.records)
            }
            (Index::Cidr(spans, _), Key::V4(span)) => spans.locate(*span),
            (Index::Cidr(_, spans), Key::V6(span)) => spans.locate(*span),
            (Index::Range(spans), Key::Range(span)) => spans.locate(*span),
            _ => None,
        }
    }

    /// An entry that crosses more others than there are layers, if there is one.
    pub(super) fn crossing(&self) -> Option<u32> {
        match &self.index {
            Index::Range(spans) => spans.crossing(),
            _ => None,
        }
    }

    /// The places of all entries, in the order of the index.
    pub(super) fn places(&self) -> Vec<u32> {
        match &self.index {
            Index::Exact(table) | Index::Prefix(table, _) => table.places(&self.records).collect(),
            Index::Cidr(v4, v6) => v4.places().chain(v6.places()).collect(),
            Index::Range(spans) => spans.places().collect(),
        }
    }

    /// What all entries weigh together.
    pub(super) fn weight(&self) -> u64 {
        self.places().into_iter().map(|place| self.records.item(place).weight()).sum()
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Exact(table) => table.bytes(),
            Index::Prefix(table, lengths) => table.bytes() + size_of_val(&**lengths),
            Index::Cidr(v4, v6) => v4.bytes() + v6.bytes(),
            Index::Range(spans) => spans.bytes(),
        };
        self.records.bytes() + index
    }
}

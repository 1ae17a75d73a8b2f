//! A list: a base, and what has changed since.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::base::{Base, Builder};
use super::change::Change;
use super::error::{Fault, ListError};
use super::file;
use super::records::Item;
use super::spans::Hit;
use super::value::{Matching, Probe, Scratch};
use super::{ENTRIES_MAX, LIST_BYTES_MAX, OVERLAY_MAX};
use crate::config::{Match, hex};
use crate::event::{Millis, Slot};

/// An entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// as written
    pub value: &'a str,
    /// from when on it does not count
    pub expires: Option<Millis>,
    /// for people
    pub note: Option<&'a str>,
}

impl<'a> From<Item<'a>> for Entry<'a> {
    fn from(item: Item<'a>) -> Entry<'a> {
        Entry { value: item.value, expires: item.expires, note: item.note }
    }
}

/// A list. Clones share what they hold.
#[derive(Clone, Debug)]
pub struct List {
    matching: Matching,
    base: Arc<Base>,
    /// what was added since the base was made
    added: Arc<Base>,
    /// places of entries of the base that do not count any more, ascending
    gone: Arc<[u32]>,
    /// what its entries weigh together, for the bound on that
    weight: u64,
    hash: Arc<str>,
}

impl List {
    /// A list of the entries of a CSV file, whose first line names its columns: `value`, and where
    /// there are such `expires` and `note`.
    ///
    /// # Errors
    /// The first thing that is wrong with the file, and where.
    pub fn load(matching: Matching, path: &Path, text: &str) -> Result<List, ListError> {
        let base = file::read(matching, path, text)?;
        let options = format!("{} fold={}\n", matching.kind.name(), matching.fold);
        let list = List {
            matching,
            weight: base.weight(),
            base: Arc::new(base),
            added: Arc::new(Builder::new(matching).done()),
            gone: Arc::default(),
            hash: hash(&[&options, text]),
        };
        match list.weight > LIST_BYTES_MAX {
            true => Err(file::whole(path, Fault::Bytes)),
            false => Ok(list),
        }
    }

    /// How values are compared.
    pub fn matching(&self) -> Matching {
        self.matching
    }

    /// SHA-256, hex: of a file's list of kind, options and text; of a changed one of the hash before
    /// and of the change.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Entries, expired ones included.
    pub fn len(&self) -> usize {
        self.base.len - self.gone.len() + self.added.len
    }

    /// Whether it has no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory, in bytes. What clones and changed lists share is counted in each.
    pub fn bytes(&self) -> usize {
        self.base.bytes() + self.added.bytes() + size_of_val(&*self.gone)
    }

    /// Whether a value of an event is in the list at that event's time.
    #[inline]
    pub fn contains(&self, value: Slot<'_>, at: Millis) -> bool {
        match value {
            // the most frequent question, and the one that waits for memory least: with less to do
            // the processor gets to the next one while this one waits
            Slot::Text(text) if self.matching.kind == Match::Exact && !self.matching.fold => {
                self.base.has(text, at, &self.gone)
                    || self.added.len > 0 && self.added.has(text, at, &[])
            }
            _ => self.probe(value, |probe| self.hit(probe, at).map(|_| ())).is_some(),
        }
    }

    /// The entry that a value of an event is in the list by, at that event's time: the longest prefix,
    /// the narrowest network or range; of ranges of one width the lowest.
    pub fn find(&self, value: Slot<'_>, at: Millis) -> Option<Entry<'_>> {
        self.probe(value, |probe| {
            let (base, hit) = self.hit(probe, at)?;
            Some(base.item(probe, hit).into())
        })
    }

    /// Looks a value up in the form of the list's kind.
    #[inline]
    fn probe<T>(&self, value: Slot<'_>, look_up: impl FnOnce(Probe<'_>) -> Option<T>) -> Option<T> {
        match self.matching.probe(value) {
            Some(probe) => look_up(probe),
            None if matches!(value, Slot::Null) => None,
            // seldom: room for another form costs as much as a look-up
            None => look_up(self.matching.write(value, &mut Scratch::new())?),
        }
    }

    #[inline]
    fn hit(&self, probe: Probe<'_>, at: Millis) -> Option<(&Base, Hit)> {
        let hit = self.base.find(probe, at, &self.gone).map(|hit| (&*self.base, hit));
        if self.added.len == 0 {
            return hit;
        }
        let added = self.added.find(probe, at, &[]).map(|hit| (&*self.added, hit));
        [hit, added].into_iter().flatten().min_by_key(|(_, hit)| hit.rank)
    }

    /// All entries, expired ones included, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.items().map(Entry::from)
    }

    fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let base = self.base.places().into_iter();
        let base = base.filter(|place| self.gone.binary_search(place).is_err());
        let base = base.map(|place| self.base.records.item(place));
        let added = self.added.places().into_iter().map(|place| self.added.records.item(place));
        base.chain(added)
    }

    /// The list after a change; this one stays as it is. Costs as much as the overlay is large; every
    /// [`OVERLAY_MAX`] changes as much as loading: not for a hot thread.
    ///
    /// # Errors
    /// What is wrong with the change: the list stays as it is for all who follow it.
    pub fn with(&self, change: &Change) -> Result<List, Fault> {
        self.changed(change, OVERLAY_MAX)
    }

    pub(super) fn changed(&self, change: &Change, overlay_max: usize) -> Result<List, Fault> {
        change.check(self.matching)?;
        let key = self.matching.key(change.value())?;
        let replaced = self.added.locate(&key);
        let leaves = self.base.locate(&key);
        let leaves = leaves.filter(|place| self.gone.binary_search(place).is_err());
        let mut weight = self.weight;
        for (base, place) in [(&self.added, replaced), (&self.base, leaves)] {
            weight -= place.map_or(0, |place| base.records.item(place).weight());
        }
        let mut added = Builder::new(self.matching);
        for place in self.added.places().into_iter().filter(|place| Some(*place) != replaced) {
            added.copy(self.added.records.item(place))?;
        }
        let mut gone = self.gone.to_vec();
        if let Some(place) = leaves {
            gone.insert(gone.partition_point(|other| *other < place), place);
        }
        if let Change::Add { value, expires, note } = change {
            let note = note.as_deref().filter(|note| !note.is_empty());
            let place = added.push(value, *expires, note)?;
            weight += added.item(place).weight();
        }
        if self.base.len - gone.len() + added.len > ENTRIES_MAX {
            return Err(Fault::Entries);
        }
        if weight > LIST_BYTES_MAX {
            return Err(Fault::Bytes);
        }
        let list = List {
            matching: self.matching,
            base: Arc::clone(&self.base),
            added: Arc::new(added.done()),
            gone: gone.into(),
            weight,
            hash: hash(&[&self.hash, "\n", &change.canonical()?]),
        };
        match list.added.len + list.gone.len() > overlay_max {
            true => list.folded(),
            false => Ok(list),
        }
    }

    /// The same list with everything in its base.
    fn folded(self) -> Result<List, Fault> {
        let mut base = Builder::new(self.matching);
        for item in self.items() {
            base.copy(item)?;
        }
        Ok(List {
            base: Arc::new(base.done()),
            added: Arc::new(Builder::new(self.matching).done()),
            gone: Arc::default(),
            ..self
        })
    }
}

/// SHA-256 of these parts, one after another, in hex.
fn hash(parts: &[&str]) -> Arc<str> {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hex(&hasher.finalize()).into()
}

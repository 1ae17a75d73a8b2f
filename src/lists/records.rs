//! Entries in one block of bytes, each told by the place it begins at.
//!
//! ```text
//!  head      key       expires   note      written
//!  u16       bytes     i64       u32       u16 and bytes
//!                      if any    if any    where it differs from the key
//! ```
//!
//! The head is the key's length and what is there. The key stands where it can be compared before the
//! head has come from memory. Notes repeat, and stand elsewhere, once each.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::error::Fault;
use super::{LIST_BYTES_MAX, RECORD_BYTES};
use crate::event::Millis;

const EXPIRES: u16 = 1;
const NOTED: u16 = 2;
const WRITTEN: u16 = 4;
/// of a slot: no entry but the place of one
const FAR: u16 = 8;
const FLAG_BITS: u32 = 4;
const HEAD: usize = size_of::<u16>();

/// Bytes of a slot whose entry stands elsewhere.
pub(super) const FAR_BYTES: usize = HEAD + size_of::<u32>();

/// An entry as it is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item<'a> {
    /// what texts are found by; of other kinds the value
    pub(super) key: &'a str,
    pub(super) value: &'a str,
    pub(super) expires: Option<Millis>,
    pub(super) note: Option<&'a str>,
}

impl Item<'_> {
    /// Bytes it takes at most, whether or not its note is there already.
    pub(super) fn weight(&self) -> u64 {
        let written = if self.key == self.value { 0 } else { self.value.len() };
        let note = self.note.map_or(0, str::len);
        (RECORD_BYTES + self.key.len() + written + note) as u64
    }
}

/// Entries.
#[derive(Debug, Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    notes: Vec<u8>,
    /// whether any of them expires
    pub(super) expiring: bool,
}

/// Notes by their text, while entries are put in.
#[derive(Default)]
pub(super) struct Notes(HashTable<u32>);

impl Records {
    /// Puts an entry in; its place.
    pub(super) fn push(&mut self, item: Item<'_>, notes: &mut Notes) -> Result<u32, Fault> {
        let place = place(self.bytes.len() as u64 + item.weight(), self.bytes.len())?;
        let is_written = item.key != item.value;
        let flag = |is: bool, flag: u16| if is { flag } else { 0 };
        let head = (item.key.len() as u16) << FLAG_BITS
            | flag(item.expires.is_some(), EXPIRES)
            | flag(item.note.is_some(), NOTED)
            | flag(is_written, WRITTEN);
        self.bytes.extend(head.to_le_bytes());
        self.bytes.extend(item.key.as_bytes());
        if let Some(expires) = item.expires {
            self.bytes.extend(expires.0.to_le_bytes());
            self.expiring = true;
        }
        if let Some(note) = item.note {
            let note = self.keep_note(note, notes)?;
            self.bytes.extend(note.to_le_bytes());
        }
        if is_written {
            self.bytes.extend((item.value.len() as u16).to_le_bytes());
            self.bytes.extend(item.value.as_bytes());
        }
        Ok(place)
    }

    fn keep_note(&mut self, note: &str, known: &mut Notes) -> Result<u32, Fault> {
        let hash = xxh3_64(note.as_bytes());
        if let Some(at) = known.0.find(hash, |at| self.noted(*at) == note.as_bytes()) {
            return Ok(*at);
        }
        let at = place((self.notes.len() + HEAD + note.len()) as u64, self.notes.len())?;
        self.notes.extend((note.len() as u16).to_le_bytes());
        self.notes.extend(note.as_bytes());
        known.0.insert_unique(hash, at, |at| xxh3_64(self.noted(*at)));
        Ok(at)
    }

    /// Room for the same entries in slots.
    pub(super) fn room(&self, slots: usize) -> Records {
        Records { bytes: vec![0; slots], notes: Vec::new(), expiring: self.expiring }
    }

    /// Copies an entry to a slot, or, if it has more bytes than that, behind all slots.
    pub(super) fn copy(&mut self, slot: usize, stride: usize, from: &Records, at: u32) {
        let (at, len) = (at as usize, from.len_at(at));
        let entry = &from.bytes[at..at + len];
        if len <= stride {
            self.bytes[slot..slot + len].copy_from_slice(entry);
            return;
        }
        let place = self.bytes.len() as u32;
        self.bytes.extend(entry);
        self.bytes[slot..slot + HEAD].copy_from_slice(&FAR.to_le_bytes());
        self.bytes[slot + HEAD..slot + FAR_BYTES].copy_from_slice(&place.to_le_bytes());
    }

    /// The place of a slot's entry.
    #[inline]
    pub(super) fn place(&self, slot: usize) -> u32 {
        match self.head(slot as u32) {
            FAR => u32::from_le_bytes(array(&self.bytes, slot + HEAD)),
            _ => slot as u32,
        }
    }

    /// The place of a slot's entry if that has exactly this key.
    #[inline]
    pub(super) fn in_slot(&self, slot: usize, key: &[u8]) -> Option<u32> {
        let place = self.place(slot);
        self.is_key(place, key).then_some(place)
    }

    /// The entries with the notes of those they were copied from.
    pub(super) fn with_notes(self, from: Records) -> Records {
        Records { notes: from.notes, ..self }
    }

    /// Bytes of an entry.
    #[inline]
    pub(super) fn len_at(&self, at: u32) -> usize {
        match self.head(at) {
            head if head & WRITTEN == 0 => written_place(head),
            head => {
                let before = written_place(head);
                before + HEAD + counted(&self.bytes, at as usize + before).len()
            }
        }
    }

    /// Lets go of room that is not needed.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.notes.shrink_to_fit();
    }

    #[inline]
    fn head(&self, at: u32) -> u16 {
        u16::from_le_bytes(array(&self.bytes, at as usize))
    }

    fn noted(&self, at: u32) -> &[u8] {
        counted(&self.notes, at as usize)
    }

    fn note_at(&self, at: u32) -> Option<u32> {
        let head = self.head(at);
        (head & NOTED != 0)
            .then(|| u32::from_le_bytes(array(&self.bytes, at as usize + note_place(head))))
    }

    /// Whether an entry has exactly this key. Waits for nothing to know where that stands.
    #[inline]
    fn is_key(&self, at: u32, key: &[u8]) -> bool {
        let start = at as usize + HEAD;
        usize::from(self.head(at) >> FLAG_BITS) == key.len()
            && self.bytes.get(start..start + key.len()) == Some(key)
    }

    /// What an entry is found by.
    #[inline]
    pub(super) fn key(&self, at: u32) -> &[u8] {
        let end = expires_place(self.head(at));
        self.bytes.get(at as usize + HEAD..at as usize + end).unwrap_or_default()
    }

    /// When an entry expires.
    #[inline]
    pub(super) fn expires(&self, at: u32) -> Option<Millis> {
        let head = self.head(at);
        (head & EXPIRES != 0).then(|| {
            Millis(i64::from_le_bytes(array(&self.bytes, at as usize + expires_place(head))))
        })
    }

    /// Whether an entry counts at that time.
    #[inline]
    pub(super) fn is_live(&self, at: u32, time: Millis) -> bool {
        !self.expiring || self.expires(at).is_none_or(|expires| expires > time)
    }

    /// What an entry says of its value, as far as that can be compared.
    pub(super) fn said(&self, at: u32) -> (Option<Millis>, Option<u32>) {
        (self.expires(at), self.note_at(at))
    }

    /// An entry as it was put in.
    pub(super) fn item(&self, at: u32) -> Item<'_> {
        let key = self.key(at);
        let value = match self.head(at) {
            head if head & WRITTEN == 0 => key,
            head => counted(&self.bytes, at as usize + written_place(head)),
        };
        Item {
            key: text(key),
            value: text(value),
            expires: self.expires(at),
            note: self.note_at(at).map(|note| text(self.noted(note))),
        }
    }

    /// Memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + self.notes.capacity()
    }
}

/// How far into an entry with this head its expiry stands.
#[inline]
fn expires_place(head: u16) -> usize {
    HEAD + usize::from(head >> FLAG_BITS)
}

/// How far into it the place of its note stands.
#[inline]
fn note_place(head: u16) -> usize {
    expires_place(head) + if head & EXPIRES == 0 { 0 } else { size_of::<i64>() }
}

/// How far into it stands what was written.
#[inline]
fn written_place(head: u16) -> usize {
    note_place(head) + if head & NOTED == 0 { 0 } else { size_of::<u32>() }
}

/// A place as it is kept, if so many bytes are no more than a list may have.
fn place(bytes: u64, at: usize) -> Result<u32, Fault> {
    u32::try_from(at).ok().filter(|_| bytes <= LIST_BYTES_MAX).ok_or(Fault::Bytes)
}

#[inline]
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

/// Bytes that stand behind their number.
fn counted(bytes: &[u8], at: usize) -> &[u8] {
    let len = usize::from(u16::from_le_bytes(array(bytes, at)));
    bytes.get(at + HEAD..at + HEAD + len).unwrap_or_default()
}

/// What was put in as text.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

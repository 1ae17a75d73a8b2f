//! State as bytes and back: what a shard of a snapshot holds.
//!
//! ```text
//!  version u32 │ regions u32 │ id of each region i64 │ watermarks 5 × i64 │ since, by region i64
//!  for each key: key u128 │ words u32 │ words i64
//! ```
//!
//! All numbers little-endian. Regions are told by the ids of their definitions, so that a shard can be
//! read by a weir whose features have changed: what is still declared alike is taken over, what is new
//! begins empty and says nothing before its window has passed.

use std::ops::Range as Span;

use super::account::Watermarks;
use super::arena::Arena;
use super::set::{KINDS, Layout};

const VERSION: u32 = 2;

/// Why bytes are no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// of another version of weir
    #[error("state of format {found}, expected {VERSION}")]
    Format {
        /// the version found
        found: u32,
    },
    /// they end early, or say what cannot be
    #[error("state is damaged at byte {at}: {what}")]
    Damaged {
        /// where
        at: usize,
        /// what is wrong
        what: &'static str,
    },
}

/// Writes a body.
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// A body for arenas of this layout. `since`: by region, empty where all of it is kept ever since.
    /// `room`: bytes expected.
    pub(super) fn begin(
        layout: &Layout,
        watermarks: &Watermarks,
        since: &[i64],
        room: usize,
    ) -> Writer {
        let mut bytes = Vec::with_capacity(room + 64 + layout.ids.len() * 16);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(layout.ids.len() as u32).to_le_bytes());
        let ever = std::iter::repeat_n(&i64::MIN, layout.ids.len() - since.len());
        let head = layout.ids.iter().chain(&watermarks.0).chain(since).chain(ever);
        head.for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        Writer { bytes }
    }

    pub(super) fn add(&mut self, key: u128, arena: &Arena) {
        let words = arena.words();
        self.bytes.extend_from_slice(&key.to_le_bytes());
        self.bytes.extend_from_slice(&(words.len() as u32).to_le_bytes());
        words.iter().for_each(|word| self.bytes.extend_from_slice(&word.to_le_bytes()));
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// A body that is read.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    regions: usize,
    /// for each region of the layout now, where it stood then; `None`: nowhere
    from: Vec<Option<usize>>,
    is_same: bool,
    pub(super) watermarks: Watermarks,
    /// by region of the layout now, since when it is kept
    since: Vec<i64>,
}

impl<'a> Reader<'a> {
    pub(super) fn begin(bytes: &'a [u8], layout: &Layout) -> Result<Reader<'a>, BodyError> {
        let mut reader = Reader {
            bytes,
            at: 0,
            regions: 0,
            from: Vec::new(),
            is_same: false,
            watermarks: Watermarks::default(),
            since: Vec::new(),
        };
        let found = reader.u32()?;
        if found != VERSION {
            return Err(BodyError::Format { found });
        }
        reader.regions = reader.u32()? as usize;
        if reader.regions * 16 > bytes.len() {
            return Err(BodyError::Damaged { at: 4, what: "more regions than bytes" });
        }
        let ids = reader.words(reader.regions)?;
        let watermarks = reader.words(KINDS)?;
        reader.watermarks.0.copy_from_slice(&watermarks);
        let since = reader.words(reader.regions)?;
        let newest = reader.watermarks.newest();
        let place = |id: &i64| ids.iter().position(|known| known == id);
        reader.from = layout.ids.iter().map(place).collect();
        reader.since =
            reader.from.iter().map(|place| place.map_or(newest, |place| since[place])).collect();
        reader.is_same = ids == layout.ids;
        Ok(reader)
    }

    /// Lets `known` say since when each region is kept, here and in what was taken in before.
    pub(super) fn since_into(&self, known: &mut Vec<i64>) {
        known.resize(self.since.len(), i64::MIN);
        known.iter_mut().zip(&self.since).for_each(|(known, new)| *known = (*known).max(*new));
    }

    /// The next key with what is remembered under it.
    pub(super) fn next(&mut self) -> Result<Option<(u128, Arena)>, BodyError> {
        if self.at == self.bytes.len() {
            return Ok(None);
        }
        let key = u128::from_le_bytes(self.take()?);
        let count = self.u32()? as usize;
        let at = self.at;
        let words = self.words(count)?;
        let damaged = BodyError::Damaged { at, what: "regions that do not fit their words" };
        let arena = Arena::from_words(words, self.regions).ok_or(damaged)?;
        if self.is_same {
            return Ok(Some((key, arena)));
        }
        let regions = self.from.len();
        let mut moved = Arena::new(regions);
        for (to, from) in self.from.iter().enumerate() {
            if let Some(from) = from {
                moved.extend(to, regions, arena.get(*from, self.regions));
            }
        }
        Ok(Some((key, moved)))
    }

    fn span(&mut self, length: usize) -> Result<Span<usize>, BodyError> {
        let span = self.at..self.at.saturating_add(length);
        if span.end > self.bytes.len() {
            return Err(BodyError::Damaged { at: self.at, what: "it ends here" });
        }
        self.at = span.end;
        Ok(span)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BodyError> {
        let span = self.span(N)?;
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[span]);
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, BodyError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn words(&mut self, count: usize) -> Result<Vec<i64>, BodyError> {
        let span = self.span(count.saturating_mul(8))?;
        let chunks = self.bytes[span].as_chunks::<8>().0;
        Ok(chunks.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
    }
}

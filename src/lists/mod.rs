//! Lists: values that are known to be good or bad, looked up in every decision. Pure: no clocks, no
//! I/O, no threads.
//!
//! ```text
//!  CSV text ─► records ─► index ─► base ──┐  shared, never changed
//!              (one block) (by kind)      ├─► list ─► find(value, time of the event) ─► entry
//!  weir.control: add, remove ─► overlay ──┘  small, made anew by every change
//! ```
//!
//! | kind | index | a look-up |
//! |---|---|---|
//! | exact | slots for entries, a byte of each one's hash | the bytes; where one is the text's, its entry |
//! | prefix | the same | one for each length that its prefixes have, the longest first |
//! | cidr | networks by their first address, IPv4 and IPv6 | one search, then outwards |
//! | range | ranges by their first number | the same; once more for those that cross others |
//!
//! The overlay is an index of the same kind with what was added, and the places of the entries of
//! the base that no longer count. It is cheap to make while it is small; past [`OVERLAY_MAX`] changes
//! both become a new base, which takes as long as loading and is therefore nothing for a hot thread.
//!
//! An entry counts until it expires, by the time of the event and never by a clock, so that a replay
//! finds what the first run found. An expired entry does not hide a wider one.
//!
//! What a list is called by is a hash: of its file, and of every change since. It does not depend on
//! when changes were folded into the base.

mod address;
mod base;
mod change;
mod error;
mod file;
mod list;
mod records;
mod spans;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use change::Change;
pub use error::{Fault, ListError};
pub use list::{Entry, List};
pub use value::Matching;

/// Entries of a list: ten times what the costs are stated for, a few hundred megabytes.
pub const ENTRIES_MAX: usize = 10_000_000;

/// Bytes of a value: longer ones are no identifiers.
pub const VALUE_BYTES_MAX: usize = 256;

/// Bytes of a note: a sentence, as it stands in reasons.
pub const NOTE_BYTES_MAX: usize = 256;

/// Bytes of all entries of a list together, each counted with [`RECORD_BYTES`]: what 32 bits address, but
/// for slots that are there however few entries there are.
pub const LIST_BYTES_MAX: u64 = u32::MAX as u64 - (1 << 20);

/// Changes after which a list is built anew: one then costs a fraction of a millisecond at most.
pub const OVERLAY_MAX: usize = 4_096;

/// Ranges that contain one number and cross one another: each is a search of its own.
pub const LAYERS_MAX: usize = 16;

/// The most that an entry takes besides its texts: head, expiry, note's place, two lengths; slots that are
/// free or say where it stands, and what is spent on not waiting twice.
const RECORD_BYTES: usize = 42;

// the head of an entry has 12 bits for a length, a note's length 16; positions have 32
const _: () = assert!(VALUE_BYTES_MAX < 1 << 12);
const _: () = assert!(NOTE_BYTES_MAX < 1 << 16);
const _: () = assert!(ENTRIES_MAX <= u32::MAX as usize / 2);

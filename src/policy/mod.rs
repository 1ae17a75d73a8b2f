//! What decides, and how it changes while weir runs.
//!
//! ```text
//!  topology ─► bundles ─┐
//!  weir.control ────────┴─► manifest ─► contents, by hash ─► engine ─► switch ─► workers, between batches
//!                              │
//!                              └─► artifacts: kept, so that a decision can be run again years later
//! ```
//!
//! - **A manifest names contents by their hash**, and its own hash is the policy that every decision names.
//!   It is stored before the first decision is made by it.
//! - **A change is a record.** What decides is a function of the topology and the records so far, so every
//!   process comes to the same, in the same order. A record that does not lead to something that loads is
//!   rejected, and what decided before goes on deciding.
//! - **A content that cannot be had now is waited for.** What decided before goes on until then.

mod bundle;
mod contents;
mod desk;
mod manifest;
mod rejection;
mod switch;

pub use bundle::{Bundle, BundleKind, Parts};
pub use contents::ENTRIES;
pub use desk::{Desk, Recall};
pub use manifest::{CHANGES_MAX, Listed, Manifest, Subject};
pub use rejection::{Rejection, Trouble};
pub use switch::{Posted, Switch};

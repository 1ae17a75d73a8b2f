//! Where decisions go: the store, and the people and systems that are told.
//!
//! Sinks read what was committed, write idempotently, and commit their positions only once what
//! they read is stored, delivered or a dead letter. A sink that is slow or down slows only itself.

pub mod notify;
pub mod store;

//! Expressions over an event's fields: parsed and type-checked when a topology is loaded, compiled to
//! typed slots, run without a look-up by name. Rules are made of them, and the `where` of features.

mod check;
mod compile;
mod fields;
mod program;
mod vocabulary;

pub use fields::{fields, read};
pub use program::{Program, ProgramError};
pub use vocabulary::{Type, Vocabulary};

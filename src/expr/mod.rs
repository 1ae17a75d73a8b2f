//! Expressions over an event's fields and features: parsed and type-checked when a topology is loaded,
//! compiled to a tree over typed slots, run without a look-up by name and within a bound. Rules are made
//! of them, and the `where` of features.
//!
//! ```text
//! source ─ bounds ─► cel's parser ─ compile, forms ─► Node ─ fast ─► Fast
//!          length,                  names to slots,   what every     comparisons of one slot
//!          depth                    types, overloads  expression can with a literal, chains of them
//! ```

#[cfg(test)]
mod agreement;
mod bounds;
mod calendar;
mod compile;
mod convert;
mod fast;
mod fields;
mod format;
mod forms;
mod free;
mod fuel;
#[cfg(test)]
mod function_tests;
mod geo;
mod lookup;
mod loops;
mod math;
mod net;
mod node;
mod overloads;
mod program;
mod signs;
mod text;
mod time;
mod types;
mod value;
mod vocabulary;

pub use fields::{fields, read};
pub use free::FreeExpression;
pub use net::Cidr;
pub use program::{Computed, Expression, Program, ProgramError, Scope};
pub use time::{Moment, Span};
pub use types::Ty;
pub use value::{Fault, Value};
pub use vocabulary::{Type, Vocabulary};

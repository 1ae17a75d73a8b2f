//! From an event, its features and the time to a decision. Pure: no clocks, no I/O, no threads.
//!
//! ```text
//!  event ─► fields ─┐
//!                   ├─► slots ─► rules (all of them) ─► outcome, score ─► decision ─► escalation
//!  account ─► features                                                       │
//!                                          explain: the same way again ◄─────┘
//! ```
//!
//! Names are resolved to slots when rules are loaded; a rule that names something unknown, compares
//! what cannot be compared, or fails one of its own tests, is refused then and never at run time.

mod case;
mod decide;
mod lists;
pub mod model;
mod models;
mod policy;
mod rule_tests;
mod rules;
mod template;

pub use case::Case;
pub use decide::Engine;
pub use lists::Lists;
pub use models::{Attribution, Models};
pub use policy::Policy;
pub use rules::RuleSet;

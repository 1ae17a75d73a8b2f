//! Between bytes and the domain.
//!
//! ```text
//!  record ──► frame ──► writer's schema ──► body ──► redact ──► validate ──► event
//!               │             │               │                    │
//!               └─────────────┴──── refusal ──┴────────────────────┘ ──► dead letter
//! ```
//!
//! Reading is done with the writer's schema and serde: fields are matched by name (or alias),
//! missing ones take the contract's default, unknown ones are skipped. Where that could differ from
//! Avro's own resolution, the writer's schema is checked once, when it becomes known.

mod contract;
mod dead_letter;
mod decode;
mod encode;
pub mod json;
mod redact;
mod resolution;
mod symbols;
mod validate;
mod writers;

pub use contract::Contract;
pub use dead_letter::dead_letter;
pub use decode::{Decoded, Decoder, Refusal};
pub use encode::{EncodeError, Encoder, decode_own};
pub use redact::{contains_card_number, redact};
pub use writers::{SchemaError, Writers};

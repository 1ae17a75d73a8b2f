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
//! Avro's own resolution, the writer's schema is checked once, when it becomes known: at start for
//! those in files, when its id is first met for one of a schema registry.

mod contract;
mod dead_letter;
mod decode;
mod encode;
mod erasure;
mod frame;
pub mod json;
mod own;
mod redact;
mod registry;
mod resolution;
mod symbols;
mod touches;
mod validate;
mod writers;

pub use contract::Contract;
pub use dead_letter::dead_letter;
pub use decode::{DecodeError, Decoded, Decoder, Refusal, admit};
pub use encode::{EncodeError, Encoder};
pub use erasure::{ERASE_HEADER, check_account, check_erased_by, erased_account, erased_by};
pub use frame::body;
pub use own::{OwnError, decode_offline, decode_own, use_registry};
pub use redact::{contains_card_number, redact};
pub use registry::{Ids, Registry, RegistryError};
pub use touches::TouchEncoder;
pub use writers::{SchemaError, Writers};

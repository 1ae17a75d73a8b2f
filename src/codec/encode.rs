//! From the domain to framed Avro.

use serde::Serialize;
use serde_avro_fast::ser::SerializerConfig;

use super::frame::Prefix;
use super::{Contract, Ids};

/// A value that its contract cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode a record of {contract:?}: {source}")]
pub struct EncodeError {
    contract: Contract,
    source: serde_avro_fast::ser::SerError,
}

/// Writes records, framed with the contract's id in a registry or else its fingerprint. One per
/// thread: it keeps the serializers' memory.
pub struct Encoder {
    configs: Vec<SerializerConfig<'static>>,
    prefixes: Vec<Prefix>,
}

impl Default for Encoder {
    /// Framed with fingerprints.
    fn default() -> Self {
        Encoder::with_ids(&Ids::default())
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl EncodeError {
    pub(super) fn new(contract: Contract, source: serde_avro_fast::ser::SerError) -> EncodeError {
        EncodeError { contract, source }
    }
}

impl Encoder {
    /// Appends what comes before a record's body.
    pub(super) fn frame(&self, contract: Contract, out: &mut Vec<u8>) {
        out.extend_from_slice(self.prefixes[contract as usize].bytes());
    }

    /// Framed with these ids; with fingerprints where a contract has none.
    pub fn with_ids(ids: &Ids) -> Encoder {
        let config = |contract: &Contract| SerializerConfig::new(contract.schema());
        let prefix = |contract: &Contract| Prefix::new(*contract, ids.get(*contract));
        Encoder {
            configs: Contract::ALL.iter().map(config).collect(),
            prefixes: Contract::ALL.iter().map(prefix).collect(),
        }
    }

    /// Framed as this process frames its own records: see [`use_registry`](super::use_registry).
    pub fn of_process() -> Encoder {
        Encoder::with_ids(&super::own::ids())
    }

    /// Appends the framed record to `out`.
    ///
    /// # Errors
    /// When the value does not fit the contract; `out` may then hold a part of it.
    pub fn encode<T: Serialize>(
        &mut self,
        contract: Contract,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        self.frame(contract, out);
        serde_avro_fast::to_datum(value, out, &mut self.configs[contract as usize])
            .map(|_| ())
            .map_err(|source| EncodeError { contract, source })
    }

    /// Appends an event to `out`, framed with its kind's contract.
    ///
    /// # Errors
    /// When it does not fit the contract.
    pub fn encode_event(
        &mut self,
        event: &crate::event::Event<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        use crate::event::Event;
        match event {
            Event::Transaction(event) => self.encode(Contract::Transaction, event, out),
            Event::Dispute(event) => self.encode(Contract::Dispute, event, out),
            Event::Chat(event) => self.encode(Contract::Chat, event, out),
            Event::Invoice(event) => self.encode(Contract::Invoice, event, out),
            Event::Label(event) => self.encode(Contract::Label, event, out),
        }
    }
}

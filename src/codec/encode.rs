//! From the domain to framed Avro.

use serde::Serialize;
use serde_avro_fast::ser::SerializerConfig;

use super::Contract;

/// A value that its contract cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode a record of {contract:?}: {source}")]
pub struct EncodeError {
    contract: Contract,
    source: serde_avro_fast::ser::SerError,
}

/// Writes records, framed with the contract's fingerprint. One per thread: it keeps the
/// serializers' memory.
pub struct Encoder {
    configs: Vec<SerializerConfig<'static>>,
}

impl Default for Encoder {
    fn default() -> Self {
        let config = |contract: &Contract| SerializerConfig::new(contract.schema());
        Encoder { configs: Contract::ALL.iter().map(config).collect() }
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
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
        out.extend_from_slice(&[0xC3, 0x01]);
        out.extend_from_slice(contract.schema().rabin_fingerprint());
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

/// Reads back what weir itself wrote with the contract of this build.
///
/// # Errors
/// When the payload is not framed with the contract's fingerprint or its body is damaged.
pub fn decode_own<'a, T: serde::Deserialize<'a>>(
    contract: Contract,
    payload: &'a [u8],
) -> Result<T, serde_avro_fast::de::DeError> {
    serde_avro_fast::from_single_object_slice(payload, contract.schema())
}

//! Input records that end without a decision, and the vocabulary of why.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Millis;

/// Where on the path a record was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailedStage {
    /// the bytes are not an event
    Decode,
    /// an event, but not one that may be decided about
    Validate,
    /// its id was seen with another payload
    Dedupe,
    /// decoding or scoring it panicked
    Panic,
    /// an escalation that no receiver would take
    Notify,
    /// a record of weir's own that the store cannot take
    Store,
}

impl FailedStage {
    /// The name on the wire and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            FailedStage::Decode => "decode",
            FailedStage::Validate => "validate",
            FailedStage::Dedupe => "dedupe",
            FailedStage::Panic => "panic",
            FailedStage::Notify => "notify",
            FailedStage::Store => "store",
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a record was given up: a stable code for machines.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, for tests and documentation.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The name on the wire and in metrics.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }
        }
    };
}

codes! {
    /// not framed: neither C3 01 and a fingerprint nor anything else known
    Unframed = "unframed",
    /// framed with a schema that is not known here
    UnknownSchema = "unknown_schema",
    /// framed with the schema of another topic's records
    WrongSchema = "wrong_schema",
    /// the writer's schema cannot be read as ours
    IncompatibleSchema = "incompatible_schema",
    /// the body is not what its schema says: truncated, trailing bytes, bad UTF-8, null where a value must be
    Malformed = "malformed",
    /// the record or one of its texts is larger than allowed
    TooLarge = "too_large",
    /// no key
    KeyMissing = "key_missing",
    /// the key is not tenant/account_id of the event
    KeyMismatch = "key_mismatch",
    /// event time before any payment system existed
    TimeTooEarly = "time_too_early",
    /// event time too far ahead of the record's own
    TimeInFuture = "time_in_future",
    /// a raw card number where a token belongs
    CardNumber = "card_number",
    /// a field's value is not allowed
    InvalidField = "invalid_field",
    /// its id was seen with another payload within the dedupe horizon
    ConflictingDuplicate = "conflicting_duplicate",
    /// decoding or scoring it panicked
    Panicked = "panicked",
    /// no receiver took the escalation
    Undeliverable = "undeliverable",
}

/// An input record that has no decision, and why. Carries nothing that was redacted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// topic of the record given up
    pub topic: String,
    /// its partition
    pub partition: i32,
    /// its offset
    pub offset: i64,
    /// its own timestamp
    pub timestamp: Millis,
    /// when it was given up
    pub failed_at: Millis,
    /// name of a [`FailedStage`]
    pub stage: String,
    /// name of a [`Code`]
    pub code: String,
    /// field, value and what was expected
    pub message: String,
    /// the record's key, redacted
    pub key: Option<String>,
    /// the record's headers, redacted
    pub headers: BTreeMap<String, String>,
    /// XXH3-128 of the payload, hex
    pub payload_hash: String,
    /// size of the payload in bytes
    pub payload_bytes: i64,
    /// the payload, only where nothing sensitive was found in it and it is small
    #[serde(with = "bytes_option")]
    pub payload: Option<Vec<u8>>,
}

/// Avro bytes: serde would take a `Vec<u8>` for an array.
mod bytes_option {
    use serde::de::{self, Deserializer, SeqAccess, Visitor};
    use serde::ser::Serializer;

    struct Bytes<'a>(&'a [u8]);

    impl serde::Serialize for Bytes<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => serializer.serialize_some(&Bytes(bytes)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        struct OptionVisitor;

        impl<'de> Visitor<'de> for OptionVisitor {
            type Value = Option<Vec<u8>>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes or null")
            }

            fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
                d.deserialize_byte_buf(BytesVisitor).map(Some)
            }
        }

        struct BytesVisitor;

        impl<'de> Visitor<'de> for BytesVisitor {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Self::Value, E> {
                Ok(v.to_vec())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                Ok(bytes)
            }
        }

        deserializer.deserialize_option(OptionVisitor)
    }
}

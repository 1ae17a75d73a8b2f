//! What stands before a record's body: how its writer's schema is named.
//!
//! | bytes | named by |
//! |---|---|
//! | `C3 01`, 8 bytes | the schema's fingerprint: Avro's single-object encoding |
//! | `00`, 4 bytes | the schema's id in a registry, big endian: Confluent's framing |

use super::Contract;

/// Bytes before the body, at most.
const FRAME_BYTES_MAX: usize = 10;

/// A payload taken apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Frame<'a> {
    /// little endian, as it stands there
    Fingerprint(&'a [u8; 8], &'a [u8]),
    /// in a registry
    Id(u32, &'a [u8]),
}

impl<'a> Frame<'a> {
    /// `None` where it begins with neither.
    pub(super) fn of(payload: &'a [u8]) -> Option<Frame<'a>> {
        match payload {
            [0xC3, 0x01, rest @ ..] => {
                rest.split_first_chunk().map(|(print, body)| Frame::Fingerprint(print, body))
            }
            [0, rest @ ..] => {
                rest.split_first_chunk().map(|(id, body)| Frame::Id(u32::from_be_bytes(*id), body))
            }
            _ => None,
        }
    }
}

/// The body of a framed payload: what two records have in common that differ in nothing but how
/// their schema is named. The whole payload where there is no frame.
pub fn body(payload: &[u8]) -> &[u8] {
    match Frame::of(payload) {
        Some(Frame::Fingerprint(_, body) | Frame::Id(_, body)) => body,
        None => payload,
    }
}

/// What weir's records of a contract begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    bytes: [u8; FRAME_BYTES_MAX],
    len: usize,
}

impl Prefix {
    /// With the registry's id where there is one, else with the fingerprint.
    pub(super) fn new(contract: Contract, id: Option<u32>) -> Prefix {
        let mut bytes = [0; FRAME_BYTES_MAX];
        let len = match id {
            Some(id) => {
                bytes[1..5].copy_from_slice(&id.to_be_bytes());
                5
            }
            None => {
                bytes[..2].copy_from_slice(&[0xC3, 0x01]);
                bytes[2..].copy_from_slice(contract.schema().rabin_fingerprint());
                FRAME_BYTES_MAX
            }
        };
        Prefix { bytes, len }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_framed_is_taken_apart_again_and_nothing_else_is() {
        for contract in Contract::ALL {
            for id in [None, Some(0), Some(1), Some(0x0102_0304), Some(u32::MAX)] {
                let framed = [Prefix::new(*contract, id).bytes(), b"body"].concat();
                let expected = match id {
                    Some(id) => Frame::Id(id, b"body"),
                    None => Frame::Fingerprint(contract.schema().rabin_fingerprint(), b"body"),
                };
                assert_eq!(Frame::of(&framed), Some(expected));
                assert_eq!(body(&framed), b"body");
                let head = Prefix::new(*contract, id).bytes().len();
                for cut in 0..head {
                    assert_eq!(Frame::of(&framed[..cut]), None, "{cut} bytes of {framed:02X?}");
                }
            }
        }
        assert_eq!(Prefix::new(Contract::Chat, Some(0x0102_0304)).bytes(), [0, 1, 2, 3, 4]);
        for begin in 1..=255u8 {
            let other = [begin, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            assert_eq!(Frame::of(&other).is_some(), begin == 0xC3, "{begin:02X}");
        }
    }
}

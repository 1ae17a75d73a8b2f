//! What tells a sound file from a damaged one.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_128;

/// XXH3 of 128 bits: finds damage, not forgery. Shown as 32 small hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Checksum(u128);

impl Checksum {
    /// Bytes of a checksum at the end of a file.
    pub(super) const LEN: usize = size_of::<u128>();

    /// The checksum of these bytes.
    pub fn of(bytes: &[u8]) -> Checksum {
        Checksum(xxh3_128(bytes))
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        self.0.to_le_bytes()
    }

    pub(super) fn from_bytes(bytes: [u8; Self::LEN]) -> Checksum {
        Checksum(u128::from_le_bytes(bytes))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Checksum {
    type Err = String;

    fn from_str(text: &str) -> Result<Checksum, String> {
        let checksum = u128::from_str_radix(text, 16).map(Checksum);
        // one way to write each
        checksum
            .ok()
            .filter(|checksum| checksum.to_string() == text)
            .ok_or_else(|| format!("checksum is {text:?}, expected 32 small hexadecimal digits"))
    }
}

impl Serialize for Checksum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Checksum {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Checksum, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_written_in_one_way() {
        let checksum = Checksum::of(b"x");
        assert_eq!(checksum.to_string().parse(), Ok(checksum));
        assert_eq!(Checksum::from_bytes(checksum.to_bytes()), checksum);
        let text = checksum.to_string();
        for wrong in [text.to_uppercase(), text[1..].to_owned(), format!("+{}", &text[1..])] {
            assert!(wrong.parse::<Checksum>().is_err(), "{wrong}");
        }
    }
}

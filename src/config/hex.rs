//! Hashes as people and files write them.

use std::fmt::Write as _;

/// Bytes as small hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // writing to a string cannot fail
        let _always = write!(text, "{byte:02x}");
        text
    })
}

//! Names of lists, models, challengers and flags: they stand in records, commands and metrics.

/// Characters of a name.
pub const NAME_CHARS_MAX: usize = 64;

/// Whether a text is a name: 1 to 64 of a-z, 0-9, `_` and `-`.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

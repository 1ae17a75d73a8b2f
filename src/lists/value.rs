//! Values: as files and changes write them, and as events have them.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::address;
use super::error::{Fault, shown};
use super::{NOTE_BYTES_MAX, VALUE_BYTES_MAX};
use crate::config::Match;
use crate::event::Slot;

const NETWORK: &str = "an address or a network such as 192.0.2.0/24 or 2001:db8::/32";
const RANGE: &str = "integers such as 400000..499999, the smaller one first, or one integer";

/// How a list compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matching {
    /// with what
    pub kind: Match,
    /// whether large and small letters are the same, of exact and prefix
    pub fold: bool,
}

/// What lies between two others, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span<K> {
    pub(super) low: K,
    pub(super) high: K,
}

/// What an entry is found by: two entries of one key are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Text(Cow<'a, str>),
    V4(Span<u32>),
    V6(Span<u128>),
    Range(Span<i64>),
}

/// What is looked up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Probe<'a> {
    Text(&'a [u8]),
    V4(u32),
    V6(u128),
    Int(i64),
}

/// Where a value is put that an event has in another form.
pub(super) struct Scratch {
    bytes: [u8; VALUE_BYTES_MAX],
    len: usize,
}

impl Scratch {
    pub(super) fn new() -> Scratch {
        Scratch { bytes: [0; VALUE_BYTES_MAX], len: 0 }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Takes a character, if there is room for it.
    fn push(&mut self, char: char) -> bool {
        let end = self.len + char.len_utf8();
        let Some(room) = self.bytes.get_mut(self.len..end) else { return false };
        char.encode_utf8(room);
        self.len = end;
        true
    }

    /// Takes a text in small letters; whether all of it had room.
    fn fold(&mut self, text: &str) -> bool {
        text.chars().flat_map(small).all(|char| self.push(char))
    }

    /// Takes an integer as it is written.
    fn int(&mut self, value: i64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = value.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if value < 0 {
            at -= 1;
            digits[at] = b'-';
        }
        self.len = digits.len() - at;
        self.bytes[..self.len].copy_from_slice(&digits[at..]);
    }
}

/// Letter by letter, so that a prefix of a text stays one when both are folded.
fn small(char: char) -> impl Iterator<Item = char> {
    char.to_lowercase()
}

impl Matching {
    /// What an entry with this value is found by.
    pub(super) fn key(self, value: &str) -> Result<Key<'_>, Fault> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(Fault::LongValue(shown(value)));
        }
        if value.chars().any(char::is_control) {
            return Err(Fault::Control { name: "value", text: shown(value) });
        }
        let wrong = |expected: String| Fault::Value { value: shown(value), expected };
        match self.kind {
            Match::Exact if value.is_empty() || value.trim() != value => {
                Err(wrong("a text without space around it".to_owned()))
            }
            Match::Prefix if value.is_empty() => Err(wrong("the beginning of a text".to_owned())),
            Match::Exact | Match::Prefix if self.fold => {
                let folded: String = value.chars().flat_map(small).collect();
                match folded.len() > VALUE_BYTES_MAX {
                    true => Err(Fault::LongValue(shown(value))),
                    false => Ok(Key::Text(Cow::Owned(folded))),
                }
            }
            Match::Exact | Match::Prefix => Ok(Key::Text(Cow::Borrowed(value))),
            Match::Cidr => network(value).map_err(wrong),
            Match::Range => range(value).map(Key::Range).ok_or_else(|| wrong(RANGE.to_owned())),
        }
    }

    /// What is looked up for a value of an event, if it is there in the form of the kind.
    #[inline]
    pub(super) fn probe(self, value: Slot<'_>) -> Option<Probe<'_>> {
        match (self.kind, value) {
            (Match::Exact | Match::Prefix, Slot::Text(text)) if !self.fold => {
                Some(Probe::Text(text.as_bytes()))
            }
            (Match::Cidr, Slot::Text(text)) => Some(match address(text)? {
                IpAddr::V4(address) => Probe::V4(address.to_bits()),
                IpAddr::V6(address) => match address.to_ipv4_mapped() {
                    Some(address) => Probe::V4(address.to_bits()),
                    None => Probe::V6(address.to_bits()),
                },
            }),
            (Match::Range, Slot::Int(value)) => Some(Probe::Int(value)),
            (Match::Range, Slot::Text(text)) => digits(text).map(Probe::Int),
            _ => None,
        }
    }

    /// What is looked up for a value of an event that has to be written in another form; none where it
    /// cannot be in such a list.
    pub(super) fn write<'a>(self, value: Slot<'_>, to: &'a mut Scratch) -> Option<Probe<'a>> {
        match (self.kind, value) {
            (Match::Exact | Match::Prefix, Slot::Text(text)) if self.fold => {
                // of a longer one its beginning may be in a list
                let whole = to.fold(text);
                (whole || self.kind == Match::Prefix).then(|| Probe::Text(to.text()))
            }
            (Match::Exact | Match::Prefix, Slot::Int(value)) => {
                to.int(value);
                Some(Probe::Text(to.text()))
            }
            _ => None,
        }
    }
}

/// The network of a text; otherwise what was expected.
fn network(text: &str) -> Result<Key<'static>, String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => {
            let length = digits(length).and_then(|length| u32::try_from(length).ok());
            (address, Some(length.ok_or(NETWORK)?))
        }
        None => (text, None),
    };
    match address.parse().map_err(|_| NETWORK)? {
        IpAddr::V4(address) => network4(address, length.unwrap_or(32)),
        IpAddr::V6(address) => {
            let length = length.unwrap_or(128);
            match (address.to_ipv4_mapped(), length.checked_sub(96)) {
                (Some(address), Some(length)) => network4(address, length),
                _ => network6(address, length),
            }
        }
    }
}

fn network4(address: Ipv4Addr, length: u32) -> Result<Key<'static>, String> {
    let host = 32_u32.checked_sub(length).ok_or("a length of at most 32, of IPv6 128")?;
    let rest = u32::MAX.checked_shr(length).unwrap_or(0);
    let low = address.to_bits() & !rest;
    match low == address.to_bits() {
        true => Ok(Key::V4(Span { low, high: low | rest })),
        false => Err(format!("its last {host} bits to be zero: {}/{length}", Ipv4Addr::from(low))),
    }
}

fn network6(address: Ipv6Addr, length: u32) -> Result<Key<'static>, String> {
    let host = 128_u32.checked_sub(length).ok_or("a length of at most 128")?;
    let rest = u128::MAX.checked_shr(length).unwrap_or(0);
    let low = address.to_bits() & !rest;
    match low == address.to_bits() {
        true => Ok(Key::V6(Span { low, high: low | rest })),
        false => Err(format!("its last {host} bits to be zero: {}/{length}", Ipv6Addr::from(low))),
    }
}

fn range(text: &str) -> Option<Span<i64>> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let span = Span { low: integer(low)?, high: integer(high)? };
    (span.low <= span.high).then_some(span)
}

fn integer(text: &str) -> Option<i64> {
    match text.starts_with('+') {
        true => None,
        false => text.parse().ok(),
    }
}

/// A text of digits alone.
fn digits(text: &str) -> Option<i64> {
    /// so many fit whatever they are
    const SAFE: usize = 18;
    let mut value = 0;
    for byte in text.as_bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = i64::wrapping_add(i64::wrapping_mul(value, 10), i64::from(digit));
    }
    match text.len() {
        0 => None,
        1..=SAFE => Some(value),
        _ => text.parse().ok(),
    }
}

/// Checks a note.
pub(super) fn check_note(note: &str) -> Result<(), Fault> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(Fault::LongNote(shown(note)));
    }
    if note.chars().any(char::is_control) {
        return Err(Fault::Control { name: "note", text: shown(note) });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: Match, value: &str) -> Result<Key<'_>, String> {
        Matching { kind, fold: false }.key(value).map_err(|fault| fault.to_string())
    }

    #[test]
    fn networks_are_read_and_mapped_addresses_are_ipv4() {
        let v4 = |low, high| Ok(Key::V4(Span { low, high }));
        let v6 = |low, high| Ok(Key::V6(Span { low, high }));
        for (text, expected) in [
            ("10.0.0.0/8", v4(0x0a00_0000, 0x0aff_ffff)),
            ("10.1.2.3", v4(0x0a01_0203, 0x0a01_0203)),
            ("0.0.0.0/0", v4(0, u32::MAX)),
            ("::ffff:10.0.0.0/104", v4(0x0a00_0000, 0x0aff_ffff)),
            ("::ffff:10.1.2.3", v4(0x0a01_0203, 0x0a01_0203)),
            ("::/0", v6(0, u128::MAX)),
            ("2001:db8::/32", v6(0x2001_0db8 << 96, (0x2001_0db9 << 96) - 1)),
            ("2001:DB8::1", v6((0x2001_0db8 << 96) | 1, (0x2001_0db8 << 96) | 1)),
        ] {
            assert_eq!(key(Match::Cidr, text), expected, "{text}");
        }
        for (text, expected) in [
            ("10.0.0.1/8", "its last 24 bits to be zero: 10.0.0.0/8"),
            ("2001:db8::1/32", "its last 96 bits to be zero: 2001:db8::/32"),
            ("10.0.0.0/33", "a length of at most 32"),
            ("::/129", "a length of at most 128"),
            ("10.0.0.0/", NETWORK),
            ("10.0.0.0/+8", NETWORK),
            ("10.0.0/8", NETWORK),
            ("010.0.0.0/8", NETWORK),
            ("example.com", NETWORK),
            ("", NETWORK),
        ] {
            let error = key(Match::Cidr, text).unwrap_err();
            assert!(
                error.starts_with(&format!("value is {text:?}, expected {expected}")),
                "{error}"
            );
        }
    }

    #[test]
    fn ranges_are_two_integers_or_one() {
        for (text, low, high) in [
            ("400000..499999", 400_000, 499_999),
            ("7", 7, 7),
            ("-5..-5", -5, -5),
            ("-9223372036854775808..9223372036854775807", i64::MIN, i64::MAX),
        ] {
            assert_eq!(key(Match::Range, text), Ok(Key::Range(Span { low, high })), "{text}");
        }
        for text in ["5..4", "..", "1..", "1...2", "+1", "1 .. 2", "a", "", "9223372036854775808"] {
            let error = key(Match::Range, text).unwrap_err();
            assert_eq!(error, format!("value is {text:?}, expected {RANGE}"));
        }
    }

    #[test]
    fn texts_are_bounded_and_of_one_line() {
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        for (kind, text, expected) in [
            (Match::Exact, "", "value is \"\", expected a text"),
            (Match::Exact, " x", "value is \" x\", expected a text without space around it"),
            (Match::Prefix, "", "value is \"\", expected the beginning"),
            (Match::Prefix, "a\nb", "value is \"a\\nb\", expected one line"),
            (Match::Exact, &long, "value \"xxx"),
        ] {
            let error = key(kind, text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(key(Match::Prefix, "SQ ").is_ok());
        // folding can make a text longer: İ is two bytes, its small form three
        let grows = "İ".repeat(VALUE_BYTES_MAX / 2);
        assert!(Matching { kind: Match::Exact, fold: true }.key(&grows).is_err());
    }

    #[test]
    fn integers_are_written_as_everybody_writes_them() {
        for value in [0, 7, -7, 10, i64::MAX, i64::MIN] {
            let mut scratch = Scratch::new();
            scratch.int(value);
            assert_eq!(scratch.text(), value.to_string().as_bytes());
        }
    }
}

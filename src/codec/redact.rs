//! Card numbers in free text: found by the Luhn check and taken out at the door, before anything is
//! scored, stored, logged or published.

use std::borrow::Cow;

use crate::event::Text;

/// What stands where a card number stood.
const MARK: &str = "[card]";
/// Digits of a card number, ISO/IEC 7812.
const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;

/// The text with every card number replaced by `[card]`.
pub fn redact(text: &str) -> Cow<'_, str> {
    let ranges = card_numbers(text.as_bytes());
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in ranges {
        // card numbers are ASCII, so their ends are character boundaries
        clean.push_str(&text[from..start]);
        clean.push_str(MARK);
        from = end;
    }
    clean.push_str(&text[from..]);
    Cow::Owned(clean)
}

/// Characters of a value that an error quotes.
const QUOTE_CHARS: usize = 60;

/// A value as errors quote it: redacted and short.
pub(super) fn shorten(text: &str) -> String {
    let clean = redact(text);
    let mut short: String = clean.chars().take(QUOTE_CHARS).collect();
    if short.len() < clean.len() {
        short.push('…');
    }
    short
}

/// Whether there is a card number somewhere in the bytes.
pub fn contains_card_number(bytes: &[u8]) -> bool {
    !card_numbers(bytes).is_empty()
}

pub(super) fn redact_in_place(text: &mut Text<'_>) {
    if let Cow::Owned(clean) = redact(text.as_str()) {
        *text = Text::from(clean);
    }
}

/// Whether the whole text, spaces and dashes aside, is a card number.
pub(super) fn is_card_number(text: &str) -> bool {
    if text.len() < DIGITS_MIN || text.len() > 2 * DIGITS_MAX {
        return false;
    }
    let mut digits = Vec::with_capacity(DIGITS_MAX);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => digits.push(byte - b'0'),
            b' ' | b'-' => {}
            _ => return false,
        }
    }
    (DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) && luhn(&digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, digit)| {
            let digit = u32::from(*digit);
            match (i % 2, digit * 2) {
                (0, _) => digit,
                (_, doubled) if doubled > 9 => doubled - 9,
                (_, doubled) => doubled,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Byte ranges of card numbers: 13 to 19 digits with at most one space or dash between two, which
/// pass the Luhn check, at any place of a run of digits.
fn card_numbers(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let (run, end) = digit_run(bytes, at);
        if run.len() >= DIGITS_MIN {
            cards_in_run(bytes, &run, &mut found);
        }
        at = end;
    }
    found
}

/// Places of the digits of the run that begins at `start`, and where it ends.
fn digit_run(bytes: &[u8], start: usize) -> (Vec<usize>, usize) {
    let mut digits = Vec::new();
    let mut at = start;
    while at < bytes.len() {
        if bytes[at].is_ascii_digit() {
            digits.push(at);
        } else {
            let separator = matches!(bytes[at], b' ' | b'-');
            if !separator || !bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
                break;
            }
        }
        at += 1;
    }
    (digits, at)
}

/// Adds the union of everything in the run that could be a card number: where two candidates
/// overlap, nobody can say which was meant, and a part of the right one must not stay.
fn cards_in_run(bytes: &[u8], run: &[usize], found: &mut Vec<(usize, usize)>) {
    let digits: Vec<u8> = run.iter().map(|at| bytes[*at] - b'0').collect();
    for start in 0..=digits.len().saturating_sub(DIGITS_MIN) {
        let longest = DIGITS_MAX.min(digits.len() - start);
        let card = (DIGITS_MIN..=longest).rev().find(|len| luhn(&digits[start..start + len]));
        let Some(len) = card else { continue };
        let end = run[start + len - 1] + 1;
        match found.last_mut() {
            Some((_, last_end)) if *last_end > run[start] => *last_end = end.max(*last_end),
            _ => found.push((run[start], end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_vanish_in_every_spelling_and_other_numbers_stay() {
        for (text, clean) in [
            ("my card 4111111111111111 was used", "my card [card] was used"),
            ("4111 1111 1111 1111", "[card]"),
            ("it is 5500-0000-0000-0004, stolen", "it is [card], stolen"),
            ("amex 378282246310005!", "amex [card]!"),
            ("order 7 4111111111111111 9", "order [card]"),
            ("two 4111111111111111,5500000000000004", "two [card],[card]"),
            ("call 555-0100 or 1234567890123", "call 555-0100 or 1234567890123"),
            ("0000000000000000", "[card]"),
            ("größer 4111111111111111 ü", "größer [card] ü"),
            ("", ""),
        ] {
            assert_eq!(redact(text), clean, "{text}");
            assert_eq!(contains_card_number(text.as_bytes()), text != clean, "{text}");
        }
    }

    #[test]
    fn a_card_id_is_refused_only_as_a_whole_number() {
        assert!(is_card_number("4111111111111111"));
        assert!(is_card_number("4111-1111-1111-1111"));
        assert!(!is_card_number("4111111111111112"));
        assert!(!is_card_number("card-4111111111111111"));
        assert!(!is_card_number("650487******9884"));
        assert!(!is_card_number("411111111111"));
    }

    #[test]
    fn what_is_redacted_has_no_card_number_left() {
        // every text of digits and separators up to a length, in a cheap pseudo-random walk
        let mut seed = 7u64;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..24 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let letters = b"0123456789 -x41111";
                text.push(letters[(seed >> 33) as usize % letters.len()] as char);
            }
            assert!(!contains_card_number(redact(&text).as_bytes()), "seed 7, {text:?}");
        }
    }
}

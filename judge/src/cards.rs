//! Card numbers: 13 to 19 digits that pass the Luhn check.

/// Whether a token is a raw card number once its spaces and dashes are taken out.
pub fn is_card_number(token: &str) -> bool {
    let mut digits = Vec::with_capacity(19);
    for byte in token.bytes() {
        match byte {
            b' ' | b'-' => {}
            b'0'..=b'9' if digits.len() < 19 => digits.push(byte - b'0'),
            _ => return false,
        }
    }
    digits.len() >= 13 && luhn(&digits)
}

/// The first card number in a text that is not part of one of `known`: identifiers of the payment
/// system may look like one and be quoted.
///
/// Digits count as one number when nothing stands between them, or a single space or dash; any
/// whole groups of 13 to 19 digits together are tried, so a date beside a number does not hide it.
pub fn find<'t>(text: &'t str, known: &[&str]) -> Option<&'t str> {
    let bytes = text.as_bytes();
    if bytes.iter().filter(|byte| byte.is_ascii_digit()).count() < 13 {
        return None;
    }
    let groups = groups(bytes);
    for first in 0..groups.len() {
        let mut digits: Vec<u8> = Vec::with_capacity(19);
        for at in first..groups.len() {
            let (start, end) = groups[at];
            if at > first && !joined(bytes, groups[at - 1].1, start) {
                break;
            }
            if digits.len() + (end - start) > 19 {
                break;
            }
            digits.extend(bytes[start..end].iter().map(|byte| byte - b'0'));
            let found = &text[groups[first].0..end];
            if digits.len() >= 13 && luhn(&digits) && !known.iter().any(|id| id.contains(found)) {
                return Some(found);
            }
        }
    }
    None
}

fn groups(bytes: &[u8]) -> Vec<(usize, usize)> {
    let mut groups = Vec::new();
    let mut start = None;
    for (at, byte) in bytes.iter().enumerate() {
        match (start, byte.is_ascii_digit()) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                groups.push((from, at));
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        groups.push((from, bytes.len()));
    }
    groups
}

fn joined(bytes: &[u8], end: usize, start: usize) -> bool {
    start == end + 1 && matches!(bytes[end], b' ' | b'-')
}

fn luhn(digits: &[u8]) -> bool {
    let mut sum = 0_u32;
    for (place, digit) in digits.iter().rev().enumerate() {
        let digit = u32::from(*digit);
        sum += match (place % 2, digit) {
            (0, _) => digit,
            (_, 0..=4) => digit * 2,
            _ => digit * 2 - 9,
        };
    }
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_card_number_by_length_and_check_digit() {
        for card in
            ["4111111111111111", "4111-1111-1111-1111", "4222222222222", "6304 0000 0000 0000 000"]
        {
            assert!(is_card_number(card), "{card}");
        }
        for token in [
            "4111111111111112",
            "422222222222",
            "tok_4111111111111111",
            "41111111111111110000",
            "",
            "4111.1111.1111.1111",
        ] {
            assert!(!is_card_number(token), "{token}");
        }
    }

    #[test]
    fn a_card_number_is_found_in_a_text_beside_other_digits() {
        for (text, card) in [
            ("my card 4111 1111 1111 1111 was", Some("4111 1111 1111 1111")),
            ("x4111111111111111y", Some("4111111111111111")),
            ("4111-1111-1111-1111 12 25", Some("4111-1111-1111-1111")),
            ("7 4111111111111111", Some("4111111111111111")),
            ("4111  1111  1111  1111", None),
            ("4111111111111112", None),
            ("41111111111111110000", None),
            ("411111111111", None),
            ("", None),
        ] {
            assert_eq!(find(text, &[]), card, "{text}");
        }
    }

    #[test]
    fn an_identifier_may_be_quoted_but_hides_no_other_number() {
        let text = "account 4111111111111111 used 4222222222222";
        assert_eq!(find(text, &["4111111111111111"]), Some("4222222222222"));
        assert_eq!(find(text, &["4111111111111111", "4222222222222"]), None);
    }
}

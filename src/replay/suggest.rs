//! What somebody may have meant.

/// The end of a message about an unknown name: the known name it is most like, or the known names
/// where they are few.
pub(super) fn hint<'n>(unknown: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let unknown_lower = unknown.to_lowercase();
    let allowed = (unknown.chars().count() / 3).max(1);
    let nearest = known
        .iter()
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&unknown_lower, &name.to_lowercase());
            (distance, *name)
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min();
    match nearest {
        Some((_, name)) => format!(", did you mean {name:?}?"),
        None if known.is_empty() => String::new(),
        None if known.len() <= 24 => format!(", expected one of {}", known.join(", ")),
        None => format!(", expected one of {} names", known.len()),
    }
}

/// A text for a message: cut where it is long, on one line.
pub(super) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    match text.char_indices().nth(CHARS_MAX) {
        Some((cut, _)) => format!("{:?}… ({} bytes)", &text[..cut], text.len()),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_whatever_its_case() {
        let known = ["amount_minor", "account_id", "currency"];
        assert_eq!(hint("acount_id", known), ", did you mean \"account_id\"?");
        assert_eq!(hint("CURRENCY", known), ", did you mean \"currency\"?");
        assert_eq!(hint("mcc", known), ", expected one of amount_minor, account_id, currency");
        assert_eq!(hint("x", []), "");
    }

    #[test]
    fn long_values_are_cut_in_messages() {
        let long = quoted(&"é".repeat(1000));
        assert!(long.chars().count() < 100 && long.ends_with("(2000 bytes)"), "{long}");
        assert_eq!(quoted("a\nb"), "\"a\\nb\"");
    }
}

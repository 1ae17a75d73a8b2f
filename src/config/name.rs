//! Names and kinds that several files of a topology have in common, and what is said of wrong ones.

/// Characters of a name.
const NAME_CHARS_MAX: usize = 64;
/// The kinds of event that are scored.
const KINDS: [&str; 4] = ["transaction", "dispute", "chat", "invoice"];

/// Whether a text is a name, of a list, a model, a challenger or a flag: 1 to 64 of a-z, 0-9, `_` and `-`.
/// They stand in records, commands and metrics.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// What is wrong with a text that should be a name and is called `what`; `None`: nothing.
pub fn wrong_name(what: &str, text: &str) -> Option<String> {
    let wrong = || {
        format!("{what} is {text:?}, expected 1 to {NAME_CHARS_MAX} of a-z, 0-9, \"_\" and \"-\"")
    };
    (!is_name(text)).then(wrong)
}

/// What is wrong with a text that should be the kind of an event that is scored; `None`: nothing.
pub(super) fn wrong_kind(text: &str) -> Option<String> {
    let wrong = || {
        format!("kind is {text:?}, expected \"transaction\", \"dispute\", \"chat\" or \"invoice\"")
    };
    (!KINDS.contains(&text)).then(wrong)
}

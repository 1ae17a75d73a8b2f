//! What is behind an error, for a person to read.

use std::error::Error;

/// The errors behind this one, from the outside in, each said once; its own text, which may hold an
/// address with a secret in it, is left out. Empty where there are none.
pub fn causes(error: &dyn Error) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut source = error.source();
    while let Some(error) = source {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        source = error.source();
    }
    texts.join(": ")
}

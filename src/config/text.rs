//! Text in topology files: `${NAME}` stands for a variable of the environment, and secrets do not
//! show themselves.

use std::fmt;

use serde::{Deserialize, Deserializer};

/// Text in which `${NAME}` was replaced by the environment's value of NAME.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interpolated(pub String);

impl<'de> Deserialize<'de> for Interpolated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        interpolate(&text, |name| std::env::var(name).ok())
            .map(Interpolated)
            .map_err(serde::de::Error::custom)
    }
}

pub(super) fn interpolate(
    text: &str,
    mut value: impl FnMut(&str) -> Option<String>,
) -> Result<String, String> {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            return Err(format!("{text:?} has \"${{\" without \"}}\", expected ${{NAME}}"));
        };
        let Some(value) = value(name) else {
            return Err(format!("environment variable {name} is not set, expected by {text:?}"));
        };
        done.push_str(before);
        done.push_str(&value);
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

/// A secret: usable, never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: String) -> Secret {
        Secret(secret)
    }

    /// The secret itself; whoever calls this must not log it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret from text with `${NAME}` in it; what is wrong is told without the text.
    pub(super) fn interpolated(text: &str) -> Result<Secret, String> {
        let mut missing = None;
        let text = interpolate(text, |name| {
            let value = std::env::var(name).ok();
            missing = value.is_none().then(|| name.to_owned());
            value
        });
        match (text, missing) {
            (Ok(text), _) => Ok(Secret::new(text)),
            (Err(_), Some(name)) => Err(format!("environment variable {name} is not set")),
            (Err(_), None) => Err("\"${\" without \"}\", expected ${NAME}".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_missing_ones_named() {
        let value = |name: &str| (name == "HOST").then(|| "example".to_owned());
        assert_eq!(interpolate("http://${HOST}/x", value).unwrap(), "http://example/x");
        assert_eq!(interpolate("a $5 {b}", value).unwrap(), "a $5 {b}");
        assert!(interpolate("${PORT}", value).unwrap_err().contains("PORT"));
        assert!(interpolate("${HOST", value).unwrap_err().contains("without"));
        assert_eq!(format!("{:?}", Secret::new("x".into())), "Secret(…)");
        let wrong = Secret::interpolated("hush ${WEIR_TEST_NOT_SET}").unwrap_err();
        assert!(wrong.contains("WEIR_TEST_NOT_SET") && !wrong.contains("hush"), "{wrong}");
        assert!(!Secret::interpolated("hush ${").unwrap_err().contains("hush"));
    }
}

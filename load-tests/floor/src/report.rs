//! What a command found, for people or for scripts.

use serde_json::{Map, Value};

/// Named figures, in the order of the alphabet.
#[derive(Debug, Default)]
pub struct Report(Map<String, Value>);

impl Report {
    /// Adds a figure; its unit is the end of its name.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Report {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// On standard output.
    pub fn print(self, json: bool) {
        if json {
            println!("{}", Value::Object(self.0));
            return;
        }
        for (name, value) in self.0 {
            println!("{name:28} {value}");
        }
    }
}

/// Rounded to `digits` after the point: more would pretend.
pub fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

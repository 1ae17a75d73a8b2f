//! Which parts of the process are ready, and why the others are not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::gauge;

use super::metric;

/// One part's view of itself. A part is not ready until it says so.
#[derive(Clone, Debug)]
pub struct Part {
    name: String,
    health: Health,
}

impl Part {
    /// The part works.
    pub fn ready(&self) {
        self.health.set(&self.name, None);
    }

    /// The part does not work at the moment, and why.
    pub fn not_ready(&self, why: impl Into<String>) {
        self.health.set(&self.name, Some(why.into()));
    }
}

/// All parts of the process.
#[derive(Clone, Debug, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<String, Option<String>>>>,
}

impl Health {
    /// Adds a part, which is not ready yet.
    pub fn part(&self, name: impl Into<String>) -> Part {
        let part = Part { name: name.into(), health: self.clone() };
        part.not_ready("starting");
        part
    }

    /// The parts that are not ready, with the reason.
    pub fn not_ready(&self) -> Vec<(String, String)> {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts
            .iter()
            .filter_map(|(name, why)| why.as_ref().map(|why| (name.clone(), why.clone())))
            .collect()
    }

    /// The names of all parts.
    pub fn names(&self) -> Vec<String> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    fn set(&self, name: &str, why: Option<String>) {
        let ready = if why.is_none() { 1.0 } else { 0.0 };
        gauge!(metric::READY, "part" => name.to_owned()).set(ready);
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.insert(name.to_owned(), why);
    }
}

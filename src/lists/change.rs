//! Changes of a list while weir runs: what travels on `weir.control`.

use serde::{Deserialize, Serialize};

use super::error::Fault;
use super::value::{Matching, check_note};
use crate::event::Millis;

/// One change of a list. As JSON `{"add":{"value":"10.0.0.0/8","expires":1767225600000}}`; times are
/// read as RFC 3339 too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// the value is in the list from now on, as this says; what was said of it before is forgotten
    Add {
        /// in the form that the list's kind asks for
        value: String,
        /// when it no longer counts; never where it does not say
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<Millis>,
        /// for people
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// the value is not in the list, whether or not it was
    Remove {
        /// names the entry as an add would: a network removes itself, not what lies within it
        value: String,
    },
}

impl Change {
    /// The value it is about.
    pub fn value(&self) -> &str {
        match self {
            Change::Add { value, .. } | Change::Remove { value } => value,
        }
    }

    /// Whether a list that compares so takes this change: for whoever is about to publish it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, matching: Matching) -> Result<(), Fault> {
        if let Change::Add { note: Some(note), .. } = self {
            check_note(note)?;
        }
        matching.key(self.value()).map(|_| ())
    }

    /// The one JSON that hashes are taken of: keys in order of declaration, nothing that is absent,
    /// times in milliseconds.
    pub(super) fn canonical(&self) -> Result<String, Fault> {
        serde_json::to_string(self).map_err(|error| Fault::Unreadable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_written_in_one_way_and_read_in_others() {
        let add = Change::Add {
            value: "10.0.0.0/8".to_owned(),
            expires: Some(Millis(1_767_225_600_000)),
            note: None,
        };
        let json = r#"{"add":{"value":"10.0.0.0/8","expires":1767225600000}}"#;
        assert_eq!(add.canonical().unwrap(), json);
        for same in
            [json, r#"{"add":{"note":null,"expires":"2026-01-01T00:00:00Z","value":"10.0.0.0/8"}}"#]
        {
            assert_eq!(serde_json::from_str::<Change>(same).unwrap(), add);
        }
        let remove = Change::Remove { value: "x".to_owned() };
        assert_eq!(remove.canonical().unwrap(), r#"{"remove":{"value":"x"}}"#);
        let unknown = r#"{"remove":{"value":"x","list":"y"}}"#;
        assert!(serde_json::from_str::<Change>(unknown).is_err());
    }
}

//! `[registry]`: where a schema registry is, and under which subjects it has our schemas.
//!
//! ```toml
//! [registry]
//! url = "http://127.0.0.1:8081/apis/ccompat/v7"
//! username = "weir"
//! password = "${WEIR_REGISTRY_PASSWORD}"
//! timeout_ms = 5000
//!
//! [registry.subjects]
//! transactions = "payments-value"
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::login::{Credentials, Hidden, NAMES};
use super::topology::Checker;
use super::{Interpolated, Login, Problem, nearest};

/// Topics whose records have a schema. Their contracts are the codec's affair, where a test
/// compares the names.
pub(crate) const TOPICS: [&str; 13] = [
    "labels",
    "disputes",
    "chats",
    "invoices",
    "transactions",
    "decisions",
    "escalations",
    "dead-letters",
    "weir.rollups",
    "weir.touches",
    "weir.fired",
    "weir.control",
    "weir.deliveries",
];

/// What is wrong with a topic's name that is none.
pub(super) fn unknown_topic(name: &str) -> String {
    match nearest(name, TOPICS) {
        Some(known) => format!("topic {name:?} is unknown, did you mean {known:?}?"),
        None => format!("topic {name:?} is unknown, expected one of {}", TOPICS.join(", ")),
    }
}

/// Bytes a subject may have, as Confluent's registry has it.
const SUBJECT_BYTES_MAX: usize = 255;

/// `[registry]`: a schema registry with Confluent's API.
#[derive(Clone, Debug)]
pub struct Registry {
    /// base of its addresses, path prefix included, without a slash at the end
    pub url: String,
    /// who weir is there
    pub login: Option<Login>,
    /// the longest one attempt may take
    pub timeout: Duration,
    /// subjects that are not `{topic name}-value`, by topic name
    pub subjects: BTreeMap<String, String>,
}

impl Registry {
    /// The subject of a topic's values.
    pub fn subject(&self, topic: &str) -> String {
        self.subjects.get(topic).cloned().unwrap_or_else(|| format!("{topic}-value"))
    }
}

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistryFile {
    url: Spanned<Interpolated>,
    username: Option<Spanned<Interpolated>>,
    password: Option<Spanned<Hidden>>,
    password_file: Option<Spanned<Interpolated>>,
    #[serde(default = "default_timeout")]
    timeout_ms: Spanned<u64>,
    #[serde(default)]
    subjects: BTreeMap<Spanned<String>, Spanned<Interpolated>>,
}

fn default_timeout() -> Spanned<u64> {
    Spanned::new(0..0, 5_000)
}

impl Checker<'_> {
    pub(super) fn registry(
        &self,
        file: RegistryFile,
        folder: &Path,
        problems: &mut Vec<Problem>,
    ) -> Option<Registry> {
        let before = problems.len();
        let mut keep = |checked: Result<(), Problem>| problems.extend(checked.err());
        keep(self.registry_url(&file.url));
        keep(self.subjects(&file));
        let credentials = Credentials {
            username: file.username.as_ref(),
            password: file.password.as_ref(),
            password_file: file.password_file.as_ref(),
            section: file.url.span(),
            names: &NAMES,
        };
        let login = self.login(&credentials, folder).unwrap_or_else(|problem| {
            keep(Err(problem));
            None
        });
        self.range("timeout_ms", &file.timeout_ms, (10, 60_000), problems);
        if problems.len() > before {
            return None;
        }
        let subjects = file.subjects.into_iter();
        Some(Registry {
            url: file.url.into_inner().0.trim_end_matches('/').to_owned(),
            login,
            timeout: Duration::from_millis(file.timeout_ms.into_inner()),
            subjects: subjects
                .map(|(topic, subject)| (topic.into_inner(), subject.into_inner().0))
                .collect(),
        })
    }

    fn registry_url(&self, url: &Spanned<Interpolated>) -> Result<(), Problem> {
        let text = &url.get_ref().0;
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let Some(host) = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default())
        else {
            // what stands before an @ may be a password, whatever the scheme
            let shown = text.rsplit('@').next().unwrap_or_default();
            let message = format!("url is {shown:?}, expected http:// or https://");
            return Err(self.problem(url, message));
        };
        let message = if host.contains('@') {
            "url has a user in it, expected username and password beside it".to_owned()
        } else if host.is_empty() || text.contains(['?', '#']) || text.contains(char::is_whitespace)
        {
            format!("url is {text:?}, expected a host and at most a path")
        } else {
            return Ok(());
        };
        Err(self.problem(url, message))
    }

    fn subjects(&self, file: &RegistryFile) -> Result<(), Problem> {
        for (topic, subject) in &file.subjects {
            let name = topic.get_ref().as_str();
            if !TOPICS.contains(&name) {
                return Err(self.problem(topic, unknown_topic(name)));
            }
            let text = &subject.get_ref().0;
            if text.is_empty()
                || text.len() > SUBJECT_BYTES_MAX
                || text.contains(char::is_control)
                || [".", ".."].contains(&text.as_str())
            {
                let message = format!(
                    "subject of {name} is {text:?}, expected 1 to {SUBJECT_BYTES_MAX} bytes \
                     without control characters"
                );
                return Err(self.problem(subject, message));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Topology;
    use super::*;

    fn load(section: &str) -> Result<Option<Registry>, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        std::fs::write(folder.path().join("secret"), "hush\n").unwrap();
        std::fs::write(folder.path().join("weir.toml"), section).unwrap();
        Topology::load(folder.path())
            .map(|topology| topology.registry)
            .map_err(|problems| problems.to_string())
    }

    fn sound(more: &str) -> Registry {
        let url = "http://host:8081/apis/ccompat/v7/";
        load(&format!("[registry]\nurl = {url:?}\n{more}")).unwrap().unwrap()
    }

    #[test]
    fn a_section_needs_nothing_but_a_url_and_none_is_no_registry() {
        assert!(load("").unwrap().is_none());
        let registry = sound("");
        assert_eq!(registry.url, "http://host:8081/apis/ccompat/v7");
        assert_eq!(registry.timeout, Duration::from_secs(5));
        assert!(registry.login.is_none());
        for topic in TOPICS {
            assert_eq!(registry.subject(topic), format!("{topic}-value"));
        }
    }

    #[test]
    fn subjects_are_overridden_one_by_one() {
        let registry = sound("[registry.subjects]\n\"weir.rollups\" = \"a/b c\"\nchats = \"talk\"");
        assert_eq!(registry.subject("weir.rollups"), "a/b c");
        assert_eq!(registry.subject("chats"), "talk");
        assert_eq!(registry.subject("labels"), "labels-value");
    }

    #[test]
    fn a_password_comes_from_the_file_or_the_topology_and_is_never_shown() {
        for more in [
            "username = \"weir\"\npassword = \"hush\"",
            "username = \"weir\"\npassword_file = \"secret\"",
        ] {
            let registry = sound(more);
            let shown = format!("{registry:?}");
            assert!(!shown.contains("hush"), "{shown}");
            let login = registry.login.unwrap();
            assert_eq!((login.username.as_str(), login.password.reveal()), ("weir", "hush"));
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_line_value_and_expectation() {
        let url = "url = \"http://h\"\n";
        let with = |more: &str| format!("{url}{more}");
        for (section, line, parts) in [
            (String::new(), 1, ["url", "missing"]),
            ("url = \"ftp://a:hush@h\"".into(), 2, ["\"h\"", "expected http:// or https://"]),
            ("url = \"http://\"".into(), 2, ["\"http://\"", "expected a host"]),
            ("url = \"http://h/?a=b\"".into(), 2, ["?a=b", "at most a path"]),
            ("url = \"http://a:hush@h\"".into(), 2, ["user", "username and password"]),
            ("url = \"${WEIR_NOT_SET}\"".into(), 2, ["WEIR_NOT_SET", "not set"]),
            (with("urll = \"x\""), 3, ["urll", "expected"]),
            (with("timeout_ms = 9"), 3, ["timeout_ms is 9", "expected 10 to 60000"]),
            (with("username = \"weir\""), 3, ["\"weir\" without a password", "password_file"]),
            (with("password = \"hush\""), 2, ["without a username", "expected both"]),
            (with("password = 4711"), 3, ["password is not a text", "in quotes"]),
            (with("password = \"${WEIR_NOT_SET}\""), 3, ["WEIR_NOT_SET", "not set"]),
            (with("password = \"hush${\""), 3, ["password", "${NAME}"]),
            (
                with("username = \"a\"\npassword = \"hush\"\npassword_file = \"secret\""),
                5,
                ["both", "expected one of them"],
            ),
            (with("username = \"a\"\npassword_file = \"absent\""), 4, ["absent", "cannot be read"]),
            (
                with("[registry.subjects]\nlabels = \"x\"\ntransaction = \"x\""),
                5,
                ["\"transaction\" is unknown", "did you mean \"transactions\"?"],
            ),
            (
                with("[registry.subjects]\nnowhere = \"x\""),
                4,
                ["\"nowhere\" is unknown", "expected one of labels, disputes"],
            ),
            (
                with("[registry.subjects]\nchats = \"\""),
                4,
                ["subject of chats is \"\"", "1 to 255 bytes"],
            ),
        ] {
            let message = load(&format!("[registry]\n{section}")).unwrap_err();
            assert!(message.contains(&format!("weir.toml:{line}:")), "{section}: {message}");
            for part in parts {
                assert!(message.contains(part), "{section}: {message:?} lacks {part:?}");
            }
            for secret in ["hush", "4711"] {
                assert!(!message.contains(secret), "{section}: {message}");
            }
        }
    }
}

//! `[snapshots]`: where state is kept, so that a start need not read the whole log again.
//!
//! ```toml
//! [snapshots]
//! place = "s3://risk/weir"
//! endpoint = "https://s3.example.com"
//! region = "eu-central-1"
//! access_key = "weir"
//! secret_key = "${WEIR_S3_SECRET_KEY}"
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::login::{Credentials, Hidden, Names};
use super::topology::Checker;
use super::{Interpolated, Login, Problem};

const S3: &str = "s3://";
const NAMES: Names = Names {
    username: "access_key",
    a_username: "an access_key",
    password: "secret_key",
    password_file: "secret_key_file",
};

/// `[snapshots]`.
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// whether any are written and read
    pub enabled: bool,
    /// where they are
    pub place: SnapshotPlace,
    /// base URL of the S3 server; AWS's of the region, where there is none
    pub endpoint: Option<String>,
    /// where the bucket is
    pub region: String,
    /// access key and secret key; what the environment or the machine offers, where there are none
    pub login: Option<Login>,
    /// whether the S3 server may be spoken to without TLS
    pub allow_http: bool,
    /// from one snapshot of a series to the next
    pub interval: Duration,
    /// snapshots kept of each series
    pub keep: usize,
}

/// Where snapshots are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotPlace {
    /// a folder; a relative one is below the data folder
    Folder(PathBuf),
    /// a bucket of an S3 server
    Bucket {
        /// its name
        bucket: String,
        /// before all keys; may be empty
        prefix: String,
    },
}

impl Default for Snapshots {
    fn default() -> Self {
        let file = SnapshotsFile::default();
        let place = SnapshotPlace::Folder(PathBuf::from(&file.place.get_ref().0));
        file.with(place, None)
    }
}

/// The section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SnapshotsFile {
    enabled: bool,
    place: Spanned<Interpolated>,
    endpoint: Option<Spanned<Interpolated>>,
    region: Spanned<Interpolated>,
    access_key: Option<Spanned<Interpolated>>,
    secret_key: Option<Spanned<Hidden>>,
    secret_key_file: Option<Spanned<Interpolated>>,
    allow_http: bool,
    interval_seconds: Spanned<u64>,
    keep: Spanned<usize>,
}

impl Default for SnapshotsFile {
    fn default() -> Self {
        let text = |text: &str| Spanned::new(0..0, Interpolated(text.to_owned()));
        SnapshotsFile {
            enabled: true,
            place: text("snapshots"),
            endpoint: None,
            region: text("us-east-1"),
            access_key: None,
            secret_key: None,
            secret_key_file: None,
            allow_http: false,
            interval_seconds: Spanned::new(0..0, 10),
            keep: Spanned::new(0..0, 3),
        }
    }
}

impl SnapshotsFile {
    fn with(self, place: SnapshotPlace, login: Option<Login>) -> Snapshots {
        Snapshots {
            enabled: self.enabled,
            place,
            endpoint: self.endpoint.map(|url| url.into_inner().0.trim_end_matches('/').to_owned()),
            region: self.region.into_inner().0,
            login,
            allow_http: self.allow_http,
            interval: Duration::from_secs(self.interval_seconds.into_inner()),
            keep: self.keep.into_inner(),
        }
    }
}

impl Checker<'_> {
    /// The section's settings: of those that are wrong it says what is, and gives the default ones.
    pub(super) fn snapshots(
        &self,
        file: SnapshotsFile,
        folder: &Path,
        problems: &mut Vec<Problem>,
    ) -> Snapshots {
        let before = problems.len();
        self.range("interval_seconds", &file.interval_seconds, (5, 86_400), problems);
        self.range("keep", &file.keep, (2, 100), problems);
        if let Some(endpoint) = &file.endpoint {
            problems.extend(self.endpoint(endpoint, file.allow_http).err());
        }
        if file.region.get_ref().0.is_empty() {
            let message = "region is \"\", expected a name such as us-east-1".to_owned();
            problems.push(self.problem(&file.region, message));
        }
        let secret = file.secret_key.as_ref().map(Spanned::span);
        let secret = secret.or_else(|| file.secret_key_file.as_ref().map(Spanned::span));
        let credentials = Credentials {
            username: file.access_key.as_ref(),
            password: file.secret_key.as_ref(),
            password_file: file.secret_key_file.as_ref(),
            section: secret.unwrap_or_else(|| file.place.span()),
            names: &NAMES,
        };
        let login = self.login(&credentials, folder);
        match (self.place(&file.place), login) {
            (Ok(place), Ok(login)) if problems.len() == before => file.with(place, login),
            (place, login) => {
                problems.extend(place.err());
                problems.extend(login.err());
                Snapshots::default()
            }
        }
    }

    fn place(&self, place: &Spanned<Interpolated>) -> Result<SnapshotPlace, Problem> {
        let text = &place.get_ref().0;
        let wrong = |expected: &str| {
            Err(self.problem(place, format!("place is {text:?}, expected {expected}")))
        };
        let Some(rest) = text.strip_prefix(S3) else {
            return match text.is_empty() || text.contains("://") {
                true => wrong("a folder or s3://bucket/prefix"),
                false => Ok(SnapshotPlace::Folder(PathBuf::from(text))),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if bucket.is_empty() || !bucket.chars().all(is_plain) {
            return wrong("s3:// and a bucket of letters, digits, dots, hyphens and underscores");
        }
        let prefix = prefix.trim_end_matches('/');
        let is_part = |part: &str| {
            !["", ".", ".."].contains(&part) && part.chars().all(|c| is_plain(c) || c == '=')
        };
        match prefix.is_empty() || prefix.split('/').all(is_part) {
            true => {
                let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
                Ok(SnapshotPlace::Bucket { bucket, prefix })
            }
            false => wrong("a prefix of letters, digits, dots, hyphens and underscores"),
        }
    }

    fn endpoint(&self, url: &Spanned<Interpolated>, allow_http: bool) -> Result<(), Problem> {
        let text = &url.get_ref().0;
        // what stands before an @ may be a password
        let shown = text.rsplit('@').next().unwrap_or_default();
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let message = match rest {
            None => format!("endpoint is {shown:?}, expected http:// or https://"),
            Some(rest) if rest.contains('@') => {
                "endpoint has a user in it, expected access_key and secret_key beside it".to_owned()
            }
            Some(rest)
                if rest.trim_matches('/').is_empty()
                    || rest.contains(|c: char| "?#".contains(c) || c.is_whitespace()) =>
            {
                format!("endpoint is {text:?}, expected a host and at most a path")
            }
            Some(_) if text.starts_with("http://") && !allow_http => {
                format!("endpoint is {text:?}, expected https:// or allow_http = true")
            }
            Some(_) => return Ok(()),
        };
        Err(self.problem(url, message))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Topology;
    use super::*;

    const SECRET: &str = "hush-hush";

    fn load(section: &str) -> Result<Snapshots, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
        std::fs::write(folder.path().join("weir.toml"), section).unwrap();
        Topology::load(folder.path())
            .map(|topology| topology.snapshots)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn without_a_section_snapshots_are_below_the_data_folder() {
        for section in ["", "[snapshots]\n"] {
            let settings = load(section).unwrap();
            assert_eq!(settings.place, SnapshotPlace::Folder("snapshots".into()));
            assert!(settings.enabled && !settings.allow_http && settings.login.is_none());
            let numbers = (settings.interval.as_secs(), settings.keep);
            assert_eq!(numbers, (10, 3));
        }
    }

    #[test]
    fn a_bucket_has_all_its_settings_and_never_shows_its_secret() {
        let section = "[snapshots]\nplace = \"s3://risk/weir/a/\"\n\
            endpoint = \"http://127.0.0.1:9000/\"\nallow_http = true\nregion = \"eu\"\n\
            access_key = \"weir\"\nsecret_key_file = \"secret\"\n";
        let settings = load(section).unwrap();
        let (bucket, prefix) = ("risk".to_owned(), "weir/a".to_owned());
        assert_eq!(settings.place, SnapshotPlace::Bucket { bucket, prefix });
        assert_eq!(settings.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert!(!format!("{settings:?}").contains(SECRET), "{settings:?}");
        let login = settings.login.unwrap();
        assert_eq!((login.username.as_str(), login.password.reveal()), ("weir", SECRET));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_and_without_secrets() {
        for (lines, parts) in [
            ("interval_seconds = 4", ["interval_seconds is 4", "expected 5 to 86400"]),
            ("interval_seconds = 86401", ["is 86401", "expected 5 to 86400"]),
            ("keep = 1", ["keep is 1", "expected 2 to 100"]),
            ("place = \"\"", ["place is \"\"", "expected a folder or s3://bucket/prefix"]),
            ("place = \"gs://b\"", ["gs://b", "expected a folder or s3://bucket/prefix"]),
            ("place = \"s3:///x\"", ["s3:///x", "a bucket"]),
            ("place = \"s3://b/../x\"", ["s3://b/../x", "expected a prefix"]),
            ("region = \"\"", ["region is", "us-east-1"]),
            ("endpoint = \"127.0.0.1:9000\"", ["127.0.0.1:9000", "expected http:// or https://"]),
            ("endpoint = \"http://h:9000\"", ["http://h:9000", "allow_http = true"]),
            ("endpoint = \"https://u:hush-hush@h\"", ["has a user in it", "secret_key beside it"]),
            ("endpoint = \"https://\"", ["https://", "expected a host"]),
            ("access_key = \"a\"", ["access_key is \"a\" without a secret_key", "secret_key_file"]),
            ("secret_key = \"hush-hush\"", ["a secret_key without an access_key", "expected both"]),
            ("secret_key = [\"hush-hush\"]", ["secret_key is not a text", "in quotes"]),
            ("secret_key = \"hush-hush${\"", ["secret_key", "expected ${NAME}"]),
            ("secret_key_file = \"absent\"", ["secret_key_file", "absent cannot be read"]),
            ("bucket = \"x\"", ["bucket", "place"]),
        ] {
            let error = load(&format!("[snapshots]\n{lines}\n")).unwrap_err();
            assert!(error.contains("weir.toml:2:"), "{lines}: {error}");
            assert!(parts.iter().all(|part| error.contains(part)), "{lines}: {error}");
            assert!(!error.contains(SECRET), "{lines}: {error}");
        }
    }
}

//! Why a snapshot was not written or is not used, and what the object store's errors mean.

use std::error::Error;
use std::io;

use object_store::client::{HttpError, HttpErrorKind};

use super::{Checksum, Vault};
use crate::event::Position;
use crate::telemetry::causes;

/// Longest text of an object store that is passed on.
const REASON_CHARS_MAX: usize = 300;

/// Why the vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// the place does not answer, or too late: it may pass
    #[error("snapshots at {place}: cannot {doing}: {reason}")]
    Unreachable {
        /// where
        place: String,
        /// what was asked
        doing: String,
        /// what it said
        reason: String,
    },
    /// the place is full: it may pass
    #[error("snapshots at {place}: no space left to {doing}: {reason}")]
    Full {
        /// where
        place: String,
        /// what was asked
        doing: String,
        /// what it said
        reason: String,
    },
    /// the place will not: somebody must mend something
    #[error("snapshots at {place}: not allowed or not possible to {doing}: {reason}")]
    Refused {
        /// where
        place: String,
        /// what was asked
        doing: String,
        /// what it said
        reason: String,
    },
    /// what was named is not stored
    #[error("{key} is not there, expected {expected}")]
    Missing {
        /// what was looked for
        key: String,
        /// what it should be
        expected: String,
    },
    /// cut off, or longer than it was written
    #[error("{key} has {found} bytes, expected {expected}")]
    Length {
        /// which file
        key: String,
        /// its bytes
        found: u64,
        /// what it was written with
        expected: u64,
    },
    /// more than is taken
    #[error("{key} has {found} bytes, expected {most} at most")]
    TooLarge {
        /// which file, or what would be one
        key: String,
        /// its bytes
        found: u64,
        /// the limit
        most: u64,
    },
    /// the bytes are not those that were written
    #[error("{key} is damaged: it has checksum {found}, expected {expected}")]
    Checksum {
        /// which file
        key: String,
        /// of the bytes that are there
        found: Checksum,
        /// of those that were written
        expected: Checksum,
    },
    /// no shard at all
    #[error("{key} begins with {found:?}, expected {expected:?}")]
    Magic {
        /// which file
        key: String,
        /// its first bytes
        found: String,
        /// those of a shard
        expected: &'static str,
    },
    /// written by another weir
    #[error("{key} has format version {found}, expected {expected}")]
    Version {
        /// which file
        key: String,
        /// its version
        found: u32,
        /// the one this weir reads
        expected: u32,
    },
    /// sound, and about something else
    #[error("{key} has {field} {found}, expected {expected}")]
    Mismatch {
        /// which file
        key: String,
        /// which part of it
        field: &'static str,
        /// what it says
        found: String,
        /// what it should say
        expected: String,
    },
    /// not what its format says
    #[error("{key} cannot be read: {reason}")]
    Malformed {
        /// which file
        key: String,
        /// what is wrong with it
        reason: String,
    },
    /// a manifest with two states of one shard
    #[error("{key} names shard {number} twice, expected it once")]
    Twice {
        /// the manifest
        key: String,
        /// the shard's number
        number: u32,
    },
    /// a sequence that is used
    #[error("{key} is there with other content, expected a sequence that is not used yet")]
    Taken {
        /// the manifest
        key: String,
    },
    /// a shard from the future: it holds what a restart would decide about again
    #[error("{key} names shard {number} of {position}, expected at most offset {committed}")]
    Ahead {
        /// the manifest
        key: String,
        /// the shard's number
        number: u32,
        /// how far the shard has read
        position: Position,
        /// what is committed
        committed: i64,
    },
}

impl SnapshotError {
    /// Whether it may be otherwise in a while, by itself.
    pub fn passes(&self) -> bool {
        matches!(self, SnapshotError::Unreachable { .. } | SnapshotError::Full { .. })
    }

    /// Whether it is about one snapshot and not about the place: an older snapshot may be sound.
    pub fn is_about_content(&self) -> bool {
        !self.passes() && !matches!(self, SnapshotError::Refused { .. })
    }

    /// Its name in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            SnapshotError::Unreachable { .. } => "unreachable",
            SnapshotError::Full { .. } => "full",
            SnapshotError::Refused { .. } => "refused",
            SnapshotError::Missing { .. } => "missing",
            SnapshotError::Length { .. } => "length",
            SnapshotError::TooLarge { .. } => "too_large",
            SnapshotError::Checksum { .. } => "checksum",
            SnapshotError::Magic { .. } => "magic",
            SnapshotError::Version { .. } => "version",
            SnapshotError::Mismatch { .. } => "mismatch",
            SnapshotError::Malformed { .. } => "malformed",
            SnapshotError::Twice { .. } => "twice",
            SnapshotError::Taken { .. } => "taken",
            SnapshotError::Ahead { .. } => "ahead",
        }
    }
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Away,
    Full,
    Refusal,
}

impl Vault {
    /// Why the object store did not do something.
    pub(super) fn failed(&self, doing: &str, error: &object_store::Error) -> SnapshotError {
        failed(self.place(), doing, error)
    }
}

/// Why the object store at `place` did not do something.
pub(super) fn failed(place: &str, doing: &str, error: &object_store::Error) -> SnapshotError {
    let (kind, reason) = judge(error);
    let (place, doing) = (place.to_owned(), doing.to_owned());
    match kind {
        Kind::Away => SnapshotError::Unreachable { place, doing, reason },
        Kind::Full => SnapshotError::Full { place, doing, reason },
        Kind::Refusal => SnapshotError::Refused { place, doing, reason },
    }
}

/// Whether an object is absent, and not the whole bucket.
pub(super) fn is_absent(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
        && !error.to_string().contains(NO_SUCH_BUCKET)
}

/// How S3 says that a bucket is not there.
const NO_SUCH_BUCKET: &str = "NoSuchBucket";
/// How S3 servers say that they are full, whatever the status.
const FULL: [&str; 3] = ["StorageFull", "QuotaExceeded", "InsufficientStorage"];

fn judge(error: &object_store::Error) -> (Kind, String) {
    let text = error.to_string();
    // the library keeps the type of what a server answered to itself
    if let Some((status, answer)) = answer(&text) {
        let kind = match status {
            _ if FULL.iter().any(|word| answer.contains(word)) => Kind::Full,
            507 => Kind::Full,
            408 | 429 => Kind::Away,
            501 => Kind::Refusal,
            500..=599 => Kind::Away,
            _ => Kind::Refusal,
        };
        return (kind, answer);
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return (Kind::Away, transport(http));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return (of_io(io.kind()), bounded(&source_of(&text)));
        }
        cause = error.source();
    }
    let kind = match error {
        // the region is another one
        _ if text.contains("redirect without LOCATION") => Kind::Refusal,
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. }
        | object_store::Error::NotImplemented { .. }
        | object_store::Error::NotSupported { .. }
        | object_store::Error::InvalidPath { .. }
        | object_store::Error::UnknownConfigurationKey { .. } => Kind::Refusal,
        _ => Kind::Away,
    };
    (kind, bounded(&source_of(&text)))
}

/// Status and meaning of a server's answer, from how the library words it.
fn answer(text: &str) -> Option<(u16, String)> {
    let (_, answer) = text.split_once("status code: ")?;
    let status = answer.get(..3)?.parse().ok()?;
    let (line, body) = answer.split_once(": ").unwrap_or((answer, ""));
    let tag = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(text, _)| text.trim()).filter(|text| !text.is_empty())
    };
    // of an error document only what it is about: it may quote what was signed
    let said = match (tag("Code"), tag("Message")) {
        (Some(code), Some(message)) => format!("{line}: {code}: {message}"),
        (Some(code), None) => format!("{line}: {code}"),
        (None, _) => line.to_owned(),
    };
    Some((status, bounded(&said)))
}

fn transport(error: &HttpError) -> String {
    let what = match error.kind() {
        HttpErrorKind::Connect => "no connection",
        HttpErrorKind::Timeout => "no answer in time",
        HttpErrorKind::Request | HttpErrorKind::Interrupted => "the connection broke off",
        _ => "no answer",
    };
    match causes(error) {
        none if none.is_empty() => what.to_owned(),
        causes => bounded(&format!("{what}: {causes}")),
    }
}

fn of_io(kind: io::ErrorKind) -> Kind {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::Full,
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotFound
        | io::ErrorKind::FileTooLarge
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput => Kind::Refusal,
        _ => Kind::Away,
    }
}

/// Without the library's name for the store.
fn source_of(text: &str) -> String {
    match text.strip_prefix("Generic ").and_then(|rest| rest.split_once(" error: ")) {
        Some((_, source)) => source.to_owned(),
        None => text.to_owned(),
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Error + Send + Sync + 'static) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: Box::new(source) }
    }

    #[test]
    fn a_full_disk_may_pass_and_a_forbidden_one_does_not() {
        for (kind, code, passes) in [
            (io::ErrorKind::StorageFull, "full", true),
            (io::ErrorKind::QuotaExceeded, "full", true),
            (io::ErrorKind::PermissionDenied, "refused", false),
            (io::ErrorKind::ReadOnlyFilesystem, "refused", false),
            (io::ErrorKind::TimedOut, "unreachable", true),
        ] {
            let error = failed("here", "write x", &generic(io::Error::from(kind)));
            assert_eq!((error.code(), error.passes()), (code, passes), "{kind:?}");
            assert!(!error.is_about_content());
            let text = error.to_string();
            assert!(text.contains("here") && text.contains("write x"), "{text}");
            assert!(!text.contains("Generic"), "{text}");
        }
    }

    #[test]
    fn of_an_answer_only_code_and_message_are_told() {
        let text = "Error performing PUT http://h/b - Server returned non-2xx status code: 403 \
                    Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>no</Message>\
                    <AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>";
        let error = failed("here", "write x", &generic(io::Error::other(text)));
        assert_eq!(error.code(), "refused");
        let text = error.to_string();
        assert!(text.ends_with("403 Forbidden: SignatureDoesNotMatch: no"), "{text}");
        let text = "status code: 500 X: <Error><Code>XMinioStorageFull</Code></Error>";
        assert_eq!(failed("", "", &generic(io::Error::other(text))).code(), "full");
    }
}

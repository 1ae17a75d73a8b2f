//! Why nothing could be judged at all, as opposed to a check that does not hold.

use std::path::PathBuf;

/// The data, the schemas or the log of webhooks cannot be read; exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// a file or folder cannot be opened
    #[error("cannot read {path}: {source}", path = path.display())]
    File {
        /// which one
        path: PathBuf,
        /// why not
        source: std::io::Error,
    },
    /// SQLite said no
    #[error("cannot {doing}: {source}")]
    Sqlite {
        /// what was tried
        doing: &'static str,
        /// why not
        source: rusqlite::Error,
    },
    /// another layout than the one in `docs/contracts.md`
    #[error("{path} has format {found}, expected 1", path = path.display())]
    Format {
        /// the database
        path: PathBuf,
        /// its `user_version`
        found: i64,
    },
    /// none of the topics is there
    #[error("{path} holds none of the topics of the contract", path = path.display())]
    NoTopics {
        /// the database
        path: PathBuf,
    },
    /// a schema file that is none
    #[error("{path} is not an Avro schema: {source}", path = path.display())]
    Schema {
        /// the file
        path: PathBuf,
        /// why not
        source: Box<apache_avro::Error>,
    },
    /// a contract that refers to types it does not define
    #[error("schema {schema} cannot be used: {source}")]
    Contract {
        /// full name of the schema
        schema: &'static str,
        /// why not
        source: Box<apache_avro::Error>,
    },
    /// a contract is missing
    #[error("no schema {0} in the folders given by --schemas")]
    NoContract(&'static str),
    /// a contract lacks a field the judge depends on
    #[error("schema {schema} has no field {field}")]
    NoField {
        /// full name of the schema
        schema: &'static str,
        /// name of the field
        field: &'static str,
    },
    /// a line of the webhook log that is not what the stub writes
    #[error("{path} line {line}: {what}", path = path.display())]
    WebhookLine {
        /// the file
        path: PathBuf,
        /// counted from 1
        line: usize,
        /// what is wrong with it
        what: String,
    },
    /// a thread of the judge ended early; a defect of the judge
    #[error("a thread of the judge panicked; nothing was judged")]
    Thread,
}

impl Unreadable {
    /// Names what was tried when SQLite said no.
    pub fn sqlite(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> Unreadable {
        move |source| Unreadable::Sqlite { doing, source }
    }
}

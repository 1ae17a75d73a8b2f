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
    /// the store's cluster cannot be read
    #[error("cannot read the tables at {nodes}: {why}")]
    Store {
        /// addresses
        nodes: String,
        /// what the driver said
        why: String,
    },
    /// another layout than the one in `docs/contracts.md`
    #[error("{path} has format {found}, expected 1 or 2", path = path.display())]
    Format {
        /// the database
        path: PathBuf,
        /// its `user_version`
        found: i64,
    },
    /// none of the topics is there
    #[error("{place} holds none of the topics of the contract")]
    NoTopics {
        /// the database or the cluster
        place: String,
    },
    /// no broker is there
    #[error("no broker of {brokers} answered within {seconds} s: {source}")]
    NoBroker {
        /// addresses
        brokers: String,
        /// how long was waited
        seconds: u64,
        /// the last thing librdkafka said
        source: rdkafka::error::KafkaError,
    },
    /// Kafka said no
    #[error("cannot {doing}: {source}")]
    Kafka {
        /// what was tried
        doing: String,
        /// why not
        source: rdkafka::error::KafkaError,
    },
    /// librdkafka does not take a setting
    #[error("Kafka setting {name} cannot be used: {why}")]
    KafkaSetting {
        /// its name; its value may be a secret
        name: String,
        /// why not
        why: String,
    },
    /// a partition gave neither a record nor its end
    #[error("{place}: nothing came within {seconds} s, neither a record nor the partition's end")]
    Silent {
        /// topic, partition and offset
        place: String,
        /// how long was waited
        seconds: u64,
    },
    /// positions and ends belong to no one moment
    #[error(
        "group weir.score kept moving for {seconds} s: positions and outputs of one moment \
         cannot be told on a cluster, so judge a weir that has nothing to read"
    )]
    Moving {
        /// how long was waited
        seconds: u64,
    },
    /// a registry gave no answer that decides
    #[error("registry {url}: {why}")]
    Registry {
        /// what was asked, without credentials
        url: String,
        /// why it does not decide
        why: String,
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

    /// Names what was tried when Kafka said no.
    pub fn kafka(
        doing: impl Into<String>,
    ) -> impl FnOnce(rdkafka::error::KafkaError) -> Unreadable {
        move |source| Unreadable::Kafka { doing: doing.into(), source }
    }
}

//! What goes wrong with a schema registry.

use std::time::Duration;

/// Why the registry is of no use, for now or as it is. Never a record's fault: no record becomes a
/// dead letter by it. The address has no user in it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RegistryError {
    /// no answer, or one that asks for patience, until time was up
    #[error(
        "schema registry {url} does not answer: {doing} was tried {attempts} times within \
         {waited:.1?}, the last time: {why}"
    )]
    Unavailable {
        /// its base
        url: String,
        /// what was asked
        doing: String,
        /// how often
        attempts: u32,
        /// how long
        waited: Duration,
        /// the last attempt's end
        why: String,
    },
    /// an answer that is no use: no right to ask, another service's page, a wrong path
    #[error("schema registry {url}: {doing} was answered with status {status}: {why}")]
    Answer {
        /// its base
        url: String,
        /// what was asked
        doing: String,
        /// HTTP status
        status: u16,
        /// what it said, and what was expected
        why: String,
    },
    /// a contract and a subject's latest version do not go together
    #[error(
        "schema registry {url}: subject {subject} has {latest}, which does not go together with \
         ours, {ours}: {why}"
    )]
    Incompatible {
        /// its base
        url: String,
        /// whose versions
        subject: String,
        /// number and id of the registry's latest version
        latest: String,
        /// name and fingerprint of our contract
        ours: String,
        /// as far as known
        why: String,
    },
    /// no client can be made for it
    #[error("no client for the schema registry {url}: {why}")]
    Client {
        /// its base
        url: String,
        /// why not
        why: String,
    },
}

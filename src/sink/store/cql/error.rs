//! What the driver's errors mean: wait and try again, or somebody must mend something.

use scylla::errors::{DbError, ExecutionError, NewSessionError, PrepareError, RequestAttemptError};

use super::StoreError;
use crate::config::StoreCluster;

/// How the driver words that the cluster did not let us in.
const LOCKED_OUT: [&str; 3] = ["bad credentials", "Authentication is required", "the right to"];

/// Why a statement failed.
pub(super) fn failed(
    cluster: &StoreCluster,
    doing: &'static str,
    error: &ExecutionError,
) -> StoreError {
    match error {
        ExecutionError::LastAttemptError(attempt) => attempted(cluster, doing, attempt),
        ExecutionError::PrepareError(error) => unprepared(cluster, doing, error),
        // no node is in the datacenter that was named
        ExecutionError::EmptyPlan | ExecutionError::BadQuery(_) => refused(doing, error),
        _ => unreachable(cluster, error),
    }
}

/// Why a statement was not prepared.
pub(super) fn unprepared(
    cluster: &StoreCluster,
    doing: &'static str,
    error: &PrepareError,
) -> StoreError {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => {
            attempted(cluster, doing, first_attempt)
        }
        _ => unreachable(cluster, error),
    }
}

/// Why there is no session.
pub(super) fn unconnected(cluster: &StoreCluster, error: &NewSessionError) -> StoreError {
    unreachable(cluster, error)
}

/// Why a question has no answer. Nobody asks again by itself, so one that the cluster refuses is told
/// apart by its words only.
pub(super) fn unanswered(cluster: &StoreCluster, error: &dyn std::error::Error) -> StoreError {
    unreachable(cluster, error)
}

fn attempted(
    cluster: &StoreCluster,
    doing: &'static str,
    error: &RequestAttemptError,
) -> StoreError {
    match error {
        RequestAttemptError::DbError(
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::AlreadyExists { .. }
            | DbError::FunctionFailure { .. }
            | DbError::AuthenticationError
            | DbError::Unauthorized
            | DbError::ConfigError
            | DbError::ProtocolError,
            _,
        )
        | RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_) => refused(doing, error),
        // unavailable, overloaded, timed out, broken off: all of it passes
        _ => unreachable(cluster, error),
    }
}

fn refused(doing: &'static str, error: &dyn std::error::Error) -> StoreError {
    StoreError::Refused { doing, reason: error.to_string() }
}

fn unreachable(cluster: &StoreCluster, error: &dyn std::error::Error) -> StoreError {
    let reason = error.to_string();
    match LOCKED_OUT.iter().any(|words| reason.contains(words)) {
        true => StoreError::Refused { doing: "log in", reason },
        false => StoreError::Unreachable { nodes: cluster.nodes.join(","), reason },
    }
}

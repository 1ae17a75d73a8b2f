//! Topology files to typed, checked values. Reads files and the environment; decides nothing.

mod deadlines;
mod features;
mod hex;
mod kafka;
mod limits;
mod lists;
mod login;
mod models;
mod name;
mod nearest;
mod problem;
mod registry;
mod rules;
mod snapshots;
mod store;
mod text;
mod topology;
mod webhook;

pub use deadlines::{DeadlineStage, Deadlines, NetworkDays, When};
pub use features::{FeatureFile, FeatureSpec, duration_ms};
pub use hex::hex;
pub use kafka::{Kafka, Protocol};
pub use limits::{Limits, limits};
pub use lists::{
    Decided, Decides, LIST_FILE_BYTES_MAX, ListFile, ListSpec, ListsFile, Match, ReadError,
};
pub use login::Login;
pub use models::{ModelFile, ModelSpec};
pub use name::{is_name, wrong_name};
pub use nearest::nearest;
pub use problem::{Place, Problem, Problems};
pub use registry::Registry;
#[cfg(test)]
pub(crate) use registry::TOPICS;
pub use rules::{Action, Escalate, RuleFile, RuleSpec, RuleTest, Thresholds, Weight, Wording};
pub use snapshots::{SnapshotPlace, Snapshots};
pub use store::{StoreCluster, Ttl};
pub use text::{Interpolated, Secret};
pub use topology::{
    Dedupe, Delivery, Embedded, Listen, MergeMode, Poison, Pressure, Server, Topology, Worker,
};
pub use webhook::Webhook;

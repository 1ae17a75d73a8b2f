//! Topology files to typed, checked values. Reads files and the environment; decides nothing.

mod deadlines;
mod features;
mod kafka;
mod limits;
mod login;
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
pub use kafka::{Kafka, Protocol};
pub use limits::{Limits, limits};
pub use login::Login;
pub use nearest::nearest;
pub use problem::{Place, Problem, Problems};
pub use registry::Registry;
#[cfg(test)]
pub(crate) use registry::TOPICS;
pub use rules::{Action, Escalate, RuleFile, RuleSpec, RuleTest, Thresholds, Wording};
pub use snapshots::{SnapshotPlace, Snapshots};
pub use store::{StoreCluster, Ttl};
pub use text::{Interpolated, Secret};
pub use topology::{
    Dedupe, Delivery, Embedded, Listen, MergeMode, Poison, Pressure, Server, Topology, Worker,
};
pub use webhook::Webhook;

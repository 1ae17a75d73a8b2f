//! `weir run`: a process that runs until it is told to stop.

use std::net::SocketAddr;

use clap::Args;

use super::process::{Plan, Process, Role};
use super::{Failure, Places};
use crate::config::MergeMode;

/// Runs the roles of a process until SIGTERM or SIGINT, then drains and ends.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir run --topology topology/\n  \
    weir run --roles score,store --data /var/lib/weir\n  \
    weir run --until-end --merge strict     (everything that is there, then end)")]
pub(super) struct Run {
    /// What this process does
    #[arg(long, value_enum, value_delimiter = ',', default_value = "score,store,notify,api")]
    roles: Vec<Role>,
    /// Address and port of the server, instead of the topology's
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// End once every input was decided about up to where it ended at the beginning
    #[arg(long)]
    until_end: bool,
    /// Go on where records that were decided about cannot be read any more; every decision says so
    #[arg(long)]
    accept_state_gap: bool,
    /// How inputs are put in one order, instead of the topology's
    #[arg(long, value_enum)]
    merge: Option<MergeArg>,
    #[command(flatten)]
    places: Places,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum MergeArg {
    Live,
    Strict,
}

impl Run {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let (topology, _) = super::check::check(&self.places.topology)?;
        let data = match &self.places.data {
            Some(data) => data.clone(),
            None => super::data_of(&topology),
        };
        let process = Process::start(&Plan {
            topology: &topology,
            data: &data,
            roles: &self.roles,
            listen: self.listen.unwrap_or(topology.server.listen.0),
            merge: match self.merge {
                Some(MergeArg::Live) => MergeMode::Live,
                Some(MergeArg::Strict) => MergeMode::Strict,
                None => topology.worker.merge,
            },
            until_end: self.until_end,
            accept_state_gap: self.accept_state_gap,
        })?;
        process.stop_on_signals();
        if let Some(address) = process.address {
            tracing::info!(%address, "serving");
        }
        process.wait()
    }
}

//! `weir metrics`: what every metric says.

use clap::Args;

use super::{Exit, Failure};
use crate::telemetry::metric::{self, Metric};

/// Lists every metric that a running weir exports on /metrics, with its labels and what it says.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir metrics --json | jq -r .name\n\n\
    docs/metrics.md is the output of: weir metrics --markdown")]
pub(super) struct Metrics {
    /// As JSON lines: {"name", "type", "component", "labels", "help"}
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// As a page
    #[arg(long)]
    markdown: bool,
}

impl Metrics {
    pub(super) fn run(&self) -> Result<(), Failure> {
        if self.markdown {
            say_on!("{}", metric::page());
            return Ok(());
        }
        let width = metric::ALL.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
        for Metric { name, shape, component, help, labels } in metric::ALL {
            if self.json {
                let line = serde_json::json!({
                    "name": name,
                    "type": shape.name(),
                    "component": component.name(),
                    "labels": labels,
                    "help": help,
                });
                let line = serde_json::to_string(&line);
                say!("{}", line.map_err(|error| Failure::new(Exit::Failed, error))?);
            } else {
                say!("{name:<width$}  {:<9}  {}  {help}", shape.name(), labels.join(","));
            }
        }
        Ok(())
    }
}

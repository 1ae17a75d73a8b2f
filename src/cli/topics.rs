//! `weir topics`: the topics of a Kafka cluster, made and checked.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Exit, Failure, Places};
use crate::config::{Kafka, Topology};
use crate::log::kafka::{KafkaLog, TopicPlan, TopicReport};

/// Makes and checks the topics of a Kafka cluster.
#[derive(Debug, Subcommand)]
pub(super) enum Topics {
    Create(Create),
    Check(Check),
}

impl Topics {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match self {
            Topics::Create(create) => create.run(),
            Topics::Check(check) => check.run(),
        }
    }
}

/// Makes the topics that are missing, then checks all of them. Changes none that is there.
#[derive(Debug, Args)]
#[command(after_help = "Example: weir topics create --partitions 12 --replication 3")]
pub(super) struct Create {
    /// Partitions of each topic; those of weir.control are always 1. Default: as the inputs have
    /// that are there, else 4
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: Option<u32>,
    /// Copies of each topic; -1: the broker's default
    #[arg(long, value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    replication: i32,
    #[command(flatten)]
    places: Places,
}

/// Checks that the topics are there and can work together: partition counts, retention, cleanup.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: weir topics check --json\n\nExit code 0 if they are sound, 2 if not."
)]
pub(super) struct Check {
    /// As JSON lines: {"name", "partitions", "problems", "warnings"}
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    places: Places,
}

fn kafka(topology: &Topology) -> Result<&Kafka, Failure> {
    topology.kafka.as_ref().ok_or_else(|| {
        let message = format!(
            "{} has no [kafka] section: the topics of an embedded log make themselves",
            topology.folder.join("weir.toml").display()
        );
        Failure::new(Exit::Invalid, message)
    })
}

fn plans(kafka: &Kafka, partitions: Option<u32>) -> Result<Vec<TopicPlan>, Failure> {
    let partitions = match partitions {
        Some(partitions) => partitions,
        None => KafkaLog::found_partitions(kafka)?.unwrap_or(4),
    };
    let retention = Duration::from_secs(u64::from(kafka.retention_hours) * 3_600);
    Ok(TopicPlan::all(partitions, retention))
}

impl Create {
    fn run(&self) -> Result<(), Failure> {
        let topology = self.places.load()?;
        let kafka = kafka(&topology)?;
        let plans = plans(kafka, self.partitions)?;
        for name in KafkaLog::create_topics(kafka, &plans, self.replication)? {
            say!("made {name}");
        }
        report(&KafkaLog::check_topics(kafka, &plans)?)
    }
}

impl Check {
    fn run(&self) -> Result<(), Failure> {
        let topology = self.places.load()?;
        let kafka = kafka(&topology)?;
        let reports = KafkaLog::check_topics(kafka, &plans(kafka, None)?)?;
        if self.json {
            for report in &reports {
                say!(
                    "{}",
                    serde_json::to_string(report).map_err(|e| Failure::new(Exit::Failed, e))?
                );
            }
            return verdict(&reports);
        }
        report(&reports)
    }
}

fn report(reports: &[TopicReport]) -> Result<(), Failure> {
    let width = reports.iter().map(|report| report.name.len()).max().unwrap_or(0);
    for report in reports {
        let partitions = report.partitions.map_or("-".to_owned(), |count| count.to_string());
        let state = if report.problems.is_empty() { "sound" } else { "NOT SOUND" };
        say!("{:<width$}  {partitions:>5} partitions  {state}", report.name);
        for problem in &report.problems {
            say!("{:width$}  {problem}", "");
        }
        for warning in &report.warnings {
            say!("{:width$}  warning: {warning}", "");
        }
    }
    verdict(reports)
}

fn verdict(reports: &[TopicReport]) -> Result<(), Failure> {
    let unsound = reports.iter().filter(|report| !report.problems.is_empty()).count();
    match unsound {
        0 => Ok(()),
        _ => Err(Failure::new(Exit::Invalid, format!("{unsound} topics are not as they must be"))),
    }
}

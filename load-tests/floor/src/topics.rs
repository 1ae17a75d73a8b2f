//! The topics of a bench, made and removed.

use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use crate::report::Report;
use crate::{Failure, Place, client, time};

/// Inputs, in the order in which tapes number them.
pub const INPUTS: [&str; 5] = ["labels", "disputes", "chats", "invoices", "transactions"];
/// Outputs, in the order in which templates number them.
pub const OUTPUTS: [&str; 4] = ["decisions", "escalations", "weir.rollups", "weir.touches"];
/// Index of decisions among the outputs.
pub const DECISIONS: usize = 0;
/// Index of escalations among the outputs.
pub const ESCALATIONS: usize = 1;
/// Index of roll-ups among the outputs.
pub const ROLLUPS: usize = 2;
/// Index of touches among the outputs.
pub const TOUCHES: usize = 3;

const OTHERS: [&str; 3] = ["dead-letters", "weir.fired", "weir.deliveries"];
const CONTROL: &str = "weir.control";

/// Names with a prefix.
pub fn named(place: &Place, topics: &[&str]) -> Vec<String> {
    topics.iter().map(|topic| format!("{}{topic}", place.prefix)).collect()
}

/// Makes the topics of a prefix anew, empty.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  weir-floor topics --brokers 127.0.0.1:9092 --prefix bench.")]
pub struct Topics {
    #[command(flatten)]
    place: Place,
    /// Partitions of each but weir.control, which has one
    #[arg(long, default_value_t = 4)]
    partitions: i32,
    /// Only remove them
    #[arg(long)]
    delete: bool,
}

impl Topics {
    /// # Errors
    /// When the brokers refuse or do not answer.
    pub fn run(&self) -> Result<Report, Failure> {
        let admin: AdminClient<DefaultClientContext> = client::base(&self.place).create()?;
        let mut names = named(&self.place, &INPUTS);
        names.extend(named(&self.place, &OUTPUTS));
        names.extend(named(&self.place, &OTHERS));
        let control = format!("{}{CONTROL}", self.place.prefix);
        let all: Vec<&str> = names.iter().chain([&control]).map(String::as_str).collect();
        delete(&admin, &all)?;
        let report = Report::default().with("prefix", self.place.prefix.as_str());
        if self.delete {
            return Ok(report.with("deleted", all.len()));
        }
        let make = |name: &&'_ str| {
            let partitions = if *name == control { 1 } else { self.partitions };
            (name.to_string(), partitions)
        };
        let wanted: Vec<(String, i32)> = all.iter().map(make).collect();
        let topics: Vec<NewTopic<'_>> = wanted
            .iter()
            .map(|(name, partitions)| {
                let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(1));
                let compact = name.ends_with("weir.fired") || *name == control;
                let topic = topic.set("cleanup.policy", if compact { "compact" } else { "delete" });
                let input =
                    INPUTS.iter().any(|input| *name == format!("{}{input}", self.place.prefix));
                // as weir makes its inputs
                if input { topic.set("message.timestamp.type", "LogAppendTime") } else { topic }
            })
            .collect();
        create(&admin, &topics)?;
        Ok(report.with("topics", topics.len()).with("partitions", self.partitions))
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(client::CALL)).operation_timeout(Some(client::CALL))
}

fn delete(admin: &AdminClient<DefaultClientContext>, names: &[&str]) -> Result<(), Failure> {
    for result in client::wait(admin.delete_topics(names, &options()))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
            Err((topic, code)) => return Err(format!("cannot delete topic {topic}: {code}").into()),
        }
    }
    Ok(())
}

/// A topic that was just deleted may be known for a moment yet.
fn create(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[NewTopic<'_>],
) -> Result<(), Failure> {
    let deadline = Instant::now() + client::COMMIT;
    let mut missing: Vec<&NewTopic<'_>> = topics.iter().collect();
    loop {
        let mut refused = None;
        let mut again = Vec::new();
        let results = client::wait(admin.create_topics(missing.iter().copied(), &options()))?;
        for (topic, result) in missing.into_iter().zip(results) {
            if let Err((name, code)) = result {
                refused = Some(format!("cannot create topic {name}: {code}"));
                again.push(topic);
            }
        }
        match refused {
            None => return Ok(()),
            Some(refused) if Instant::now() > deadline => return Err(refused.into()),
            Some(_) => missing = again,
        }
        time::pause(Duration::from_millis(200));
    }
}

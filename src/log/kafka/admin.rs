//! Makes and checks topics.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::settings::{Names, Settings};
use super::topics::{self, TopicPlan, TopicReport};
use super::{KafkaLog, reader};
use crate::config::{Kafka, limits};
use crate::event::Topic;
use crate::log::LogError;
use crate::telemetry::Stop;

impl KafkaLog {
    /// Makes the topics that are missing. Returns the names of those it made.
    ///
    /// # Errors
    /// When no broker answers, or one refuses.
    pub fn create_topics(
        kafka: &Kafka,
        plans: &[TopicPlan],
        replication: i32,
    ) -> Result<Vec<String>, LogError> {
        let (settings, names) = (Settings::new(kafka), Names::new(kafka));
        let counts = ask_counts(&settings, &names)?;
        let missing = |plan: &&TopicPlan| counts.get(&plan.topic).copied().flatten().is_none();
        let missing: Vec<&TopicPlan> = plans.iter().filter(missing).collect();
        if missing.is_empty() {
            return Ok(Vec::new());
        }
        let configs: Vec<Vec<(&str, String)>> =
            missing.iter().map(|plan| plan.settings()).collect();
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&configs)
            .map(|(plan, config)| {
                let partitions = super::number(plan.partitions);
                let replication = TopicReplication::Fixed(replication);
                let topic = NewTopic::new(names.of(plan.topic), partitions, replication);
                config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
            })
            .collect();
        let admin = client(&settings)?;
        let answers = block_on(admin.create_topics(&new, &options()))?;
        let mut made = Vec::new();
        let mut problems = Vec::new();
        for answer in answers {
            match answer {
                Ok(name) => made.push(name),
                Err((name, RDKafkaErrorCode::TopicAlreadyExists)) => {
                    tracing::info!(topic = name, "somebody else made it meanwhile");
                }
                Err((name, code)) => problems.push(format!("{name} was not made: {code}")),
            }
        }
        if !problems.is_empty() {
            return Err(LogError::Topics { problems });
        }
        wait_until_known(&settings, &names, &missing)?;
        Ok(made)
    }

    /// Compares the topics with what they must be.
    ///
    /// # Errors
    /// When no broker answers, or it does not tell.
    pub fn check_topics(kafka: &Kafka, plans: &[TopicPlan]) -> Result<Vec<TopicReport>, LogError> {
        let (settings, names) = (Settings::new(kafka), Names::new(kafka));
        let counts = ask_counts(&settings, &names)?;
        let there: Vec<&TopicPlan> = plans
            .iter()
            .filter(|plan| counts.get(&plan.topic).copied().flatten().is_some())
            .collect();
        let configs = ask_configs(&settings, &names, &there)?;
        let report = |plan: &TopicPlan| {
            let mut report = TopicReport {
                name: names.of(plan.topic).to_owned(),
                partitions: counts.get(&plan.topic).copied().flatten(),
                problems: Vec::new(),
                warnings: Vec::new(),
            };
            match report.partitions {
                None => report.problems.push("is missing".to_owned()),
                Some(found) if found != plan.partitions => report
                    .problems
                    .push(format!("has {found} partitions, expected {}", plan.partitions)),
                Some(_) => {}
            }
            if let Some(found) = configs.get(&plan.topic) {
                plan.compare(found, &mut report);
            }
            report
        };
        Ok(plans.iter().map(report).collect())
    }

    /// The partition count that most inputs have, if any is there.
    ///
    /// # Errors
    /// When no broker answers.
    pub fn found_partitions(kafka: &Kafka) -> Result<Option<u32>, LogError> {
        let (settings, names) = (Settings::new(kafka), Names::new(kafka));
        let counts = ask_counts(&settings, &names)?;
        let found = |topic: &Topic| counts.get(topic).copied().flatten();
        let first = found(&Topic::Transactions);
        Ok(first.or_else(|| Topic::INPUTS.iter().find_map(found)))
    }
}

fn ask_counts(
    settings: &Settings,
    names: &Names,
) -> Result<BTreeMap<Topic, Option<u32>>, LogError> {
    let asker = reader::client(settings, &names.group("weir.asker"))?;
    topics::counts(&asker, names, settings.brokers())
}

/// Waits until the cluster tells of topics that it has just made.
fn wait_until_known(
    settings: &Settings,
    names: &Names,
    made: &[&TopicPlan],
) -> Result<(), LogError> {
    let asker = reader::client(settings, &names.group("weir.asker"))?;
    let began = Instant::now();
    let nap = Stop::default();
    loop {
        let counts = topics::counts(&asker, names, settings.brokers())?;
        if made.iter().all(|plan| counts.get(&plan.topic).copied().flatten().is_some()) {
            return Ok(());
        }
        if began.elapsed() > limits().kafka_connect_deadline {
            let after = limits().kafka_connect_deadline;
            return Err(LogError::Timeout { doing: "waiting for new topics", after });
        }
        nap.wait(Duration::from_millis(100));
    }
}

fn ask_configs(
    settings: &Settings,
    names: &Names,
    plans: &[&TopicPlan],
) -> Result<BTreeMap<Topic, BTreeMap<String, String>>, LogError> {
    let admin = client(settings)?;
    let wanted: Vec<ResourceSpecifier<'_>> =
        plans.iter().map(|plan| ResourceSpecifier::Topic(names.of(plan.topic))).collect();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answers = block_on(admin.describe_configs(&wanted, &options()))?;
    let mut configs = BTreeMap::new();
    for (plan, answer) in plans.iter().zip(answers) {
        let resource = answer.map_err(|code| LogError::Kafka {
            doing: "ask how topics are set up",
            reason: format!("{}: {code}", names.of(plan.topic)),
        })?;
        let entries = resource
            .entries
            .into_iter()
            .filter_map(|entry| Some((entry.name, entry.value?)))
            .collect();
        configs.insert(plan.topic, entries);
    }
    Ok(configs)
}

fn client(settings: &Settings) -> Result<AdminClient<DefaultClientContext>, LogError> {
    settings.admin().create().map_err(|error| super::failed("make an admin client", &error))
}

fn options() -> AdminOptions {
    let deadline = limits().kafka_request_deadline;
    AdminOptions::new().request_timeout(Some(deadline)).operation_timeout(Some(deadline))
}

/// Waits for an answer of the admin client, which has a deadline of its own.
fn block_on<T>(answer: impl Future<Output = Result<T, KafkaError>>) -> Result<T, LogError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|source| {
        LogError::Io { doing: "start", path: "the admin client's runtime".into(), source }
    })?;
    runtime.block_on(answer).map_err(|error| super::failed("administer topics", &error))
}

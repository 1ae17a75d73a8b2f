//! `[kafka]`: the cluster, where the log is not embedded.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::registry::{TOPICS, unknown_topic};
use super::topology::Checker;
use super::{Interpolated, Problem, Secret};

/// How members of a group agree on partitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// eager range assignment with static membership; every broker
    #[default]
    Classic,
    /// the broker assigns, only what moves pauses; brokers 4.3 and later
    Consumer,
}

/// `[kafka]`.
#[derive(Clone, Debug)]
pub struct Kafka {
    /// `host:port`, separated by commas
    pub brokers: String,
    /// identity of this process: stable across restarts, unlike that of any other running one
    pub process: String,
    /// before the names of topics, groups and transactional ids
    pub prefix: String,
    /// how members of a group agree on partitions
    pub protocol: Protocol,
    /// how long a silent member keeps its partitions, in milliseconds; classic protocol only
    pub session_timeout_ms: u64,
    /// how long a transaction may be open, in milliseconds: an orphan blocks readers so long
    pub transaction_timeout_ms: u64,
    /// how long inputs must be kept at least, in hours
    pub retention_hours: u32,
    /// names of topics that are not called what weir calls them, by what weir calls them
    pub topics: BTreeMap<String, String>,
    /// librdkafka's own settings, for instance for TLS and SASL
    pub settings: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KafkaFile {
    brokers: Spanned<Interpolated>,
    #[serde(default)]
    process: Option<Spanned<Interpolated>>,
    #[serde(default)]
    prefix: Option<Spanned<Interpolated>>,
    #[serde(default)]
    protocol: Protocol,
    #[serde(default = "ten_seconds")]
    session_timeout_ms: Spanned<u64>,
    #[serde(default = "ten_seconds")]
    transaction_timeout_ms: Spanned<u64>,
    #[serde(default = "a_week")]
    retention_hours: Spanned<u32>,
    #[serde(default)]
    topics: BTreeMap<Spanned<String>, Spanned<Interpolated>>,
    #[serde(default)]
    settings: BTreeMap<Spanned<String>, Spanned<Setting>>,
}

fn ten_seconds() -> Spanned<u64> {
    Spanned::new(0..0, 10_000)
}

fn a_week() -> Spanned<u32> {
    Spanned::new(0..0, 168)
}

/// A value of librdkafka's; it may be a secret, so no message shows it.
#[derive(Clone, Debug)]
pub(super) struct Setting(Secret);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let error = <D::Error as serde::de::Error>::custom::<String>;
        let text = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => return Ok(Setting(Secret::new(number.to_string()))),
            toml::Value::Boolean(yes) => return Ok(Setting(Secret::new(yes.to_string()))),
            _ => return Err(error("expected a text, a number, true or false".into())),
        };
        Secret::interpolated(&text).map(Setting).map_err(error)
    }
}

/// Settings of librdkafka that weir decides itself, because exactly once depends on them.
const OURS: [&str; 23] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "transactional.id",
    "transaction.timeout.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "enable.idempotence",
    "isolation.level",
    "auto.offset.reset",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "partition.assignment.strategy",
    "session.timeout.ms",
    "max.poll.interval.ms",
    "acks",
    "request.required.acks",
    "delivery.report.only.error",
    "statistics.interval.ms",
];

/// Longest name that Kafka takes.
const NAME_MAX: usize = 249;

fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl Checker<'_> {
    pub(super) fn kafka(&self, file: KafkaFile, problems: &mut Vec<Problem>) -> Option<Kafka> {
        let before = problems.len();
        problems.extend(self.hosts("brokers", &file.brokers).err());
        problems.extend(self.name("process", file.process.as_ref(), 1).err());
        problems.extend(self.name("prefix", file.prefix.as_ref(), 0).err());
        let session = &file.session_timeout_ms;
        self.range("session_timeout_ms", session, (6_000, 300_000), problems);
        let transaction = &file.transaction_timeout_ms;
        self.range("transaction_timeout_ms", transaction, (5_000, 60_000), problems);
        self.range("retention_hours", &file.retention_hours, (1, 24 * 366 * 10), problems);
        let topics = self.topics(file.topics, problems);
        let settings = self.settings(file.settings, problems);
        if problems.len() > before {
            return None;
        }
        let text = |setting: Option<Spanned<Interpolated>>, default: &str| {
            setting.map_or_else(|| default.to_owned(), |setting| setting.into_inner().0)
        };
        Some(Kafka {
            brokers: file.brokers.into_inner().0,
            process: text(file.process, "weir"),
            prefix: text(file.prefix, ""),
            protocol: file.protocol,
            session_timeout_ms: file.session_timeout_ms.into_inner(),
            transaction_timeout_ms: file.transaction_timeout_ms.into_inner(),
            retention_hours: file.retention_hours.into_inner(),
            topics,
            settings,
        })
    }

    fn name(
        &self,
        name: &str,
        setting: Option<&Spanned<Interpolated>>,
        least: usize,
    ) -> Result<(), Problem> {
        let Some(setting) = setting else { return Ok(()) };
        let value = &setting.get_ref().0;
        match is_name(value) && value.len() >= least {
            true => Ok(()),
            false => {
                let message = format!(
                    "{name} is {value:?}, expected letters, digits, dots, dashes and underscores"
                );
                Err(self.problem(setting, message))
            }
        }
    }

    fn topics(
        &self,
        file: BTreeMap<Spanned<String>, Spanned<Interpolated>>,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<String, String> {
        let mut topics: BTreeMap<String, String> = BTreeMap::new();
        let renamed: Vec<String> = file.keys().map(|key| key.get_ref().clone()).collect();
        for (key, name) in file {
            let (topic, value) = (key.get_ref().as_str(), name.get_ref().0.as_str());
            let is_another = TOPICS.contains(&value)
                && value != topic
                && !renamed.iter().any(|renamed| renamed == value);
            if !TOPICS.contains(&topic) {
                problems.push(self.problem(&key, unknown_topic(topic)));
            } else if value.is_empty() || !is_name(value) {
                let message = format!("{topic} is called {value:?}, which Kafka takes for no name");
                problems.push(self.problem(&name, message));
            } else if is_another || topics.values().any(|known| known == value) {
                let message = format!("{value:?} is the name of two topics, expected one each");
                problems.push(self.problem(&name, message));
            } else {
                topics.insert(topic.to_owned(), value.to_owned());
            }
        }
        topics
    }

    fn settings(
        &self,
        file: BTreeMap<Spanned<String>, Spanned<Setting>>,
        problems: &mut Vec<Problem>,
    ) -> BTreeMap<String, Secret> {
        let mut settings = BTreeMap::new();
        for (key, value) in file {
            let name = key.get_ref();
            if OURS.contains(&name.as_str()) {
                let message = format!("{name} is weir's to decide: exactly once depends on it");
                problems.push(self.problem(&key, message));
                continue;
            }
            let secret = value.get_ref().0.clone();
            match ClientConfig::new().set(name, secret.reveal()).create_native_config() {
                Ok(_) => {}
                Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                    let message = format!("librdkafka has no setting {name:?}");
                    problems.push(self.problem(&key, message));
                }
                // its text has the value, which may be a secret
                Err(_) => {
                    let message = format!("librdkafka does not take this value of {name}");
                    problems.push(self.problem(&value, message));
                }
            }
            settings.insert(name.clone(), secret);
        }
        settings
    }
}

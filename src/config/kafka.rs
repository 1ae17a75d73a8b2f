//! `[kafka]`: the cluster, where the log is not embedded.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::registry::TOPICS;
use super::{Interpolated, Secret};

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
    pub(super) brokers: Spanned<Interpolated>,
    #[serde(default)]
    pub(super) process: Option<Spanned<Interpolated>>,
    #[serde(default)]
    pub(super) prefix: Option<Spanned<Interpolated>>,
    #[serde(default)]
    pub(super) protocol: Protocol,
    #[serde(default)]
    pub(super) session_timeout_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) transaction_timeout_ms: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) retention_hours: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) topics: BTreeMap<Spanned<String>, Spanned<Interpolated>>,
    #[serde(default)]
    pub(super) settings: BTreeMap<Spanned<String>, Spanned<Setting>>,
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

/// Something wrong: where, and what.
pub(super) type Wrong = (std::ops::Range<usize>, String);

impl KafkaFile {
    /// The section as it is used.
    pub(super) fn check(self) -> Result<Kafka, Vec<Wrong>> {
        let mut wrong = Vec::new();
        let brokers = self.brokers.get_ref().0.clone();
        let is_broker = |broker: &str| {
            broker.trim().rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
        };
        if !brokers.split(',').all(is_broker) {
            let text = format!("brokers is {brokers:?}, expected host:port, separated by commas");
            wrong.push((self.brokers.span(), text));
        }
        let mut text = |setting: Option<Spanned<Interpolated>>, name: &str, default: &str| {
            let Some(setting) = setting else {
                return default.to_owned();
            };
            let value = setting.get_ref().0.clone();
            if !is_name(&value) || (value.is_empty() && name != "prefix") {
                let text = format!(
                    "{name} is {value:?}, expected letters, digits, dots, dashes and underscores"
                );
                wrong.push((setting.span(), text));
            }
            value
        };
        let process = text(self.process, "process", "weir");
        let prefix = text(self.prefix, "prefix", "");
        let mut range = |setting: Option<Spanned<u64>>, name: &str, default, least, most| {
            let value = setting.as_ref().map_or(default, |setting| *setting.get_ref());
            if let Some(setting) = setting
                && !(least..=most).contains(&value)
            {
                let text = format!("{name} is {value}, expected {least} to {most}");
                wrong.push((setting.span(), text));
            }
            value
        };
        let session_timeout_ms =
            range(self.session_timeout_ms, "session_timeout_ms", 10_000, 6_000, 300_000);
        let transaction_timeout_ms =
            range(self.transaction_timeout_ms, "transaction_timeout_ms", 10_000, 5_000, 60_000);
        let retention = self.retention_hours.map(|hours| {
            let span = hours.span();
            Spanned::new(span, u64::from(*hours.get_ref()))
        });
        let retention_hours = range(retention, "retention_hours", 168, 1, 24 * 366 * 10);
        let topics = topics(self.topics, &mut wrong);
        let settings = settings(self.settings, &mut wrong);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(Kafka {
            brokers,
            process,
            prefix,
            protocol: self.protocol,
            session_timeout_ms,
            transaction_timeout_ms,
            retention_hours: u32::try_from(retention_hours).unwrap_or(u32::MAX),
            topics,
            settings,
        })
    }
}

fn topics(
    file: BTreeMap<Spanned<String>, Spanned<Interpolated>>,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<String, String> {
    let mut topics: BTreeMap<String, String> = BTreeMap::new();
    let renamed: Vec<String> = file.keys().map(|key| key.get_ref().clone()).collect();
    for (key, name) in file {
        let value = &name.get_ref().0;
        if !TOPICS.contains(&key.get_ref().as_str()) {
            let likeness = |known: &&&str| strsim::jaro_winkler(known, key.get_ref());
            let near = TOPICS.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let near = near.copied().unwrap_or_default();
            let text = format!("unknown topic {:?}, did you mean {near:?}?", key.get_ref());
            wrong.push((key.span(), text));
        } else if value.is_empty() || !is_name(value) {
            let text =
                format!("{} is called {value:?}, which Kafka takes for no name", key.get_ref());
            wrong.push((name.span(), text));
        } else if topics.values().any(|known| known == value)
            || (TOPICS.contains(&value.as_str())
                && value != key.get_ref()
                && !renamed.contains(value))
        {
            let text = format!("{value:?} is the name of two topics, expected one each");
            wrong.push((name.span(), text));
        } else {
            topics.insert(key.into_inner(), value.clone());
        }
    }
    topics
}

fn settings(
    file: BTreeMap<Spanned<String>, Spanned<Setting>>,
    wrong: &mut Vec<Wrong>,
) -> BTreeMap<String, Secret> {
    let mut settings = BTreeMap::new();
    for (key, value) in file {
        let name = key.get_ref();
        if OURS.contains(&name.as_str()) {
            let text = format!("{name} is weir's to decide: exactly once depends on it");
            wrong.push((key.span(), text));
            continue;
        }
        let secret = value.get_ref().0.clone();
        let taken = ClientConfig::new().set(name, secret.reveal()).create_native_config();
        match taken {
            Ok(_) => {}
            Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
                wrong.push((key.span(), format!("librdkafka has no setting {name:?}")));
            }
            Err(_) => {
                wrong
                    .push((value.span(), format!("librdkafka does not take this value of {name}")));
            }
        }
        settings.insert(name.clone(), secret);
    }
    settings
}

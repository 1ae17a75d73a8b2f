//! The topics as they must be, and whether they are.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde::Serialize;

use super::context::ReaderContext;
use super::patiently;
use super::settings::Names;
use crate::config::limits;
use crate::event::Topic;
use crate::log::LogError;

/// What a topic must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// which one
    pub topic: Topic,
    /// number of partitions
    pub partitions: u32,
    /// whether only the last record of each key is kept
    pub compact: bool,
    /// how long records are kept, for topics that are not compacted
    pub retention: Duration,
    /// whether the broker's clock stamps records instead of the producer's
    pub stamped_by_broker: bool,
}

/// How a topic is.
#[derive(Clone, Debug, Serialize)]
pub struct TopicReport {
    /// its name on the cluster
    pub name: String,
    /// number of partitions, absent where the topic is
    pub partitions: Option<u32>,
    /// what must be changed
    pub problems: Vec<String>,
    /// what had better be changed
    pub warnings: Vec<String>,
}

/// Topics that share one partition count.
pub(super) fn is_copartitioned(topic: Topic) -> bool {
    topic != Topic::Control
}

impl TopicPlan {
    /// All topics, for this many partitions and this much history of the inputs.
    pub fn all(partitions: u32, retention: Duration) -> Vec<TopicPlan> {
        let plan = |topic: Topic| TopicPlan {
            topic,
            partitions: if is_copartitioned(topic) { partitions } else { 1 },
            compact: matches!(topic, Topic::Fired | Topic::Control),
            retention,
            // of compacted topics nobody asks when
            stamped_by_broker: !matches!(topic, Topic::Fired | Topic::Control),
        };
        Topic::ALL.into_iter().map(plan).collect()
    }

    /// The settings a new topic is made with.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = match self.compact {
            true => vec![("cleanup.policy", "compact".to_owned())],
            false => vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", self.retention.as_millis().to_string()),
            ],
        };
        if self.stamped_by_broker {
            settings.push(("message.timestamp.type", "LogAppendTime".to_owned()));
        }
        settings
    }

    /// Compares with what a topic has.
    pub(super) fn compare(&self, found: &BTreeMap<String, String>, report: &mut TopicReport) {
        let get = |name: &str| found.get(name).map(String::as_str).unwrap_or_default();
        let policy = get("cleanup.policy");
        let wanted = if self.compact { "compact" } else { "delete" };
        if policy != wanted {
            report.problems.push(format!("cleanup.policy is {policy:?}, expected {wanted:?}"));
        }
        let (least, kept) = (self.retention.as_millis(), get("retention.ms").parse::<i128>());
        if let (false, Ok(kept)) = (self.compact, kept)
            && kept >= 0
            && u128::try_from(kept).is_ok_and(|kept| kept < least)
        {
            report.problems.push(format!(
                "retention.ms is {kept}, expected at least {least}: state is rebuilt from what is kept"
            ));
        }
        if let Ok(bytes) = get("retention.bytes").parse::<i64>()
            && bytes >= 0
            && !self.compact
        {
            let text = format!(
                "retention.bytes is {bytes}: records may go before retention.ms says so, expected -1"
            );
            report.warnings.push(text);
        }
        if let Ok(bytes) = get("max.message.bytes").parse::<usize>()
            && bytes < limits().kafka_message_bytes
        {
            report.problems.push(format!(
                "max.message.bytes is {bytes}, expected at least {}",
                limits().kafka_message_bytes
            ));
        }
        if self.stamped_by_broker && get("message.timestamp.type") == "CreateTime" {
            let text = "message.timestamp.type is CreateTime: a producer whose clock is ahead can \
                        carry its events' times ahead too, expected LogAppendTime";
            report.warnings.push(text.to_owned());
        }
    }
}

/// Partition counts of all topics, `None` for those that are missing.
pub(super) fn counts(
    asker: &BaseConsumer<ReaderContext>,
    names: &Names,
    brokers: &str,
) -> Result<BTreeMap<Topic, Option<u32>>, LogError> {
    let metadata = patiently(asker, brokers, limits().kafka_connect_deadline, |wait| {
        asker.fetch_metadata(None, wait)
    })?;
    let count = |topic: Topic| {
        let found = metadata.topics().iter().find(|found| found.name() == names.of(topic));
        let found = found.filter(|found| found.error().is_none() && !found.partitions().is_empty());
        (topic, found.and_then(|found| u32::try_from(found.partitions().len()).ok()))
    };
    Ok(Topic::ALL.into_iter().map(count).collect())
}

/// What keeps weir from starting: topics that are missing or cannot work together.
pub(super) fn problems_of_counts(
    counts: &BTreeMap<Topic, Option<u32>>,
    names: &Names,
) -> Vec<String> {
    let mut problems = Vec::new();
    let expected = counts.get(&Topic::Transactions).copied().flatten();
    for (topic, count) in counts {
        match count {
            None => problems.push(format!("{} is missing", names.of(*topic))),
            Some(count) if is_copartitioned(*topic) && Some(*count) != expected => {
                if let Some(expected) = expected {
                    problems.push(format!(
                        "{} has {count} partitions, expected {expected} as {} has",
                        names.of(*topic),
                        names.of(Topic::Transactions)
                    ));
                }
            }
            Some(count) if !is_copartitioned(*topic) && *count != 1 => {
                problems.push(format!("{} has {count} partitions, expected 1", names.of(*topic)));
            }
            Some(_) => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_loses_records_in_its_own_way_and_in_no_other() {
        for plan in TopicPlan::all(4, Duration::from_secs(3_600)) {
            for policy in ["compact", "delete", "compact,delete", "delete,compact", ""] {
                let mut report = TopicReport {
                    name: String::new(),
                    partitions: None,
                    problems: vec![],
                    warnings: vec![],
                };
                plan.compare(
                    &BTreeMap::from([("cleanup.policy".to_owned(), policy.to_owned())]),
                    &mut report,
                );
                let is_right = policy == if plan.compact { "compact" } else { "delete" };
                assert_eq!(report.problems.is_empty(), is_right, "{plan:?}: {policy:?}");
            }
        }
    }
}

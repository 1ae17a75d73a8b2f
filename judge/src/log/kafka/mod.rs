//! The topics of a Kafka cluster, committed records only.
//!
//! `read_committed` decides three things here. The end of a partition, as asked when judging begins,
//! is its last stable offset: librdkafka asks for ends at the isolation level of the client, so what
//! an open transaction holds back lies past it. Reading goes on until that offset or the partition's
//! end is reached, whichever comes first, since the offsets before it may be markers, aborted or
//! compacted away. And a group's position is asked as a stable one: the coordinator answers only
//! when no transaction that would move it is pending.
//!
//! Outputs and the positions of inputs move in one transaction but are asked apart. Positions are
//! therefore asked before and after the ends, until both answers agree.

mod reader;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::contract::{READERS, SCORE, Topic};
use crate::error::Unreadable;

use super::{Bounds, Log, Records};

/// How long a cluster may take to say what topics it has.
const METADATA: Duration = Duration::from_secs(5);
/// How long a partition's leader may take to say where it begins and ends.
const WATERMARKS: Duration = Duration::from_secs(10);
/// How long one answer about a group may take.
const COMMITTED: Duration = Duration::from_secs(10);
/// How long pending transactions and moving positions are waited for; an orphaned transaction ends
/// by its time-out (10 s) and the broker's next look (10 s).
const SETTLING: Duration = Duration::from_secs(30);
/// Pause before asking again.
const AGAIN: Duration = Duration::from_millis(200);

/// Settings that what is judged depends on; they are not to be given from outside.
pub const OWN_SETTINGS: [&str; 9] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "enable.partition.eof",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
];

/// A cluster, and whose topics of it.
#[derive(Clone)]
pub struct Cluster {
    /// `host:port`, separated by commas
    pub brokers: String,
    /// stands before each name of a topic or group
    pub prefix: String,
    /// librdkafka's, by name; may hold secrets
    pub settings: Vec<(String, String)>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.settings.iter().map(|(name, _)| name).collect();
        let mut shown = f.debug_struct("Cluster");
        shown.field("brokers", &self.brokers).field("prefix", &self.prefix);
        shown.field("settings", &names).finish()
    }
}

impl Cluster {
    fn name_of(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.name())
    }

    /// A consumer that joins no group and commits nothing.
    fn consumer(&self, group: &str) -> Result<BaseConsumer<Quiet>, Unreadable> {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "weir-judge")
            // at the end of a partition the next one waits for the fetch in flight
            .set("fetch.wait.max.ms", "10")
            .set("fetch.message.max.bytes", "4194304")
            .set("queued.max.messages.kbytes", "32768")
            .set("check.crcs", "true");
        for (name, value) in &self.settings {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", group)
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // a record that is gone is to be said, not skipped
            .set("auto.offset.reset", "error");
        config.create_with_context(Quiet).map_err(|error| match error {
            // its own text repeats the value, which may be a secret
            KafkaError::ClientConfig(_, why, name, _) => Unreadable::KafkaSetting { name, why },
            other => Unreadable::kafka("start a Kafka client")(other),
        })
    }
}

/// Keeps librdkafka's lines out of the report: what matters comes back as errors.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: rdkafka::config::RDKafkaLogLevel, _: &str, _: &str) {}
    fn error(&self, _: KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}

/// Topics of a cluster, for one thread.
pub(super) struct KafkaLog {
    cluster: Cluster,
    consumer: BaseConsumer<Quiet>,
}

impl Log for KafkaLog {
    fn bounds(&self) -> Result<Bounds, Unreadable> {
        let partitions = self.topics()?;
        let deadline = Instant::now() + SETTLING;
        let mut before = self.positions(&partitions, deadline)?;
        loop {
            let mut bounds = Bounds { partitions: partitions.clone(), ..Bounds::default() };
            self.ends(&mut bounds)?;
            let after = self.positions(&partitions, deadline)?;
            let scored = |((group, ..), _): &(&Reader, &i64)| *group == SCORE;
            if before.iter().filter(scored).eq(after.iter().filter(scored)) {
                // a sink that went on since has stored more than must be there
                for ((group, topic, partition), next) in before {
                    bounds.commit(group.to_owned(), topic, partition, next);
                }
                return Ok(bounds);
            }
            if Instant::now() > deadline {
                return Err(Unreadable::Moving { seconds: SETTLING.as_secs() });
            }
            before = after;
            std::thread::park_timeout(AGAIN);
        }
    }

    fn records(&self, topic: Topic, partition: u32, from: i64, until: i64) -> Records<'_> {
        Box::new(reader::Records::new(self, topic, partition, from, until))
    }
}

/// A group and a partition it reads.
type Reader = (&'static str, Topic, u32);
/// Committed positions of the groups of the contract.
type Positions = BTreeMap<Reader, i64>;

impl KafkaLog {
    /// Prepares a reader; no broker is asked yet.
    pub(super) fn open(cluster: &Cluster) -> Result<KafkaLog, Unreadable> {
        let consumer = cluster.consumer("weir-judge")?;
        Ok(KafkaLog { cluster: cluster.clone(), consumer })
    }

    /// The topics of the contract that are there, with their numbers of partitions.
    fn topics(&self) -> Result<BTreeMap<Topic, u32>, Unreadable> {
        let metadata = self.consumer.fetch_metadata(None, METADATA);
        let metadata = metadata.map_err(|source| Unreadable::NoBroker {
            brokers: self.cluster.brokers.clone(),
            seconds: METADATA.as_secs(),
            source,
        })?;
        let mut partitions = BTreeMap::new();
        for topic in Topic::ALL {
            let name = self.cluster.name_of(topic);
            let found = metadata.topics().iter().find(|found| found.name() == name);
            if let Some(found) = found {
                if let Some(code) = found.error() {
                    let source = KafkaError::MetadataFetch(code.into());
                    return Err(Unreadable::kafka(format!("find topic {name}"))(source));
                }
                let count = u32::try_from(found.partitions().len()).unwrap_or(u32::MAX);
                partitions.insert(topic, count);
            }
        }
        if partitions.is_empty() {
            let Cluster { brokers, prefix, .. } = &self.cluster;
            let place = format!("the cluster at {brokers}, prefix {prefix:?},");
            return Err(Unreadable::NoTopics { place });
        }
        Ok(partitions)
    }

    fn ends(&self, bounds: &mut Bounds) -> Result<(), Unreadable> {
        for (topic, partitions) in bounds.partitions.clone() {
            let name = self.cluster.name_of(topic);
            for partition in 0..partitions {
                let of = i32::try_from(partition).unwrap_or(i32::MAX);
                let span = self.consumer.fetch_watermarks(&name, of, WATERMARKS);
                let doing = format!("find the ends of {name}/{partition}");
                let (begin, end) = span.map_err(Unreadable::kafka(doing))?;
                bounds.span(topic, partition, begin, end);
                bounds.batches += 1;
                if begin > 0 {
                    bounds.disorder.push(format!(
                        "{name}/{partition} begins at {begin}, expected 0: what stood before is \
                         gone and cannot be judged"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Where the groups are, once no transaction that moves them is pending.
    fn positions(
        &self,
        partitions: &BTreeMap<Topic, u32>,
        deadline: Instant,
    ) -> Result<Positions, Unreadable> {
        let mut positions = Positions::new();
        let mut groups: Vec<_> = READERS.iter().map(|(group, _)| *group).collect();
        groups.dedup();
        for group in groups {
            let name = format!("{}{group}", self.cluster.prefix);
            let consumer = self.cluster.consumer(&name)?;
            let mut asked = TopicPartitionList::new();
            for (topic, count) in partitions {
                if READERS.contains(&(group, *topic)) {
                    let last = i32::try_from(*count).unwrap_or(i32::MAX) - 1;
                    asked.add_partition_range(&self.cluster.name_of(*topic), 0, last);
                }
            }
            let answer = committed(&consumer, &asked, deadline);
            let doing = format!("read where group {name} is");
            let answer = answer.map_err(Unreadable::kafka(doing))?;
            for topic in partitions.keys() {
                let of_topic = answer.elements_for_topic(&self.cluster.name_of(*topic));
                for entry in of_topic {
                    if let Offset::Offset(next) = entry.offset() {
                        let partition = u32::try_from(entry.partition()).unwrap_or(0);
                        positions.insert((group, *topic, partition), next);
                    }
                }
            }
        }
        Ok(positions)
    }
}

/// Asks for committed positions until they are stable.
fn committed(
    consumer: &BaseConsumer<Quiet>,
    asked: &TopicPartitionList,
    deadline: Instant,
) -> KafkaResult<TopicPartitionList> {
    loop {
        let answer = consumer.committed_offsets(asked.clone(), COMMITTED).and_then(|answer| {
            let fault = answer.elements().iter().find_map(|entry| entry.error().err());
            fault.map_or(Ok(answer), Err)
        });
        match answer {
            Err(error) if is_passing(&error) && Instant::now() < deadline => {
                std::thread::park_timeout(AGAIN);
            }
            answer => return answer,
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::UnstableOffsetCommit
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::WaitingForCoordinator
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::Resolve
        )
    )
}

//! librdkafka's settings for each part that weir plays. Reasons and measurements are in
//! `docs/operations.md`.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::{Kafka, Protocol, limits};
use crate::event::Topic;

/// What everything on a topic is called on this cluster.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
    topics: Vec<(Topic, String)>,
}

impl Names {
    /// Names as configured.
    pub(super) fn new(kafka: &Kafka) -> Names {
        let name = |topic: Topic| {
            let plain = kafka.topics.get(topic.name()).map_or(topic.name(), String::as_str);
            (topic, format!("{}{plain}", kafka.prefix))
        };
        let topics = Topic::ALL.into_iter().map(name).collect();
        Names { prefix: kafka.prefix.clone(), topics }
    }

    /// A topic's name.
    pub(super) fn of(&self, topic: Topic) -> &str {
        &self.topics[topic as usize].1
    }

    /// The topic of that name.
    pub(super) fn topic(&self, name: &str) -> Option<Topic> {
        self.topics.iter().find(|(_, known)| known == name).map(|(topic, _)| *topic)
    }

    /// The name of a group on this cluster.
    pub(super) fn group(&self, group: &str) -> String {
        format!("{}{group}", self.prefix)
    }
}

/// Settings for the clients of one process.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    kafka: Kafka,
}

impl Settings {
    pub(super) fn new(kafka: &Kafka) -> Settings {
        Settings { kafka: kafka.clone() }
    }

    pub(super) fn brokers(&self) -> &str {
        &self.kafka.brokers
    }

    pub(super) fn transaction_timeout(&self) -> Duration {
        Duration::from_millis(self.kafka.transaction_timeout_ms)
    }

    /// How long it may take until positions are stable: an orphan transaction of another identity
    /// blocks them for its time-out and the broker's scan of ten seconds.
    pub(super) fn stable_deadline(&self) -> Duration {
        self.transaction_timeout() + Duration::from_secs(15)
    }

    /// `group/process/worker`: stable across restarts, different for everything that runs at once.
    pub(super) fn identity(&self, group: &str, index: u32) -> String {
        format!("{group}/{}/{index}", self.kafka.process)
    }

    fn base(&self, role: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
            .set("bootstrap.servers", &self.kafka.brokers)
            .set("client.id", format!("weir/{}/{role}", self.kafka.process))
            .set("socket.timeout.ms", "10000")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "1000");
        config
    }

    /// The user's own settings come last and win.
    fn finish(&self, config: &mut ClientConfig) -> ClientConfig {
        for (name, value) in &self.kafka.settings {
            config.set(name, value.reveal());
        }
        config.clone()
    }

    fn reading(config: &mut ClientConfig) {
        config
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "20")
            .set("fetch.queue.backoff.ms", "10")
            .set("fetch.error.backoff.ms", "100");
    }

    /// A member of a group.
    pub(super) fn member(&self, group: &str, index: u32) -> ClientConfig {
        let mut config = self.base("consumer");
        Self::reading(&mut config);
        config
            .set("group.id", group)
            .set("max.poll.interval.ms", self.kafka.session_timeout_ms.max(60_000).to_string())
            .set("statistics.interval.ms", limits().kafka_statistics.as_millis().to_string())
            .set("queued.max.messages.kbytes", limits().kafka_fetch_kbytes.to_string());
        match self.kafka.protocol {
            Protocol::Classic => config
                .set("partition.assignment.strategy", "range")
                .set("group.instance.id", self.identity(group, index))
                .set("session.timeout.ms", self.kafka.session_timeout_ms.to_string())
                .set("heartbeat.interval.ms", (self.kafka.session_timeout_ms / 10).to_string()),
            Protocol::Consumer => {
                config.set("group.protocol", "consumer").set("group.remote.assignor", "range")
            }
        };
        self.finish(&mut config)
    }

    /// Reads whatever partition it is told to, and asks for offsets; never joins a group.
    pub(super) fn reader(&self, group: &str) -> ClientConfig {
        let mut config = self.base("reader");
        Self::reading(&mut config);
        config
            .set("group.id", group)
            .set("enable.partition.eof", "true")
            .set("queued.max.messages.kbytes", limits().kafka_fetch_kbytes.to_string());
        self.finish(&mut config)
    }

    fn writing(&self, role: &str) -> ClientConfig {
        let mut config = self.base(role);
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "2")
            // halves what the broker spends, for a little of ours
            .set("compression.type", "lz4")
            // a back-off of 1 ms burns a core while a broker is slow
            .set("retry.backoff.ms", "20")
            .set("batch.num.messages", "10000")
            .set("message.max.bytes", limits().kafka_message_bytes.to_string())
            .set("queue.buffering.max.messages", "1000000")
            .set("queue.buffering.max.kbytes", "262144")
            .set("delivery.report.only.error", "true");
        config
    }

    /// Writes transactions.
    pub(super) fn transactional(&self, identity: &str) -> ClientConfig {
        let mut config = self.writing("producer");
        let timeout = self.kafka.transaction_timeout_ms.to_string();
        config
            .set("transactional.id", identity)
            .set("transaction.timeout.ms", &timeout)
            // no longer than a transaction may take
            .set("socket.timeout.ms", self.kafka.transaction_timeout_ms.min(10_000).to_string())
            .set("statistics.interval.ms", limits().kafka_statistics.as_millis().to_string());
        self.finish(&mut config)
    }

    /// Appends without transactions.
    pub(super) fn appender(&self) -> ClientConfig {
        let mut config = self.writing("appender");
        config.set("message.timeout.ms", limits().kafka_append_deadline.as_millis().to_string());
        self.finish(&mut config)
    }

    /// Administers topics.
    pub(super) fn admin(&self) -> ClientConfig {
        self.finish(&mut self.base("admin"))
    }
}

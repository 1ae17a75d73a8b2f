//! Every bound in one place, with the relations that must hold between them.

use std::time::Duration;

/// The bounds that are not settings.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// records waiting at the merge, per partition of a topic, before delivery of it is paused
    pub lane_records_max: usize,
    /// records waiting, below which delivery goes on
    pub lane_records_resume: usize,
    /// memory of records waiting at the merge, per partition of a topic, before delivery of it is
    /// paused, in bytes
    pub lane_bytes_max: usize,
    /// the longest a worker waits for records before it looks at the clock again
    pub poll_wait: Duration,
    /// the longest a worker waits for its committer before it gives both up
    pub commit_deadline: Duration,
    /// the longest a drain may take before the process ends without it
    pub drain_deadline: Duration,
    /// first pause before a crashed worker starts again; doubles up to the last
    pub restart_backoff: Duration,
    /// last pause before a crashed worker starts again
    pub restart_backoff_max: Duration,
    /// how long committed records that cannot be read yet are waited for
    pub restore_patience: Duration,
    /// a worker that is fenced twice within this time has a rival, and ends
    pub fences_window: Duration,
    /// first pause before the schema registry is asked again; doubles up to the last
    pub registry_backoff: Duration,
    /// last pause before the schema registry is asked again
    pub registry_backoff_max: Duration,
    /// the longest that a record waits for its schema before its worker starts again
    pub registry_lookup: Duration,
    /// the longest that a start waits for the schema registry, all contracts together
    pub registry_start: Duration,
    /// bytes of one answer of the schema registry
    pub registry_answer_bytes_max: usize,
    /// schemas of the registry kept by id
    pub registry_schemas_max: usize,
    /// ids that the registry does not know, remembered as such
    pub registry_unknown_max: usize,
    /// how long an id counts as unknown before the registry is asked again
    pub registry_unknown_ttl: Duration,
    /// positions remembered as poison after a panic
    pub panics_max: usize,
    /// tenants with thresholds of their own, by kind of event
    pub tenants_max: usize,
    /// rules of one kind of event
    pub rules_max: usize,
    /// features of a topology
    pub features_max: usize,
    /// stages of a deadline: what fits a mask of bits
    pub deadline_stages_max: usize,
    /// deadlines fired in one batch, so that a worker that was away does not hold up its input
    pub deadlines_fired_max: usize,
    /// bytes of one rule's expression
    pub expression_bytes_max: usize,
    /// bytes of one record of touches before the next one is begun
    pub touch_bytes: usize,
    /// live decisions a slow console may be behind before it skips some
    pub console_backlog: usize,
    /// webhook deliveries under way at once, per sink
    pub deliveries_in_flight: usize,
    /// first pause before a statement at the store is tried again; doubles up to the last
    pub store_backoff: Duration,
    /// last pause before a statement at the store is tried again
    pub store_backoff_max: Duration,
    /// the longest that one write to the store may take, connecting and trying again included; what
    /// is not acknowledged by then is written again
    pub store_write_deadline: Duration,
    /// the longest that making or looking at its tables may take
    pub store_tables_deadline: Duration,
    /// how often a statement is tried before the store counts as away
    pub store_attempts_max: u32,
    /// first pause of the sink while the store is away; doubles up to the last
    pub store_pause: Duration,
    /// last pause of the sink while the store is away
    pub store_pause_max: Duration,
    /// the longest that storing one shard or manifest may take, connecting and trying again included
    pub snapshot_write_deadline: Duration,
    /// the longest that reading one of them, listing or deleting many may take
    pub snapshot_read_deadline: Duration,
    /// the longest that one request to the server of snapshots may take
    pub snapshot_request_deadline: Duration,
    /// the longest that connecting to it may take
    pub snapshot_connect_deadline: Duration,
    /// how often a request to it is tried again
    pub snapshot_retries_max: usize,
    /// first pause before that; grows up to the last
    pub snapshot_backoff: Duration,
    /// last pause before that
    pub snapshot_backoff_max: Duration,
    /// bytes of the state in one shard
    pub snapshot_shard_bytes_max: u64,
    /// bytes of one manifest
    pub snapshot_manifest_bytes_max: u64,
    /// bytes of one content of what decides: rules, a list, a model
    pub artifact_bytes_max: u64,
    /// how long a shard that no manifest names is left alone: its manifest may be about to come
    pub snapshot_grace: Duration,
    /// records a sink takes up at once
    pub sink_batch_records: usize,
    /// the longest weir waits for a first answer of a Kafka cluster
    pub kafka_connect_deadline: Duration,
    /// the longest one question to a Kafka cluster may take
    pub kafka_request_deadline: Duration,
    /// the longest a range of a partition may bring nothing
    pub kafka_read_deadline: Duration,
    /// the longest an append outside transactions may take
    pub kafka_append_deadline: Duration,
    /// the longest it may take to take a transactional identity up
    pub kafka_init_deadline: Duration,
    /// one wait of that
    pub kafka_init_step: Duration,
    /// how often measurements are sorted into buckets, whether or not somebody asks for them
    pub metrics_upkeep: Duration,
    /// how often Kafka's client reports its statistics
    pub kafka_statistics: Duration,
    /// memory for records fetched ahead, for each consumer and reader, in kilobytes
    pub kafka_fetch_kbytes: u32,
    /// the largest record that is sent, in bytes; also Kafka's own default for topics
    pub kafka_message_bytes: usize,
}

/// The bounds that are not settings.
pub const fn limits() -> Limits {
    Limits {
        lane_records_max: 4_096,
        lane_records_resume: 1_024,
        lane_bytes_max: 16 << 20,
        poll_wait: Duration::from_millis(100),
        commit_deadline: Duration::from_secs(30),
        drain_deadline: Duration::from_secs(10),
        restart_backoff: Duration::from_millis(100),
        restart_backoff_max: Duration::from_secs(5),
        restore_patience: Duration::from_secs(10),
        fences_window: Duration::from_secs(300),
        registry_backoff: Duration::from_millis(100),
        registry_backoff_max: Duration::from_secs(2),
        registry_lookup: Duration::from_secs(8),
        registry_start: Duration::from_secs(30),
        registry_answer_bytes_max: 4 << 20,
        registry_schemas_max: 1_000,
        registry_unknown_max: 1_000,
        registry_unknown_ttl: Duration::from_secs(10),
        panics_max: 1_024,
        tenants_max: 10_000,
        rules_max: 1_000,
        features_max: 512,
        deadline_stages_max: 16,
        deadlines_fired_max: 1_000,
        expression_bytes_max: 8_192,
        touch_bytes: 256 << 10,
        console_backlog: 1_000,
        deliveries_in_flight: 16,
        store_backoff: Duration::from_millis(20),
        store_backoff_max: Duration::from_millis(500),
        store_write_deadline: Duration::from_secs(8),
        store_tables_deadline: Duration::from_secs(60),
        store_attempts_max: 5,
        store_pause: Duration::from_millis(250),
        store_pause_max: Duration::from_secs(2),
        snapshot_write_deadline: Duration::from_secs(8),
        snapshot_read_deadline: Duration::from_secs(30),
        snapshot_request_deadline: Duration::from_secs(6),
        snapshot_connect_deadline: Duration::from_secs(3),
        snapshot_retries_max: 2,
        snapshot_backoff: Duration::from_millis(100),
        snapshot_backoff_max: Duration::from_secs(1),
        snapshot_shard_bytes_max: 256 << 20,
        snapshot_manifest_bytes_max: 64 << 20,
        // of the largest file of a list each byte may take two as JSON
        artifact_bytes_max: 513 << 20,
        snapshot_grace: Duration::from_secs(600),
        sink_batch_records: 5_000,
        kafka_connect_deadline: Duration::from_secs(10),
        kafka_request_deadline: Duration::from_secs(5),
        kafka_read_deadline: Duration::from_secs(30),
        kafka_append_deadline: Duration::from_secs(25),
        kafka_init_deadline: Duration::from_secs(15),
        kafka_init_step: Duration::from_secs(5),
        metrics_upkeep: Duration::from_secs(5),
        kafka_statistics: Duration::from_secs(5),
        kafka_fetch_kbytes: 16_384,
        kafka_message_bytes: 1_048_588,
    }
}

const _: () = {
    let limits = limits();
    assert!(limits.lane_records_resume < limits.lane_records_max);
    assert!(limits.restart_backoff.as_millis() < limits.restart_backoff_max.as_millis());
    // one more event of the longest texts still fits what a broker takes
    assert!(limits.touch_bytes + 16_384 < limits.kafka_message_bytes);
    assert!(limits.kafka_append_deadline.as_millis() < limits.commit_deadline.as_millis());
    assert!(limits.poll_wait.as_millis() < limits.drain_deadline.as_millis());
    assert!(limits.drain_deadline.as_millis() < limits.commit_deadline.as_millis());
    assert!(limits.registry_backoff.as_millis() < limits.registry_backoff_max.as_millis());
    assert!(limits.registry_backoff_max.as_millis() < limits.registry_lookup.as_millis());
    // a stop is seen within a drain, whatever the store and the registry do
    assert!(limits.store_write_deadline.as_millis() < limits.drain_deadline.as_millis());
    assert!(limits.registry_lookup.as_millis() < limits.drain_deadline.as_millis());
    assert!(limits.snapshot_write_deadline.as_millis() < limits.drain_deadline.as_millis());
    // why a request failed is told before the work around it is given up
    assert!(
        limits.snapshot_request_deadline.as_millis() < limits.snapshot_write_deadline.as_millis()
    );
    assert!(
        limits.snapshot_connect_deadline.as_millis() < limits.snapshot_request_deadline.as_millis()
    );
    assert!(limits.snapshot_backoff.as_millis() < limits.snapshot_backoff_max.as_millis());
    // what is stored is named long before it counts as left behind
    assert!(limits.snapshot_write_deadline.as_millis() * 10 < limits.snapshot_grace.as_millis());
    assert!(limits.registry_lookup.as_millis() <= limits.registry_start.as_millis());
};

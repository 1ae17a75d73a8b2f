//! Every metric weir exports, as one vocabulary. Names: `weir_<noun>_<unit>[_total]`.
//!
//! Workers count in plain integers and flush once a batch; nothing is registered on the hot path.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::{Clock, process};

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// only grows
    Counter,
    /// goes up and down
    Gauge,
    /// fixed buckets, in seconds
    Histogram,
}

impl Shape {
    /// The name in Prometheus' text format.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Counter => "counter",
            Shape::Gauge => "gauge",
            Shape::Histogram => "histogram",
        }
    }
}

/// Which part of weir tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// the workers that decide
    Scoring,
    /// copies of the state
    Snapshots,
    /// what every process hears
    Listening,
    /// changes of what decides
    Control,
    /// store and notify alike
    Sinks,
    /// the store alone
    Store,
    /// the notify sink alone
    Notify,
    /// Kafka's client
    Kafka,
    /// the HTTP server
    Server,
    /// the process
    Process,
}

impl Component {
    /// Every component, in the order of the page.
    pub const ALL: [Component; 10] = [
        Component::Scoring,
        Component::Snapshots,
        Component::Listening,
        Component::Control,
        Component::Sinks,
        Component::Store,
        Component::Notify,
        Component::Kafka,
        Component::Server,
        Component::Process,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Component::Scoring => "scoring",
            Component::Snapshots => "snapshots",
            Component::Listening => "listening",
            Component::Control => "control",
            Component::Sinks => "sinks",
            Component::Store => "store",
            Component::Notify => "notify",
            Component::Kafka => "kafka",
            Component::Server => "server",
            Component::Process => "process",
        }
    }

    /// What it is, for the page.
    fn title(self) -> &'static str {
        match self {
            Component::Scoring => "Scoring: the workers that decide",
            Component::Snapshots => "Snapshots: copies of the state",
            Component::Listening => "Listening: what every process hears",
            Component::Control => "Control: changes of what decides",
            Component::Sinks => "Sinks: the store as `store`, each webhook by its name",
            Component::Store => "The store alone",
            Component::Notify => "Webhooks alone",
            Component::Kafka => "Kafka's client, by role and worker",
            Component::Server => "The HTTP server",
            Component::Process => "The process",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// its name
    pub name: &'static str,
    /// its shape
    pub shape: Shape,
    /// who tells it
    pub component: Component,
    /// what it says
    pub help: &'static str,
    /// its labels
    pub labels: &'static [&'static str],
}

macro_rules! metrics {
    ($($component:ident { $($ident:ident = $name:literal, $shape:ident, [$($label:literal),*], $help:literal;)* })*) => {
        $($(#[doc = $help] pub const $ident: &str = $name;)*)*

        /// The whole vocabulary.
        pub const ALL: &[Metric] = &[
            $($(Metric {
                name: $name,
                shape: Shape::$shape,
                component: Component::$component,
                help: $help,
                labels: &[$($label),*],
            },)*)*
        ];
    };
}

metrics! {
    Scoring {
        RECEIVED = "weir_records_received_total", Counter, ["topic"], "Input records decided about, discarded or refused, and tombstones, once committed";
        SENT = "weir_records_sent_total", Counter, ["topic"], "Output records committed";
        SENT_BYTES = "weir_sent_bytes_total", Counter, [], "Their bytes";
        LATE = "weir_events_late_total", Counter, ["topic"], "Events that were older than the newest by more than the grace: windows had forgotten what they look back on";
        DISCARDED = "weir_records_discarded_total", Counter, ["topic", "reason"], "Input records that need no decision: duplicate, within the dedupe horizon";
        ERASURES = "weir_erasures_total", Counter, ["topic"], "Tombstones met: an account was forgotten, as far as the topic had told of it";
        DEAD_LETTERS = "weir_dead_letters_total", Counter, ["stage", "code"], "Records given up, by the stage that failed and why";
        DECISIONS = "weir_decisions_total", Counter, ["kind", "outcome"], "Decisions made";
        DEGRADED = "weir_decisions_degraded_total", Counter, ["reason"], "Decisions made without something: state_gap, or what pressure leaves out";
        ESCALATIONS = "weir_escalations_total", Counter, ["kind"], "Escalations made";
        DECISION_SECONDS = "weir_decision_duration_seconds", Histogram, [], "From a record being written to its topic to the commit of its decision, of at most 16 records a batch";
        IN_FLIGHT = "weir_records_in_flight", Gauge, ["worker"], "Input records taken up and not yet committed";
        BUFFERED = "weir_records_buffered", Gauge, ["worker"], "Input records fetched that wait to be put in order";
        COMMITS = "weir_commits_total", Counter, [], "Transactions committed";
        COMMIT_SECONDS = "weir_commit_duration_seconds", Histogram, [], "From opening a transaction to its commit";
        BATCH_SECONDS = "weir_batch_age_seconds", Histogram, [], "From the first record of a batch being taken up to its commit";
        RESTARTS = "weir_restarts_total", Counter, ["part", "reason"], "Lives of a worker, a sink or the listener that failed and were followed by another";
        PARTITIONS = "weir_partitions_owned", Gauge, ["worker"], "Partitions a worker decides about";
        LAG_RECORDS = "weir_lag_records", Gauge, ["worker", "topic"], "Input records not yet decided about, of the partitions owned here";
        LAG_SECONDS = "weir_lag_seconds", Gauge, ["worker", "topic"], "Age of the event decided about last, where more are waiting";
        LAG_WAIT_SECONDS = "weir_lag_wait_seconds", Gauge, ["worker", "topic"], "How long the record decided about last was on its topic, where more are waiting";
        PRESSURE = "weir_pressure_steps", Gauge, [], "Steps of what is left out to keep up: 1 attributions, 2 shadows, 3 the model";
        ACCOUNTS = "weir_state_accounts", Gauge, ["worker"], "Accounts in memory";
        DEADLINES = "weir_deadlines_scheduled", Gauge, ["worker"], "Disputes whose deadline has a stage still to come";
        DEADLINES_FIRED = "weir_deadlines_fired_total", Counter, ["stage"], "Stages of deadlines that fired";
        STATE_BYTES = "weir_state_bytes", Gauge, ["worker"], "Memory of the accounts";
        RESTORE_SECONDS = "weir_restore_duration_seconds", Histogram, [], "From assignment to ready";
        RESTORED = "weir_restored_records_total", Counter, [], "Records applied again to restore state";
    }
    Snapshots {
        SNAPSHOTS = "weir_snapshots_written_total", Counter, [], "Snapshots of a partition that were written whole";
        SNAPSHOT_BYTES = "weir_snapshot_bytes_total", Counter, [], "Bytes of shards stored, compressed";
        SNAPSHOT_WRITTEN_AT = "weir_snapshot_written_timestamp_seconds", Gauge, [], "When a snapshot was written last, seconds since 1970";
        SNAPSHOT_HOLD_SECONDS = "weir_snapshot_hold_duration_seconds", Histogram, [], "How long a worker was held to copy a shard";
        SNAPSHOT_ERRORS = "weir_snapshot_errors_total", Counter, ["code"], "Shards and manifests that were not stored, by cause";
    }
    Listening {
        HEARD = "weir_records_heard_total", Counter, ["topic"], "Records read that every process reads: touches";
        TOUCHED = "weir_touched_events_total", Counter, [], "Events in the touches read";
        PROFILES_HEARD = "weir_profiles_heard_timestamp_seconds", Gauge, [], "What any partition had committed until then is in the profiles of other entities, seconds since 1970";
        TOUCH_AGE_SECONDS = "weir_touch_age_seconds", Histogram, [], "From a touch being written to its being read here";
    }
    Control {
        POLICY_VERSION = "weir_policy_version", Gauge, [], "Records of weir.control that what decides now was made of, or that were rejected";
        POLICY_HASH = "weir_policy_hash", Gauge, [], "First 48 bits of the hash of what decides now, as a number: equal where the same decides";
        POLICY_HELD_SECONDS = "weir_policy_held_seconds", Histogram, [], "How long a worker was held to take up what decides from then on";
        POLICY_CHANGES = "weir_policy_changes_total", Counter, ["result"], "Changes of what decides: applied, rejected";
    }
    Sinks {
        SINK_RECEIVED = "weir_sink_records_received_total", Counter, ["sink"], "Records taken up by a sink";
        SINK_SENT = "weir_sink_records_sent_total", Counter, ["sink"], "Records a sink has stored or delivered";
        SINK_SKIPPED = "weir_sink_records_skipped_total", Counter, ["sink"], "Records a sink has nothing to do about: tombstones of accounts";
        SINK_ERRORS = "weir_sink_errors_total", Counter, ["sink", "code"], "Attempts of a sink that failed";
        SINK_IN_FLIGHT = "weir_sink_in_flight", Gauge, ["sink"], "Records a sink has taken up and neither stored, delivered nor given up";
        SINK_LAG_RECORDS = "weir_sink_lag_records", Gauge, ["sink"], "Records a sink has not yet stored or delivered";
        SINK_LAG_SECONDS = "weir_sink_lag_seconds", Gauge, ["sink"], "How long ago the record stored or delivered last was written, where more are waiting";
        SINK_SECONDS = "weir_sink_duration_seconds", Histogram, ["sink"], "One batch stored, or one attempt at a delivery";
    }
    Store {
        STORE_ROWS = "weir_store_rows_total", Counter, ["table"], "Rows stored";
        STORE_STATEMENT_SECONDS = "weir_store_statement_duration_seconds", Histogram, [], "One attempt at a statement at the cluster, whatever came of it; one in 64 is timed";
        STORE_RETRIES = "weir_store_retries_total", Counter, ["code"], "Statements that failed and were tried again";
        STORE_IN_FLIGHT = "weir_store_statements_in_flight", Gauge, [], "Statements under way at the cluster";
    }
    Notify {
        NOTIFY_BREAKER = "weir_notify_breaker_open", Gauge, ["sink"], "1 while a receiver has failed so often that it is asked rarely";
    }
    Kafka {
        KAFKA_QUEUED_RECORDS = "weir_kafka_queued_records", Gauge, ["client"], "Records a Kafka client has not sent or had acknowledged";
        KAFKA_QUEUED_BYTES = "weir_kafka_queued_bytes", Gauge, ["client"], "Their bytes";
        KAFKA_RTT_SECONDS = "weir_kafka_round_trip_seconds", Gauge, ["client"], "Round trip to the slowest broker, 99th percentile";
        KAFKA_THROTTLE_SECONDS = "weir_kafka_throttle_seconds", Gauge, ["client"], "The longest a broker has held a client back lately";
        KAFKA_TIMEOUTS = "weir_kafka_timeouts", Gauge, ["client"], "Requests of the present client that brokers did not answer";
        KAFKA_DISCONNECTS = "weir_kafka_disconnects", Gauge, ["client"], "Connections the present client has lost";
        KAFKA_ERRORS = "weir_kafka_errors", Gauge, ["client"], "Requests and answers of the present client that failed";
        KAFKA_REBALANCES = "weir_kafka_rebalances", Gauge, ["client"], "Changes of ownership the present consumer has seen";
    }
    Server {
        HTTP_REQUESTS = "weir_http_requests_total", Counter, ["route", "status"], "Requests answered, by route and status";
        HTTP_SECONDS = "weir_http_request_duration_seconds", Histogram, ["route"], "From a request to the beginning of its answer";
    }
    Process {
        READY = "weir_part_ready", Gauge, ["part"], "1 where a part of the process works, 0 where it does not";
        RESIDENT_BYTES = "weir_process_resident_bytes", Gauge, [], "Memory of the process";
        CPU_SECONDS = "weir_process_cpu_seconds_total", Counter, [], "Processor time of the process";
        OPEN_FILES = "weir_process_open_files", Gauge, [], "Open files and connections";
        STARTED = "weir_process_start_time_seconds", Gauge, [], "When the process started, seconds since 1970";
        BUILD = "weir_build_info", Gauge, ["version"], "1, with the version running";
    }
}

/// Upper ends of the buckets of every histogram, in seconds.
const BUCKETS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0, 120.0,
];

/// `docs/metrics.md`: the vocabulary as a page.
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\nEverything a running weir tells on `/metrics`. This page is made from the \
         vocabulary in `src/telemetry/metric.rs` by `weir metrics --markdown`; a test compares the \
         two.\n\nEach component tells what it has received, sent, discarded and failed at, what it \
         has under way, how far it is behind in records and in seconds, and how long its steps \
         take. Workers count in plain integers and add them up once a batch. Label values come \
         from the contracts, the topology and fixed lists, never from input.\n",
    );
    for component in Component::ALL {
        page += &format!("\n## {}\n\n", component.title());
        page += "| metric | type | labels | what it says |\n|---|---|---|---|\n";
        for metric in ALL.iter().filter(|metric| metric.component == component) {
            let labels: Vec<String> =
                metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, shape, help) = (metric.name, metric.shape.name(), metric.help);
            page += &format!("| `{name}` | {shape} | {} | {help} |\n", labels.join(", "));
        }
    }
    let buckets: Vec<String> = BUCKETS.iter().map(f64::to_string).collect();
    page += &format!("\nBuckets of every histogram, in seconds: {}.\n", buckets.join(", "));
    page
}

/// What is exported, for `/metrics`.
#[derive(Clone)]
pub struct Exporter(PrometheusHandle);

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exporter")
    }
}

impl Exporter {
    /// Begins to export. Once a process.
    ///
    /// # Errors
    /// When something exports already.
    pub fn install(clock: &Clock) -> Result<Exporter, String> {
        let mut builder = PrometheusBuilder::new();
        for metric in ALL.iter().filter(|metric| metric.shape == Shape::Histogram) {
            builder = builder
                .set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), BUCKETS)
                .map_err(|error| format!("cannot set buckets of {}: {error}", metric.name))?;
        }
        let handle = builder
            .install_recorder()
            .map_err(|error| format!("cannot export metrics: {error}"))?;
        for metric in ALL {
            match metric.shape {
                Shape::Counter => describe_counter!(metric.name, Unit::Count, metric.help),
                Shape::Gauge => describe_gauge!(metric.name, metric.help),
                Shape::Histogram => describe_histogram!(metric.name, Unit::Seconds, metric.help),
            }
        }
        metrics::gauge!(STARTED).set(clock.now_ms() as f64 / 1e3);
        metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        Ok(Exporter(handle))
    }

    /// Sorts what was measured since the last time into buckets. Whoever exports calls this now and
    /// then, or measurements that nobody asks for would gather.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        process::measure();
        self.upkeep();
        self.0.render()
    }
}

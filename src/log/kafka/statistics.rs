//! The few of librdkafka's statistics that say something at three in the morning.

use metrics::gauge;
use serde::Deserialize;

use crate::telemetry::metric;

/// Exports the statistics of one client: a role in a group, and a worker's number.
#[derive(Debug)]
pub(super) struct Statistics {
    client: String,
}

/// One report; every figure may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    /// messages waiting to be sent or acknowledged
    msg_cnt: u64,
    msg_size: u64,
    brokers: std::collections::HashMap<String, Broker>,
    cgrp: Group,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Broker {
    nodeid: i64,
    rtt: Window,
    throttle: Window,
    req_timeouts: u64,
    disconnects: u64,
    txerrs: u64,
    rxerrs: u64,
}

/// Microseconds (round trips) or milliseconds (throttling) of the last interval.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Window {
    p99: i64,
    max: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    rebalance_cnt: u64,
}

impl Statistics {
    pub(super) fn new(client: &str) -> Statistics {
        Statistics { client: client.to_owned() }
    }

    /// Takes one report up. What cannot be read is left out: they are figures, not facts.
    pub(super) fn take(&self, json: &[u8]) {
        let Ok(report) = serde_json::from_slice::<Report>(json) else {
            tracing::debug!(client = self.client, "kafka: unreadable statistics");
            return;
        };
        // bootstrap connections have no node id
        let brokers = || report.brokers.values().filter(|broker| broker.nodeid >= 0);
        let sum = |of: fn(&Broker) -> u64| brokers().map(of).sum::<u64>() as f64;
        let most = |of: fn(&Broker) -> i64| brokers().map(of).max().unwrap_or(0).max(0) as f64;
        let client = || self.client.clone();
        gauge!(metric::KAFKA_QUEUED_RECORDS, "client" => client()).set(report.msg_cnt as f64);
        gauge!(metric::KAFKA_QUEUED_BYTES, "client" => client()).set(report.msg_size as f64);
        gauge!(metric::KAFKA_RTT_SECONDS, "client" => client()).set(most(|b| b.rtt.p99) / 1e6);
        gauge!(metric::KAFKA_THROTTLE_SECONDS, "client" => client())
            .set(most(|b| b.throttle.max) / 1e3);
        gauge!(metric::KAFKA_TIMEOUTS, "client" => client()).set(sum(|b| b.req_timeouts));
        gauge!(metric::KAFKA_DISCONNECTS, "client" => client()).set(sum(|b| b.disconnects));
        gauge!(metric::KAFKA_ERRORS, "client" => client()).set(sum(|b| b.txerrs + b.rxerrs));
        gauge!(metric::KAFKA_REBALANCES, "client" => client())
            .set(report.cgrp.rebalance_cnt as f64);
    }
}

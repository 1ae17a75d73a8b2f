//! When decisions are seen by who reads committed records only.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::{Cli, Failure, now_ms, say};

/// Records told about in one line at the most.
const RUN_MAX: usize = 2_000;

/// Reads decisions.
pub struct Visible {
    reader: BaseConsumer,
    count: u64,
}

impl Visible {
    /// From the oldest decision on.
    ///
    /// # Errors
    /// When the client cannot be made.
    pub fn new(cli: &Cli) -> Result<Visible, Failure> {
        let mut config = cli.client("weir.probe");
        config.set("isolation.level", "read_committed").set("queued.max.messages.kbytes", "16384");
        let reader: BaseConsumer = config.create()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..cli.partitions {
            list.add_partition_offset(&cli.topic("decisions"), partition, Offset::Beginning)?;
        }
        reader.assign(&list)?;
        Ok(Visible { reader, count: 0 })
    }

    /// Waits a little for decisions, and tells those that came.
    ///
    /// # Errors
    /// When nobody reads what is said.
    pub fn look(&mut self) -> Result<(), Failure> {
        let mut newest = None;
        let mut wait = Duration::from_millis(100);
        for _ in 0..RUN_MAX {
            // a broker that is away is an error of a poll: it passes
            match self.reader.poll(wait) {
                Some(Ok(message)) => {
                    self.count += 1;
                    newest = newest.max(message.timestamp().to_millis());
                    wait = Duration::ZERO;
                }
                Some(Err(_)) => {}
                None => break,
            }
        }
        match newest {
            Some(newest) => say(&format!("visible {} {} {newest}", now_ms(), self.count)),
            None => Ok(()),
        }
    }
}

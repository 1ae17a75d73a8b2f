//! How far the group of the workers is.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::{Cli, Failure, now_ms, say};

const GROUP: &str = "weir.score";
const INPUTS: [&str; 5] = ["labels", "disputes", "chats", "invoices", "transactions"];
/// The longest one question may take: a broker that is away must not hide when it is back.
const CALL: Duration = Duration::from_secs(1);
/// Ends are asked for less often than positions.
const ENDS_EVERY: Duration = Duration::from_millis(200);
/// A line at least so often, so that its reader knows that somebody watches.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// Asks for positions.
pub struct Positions {
    asker: BaseConsumer,
    inputs: TopicPartitionList,
    /// of all inputs, and when that was asked for
    ends: Option<(i64, Instant)>,
    said: Option<(i64, i64, Instant)>,
}

impl Positions {
    /// # Errors
    /// When the client cannot be made.
    pub fn new(cli: &Cli) -> Result<Positions, Failure> {
        let mut config = cli.client(GROUP);
        // positions as they are: asking for stable ones waits for the transaction under way
        config.set("isolation.level", "read_uncommitted");
        let mut inputs = TopicPartitionList::new();
        for name in INPUTS {
            for partition in 0..cli.partitions {
                inputs.add_partition(&cli.topic(name), partition);
            }
        }
        Ok(Positions { asker: config.create()?, inputs, ends: None, said: None })
    }

    /// Asks once, and says so if something changed.
    ///
    /// # Errors
    /// When nobody reads what is said.
    pub fn look(&mut self) -> Result<(), Failure> {
        match self.ask() {
            Ok((committed, end)) => {
                let same = self.said.is_some_and(|(before, ends, at)| {
                    (before, ends) == (committed, end) && at.elapsed() < SAID_EVERY
                });
                if !same {
                    self.said = Some((committed, end, Instant::now()));
                    say(&format!("committed {} {committed} {end}", now_ms()))?;
                }
                Ok(())
            }
            Err(error) => say(&format!("silent {} {error}", now_ms())),
        }
    }

    fn ask(&mut self) -> Result<(i64, i64), KafkaError> {
        // ends first: what is committed of them can then only be more
        let end = match self.ends {
            Some((end, at)) if at.elapsed() < ENDS_EVERY => end,
            _ => {
                let end = self.ask_ends()?;
                self.ends = Some((end, Instant::now()));
                end
            }
        };
        let committed = self.asker.committed_offsets(self.inputs.clone(), CALL)?;
        Ok((sum(&committed), end))
    }

    fn ask_ends(&self) -> Result<i64, KafkaError> {
        let mut list = self.inputs.clone();
        // in this request a time of -1 stands for the end, as in Kafka's own protocol
        list.set_all_offsets(Offset::End)?;
        Ok(sum(&self.asker.offsets_for_times(list, CALL)?))
    }
}

/// Of inputs, which begin at 0 and hold nothing but records.
fn sum(list: &TopicPartitionList) -> i64 {
    let offset = |offset| match offset {
        Offset::Offset(offset) => offset,
        _ => 0,
    };
    list.elements().iter().map(|element| offset(element.offset())).sum()
}

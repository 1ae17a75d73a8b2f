//! From the moment an event is due to be sent until its decision is seen, without coordinated
//! omission: an event that had to wait to be sent counts from when it was due.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use crate::client::{ends, reading};
use crate::load::{Pace, Sender};
use crate::report::{Report, rounded};
use crate::topics::{INPUTS, OUTPUTS, named};
use crate::wire::Numbering;
use crate::{Failure, Place};

/// Until both threads are under way.
const AHEAD: Duration = Duration::from_millis(500);

/// Sends events on time and measures how long their decisions take.
#[derive(Debug, Args)]
#[command(
    after_help = "Example, while weir or the loop runs:\n  weir-floor latency --brokers 127.0.0.1:9092 --prefix b1. --file tape --rate 2000 --seconds 30"
)]
pub struct Latency {
    #[command(flatten)]
    place: Place,
    /// The tape
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Events per second
    #[arg(long)]
    rate: f64,
    /// For so long, warm-up included
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    /// The first seconds are not counted
    #[arg(long, default_value_t = 5.0)]
    warmup: f64,
    /// How long decisions are waited for after the last event was sent
    #[arg(long, default_value_t = 10.0)]
    patience: f64,
    /// How long an event waits for company at the sender
    #[arg(long, default_value_t = 1)]
    linger_ms: u32,
}

impl Latency {
    /// # Errors
    /// When the brokers do not answer or an event is not delivered.
    pub fn run(&self) -> Result<Report, Failure> {
        let mut sender = Sender::new(&self.place, &self.file, self.linger_ms)?;
        let count = (self.rate * self.seconds) as u64;
        let warm = (self.rate * self.warmup) as u64;
        // labels have no decision
        let expects = |number: &u64| *number >= warm && INPUTS[sender.input(*number)] != "labels";
        let expected: Vec<u64> = (0..count).filter(expects).collect();
        let consumer = self.reader()?;
        let mut pace = Pace::new(Instant::now() + AHEAD, Some(self.rate));
        let sent = Arc::new(AtomicBool::new(false));
        let mut reader = Reader {
            consumer,
            numbering: sender.numbering,
            seen: vec![None; count as usize],
            awaited: (0..count).map(|number| expects(&number)).collect(),
            expected: expected.len(),
            patience: Duration::from_secs_f64(self.patience),
            sent: Arc::clone(&sent),
        };
        let thread = std::thread::Builder::new().name("read".into()).spawn(move || {
            let failed = reader.read().err();
            (reader.seen, failed)
        })?;
        let mut sending = Ok(());
        for number in 0..count {
            pace.wait(number);
            sending = sender.send(number, Some(pace.event_time(number)));
            if sending.is_err() || thread.is_finished() {
                break;
            }
        }
        let finished = sender.finish();
        sent.store(true, Ordering::Release);
        let (seen, failed) = thread.join().map_err(|_| "the reader panicked")?;
        sending?;
        finished?;
        if let Some(failed) = failed {
            return Err(failed);
        }
        Ok(self.report(&expected, &seen, &pace))
    }

    /// At the ends of the decisions as they are now.
    fn reader(&self) -> Result<BaseConsumer, Failure> {
        let consumer: BaseConsumer = reading(&self.place, "weir-floor-latency", 65_536).create()?;
        let mut list = TopicPartitionList::new();
        for ((topic, partition), (_, end)) in ends(&consumer, &named(&self.place, &OUTPUTS[..1]))? {
            list.add_partition_offset(&topic, partition, Offset::Offset(end))?;
        }
        consumer.assign(&list)?;
        Ok(consumer)
    }

    fn report(&self, expected: &[u64], seen: &[Option<Instant>], pace: &Pace) -> Report {
        let took = |number: &u64| {
            let seen = seen[*number as usize]?;
            Some(seen.saturating_duration_since(pace.due(*number)))
        };
        let mut took: Vec<Duration> = expected.iter().filter_map(took).collect();
        took.sort_unstable();
        let at = |share: f64| {
            let index = ((took.len() as f64 * share).ceil() as usize).saturating_sub(1);
            took.get(index).map_or(f64::NAN, |took| rounded(took.as_secs_f64() * 1e3, 2))
        };
        Report::default()
            .with("rate", self.rate)
            .with("p50_ms", at(0.5))
            .with("p99_ms", at(0.99))
            .with("p999_ms", at(0.999))
            .with("max_ms", at(1.0))
            .with("matched", took.len())
            .with("missing", expected.len() - took.len())
            .with("sent_latest_ms", rounded(pace.latest.as_secs_f64() * 1e3, 2))
    }
}

struct Reader {
    consumer: BaseConsumer,
    numbering: Numbering,
    seen: Vec<Option<Instant>>,
    /// whether an event's decision is waited for
    awaited: Vec<bool>,
    /// how many are
    expected: usize,
    patience: Duration,
    sent: Arc<AtomicBool>,
}

impl Reader {
    fn read(&mut self) -> Result<(), Failure> {
        let mut matched = 0;
        let mut deadline = None;
        while matched < self.expected {
            if deadline.is_none() && self.sent.load(Ordering::Acquire) {
                deadline = Some(Instant::now() + self.patience);
            }
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return Ok(());
            }
            let Some(message) = self.consumer.poll(Duration::from_millis(50)) else { continue };
            let message = message?;
            let number = message.payload().and_then(|payload| self.numbering.number(payload));
            let Some(number) = number.and_then(|number| usize::try_from(number).ok()) else {
                continue;
            };
            if let Some(seen @ None) = self.seen.get_mut(number) {
                *seen = Some(Instant::now());
                matched += usize::from(self.awaited[number]);
            }
        }
        Ok(())
    }
}

//! Events onto the input topics: taken up from topics that have some, and sent again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use serde_json::json;

use crate::client::{Undelivered, Writer, drain, flush, read_all, writing};
use crate::report::{Report, rounded};
use crate::tape::{Recorder, Tape, Taped};
use crate::topics::{INPUTS, named};
use crate::wire::Numbering;
use crate::{Failure, Place, time};

const WHAT: &str = "tape";
const DEADLINE: Duration = Duration::from_secs(300);

/// Copies what is on the input topics into a file, a tape.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weir-floor record --brokers 127.0.0.1:9092 --prefix seed. --out tape"
)]
pub struct Record {
    #[command(flatten)]
    place: Place,
    /// The tape
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Record {
    /// # Errors
    /// When the brokers do not answer or the file cannot be written.
    pub fn run(&self) -> Result<Report, Failure> {
        let names = named(&self.place, &INPUTS);
        let mut records = Vec::new();
        read_all(&self.place, &names, DEADLINE, |message| {
            let topic = names.iter().position(|name| name == message.topic());
            let owned = (
                topic.ok_or("a record of another topic")?,
                message.partition(),
                message.key().unwrap_or_default().to_vec(),
                message.payload().unwrap_or_default().to_vec(),
            );
            let timestamp = message.timestamp().to_millis().unwrap_or(0);
            records.push((timestamp, records.len(), owned));
            Ok(())
        })?;
        // the topics come one after another; by time they are mixed again
        records.sort_by_key(|(timestamp, index, _)| (*timestamp, *index));
        let mut out = Recorder::create(&self.out, &json!({"what": WHAT}))?;
        let mut bytes = 0;
        for (_, _, (topic, partition, key, payload)) in &records {
            out.push(Taped { topic: *topic, partition: *partition, key, payload })?;
            bytes += payload.len();
        }
        out.finish()?;
        let mean = rounded(bytes as f64 / records.len().max(1) as f64, 1);
        Ok(Report::default().with("records", records.len()).with("payload_bytes_mean", mean))
    }
}

/// Sends the events of a tape, round and round: flat out, or at a rate whether or not anybody keeps up.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir-floor load --brokers 127.0.0.1:9092 --prefix b1. --file tape --exact\n  \
    weir-floor load --brokers 127.0.0.1:9092 --prefix b1. --file tape --rate 2000 --seconds 30"
)]
pub struct Load {
    #[command(flatten)]
    place: Place,
    /// The tape
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// Events per second; default: flat out
    #[arg(long)]
    rate: Option<f64>,
    /// For so long; needs --rate
    #[arg(long, requires = "rate", conflicts_with = "count")]
    seconds: Option<f64>,
    /// How many; default: the whole tape once
    #[arg(long)]
    count: Option<u64>,
    /// Send the bytes as they are: by default every event gets an id and the present time
    #[arg(long)]
    exact: bool,
    /// How long a record waits for company
    #[arg(long, default_value_t = 5)]
    linger_ms: u32,
}

impl Load {
    /// # Errors
    /// When the brokers do not answer or a record is not delivered.
    pub fn run(&self) -> Result<Report, Failure> {
        let mut sender = Sender::new(&self.place, &self.file, self.linger_ms)?;
        let count = match (self.count, self.rate, self.seconds) {
            (Some(count), ..) => count,
            (None, Some(rate), Some(seconds)) => (rate * seconds) as u64,
            _ => sender.tape.len() as u64,
        };
        let started = Instant::now();
        let mut pace = Pace::new(started, self.rate);
        for number in 0..count {
            pace.wait(number);
            let event_time = (!self.exact).then(|| pace.event_time(number));
            sender.send(number, event_time)?;
        }
        sender.finish()?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Report::default()
            .with("sent", count)
            .with("seconds", rounded(seconds, 3))
            .with("per_second", rounded(count as f64 / seconds, 0))
            .with("latest_ms", rounded(pace.latest.as_secs_f64() * 1e3, 2)))
    }
}

/// When each event is due.
#[derive(Debug)]
pub struct Pace {
    started: Instant,
    started_ms: i64,
    rate: Option<f64>,
    now: Instant,
    /// the most that an event was sent too late
    pub latest: Duration,
}

impl Pace {
    /// From `started` on.
    pub fn new(started: Instant, rate: Option<f64>) -> Pace {
        let now = Instant::now();
        let ahead = started.saturating_duration_since(now).as_millis() as i64;
        Pace { started, started_ms: time::now_ms() + ahead, rate, now, latest: Duration::ZERO }
    }

    /// When an event is due.
    pub fn due(&self, number: u64) -> Instant {
        let after = self.rate.map_or(0.0, |rate| number as f64 / rate);
        self.started + Duration::from_secs_f64(after)
    }

    /// The same, in milliseconds since 1970; flat out: now.
    pub fn event_time(&self, number: u64) -> i64 {
        match self.rate {
            Some(rate) => self.started_ms + (number as f64 * 1e3 / rate) as i64,
            None => {
                self.started_ms
                    + self.now.saturating_duration_since(self.started).as_millis() as i64
            }
        }
    }

    /// Waits until an event is due, and not at all if it is overdue.
    pub fn wait(&mut self, number: u64) {
        if self.rate.is_none() {
            if number.is_multiple_of(256) {
                self.now = Instant::now();
            }
            return;
        }
        let due = self.due(number);
        if due > self.now {
            self.now = Instant::now();
            if due > self.now {
                time::until(due);
                self.now = Instant::now();
            }
        }
        self.latest = self.latest.max(self.now.saturating_duration_since(due));
    }
}

/// Sends what is on a tape.
pub struct Sender {
    producer: Writer,
    names: Vec<String>,
    /// what is sent
    pub tape: Tape,
    /// how events are told apart
    pub numbering: Numbering,
    scratch: Vec<u8>,
}

impl Sender {
    /// A plain producer: an idempotent one may burn a core while the broker is slow.
    ///
    /// # Errors
    /// When the tape cannot be read.
    pub fn new(place: &Place, tape: &Path, linger_ms: u32) -> Result<Sender, Failure> {
        let mut config = writing(place, linger_ms);
        config.set("acks", "1");
        let tape = Tape::read(tape, WHAT)?;
        if tape.len() == 0 {
            return Err("the tape is empty".into());
        }
        let producer = config.create_with_context(Undelivered::default())?;
        let numbering = Numbering::new(time::now_ms());
        Ok(Sender { producer, names: named(place, &INPUTS), tape, numbering, scratch: Vec::new() })
    }

    /// Index of the input that a number goes to.
    pub fn input(&self, number: u64) -> usize {
        self.tape.get((number % self.tape.len() as u64) as usize).topic
    }

    /// Sends the next event, stamped with its number and a time, or as it is; waits while
    /// librdkafka's queue is full.
    ///
    /// # Errors
    /// When librdkafka refuses it, or no room comes up.
    pub fn send(&mut self, number: u64, event_time: Option<i64>) -> Result<(), Failure> {
        let Taped { topic, partition, key, payload } =
            self.tape.get((number % self.tape.len() as u64) as usize);
        let payload = match event_time {
            None => payload,
            Some(event_time) => {
                if !self.numbering.stamp(payload, number, event_time, &mut self.scratch) {
                    return Err(format!("record {number} of the tape is no event").into());
                }
                &self.scratch
            }
        };
        let mut record =
            BaseRecord::to(&self.names[topic]).partition(partition).key(key).payload(payload);
        let deadline = Instant::now() + DEADLINE;
        while let Err((error, refused)) = self.producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            if error != full || Instant::now() > deadline {
                return Err(error.into());
            }
            flush(&self.producer, 50);
            record = refused;
        }
        if number.is_multiple_of(1_024) {
            self.producer.poll(Duration::ZERO);
        }
        Ok(())
    }

    /// Waits until everything is acknowledged.
    ///
    /// # Errors
    /// When something is not.
    pub fn finish(&self) -> Result<(), Failure> {
        drain(&self.producer)
    }
}

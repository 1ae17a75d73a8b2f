//! The loop itself: poll, copy, commit; nothing is decoded and nothing is decided.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use rdkafka::client::ClientContext;
use rdkafka::consumer::{
    BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};

use crate::batch::Batch;
use crate::client::{COMMIT, reading};
use crate::commit::{Committer, set_all};
use crate::report::{Report, rounded};
use crate::template::Template;
use crate::topics::{DECISIONS, INPUTS, named};
use crate::{Failure, Place, time};

/// Records taken between two looks at the clock.
const STRIDE: usize = 128;
/// The longest poll, and the longest one while a batch waits for the committer.
const POLL: Duration = Duration::from_millis(100);
const NAP: Duration = Duration::from_millis(2);
/// Bytes of an input that its output begins with, so that a reader finds the event's id.
const HEAD: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Each input is forwarded to decisions
    PassThrough,
    /// Each input causes the records that weir wrote for such inputs
    SameOutput,
}

/// Consumes the input topics and commits outputs in transactions, as weir does, and nothing more.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  weir-floor loop --brokers 127.0.0.1:9092 --prefix bench. --group g1 --form pass-through --until-end"
)]
pub struct Loop {
    #[command(flatten)]
    place: Place,
    /// The consumer group
    #[arg(long)]
    group: String,
    #[arg(long, value_enum, default_value = "pass-through")]
    form: Form,
    /// What weir wrote, from `weir-floor sample`; for same-output
    #[arg(long, value_name = "FILE", required_if_eq("form", "same-output"))]
    template: Option<PathBuf>,
    /// End when every input was taken up to its end
    #[arg(long)]
    until_end: bool,
    /// Time between two commits at the least
    #[arg(long, default_value_t = 20)]
    commit_interval_ms: u64,
    /// Input records of a transaction at the most
    #[arg(long, default_value_t = 5_000)]
    batch_records_max: usize,
    /// Output bytes of a transaction at the most, but for its last record
    #[arg(long, default_value_t = 4 << 20)]
    batch_bytes_max: usize,
    /// Fetched ahead, in KiB
    #[arg(long, default_value_t = 16_384)]
    queued_kbytes: u32,
    /// A setting of the consumer, as librdkafka calls it
    #[arg(long, value_name = "NAME=VALUE")]
    consumer: Vec<String>,
    /// A setting of the producer, as librdkafka calls it
    #[arg(long, value_name = "NAME=VALUE")]
    producer: Vec<String>,
}

/// What the rebalance callbacks leave behind.
#[derive(Default)]
struct Membership {
    partitions: usize,
    metadata: Option<Arc<ConsumerGroupMetadata>>,
    revoked: bool,
}

#[derive(Default)]
struct Context(Mutex<Membership>);

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Revoke(_)) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).revoked = true;
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            // once an assignment: it takes up to 280 µs, and is blanked when membership is lost
            let mut membership = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            membership.partitions = list.count();
            membership.metadata = consumer.group_metadata().map(Arc::new);
        }
    }
}

impl Loop {
    /// # Errors
    /// When the brokers do not answer, a transaction fails, or another member joins the group: this
    /// is a measurement of one loop alone.
    pub fn run(&self) -> Result<Report, Failure> {
        let identity = format!("{}/floor/0", self.group);
        let mut config = reading(&self.place, &self.group, self.queued_kbytes);
        config
            .set("partition.assignment.strategy", "range")
            .set("group.instance.id", &identity)
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "1000")
            .set("max.poll.interval.ms", "60000")
            .set("enable.partition.eof", if self.until_end { "true" } else { "false" });
        set_all(&mut config, &self.consumer)?;
        let consumer: BaseConsumer<Context> = config.create_with_context(Context::default())?;
        let inputs = named(&self.place, &INPUTS);
        consumer.subscribe(&inputs.iter().map(String::as_str).collect::<Vec<_>>())?;
        let committer = Committer::start(&self.place, &identity, &self.producer)?;
        let template = match self.form {
            Form::PassThrough => None,
            Form::SameOutput => self.template.as_deref().map(Template::read).transpose()?,
        };
        Turn {
            options: self,
            consumer: &consumer,
            inputs,
            committer,
            template,
            batch: Batch::default(),
            spare: Some(Batch::default()),
            metadata: None,
            partitions: usize::MAX,
            ended: 0,
            submitted: Instant::now(),
            last_topic: 0,
            now_ms: time::now_ms(),
            first: None,
            taken: 0,
            written: (0, 0),
        }
        .turn()
    }
}

struct Turn<'a> {
    options: &'a Loop,
    consumer: &'a BaseConsumer<Context>,
    inputs: Vec<String>,
    committer: Committer,
    template: Option<Template>,
    batch: Batch,
    /// the batch that is not under way
    spare: Option<Batch>,
    metadata: Option<Arc<ConsumerGroupMetadata>>,
    partitions: usize,
    /// inputs taken up to their end
    ended: usize,
    submitted: Instant,
    last_topic: usize,
    now_ms: i64,
    first: Option<Instant>,
    taken: u64,
    written: (u64, u64),
}

impl Turn<'_> {
    fn turn(mut self) -> Result<Report, Failure> {
        let mut strides = 0;
        while self.ended < self.partitions || self.batch.taken > 0 || self.committer.is_busy() {
            // whatever is there is taken without a wait; a wait, however it ends, is followed by a
            // look at the clock, or a trickle of records would put a commit off
            let wait = if strides == 0 { self.patience() } else { Duration::ZERO };
            let polled = self.consumer.poll(wait);
            strides += 1;
            let idle = polled.is_none();
            match polled {
                Some(Ok(message)) => self.take(&message)?,
                Some(Err(KafkaError::PartitionEOF(_))) => self.ended += 1,
                Some(Err(error)) => check(error)?,
                None => {}
            }
            if idle || strides >= STRIDE || self.is_full() {
                strides = 0;
                self.tend()?;
            }
        }
        Ok(self.report())
    }

    /// How long a poll may take: whole milliseconds, for librdkafka knows no less.
    fn patience(&self) -> Duration {
        if self.batch.taken == 0 {
            return if self.committer.is_busy() { NAP } else { POLL };
        }
        if self.committer.is_busy() {
            return NAP;
        }
        let interval = Duration::from_millis(self.options.commit_interval_ms);
        interval.saturating_sub(self.submitted.elapsed()).max(Duration::from_millis(1))
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Failure> {
        let name = message.topic();
        if self.inputs[self.last_topic] != name {
            let found = self.inputs.iter().position(|input| input == name);
            self.last_topic = found.ok_or_else(|| format!("a record of topic {name}"))?;
        }
        let (topic, partition) = (self.last_topic, message.partition());
        self.batch.take(topic, partition, message.offset());
        let payload = message.payload().unwrap_or_default();
        match &mut self.template {
            None => {
                let key = message.key().unwrap_or_default();
                self.batch.push(DECISIONS, partition, self.now_ms, key, payload);
            }
            Some(template) => {
                for (index, output) in template.next(topic).enumerate() {
                    let written = self.batch.push(
                        output.topic,
                        partition,
                        self.now_ms,
                        output.key,
                        output.payload,
                    );
                    if index == 0 {
                        let head = HEAD.min(payload.len()).min(written.len());
                        written[..head].copy_from_slice(&payload[..head]);
                    }
                }
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.batch.taken >= self.options.batch_records_max
            || self.batch.bytes() >= self.options.batch_bytes_max
    }

    /// Commits what is due, and waits where there is nothing else to be done.
    fn tend(&mut self) -> Result<(), Failure> {
        self.now_ms = time::now_ms();
        self.check_membership()?;
        if let Some(batch) = self.committer.wait(Duration::ZERO)? {
            self.spare = Some(batch);
        }
        if self.committer.is_busy() && self.is_full() {
            match self.committer.wait(COMMIT)? {
                Some(batch) => self.spare = Some(batch),
                // a call of librdkafka may hang for ever, and dropping its client with it
                None => {
                    eprintln!("weir-floor: a commit took longer than {COMMIT:?}");
                    std::process::exit(1);
                }
            }
        }
        let interval = Duration::from_millis(self.options.commit_interval_ms);
        let due = self.submitted.elapsed() >= interval || self.is_full();
        if due && !self.committer.is_busy() && self.batch.taken > 0 {
            self.submit()?;
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<(), Failure> {
        let metadata = self.metadata.clone().ok_or("records without an assignment")?;
        if let Some(template) = &mut self.template {
            template.seal(&mut self.batch, self.now_ms);
        }
        self.first.get_or_insert_with(Instant::now);
        self.taken += self.batch.taken as u64;
        self.written.0 += self.batch.len() as u64;
        self.written.1 += self.batch.bytes() as u64;
        let batch = std::mem::replace(&mut self.batch, self.spare.take().unwrap_or_default());
        self.submitted = Instant::now();
        self.committer.submit(batch, metadata)
    }

    fn check_membership(&mut self) -> Result<(), Failure> {
        let context = self.consumer.context();
        let mut membership = context.0.lock().unwrap_or_else(PoisonError::into_inner);
        if membership.revoked {
            return Err("the group was rebalanced: nobody else may join it".into());
        }
        if let Some(metadata) = membership.metadata.take() {
            self.metadata = Some(metadata);
            if self.options.until_end {
                self.partitions = membership.partitions;
            }
        }
        Ok(())
    }

    fn report(self) -> Report {
        let took = self.committer.took;
        let seconds = self.first.map_or(0.0, |first| first.elapsed().as_secs_f64());
        let per_commit = |took: Duration, commits: u64| {
            rounded(took.as_secs_f64() * 1e3 / commits.max(1) as f64, 3)
        };
        Report::default()
            .with("records_in", self.taken)
            .with("records_out", self.written.0)
            .with("bytes_out", self.written.1)
            .with("seconds", rounded(seconds, 3))
            .with("commits", took.commits)
            .with("send_ms_per_commit", per_commit(took.send, took.commits))
            .with("drain_ms_per_commit", per_commit(took.drain, took.commits))
            .with("offsets_ms_per_commit", per_commit(took.offsets, took.commits))
            .with("commit_ms_per_commit", per_commit(took.commit, took.commits))
    }
}

/// Whether an error of a poll passes by itself.
fn check(error: KafkaError) -> Result<(), Failure> {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::BrokerTransportFailure) => Ok(()),
        _ => Err(error.into()),
    }
}

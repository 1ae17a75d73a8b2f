//! Clients of the broker, with the settings that weir uses.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::{Failure, Place};

/// The longest any single call to the broker may take.
pub const CALL: Duration = Duration::from_secs(10);
/// The longest a drain or a commit may take.
pub const COMMIT: Duration = Duration::from_secs(30);

/// What every client begins with.
pub fn base(place: &Place) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &place.brokers)
        .set("client.id", "weir-floor")
        .set("socket.timeout.ms", "10000")
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "1000");
    config
}

/// A consumer of committed records. `group` is only joined by who subscribes.
pub fn reading(place: &Place, group: &str, queued_kbytes: u32) -> ClientConfig {
    let mut config = base(place);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "20")
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", queued_kbytes.to_string());
    config
}

/// A producer of large batches.
pub fn writing(place: &Place, linger_ms: u32) -> ClientConfig {
    let mut config = base(place);
    config
        .set("linger.ms", linger_ms.to_string())
        .set("compression.type", "lz4")
        // a back-off of 1 ms burns a core while a broker is slow
        .set("retry.backoff.ms", "20")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("delivery.report.only.error", "true");
    config
}

/// Counts records that were not delivered.
#[derive(Debug, Default)]
pub struct Undelivered(AtomicU64);

impl ClientContext for Undelivered {}

impl ProducerContext for Undelivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result
            && self.0.fetch_add(1, Ordering::Relaxed) == 0
        {
            eprintln!("weir-floor: a record was not delivered: {error}");
        }
    }
}

/// A producer that counts what it could not deliver.
pub type Writer = BaseProducer<Undelivered>;

/// Waits until everything sent is acknowledged, as `rd_kafka_flush` does it: asleep, woken at once,
/// without waiting for the linger time. rdkafka's own flush polls in steps of 100 ms.
///
/// # Errors
/// When it takes longer than [`COMMIT`], or a record could not be delivered.
pub fn drain(producer: &Writer) -> Result<(), Failure> {
    let deadline = Instant::now() + COMMIT;
    while !flush(producer, 50) {
        if Instant::now() > deadline {
            return Err(format!("records were not acknowledged within {COMMIT:?}").into());
        }
    }
    producer.poll(Duration::ZERO);
    match producer.context().0.load(Ordering::Relaxed) {
        0 => Ok(()),
        lost => Err(format!("{lost} records were not delivered").into()),
    }
}

/// Waits at most `wait_ms`; false if something is still under way.
#[allow(unsafe_code, reason = "rdkafka offers no flush that sleeps on librdkafka's own condition")]
pub fn flush(producer: &Writer, wait_ms: i32) -> bool {
    // SAFETY: the pointer is that of a live client, which `producer` keeps alive for the call, and
    // librdkafka's handles may be used from any thread
    let code = unsafe { rdkafka_sys::rd_kafka_flush(producer.client().native_ptr(), wait_ms) };
    code == rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Partitions of each topic.
///
/// # Errors
/// When the brokers do not answer or a topic is not there.
pub fn partitions(consumer: &BaseConsumer, topics: &[String]) -> Result<Vec<i32>, Failure> {
    let metadata = consumer.fetch_metadata(None, CALL)?;
    let counts: BTreeMap<&str, usize> =
        metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len())).collect();
    let count = |topic: &String| match counts.get(topic.as_str()) {
        Some(count) if *count > 0 => Ok(*count as i32),
        _ => Err(format!("there is no topic {topic}").into()),
    };
    topics.iter().map(count).collect()
}

/// First and next offset of partitions.
pub type Ends = BTreeMap<(String, i32), (i64, i64)>;

/// First and next offset of every partition of `topics`.
///
/// # Errors
/// As [`partitions`].
pub fn ends(consumer: &BaseConsumer, topics: &[String]) -> Result<Ends, Failure> {
    let mut ends = BTreeMap::new();
    for (topic, count) in topics.iter().zip(partitions(consumer, topics)?) {
        for partition in 0..count {
            let found = consumer.fetch_watermarks(topic, partition, CALL)?;
            ends.insert((topic.clone(), partition), found);
        }
    }
    Ok(ends)
}

/// Reads everything that is on `topics`.
///
/// # Errors
/// When the brokers do not answer, or the end is not reached within `deadline`.
pub fn read_all(
    place: &Place,
    topics: &[String],
    deadline: Duration,
    mut each: impl FnMut(&rdkafka::message::BorrowedMessage<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut config = reading(place, "weir-floor-reader", 65_536);
    config.set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for ((topic, partition), (low, high)) in ends(&consumer, topics)? {
        if low < high {
            let offset = rdkafka::Offset::Offset(low);
            list.add_partition_offset(&topic, partition, offset)?;
        }
    }
    consumer.assign(&list)?;
    let deadline = Instant::now() + deadline;
    let mut open = list.count();
    while open > 0 {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => each(&message)?,
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) => return Err(error.into()),
            None if Instant::now() > deadline => {
                return Err("the end was not reached in time".into());
            }
            None => {}
        }
    }
    Ok(())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future whose own deadline ends it: librdkafka's administrative calls.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}

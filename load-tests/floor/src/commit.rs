//! The thread that commits batch N while batch N + 1 is filled.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::producer::{BaseRecord, Producer};

use crate::batch::Batch;
use crate::client::{CALL, COMMIT, Undelivered, Writer, drain, writing};
use crate::topics::{INPUTS, OUTPUTS, named};
use crate::{Failure, Place};

/// Where the time of the commits went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Took {
    /// transactions
    pub commits: u64,
    /// handing records to librdkafka
    pub send: Duration,
    /// waiting for their acknowledgement
    pub drain: Duration,
    /// adding the positions
    pub offsets: Duration,
    /// ending the transaction
    pub commit: Duration,
}

/// Our end of the committer.
pub struct Committer {
    batches: SyncSender<(Batch, Arc<ConsumerGroupMetadata>)>,
    done: Receiver<Result<(Batch, Took), Failure>>,
    busy: bool,
    /// up to the last batch that came back
    pub took: Took,
}

impl Committer {
    /// Starts the thread once the producer has its identity.
    ///
    /// # Errors
    /// When the brokers do not answer.
    pub fn start(place: &Place, identity: &str, extra: &[String]) -> Result<Committer, Failure> {
        let mut config = writing(place, 2);
        config.set("transactional.id", identity).set("transaction.timeout.ms", "10000");
        set_all(&mut config, extra)?;
        let producer: Writer = config.create_with_context(Undelivered::default())?;
        producer.init_transactions(COMMIT)?;
        let (batches, queue) = sync_channel::<(Batch, Arc<ConsumerGroupMetadata>)>(1);
        let (report, done) = sync_channel(1);
        let (inputs, outputs) = (named(place, &INPUTS), named(place, &OUTPUTS));
        std::thread::Builder::new().name("commit".into()).spawn(move || {
            let mut took = Took::default();
            for (batch, metadata) in queue {
                let committed =
                    commit(&producer, &batch, &metadata, (&inputs, &outputs), &mut took);
                let failed = committed.is_err();
                if report.send(committed.map(|()| (batch, took))).is_err() || failed {
                    return;
                }
            }
        })?;
        Ok(Committer { batches, done, busy: false, took: Took::default() })
    }

    /// Whether a batch is under way.
    pub fn is_busy(&self) -> bool {
        self.busy
    }

    /// Hands a batch over; only while none is under way.
    ///
    /// # Errors
    /// When the thread has ended.
    pub fn submit(
        &mut self,
        batch: Batch,
        metadata: Arc<ConsumerGroupMetadata>,
    ) -> Result<(), Failure> {
        self.batches.try_send((batch, metadata)).map_err(|_| "the committer has ended")?;
        self.busy = true;
        Ok(())
    }

    /// The batch, emptied, if it was committed within `wait`.
    ///
    /// # Errors
    /// When the transaction failed: its outcome is not known, and this loop does not go on.
    pub fn wait(&mut self, wait: Duration) -> Result<Option<Batch>, Failure> {
        if !self.busy {
            return Ok(None);
        }
        match self.done.recv_timeout(wait) {
            Ok(done) => {
                self.busy = false;
                let (mut batch, took) = done?;
                self.took = took;
                batch.clear();
                Ok(Some(batch))
            }
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the committer has ended".into()),
        }
    }
}

/// Sets what was asked for on the command line.
///
/// # Errors
/// When it is not `name=value`.
pub fn set_all(config: &mut rdkafka::ClientConfig, settings: &[String]) -> Result<(), Failure> {
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            return Err(format!("{setting:?} is no setting, expected name=value").into());
        };
        config.set(name, value);
    }
    Ok(())
}

fn commit(
    producer: &Writer,
    batch: &Batch,
    metadata: &ConsumerGroupMetadata,
    (inputs, outputs): (&[String], &[String]),
    took: &mut Took,
) -> Result<(), Failure> {
    let begun = Instant::now();
    producer.begin_transaction()?;
    for (entry, key, payload) in batch.records() {
        let record = BaseRecord::to(&outputs[entry.topic])
            .partition(entry.partition)
            .timestamp(entry.timestamp)
            .key(key)
            .payload(payload);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    let sent = Instant::now();
    drain(producer)?;
    let drained = Instant::now();
    producer.send_offsets_to_transaction(&batch.positions(inputs)?, metadata, CALL)?;
    let positioned = Instant::now();
    producer.commit_transaction(COMMIT)?;
    took.commits += 1;
    took.send += sent - begun;
    took.drain += drained - sent;
    took.offsets += positioned - drained;
    took.commit += positioned.elapsed();
    Ok(())
}

//! One life of a worker: from an assignment to a drain, an end of the input, or a crash.
//!
//! ```text
//!  poll ─► lanes ─► merge ─► process ─► batch N+1 ─┐
//!                                                  ├─ when due and the committer is free
//!  committer: begin, send, positions, commit N  ◄──┘
//! ```
//!
//! A batch is committed as soon as the one before it is and the interval has passed, or when it is
//! full. Every wait has a deadline; any failure ends the life, and the next begins from what the log
//! says is committed.

mod ownership;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::committer::{Committed, Committer, Means};
use super::merge::{Lanes, Merge};
use super::poison::{PoisonGauge, TooMuchPoison};
use super::process::{Fate, ProcessError, Processor};
use super::report::Reporter;
use super::snapshots::{Loaded, Recorder, Turns};
use super::{Context, Gap, Settings};
use crate::codec::{EncodeError, RegistryError};
use crate::config::limits;
use crate::event::{Millis, Position, Topic};
use crate::log::{Consumer, LogError, Member, Membership, Polled, Record};
use crate::snapshot::SnapshotError;
use crate::telemetry::{Part, Stop};

/// Records processed between two looks at the clock.
const STRIDE: usize = 128;
/// Records whose accounts are fetched from memory together.
const GROUP: usize = 16;
/// How often a worker without partitions asks whether others are at the end.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long the committer is waited for where a batch is due and nothing else is to be done.
const COMMIT_NAP: Duration = Duration::from_millis(2);

/// How a life ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// a stop was wanted, and everything taken is committed
    Drained,
    /// every input was taken up to its end
    AtEnd,
}

/// How a life ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Crash {
    /// the log failed: start again
    #[error(transparent)]
    Log(#[from] LogError),
    /// a record panicked: start again and make it a dead letter
    #[error("{0}: decoding or scoring panicked")]
    Panicked(Position),
    /// an output does not fit its contract: a defect; start again
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// a record's schema cannot be had now: start again
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// a stop was wanted before the state was whole
    #[error("stopped before the state was restored")]
    Interrupted,
    /// snapshots cannot be had now: start again
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// the state would lack records: do not start again
    #[error(transparent)]
    StateGap(#[from] Gap),
    /// too much bad input: do not start again
    #[error(transparent)]
    Poison(#[from] TooMuchPoison),
}

impl Crash {
    /// Ends what must be whole or not be, where a stop is wanted.
    ///
    /// # Errors
    /// [`Crash::Interrupted`] where it is.
    pub fn if_stopped(stop: &Stop) -> Result<(), Crash> {
        match stop.is_stopped() {
            true => Err(Crash::Interrupted),
            false => Ok(()),
        }
    }
}

impl From<ProcessError> for Crash {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Panicked(position) => Crash::Panicked(position),
            ProcessError::Encode(error) => Crash::Encode(error),
            ProcessError::Registry(error) => Crash::Registry(error),
            ProcessError::Injected(error) => Crash::Log(error),
        }
    }
}

/// One life.
pub struct Life<'a> {
    context: &'a Context,
    settings: &'a Settings,
    part: &'a Part,
    /// records that panicked in earlier lives
    panicked: &'a HashSet<Position>,
    /// counts what is taken
    gauge: PoisonGauge,
    /// the same up to the last commit, for the next life
    settled: &'a mut PoisonGauge,
    /// the same up to the batch under way
    submitted: Option<PoisonGauge>,
    consumer: Box<dyn Consumer>,
    committer: Committer,
    processor: Processor,
    lanes: Lanes,
    membership: Membership,
    /// up to where each input of the partitions owned is committed
    positions: BTreeMap<(Topic, u32), i64>,
    /// up to where it was taken, the batch under way included
    taken: BTreeMap<(Topic, u32), i64>,
    /// makes snapshots, where there are any
    recorder: Option<Recorder>,
    /// partitions that were given up, with what was committed of them then: their state is kept
    /// until the next assignment, because they often come back
    kept: HashMap<u32, Vec<Position>>,
    batch: Batch,
    last_commit: Instant,
    fetched: Vec<Record>,
    /// when the log was last asked whether others have taken all input
    asked: Instant,
    turns: Turns,
    /// whether no record could be taken when one was last asked for
    starved: bool,
    reporter: Reporter,
}

impl<'a> Life<'a> {
    /// Joins the group.
    ///
    /// # Errors
    /// When the log cannot be reached.
    pub fn begin(
        context: &'a Context,
        settings: &'a Settings,
        index: u32,
        part: &'a Part,
        panicked: &'a HashSet<Position>,
        settled: &'a mut PoisonGauge,
        processor: Processor,
    ) -> Result<Life<'a>, LogError> {
        let member =
            Member { group: settings.group.clone(), index, count: settings.workers.max(1) };
        let consumer = context.log.consumer(&member, &Topic::READ)?;
        // the producer comes before any committed position is read: it ends what an earlier life
        // has left open
        let means = Means {
            exactly_once: settings.exactly_once,
            transaction_timeout: settings.transaction_timeout,
            watched: context.watchdog.watch(),
        };
        let committer = Committer::start(context.log.as_ref(), &member, means)?;
        let recorder = context.snapshots.recorder(processor.feature_set(), context, index)?;
        Ok(Life {
            context,
            settings,
            part,
            panicked,
            gauge: settled.clone(),
            settled,
            submitted: None,
            consumer,
            committer,
            processor,
            lanes: Lanes::new(settings.merge),
            membership: Membership::default(),
            positions: BTreeMap::new(),
            taken: BTreeMap::new(),
            recorder,
            kept: HashMap::new(),
            batch: Batch::default(),
            last_commit: Instant::now(),
            fetched: Vec::new(),
            asked: Instant::now(),
            turns: Turns::begin(),
            starved: true,
            reporter: Reporter::new(context.progress.clone(), index),
        })
    }

    /// Lives until a stop is wanted, the input ends, or something fails.
    ///
    /// # Errors
    /// See [`Crash`].
    pub fn run(&mut self) -> Result<Ended, Crash> {
        loop {
            let ended = match () {
                () if self.context.stop.is_stopped() => Some(Ended::Drained),
                () if self.settings.until_end && self.at_end()? && self.due().is_empty() => {
                    Some(Ended::AtEnd)
                }
                () => None,
            };
            if let Some(ended) = ended {
                self.drain()?;
                if ended == Ended::AtEnd {
                    self.read_back()?;
                }
                if let Some(recorder) = &mut self.recorder {
                    let deadline = Instant::now() + limits().drain_deadline;
                    recorder.finish(&mut self.processor, &self.taken, deadline)?;
                }
                return Ok(ended);
            }
            // with plenty at hand nothing is fetched: a lane that overflows throws away what its
            // client has fetched ahead
            if self.starved || self.lanes.buffered() < limits().lane_records_resume {
                match self.consumer.poll(self.poll_wait(), &mut self.fetched)? {
                    Polled::Records => self.queue()?,
                    Polled::Assigned(partitions) => self.assigned(&partitions)?,
                    Polled::Revoked { partitions, lost } => self.revoked(&partitions, lost)?,
                }
            }
            self.process_some()?;
            self.fire()?;
            self.commit_if_due()?;
            match &mut self.recorder {
                Some(recorder) if self.batch.is_empty() => {
                    recorder.look(&mut self.processor, &self.taken)?;
                }
                Some(_) => {}
                None => self.turns.look(|| self.processor.expire_next()),
            }
            self.reporter.look(self.processor.states(), self.lanes.buffered());
        }
    }

    /// Whether all input was taken: of the partitions owned, or, where there are none, by whoever
    /// owns them.
    fn at_end(&mut self) -> Result<bool, LogError> {
        if !self.lanes.is_empty() {
            return Ok(self.lanes.at_end());
        }
        if self.asked.elapsed() < ASK_EVERY {
            return Ok(false);
        }
        self.asked = Instant::now();
        self.context.log.caught_up(&self.settings.group, &Topic::INPUTS)
    }

    /// How long there is nothing to do but to wait for records.
    fn poll_wait(&self) -> Duration {
        if !self.starved {
            return Duration::ZERO;
        }
        if let Merge::Live { wait } = self.settings.merge
            && self.lanes.buffered() > 0
        {
            // records wait for an empty input: look again before their patience ends
            return wait.min(Duration::from_millis(5));
        }
        if self.batch.is_empty() {
            return limits().poll_wait;
        }
        self.settings.commit_interval.saturating_sub(self.last_commit.elapsed())
    }

    fn queue(&mut self) -> Result<(), RegistryError> {
        for record in self.fetched.drain(..) {
            if record.position.topic == Topic::Escalations {
                // one of a partition that was given up meanwhile is its next owner's
                if self.lanes.has(record.position.partition) {
                    if self.processor.recall(&record, &Loaded::default())? {
                        self.batch.erased(record.position.topic);
                    }
                    self.batch.read_back(record.position);
                }
                continue;
            }
            let time = self.processor.event_time(&record)?;
            self.lanes.push(record, time);
        }
        let limits = limits();
        let consumer = &mut self.consumer;
        self.lanes.balance(
            limits.lane_records_max,
            limits.lane_records_resume,
            limits.lane_bytes_max,
            |topic, partition, paused| consumer.pause(topic, partition, paused),
        );
        Ok(())
    }

    fn process_some(&mut self) -> Result<(), Crash> {
        let now = Millis(self.context.clock.now_ms());
        let instant = Instant::now();
        self.processor.leave_out(self.context.pressure.left_out());
        if self.batch.is_empty() {
            self.renew();
        }
        self.starved = false;
        for _ in 0..STRIDE / GROUP {
            if self.starved || self.batch_is_full() {
                break;
            }
            let room = self.settings.batch_records_max - self.batch.taken;
            let lanes = &mut self.lanes;
            let group: Vec<(Millis, Record)> =
                std::iter::from_fn(|| lanes.next(instant)).take(GROUP.min(room)).collect();
            self.starved = group.len() < GROUP.min(room);
            let records = group.iter().map(|(_, record)| record);
            let panicked = self.panicked;
            let prepared = self.processor.prepare(records, |at| panicked.contains(&at));
            for ((time, record), prepared) in group.iter().zip(prepared) {
                let fate = self.processor.process(record, prepared, now, &mut self.batch)?;
                self.gauge.count(record.position, fate == Fate::Refused)?;
                self.reporter.took(record, *time);
            }
        }
        self.lanes.rotate();
        Ok(())
    }

    /// Takes up what decides from now on.
    pub(super) fn renew(&mut self) {
        let began = Instant::now();
        if let Some(version) = self.processor.renew() {
            self.reporter.renewed(version, began.elapsed());
        }
    }

    /// The partitions that have deadlines due.
    fn due(&self) -> Vec<u32> {
        let now = Millis(self.context.clock.now_ms());
        let states = self.processor.states().iter();
        let due =
            states.filter(|(partition, state)| self.lanes.has(**partition) && state.is_due(now));
        due.map(|(partition, _)| *partition).collect()
    }

    /// Fires deadlines that are due, in the transaction that says so.
    fn fire(&mut self) -> Result<(), Crash> {
        for partition in self.due() {
            if self.batch_is_full() {
                return Ok(());
            }
            let room = limits().deadlines_fired_max.saturating_sub(self.batch.deadlines());
            let now = Millis(self.context.clock.now_ms());
            let fired = self.processor.fire(partition, now, room, &mut self.batch)?;
            if fired > 0 {
                let topic = Topic::Disputes;
                let offset = self.taken.get(&(topic, partition)).copied().unwrap_or(0);
                self.batch.hold(Position { topic, partition, offset });
            }
        }
        Ok(())
    }

    fn batch_is_full(&self) -> bool {
        self.batch.taken >= self.settings.batch_records_max
            || self.batch.bytes() >= self.settings.batch_bytes_max
    }

    fn commit_if_due(&mut self) -> Result<(), Crash> {
        if let Some(committed) = self.committer.wait(Duration::ZERO)? {
            self.committed(&committed)?;
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let full = self.batch_is_full();
        let due = full || self.last_commit.elapsed() >= self.settings.commit_interval;
        if due && self.committer.is_busy() {
            // a full batch is the back-pressure: nothing more is taken until there is room
            let idle = self.starved;
            let nap = if full { limits().commit_deadline } else { COMMIT_NAP };
            if full || idle {
                match self.committer.wait(nap)? {
                    Some(committed) => self.committed(&committed)?,
                    None if full => return Err(commit_timeout(nap)),
                    None => {}
                }
            }
        }
        if due && !self.committer.is_busy() {
            self.submit()?;
        }
        Ok(())
    }

    fn submit(&mut self) -> Result<(), Crash> {
        let now = Millis(self.context.clock.now_ms());
        self.batch.seal(self.processor.encoder(), now)?;
        let mut batch = std::mem::take(&mut self.batch);
        for position in batch.positions() {
            self.taken.insert((position.topic, position.partition), position.offset);
        }
        if self.processor.profiles().1 {
            // nobody else writes touches here: where they will stand is known before they do
            for (partition, records) in std::mem::take(&mut batch.touch_records) {
                let next = self.taken.entry((Topic::Touches, partition)).or_default();
                *next += records;
                let stand = Position { topic: Topic::Touches, partition, offset: *next };
                batch.touched_up_to.push(stand);
            }
        }
        // each batch begins with what decides by then, whatever comes into it first
        self.renew();
        self.last_commit = Instant::now();
        self.submitted = Some(self.gauge.clone());
        self.committer.submit(batch, self.membership.clone())?;
        Ok(())
    }

    fn committed(&mut self, committed: &Committed) -> Result<(), LogError> {
        if !self.settings.exactly_once {
            // the outputs have arrived: should this fail, they are made again under the same ids
            self.consumer.commit(&committed.batch.positions())?;
        }
        self.settle(committed);
        Ok(())
    }

    /// Takes note of what is committed.
    fn settle(&mut self, committed: &Committed) {
        let positions = committed.batch.positions();
        for position in &positions {
            self.positions.insert((position.topic, position.partition), position.offset);
        }
        if let Some(recorder) = &self.recorder {
            recorder.committed(&positions);
            recorder.committed(&committed.batch.touched_up_to);
        }
        if let Some(gauge) = self.submitted.take() {
            *self.settled = gauge;
        }
        self.reporter.committed(committed, Millis(self.context.clock.now_ms()));
    }

    /// Commits everything taken. What waits in the lanes was not taken and is read again.
    fn drain(&mut self) -> Result<(), Crash> {
        let deadline = Instant::now() + limits().drain_deadline;
        while self.committer.is_busy() || !self.batch.is_empty() {
            if !self.committer.is_busy() {
                self.submit()?;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.committer.wait(left)? {
                Some(committed) => self.committed(&committed)?,
                None => return Err(commit_timeout(limits().drain_deadline)),
            }
        }
        Ok(())
    }

    /// Reads what was escalated last, so that a state at the end of the input is always the same.
    fn read_back(&mut self) -> Result<(), Crash> {
        let deadline = Instant::now() + limits().drain_deadline;
        let log = Arc::clone(&self.context.log);
        while Instant::now() < deadline
            && !log.caught_up(&self.settings.group, &[Topic::Escalations])?
        {
            if let Polled::Revoked { partitions, lost } =
                self.consumer.poll(limits().poll_wait, &mut self.fetched)?
            {
                return self.revoked(&partitions, lost);
            }
            self.queue()?;
            self.drain()?;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Life<'_> {
    /// Hashes of everything that is remembered.
    pub fn state_hashes(&self) -> super::process::StateHashes {
        self.processor.state_hashes()
    }
}

fn commit_timeout(after: Duration) -> Crash {
    Crash::Log(LogError::Timeout { doing: "committing a batch", after })
}

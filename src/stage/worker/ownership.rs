//! What a worker does when partitions come and go: their state is kept or restored before the first
//! record of them is polled, and everything taken of them is committed before they are given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;

use super::{Batch, Crash, Life, commit_timeout};
use crate::config::limits;
use crate::event::{Position, Topic};
use crate::log::faults::Step;
use crate::log::{LogError, Reader};
use crate::snapshot::Series;
use crate::stage::gap::Gap;
use crate::stage::merge::Merge;
use crate::stage::process::Processor;
use crate::stage::restore::{Restorer, restore, restore_fired, restore_profiles};
use crate::telemetry::metric;

/// How often a worker looks whether the profiles, or what decides, are there.
const HEARD_EVERY: Duration = Duration::from_millis(100);

impl Life<'_> {
    /// Takes partitions over: their state is kept or restored before the first record is polled.
    pub(super) fn assigned(&mut self, partitions: &[u32]) -> Result<(), Crash> {
        let started = Instant::now();
        self.membership = self.consumer.membership();
        let wanted: Vec<(Topic, u32)> = partitions
            .iter()
            .flat_map(|partition| Topic::READ.map(|topic| (topic, *partition)))
            .collect();
        let mut starts = self.context.log.resume_all(&self.settings.group, &wanted)?;
        self.check_history(&wanted, &mut starts)?;
        let ends = self.ends(&wanted)?;
        let mut reader = None;
        self.wait_for_control()?;
        // what is open was begun by what decided before
        self.drain()?;
        self.renew();
        self.restore_profiles(&mut reader)?;
        for partition in partitions.iter().copied() {
            let of = |position: &&Position| position.partition == partition;
            let committed: Vec<Position> = starts.iter().filter(of).copied().collect();
            if self.kept.remove(&partition).as_ref() == Some(&committed) {
                tracing::info!(partition, "partition came back, its state was kept");
                if let Some(standby) = &self.context.standby {
                    standby.owned(partition, true);
                }
            } else {
                self.restore(partition, &committed, &mut reader)?;
            }
            // also where the state was kept: another owner may have fired and read nothing
            self.with_restorer(&mut reader, |means, processor| {
                restore_fired(means, partition, processor)
            })?;
            let mut inputs = Vec::new();
            for (start, end) in starts.iter().zip(&ends).filter(|(start, _)| of(start)) {
                if start.topic != Topic::Escalations {
                    inputs.push((start.topic, start.offset, *end));
                }
                self.positions.insert((start.topic, partition), start.offset);
                self.taken.insert((start.topic, partition), start.offset);
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.assigned(&mut self.processor, Series::Partition(partition), &committed);
            }
            self.lanes.add(partition, &inputs);
        }
        // what did not come back is somebody else's
        for (partition, _) in self.kept.drain() {
            self.processor.forget(partition);
        }
        self.consumer.start(&starts)?;
        let inputs: Vec<Position> =
            starts.iter().filter(|start| start.topic != Topic::Escalations).copied().collect();
        self.reporter.assigned(&inputs, started.elapsed());
        self.part.ready();
        Ok(())
    }

    /// Where the inputs end. To the record where that decides how a run goes: marks of transactions
    /// at an end are never delivered.
    fn ends(&self, wanted: &[(Topic, u32)]) -> Result<Vec<i64>, LogError> {
        let log = &self.context.log;
        let exact = self.settings.until_end || self.settings.merge == Merge::Strict;
        let ends = log.ends(wanted)?;
        if !exact {
            return Ok(ends);
        }
        let end = |((topic, partition), end): (&(Topic, u32), i64)| match end {
            0 => Ok(0),
            _ => log.record_end(*topic, *partition),
        };
        wanted.iter().zip(ends).map(end).collect()
    }

    /// The log must reach back to where each input goes on. Records that were never decided about
    /// and are gone are a gap that somebody must accept; then it goes on with the oldest.
    fn check_history(
        &mut self,
        wanted: &[(Topic, u32)],
        starts: &mut [Position],
    ) -> Result<(), Crash> {
        let beginnings = self.context.log.beginnings(wanted)?;
        for (start, beginning) in starts.iter_mut().zip(beginnings) {
            if beginning > start.offset {
                let missing = u64::try_from(beginning - start.offset).unwrap_or(0);
                tracing::error!(position = %start, beginning, missing, "the log does not reach back");
                self.miss(Gap::Trimmed { needed: *start, beginning })?;
                start.offset = beginning;
            } else if beginning > 0 {
                tracing::info!(topic = %start.topic, partition = start.partition, beginning,
                    "the history begins late: state knows nothing of what was before");
            }
        }
        Ok(())
    }

    /// What entities were touched by is known before the first record, where this worker keeps it.
    fn restore_profiles(&mut self, reader: &mut Option<Box<dyn Reader>>) -> Result<(), Crash> {
        if !self.processor.profiles().1 {
            return self.wait_for_profiles();
        }
        self.part.not_ready("restoring profiles");
        let partitions = self.context.log.partitions(Topic::Transactions)?;
        let ends = self.with_restorer(reader, |means, processor| {
            restore_profiles(means, partitions, processor)
        })?;
        for end in &ends {
            self.taken.insert((end.topic, end.partition), end.offset);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.assigned(&mut self.processor, Series::Profiles, &ends);
        }
        Ok(())
    }

    /// Where somebody else keeps the profiles, nothing is decided before what was touched until now is in
    /// them.
    fn wait_for_profiles(&mut self) -> Result<(), Crash> {
        let profiles = Arc::clone(self.processor.profiles().0);
        if !self.context.features.has_profiles() {
            return Ok(());
        }
        self.wait_until("profiles are being read", || profiles.heard_until().is_some())
    }

    /// Nothing is decided by less than what the owner before may have decided by: whatever that had taken
    /// up is on the log by now.
    fn wait_for_control(&mut self) -> Result<(), Crash> {
        let switch = self.context.switch.clone();
        if switch.is_fixed() {
            return Ok(());
        }
        let end = self.context.log.record_end(Topic::Control, 0)?;
        self.wait_until("changes of what decides are being read", || switch.version() >= end)
    }

    /// Waits for what another thread of the process does, and says meanwhile what that is.
    fn wait_until(&mut self, what: &str, is_done: impl Fn() -> bool) -> Result<(), Crash> {
        while !is_done() {
            self.part.not_ready(what);
            if self.context.stop.wait(HEARD_EVERY) {
                return Err(Crash::Interrupted);
            }
            self.consumer.keep_alive()?;
        }
        Ok(())
    }

    fn with_restorer<T>(
        &mut self,
        reader: &mut Option<Box<dyn Reader>>,
        work: impl FnOnce(&mut Restorer<'_>, &mut Processor) -> Result<T, Crash>,
    ) -> Result<T, Crash> {
        self.context.faults.pass(Step::Restore)?;
        let log = self.context.log.as_ref();
        let reader = match reader {
            Some(reader) => reader,
            None => reader.insert(log.reader()?),
        };
        let consumer = &mut self.consumer;
        let mut means = Restorer {
            log,
            reader: reader.as_mut(),
            vault: self.context.snapshots.vault(),
            part: self.part,
            stop: &self.context.stop,
            alive: &mut || consumer.keep_alive(),
        };
        work(&mut means, &mut self.processor)
    }

    fn restore(
        &mut self,
        partition: u32,
        committed: &[Position],
        reader: &mut Option<Box<dyn Reader>>,
    ) -> Result<(), Crash> {
        self.part.not_ready(format!("restoring partition {partition}"));
        let (standby, consumer) = (self.context.standby.as_ref(), &mut self.consumer);
        let head_start = match standby {
            Some(standby) => {
                let alive = || consumer.keep_alive();
                let (stop, processor) = (&self.context.stop, &mut self.processor);
                standby.take(partition, committed, processor, stop, alive)?
            }
            None => None,
        };
        let is_warm = head_start.is_some();
        let restored = self.with_restorer(reader, |means, processor| {
            restore(means, partition, committed, processor, head_start)
        });
        let restored = match restored {
            Err(Crash::StateGap(gap @ Gap::Repartitioned { .. })) => {
                self.miss(gap)?;
                tracing::error!(partition, "its snapshots are passed over, the log alone is read");
                self.with_restorer(reader, |means, processor| {
                    means.vault = None;
                    restore(means, partition, committed, processor, None)
                })?
            }
            restored => restored?,
        };
        tracing::info!(
            partition,
            applied = restored.applied,
            skipped = restored.skipped,
            unreadable = restored.unreadable,
            is_warm,
            "partition restored"
        );
        counter!(metric::RESTORED).increment(restored.applied);
        if let Some((needed, beginning)) = restored.trimmed {
            self.miss(Gap::Trimmed { needed, beginning })?;
        }
        if restored.unreadable > 0 {
            self.miss(Gap::Unreadable { partition, records: restored.unreadable })?;
        }
        Ok(())
    }

    /// Something is missing from the state: the end, or what every decision says from now on.
    fn miss(&mut self, gap: Gap) -> Result<(), Crash> {
        if !self.settings.accept_state_gap {
            return Err(gap.into());
        }
        self.processor.degrade("state_gap");
        Ok(())
    }

    /// Gives partitions up: everything taken of them is committed first, where that can still be
    /// done.
    pub(super) fn revoked(&mut self, partitions: &[u32], lost: bool) -> Result<(), Crash> {
        if !lost {
            self.drain()?;
        }
        self.consumer.release();
        for partition in partitions.iter().copied() {
            self.lanes.remove(partition);
            self.taken.retain(|(_, of), _| *of != partition);
            if let Some(recorder) = &mut self.recorder {
                recorder.revoked(Series::Partition(partition))?;
            }
            self.reporter.revoked(partition);
            if let Some(standby) = &self.context.standby {
                standby.owned(partition, false);
            }
            let positions: Vec<Position> = Topic::READ
                .iter()
                .filter_map(|topic| {
                    let offset = self.positions.remove(&(*topic, partition))?;
                    Some(Position { topic: *topic, partition, offset })
                })
                .collect();
            if lost {
                self.processor.forget(partition);
            } else {
                self.kept.insert(partition, positions);
            }
        }
        if lost {
            self.lost()?;
        }
        if self.lanes.is_empty() {
            self.part.not_ready("no partitions assigned");
        }
        Ok(())
    }

    /// Somebody else may follow what this life had.
    pub fn leave(&self) {
        if let Some(standby) = &self.context.standby {
            self.taken.keys().for_each(|(_, partition)| standby.owned(*partition, false));
        }
    }

    /// The partitions went before what was taken of them was committed: it is taken again by
    /// whoever has them now.
    fn lost(&mut self) -> Result<(), Crash> {
        tracing::warn!(taken = self.batch.taken, "partitions were lost, the batch is dropped");
        self.batch = Batch::default();
        self.reporter.dropped();
        self.gauge = self.settled.clone();
        if self.committer.is_busy() {
            // refused most likely, and then this life ends
            match self.committer.wait(limits().commit_deadline)? {
                // positions of what is somebody else's by now are not ours to commit
                Some(committed) => self.settle(&committed),
                None => return Err(commit_timeout(limits().commit_deadline)),
            }
        }
        match self.lanes.is_empty() {
            true => Ok(()),
            // the batch held records of others too, which their state has seen already
            false => Err(Crash::Log(LogError::Kafka {
                doing: "go on after partitions were lost",
                reason: "a part of them is still ours".to_owned(),
            })),
        }
    }
}

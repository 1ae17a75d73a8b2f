//! What every process hears, whichever partitions it owns: touches of all partitions.
//!
//! They are read without a group, each process for itself, from their beginning: a process knows every
//! entity before it is ready. Where a worker keeps the profiles by itself, touches are read from now on
//! only, to be counted. How old a touch is when it gets here is measured, and until when all of them have
//! been heard.

mod heard;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use heard::Heard;
use metrics::{counter, histogram};

use super::process::read_own;
use super::snapshots::{self, Loaded, Recorder, SnapshotPlan, Table, Turns};
use super::worker::Crash;
use crate::codec::Contract;
use crate::config::limits;
use crate::event::{Position, Topic, Touch};
use crate::log::{Log, LogError, Record, Restarts, every_partition};
use crate::snapshot::Series;
use crate::telemetry::{Clock, Part, Stop, metric};

/// Starts to listen, until a stop is wanted.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    log: Arc<dyn Log>,
    clock: Clock,
    table: Option<Table>,
    plan: SnapshotPlan,
    part: Part,
    stop: Stop,
) -> std::io::Result<JoinHandle<()>> {
    let heard = table.as_ref().map(|table| Heard::new(Arc::clone(&table.profiles)));
    let asking = match &heard {
        Some(heard) => Some(heard.clone().ask(Arc::clone(&log), clock.clone(), stop.clone())?),
        None => None,
    };
    std::thread::Builder::new().name("weir-listen".into()).spawn(move || {
        let mut listener = Listener {
            heard,
            clock,
            table,
            part: part.clone(),
            at: Vec::new(),
            behind: None,
            loaded: Loaded::default(),
            plan,
            recorder: None,
            turns: Turns::begin(),
        };
        let listen = || listener.listen(log.as_ref(), &stop);
        Restarts::live("listen", &stop, listen, |error, pause| {
            part.not_ready(error.to_string());
            tracing::warn!(%error, ?pause, "touches are not heard, listening again");
        });
        if let Some(asking) = asking {
            let _ = asking.join();
        }
    })
}

struct Listener {
    /// until when the table has heard everything
    heard: Option<Heard>,
    clock: Clock,
    table: Option<Table>,
    part: Part,
    /// what is heard next
    at: Vec<Position>,
    /// where each partition of touches ended at the start, until all of it is heard
    behind: Option<Vec<Position>>,
    /// the snapshot it began with
    loaded: Loaded,
    plan: SnapshotPlan,
    recorder: Option<Recorder>,
    turns: Turns,
}

impl Listener {
    /// Where listening begins, and what must be heard before the process is ready.
    fn begin(&mut self, log: &dyn Log, stop: &Stop) -> Result<(), Crash> {
        let now_ms = self.clock.now_ms();
        let touches = every_partition(log, &[Topic::Touches])?;
        let ends = log.ends(&touches)?;
        let mut first = match self.table {
            Some(_) => log.beginnings(&touches)?,
            None => ends.clone(),
        };
        let position = |((topic, partition), offset): (&(Topic, u32), i64)| Position {
            topic: *topic,
            partition: *partition,
            offset,
        };
        let ended: Vec<Position> = touches.iter().zip(ends).map(position).collect();
        if let Some(table) = &mut self.table {
            table.profiles.clear();
            self.loaded = Loaded::default();
            if let Some(vault) = self.plan.vault() {
                let mut between = || Crash::if_stopped(stop);
                let partitions = log.partitions(Topic::Transactions)?;
                let series = Series::Profiles;
                let loaded =
                    snapshots::load(vault, series, partitions, &ended, table, &mut between)?;
                let is_from_snapshot = loaded.is_some();
                self.loaded = loaded.unwrap_or_default();
                for ((topic, partition), first) in touches.iter().zip(&mut first) {
                    let begin = self.loaded.begin(*topic, *partition);
                    if is_from_snapshot && begin < *first {
                        tracing::error!(%topic, partition, begin, beginning = *first,
                            "touches do not reach back to the snapshot: profiles lack some");
                    }
                    *first = (*first).max(begin);
                }
            }
            let feature_set = table.set.hash().to_owned();
            self.recorder = self.plan.recorder_of(&feature_set, &self.clock, "profiles")?;
            if let Some(recorder) = &mut self.recorder {
                recorder.assigned(table, Series::Profiles, &ended);
            }
        }
        if let Some(heard) = &self.heard {
            heard.begin(&first, now_ms);
        }
        self.at = touches.iter().zip(first).map(position).collect();
        self.behind = Some(ended);
        Ok(())
    }

    fn listen(&mut self, log: &dyn Log, stop: &Stop) -> Result<(), Crash> {
        if self.at.is_empty() {
            self.begin(log, stop)?;
        }
        let mut follower = log.follow(&self.at)?;
        if self.behind.is_none() {
            self.part.ready();
        }
        let mut records = Vec::new();
        while !stop.is_stopped() {
            self.tell(log)?;
            follower.poll(limits().poll_wait, &mut records)?;
            for record in records.drain(..) {
                self.hear(&record)?;
                counter!(metric::HEARD, "topic" => record.position.topic.name()).increment(1);
                let Position { topic, partition, offset } = record.position;
                let same =
                    |known: &&mut Position| (known.topic, known.partition) == (topic, partition);
                if let Some(known) = self.at.iter_mut().find(same) {
                    known.offset = offset + 1;
                }
            }
            self.record()?;
        }
        Ok(())
    }

    /// Captures what is due: everything heard is committed. Where nothing is captured, forgets what is
    /// past.
    fn record(&mut self) -> Result<(), LogError> {
        match (&mut self.recorder, &mut self.table) {
            (Some(recorder), Some(table)) => {
                recorder.committed(&self.at);
                let key =
                    |position: &Position| ((position.topic, position.partition), position.offset);
                recorder.look(table, &self.at.iter().map(key).collect())
            }
            (None, Some(table)) => {
                self.turns.look(|| table.profiles.expire_next(&table.set));
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    /// Says whether everything that was there at the start has been heard.
    fn tell(&mut self, log: &dyn Log) -> Result<(), LogError> {
        let Some(behind) = &mut self.behind else { return Ok(()) };
        if self.table.is_some() {
            let at = &self.at;
            let mut left = Vec::new();
            for end in behind.iter() {
                let same = |p: &&Position| (p.topic, p.partition) == (end.topic, end.partition);
                let heard = at.iter().find(same).map_or(0, |position| position.offset);
                // marks of transactions at an end are never heard
                if heard < end.offset && heard < log.record_end(end.topic, end.partition)? {
                    left.push(*end);
                }
            }
            *behind = left;
            if !behind.is_empty() {
                let why = format!("profiles are read from {} partitions", behind.len());
                self.part.not_ready(why);
                return Ok(());
            }
        }
        self.behind = None;
        if let Some(heard) = &self.heard {
            heard.complete();
        }
        self.part.ready();
        Ok(())
    }

    /// Takes up what a record says.
    ///
    /// # Errors
    /// When its schema cannot be had now: it is heard again, since profiles would lack it for good.
    fn hear(&self, record: &Record) -> Result<(), Crash> {
        let position = record.position;
        let touch = read_own::<Touch<'_>>(record, Contract::Touch)?;
        let age = u64::try_from(self.clock.now_ms() - record.timestamp_ms).unwrap_or(0);
        histogram!(metric::TOUCH_AGE_SECONDS).record(Duration::from_millis(age).as_secs_f64());
        if let Some(touch) = &touch {
            counter!(metric::TOUCHED).increment(touch.events.len() as u64);
            if let Some(Table { set, profiles }) = &self.table {
                let has_seen = |id| self.loaded.has_seen(id, position);
                touch.events.iter().for_each(|event| profiles.apply(set, event, has_seen));
            }
        }
        if let Some(heard) = &self.heard {
            heard.touch(position, touch.map(|touch| touch.decided_until));
        }
        Ok(())
    }
}

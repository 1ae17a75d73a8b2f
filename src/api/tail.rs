//! Follows the outputs on a thread of its own, since a log's reader blocks.
//!
//! Every turn takes up all roll-ups, escalations and dead letters, which are few, and of the
//! decisions the newest that there is room for: where more are waiting it jumps ahead instead of
//! falling behind. What cannot be read now is tried again a second later, from the same place.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Api;
use super::feed::{Publisher, Shown};
use super::totals::{NotReady, Totals};
use super::view;
use crate::codec::{Contract, decode_own, erased_by};
use crate::event::{DeadLetter, Decision, Position, Rollup, Topic};
use crate::log::{Log, LogError, Reader, Record};
use crate::telemetry::{Clock, Health, Part, Stop};

/// How long a turn waits for a stop.
const TURN: Duration = Duration::from_millis(100);
/// How often totals are told.
const TELL: Duration = Duration::from_secs(1);
/// How often lag is measured, which asks the log once for each input partition.
const MEASURE: Duration = Duration::from_secs(5);
/// How long a log that failed is left alone.
const RETRY: Duration = Duration::from_secs(1);
/// Decisions read in one turn.
const CANDIDATES_MAX: usize = 200;
/// Decisions shown of one turn: about 200 a second, more than anybody reads.
const SHOWN_MAX: usize = 20;
/// Bytes read at once of one partition.
const READ_BYTES: usize = 1 << 20;

const FOLLOWED: [Topic; 4] =
    [Topic::Decisions, Topic::Rollups, Topic::Escalations, Topic::DeadLetters];

const _: () = assert!(SHOWN_MAX <= CANDIDATES_MAX);

/// The running thread. It ends with the process's stop, or within a turn once this is dropped.
pub(super) struct Tail {
    thread: JoinHandle<()>,
    _leash: Leash,
}

struct Leash(Arc<AtomicBool>);

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Tail {
    /// Starts to follow from where the log ends. The part is ready once that is known.
    pub(super) fn start(api: &Api, part: Part, publisher: Publisher) -> io::Result<Tail> {
        let dropped = Arc::new(AtomicBool::new(false));
        let mut follower = Follower {
            log: Arc::clone(&api.log),
            group: api.group.clone(),
            clock: api.clock.clone(),
            part,
            health: api.health.clone(),
            totals: Totals::new(api.clock.now_ms()),
            publisher,
            reader: None,
            next: BTreeMap::new(),
            records: Vec::new(),
        };
        let (stop, leash) = (api.stop.clone(), Leash(Arc::clone(&dropped)));
        let thread = std::thread::Builder::new()
            .name("weir-tail".to_owned())
            .spawn(move || follower.run(&stop, &dropped))?;
        Ok(Tail { thread, _leash: leash })
    }

    /// Waits for the end of the thread; the error is its panic.
    pub(super) fn join(self) -> std::thread::Result<()> {
        self.thread.join()
    }
}

struct Follower {
    log: Arc<dyn Log>,
    group: String,
    clock: Clock,
    part: Part,
    health: Health,
    totals: Totals,
    publisher: Publisher,
    /// `None` until it is opened, and after a failure
    reader: Option<Box<dyn Reader>>,
    next: BTreeMap<(Topic, u32), i64>,
    /// memory kept from turn to turn
    records: Vec<Record>,
}

/// Whether `every` has passed since `last`, which is then now.
fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|last| last.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}

impl Follower {
    fn run(&mut self, stop: &Stop, dropped: &AtomicBool) {
        let (mut told, mut measured, mut failed) = (None, None, None::<Instant>);
        loop {
            if failed.is_none_or(|failed| failed.elapsed() >= RETRY) {
                let turn = self.turn();
                failed = turn.is_err().then(Instant::now);
                self.report(turn);
            }
            if failed.is_none() && due(&mut measured, MEASURE) {
                self.totals.lag = self.lag().ok();
            }
            if due(&mut told, TELL) {
                self.tell();
            }
            if stop.wait(TURN) || dropped.load(Ordering::Relaxed) {
                self.part.not_ready("stopping");
                return;
            }
        }
    }

    /// Tells of trouble once, and of its end.
    fn report(&mut self, turn: Result<(), LogError>) {
        match turn {
            Ok(()) => {
                if self.totals.trouble.take().is_some() {
                    info!("the log can be followed again");
                }
                self.part.ready();
            }
            Err(error) => {
                self.reader = None;
                let why = format!("cannot follow the log: {error}");
                if self.totals.trouble.as_ref() != Some(&why) {
                    warn!(%error, "cannot follow the log");
                    self.part.not_ready(&why);
                    self.totals.trouble = Some(why);
                }
            }
        }
    }

    fn turn(&mut self) -> Result<(), LogError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.open()?,
        };
        let now_ms = self.clock.now_ms();
        self.take_up(&mut *reader, Topic::Rollups, |totals, records| {
            for record in records {
                match decode_own::<Rollup>(Contract::Rollup, record.payload()) {
                    Ok(rollup) => totals.decided(&rollup, now_ms),
                    Err(_) => totals.unreadable += 1,
                }
            }
        })?;
        self.take_up(&mut *reader, Topic::Escalations, |totals, records| {
            let escalations = records.iter().filter(|record| erased_by(record).is_none());
            totals.escalations += escalations.count() as u64;
        })?;
        self.take_up(&mut *reader, Topic::DeadLetters, |totals, records| {
            totals.dead_letters += records.len() as u64;
            let last = records.last();
            let last = last.map(|r| decode_own::<DeadLetter>(Contract::DeadLetter, r.payload()));
            if let Some(Ok(last)) = last {
                totals.dead_letter_last = Some((last.stage, last.code));
            }
        })?;
        self.show(&mut *reader, now_ms)?;
        self.reader = Some(reader);
        Ok(())
    }

    /// A reader, and where to go on from: where it was left, unless the log no longer reaches back
    /// to there; at first where the log ends.
    fn open(&mut self) -> Result<Box<dyn Reader>, LogError> {
        let reader = self.log.reader()?;
        for topic in FOLLOWED {
            for partition in 0..self.log.partitions(topic)? {
                let next = match self.next.get(&(topic, partition)) {
                    Some(next) => (*next).max(self.log.beginning(topic, partition)?),
                    None => self.log.end(topic, partition)?,
                };
                self.next.insert((topic, partition), next);
            }
        }
        Ok(reader)
    }

    /// Where each partition of a topic goes on, and where it ends now, if there is something.
    fn waiting(&self, topic: Topic) -> Result<Vec<(Position, i64)>, LogError> {
        let mut waiting = Vec::new();
        for ((_, partition), offset) in self.next.range((topic, 0)..=(topic, u32::MAX)) {
            let end = self.log.end(topic, *partition)?;
            if end > *offset {
                let from = Position { topic, partition: *partition, offset: *offset };
                waiting.push((from, end));
            }
        }
        Ok(waiting)
    }

    /// Takes up every record of a topic, one read a partition and turn.
    fn take_up(
        &mut self,
        reader: &mut dyn Reader,
        topic: Topic,
        mut take: impl FnMut(&mut Totals, &[Record]),
    ) -> Result<(), LogError> {
        for (from, end) in self.waiting(topic)? {
            self.records.clear();
            let next = reader.read(from, end, READ_BYTES, &mut self.records)?;
            take(&mut self.totals, &self.records);
            self.next.insert((topic, from.partition), next);
        }
        self.records.clear();
        Ok(())
    }

    /// Shows the newest decisions.
    fn show(&mut self, reader: &mut dyn Reader, now_ms: i64) -> Result<(), LogError> {
        let waiting = self.waiting(Topic::Decisions)?;
        let share = (CANDIDATES_MAX / waiting.len().max(1)).max(1);
        let share = i64::try_from(share).unwrap_or(i64::MAX);
        let mut records = std::mem::take(&mut self.records);
        for (mut from, end) in waiting {
            from.offset = from.offset.max(end - share);
            let next = reader.read(from, end, READ_BYTES, &mut records)?;
            self.next.insert((Topic::Decisions, from.partition), next);
        }
        let mut candidates = Vec::with_capacity(records.len());
        for record in &records {
            match decode_own::<Decision<'_>>(Contract::Decision, record.payload()) {
                Ok(decision) => candidates.push((decision, record.position)),
                Err(_) => self.totals.unreadable += 1,
            }
        }
        let mut shown: Vec<Shown> = Vec::with_capacity(SHOWN_MAX);
        for (decision, position) in choose(candidates) {
            match view::json(&decision, position) {
                Ok(json) => shown.push(Arc::from(json)),
                Err(_) => self.totals.unreadable += 1,
            }
        }
        self.totals.shown(shown.len(), now_ms);
        self.publisher.decisions(shown);
        records.clear();
        self.records = records;
        Ok(())
    }

    fn lag(&self) -> Result<u64, LogError> {
        let mut lag = 0;
        for topic in Topic::INPUTS {
            for partition in 0..self.log.partitions(topic)? {
                let end = self.log.end(topic, partition)?;
                let beginning = self.log.beginning(topic, partition)?;
                if end == beginning {
                    continue;
                }
                let committed = self.log.committed(&self.group, topic, partition)?;
                let next = committed.map_or(beginning, |next| next.max(beginning));
                lag += u64::try_from(end - next).unwrap_or(0);
            }
        }
        Ok(lag)
    }

    fn tell(&mut self) {
        let not_ready = self.health.not_ready().into_iter();
        let not_ready = not_ready.map(|(part, why)| NotReady { part, why }).collect();
        match self.totals.json(self.clock.now_ms(), not_ready) {
            Ok(json) => self.publisher.totals(json),
            Err(error) => warn!(%error, "cannot tell totals"),
        }
    }
}

/// The decisions to show of those read, oldest first. Where there is no room for all, the strictest
/// have half of it, since they are few and what people look for; the newest have the rest.
fn choose(mut decisions: Vec<(Decision<'_>, Position)>) -> Vec<(Decision<'_>, Position)> {
    let age = |(decision, position): &(Decision<'_>, Position)| (decision.decided_at, *position);
    if decisions.len() > SHOWN_MAX {
        decisions.sort_by_key(|candidate| std::cmp::Reverse((candidate.0.outcome, age(candidate))));
        let mut rest = decisions.split_off(SHOWN_MAX / 2);
        rest.sort_by_key(|candidate| std::cmp::Reverse(age(candidate)));
        rest.truncate(SHOWN_MAX - SHOWN_MAX / 2);
        decisions.append(&mut rest);
    }
    decisions.sort_by_key(age);
    decisions
}

#[cfg(test)]
mod tests {
    use super::super::tests::decision;
    use super::*;
    use crate::event::{Kind, Millis, Outcome};

    fn made(count: i64, strict_every: i64) -> Vec<(Decision<'static>, Position)> {
        let one = |i: i64| {
            let outcome = match i % strict_every {
                0 => Outcome::Block,
                _ => Outcome::Allow,
            };
            let mut decision = decision(i, Kind::Transaction, outcome);
            decision.decided_at = Millis(i / 3);
            let position = Position { topic: Topic::Decisions, partition: 0, offset: i };
            (decision, position)
        };
        (0..count).map(one).collect()
    }

    fn offsets(chosen: &[(Decision<'_>, Position)]) -> Vec<i64> {
        chosen.iter().map(|(_, at)| at.offset).collect()
    }

    #[test]
    fn where_there_is_room_all_are_shown_in_their_order() {
        let count = SHOWN_MAX as i64;
        let mut decisions = made(count, 2);
        decisions.reverse();
        let all: Vec<i64> = (0..count).collect();
        assert_eq!(offsets(&choose(decisions)), all);
    }

    #[test]
    fn where_there_is_not_the_strictest_and_the_newest_are_shown_in_their_order() {
        for strict_every in [1, 2, 25, 60, 1_000] {
            let decisions = made(200, strict_every);
            let strict: Vec<i64> = (0..200).filter(|i| i % strict_every == 0).collect();
            let chosen = choose(decisions);
            let offsets = offsets(&chosen);
            assert_eq!(chosen.len(), SHOWN_MAX);
            assert!(offsets.is_sorted(), "{offsets:?}");
            let kept = strict.iter().filter(|i| offsets.contains(i)).count();
            assert!(kept >= strict.len().min(SHOWN_MAX / 2), "{strict_every}");
            let newest = (200 - SHOWN_MAX as i64 / 2)..200;
            for i in newest {
                assert!(offsets.contains(&i), "{strict_every}: {i} of {offsets:?}");
            }
        }
    }
}

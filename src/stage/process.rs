//! One input record to whatever comes of it: a decision, a duplicate, a dead letter, or, for a
//! label, nothing but memory.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::batch::Batch;
use super::snapshots::{Captured, Load, Loaded, Table};
use crate::codec::{
    Contract, DecodeError, Decoded, Decoder, EncodeError, Encoder, OwnError, Refusal,
    RegistryError, TouchEncoder, decode_own,
};
use crate::config::Deadlines;
use crate::event::{
    Code, Escalation, Event, FailedStage, Fired, Kind, Mark, Millis, Position, Slot, Source, Text,
    Topic, Touch, TouchEvent,
};
use crate::log::faults::{Faults, Step};
use crate::log::{LogError, Record};
use crate::score::{Case, Engine};
use crate::snapshot::Series;
use crate::state::{
    BodyError, Facts, FeatureSet, Features, Found, Horizon, Profiles, Range, Seen, State,
};

/// Why a record could not be processed; all of it ends the worker's life.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// decoding or scoring panicked; the record will be a dead letter in the next life
    #[error("{0}: decoding or scoring panicked")]
    Panicked(Position),
    /// an output does not fit its contract
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// a record's schema cannot be had now
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// a fault that a test asked for
    #[error(transparent)]
    Injected(#[from] LogError),
}

/// Hashes of what is remembered, equal for equal memories however they came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateHashes {
    /// of what each partition's input says of its accounts
    pub accounts: BTreeMap<u32, u64>,
    /// of the escalations that each partition's owner read back
    pub escalations: BTreeMap<u32, u64>,
    /// of other entities, by whoever keeps them
    pub profiles: Option<u64>,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// it has a decision
    Decided,
    /// a label was remembered
    Labelled,
    /// it was seen before
    Duplicate,
    /// it is a dead letter
    Refused,
}

/// A record that is about to be processed.
#[derive(Debug)]
pub enum Prepared<'r> {
    /// it is an event
    Ready(Box<Ready<'r>>),
    /// it is none
    Refused(Refusal),
    /// it panicked in an earlier life
    Poisoned,
    /// it panics in this one
    Panicked,
    /// its schema cannot be had now
    Unavailable(RegistryError),
}

/// An event with what the features need to know of it.
#[derive(Debug)]
pub struct Ready<'r> {
    decoded: Decoded<'r>,
    facts: Facts,
    account: u128,
    partition: u32,
}

/// Turns records into outputs. Owns the state of the worker's partitions.
#[derive(Debug)]
pub struct Processor {
    decoder: Arc<Decoder>,
    engine: Engine,
    encoder: Encoder,
    touches: TouchEncoder,
    set: Arc<FeatureSet>,
    features: Features,
    profiles: Arc<Profiles>,
    /// whether this processor alone keeps the profiles, and applies its own touches at once
    inline: bool,
    marks: Vec<Mark>,
    horizon: Horizon,
    deadlines: Arc<Deadlines>,
    faults: Faults,
    states: HashMap<u32, State>,
    /// what every decision says of how it was made
    degraded: Vec<Text<'static>>,
    /// how many of those are what pressure leaves out
    left_out: usize,
}

impl Processor {
    /// A processor that remembers nothing. `profiles`: the table of the process, which somebody else
    /// keeps; without one the processor keeps its own, and applies what it does to it at once.
    pub fn new(
        decoder: Arc<Decoder>,
        engine: Engine,
        horizon: Horizon,
        deadlines: Arc<Deadlines>,
        faults: Faults,
        profiles: Option<Arc<Profiles>>,
    ) -> Processor {
        Processor {
            decoder,
            set: Arc::clone(engine.rules().features()),
            engine,
            encoder: Encoder::of_process(),
            touches: TouchEncoder::default(),
            features: Features::default(),
            inline: profiles.is_none(),
            profiles: profiles.unwrap_or_default(),
            marks: Vec::new(),
            horizon,
            deadlines,
            faults,
            states: HashMap::new(),
            degraded: Vec::new(),
            left_out: 0,
        }
    }

    /// The event time of a record, for the merge. A panic counts as not readable: the record meets
    /// it again when its turn comes.
    ///
    /// # Errors
    /// When the record's schema cannot be had now.
    pub fn event_time(&self, record: &Record) -> Result<Option<Millis>, RegistryError> {
        catch_unwind(AssertUnwindSafe(|| self.decoder.event_time(record))).unwrap_or(Ok(None))
    }

    /// The encoder, for sealing batches.
    pub fn encoder(&mut self) -> &mut Encoder {
        &mut self.encoder
    }

    /// Hash of what is remembered and read.
    pub fn feature_set(&self) -> &str {
        self.set.hash()
    }

    /// The state of each partition.
    pub fn states(&self) -> &HashMap<u32, State> {
        &self.states
    }

    /// What is remembered of entities, and whether it is this processor that keeps it.
    pub fn profiles(&self) -> (&Arc<Profiles>, bool) {
        (&self.profiles, self.inline)
    }

    /// Hashes of everything that is remembered here.
    pub fn state_hashes(&self) -> StateHashes {
        let mut hashes = StateHashes::default();
        for (partition, state) in &self.states {
            let [accounts, escalations] = state.hashes(&self.set, self.horizon);
            hashes.accounts.insert(*partition, accounts);
            hashes.escalations.insert(*partition, escalations);
        }
        hashes.profiles = self.inline.then(|| self.profiles.hash(&self.set));
        hashes
    }

    fn table(&self) -> Table {
        Table { set: Arc::clone(&self.set), profiles: Arc::clone(&self.profiles) }
    }

    /// What a decision about an account would read at the newest event time of its partition.
    pub fn show(
        &mut self,
        partition: u32,
        account: &str,
    ) -> Option<(Millis, Vec<(String, Slot<'static>)>)> {
        let state = self.states.get(&partition)?;
        let at = state.show(&self.set, State::key(account), &mut self.features, &self.profiles)?;
        let names = self.set.names().map(|(name, _)| name.to_owned());
        Some((at, names.zip(self.features.values().iter().copied()).collect()))
    }

    /// Takes a record of touches up.
    ///
    /// # Errors
    /// When its schema cannot be had now. What cannot be read at all is none of weir's, and is told.
    pub fn touch(&self, record: &Record, loaded: &Loaded) -> Result<(), RegistryError> {
        match decode_own::<Touch<'_>>(Contract::Touch, record.payload()) {
            Ok(touch) => {
                let has_seen = |id| loaded.has_seen(id, record.position);
                for event in &touch.events {
                    self.profiles.apply(&self.set, event, has_seen);
                }
                Ok(())
            }
            Err(OwnError::Unavailable(error)) => Err(error),
            Err(error) => {
                tracing::error!(position = %record.position, %error, "unreadable touches");
                Ok(())
            }
        }
    }

    /// From now on every decision says so.
    pub fn degrade(&mut self, how: &'static str) {
        let how = Text::from(how);
        if !self.degraded.contains(&how) {
            // before what pressure leaves out, which changes
            self.degraded.insert(self.degraded.len() - self.left_out, how);
        }
    }

    /// What pressure leaves out from now on; every decision says so.
    pub fn leave_out(&mut self, steps: &[&'static str]) {
        if self.left_out != steps.len() {
            self.degraded.truncate(self.degraded.len() - self.left_out);
            self.degraded.extend(steps.iter().map(|step| Text::from(*step)));
            self.left_out = steps.len();
        }
    }

    /// Takes the state of a partition over that somebody else has followed.
    pub fn adopt(&mut self, partition: u32, state: State) {
        self.states.insert(partition, state);
    }

    /// Gives the state of a partition out of hand.
    pub fn release(&mut self, partition: u32) -> State {
        self.states.remove(&partition).unwrap_or_default()
    }

    /// Forgets a partition.
    pub fn forget(&mut self, partition: u32) {
        self.states.remove(&partition);
    }

    /// Remembers a record without deciding about it, as its first life did: used at restore, where
    /// records that became dead letters are left out by the caller.
    ///
    /// # Errors
    /// The refusal, where it is not an event any more; or that its schema cannot be had now.
    pub fn remember(&mut self, record: &Record, loaded: &Loaded) -> Result<Seen, DecodeError> {
        let position = record.position;
        let state = self.states.entry(position.partition).or_default();
        let (decoder, set, horizon) = (&self.decoder, &self.set, self.horizon);
        catch_unwind(AssertUnwindSafe(|| {
            let decoded = decoder.decode(record)?;
            let (event, facts) = (&decoded.event, set.facts(&decoded.event));
            let account = State::key(key(record));
            if loaded.has_seen(account, position) {
                state.pass(event);
                return Ok(Seen::Duplicate);
            }
            let payload = record.payload();
            let seen = state.apply(set, account, event, &facts, payload, horizon, None).seen;
            if let (Seen::New, Event::Dispute(dispute)) = (seen, event) {
                state.watch(set, account, dispute, Millis(record.timestamp_ms));
            }
            Ok(seen)
        }))
        .unwrap_or_else(|_| Err(panicked(position).into()))
    }

    /// Remembers an escalation that the owner of its account reads back.
    ///
    /// # Errors
    /// When its schema cannot be had now. What cannot be read at all is none of weir's, and is told.
    pub fn recall(&mut self, record: &Record, loaded: &Loaded) -> Result<(), RegistryError> {
        let account = State::key(key(record));
        if loaded.has_seen(account, record.position) {
            return Ok(());
        }
        match decode_own::<Escalation<'_>>(Contract::Escalation, record.payload()) {
            Ok(escalation) => {
                let state = self.states.entry(record.position.partition).or_default();
                state.escalated(&self.set, account, escalation.event_time);
                Ok(())
            }
            Err(OwnError::Unavailable(error)) => Err(error),
            Err(error) => {
                tracing::error!(position = %record.position, %error, "unreadable escalation");
                Ok(())
            }
        }
    }

    /// Remembers a stage of a deadline that fired in an earlier life.
    ///
    /// # Errors
    /// When its schema cannot be had now. What cannot be read at all is none of weir's, and is told.
    pub fn has_fired(&mut self, record: &Record) -> Result<(), RegistryError> {
        match decode_own::<Fired<'_>>(Contract::Fired, record.payload()) {
            Ok(fired) => {
                let state = self.states.entry(record.position.partition).or_default();
                state.has_fired(&fired, &self.deadlines);
                Ok(())
            }
            Err(OwnError::Unavailable(error)) => Err(error),
            Err(error) => {
                tracing::error!(position = %record.position, %error, "unreadable deadline");
                Ok(())
            }
        }
    }

    /// Fires the deadlines of a partition that are due, into the batch, at most so many. How many.
    ///
    /// # Errors
    /// See [`ProcessError`]; batch and state are then of no more use.
    pub fn fire(
        &mut self,
        partition: u32,
        now: Millis,
        most: usize,
        batch: &mut Batch,
    ) -> Result<usize, ProcessError> {
        let Some(state) = self.states.get_mut(&partition) else { return Ok(0) };
        let mut count = 0;
        while count < most {
            let Some(due) = state.fire(&self.set, &self.deadlines, now) else { break };
            self.faults.pass(Step::Fire)?;
            let encoder = &mut self.encoder;
            let escalation = self.engine.remind(&due);
            let key = format!("{}/{}", due.fired.tenant, due.fired.account_id);
            batch.records.push_with(
                Topic::Escalations,
                partition,
                now.0,
                key.as_bytes(),
                |out| encoder.encode(Contract::Escalation, &escalation, out),
            )?;
            let key = escalation.escalation_id.as_bytes();
            batch.records.push_with(Topic::Fired, partition, now.0, key, |out| {
                encoder.encode(Contract::Fired, &due.fired, out)
            })?;
            batch.fired(&due.fired.stage);
            count += 1;
        }
        Ok(count)
    }

    /// Decodes several records, and has what they will change fetched into the cache: of each account or
    /// entity the memory is waited for three times over, and of many at once no longer than of one.
    /// `is_poisoned`: which panicked in an earlier life.
    pub fn prepare<'r>(
        &self,
        records: impl Iterator<Item = &'r Record>,
        is_poisoned: impl Fn(Position) -> bool,
    ) -> Vec<Prepared<'r>> {
        let prepare = |record: &'r Record| match is_poisoned(record.position) {
            true => Prepared::Poisoned,
            false => catch_unwind(AssertUnwindSafe(|| self.prepare_one(record)))
                .unwrap_or(Prepared::Panicked),
        };
        let prepared: Vec<Prepared<'r>> = records.map(prepare).collect();
        let ready = || {
            prepared.iter().filter_map(|prepared| match prepared {
                Prepared::Ready(ready) => Some(ready.as_ref()),
                _ => None,
            })
        };
        let find = |ready: &Ready<'_>| Some(self.states.get(&ready.partition)?.find(ready.account));
        let found: Vec<Found<'_>> = ready().filter_map(find).collect();
        found.into_iter().for_each(Found::fetch);
        ready().for_each(|ready| self.profiles.fetch(&ready.facts));
        prepared
    }

    fn prepare_one<'r>(&self, record: &'r Record) -> Prepared<'r> {
        match self.decoder.decode(record) {
            Ok(decoded) => {
                let facts = self.set.facts(&decoded.event);
                let (account, partition) = (State::key(key(record)), record.position.partition);
                Prepared::Ready(Box::new(Ready { decoded, facts, account, partition }))
            }
            Err(DecodeError::Refused(refusal)) => Prepared::Refused(refusal),
            Err(DecodeError::Unavailable(error)) => Prepared::Unavailable(error),
        }
    }

    /// Processes a record into the batch.
    ///
    /// # Errors
    /// See [`ProcessError`]; batch and state are then of no more use.
    pub fn process(
        &mut self,
        record: &Record,
        prepared: Prepared<'_>,
        now: Millis,
        batch: &mut Batch,
    ) -> Result<Fate, ProcessError> {
        batch.take(record);
        let refusal = match prepared {
            Prepared::Ready(ready) => {
                return catch_unwind(AssertUnwindSafe(|| self.take(record, &ready, now, batch)))
                    .unwrap_or(Err(ProcessError::Panicked(record.position)));
            }
            Prepared::Refused(refusal) => refusal,
            Prepared::Poisoned => panicked(record.position),
            Prepared::Panicked => return Err(ProcessError::Panicked(record.position)),
            Prepared::Unavailable(error) => return Err(error.into()),
        };
        self.refuse(record, &refusal, now, batch)?;
        Ok(Fate::Refused)
    }

    fn take(
        &mut self,
        record: &Record,
        ready: &Ready<'_>,
        now: Millis,
        batch: &mut Batch,
    ) -> Result<Fate, ProcessError> {
        let Ready { decoded, facts, account, partition } = ready;
        let (event, account, partition) = (&decoded.event, *account, *partition);
        self.faults.pass_at(Step::Apply, record.position)?;
        let set = &self.set;
        let state = self.states.entry(partition).or_default();
        let before = Some((&mut self.features, self.profiles.as_ref()));
        let payload = record.payload();
        let applied = state.apply(set, account, event, facts, payload, self.horizon, before);
        match applied.seen {
            Seen::New => {
                set.marks(facts, applied, &mut self.marks);
                if let Some(touch) = TouchEvent::of(event, key(record), &self.marks) {
                    batch.touched(&mut self.touches, partition, &touch)?;
                    if self.inline {
                        self.profiles.apply(set, &touch, |_| false);
                    }
                }
                if let Event::Dispute(dispute) = event {
                    state.watch(set, account, dispute, Millis(record.timestamp_ms));
                }
                if event.kind() == Kind::Label {
                    return Ok(Fate::Labelled);
                }
                state.read(set, account, facts, &mut self.features, &self.profiles);
                self.decide(record, event, decoded.schema_id, now, batch)?;
                Ok(Fate::Decided)
            }
            Seen::Duplicate => {
                batch.repeated(record.position.topic);
                Ok(Fate::Duplicate)
            }
            Seen::Conflict => {
                let refusal = conflict(event);
                self.refuse(record, &refusal, now, batch)?;
                Ok(Fate::Refused)
            }
        }
    }

    fn decide(
        &mut self,
        record: &Record,
        event: &Event<'_>,
        schema_id: i64,
        now: Millis,
        batch: &mut Batch,
    ) -> Result<(), ProcessError> {
        let Position { topic, partition, offset } = record.position;
        let case = Case {
            kind: event.kind(),
            event_id: event.event_id(),
            event_time: event.event_time(),
            tenant: event.tenant(),
            account_id: event.account_id(),
            subject_id: event.subject_id(),
            decided_at: now,
            fields: self.engine.fields_of(event),
            features: self.features.values(),
            degraded: self.degraded.clone(),
            source: Source {
                topic: Text::from(topic.name()),
                partition: i32::try_from(partition).unwrap_or(i32::MAX),
                offset,
                schema_id,
            },
        };
        let decision = self.engine.decide(&case);
        let (encoder, key) = (&mut self.encoder, record.key().unwrap_or_default());
        batch.records.push_with(Topic::Decisions, partition, now.0, key, |out| {
            encoder.encode(Contract::Decision, &decision, out)
        })?;
        let rules = decision.reasons.iter().map(|reason| reason.rule.as_str());
        batch.decided(decision.kind, decision.outcome, now, rules);
        decision.degraded.iter().for_each(|without| batch.degraded(without));
        if let Some(escalation) = self.engine.escalate(&decision) {
            batch.records.push_with(Topic::Escalations, partition, now.0, key, |out| {
                encoder.encode(Contract::Escalation, &escalation, out)
            })?;
            batch.escalated(decision.kind);
        }
        Ok(())
    }

    fn refuse(
        &mut self,
        record: &Record,
        refusal: &Refusal,
        now: Millis,
        batch: &mut Batch,
    ) -> Result<(), EncodeError> {
        batch.refused(refusal.stage, refusal.code);
        self.encoder.add_dead_letter(record, refusal, now, &mut batch.records)
    }
}

impl Captured for Processor {
    fn changed(&self, series: Series) -> Vec<Range> {
        match series {
            Series::Partition(partition) => {
                self.states.get(&partition).map(State::changed).unwrap_or_default()
            }
            Series::Profiles => self.table().changed(series),
        }
    }

    fn ranges(&self, series: Series) -> Vec<Range> {
        match series {
            Series::Partition(partition) => {
                self.states.get(&partition).map(State::ranges).unwrap_or_default()
            }
            Series::Profiles => self.table().ranges(series),
        }
    }

    fn capture(&mut self, series: Series, range: Range) -> Option<Vec<u8>> {
        match series {
            Series::Partition(partition) => {
                self.states.get_mut(&partition)?.capture(&self.set, range, self.horizon)
            }
            Series::Profiles => self.table().capture(series, range),
        }
    }
}

impl Load for Processor {
    fn load(
        &mut self,
        series: Series,
        body: &[u8],
        wanted: &dyn Fn(u128) -> bool,
    ) -> Result<(), BodyError> {
        match series {
            Series::Partition(partition) => {
                self.states.entry(partition).or_default().load(&self.set, body, wanted)
            }
            Series::Profiles => self.table().load(series, body, wanted),
        }
    }

    fn begin_at(&mut self, series: Series, body: &[u8]) -> Result<(), BodyError> {
        match series {
            Series::Partition(partition) => {
                self.states.entry(partition).or_default().begin_at(&self.set, body)
            }
            Series::Profiles => self.table().begin_at(series, body),
        }
    }

    fn forget(&mut self, series: Series) {
        match series {
            Series::Partition(partition) => {
                self.states.remove(&partition);
            }
            Series::Profiles => self.table().forget(series),
        }
    }
}

/// The account's key. Decoding has checked that the record's key is `tenant/account_id`.
fn key(record: &Record) -> &str {
    record.key().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
}

fn panicked(position: Position) -> Refusal {
    Refusal {
        stage: FailedStage::Panic,
        code: Code::Panicked,
        message: format!("decoding or scoring the record at {position} panicked"),
    }
}

fn conflict(event: &Event<'_>) -> Refusal {
    Refusal {
        stage: FailedStage::Dedupe,
        code: Code::ConflictingDuplicate,
        message: format!(
            "event_id {:?} was seen with another payload, expected the same bytes or another id",
            event.event_id()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writers;
    use crate::score::RuleSet;

    #[test]
    fn what_pressure_leaves_out_comes_and_goes_and_a_gap_stays() {
        let features = Arc::new(FeatureSet::shipped().unwrap());
        let engine = Engine::new(RuleSet::load(&[], &features).unwrap());
        let decoder = Arc::new(Decoder::new(Writers::built_in()));
        let mut processor = Processor::new(
            decoder,
            engine,
            Horizon::default(),
            Arc::default(),
            Faults::default(),
            None,
        );
        let said = |processor: &Processor| -> Vec<String> {
            processor.degraded.iter().map(ToString::to_string).collect()
        };
        processor.leave_out(&["attributions"]);
        processor.degrade("state_gap");
        processor.degrade("state_gap");
        assert_eq!(said(&processor), ["state_gap", "attributions"]);
        processor.leave_out(&["attributions", "shadows"]);
        assert_eq!(said(&processor), ["state_gap", "attributions", "shadows"]);
        processor.leave_out(&[]);
        assert_eq!(said(&processor), ["state_gap"]);
    }
}

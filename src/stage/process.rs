//! One input record to whatever comes of it: a decision, a duplicate, a dead letter, or, for a
//! label, nothing but memory; for a tombstone, nothing and less memory.

mod prepare;
mod remember;

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::batch::Batch;
use super::{Context, Settings};
pub use prepare::{Prepared, Ready};
pub use remember::{StateHashes, read_own};

use crate::codec::{
    Contract, Decoder, EncodeError, Encoder, Refusal, RegistryError, TouchEncoder, erased_account,
    erased_by,
};
use crate::config::Deadlines;
use crate::event::{
    Code, Event, FailedStage, Kind, Mark, Millis, Position, Source, Text, Topic, TouchEvent,
};
use crate::log::faults::{Faults, Step};
use crate::log::{LogError, Record};
use crate::policy::{Posted, Switch};
use crate::score::Case;
use crate::state::{Came, FeatureSet, Features, Horizon, Means, Profiles, Seen, State};

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
    /// its account was forgotten
    Erased,
}

/// Turns records into outputs. Owns the state of the worker's partitions.
#[derive(Debug)]
pub struct Processor {
    decoder: Arc<Decoder>,
    switch: Switch,
    /// what decides; the same for a whole batch
    posted: Posted,
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
    /// The processor of a life that is lived in this context.
    pub fn of(context: &Context, settings: &Settings) -> Processor {
        Processor::new(
            Arc::clone(&context.decoder),
            context.switch.clone(),
            settings.horizon,
            Arc::clone(&settings.deadlines),
            context.faults.clone(),
            context.profiles.clone(),
        )
    }

    /// A processor that remembers nothing. `profiles`: the table of the process, which somebody else
    /// keeps; without one the processor keeps its own, and applies what it does to it at once.
    pub fn new(
        decoder: Arc<Decoder>,
        switch: Switch,
        horizon: Horizon,
        deadlines: Arc<Deadlines>,
        faults: Faults,
        profiles: Option<Arc<Profiles>>,
    ) -> Processor {
        let posted = switch.posted();
        Processor {
            decoder,
            set: Arc::clone(posted.engine.rules().features()),
            switch,
            posted,
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

    /// Takes up what decides from now on, between batches only; its version, where that is another.
    pub fn renew(&mut self) -> Option<i64> {
        if self.switch.version() == self.posted.version {
            return None;
        }
        self.posted = self.switch.posted();
        Some(self.posted.version)
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
            let escalation = self.posted.engine.remind(&due);
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
        let caught = |done: std::thread::Result<Result<Fate, ProcessError>>| {
            done.unwrap_or(Err(ProcessError::Panicked(record.position)))
        };
        let refusal = match prepared {
            Prepared::Ready(ready) => {
                let take = AssertUnwindSafe(|| self.take(record, &ready, now, batch));
                return caught(catch_unwind(take));
            }
            Prepared::Erasure { account, kind } => {
                let erase = AssertUnwindSafe(|| self.erase(record.position, account, kind, batch));
                return caught(catch_unwind(erase));
            }
            Prepared::Refused(refusal) => refusal,
            Prepared::Poisoned => panicked(record.position),
            Prepared::Panicked => return Err(ProcessError::Panicked(record.position)),
            Prepared::Unavailable(error) => return Err(error.into()),
        };
        self.refuse(record, &refusal, now, batch)?;
        Ok(Fate::Refused)
    }

    fn erase(
        &mut self,
        at: Position,
        account: u128,
        kind: Kind,
        batch: &mut Batch,
    ) -> Result<Fate, ProcessError> {
        self.faults.pass_at(Step::Apply, at)?;
        self.states.entry(at.partition).or_default().erase(&self.set, account, kind);
        batch.erased(at.topic);
        Ok(Fate::Erased)
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
        // before they are read: they may hear more meanwhile
        let profile_age_ms = self.profile_age_ms(now);
        let means = Means {
            set: &self.set,
            profiles: &self.profiles,
            inline: self.inline,
            horizon: self.horizon,
        };
        let state = self.states.entry(partition).or_default();
        let (features, marks) = (&mut self.features, &mut self.marks);
        let whose = (key(record), account);
        let applied = state.take_in(means, whose, event, facts, came(record), features, marks);
        match applied.seen {
            Seen::New => {
                if applied.late {
                    batch.late(record.position.topic);
                }
                if let Some(touch) =
                    TouchEvent::of(event, key(record), &self.marks, |entity| facts.meets(entity))
                {
                    batch.touched(&mut self.touches, partition, &touch, now)?;
                }
                if event.kind() == Kind::Label {
                    return Ok(Fate::Labelled);
                }
                self.decide(record, event, decoded.schema_id, profile_age_ms, now, batch)?;
                Ok(Fate::Decided)
            }
            Seen::Duplicate => {
                batch.repeated(record.position.topic);
                Ok(Fate::Duplicate)
            }
            Seen::Conflict => {
                self.refuse(record, &Refusal::conflict(event), now, batch)?;
                Ok(Fate::Refused)
            }
        }
    }

    /// How long before now everything that was committed is in the profiles. What this processor does
    /// itself is in them at once.
    fn profile_age_ms(&self, now: Millis) -> Option<i64> {
        if !self.set.has_profiles() {
            return None;
        }
        match self.inline {
            true => Some(0),
            false => self.profiles.heard_until().map(|until| (now.0 - until).max(0)),
        }
    }

    fn decide(
        &mut self,
        record: &Record,
        event: &Event<'_>,
        schema_id: i64,
        profile_age_ms: Option<i64>,
        now: Millis,
        batch: &mut Batch,
    ) -> Result<(), ProcessError> {
        let Position { topic, partition, offset } = record.position;
        let source = Source {
            topic: Text::from(topic.name()),
            partition: i32::try_from(partition).unwrap_or(i32::MAX),
            offset,
            schema_id,
        };
        let case = Case {
            policy_version: self.posted.version,
            profile_age_ms,
            degraded: self.degraded.clone(),
            ..self.posted.engine.case_of(event, self.features.values(), now, source)
        };
        let decision = self.posted.engine.decide(&case);
        let (encoder, key) = (&mut self.encoder, record.key().unwrap_or_default());
        batch.records.push_with(Topic::Decisions, partition, now.0, key, |out| {
            encoder.encode(Contract::Decision, &decision, out)
        })?;
        // a model may have several reasons
        let rules: BTreeSet<&str> =
            decision.reasons.iter().map(|reason| reason.rule.as_str()).collect();
        batch.decided(decision.kind, decision.outcome, now, rules.into_iter());
        decision.degraded.iter().for_each(|without| batch.degraded(without));
        if let Some(escalation) = self.posted.engine.escalate(&decision) {
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

/// How a record's event came.
fn came(record: &Record) -> Came<'_> {
    Came { payload: record.payload(), written: Millis(record.timestamp_ms) }
}

/// The account's key. Decoding has checked that the record's key is `tenant/account_id`.
fn key(record: &Record) -> &str {
    record.key().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default()
}

/// The account that a record asks to be forgotten, and of which topic's events; `None`: it is no tombstone.
fn erasure(record: &Record) -> Result<Option<(u128, Kind)>, Refusal> {
    match (erased_by(record), record.position.topic.kind()) {
        (Some(_), Some(kind)) => Ok(Some((State::key(erased_account(record)?), kind))),
        _ => Ok(None),
    }
}

fn panicked(position: Position) -> Refusal {
    Refusal {
        stage: FailedStage::Panic,
        code: Code::Panicked,
        message: format!("decoding or scoring the record at {position} panicked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Writers;
    use crate::score::{Engine, Lists, RuleSet};

    #[test]
    fn what_pressure_leaves_out_comes_and_goes_and_a_gap_stays() {
        let features = Arc::new(FeatureSet::shipped().unwrap());
        let engine = Engine::new(RuleSet::load(&[], &Lists::default(), &features).unwrap());
        let decoder = Arc::new(Decoder::new(Writers::built_in()));
        let mut processor = Processor::new(
            decoder,
            Switch::fixed(engine),
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

    #[test]
    fn nothing_under_the_header_is_a_tombstone_and_whatever_lacks_one_of_them_is_what_it_was() {
        let features = Arc::new(FeatureSet::shipped().unwrap());
        let engine = Engine::new(RuleSet::load(&[], &Lists::default(), &features).unwrap());
        let decoder = Arc::new(Decoder::new(Writers::built_in()));
        let (horizon, deadlines, faults) = (Horizon::default(), Arc::default(), Faults::default());
        let mut processor =
            Processor::new(decoder, Switch::fixed(engine), horizon, deadlines, faults, None);
        let settings = crate::sim::Settings::default();
        let mut events = crate::sim::Simulator::new(settings).unwrap().map(|one| one.event);
        let event = events.find(|event| event.kind() == Kind::Chat).unwrap();
        let mut payload = Vec::new();
        Encoder::default().encode_event(&event, &mut payload).unwrap();
        let key = event.key();
        let mut offset = 0;
        let mut meet = |key: Option<&str>, payload: &[u8], header: Option<&str>| {
            offset += 1;
            let position = Position { topic: Topic::Chats, partition: 0, offset };
            let headers = header.iter().map(|name| ((*name).to_owned(), b"a test".to_vec()));
            let (key, written) = (key.map(str::as_bytes), event.event_time().0);
            let record = Record::new(position, written, key, payload, headers.collect());
            let is_timed = processor.event_time(&record).unwrap().is_some();
            let mut batch = Batch::default();
            let prepared = processor.prepare(std::iter::once(&record), |_| false).remove(0);
            let now = Millis(written);
            let fate = processor.process(&record, prepared, now, &mut batch).unwrap();
            assert_eq!(batch.positions(), [Position { offset: offset + 1, ..position }]);
            let letters: Vec<&str> = batch.tally().refused.keys().map(|(_, code)| *code).collect();
            let is_silent = batch.records.is_empty();
            (fate, letters.join(" "), is_timed, is_silent, processor.states()[&0].len())
        };
        let (key, erase) = (Some(key.as_str()), Some(crate::codec::ERASE_HEADER));
        let refused = |code: &str| (Fate::Refused, code.to_owned(), false, false, 1);
        // an event, whatever its headers
        assert_eq!(meet(key, &payload, erase), (Fate::Decided, String::new(), true, false, 1));
        assert_eq!(meet(key, &payload, None), (Fate::Duplicate, String::new(), true, true, 1));
        // an accident, whatever is remembered of the account
        assert_eq!(meet(key, b"", None), refused("unframed"));
        assert_eq!(meet(key, b"", Some("trace")), refused("unframed"));
        assert_eq!(meet(None, b"", erase), refused("key_missing"));
        assert_eq!(meet(Some("nobody"), b"", erase), refused("invalid_field"));
        assert_eq!(meet(key, &payload, None).0, Fate::Duplicate);
        assert_eq!(meet(key, b"", erase), (Fate::Erased, String::new(), false, true, 0));
        assert_eq!(meet(key, &payload, None).0, Fate::Decided);
    }
}

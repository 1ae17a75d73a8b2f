//! Scores, on any number of threads.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crossbeam_channel::{Receiver, Sender};

use super::arrival::{Arrival, write_key};
use super::export::{Columns, Label, Lines, Row};
use super::memory::Work;
use super::truth::{Truth, subject};
use super::{Names, Plan, Sample, Verdict};
use crate::event::{Event, Kind, Slot, Source, Text};

/// An event that was scored, not yet numbered and labelled.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) sample: Sample,
    pub(super) account: u128,
    /// under which it is known what became of it, where that is not in the sample already
    pub(super) subject: u128,
}

/// What became of one [`Work`].
#[derive(Debug)]
pub(super) struct Verdicts {
    /// of the work
    pub(super) number: u64,
    pub(super) scored: Vec<Scored>,
    /// of the payments among them, where they are exported
    pub(super) lines: Option<Lines>,
}

/// That scoring an event panicked.
#[derive(Debug)]
pub(super) struct Lost;

/// Decides by the rules, and by those of the challengers.
pub(super) struct Judge<'p> {
    plan: &'p Plan,
    names: Names,
    columns: Columns,
}

impl<'p> Judge<'p> {
    pub(super) fn new(plan: &'p Plan) -> Judge<'p> {
        let rules = plan.engine.rules();
        let ids = |kind| rules.rule_ids(kind).map(str::to_owned);
        let names = Names {
            rules: Kind::SCORED.into_iter().flat_map(ids).collect(),
            challengers: plan.challengers.iter().map(|(name, _)| name.clone()).collect(),
        };
        Judge { plan, names, columns: Columns::of(plan) }
    }

    pub(super) fn names(&self) -> Names {
        self.names.clone()
    }

    /// Scores what there is to do, until there is no more or nobody listens.
    pub(super) fn run(&self, to_do: &Receiver<Work>, done: &Sender<Result<Verdicts, Lost>>) {
        let numbers: HashMap<&str, u16> =
            self.names.rules.iter().map(String::as_str).zip(0..).collect();
        for work in to_do {
            let verdicts = catch_unwind(AssertUnwindSafe(|| self.score_all(&work, &numbers)));
            if done.send(verdicts.map_err(|_| Lost)).is_err() {
                return;
            }
        }
    }

    fn score_all(&self, work: &Work, numbers: &HashMap<&str, u16>) -> Verdicts {
        let Work { number, arrivals, features } = work;
        let width = self.plan.features.len();
        let mut lines = self.plan.export.as_ref().map(|_| Lines::default());
        let mut key = String::new();
        let mut scored = Vec::with_capacity(arrivals.len());
        for (i, arrival) in arrivals.iter().enumerate() {
            let features = &features[i * width..(i + 1) * width];
            write_key(&arrival.event, &mut key);
            scored.push(self.score(arrival, features, &key, numbers, lines.as_mut()));
        }
        Verdicts { number: *number, scored, lines }
    }

    fn score(
        &self,
        arrival: &Arrival,
        features: &[Slot<'static>],
        key: &str,
        numbers: &HashMap<&str, u16>,
        lines: Option<&mut Lines>,
    ) -> Scored {
        let Arrival { event, account, flag, .. } = arrival;
        let (kind, time) = (event.kind(), event.event_time());
        let engine = &self.plan.engine;
        let case = engine.case_of(event, features, time, nowhere());
        let decision = engine.decide(&case);
        let rules = decision.reasons.iter();
        let mut rules: Vec<u16> =
            rules.filter_map(|reason| numbers.get(&*reason.rule).copied()).collect();
        rules.sort_unstable();
        let challengers = self.plan.challengers.iter().map(|(_, engine)| {
            let case = engine.case_of(event, features, time, nowhere());
            let decision = engine.decide(&case);
            Verdict { outcome: decision.outcome, score: decision.score }
        });
        // a dispute says itself what became of its payment
        let label = flag.filter(|_| kind != Kind::Dispute);
        let amount_minor = amount_of(event);
        if let Some(lines) = lines
            && kind == Kind::Transaction
        {
            let label = match self.plan.truth {
                Truth::Disputes => Label::Later,
                Truth::Column(_) => Label::Known(label),
            };
            let fields = &case.fields;
            let score = decision.score;
            let row = Row { event, account: key, amount_minor, label, score, fields, features };
            self.columns.add(lines, &row);
        }
        let sample = Sample {
            time,
            kind,
            account: 0,
            amount_minor,
            score: decision.score,
            outcome: decision.outcome,
            rules,
            label,
            challengers: challengers.collect(),
        };
        let subject = match self.plan.truth {
            Truth::Disputes => subject(key, kind, event.subject_id()),
            Truth::Column(_) => 0,
        };
        Scored { sample, account: *account, subject }
    }
}

/// There is no record that the event came in.
fn nowhere() -> Source<'static> {
    Source { topic: Text::from(""), partition: 0, offset: 0, schema_id: 0 }
}

fn amount_of(event: &Event<'_>) -> i64 {
    match event {
        Event::Transaction(event) => event.amount_minor,
        Event::Dispute(event) => event.amount_minor,
        Event::Invoice(event) => event.amount_minor,
        Event::Chat(_) | Event::Label(_) => 0,
    }
}

//! Decisions that were made live, with what is known of their events since.

use std::collections::{BTreeMap, HashMap};

use super::arrival::write_key;
use super::truth::{Said, subject};
use super::{Names, Sample, Truth, Verdict};
use crate::event::{Decision, Event, Kind, Outcome, Slot};

/// What of a decision tells at stake.
const AMOUNT: &str = "amount_minor";

/// A decision, and what its challengers said.
#[derive(Debug)]
struct Decided {
    sample: Sample,
    subject: u128,
    /// by number of the challenger
    challengers: Vec<(u16, Verdict)>,
}

/// Collects decisions, and the events that say what was fraud.
#[derive(Debug, Default)]
pub struct Recorded {
    key: String,
    said: Vec<Said>,
    decided: Vec<Decided>,
    accounts: HashMap<String, u32>,
    rules: Numbers,
    challengers: Numbers,
}

/// Names by number, in the order in which they came.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<String, u16>);

impl Numbers {
    fn of(&mut self, name: &str) -> Option<u16> {
        if let Some(number) = self.0.get(name) {
            return Some(*number);
        }
        let number = u16::try_from(self.0.len()).ok()?;
        self.0.insert(name.to_owned(), number);
        Some(number)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<(&String, u16)> = self.0.iter().map(|(name, n)| (name, *n)).collect();
        names.sort_by_key(|(_, number)| *number);
        names.into_iter().map(|(name, _)| name.clone()).collect()
    }
}

impl Recorded {
    /// Hears an event, which may say of another one what it was.
    pub fn hear(&mut self, event: &Event<'_>) {
        write_key(event, &mut self.key);
        self.said.extend(Said::by(event, &self.key));
    }

    /// Takes a decision. What is at stake is known where its record has the amount.
    pub fn take(&mut self, decision: &Decision<'_>) {
        let account = format!("{}/{}", &*decision.tenant, &*decision.account_id);
        let subject = subject(&account, decision.kind, &decision.subject_id);
        let next = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        let account = *self.accounts.entry(account).or_insert(next);
        let amount = decision.fields.iter().find(|field| &*field.name == AMOUNT);
        let amount_minor = match amount.map(|field| field.value) {
            Some(Slot::Int(amount)) => amount,
            _ => 0,
        };
        let rules = decision.reasons.iter().filter_map(|reason| self.rules.of(&reason.rule));
        let mut rules: Vec<u16> = rules.collect();
        rules.sort_unstable();
        rules.dedup();
        let challengers = decision.shadow.iter().filter_map(|shadow| {
            let outcome =
                Outcome::ALL.into_iter().find(|known| known.name() == &*shadow.outcome)?;
            let verdict = Verdict { outcome, score: shadow.score };
            Some((self.challengers.of(&shadow.name)?, verdict))
        });
        let challengers = challengers.collect();
        let sample = Sample {
            time: decision.event_time,
            kind: decision.kind,
            account,
            amount_minor,
            score: decision.score,
            outcome: decision.outcome,
            rules,
            label: None,
            challengers: Vec::new(),
        };
        self.decided.push(Decided { sample, subject, challengers });
    }

    /// Decisions of a kind that each challenger was asked beside, with its verdict, by its name.
    pub fn by_challenger(self, kind: Kind) -> Vec<(Names, Vec<Sample>)> {
        let known = Truth::Disputes.known(self.said);
        let label = |decided: &Decided| known.as_ref()?.label(kind, decided.subject);
        let rules = self.rules.names();
        let mut found = Vec::new();
        for (number, name) in (0..).zip(self.challengers.names()) {
            let names = Names { rules: rules.clone(), challengers: vec![name] };
            let of_kind = self.decided.iter().filter(|decided| decided.sample.kind == kind);
            let samples = of_kind.filter_map(|decided| {
                let said = decided.challengers.iter().find(|(of, _)| *of == number)?;
                let (label, challengers) = (label(decided), vec![said.1]);
                Some(Sample { label, challengers, ..decided.sample.clone() })
            });
            found.push((names, samples.collect()));
        }
        found
    }
}

//! Decisions decided again from their own records.

use std::collections::HashMap;

use indicatif::ProgressBar;
use serde::Deserialize;

use super::{bar, unreadable};
use crate::codec::{Contract, Encoder, body, decode_offline};
use crate::event::Decision;
use crate::policy::{Recall, Trouble};
use crate::score::{Attribution, Engine};
use crate::snapshot::Vault;

/// Differences shown.
const SHOWN_MAX: u64 = 10;
/// Policies kept at once: a topic rarely holds more than these side by side.
const ENGINES_MAX: usize = 256;

/// How many decisions were decided again, and how that went.
pub(super) struct Tally {
    pub(super) same: u64,
    pub(super) different: u64,
    bar: ProgressBar,
}

impl Tally {
    /// `expected`: decisions that there may be.
    pub(super) fn new(expected: u64) -> Tally {
        Tally { same: 0, different: 0, bar: bar(expected) }
    }

    pub(super) fn count(&self) -> usize {
        usize::try_from(self.same + self.different).unwrap_or(usize::MAX)
    }

    /// One more; `at` names it.
    pub(super) fn add(&mut self, at: impl Fn() -> String, verified: Result<(), String>) {
        match verified {
            Ok(()) => self.same += 1,
            Err(reason) => {
                self.different += 1;
                if self.different <= SHOWN_MAX {
                    self.bar.suspend(|| eprintln!("{}: {reason}", at()));
                }
            }
        }
        self.bar.inc(1);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Decides again from records, by the policies that the records name.
pub(super) struct Verifier {
    recall: Option<Recall>,
    /// the place of policies did not answer
    pub(super) away: Option<Trouble>,
    engines: HashMap<String, Result<Engine, String>>,
    encoder: Encoder,
    before: Vec<u8>,
    again: Vec<u8>,
}

impl Verifier {
    /// `vault`: where policies are kept, if it is there.
    pub(super) fn new(vault: Option<Vault>) -> Verifier {
        Verifier {
            recall: vault.map(Recall::new),
            away: None,
            engines: HashMap::new(),
            encoder: Encoder::default(),
            before: Vec::new(),
            again: Vec::new(),
        }
    }

    /// What decided then.
    fn engine(&mut self, policy: &str) -> Result<&Engine, String> {
        if !self.engines.contains_key(policy) {
            if self.engines.len() >= ENGINES_MAX {
                self.engines.clear();
                self.recall.iter_mut().for_each(Recall::forget);
            }
            let engine = match &mut self.recall {
                Some(recall) => match recall.engine(policy) {
                    // that the place is away disproves nothing
                    Err(trouble @ Trouble::Unavailable(_)) => {
                        let reason = trouble.to_string();
                        self.away = Some(trouble);
                        return Err(reason);
                    }
                    recalled => recalled.map_err(|trouble| trouble.to_string()),
                },
                None => {
                    Err(format!("policy {policy} is not kept: there is no folder of snapshots"))
                }
            };
            self.engines.insert(policy.to_owned(), engine);
        }
        match self.engines.get(policy) {
            Some(Ok(engine)) => Ok(engine),
            Some(Err(reason)) => Err(reason.clone()),
            None => Err(format!("no policy {policy}")),
        }
    }

    /// The names of a decision's features; none where its policy is not kept.
    pub(super) fn features(&mut self, decision: &Decision<'_>) -> Vec<String> {
        let names = |engine: &Engine| {
            engine.rules().features().names().map(|(name, _)| name.to_owned()).collect()
        };
        self.engine(&decision.policy).map(names).unwrap_or_default()
    }

    /// What each feature did to the scores of the models; nothing where the policy is not kept.
    pub(super) fn attributions(&mut self, decision: &Decision<'_>) -> Vec<Attribution> {
        let engine = self.engine(&decision.policy);
        engine.and_then(|engine| engine.explain(decision)).unwrap_or_default()
    }

    /// Decides again from a record and compares the bytes.
    pub(super) fn verify(&mut self, record: &[u8]) -> Result<(), String> {
        let decision: Decision<'_> =
            decode_offline(Contract::Decision, record).map_err(|error| unreadable(&error))?;
        // how the schema is named is no part of what was decided
        self.compare(&decision, body(record))
    }

    /// The same from a line of JSON.
    pub(super) fn verify_line(&mut self, line: &str) -> Result<(), String> {
        let value: serde_json::Value =
            serde_json::from_str(line).map_err(|error| unreadable(&error))?;
        let decision = Decision::deserialize(&value).map_err(|error| unreadable(&error))?;
        let mut before = std::mem::take(&mut self.before);
        before.clear();
        let encoded = self.encoder.encode(Contract::Decision, &decision, &mut before);
        let compared = encoded
            .map_err(|error| error.to_string())
            .and_then(|()| self.compare(&decision, body(&before)));
        self.before = before;
        compared
    }

    fn compare(&mut self, decision: &Decision<'_>, before: &[u8]) -> Result<(), String> {
        // taken out for a moment, because the encoder is needed beside it
        let mut again = std::mem::take(&mut self.again);
        again.clear();
        let mut encoder = std::mem::take(&mut self.encoder);
        let compared = self.engine(&decision.policy).and_then(|engine| {
            let decided = engine.rerun(decision)?;
            encoder
                .encode(Contract::Decision, &decided, &mut again)
                .map_err(|error| error.to_string())?;
            if body(&again) == before {
                return Ok(());
            }
            Err(format!(
                "decided again: {} at {}, the record says {} at {}",
                decided.outcome.name(),
                decided.score,
                decision.outcome.name(),
                decision.score
            ))
        });
        (self.again, self.encoder) = (again, encoder);
        compared
    }
}

//! What was scored, in the order of the events again.

use std::collections::{BTreeMap, HashMap};

use crossbeam_channel::Receiver;

use super::export::Export;
use super::judge::{Lost, Scored, Verdicts};
use super::truth::Known;
use super::{BacktestError, Sample};

/// Collects samples.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// what came before its turn; never more than there are credits
    early: BTreeMap<u64, Verdicts>,
    next: u64,
    samples: Vec<Sample>,
    /// of each sample, where something may be known under it
    subjects: Vec<u128>,
    /// by [`State::key`](crate::state::State::key)
    accounts: HashMap<u128, u32>,
}

impl Collector {
    /// Collects until all is done, and gives a credit back for each batch. `look` is called at each.
    pub(super) fn collect(
        &mut self,
        results: &Receiver<Result<Verdicts, Lost>>,
        credits: &Receiver<()>,
        mut export: Option<&mut Export>,
        mut look: impl FnMut(),
    ) -> Result<(), BacktestError> {
        for verdicts in results {
            let verdicts = verdicts.map_err(|Lost| BacktestError::Panicked("scoring an event"))?;
            self.early.insert(verdicts.number, verdicts);
            while let Some(verdicts) = self.early.remove(&self.next) {
                self.next += 1;
                // there is one for each batch, and nobody to give it to at the end
                let _credit = credits.try_recv();
                if let (Some(export), Some(lines)) = (export.as_deref_mut(), &verdicts.lines) {
                    export.write(lines)?;
                }
                verdicts.scored.into_iter().for_each(|scored| self.add(scored));
            }
            look();
        }
        Ok(())
    }

    fn add(&mut self, scored: Scored) {
        let Scored { mut sample, account, subject } = scored;
        // there are fewer accounts than events, and fewer of those than fit into memory
        let number = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        sample.account = *self.accounts.entry(account).or_insert(number);
        self.samples.push(sample);
        self.subjects.push(subject);
    }

    /// All samples, with what is known of them in the end.
    pub(super) fn into_samples(mut self, known: Option<Known>) -> Vec<Sample> {
        if let Some(known) = known {
            for (sample, subject) in self.samples.iter_mut().zip(self.subjects) {
                sample.label = known.label(sample.kind, subject);
            }
        }
        self.samples
    }
}

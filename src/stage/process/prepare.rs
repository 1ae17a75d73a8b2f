//! Records before their turn: decoded, and what they will change fetched from memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Processor, erasure, key};
use crate::codec::{DecodeError, Decoded, Refusal, RegistryError};
use crate::event::{Kind, Position};
use crate::log::Record;
use crate::state::{Facts, Found, State};

/// A record that is about to be processed.
#[derive(Debug)]
pub enum Prepared<'r> {
    /// it is an event
    Ready(Box<Ready<'r>>),
    /// it is a tombstone: what its topic said of the account is to be forgotten
    Erasure {
        /// which
        account: u128,
        /// what the topic carries
        kind: Kind,
    },
    /// it is none of these
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
    pub(super) decoded: Decoded<'r>,
    pub(super) facts: Facts,
    pub(super) account: u128,
    pub(super) partition: u32,
}

impl Processor {
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
        self.profiles.fetch(ready().map(|ready| &ready.facts));
        prepared
    }

    fn prepare_one<'r>(&self, record: &'r Record) -> Prepared<'r> {
        match erasure(record) {
            Ok(None) => {}
            Ok(Some((account, kind))) => return Prepared::Erasure { account, kind },
            Err(refusal) => return Prepared::Refused(refusal),
        }
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
}

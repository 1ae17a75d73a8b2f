//! What a processor remembers: read back from the log, handed over, shown, captured and loaded.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Deserialize;

use super::{Processor, came, erasure, key, panicked};
use crate::codec::{
    Contract, DecodeError, OwnError, RegistryError, decode_own, erased_account, erased_by,
};
use crate::event::{Escalation, Fired, Millis, Slot, Touch};
use crate::log::Record;
use crate::snapshot::Series;
use crate::stage::snapshots::{Captured, Load, Loaded, Table};
use crate::state::{BodyError, Range, State};

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

/// A record that weir wrote. One that cannot be read at all is none of its own, and is told.
///
/// # Errors
/// When its schema cannot be had now.
pub fn read_own<'r, T: Deserialize<'r>>(
    record: &'r Record,
    contract: Contract,
) -> Result<Option<T>, RegistryError> {
    match decode_own(contract, record.payload()) {
        Ok(own) => Ok(Some(own)),
        Err(OwnError::Unavailable(error)) => Err(error),
        Err(error @ OwnError::Unreadable(_)) => {
            tracing::error!(position = %record.position, %error, "unreadable record of weir's own");
            Ok(None)
        }
    }
}

impl Processor {
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

    /// Forgets, of one part of each partition and of the profiles kept here, what no reader can see any
    /// more: where no snapshots are made, which do the same.
    pub fn expire_next(&mut self) {
        let states = self.states.values_mut();
        states.for_each(|state| state.expire_next(&self.set, self.horizon));
        if self.inline {
            self.profiles.expire_next(&self.set);
        }
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
        if let Some(touch) = read_own::<Touch<'_>>(record, Contract::Touch)? {
            let has_seen = |id| loaded.has_seen(id, record.position);
            touch.events.iter().for_each(|event| self.profiles.apply(&self.set, event, has_seen));
        }
        Ok(())
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

    /// Remembers a record without deciding about it, or forgets an account at its tombstone, as its
    /// first life did: used at restore, where records that became dead letters are left out by the caller.
    ///
    /// # Errors
    /// The refusal, where it is not an event any more; or that its schema cannot be had now.
    pub fn remember(&mut self, record: &Record, loaded: &Loaded) -> Result<(), DecodeError> {
        let position = record.position;
        let state = self.states.entry(position.partition).or_default();
        if let Some((account, kind)) = erasure(record)? {
            if !loaded.has_seen(account, position) {
                state.erase(&self.set, account, kind);
            }
            return Ok(());
        }
        let (decoder, set, horizon) = (&self.decoder, &self.set, self.horizon);
        catch_unwind(AssertUnwindSafe(|| {
            let decoded = decoder.decode(record)?;
            let (event, facts) = (&decoded.event, set.facts(&decoded.event));
            let account = State::key(key(record));
            match loaded.has_seen(account, position) {
                true => state.pass(event),
                false => {
                    state.apply(set, account, event, &facts, came(record), horizon, None);
                }
            }
            Ok(())
        }))
        .unwrap_or_else(|_| Err(panicked(position).into()))
    }

    /// Remembers an escalation that the owner of its account reads back, or forgets all of them at the
    /// account's tombstone; whether it did so.
    ///
    /// # Errors
    /// When its schema cannot be had now. What cannot be read at all is none of weir's, and is told.
    pub fn recall(&mut self, record: &Record, loaded: &Loaded) -> Result<bool, RegistryError> {
        let account = State::key(key(record));
        if loaded.has_seen(account, record.position) {
            return Ok(false);
        }
        if erased_by(record).is_some() {
            if let Err(refusal) = erased_account(record) {
                tracing::error!(position = %record.position, %refusal, "a tombstone erases nothing");
                return Ok(false);
            }
            let state = self.states.entry(record.position.partition).or_default();
            state.erase_escalated(&self.set, account);
            return Ok(true);
        }
        if let Some(escalation) = read_own::<Escalation<'_>>(record, Contract::Escalation)? {
            let state = self.states.entry(record.position.partition).or_default();
            state.escalated(&self.set, account, escalation.event_time);
        }
        Ok(false)
    }

    /// Remembers a stage of a deadline that fired in an earlier life.
    ///
    /// # Errors
    /// When its schema cannot be had now. What cannot be read at all is none of weir's, and is told.
    pub fn has_fired(&mut self, record: &Record) -> Result<(), RegistryError> {
        if let Some(fired) = read_own::<Fired<'_>>(record, Contract::Fired)? {
            let state = self.states.entry(record.position.partition).or_default();
            state.has_fired(&fired, &self.deadlines);
        }
        Ok(())
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

//! What weir remembers of each account, in memory, owned by the worker of its partition.
//!
//! An account's state has one section per input topic. A section is written only by records of its
//! own topic, in offset order, so that the state is a function of each partition's log and does not
//! depend on how topics interleave; a decision reads all sections and joins there. There is no
//! changelog: the state is rebuilt by decoding, deduplicating and applying the input again.

mod account;
mod dedupe;
mod features;
mod windows;

use std::hash::{Hash, Hasher};

use hashbrown::HashMap;

pub use account::{Account, Section};
pub use dedupe::{Horizon, Seen};
pub use features::{FEATURES, FeatureType, Features, feature_set_hash};

use crate::event::Event;

/// The accounts of one partition.
#[derive(Debug, Default)]
pub struct State {
    accounts: HashMap<String, Account>,
}

impl State {
    /// The account of this key (`tenant/account_id`), made if it is new.
    pub fn account(&mut self, key: &str) -> &mut Account {
        // `entry` would copy the key of a known account too; hashbrown's `entry_ref` does not
        self.accounts.entry_ref(key).or_default()
    }

    /// Applies an event and says whether it was new.
    pub fn apply(
        &mut self,
        key: &str,
        event: &Event<'_>,
        payload: &[u8],
        horizon: Horizon,
    ) -> Seen {
        self.account(key).apply(event, payload, horizon)
    }

    /// Number of accounts.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }

    /// Memory of all accounts in bytes, keys included, the map's own spare room not.
    pub fn bytes(&self) -> usize {
        self.accounts
            .iter()
            .map(|(key, account)| size_of::<(String, Account)>() + key.len() + account.heap_bytes())
            .sum()
    }

    /// A hash of everything remembered, equal for equal states however they came about.
    pub fn hash(&self) -> u64 {
        let mut keys: Vec<&str> = self.accounts.keys().map(AsRef::as_ref).collect();
        keys.sort_unstable();
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for key in keys {
            key.hash(&mut hasher);
            self.accounts.get(key).hash(&mut hasher);
        }
        hasher.finish()
    }
}

//! A schema registry with Confluent's API.
//!
//! ```text
//!  start ──► each topic's subject ──► look our contract up, register it if absent ──► its id
//!  record with an id ──► cache ──► else ask, again and again for a bounded time ──► cache
//! ```
//!
//! What is asked while records flow are ids that were never seen before. An id never changes its
//! meaning, so what is known stays known; an id without schema counts as unknown for a short while
//! only, since its producer may have been quicker than its registry. Trouble is never remembered
//! and never makes a dead letter: the worker starts again.

mod cache;
mod client;
mod error;
mod register;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use self::cache::Cache;
use self::client::{Answer, Client, Question};
use super::Contract;
use super::writers::Writer;
use crate::config::{Registry as Section, limits};
use crate::event::Code;

pub use self::error::RegistryError;

/// The id of each contract in a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids([Option<u32>; Contract::ALL.len()]);

impl Ids {
    /// The contract's id, where it is registered.
    pub fn get(&self, contract: Contract) -> Option<u32> {
        self.0[contract as usize]
    }

    /// The same with this id for that contract.
    pub fn with(mut self, contract: Contract, id: u32) -> Ids {
        self.0[contract as usize] = Some(id);
        self
    }
}

/// What an id stands for.
#[derive(Debug)]
pub(super) enum Known {
    /// a record's schema
    Writer(Writer),
    /// something that no record of ours is read with
    Unusable {
        /// of its records' dead letters
        code: Code,
        /// what it is and what was expected
        why: String,
    },
}

/// A registry, asked from plain threads. Shared by all of them.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    ids: Ids,
    cache: Cache<Arc<Known>>,
    /// the longest that one id is asked for
    lookup: Duration,
    /// the longest that a start takes
    start: Duration,
}

/// A schema as a registry gives it, alone or as a version of a subject.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(default)]
    id: Option<u32>,
    #[serde(default)]
    version: Option<u32>,
    schema: String,
    #[serde(default, rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Value>>,
}

impl Registry {
    /// A registry to look ids up in; nothing is asked yet and nothing registered.
    ///
    /// # Errors
    /// When no client can be made for it.
    pub fn connect(section: &Section) -> Result<Registry, RegistryError> {
        let limits = limits();
        Ok(Registry {
            client: Client::new(section)?,
            ids: Ids::default(),
            cache: Cache::new(
                limits.registry_schemas_max,
                limits.registry_unknown_max,
                limits.registry_unknown_ttl,
            ),
            lookup: limits.registry_lookup,
            start: limits.registry_start,
        })
    }

    /// A registry that has the contracts of every topic. Blocks for a bounded time.
    ///
    /// # Errors
    /// When it does not answer, an output's contract is incompatible with what is registered, or
    /// the latest version of an input's subject cannot be read as ours.
    pub fn start(section: &Section) -> Result<Arc<Registry>, RegistryError> {
        let mut registry = Registry::connect(section)?;
        registry.ids = registry.register(section)?;
        Ok(Arc::new(registry))
    }

    /// The ids of our contracts.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// What an id stands for, `None` where the registry does not know it. Blocks where it must be
    /// asked for.
    pub(super) fn schema(&self, id: u32) -> Result<Option<Arc<Known>>, RegistryError> {
        match self.cache.get(id, Instant::now) {
            Some(known) => Ok(known),
            None => self.fetch(id),
        }
    }

    fn fetch(&self, id: u32) -> Result<Option<Arc<Known>>, RegistryError> {
        let question = Question { path: &["schemas", "ids", &id.to_string()], body: None };
        match self.client.ask(question, Instant::now() + self.lookup)? {
            Answer::Found(found) => {
                let known = Arc::new(Known::of(&self.listed(question, found)?));
                self.cache.learn(id, Arc::clone(&known));
                Ok(Some(known))
            }
            Answer::Absent => {
                self.cache.has_none(id, Instant::now());
                Ok(None)
            }
            Answer::Conflict(why) => Err(self.client.useless(question, 409, why)),
        }
    }

    fn listed(&self, question: Question<'_>, found: Value) -> Result<Listed, RegistryError> {
        serde_json::from_value(found).map_err(|error| {
            self.client.useless(question, 200, format!("{error}, expected a schema"))
        })
    }
}

impl Known {
    fn of(listed: &Listed) -> Known {
        let kind = listed.schema_type.as_deref().unwrap_or("AVRO");
        if kind != "AVRO" {
            let why = format!("it is a {kind} schema, expected AVRO");
            return Known::Unusable { code: Code::WrongSchema, why };
        }
        let references = listed.references.as_ref().map_or(0, Vec::len);
        if references > 0 {
            let why = format!(
                "it refers to {references} other schemas, which is not supported: expected one \
                 that stands alone"
            );
            return Known::Unusable { code: Code::IncompatibleSchema, why };
        }
        match Writer::parse(&listed.schema) {
            Ok(writer) => Known::Writer(writer),
            Err(why) => Known::Unusable { code: Code::IncompatibleSchema, why },
        }
    }
}

#[cfg(test)]
mod tests;

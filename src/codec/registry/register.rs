//! Our contracts in the registry, before anything runs.
//!
//! An output's contract is looked up under its subject, and registered where it is not there yet;
//! the registry refuses it if it breaks the subject's own rule. One that is there already was
//! accepted once and is taken as it is: an older weir goes on beside a newer one, and so does one
//! that may only read the registry.
//!
//! An input belongs to its producers. If its subject has a version, we must be able to read the
//! latest; our contract gets an id only where it is one of the subject's versions. A subject without
//! any gets ours, so that producers find it.

use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answer, Question};
use super::{Ids, Known, Listed, Registry, RegistryError};
use crate::codec::Contract;
use crate::config::Registry as Section;
use crate::event::Topic;

/// The id is all that is read of an answer to a registration.
#[derive(Deserialize)]
struct Registered {
    id: u32,
}

/// One topic's turn.
struct Turn<'a> {
    registry: &'a Registry,
    subject: &'a str,
    contract: Contract,
    deadline: Instant,
}

impl Registry {
    /// Sees to it that every topic's subject has what we write or can read.
    pub(super) fn register(&self, section: &Section) -> Result<Ids, RegistryError> {
        let deadline = Instant::now() + self.start;
        let mut ids = Ids::default();
        for topic in Topic::ALL {
            let contract = Contract::of_topic(topic);
            let subject = &section.subject(topic.name());
            let turn = Turn { registry: self, subject, contract, deadline };
            let id = match Topic::INPUTS.contains(&topic) {
                true => turn.input()?,
                false => Some(turn.output()?),
            };
            if let Some(id) = id {
                tracing::info!(subject, id, "contract of topic {topic} is registered");
                ids = ids.with(contract, id);
            }
        }
        Ok(ids)
    }
}

impl Turn<'_> {
    fn output(&self) -> Result<u32, RegistryError> {
        match self.look_up()? {
            Some(id) => Ok(id),
            None => self.post(),
        }
    }

    fn input(&self) -> Result<Option<u32>, RegistryError> {
        let Some(latest) = self.latest()? else {
            return self.post().map(Some);
        };
        if let Some(why) = self.unreadable(&latest) {
            return Err(self.incompatible(Some(&latest), why));
        }
        self.look_up()
    }

    /// The id of our contract under the subject, where it is one of its versions.
    fn look_up(&self) -> Result<Option<u32>, RegistryError> {
        let (path, body) = (["subjects", self.subject], self.body());
        let question = Question { path: &path, body: Some(&body) };
        match self.ask(question)? {
            Answer::Found(found) => self.id(question, found).map(Some),
            Answer::Absent => Ok(None),
            Answer::Conflict(why) => Err(self.registry.client.useless(question, 409, why)),
        }
    }

    fn post(&self) -> Result<u32, RegistryError> {
        let (path, body) = (["subjects", self.subject, "versions"], self.body());
        let question = Question { path: &path, body: Some(&body) };
        match self.ask(question)? {
            Answer::Found(found) => self.id(question, found),
            Answer::Absent => {
                let why = "no such subject, expected it to be made".to_owned();
                Err(self.registry.client.useless(question, 404, why))
            }
            Answer::Conflict(why) => {
                let why = if why.is_empty() { "the registry does not say why".into() } else { why };
                Err(self.incompatible(self.latest()?.as_ref(), why))
            }
        }
    }

    fn latest(&self) -> Result<Option<Listed>, RegistryError> {
        let path = ["subjects", self.subject, "versions", "latest"];
        let question = Question { path: &path, body: None };
        match self.ask(question)? {
            Answer::Found(found) => self.registry.listed(question, found).map(Some),
            Answer::Absent => Ok(None),
            Answer::Conflict(why) => Err(self.registry.client.useless(question, 409, why)),
        }
    }

    /// Why records of the subject's latest version cannot be read as ours.
    fn unreadable(&self, latest: &Listed) -> Option<String> {
        match Known::of(latest) {
            Known::Writer(writer) if writer.contract != Some(self.contract) => {
                Some(format!("it is {}, expected a {:?}", writer.name, self.contract))
            }
            Known::Writer(writer) => writer.incompatible,
            Known::Unusable { why, .. } => Some(why),
        }
    }

    fn incompatible(&self, latest: Option<&Listed>, why: String) -> RegistryError {
        let number = |number: Option<u32>| number.map_or("?".to_owned(), |n| n.to_string());
        let latest = latest.map_or_else(
            || "no version".to_owned(),
            |latest| format!("version {} (id {})", number(latest.version), number(latest.id)),
        );
        let fingerprint = u64::from_le_bytes(*self.contract.schema().rabin_fingerprint());
        RegistryError::Incompatible {
            url: self.registry.client.url.clone(),
            subject: self.subject.to_owned(),
            latest,
            ours: format!("weir.{:?} (fingerprint {fingerprint:016x})", self.contract),
            why,
        }
    }

    fn ask(&self, question: Question<'_>) -> Result<Answer, RegistryError> {
        self.registry.client.ask(question, self.deadline)
    }

    fn body(&self) -> Value {
        json!({ "schema": self.contract.text(), "schemaType": "AVRO" })
    }

    fn id(&self, question: Question<'_>, found: Value) -> Result<u32, RegistryError> {
        let registered: Result<Registered, _> = serde_json::from_value(found);
        registered.map(|registered| registered.id).map_err(|error| {
            self.registry.client.useless(question, 200, format!("{error}, expected an id"))
        })
    }
}

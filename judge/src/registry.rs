//! Schemas of Confluent-framed records, by the ids a schema registry gave them.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::error::Unreadable;
use crate::schemas::Known;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// Ids with a schema; a registry gives one to each version of a few subjects.
const SCHEMAS_MAX: usize = 4_096;

/// A registry and what it said so far.
pub struct Registry {
    url: String,
    agent: ureq::Agent,
    /// ids asked for, and where the schema is; `None`: there is none
    asked: Mutex<HashMap<u32, Option<usize>>>,
    /// readers borrow the schemas, so they never move
    schemas: Box<[OnceLock<Known>]>,
}

impl Registry {
    /// Asks nothing yet; a path in the URL is kept.
    pub fn new(url: &str) -> Registry {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER))
            .http_status_as_error(false)
            .proxy(None);
        Registry {
            url: url.trim_end_matches('/').to_owned(),
            agent: config.build().into(),
            asked: Mutex::default(),
            schemas: (0..SCHEMAS_MAX).map(|_| OnceLock::new()).collect(),
        }
    }

    /// The schema of an id; `None` when the registry has none.
    ///
    /// # Errors
    /// When it gives no answer that decides.
    pub fn schema(&self, id: u32) -> Result<Option<&Known>, Unreadable> {
        // whoever panicked left at most an id that was not asked for
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = asked.get(&id) {
            return Ok(slot.and_then(|slot| self.schemas[slot].get()));
        }
        let Some(text) = self.ask(id)? else {
            asked.insert(id, None);
            return Ok(None);
        };
        let fault = |why: String| self.fault(id, why);
        let known = Known::parse(&text)
            .map_err(|error| fault(format!("its schema is not one of Avro: {error}")))?;
        let slot = asked.values().flatten().count();
        let Some(place) = self.schemas.get(slot) else {
            return Err(fault(format!("more than {SCHEMAS_MAX} schemas are in use")));
        };
        asked.insert(id, Some(slot));
        Ok(Some(place.get_or_init(|| known)))
    }

    fn ask(&self, id: u32) -> Result<Option<String>, Unreadable> {
        let fault = |why: String| self.fault(id, why);
        let response = self.agent.get(format!("{}/schemas/ids/{id}", self.url)).call();
        let mut response = response.map_err(|error| fault(error.to_string()))?;
        match response.status().as_u16() {
            200 => {}
            404 => return Ok(None),
            status => return Err(fault(format!("answered {status}, expected 200 or 404"))),
        }
        let body = response.body_mut().read_to_string();
        let body = body.map_err(|error| fault(error.to_string()))?;
        let answer: serde_json::Value =
            serde_json::from_str(&body).map_err(|error| fault(error.to_string()))?;
        let schema = answer.get("schema").and_then(serde_json::Value::as_str);
        let schema = schema.ok_or_else(|| fault("the answer has no text \"schema\"".to_owned()))?;
        Ok(Some(schema.to_owned()))
    }

    fn fault(&self, id: u32, why: String) -> Unreadable {
        let url = without_credentials(&self.url);
        Unreadable::Registry { url: format!("{url}/schemas/ids/{id}"), why }
    }
}

fn without_credentials(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.find('/').unwrap_or(rest.len());
    match rest[..host].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_an_address_are_not_shown() {
        for (url, shown) in [
            ("http://me:secret@host:8081/apis/v7", "http://host:8081/apis/v7"),
            ("http://host/a@b", "http://host/a@b"),
            ("host", "host"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}

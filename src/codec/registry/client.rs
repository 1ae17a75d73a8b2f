//! Questions to a schema registry over HTTP, from threads that know no runtime.
//!
//! | answer | means |
//! |---|---|
//! | 2xx | the answer |
//! | 404 with error code 40401 to 40403 | there is no such subject, version or schema |
//! | 409 | incompatible |
//! | 408, 425, 429, 5xx, time-out, no connection, half an answer | again, until time is up |
//! | anything else | an answer of no use: a setting is wrong |

use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client as Http, Method, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::{Builder, Handle, Runtime};

use super::RegistryError;
use crate::config::{Login, Registry as Section, limits};
use crate::outbound;
use crate::telemetry::causes;

const JSON: &str = "application/vnd.schemaregistry.v1+json";
/// Characters of what a registry says that are kept.
const WHY_CHARS_MAX: usize = 500;
/// Connections are used again within a start's questions and hardly ever later.
const IDLE: Duration = Duration::from_secs(2);

/// One question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    /// below the base; each is escaped
    pub(super) path: &'a [&'a str],
    /// a POST of this, else a GET
    pub(super) body: Option<&'a Value>,
}

/// What came back.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// as asked
    Found(Value),
    /// no such subject, version or schema
    Absent,
    /// why it is incompatible
    Conflict(String),
}

/// Asks a registry.
#[derive(Debug)]
pub(super) struct Client {
    http: Http,
    /// for messages: what was configured, which has no user in it
    pub(super) url: String,
    base: Url,
    login: Option<Login>,
    timeout: Duration,
    /// always there until the end
    runtime: Option<Runtime>,
}

/// How a registry says what is wrong.
#[derive(Default, Deserialize)]
struct Fault {
    #[serde(default)]
    error_code: i64,
    #[serde(default)]
    message: String,
}

/// An attempt without a usable answer.
enum Failed {
    /// worth another one
    Again(String),
    /// not
    Useless { status: u16, why: String },
}

impl Client {
    pub(super) fn new(section: &Section) -> Result<Client, RegistryError> {
        let error = |why: String| RegistryError::Client { url: section.url.clone(), why };
        let base: Url = section.url.parse().map_err(|reason| error(format!("{reason}")))?;
        if base.cannot_be_a_base() {
            return Err(error("expected http:// or https:// and a host".to_owned()));
        }
        let http = http(&base).map_err(|why| error(reason(&why)))?;
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Client {
            http,
            url: section.url.clone(),
            base,
            login: section.login.clone(),
            timeout: section.timeout,
            runtime: Some(runtime.map_err(|reason| error(reason.to_string()))?),
        })
    }

    /// Asks until there is an answer or the deadline has passed. Blocks, at most until then.
    pub(super) fn ask(
        &self,
        question: Question<'_>,
        deadline: Instant,
    ) -> Result<Answer, RegistryError> {
        let Some(runtime) = &self.runtime else {
            let why = "it has ended".to_owned();
            return Err(RegistryError::Client { url: self.url.clone(), why });
        };
        let asking = self.ask_again(question, deadline);
        if Handle::try_current().is_err() {
            return runtime.block_on(asking);
        }
        // a thread of another runtime must not drive this one
        let lost = |why: &str| RegistryError::Client { url: self.url.clone(), why: why.to_owned() };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("weir-registry".into());
            let asking = thread.spawn_scoped(scope, || runtime.block_on(asking));
            let asking = asking.map_err(|error| lost(&error.to_string()))?;
            asking.join().unwrap_or_else(|_| Err(lost("its thread panicked")))
        })
    }

    async fn ask_again(
        &self,
        question: Question<'_>,
        deadline: Instant,
    ) -> Result<Answer, RegistryError> {
        let began = Instant::now();
        let limits = limits();
        let (mut pause, mut attempts) = (limits.registry_backoff, 0);
        loop {
            attempts += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = self.timeout.min(left);
            let attempt = tokio::time::timeout(timeout, self.attempt(question)).await;
            let late = || Failed::Again(format!("no answer within {timeout:.1?}"));
            let why = match attempt.unwrap_or_else(|_| Err(late())) {
                Ok(answer) => return Ok(answer),
                Err(Failed::Useless { status, why }) => {
                    return Err(self.useless(question, status, why));
                }
                Err(Failed::Again(why)) => why,
            };
            let doing = doing(question);
            if deadline.saturating_duration_since(Instant::now()) <= pause {
                let (url, waited) = (self.url.clone(), began.elapsed());
                return Err(RegistryError::Unavailable { url, doing, attempts, waited, why });
            }
            tracing::warn!(url = self.url, doing, attempts, why, "schema registry, asking again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(limits.registry_backoff_max);
        }
    }

    async fn attempt(&self, question: Question<'_>) -> Result<Answer, Failed> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(question.path);
        }
        let method = if question.body.is_some() { Method::POST } else { Method::GET };
        let mut request = self.http.request(method, url).header(ACCEPT, JSON);
        if let Some(Login { username, password }) = &self.login {
            request = request.basic_auth(username, Some(password.reveal()));
        }
        if let Some(body) = question.body {
            request = request.header(CONTENT_TYPE, JSON).body(body.to_string());
        }
        let again = |error: reqwest::Error| Failed::Again(reason(&error));
        let mut response = request.send().await.map_err(again)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(again)? {
            body.extend_from_slice(&chunk);
            let most = limits().registry_answer_bytes_max;
            if body.len() > most {
                let why = format!("an answer of more than {most} bytes");
                return Err(Failed::Useless { status, why });
            }
        }
        judge(status, &body)
    }

    /// An answer that is no use.
    pub(super) fn useless(
        &self,
        question: Question<'_>,
        status: u16,
        why: String,
    ) -> RegistryError {
        RegistryError::Answer { url: self.url.clone(), doing: doing(question), status, why }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // a plain drop would wait, which threads of another runtime must not do
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn doing(question: Question<'_>) -> String {
    let method = if question.body.is_some() { "POST" } else { "GET" };
    format!("{method} {}", question.path.join("/"))
}

fn judge(status: u16, body: &[u8]) -> Result<Answer, Failed> {
    let said = || {
        let fault: Fault = serde_json::from_slice(body).unwrap_or_default();
        let (code, message) = (fault.error_code, fault.message);
        (code, message.chars().take(WHY_CHARS_MAX).collect::<String>())
    };
    match status {
        200..=299 => serde_json::from_slice(body).map(Answer::Found).map_err(|error| {
            let why = format!("{} bytes that are not JSON: {error}", body.len());
            Failed::Useless { status, why }
        }),
        404 => match said() {
            (40_401..=40_403, _) => Ok(Answer::Absent),
            (_, message) => {
                let why = format!("{message:?}, expected a registry there: is its path right?");
                Err(Failed::Useless { status, why })
            }
        },
        409 => Ok(Answer::Conflict(said().1)),
        408 | 425 | 429 | 500..=599 => match said() {
            (_, message) if message.is_empty() => Err(Failed::Again(format!("status {status}"))),
            (_, message) => Err(Failed::Again(format!("status {status}, {message:?}"))),
        },
        300..=399 => {
            let why = "a redirect, which is not followed: expected its own address".to_owned();
            Err(Failed::Useless { status, why })
        }
        401 | 403 => {
            let (_, message) = said();
            let why = format!("{message:?}, expected username and password to be enough");
            Err(Failed::Useless { status, why })
        }
        _ => Err(Failed::Useless { status, why: format!("{:?}", said().1) }),
    }
}

fn http(base: &Url) -> Result<Http, reqwest::Error> {
    outbound::client(outbound::builder().pool_idle_timeout(IDLE), base.scheme() == "https")
}

/// Why a request was not made, without the URL.
fn reason(error: &reqwest::Error) -> String {
    match causes(error) {
        none if none.is_empty() => "the request could not be made".to_owned(),
        text => text.chars().take(WHY_CHARS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        for status in 100..=599u16 {
            let bare = judge(status, b"<html>");
            let known = judge(status, br#"{"error_code":40403,"message":"no such"}"#);
            match status {
                200..=299 => {
                    // a page that is no JSON is no answer, whatever its status
                    assert!(matches!(bare, Err(Failed::Useless { .. })), "{status}");
                    assert!(matches!(known, Ok(Answer::Found(_))), "{status}");
                }
                404 => {
                    assert!(matches!(bare, Err(Failed::Useless { .. })), "some other service's");
                    assert!(matches!(known, Ok(Answer::Absent)), "{status}");
                }
                409 => assert!(matches!(known, Ok(Answer::Conflict(why)) if why == "no such")),
                408 | 425 | 429 | 500..=599 => {
                    assert!(matches!(bare, Err(Failed::Again(_))), "{status}");
                    assert!(matches!(known, Err(Failed::Again(_))), "{status}");
                }
                _ => assert!(matches!(known, Err(Failed::Useless { .. })), "{status}"),
            }
        }
    }
}

//! One attempt: a signed request, and what its answer means.
//!
//! | answer | means |
//! |---|---|
//! | 2xx | delivered |
//! | 408, 425, 429, 5xx, time-out, no connection | again later, not before `Retry-After` of a 429 or 503 |
//! | 3xx | undeliverable: redirects are not followed, the receiver's URL is what was configured |
//! | anything else, 410 among it | undeliverable |

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};

use super::NotifyError;
use super::address::{self, RefusedAddress, Resolver};
use super::message::Message;
use super::sign::Signer;
use crate::codec::redact;
use crate::config::Webhook;
use crate::outbound;
use crate::telemetry::{Clock, causes};

/// Bytes of an answer's body that are read, so that its connection can be used again.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// How long a body is waited for.
const BODY_WAIT: Duration = Duration::from_secs(1);
/// Characters of an error's text that are kept.
const WHY_CHARS_MAX: usize = 300;

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// the receiver has it
    Delivered,
    /// the receiver will not take it, now or later
    Refused(Failure),
    /// worth another attempt
    Failed {
        /// why
        failure: Failure,
        /// not before, if the receiver said so
        after: Option<Duration>,
    },
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// for the metric
    pub(super) code: &'static str,
    /// for people
    pub(super) why: String,
}

/// One receiver, ready to be asked.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: Client,
    url: Url,
    signer: Signer,
    clock: Clock,
    timeout: Duration,
}

impl Endpoint {
    /// The receiver of a webhook.
    ///
    /// # Errors
    /// When url, secret or address are not such that anything could be sent.
    pub(super) fn new(webhook: &Webhook, clock: Clock) -> Result<Endpoint, NotifyError> {
        let name = || webhook.name.clone();
        // the URL itself is not shown: its path or query may be the receiver's secret
        let url: Url = webhook.url.parse().map_err(|_| NotifyError::Url(name()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(NotifyError::Url(name()));
        }
        if !webhook.allow_private {
            address::check_literal(&url).map_err(|refused| NotifyError::Address {
                webhook: name(),
                why: refused.to_string(),
            })?;
        }
        let signer = Signer::new(&webhook.secret)
            .map_err(|expected| NotifyError::Secret { webhook: name(), expected })?;
        let client = client(webhook, &url)
            .map_err(|error| NotifyError::Client { webhook: name(), why: reason(&error) })?;
        Ok(Endpoint {
            client,
            url,
            signer,
            clock,
            timeout: Duration::from_millis(webhook.timeout_ms),
        })
    }

    /// Sends a message once. Cancelled, it may or may not have arrived.
    pub(super) async fn attempt(&self, message: &Message) -> Verdict {
        let id = message.id.to_string();
        let timestamp = self.clock.now_ms().div_euclid(1_000);
        let sent = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", self.signer.sign(&id, timestamp, &message.body))
            .body(message.body.clone())
            .send()
            .await;
        match sent {
            Ok(response) => {
                let (status, after) = (response.status(), self.retry_after(&response));
                discard(response).await;
                judge(status, after)
            }
            Err(error) => Verdict::Failed { failure: self.failure(&error), after: None },
        }
    }

    fn failure(&self, error: &reqwest::Error) -> Failure {
        let (code, why) = if is_refused(error) {
            ("address", reason(error))
        } else if error.is_timeout() {
            ("timeout", format!("no answer within {:?}", self.timeout))
        } else {
            ("connection", format!("no answer: {}", reason(error)))
        };
        Failure { code, why }
    }

    fn retry_after(&self, response: &Response) -> Option<Duration> {
        let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
        parse_retry_after(value, self.clock.now_ms())
    }
}

fn client(webhook: &Webhook, url: &Url) -> Result<Client, reqwest::Error> {
    let builder = outbound::builder()
        .timeout(Duration::from_millis(webhook.timeout_ms))
        .dns_resolver(Resolver { allow_private: webhook.allow_private });
    outbound::client(builder, url.scheme() == "https")
}

/// Reads what little of the body it takes to use the connection again. Its content is of no
/// interest, nor is an error: the status has arrived.
async fn discard(mut response: Response) {
    let read = async {
        let mut left = BODY_BYTES_MAX;
        while let Ok(Some(chunk)) = response.chunk().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    let _late = tokio::time::timeout(BODY_WAIT, read).await;
}

fn judge(status: StatusCode, after: Option<Duration>) -> Verdict {
    let failure =
        |code, note: &str| Failure { code, why: format!("status {}{note}", status.as_u16()) };
    match status.as_u16() {
        200..=299 => Verdict::Delivered,
        300..=399 => Verdict::Refused(failure("redirect", ", a redirect, which is not followed")),
        429 => Verdict::Failed { failure: failure("throttled", ""), after },
        503 => Verdict::Failed { failure: failure("unavailable", ""), after },
        408 | 425 | 500..=599 => {
            Verdict::Failed { failure: failure("unavailable", ""), after: None }
        }
        _ => Verdict::Refused(failure("refused", "")),
    }
}

/// RFC 9110, 10.2.3: seconds or a date.
fn parse_retry_after(value: &str, now_ms: i64) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(value)
        .ok()?;
    let left = date.as_millisecond().saturating_sub(now_ms).max(0);
    Some(Duration::from_millis(left.unsigned_abs()))
}

fn is_refused(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if error.is::<RefusedAddress>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// Why a request was not made, without the URL.
fn reason(error: &reqwest::Error) -> String {
    match causes(error) {
        none if none.is_empty() => "the request could not be made".to_owned(),
        text => redact(&text).chars().take(WHY_CHARS_MAX).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let wait = Some(Duration::from_secs(7));
        for code in 100..=599u16 {
            let verdict = judge(StatusCode::from_u16(code).unwrap(), wait);
            match verdict {
                Verdict::Delivered => assert!((200..300).contains(&code), "{code}"),
                Verdict::Failed { after, failure } => {
                    assert!([408, 425, 429].contains(&code) || code >= 500, "{code}");
                    let heard = [429, 503].contains(&code);
                    assert_eq!(after, if heard { wait } else { None }, "{code}");
                    assert!(failure.why.contains(&code.to_string()));
                }
                Verdict::Refused(failure) => {
                    let client = (400..500).contains(&code) && ![408, 425, 429].contains(&code);
                    assert!(client || code < 200 || (300..400).contains(&code), "{code}");
                    assert_eq!(failure.code == "redirect", (300..400).contains(&code));
                }
            }
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 784_111_777_000; // Sun, 06 Nov 1994 08:49:37 GMT
        let seconds = |value| parse_retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:00 GMT"), Some(0), "in the past");
        for bad in ["", "soon", "-5", "1.5", "Sun, 06 Nov"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}

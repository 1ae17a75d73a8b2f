//! `[[webhook]]`: who is told of escalations.

use std::collections::HashSet;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::problem::KEY_PREFIX;
use super::topology::Checker;
use super::{Interpolated, Problem, Secret};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookFile {
    name: Spanned<String>,
    url: Spanned<Interpolated>,
    secret: Option<Spanned<Interpolated>>,
    secret_file: Option<Spanned<Interpolated>>,
    #[serde(default)]
    allow_private: bool,
    timeout_ms: Option<u64>,
    attempts_max: Option<Spanned<u32>>,
    backoff_ms: Option<u64>,
    backoff_max_ms: Option<u64>,
}

/// What the store sink is called beside the webhooks, in metrics and in health.
const STORE_SINK: &str = "store";

/// `[[webhook]]`: escalations as signed HTTP requests.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// unique among the sinks
    pub name: String,
    /// where to
    pub url: String,
    /// `whsec_` and the base64 of the key, as Standard Webhooks has it
    pub secret: Secret,
    /// whether addresses of private networks are allowed
    pub allow_private: bool,
    /// the longest an attempt may take, in milliseconds
    pub timeout_ms: u64,
    /// attempts before the escalation is a dead letter
    pub attempts_max: u32,
    /// pause before the second attempt, in milliseconds; doubles up to the last
    pub backoff_ms: u64,
    /// the longest pause between two attempts, in milliseconds
    pub backoff_max_ms: u64,
}

impl Checker<'_> {
    pub(super) fn webhooks(
        &self,
        files: Vec<WebhookFile>,
        folder: &Path,
        problems: &mut Vec<Problem>,
    ) -> Vec<Webhook> {
        let mut names = HashSet::new();
        let mut webhooks = Vec::new();
        for file in files {
            if file.name.get_ref() == STORE_SINK {
                let message = format!("webhook {STORE_SINK:?} has the name of the store sink");
                problems.push(self.problem(&file.name, message));
            }
            if !names.insert(file.name.get_ref().clone()) {
                let message = format!(
                    "webhook {:?} is there twice, expected unique names",
                    file.name.get_ref()
                );
                problems.push(self.problem(&file.name, message));
            }
            match self.webhook(file, folder) {
                Ok(webhook) => webhooks.push(webhook),
                Err(problem) => problems.push(problem),
            }
        }
        webhooks
    }

    fn webhook(&self, file: WebhookFile, folder: &Path) -> Result<Webhook, Problem> {
        let url = &file.url.get_ref().0;
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            let message = format!("url is {url:?}, expected http:// or https://");
            return Err(self.problem(&file.url, message));
        }
        let secret = match (&file.secret, &file.secret_file) {
            (Some(secret), None) => secret.get_ref().0.clone(),
            (None, Some(path)) => {
                let full = folder.join(&path.get_ref().0);
                let text = std::fs::read_to_string(&full).map_err(|error| {
                    let message = format!("secret_file {} cannot be read: {error}", full.display());
                    self.problem(path, message)
                })?;
                text.trim().to_owned()
            }
            (secret, _) => {
                let message = format!(
                    "webhook {:?} has {} secret and secret_file, expected one of them",
                    file.name.get_ref(),
                    if secret.is_some() { "both" } else { "neither" }
                );
                return Err(self.problem(&file.name, message));
            }
        };
        if !secret.starts_with(KEY_PREFIX) {
            let at = file.secret.as_ref().or(file.secret_file.as_ref()).unwrap_or(&file.url);
            let message = "secret is not in the form expected: whsec_ and the base64 of the key";
            return Err(self.problem(at, message.to_owned()));
        }
        let attempts_max = file.attempts_max.unwrap_or(Spanned::new(0..0, 12));
        if !(1..=1_000).contains(attempts_max.get_ref()) {
            let message = format!("attempts_max is {}, expected 1 to 1000", attempts_max.get_ref());
            return Err(self.problem(&attempts_max, message));
        }
        Ok(Webhook {
            name: file.name.into_inner(),
            url: file.url.into_inner().0,
            secret: Secret::new(secret),
            allow_private: file.allow_private,
            timeout_ms: file.timeout_ms.unwrap_or(10_000).clamp(10, 120_000),
            attempts_max: attempts_max.into_inner(),
            backoff_ms: file.backoff_ms.unwrap_or(500).clamp(1, 60_000),
            backoff_max_ms: file.backoff_max_ms.unwrap_or(600_000).clamp(1, 3_600_000),
        })
    }
}

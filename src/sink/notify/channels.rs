//! All webhooks of one life, as the sink's thread sees them.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, bounded};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::attempt::Endpoint;
use super::backoff::Backoff;
use super::channel::{Channel, Ended, Setup};
use super::ledger::WINDOW_RECORDS;
use super::message::Message;
use crate::telemetry::Part;

/// A webhook that was checked and can be delivered to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) backoff: Backoff,
    pub(super) part: Part,
}

/// A channel ended although nobody asked it to.
#[derive(Debug, thiserror::Error)]
#[error("webhook {0} ended without a word")]
pub(super) struct Lost(String);

#[derive(Debug)]
struct Line {
    name: String,
    inbox: Option<mpsc::Sender<Arc<Message>>>,
    task: JoinHandle<()>,
    /// escalations handed over that have not come to an end
    pending: usize,
}

/// The running channels. Dropped, they stop where they are.
#[derive(Debug)]
pub(super) struct Channels {
    lines: Vec<Line>,
    ended: Receiver<Ended>,
}

impl Channels {
    /// Starts a task for each webhook.
    pub(super) fn start(runtime: &Handle, targets: &[Target], seed: u64) -> Channels {
        // each escalation under way ends once at each webhook, so a report always finds room
        let (report, ended) = bounded(WINDOW_RECORDS * targets.len().max(1));
        let lines = (0..).zip(targets).map(|(webhook, target)| {
            let (inbox, messages) = mpsc::channel(WINDOW_RECORDS);
            let setup = Setup {
                webhook,
                name: target.name.clone(),
                endpoint: Arc::clone(&target.endpoint),
                backoff: target.backoff,
                part: target.part.clone(),
                rng: ChaCha8Rng::seed_from_u64(seed.wrapping_add(webhook as u64)),
            };
            let channel = Channel::new(setup, messages, report.clone());
            Line {
                name: target.name.clone(),
                inbox: Some(inbox),
                task: runtime.spawn(channel.run()),
                pending: 0,
            }
        });
        Channels { lines: lines.collect(), ended }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Hands an escalation to every webhook. Never more of them than [`WINDOW_RECORDS`] at once.
    ///
    /// # Errors
    /// When a channel has ended.
    pub(super) fn send(&mut self, message: &Arc<Message>) -> Result<(), Lost> {
        for line in &mut self.lines {
            let sent = line
                .inbox
                .as_ref()
                .is_some_and(|inbox| inbox.try_send(Arc::clone(message)).is_ok());
            if !sent {
                return Err(Lost(line.name.clone()));
            }
            line.pending += 1;
        }
        Ok(())
    }

    /// The next end, waiting for it until `deadline`. `None` when there is none by then, or all
    /// channels have ended.
    pub(super) fn wait(&mut self, deadline: Instant) -> Option<Ended> {
        let ended = self.ended.recv_deadline(deadline).ok()?;
        if let Some(line) = self.lines.get_mut(ended.webhook) {
            line.pending = line.pending.saturating_sub(1);
        }
        Some(ended)
    }

    /// Lets no attempt begin any more. The channels end with the attempts under way.
    pub(super) fn drain(&mut self) {
        for line in &mut self.lines {
            line.inbox = None;
        }
    }

    /// Checks that all of them run.
    ///
    /// # Errors
    /// The one that does not.
    pub(super) fn check(&self) -> Result<(), Lost> {
        match self.lines.iter().find(|line| line.task.is_finished()) {
            Some(line) => Err(Lost(line.name.clone())),
            None => Ok(()),
        }
    }

    /// Escalations handed over that have not come to an end, by webhook.
    pub(super) fn pending(&self) -> impl Iterator<Item = (&str, usize)> {
        self.lines.iter().map(|line| (line.name.as_str(), line.pending))
    }
}

impl Drop for Channels {
    fn drop(&mut self) {
        for line in &self.lines {
            line.task.abort();
        }
    }
}

//! The notify sink: every escalation to every webhook, at least once.
//!
//! ```text
//!  escalations ─► poll ─► ledger ─┬─► channel of webhook 1 ─► POST, signed ─┐
//!                   ▲             └─► channel of webhook 2 ─► POST, signed ─┤
//!                   │ no room: pause                                        │ delivered, or
//!                   │                                                       │ given up
//!  commit ◄─ deliveries, dead letters ◄──────────────── ended ◄──────────────┘
//!  └──────── the sink's thread ─────────┘       └──── tasks on the runtime ────┘
//! ```
//!
//! - **At least once.** A position is committed only when every escalation before it was delivered
//!   to every webhook or is a dead letter. A crash repeats what was not committed, with the same id
//!   and the same body to the byte; receivers tell repeats by `webhook-id`.
//! - **Crash-only.** When the log fails, the consumer and all that is under way are dropped, and the
//!   next life begins, after a pause, from what is committed.
//! - **Of the log alone.** How deliveries ended goes to a topic, from which the store sink takes it:
//!   a store that is away holds up nobody who is to be told.
//! - **Bounded.** `ledger` holds at most 1,024 escalations (16 MiB) under way and lets no
//!   partition go more than 16,384 ahead of its oldest one; one poll's records wait beside it; per
//!   webhook 16 attempts are under way. When there is no room nothing is polled: lag grows on the
//!   log, and scoring is not touched. A receiver that is down therefore holds up the others once a
//!   window of its escalations waits, for as long as its retry schedule takes to give them up.
//! - **Left alone.** A receiver that fails ten times in a row is asked ever more rarely (`breaker`);
//!   its part `notify/<name>` is not ready until it takes something again.
//! - **Kept in.** Addresses outside the public internet are not connected to unless a webhook says
//!   `allow_private` (`address`); redirects are not followed; no proxy is used.

mod address;
mod attempt;
mod backoff;
mod breaker;
mod channel;
mod channels;
mod ledger;
mod life;
mod message;
mod sign;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::runtime::Handle;

use self::attempt::Endpoint;
use self::backoff::Backoff;
use self::channels::Target;
use self::life::{Crash, Life};
use crate::config::Webhook;
use crate::event::Topic;
use crate::log::{Log, LogError, Restarts};
use crate::telemetry::{Clock, Health, Part, Stop};

/// Name of the sink's consumer group.
pub const GROUP: &str = "weir.notify";

/// How an escalation ended at a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// the receiver has it
    Delivered,
    /// it was given up, and there is a dead letter
    Undeliverable,
}

impl Status {
    /// The name in the `delivery` table.
    pub fn name(self) -> &'static str {
        match self {
            Status::Delivered => "delivered",
            Status::Undeliverable => "undeliverable",
        }
    }
}

/// What the sink works with.
#[derive(Clone)]
pub struct NotifyContext {
    /// the log
    pub log: Arc<dyn Log>,
    /// the time that signatures carry
    pub clock: Clock,
    /// where the parts `notify` and `notify/<name of a webhook>` say whether they are ready
    pub health: Health,
    /// the wish to stop
    pub stop: Stop,
    /// told to stop where the sink must not go on
    pub process: Stop,
    /// where requests are made; needs tokio's I/O and time
    pub runtime: Handle,
    /// seed of the jitter between attempts; should differ between processes
    pub seed: u64,
}

/// Why the sink does not start, or ended for good.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// not a URL that can be posted to
    #[error("webhook {0}: url cannot be read, expected such as https://example.com/hook")]
    Url(String),
    /// not a secret
    #[error("webhook {webhook}: secret cannot be read, {expected}")]
    Secret {
        /// its name
        webhook: String,
        /// the form of a secret
        expected: &'static str,
    },
    /// an address that is not public
    #[error("webhook {webhook}: {why}")]
    Address {
        /// its name
        webhook: String,
        /// which address
        why: String,
    },
    /// no HTTP client, for instance because the system has no trusted root certificates
    #[error("webhook {webhook}: cannot make an HTTP client: {why}")]
    Client {
        /// its name
        webhook: String,
        /// why not
        why: String,
    },
    /// the thread could not be started
    #[error("cannot start the notify sink: {0}")]
    Thread(std::io::Error),
    /// the log is closed for good
    #[error("the log failed for good: {0}")]
    Log(LogError),
    /// another process has its identity
    #[error("the notify sink was fenced twice: {0}")]
    Fenced(LogError),
    /// the thread ended without a word
    #[error("the notify sink ended without a word")]
    Lost,
}

/// Starts the sink.
#[derive(Clone, Copy, Debug)]
pub struct Notify;

impl Notify {
    /// Checks the webhooks and starts the sink's thread, which runs until a stop is wanted.
    ///
    /// # Errors
    /// When a webhook can never work, or the thread cannot be started.
    pub fn start(
        context: NotifyContext,
        webhooks: Vec<Webhook>,
    ) -> Result<NotifyHandle, NotifyError> {
        let targets = webhooks
            .into_iter()
            .map(|webhook| target(&context, webhook))
            .collect::<Result<Vec<_>, _>>()?;
        let log = Arc::clone(&context.log);
        let part = context.health.part("notify");
        let thread = std::thread::Builder::new()
            .name("weir-notify".into())
            .spawn(move || {
                let ended = live_again(&context, &targets, &part);
                match &ended {
                    Ok(()) => part.not_ready("ended"),
                    Err(error) => {
                        part.not_ready(error.to_string());
                        // a process that lacks its sink is of no use
                        context.process.stop();
                    }
                }
                ended
            })
            .map_err(NotifyError::Thread)?;
        Ok(NotifyHandle { thread, log })
    }
}

fn target(context: &NotifyContext, webhook: Webhook) -> Result<Target, NotifyError> {
    let endpoint = Endpoint::new(&webhook, context.clock.clone())?;
    Ok(Target {
        endpoint: Arc::new(endpoint),
        backoff: Backoff::new(&webhook),
        part: context.health.part(format!("notify/{}", webhook.name)),
        name: webhook.name,
    })
}

/// The running sink. Dropped, it goes on until a stop is wanted.
pub struct NotifyHandle {
    thread: JoinHandle<Result<(), NotifyError>>,
    log: Arc<dyn Log>,
}

impl std::fmt::Debug for NotifyHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NotifyHandle")
    }
}

impl NotifyHandle {
    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until it has ended, which takes at most the drain deadline after a stop was wanted,
    /// and the time the log takes for a last commit.
    ///
    /// # Errors
    /// When it ended for good although nobody wanted it to.
    pub fn join(self) -> Result<(), NotifyError> {
        self.thread.join().unwrap_or(Err(NotifyError::Lost))
    }

    /// Whether everything that is in the escalations topic now was delivered or is a dead letter,
    /// and is committed. False while the log cannot say.
    pub fn caught_up(&self) -> bool {
        is_caught_up(self.log.as_ref()).unwrap_or(false)
    }
}

/// Asks the log and not the sink, so that it holds across crashes and processes.
fn is_caught_up(log: &dyn Log) -> Result<bool, LogError> {
    log.caught_up(GROUP, &[Topic::Escalations])
}

/// The sink's lives: started again after a crash, ended for good with the log.
fn live_again(context: &NotifyContext, targets: &[Target], part: &Part) -> Result<(), NotifyError> {
    let mut restarts = Restarts::begin("notify");
    for life in 0.. {
        // another seed each time, or lives that crash early would all draw the same
        let seed = context.seed.wrapping_add(life << 32);
        let ended =
            Life::begin(context, targets, part, seed).map_err(Crash::from).and_then(Life::run);
        let crash = match ended {
            Ok(()) => return Ok(()),
            Err(Crash::Log(LogError::Closed)) => return Err(NotifyError::Log(LogError::Closed)),
            Err(Crash::Log(error)) if restarts.is_usurped(&error) => {
                return Err(NotifyError::Fenced(error));
            }
            Err(crash) => crash,
        };
        let pause = restarts.pause(crash.code());
        tracing::error!(%crash, ?pause, "notify sink crashed, starting again");
        part.not_ready(format!("{crash}; starting again"));
        if context.stop.wait(pause) {
            return Ok(());
        }
    }
    Ok(())
}

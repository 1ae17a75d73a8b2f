//! One webhook's deliveries: which attempt is made when.
//!
//! ```text
//!             ┌───────────────── again, after a pause ─────────────────┐
//!             ▼                                                        │
//!  inbox ─► ready ─► (a slot is free, the breaker permits) ─► attempt ─┴─► ended
//! ```
//!
//! A task of its own per webhook, so that none of this needs a lock. An attempt holds one of
//! [`Limits::deliveries_in_flight`](crate::config::Limits) slots; an escalation that waits for its
//! next attempt holds none. While the breaker is open nothing is asked of the receiver but a probe
//! now and then; what has waited through such an outage for as long as all its attempts could take
//! is given up, so that a receiver that is gone for good cannot hold the window for ever.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::attempt::{Endpoint, Failure, Verdict};
use super::backoff::Backoff;
use super::breaker::Breaker;
use super::message::Message;
use crate::config::limits;
use crate::telemetry::{Part, metric};

/// How an escalation came to its end at one webhook.
#[derive(Debug)]
pub(super) struct Ended {
    /// number of the webhook
    pub(super) webhook: usize,
    /// the escalation
    pub(super) message: Arc<Message>,
    /// attempts made
    pub(super) attempts: u32,
    /// why it is undeliverable; `None` where it was delivered
    pub(super) undeliverable: Option<String>,
}

/// An escalation on its way to this webhook.
#[derive(Debug)]
struct Errand {
    message: Arc<Message>,
    attempts: u32,
    arrived: Instant,
}

type Attempt = Pin<Box<dyn Future<Output = (Errand, Verdict, Duration)> + Send>>;

/// What a channel is made of.
pub(super) struct Setup {
    /// number of the webhook
    pub(super) webhook: usize,
    /// its name
    pub(super) name: String,
    /// the receiver
    pub(super) endpoint: Arc<Endpoint>,
    /// its retry schedule
    pub(super) backoff: Backoff,
    /// where the breaker shows
    pub(super) part: Part,
    /// jitter
    pub(super) rng: ChaCha8Rng,
}

/// The task of one webhook.
pub(super) struct Channel {
    setup: Setup,
    inbox: mpsc::Receiver<Arc<Message>>,
    ended: Sender<Ended>,
    breaker: Breaker,
    ready: VecDeque<Errand>,
    /// by the time of the next attempt; the number keeps those of one time in order
    waiting: BinaryHeap<Reverse<Waiting>>,
    number: u64,
    in_flight: FuturesUnordered<Attempt>,
    draining: bool,
    meters: Meters,
}

struct Waiting {
    until: Instant,
    number: u64,
    errand: Errand,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.until, self.number).cmp(&(other.until, other.number))
    }
}

impl Channel {
    /// A channel that takes from `inbox` and reports each escalation's end to `ended`, which must
    /// have room for all of them.
    pub(super) fn new(
        setup: Setup,
        inbox: mpsc::Receiver<Arc<Message>>,
        ended: Sender<Ended>,
    ) -> Channel {
        setup.part.ready();
        Channel {
            breaker: Breaker::new(setup.backoff.ceiling(1), setup.backoff.ceiling(u32::MAX)),
            meters: Meters::new(&setup.name),
            setup,
            inbox,
            ended,
            ready: VecDeque::new(),
            waiting: BinaryHeap::new(),
            number: 0,
            in_flight: FuturesUnordered::new(),
            draining: false,
        }
    }

    /// Delivers until the inbox closes, then finishes the attempts under way and ends. Cancelled,
    /// these may or may not have arrived.
    pub(super) async fn run(mut self) {
        while !self.draining || !self.in_flight.is_empty() {
            self.launch();
            let wake = self.wake();
            tokio::select! {
                Some((errand, verdict, took)) = self.in_flight.next() => {
                    self.attempted(errand, verdict, took);
                }
                arrived = self.inbox.recv(), if !self.draining => match arrived {
                    Some(message) => self.arrived(message),
                    None => self.drain(),
                },
                () = sleep_until(wake) => self.woken(),
            }
        }
    }

    fn arrived(&mut self, message: Arc<Message>) {
        self.meters.received.increment(1);
        self.ready.push_back(Errand { message, attempts: 0, arrived: Instant::now() });
    }

    /// What is not under way is left to the next life, which reads it again.
    fn drain(&mut self) {
        self.draining = true;
        self.ready.clear();
        self.waiting.clear();
    }

    fn launch(&mut self) {
        let slots = limits().deliveries_in_flight;
        while !self.ready.is_empty() && self.in_flight.len() < slots {
            if !self.breaker.permit(Instant::now()) {
                return;
            }
            if let Some(errand) = self.ready.pop_front() {
                let endpoint = Arc::clone(&self.setup.endpoint);
                self.in_flight.push(Box::pin(async move {
                    let began = Instant::now();
                    let verdict = endpoint.attempt(&errand.message).await;
                    (errand, verdict, began.elapsed())
                }));
                self.meters.in_flight.increment(1.0);
            }
        }
    }

    /// When there is something to do even if nothing happens.
    fn wake(&self) -> Option<Instant> {
        let retry = self.waiting.peek().map(|waiting| waiting.0.until);
        let probe = self.breaker.until().filter(|_| !self.ready.is_empty());
        [retry, probe].into_iter().flatten().min()
    }

    fn woken(&mut self) {
        let now = Instant::now();
        while let Some(Reverse(waiting)) = self.waiting.pop() {
            if waiting.until > now {
                self.waiting.push(Reverse(waiting));
                break;
            }
            self.ready.push_back(waiting.errand);
        }
    }

    fn attempted(&mut self, mut errand: Errand, verdict: Verdict, took: Duration) {
        self.meters.in_flight.decrement(1.0);
        self.meters.seconds.record(took.as_secs_f64());
        errand.attempts = errand.attempts.saturating_add(1);
        match verdict {
            Verdict::Delivered => {
                self.meters.sent.increment(1);
                if self.breaker.delivered() {
                    self.meters.breaker.set(0.0);
                    tracing::info!(webhook = self.setup.name, "receiver is back");
                    self.setup.part.ready();
                }
                self.end(errand, None);
            }
            Verdict::Refused(failure) => {
                self.failed(&failure);
                let why = self.reason(&errand, &failure.why);
                self.end(errand, Some(why));
            }
            Verdict::Failed { failure, after } => {
                self.failed(&failure);
                self.again_or_end(errand, &failure, after);
            }
        }
    }

    fn again_or_end(&mut self, errand: Errand, failure: &Failure, after: Option<Duration>) {
        let backoff = self.setup.backoff;
        match backoff.pause(errand.attempts, after, &mut self.setup.rng) {
            None => {
                let why = self.reason(&errand, &failure.why);
                self.end(errand, Some(why));
            }
            Some(_) if self.draining => {}
            Some(pause) => {
                self.number += 1;
                self.waiting.push(Reverse(Waiting {
                    until: Instant::now() + pause,
                    number: self.number,
                    errand,
                }));
            }
        }
    }

    /// Counts a failed attempt; where it opens the breaker, says so and gives up what is overdue.
    fn failed(&mut self, failure: &Failure) {
        let name = &self.setup.name;
        counter!(metric::SINK_ERRORS, "sink" => name.clone(), "code" => failure.code).increment(1);
        tracing::debug!(webhook = name, why = failure.why, "attempt failed");
        if let Some(pause) = self.breaker.failed(Instant::now()) {
            self.meters.breaker.set(1.0);
            tracing::warn!(webhook = name, why = failure.why, ?pause, "receiver keeps failing");
            let why = &failure.why;
            self.setup
                .part
                .not_ready(format!("the last attempts failed, {why}; asked again in {pause:?}"));
            self.give_up_overdue(&failure.why);
        }
    }

    fn give_up_overdue(&mut self, why: &str) {
        let Some(since) = self.breaker.since() else {
            return;
        };
        let schedule = self.setup.backoff.schedule();
        let (overdue, ready): (VecDeque<_>, VecDeque<_>) = self
            .ready
            .drain(..)
            .partition(|errand| errand.arrived.max(since).elapsed() >= schedule);
        self.ready = ready;
        for errand in overdue {
            let why = self.reason(&errand, &format!("its receiver keeps failing, {why}"));
            self.end(errand, Some(why));
        }
    }

    fn reason(&self, errand: &Errand, why: &str) -> String {
        let (name, attempts) = (&self.setup.name, errand.attempts);
        let plural = if attempts == 1 { "" } else { "s" };
        format!("webhook {name}: {why}; gave up after {attempts} attempt{plural}")
    }

    fn end(&self, errand: Errand, undeliverable: Option<String>) {
        let ended = Ended {
            webhook: self.setup.webhook,
            message: errand.message,
            attempts: errand.attempts,
            undeliverable,
        };
        if self.ended.try_send(ended).is_err() {
            // there is room for all that is under way, so nobody listens any more: the life that
            // wanted to know is over, and the next reads the escalation again
            tracing::debug!(webhook = self.setup.name, "nobody hears of an end any more");
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

struct Meters {
    received: Counter,
    sent: Counter,
    in_flight: Gauge,
    seconds: Histogram,
    breaker: Gauge,
}

impl Meters {
    fn new(name: &str) -> Meters {
        let sink = || name.to_owned();
        let meters = Meters {
            received: counter!(metric::SINK_RECEIVED, "sink" => sink()),
            sent: counter!(metric::SINK_SENT, "sink" => sink()),
            in_flight: gauge!(metric::SINK_IN_FLIGHT, "sink" => sink()),
            seconds: histogram!(metric::SINK_SECONDS, "sink" => sink()),
            breaker: gauge!(metric::NOTIFY_BREAKER, "sink" => sink()),
        };
        meters.breaker.set(0.0);
        // what was under way in a life that crashed is under way no more
        meters.in_flight.set(0.0);
        meters
    }
}

//! How fast things happen, of which kind, and when it is time for the next fraud.
//!
//! One arrival leads to several events (a conversation has messages, a payment has captures and
//! disputes), so the number of events an arrival has led to so far sets how often they come and of
//! which kind. The figures then hold for the stream, not for the arrivals.

use super::Scenario;
use super::draw::Draw;
use super::settings::{Mix, Settings};
use crate::event::Kind;

/// What can begin by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Payment,
    Conversation,
    Bill,
}

const ARRIVALS: [Arrival; 3] = [Arrival::Payment, Arrival::Conversation, Arrival::Bill];

/// Arrivals as if they had been seen before the first one, so that the first few do not decide.
const PRIOR: f64 = 500.0;
/// Events as if they had followed each of those.
const PRIOR_CHAINS: [f64; 3] = [1.25, 4.6, 1.02];
/// Pace is brought back to the wanted one over this much event time, seconds.
const HORIZON_S: f64 = 6.0 * 3_600.0;

/// Keeps rate and mix.
pub(super) struct Pace {
    mix: Mix,
    events_per_second: f64,
    start_us: i64,
    /// of the next arrival, microseconds since 1970
    next_us: i64,
    arrivals: [u64; 3],
    emitted: [u64; 3],
    /// events of all kinds, labels and disputes too
    total: u64,
}

impl Pace {
    pub(super) fn new(settings: &Settings) -> Pace {
        let start_us = settings.start.0 * 1_000;
        Pace {
            mix: settings.mix,
            events_per_second: settings.events_per_second,
            start_us,
            next_us: start_us,
            arrivals: [0; 3],
            emitted: [0; 3],
            total: 0,
        }
    }

    /// Time of the next arrival, milliseconds since 1970.
    pub(super) fn next_at(&self) -> i64 {
        self.next_us / 1_000
    }

    /// Events so far.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    pub(super) fn count(&mut self, kind: Kind) {
        self.total += 1;
        match kind {
            Kind::Transaction => self.emitted[0] += 1,
            Kind::Chat => self.emitted[1] += 1,
            Kind::Invoice => self.emitted[2] += 1,
            Kind::Dispute | Kind::Label => {}
        }
    }

    /// Says what arrives now, and sets when the next does.
    pub(super) fn arrive(&mut self, draw: &mut Draw) -> Arrival {
        let weights = [self.mix.transactions, self.mix.chats, self.mix.invoices];
        let weights = std::array::from_fn::<f64, 3, _>(|index| {
            let emitted = self.emitted[index] as f64 + PRIOR * PRIOR_CHAINS[index];
            weights[index] * (self.arrivals[index] as f64 + PRIOR) / emitted
        });
        let index = draw.weighted(&weights);
        self.arrivals[index] += 1;
        self.next_us += (draw.exponential(self.mean_gap_s()) * 1e6) as i64;
        ARRIVALS[index]
    }

    fn mean_gap_s(&self) -> f64 {
        let arrivals: u64 = self.arrivals.iter().sum();
        let chain = (self.total as f64 + PRIOR) / (arrivals as f64 + PRIOR);
        let elapsed_s = (self.next_us - self.start_us) as f64 / 1e6;
        // at least as long as a thousand events take, or chance alone would be fought
        let horizon = (HORIZON_S * self.events_per_second).max(1_000.0);
        let ahead = (self.total as f64 - elapsed_s * self.events_per_second) / horizon;
        chain / self.events_per_second * (1.0 + ahead).clamp(0.5, 2.0)
    }
}

/// Keeps the share of fraud, and of each scenario within it.
pub(super) struct Quota {
    share: f64,
    weights: [f64; 6],
    planned: [u64; 6],
}

impl Quota {
    pub(super) fn new(settings: &Settings) -> Quota {
        Quota {
            share: settings.fraud_share,
            weights: Scenario::ALL.map(|scenario| settings.scenarios.weight(scenario)),
            planned: [0; 6],
        }
    }

    /// Whether fewer frauds are planned than `total` events ask for.
    pub(super) fn is_due(&self, total: u64) -> bool {
        (self.planned.iter().sum::<u64>() as f64) < self.share * total as f64
    }

    /// The wanted scenarios, the one furthest behind its weight first.
    pub(super) fn by_need(&self) -> Vec<Scenario> {
        let mut wanted: Vec<(f64, Scenario)> = Scenario::ALL
            .into_iter()
            .enumerate()
            .filter(|(index, _)| self.weights[*index] > 0.0)
            .map(|(index, scenario)| (self.planned[index] as f64 / self.weights[index], scenario))
            .collect();
        wanted.sort_by(|a, b| a.0.total_cmp(&b.0));
        wanted.into_iter().map(|(_, scenario)| scenario).collect()
    }

    pub(super) fn charge(&mut self, scenario: Scenario, events: u64) {
        self.planned[scenario as usize] += events;
    }

    /// Gives back what was charged and did not come about.
    pub(super) fn refund(&mut self, scenario: Scenario, events: u64) {
        self.planned[scenario as usize] -= events;
    }
}

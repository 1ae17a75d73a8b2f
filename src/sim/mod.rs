//! An endless stream of events that could have happened, with the truth about each: what `weir
//! generate` writes and `weir demo` decides about.
//!
//! Real payments may not be shown, and without fraud among them there is nothing to see. So a
//! small world lives here: people with habits, terminals, shops, companies and vendors, and those
//! who cheat them. It is pure: no clock, no input, no threads. The same settings give the same
//! stream on every platform; only a new release of weir may change it.
//!
//! ```text
//!   Pace: when, and of which kind ──► payments  chats  invoices ──► the event, now
//!     │                                   │ what follows: captures, refunds, disputes, messages
//!     │                                   ▼
//!   Quota: is a fraud due? ──► episodes ─► Schedule ──────────────► the event, when its time comes
//! ```
//!
//! - **Order.** Event times never decrease.
//! - **Accounts.** Payments, disputes and chats belong to people (`acct-000123`), invoices to
//!   companies (`co-0001`).
//! - **Memory.** The world, about 100 bytes an account, and at most [`Settings::pending_max`]
//!   planned events. An episode for which there is no room does not begin; what follows a genuine
//!   payment is left out once half of the room is taken.
//! - **Truth.** [`Truth::fraud`] says that the event is itself a fraud: a thief's payment or
//!   message, a duplicate bill, a false claim. What fraud leads to (the victim's dispute, the
//!   analyst's label) and what led to it (the payment at a compromised terminal, the bill that was
//!   copied) belongs to the episode and is not fraud.
//! - **Networks.** Addresses at home are of 100.64.0.0/10. 198.18.0.0/15 stands for data centres:
//!   many fraudsters and a few honest people come from there.

mod catalogue;
mod chats;
mod disputes;
mod draw;
mod episodes;
mod ids;
mod invoices;
mod pace;
mod payment;
mod payments;
mod places;
mod scene;
mod schedule;
mod settings;
mod text;
mod world;

#[cfg(test)]
mod tests;

pub use settings::{Mix, ScenarioMix, Settings, SettingsError};

use crate::event::{Event, Millis};
use pace::{Arrival, Pace, Quota};
use scene::Scene;
use schedule::Planned;

/// How people cheat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// stolen card numbers tried with small payments, then used
    CardTesting,
    /// cards copied at a terminal and used elsewhere
    CompromisedTerminal,
    /// a stranger changes a customer's contact details and moves the money
    AccountTakeover,
    /// a customer disputes purchases that were theirs
    FriendlyFraud,
    /// a bill sent again
    DuplicateInvoice,
    /// a purchase cut into bills below the approval limit
    SplitInvoice,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 6] = [
        Scenario::CardTesting,
        Scenario::CompromisedTerminal,
        Scenario::AccountTakeover,
        Scenario::FriendlyFraud,
        Scenario::DuplicateInvoice,
        Scenario::SplitInvoice,
    ];

    /// The name in files and on the screen.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::CardTesting => "card_testing",
            Scenario::CompromisedTerminal => "compromised_terminal",
            Scenario::AccountTakeover => "account_takeover",
            Scenario::FriendlyFraud => "friendly_fraud",
            Scenario::DuplicateInvoice => "duplicate_invoice",
            Scenario::SplitInvoice => "split_invoice",
        }
    }
}

/// What is true of an event, which no one who decides about it may know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// whether the event is itself a fraud
    pub fraud: bool,
    /// the scenario it belongs to, as fraud or as its cause or consequence
    pub scenario: Option<Scenario>,
    /// which episode of fraud it belongs to, counted from 1
    pub episode: Option<u64>,
}

/// An event and the truth about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Simulated {
    /// what happened
    pub event: Event<'static>,
    /// what nobody saw
    pub truth: Truth,
}

/// Terminals that are not compromised any more are looked for each time an arrival falls on a
/// multiple of so many events.
const CLOSING_EVENTS: u64 = 64;

/// The stream. It never ends.
pub struct Simulator {
    scene: Scene,
    pace: Pace,
    quota: Quota,
    episodes: u64,
}

impl Simulator {
    /// Settles the world; takes about a second for two million accounts.
    ///
    /// # Errors
    /// A setting outside its range.
    pub fn new(settings: Settings) -> Result<Simulator, SettingsError> {
        let (pace, quota) = (Pace::new(&settings), Quota::new(&settings));
        Ok(Simulator { scene: Scene::new(settings)?, pace, quota, episodes: 0 })
    }

    /// Events planned and not yet given out, at most [`Settings::pending_max`].
    pub fn pending(&self) -> usize {
        self.scene.schedule.len()
    }

    /// Event time of the next event: that of the last one, or later.
    pub fn next_time(&self) -> Millis {
        let arrival = self.pace.next_at();
        Millis(self.scene.schedule.next_at().map_or(arrival, |at| at.min(arrival)))
    }

    fn arrive(&mut self) -> Planned {
        let at = self.pace.next_at();
        if self.pace.total().is_multiple_of(CLOSING_EVENTS) {
            let unused = episodes::close_terminals(&mut self.scene, at);
            self.quota.refund(Scenario::CompromisedTerminal, unused);
        }
        if self.quota.is_due(self.pace.total()) {
            self.begin_episode(at);
        }
        match self.pace.arrive(&mut self.scene.draw) {
            Arrival::Payment => payments::arrive(&mut self.scene, at),
            Arrival::Conversation => chats::arrive(&mut self.scene, at),
            Arrival::Bill => invoices::arrive(&mut self.scene, at),
        }
    }

    /// Begins the scenario that is most due, or the next one if there is no room for it.
    fn begin_episode(&mut self, at: i64) {
        let episode = self.episodes + 1;
        for scenario in self.quota.by_need() {
            if let Some(frauds) = episodes::begin(&mut self.scene, scenario, at, episode) {
                self.quota.charge(scenario, frauds);
                self.episodes = episode;
                return;
            }
        }
    }
}

impl Iterator for Simulator {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        let arrival_at = self.pace.next_at();
        let due = self.scene.schedule.next_at().is_some_and(|at| at <= arrival_at);
        let planned = match due.then(|| self.scene.schedule.pop()).flatten() {
            Some(planned) => planned,
            None => self.arrive(),
        };
        let (event, truth) = self.scene.play(&planned);
        self.pace.count(event.kind());
        Some(Simulated { event, truth })
    }
}

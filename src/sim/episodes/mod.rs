//! Fraud, in episodes: each a plan of all its steps, made when it begins, with the disputes and
//! verdicts that come of it. Only a compromised terminal cannot plan ahead, since its victims are
//! whoever happens to pay there; it spends a budget instead.

mod card_testing;
mod compromised_terminal;
mod friendly_fraud;
mod invoice_fraud;
mod takeover;

pub(super) use compromised_terminal::{OpenTerminal, close_terminals, pass_terminal};

use super::scene::Scene;
use super::schedule::{Planned, Room};
use super::{Scenario, Truth};

/// The truth about a fraudulent event of that episode.
fn fraud(scenario: Scenario, episode: u64) -> Truth {
    Truth { fraud: true, scenario: Some(scenario), episode: Some(episode) }
}

/// Begins an episode and says how many fraudulent events it will have; `None` when there is no
/// room for it.
pub(super) fn begin(scene: &mut Scene, scenario: Scenario, at: i64, episode: u64) -> Option<u64> {
    match scenario {
        Scenario::CardTesting => card_testing::begin(scene, at, episode),
        Scenario::CompromisedTerminal => compromised_terminal::begin(scene, at, episode),
        Scenario::AccountTakeover => takeover::begin(scene, at, episode),
        Scenario::FriendlyFraud => friendly_fraud::begin(scene, at, episode),
        Scenario::DuplicateInvoice => invoice_fraud::duplicate(scene, at, episode),
        Scenario::SplitInvoice => invoice_fraud::split(scene, at, episode),
    }
}

/// Admits the plan; the number of frauds in it is `fraudulent` where chats decide it on the way,
/// and counted otherwise.
fn admit(scene: &mut Scene, plan: &[Planned], fraudulent: u64) -> Option<u64> {
    let planned = plan.iter().filter(|step| step.truth.fraud).count() as u64;
    scene.schedule.admit(Room::Episode, plan).then_some(planned + fraudulent)
}

//! A terminal reads the cards of its payers for some days; copies are used elsewhere afterwards.

use std::collections::btree_map::Entry;

use super::card_testing::{in_money_of, stolen};
use super::{admit, fraud};
use crate::event::TransactionStatus;
use crate::sim::disputes::{self, Notice};
use crate::sim::payment::{Payee, Payment};
use crate::sim::scene::{DAY, HOUR, Scene};
use crate::sim::{Scenario, Truth, chats, payments};

const NOTICE: Notice = Notice { disputed: 0.65, labelled: 0.45 };
/// A terminal that is compromised now.
pub(in crate::sim) struct OpenTerminal {
    episode: u64,
    /// milliseconds since 1970
    until: i64,
    /// frauds that may still come of it
    budget: u64,
    device: u32,
}

/// Of each so many terminals one may be compromised at a time.
const TERMINALS_PER_OPEN: usize = 10;

pub(super) fn begin(scene: &mut Scene, at: i64, episode: u64) -> Option<u64> {
    if scene.open_terminals.len() >= scene.world.terminals.len() / TERMINALS_PER_OPEN {
        return None;
    }
    // someone's favourite, so that people pay there
    let index = scene.world.any_account(&mut scene.draw);
    let terminal = scene.world.account(index).terminals[0];
    let device = scene.new_device();
    let Entry::Vacant(place) = scene.open_terminals.entry(terminal) else {
        return None;
    };
    let budget = scene.draw.between(12, 30) as u64;

    let until = at + scene.draw.between(36 * HOUR, 5 * DAY);
    place.insert(OpenTerminal { episode, until, budget, device });
    Some(budget)
}

/// Forgets the terminals whose time or budget is over; how many planned frauds did not come about.
pub(in crate::sim) fn close_terminals(scene: &mut Scene, at: i64) -> u64 {
    let mut unused = 0;
    scene.open_terminals.retain(|_, open| {
        let stays = at < open.until && open.budget > 0;
        if !stays {
            unused += open.budget;
        }
        stays
    });
    unused
}

/// What a payment at a compromised terminal leads to, and the truth about that payment, which is
/// genuine itself; `None` for all other payments.
pub(in crate::sim) fn pass_terminal(scene: &mut Scene, payment: &Payment) -> Option<Truth> {
    let Payee::Terminal(terminal) = payment.payee else {
        return None;
    };
    if payment.status != TransactionStatus::Authorized {
        return None;
    }
    let open = scene.open_terminals.get(&terminal)?;
    if payment.at >= open.until {
        return None;
    }
    let (episode, device, budget) = (open.episode, open.device, open.budget);
    if budget > 0 && scene.draw.chance(0.6) {
        let spent = use_copy(scene, payment, episode, device, budget);
        if let Some(open) = scene.open_terminals.get_mut(&terminal) {
            match spent {
                Some(frauds) => open.budget -= frauds,
                // nothing more will come of it: the terminal is cleaned early
                None => open.until = payment.at,
            }
        }
    }
    Some(Truth {
        fraud: false,
        scenario: Some(Scenario::CompromisedTerminal),
        episode: Some(episode),
    })
}

/// Plans one to three payments with the copied card, and says how many of the planned events are
/// fraud; `None` when that is more than the budget, or there is no room.
fn use_copy(
    scene: &mut Scene,
    victim: &Payment,
    episode: u64,
    device: u32,
    budget: u64,
) -> Option<u64> {
    let truth = fraud(Scenario::CompromisedTerminal, episode);
    let mut at = victim.at + disputes::delay(scene, 2 * HOUR, 3 * DAY);
    let mut plan = Vec::new();
    for _ in 0..=scene.draw.below(3) {
        let payment = copied(scene, at, victim, device);
        plan.extend(disputes::fraud(scene, &payment, truth, NOTICE));
        if payment.status == TransactionStatus::Authorized && scene.draw.chance(0.15) {
            let about = (payment.amount_minor, payment.payee);
            let when = at + disputes::delay(scene, HOUR, 2 * DAY);
            plan.push(chats::victim_asks(scene, payment.account, about, when, truth));
        }
        at += scene.draw.between(60_000, 3 * HOUR);
    }
    let frauds = plan.iter().filter(|step| step.truth.fraud).count() as u64;
    (frauds <= budget && admit(scene, &plan, 0).is_some()).then_some(frauds)
}

fn copied(scene: &mut Scene, at: i64, victim: &Payment, device: u32) -> Payment {
    let mut payment = if scene.draw.chance(0.7) {
        let shop = Payee::Shop(scene.draw.index(scene.world.shops.len()) as u32);
        let ip = scene.fraud_ip();
        stolen(scene, at, victim.account, shop, (device, ip))
    } else {
        // the magnetic stripe, at a till anywhere
        let till = Payee::Terminal(scene.draw.index(scene.world.terminals.len()) as u32);
        let mut payment = payments::begin(scene, at, victim.account, till);
        payment.entry_mode = Some("swipe");
        payment
    };
    payment.card = victim.card;
    let cents = scene.draw.log_normal(14_000.0, 0.7);
    payment.amount_minor = in_money_of(scene, &payment, cents);
    if scene.draw.chance(0.25) {
        payment.status = TransactionStatus::Declined;
        payment.decline_code = Some("do_not_honor");
    }
    payment
}

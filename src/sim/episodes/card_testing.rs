//! Stolen card numbers are tried with small payments at one shop, from one device, seconds apart:
//! many cards once each, or one card again and again. Those that work buy something dear later.

use super::{admit, fraud};
use crate::event::TransactionStatus;
use crate::sim::disputes::{self, Notice};
use crate::sim::payment::{Payee, Payment, payee_country};
use crate::sim::scene::{HOUR, MINUTE, Scene};
use crate::sim::schedule::Planned;
use crate::sim::{Scenario, chats, payments};

const SMALL: Notice = Notice { disputed: 0.3, labelled: 0.3 };
const DEAR: Notice = Notice { disputed: 0.75, labelled: 0.5 };
/// Purchases with cards that worked, at most.
const PURCHASES_MAX: usize = 4;

pub(super) fn begin(scene: &mut Scene, at: i64, episode: u64) -> Option<u64> {
    let truth = fraud(Scenario::CardTesting, episode);
    let tries = 14 + scene.draw.below(30);
    let many_cards = scene.draw.chance(0.6);
    let shop = Payee::Shop(scene.draw.index(scene.world.shops.len()) as u32);
    let (device, ip) = (scene.new_device(), scene.fraud_ip());
    let mut victim = scene.world.any_account(&mut scene.draw);
    let mut at = at + scene.draw.exponential((5 * MINUTE) as f64) as i64;
    let mut plan: Vec<Planned> = Vec::new();
    let mut worked: Vec<Payment> = Vec::new();
    for _ in 0..tries {
        if many_cards {
            victim = scene.world.any_account(&mut scene.draw);
        }
        let mut payment = stolen(scene, at, victim, shop, (device, ip));
        // the number that leaked is the same all along
        payment.card = Some(0);
        let cents = scene.draw.between(50, 320) as f64;
        payment.amount_minor = in_money_of(scene, &payment, cents);
        if scene.draw.chance(0.65) {
            payment.status = TransactionStatus::Declined;
            payment.decline_code = Some(scene.draw.pick(&[
                "incorrect_cvc",
                "incorrect_cvc",
                "do_not_honor",
                "expired_card",
                "invalid_account",
                "insufficient_funds",
            ]));
        } else if many_cards || worked.is_empty() {
            worked.push(payment);
        }
        plan.extend(disputes::fraud(scene, &payment, truth, SMALL));
        at += scene.draw.between(1_500, 20_000);
    }
    for tested in worked.into_iter().take(PURCHASES_MAX) {
        let when = at + disputes::delay(scene, 20 * MINUTE, 20 * HOUR);
        plan.extend(purchase(scene, when, &tested, episode));
    }
    admit(scene, &plan, 0)
}

/// A payment with somebody else's card at a shop on the net.
pub(super) fn stolen(
    scene: &mut Scene,
    at: i64,
    victim: u32,
    shop: Payee,
    (device, ip): (u32, u32),
) -> Payment {
    let mut payment = payments::begin(scene, at, victim, shop);
    (payment.device, payment.ip) = (Some(device), Some(ip));
    payment.entry_mode = Some("manual");
    payment
}

/// So many euro cents in the money the payment is made in.
pub(super) fn in_money_of(scene: &Scene, payment: &Payment, cents: f64) -> i64 {
    let country = payee_country(payment.payee, payment.account, &scene.world);
    let minor = (cents * country.minor_per_cent).round() as i64;
    payments::payable(minor, payment.payee, payment.account, &scene.world)
}

fn purchase(scene: &mut Scene, at: i64, tested: &Payment, episode: u64) -> Vec<Planned> {
    let truth = fraud(Scenario::CardTesting, episode);
    let shop = Payee::Shop(scene.draw.index(scene.world.shops.len()) as u32);
    let ip = scene.fraud_ip();
    let device = tested.device.unwrap_or_default();
    let mut payment = stolen(scene, at, tested.account, shop, (device, ip));
    payment.card = tested.card;
    let cents = scene.draw.log_normal(28_000.0, 0.6);
    payment.amount_minor = in_money_of(scene, &payment, cents);
    if scene.draw.chance(0.25) {
        payment.status = TransactionStatus::Declined;
        payment.decline_code = Some("do_not_honor");
    }
    let mut plan = disputes::fraud(scene, &payment, truth, DEAR);
    if payment.status == TransactionStatus::Authorized && scene.draw.chance(0.3) {
        let about = (payment.amount_minor, payment.payee);
        let when = at + disputes::delay(scene, HOUR, 48 * HOUR);
        plan.push(chats::victim_asks(scene, payment.account, about, when, truth));
    }
    plan
}

//! Someone gets into a person's account, has support change the contact details, and moves the
//! money to a beneficiary of their own, more each time.

use super::card_testing::in_money_of;
use super::{admit, fraud};
use crate::event::{TransactionStatus, Verdict};
use crate::sim::disputes::{self, Notice, Subject};
use crate::sim::payment::Payee;
use crate::sim::scene::{HOUR, MINUTE, Scene};
use crate::sim::schedule::Step;
use crate::sim::{Scenario, chats, payments};

/// Banks settle transfers themselves; there is no network to dispute them at.
const NOTICE: Notice = Notice { disputed: 0.0, labelled: 0.6 };

pub(super) fn begin(scene: &mut Scene, at: i64, episode: u64) -> Option<u64> {
    let truth = fraud(Scenario::AccountTakeover, episode);
    let victim = scene.world.any_account(&mut scene.draw);
    let (device, ip) = (scene.new_device(), scene.fraud_ip());
    let payee = Payee::Beneficiary(scene.new_beneficiary());
    let start = at + scene.draw.exponential((10 * MINUTE) as f64) as i64;
    let asks = chats::fraudster_asks(scene, victim, start, episode);
    let mut spoken = 0;
    let mut plan = vec![asks];
    if let Step::Message(conversation) = asks.step {
        spoken = conversation.customer_turns();
        let subject =
            Subject::Message { account: victim, conversation: conversation.serial, turn: 0 };
        if scene.draw.chance(0.5) {
            // after the conversation and the transfers are over
            let when = start + disputes::delay(scene, 12 * HOUR, 72 * HOUR);
            plan.push(disputes::verdict(scene, subject, Verdict::Fraud, when, truth));
        }
    }
    let mut at = start + scene.draw.between(15 * MINUTE, 3 * HOUR);
    let mut cents = scene.draw.log_normal(12_000.0, 0.5);
    let mut taken = None;
    for _ in 0..scene.draw.between(3, 7) {
        let mut payment = payments::begin(scene, at, victim, payee);
        (payment.device, payment.ip) = (Some(device), Some(ip));
        payment.amount_minor = in_money_of(scene, &payment, cents);
        if scene.draw.chance(0.1) {
            payment.status = TransactionStatus::Declined;
            payment.decline_code = Some("limit_exceeded");
        } else {
            taken = Some((payment.amount_minor, payee));
        }
        plan.extend(disputes::fraud(scene, &payment, truth, NOTICE));
        cents *= 1.4 + 0.8 * scene.draw.unit();
        at += scene.draw.between(3 * MINUTE, 75 * MINUTE);
    }
    if let Some(about) = taken.filter(|_| scene.draw.chance(0.6)) {
        let when = at + disputes::delay(scene, HOUR, 48 * HOUR);
        plan.push(chats::victim_asks(scene, victim, about, when, truth));
    }
    admit(scene, &plan, spoken)
}

//! A customer buys, keeps the goods, and tells the bank it was somebody else; several times over.
//! The payments are genuine, the disputes are not.

use super::{admit, fraud};
use crate::event::{DisputeStage, Verdict};
use crate::sim::disputes::{self, Ground, Subject};
use crate::sim::payment::Payee;
use crate::sim::scene::{DAY, HOUR, Scene};
use crate::sim::schedule::{Planned, Step};
use crate::sim::world::World;
use crate::sim::{Scenario, Truth, payments};

pub(super) fn begin(scene: &mut Scene, at: i64, episode: u64) -> Option<u64> {
    let truth = fraud(Scenario::FriendlyFraud, episode);
    let later = Truth { fraud: false, ..truth };
    let customer = scene.world.any_account(&mut scene.draw);
    let shops = scene.world.account(customer).shops;
    let mut at = at;
    let mut plan = Vec::new();
    for _ in 0..scene.draw.between(2, 4) {
        let shop = Payee::Shop(scene.draw.pick(&shops));
        let mut payment = payments::begin(scene, at, customer, shop);
        payment.device = Some(scene.world.device(customer, 0));
        payment.ip = Some(World::home_ip(customer));
        payment.amount_minor *= scene.draw.between(2, 5);
        plan.push(Planned { at, truth: later, step: Step::Payment(payment) });
        plan.push(payments::capture(scene, &payment, later));
        let claimed_at = at + disputes::delay(scene, 10 * HOUR, 5 * DAY);
        let stages = disputes::stages(scene, &payment, Ground::Fraud, claimed_at, truth);
        let found_at = claimed_at + disputes::delay(scene, 8 * HOUR, 3 * DAY);
        if scene.draw.chance(0.8) {
            plan.extend(verdicts(scene, &stages, found_at, truth));
        }
        plan.extend(stages);
        at += scene.draw.between(6 * HOUR, 40 * HOUR);
    }
    admit(scene, &plan, 0)
}

/// What an analyst finds out about the claim, and often notes at the payment too.
fn verdicts(scene: &mut Scene, stages: &[Planned], at: i64, truth: Truth) -> Vec<Planned> {
    let claim = stages.iter().find_map(|planned| match planned.step {
        Step::Dispute(contest) if contest.stage == DisputeStage::Chargeback => Some(contest),
        _ => None,
    });
    let Some(claim) = claim else {
        return Vec::new();
    };
    let subject = Subject::Dispute { account: claim.payment.account, serial: claim.serial };
    let mut plan = vec![disputes::verdict(scene, subject, Verdict::FirstParty, at, truth)];
    if scene.draw.chance(0.5) {
        let payment = disputes::subject(&claim.payment);
        plan.push(disputes::verdict(scene, payment, Verdict::FirstParty, at, truth));
    }
    plan
}

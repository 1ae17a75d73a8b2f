//! Bills sent twice, and purchases cut into bills that nobody needs to approve.

use super::{admit, fraud};
use crate::event::Verdict;
use crate::sim::disputes::{self, Subject};
use crate::sim::invoices::{self, Bill, Disguise};
use crate::sim::scene::{DAY, HOUR, MINUTE, Scene};
use crate::sim::schedule::{Planned, Step};
use crate::sim::{Scenario, Truth};

/// A genuine bill comes again: the same or nearly the same number, the same amount, sometimes to
/// be paid to another bank account.
pub(super) fn duplicate(scene: &mut Scene, at: i64, episode: u64) -> Option<u64> {
    let truth = fraud(Scenario::DuplicateInvoice, episode);
    let at = at + scene.draw.exponential((20 * MINUTE) as f64) as i64;
    let (company, vendor) = parties(scene);
    let original = invoices::vendor_bill(scene, company, vendor, at);
    let mut plan =
        vec![Planned { at, truth: Truth { fraud: false, ..truth }, step: Step::Invoice(original) }];
    let moved = scene.draw.chance(0.35);
    let mut again_at = at;
    for _ in 0..=scene.draw.weighted(&[0.8, 0.2]) {
        again_at += disputes::delay(scene, 2 * HOUR, 6 * DAY);
        let disguise = scene.draw.pick(&[
            Disguise::None,
            Disguise::None,
            Disguise::Suffix,
            Disguise::NoSeparators,
            Disguise::LetterForZero,
            Disguise::LowerCase,
        ]);
        let again = Bill {
            serial: scene.next_invoice(),
            disguise,
            issued_on: original.issued_on + i32::from(scene.draw.chance(0.3)),
            new_bank: moved.then(|| scene.draw.word()),
            document: if scene.draw.chance(0.4) { original.document } else { scene.draw.word() },
            ..original
        };
        plan.extend(sent(scene, &again, again_at, truth));
    }
    admit(scene, &plan, 0)
}

/// One purchase on two to five bills, each just below the approval limit, on one day.
pub(super) fn split(scene: &mut Scene, at: i64, episode: u64) -> Option<u64> {
    let truth = fraud(Scenario::SplitInvoice, episode);
    let (company, vendor) = parties(scene);
    // in the morning of the next day, so that all parts stay within it
    let day = at.div_euclid(DAY) + 1;
    let mut at = day * DAY + scene.draw.between(6 * HOUR, 10 * HOUR);
    let whole = invoices::vendor_bill(scene, company, vendor, at);
    let limit = scene.settings.approval_limit_minor;
    let mut plan = Vec::new();
    for nth in 0..scene.draw.between(2, 5) {
        let mut part = Bill {
            issued_on: day as i32,
            part_minor: Some(limit - scene.draw.between(limit / 1_000, limit / 10)),
            document: scene.draw.word(),
            ..whole
        };
        if nth > 0 {
            part.serial = scene.next_invoice();
            part.number = invoices::next_number(scene, vendor);
        }
        plan.extend(sent(scene, &part, at, truth));
        at += scene.draw.between(2 * MINUTE, 2 * HOUR);
    }
    admit(scene, &plan, 0)
}

fn parties(scene: &mut Scene) -> (u32, u32) {
    let company = scene.draw.below(scene.world.companies);
    (company, scene.world.usual_vendor(company, &mut scene.draw))
}

/// The bill, and the verdict that most of them get.
fn sent(scene: &mut Scene, bill: &Bill, at: i64, truth: Truth) -> Vec<Planned> {
    let mut plan = vec![Planned { at, truth, step: Step::Invoice(*bill) }];
    if scene.draw.chance(0.7) {
        let subject = Subject::Invoice { company: bill.company, serial: bill.serial };
        let found_at = at + disputes::delay(scene, 5 * HOUR, 4 * DAY);
        plan.push(disputes::verdict(scene, subject, Verdict::Fraud, found_at, truth));
    }
    plan
}

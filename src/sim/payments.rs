//! Genuine payments: at the usual tills and shops, in usual amounts, with what follows from them.

use super::draw::Draw;
use super::episodes;
use super::payment::{Payee, Payment, payee_country};
use super::places::{CASH, COUNTER_TRADES, SHOP_TRADES};
use super::scene::{DAY, HOUR, Scene};
use super::schedule::{Planned, Room, Step};
use super::world::{World, hosted_ip, shared_ip};
use super::{Truth, disputes};
use crate::event::TransactionStatus;

/// Days after which subscriptions and standing orders fall due again.
const CYCLE: u32 = 28;

/// How far the standing orders and subscriptions of the day have been worked off. Account n is due
/// on the days whose number leaves n modulo the cycle, so no calendar needs to be kept.
#[derive(Default)]
pub(super) struct Standing {
    day: i64,
    done: [u32; 2],
}

impl Standing {
    /// The next account with a subscription (0) or a standing order (1) due today.
    fn next(&mut self, which: usize, day: i64, accounts: u32) -> Option<u32> {
        if self.day != day {
            *self = Standing { day, done: [0; 2] };
        }
        // standing orders leave half a cycle after subscriptions
        let slot = (day + 14 * which as i64).rem_euclid(i64::from(CYCLE)) as u32;
        let account = u64::from(slot) + u64::from(self.done[which]) * u64::from(CYCLE);
        let account = u32::try_from(account).ok().filter(|n| *n < accounts)?;
        self.done[which] += 1;
        Some(account)
    }
}

/// A genuine payment that begins now; what follows from it is planned.
pub(super) fn arrive(scene: &mut Scene, at: i64) -> Planned {
    let payment = standing(scene, at).unwrap_or_else(|| ordinary(scene, at));
    let episode = episodes::pass_terminal(scene, &payment);
    follow(scene, &payment);
    Planned { at, truth: episode.unwrap_or_default(), step: Step::Payment(payment) }
}

fn standing(scene: &mut Scene, at: i64) -> Option<Payment> {
    if !scene.draw.chance(0.06) {
        return None;
    }
    let which = scene.draw.index(2);
    let accounts = scene.world.accounts.len() as u32;
    let index = scene.standing.next(which, at.div_euclid(DAY), accounts)?;
    let account = *scene.world.account(index);
    // drawn from the account's number, since it is the same every month
    let mut fixed = Draw::seeded(u64::from(index) << 1 | which as u64);
    let payee = if which == 0 {
        Payee::Shop(account.subscription)
    } else {
        Payee::Beneficiary(account.beneficiaries[1])
    };
    let euro_cents = match which {
        0 => 499.0 + 500.0 * f64::from(fixed.below(6)),
        _ => 40_000.0 + 1_000.0 * f64::from(fixed.below(120)),
    };
    let country = payee_country(payee, index, &scene.world);
    let mut payment = begin(scene, at, index, payee);
    payment.amount_minor = (euro_cents * country.minor_per_cent).round() as i64;
    payment.recurring = true;
    // nobody is at the keyboard
    (payment.device, payment.ip) = (None, None);
    payment.entry_mode = (which == 0).then_some("stored");
    Some(payment)
}

fn ordinary(scene: &mut Scene, at: i64) -> Payment {
    let index = scene.awake_account(at);
    let account = *scene.world.account(index);
    let draw = &mut scene.draw;
    let payee = match draw.weighted(&[0.57, 0.33, 0.01, 0.09]) {
        0 => Payee::Terminal(match draw.weighted(&[0.45, 0.53, 0.02]) {
            0 => account.terminals[0],
            1 => account.terminals[1 + draw.index(3)],
            _ => draw.index(scene.world.terminals.len()) as u32,
        }),
        1 if draw.chance(0.75) => Payee::Shop(draw.pick(&account.shops)),
        1 => Payee::Shop(draw.index(scene.world.shops.len()) as u32),
        2 => Payee::Phone(account.shops[0]),
        _ if draw.chance(0.04) => Payee::Beneficiary(scene.new_beneficiary()),
        _ => Payee::Beneficiary(account.beneficiaries[0]),
    };
    let mut payment = begin(scene, at, index, payee);
    if scene.draw.chance(0.03) {
        payment.status = TransactionStatus::Declined;
        payment.decline_code = Some(scene.draw.pick(&[
            "insufficient_funds",
            "insufficient_funds",
            "insufficient_funds",
            "do_not_honor",
            "expired_card",
            "incorrect_cvc",
            "issuer_unavailable",
        ]));
    } else if payment.card.is_none() && scene.draw.chance(0.01) {
        payment.status = TransactionStatus::Failed;
    }
    payment
}

/// A payment as this person usually makes it, authorised; number, amount and device are drawn.
pub(super) fn begin(scene: &mut Scene, at: i64, index: u32, payee: Payee) -> Payment {
    let account = *scene.world.account(index);
    let online = matches!(payee, Payee::Shop(_) | Payee::Beneficiary(_));
    let (device, ip) = if online {
        (Some(device(scene, index)), Some(address(&mut scene.draw, index)))
    } else {
        (None, None)
    };
    let draw = &mut scene.draw;
    let entry_mode = match payee {
        Payee::Terminal(terminal) if scene.world.terminal(terminal).trade == CASH => Some("chip"),
        Payee::Terminal(_) => {
            Some(["contactless", "chip", "swipe"][draw.weighted(&[0.6, 0.35, 0.05])])
        }
        Payee::Shop(_) => Some(draw.pick(&["stored", "stored", "manual"])),
        Payee::Phone(_) => Some("manual"),
        Payee::Beneficiary(_) => None,
    };
    let second = account.cards > 1 && draw.chance(0.3);
    Payment {
        serial: scene.next_transaction(),
        at,
        account: index,
        card: (!matches!(payee, Payee::Beneficiary(_))).then_some(u8::from(second)),
        payee,
        amount_minor: amount(scene, index, payee),
        status: TransactionStatus::Authorized,
        entry_mode,
        device,
        ip,
        decline_code: None,
        recurring: false,
    }
}

/// What this person would spend there.
fn amount(scene: &mut Scene, index: u32, payee: Payee) -> i64 {
    let world = &scene.world;
    let account = world.account(index);
    let factor = match payee {
        Payee::Terminal(terminal) => {
            COUNTER_TRADES[usize::from(world.terminal(terminal).trade)].factor
        }
        Payee::Shop(shop) | Payee::Phone(shop) => {
            SHOP_TRADES[usize::from(world.shop(shop).trade)].factor
        }
        Payee::Beneficiary(_) => 6.0,
    };
    let there = payee_country(payee, index, world).minor_per_cent;
    let median = account.median_minor * factor * there / account.country().minor_per_cent;
    let minor = scene.draw.log_normal(median, account.sigma).round() as i64;
    payable(minor, payee, index, world)
}

/// At least one unit, and whole notes at a cash machine.
pub(super) fn payable(minor: i64, payee: Payee, account: u32, world: &World) -> i64 {
    match payee {
        Payee::Terminal(terminal) if world.terminal(terminal).trade == CASH => {
            let there = payee_country(payee, account, world).minor_per_cent;
            let note = if there > 50.0 { 10_000 } else { 1_000 };
            (minor / note).max(1) * note
        }
        _ => minor.max(1),
    }
}

fn device(scene: &mut Scene, index: u32) -> u32 {
    if scene.draw.chance(0.01) {
        // a new phone, or one that was borrowed
        return scene.new_device();
    }
    let second = scene.world.account(index).devices > 1 && scene.draw.chance(0.25);
    scene.world.device(index, u8::from(second))
}

fn address(draw: &mut Draw, index: u32) -> u32 {
    match draw.weighted(&[0.75, 0.23, 0.02]) {
        0 => World::home_ip(index),
        1 => shared_ip(draw.below(u32::MAX)),
        _ => hosted_ip(draw.below(u32::MAX)),
    }
}

/// Plans capture, refund, dispute and review of a genuine payment.
fn follow(scene: &mut Scene, payment: &Payment) {
    if payment.status != TransactionStatus::Authorized {
        return;
    }
    let online = matches!(payment.payee, Payee::Shop(_));
    let mut plan = Vec::new();
    if scene.draw.chance(if online { 0.45 } else { 0.06 }) {
        plan.push(capture(scene, payment, Truth::default()));
    }
    if payment.card.is_some() && scene.draw.chance(if online { 0.015 } else { 0.003 }) {
        let refund = Payment {
            status: TransactionStatus::Refunded,
            amount_minor: -payment.amount_minor,
            ..*payment
        };
        plan.push(Planned {
            at: payment.at + scene.draw.between(38 * HOUR, 10 * DAY),
            truth: Truth::default(),
            step: Step::Payment(refund),
        });
    }
    if payment.card.is_some() && scene.draw.chance(scene.settings.dispute_share) {
        plan.extend(disputes::honest(scene, payment));
    }
    if scene.draw.chance(0.000_6) {
        plan.push(disputes::cleared(scene, payment));
    }
    // what finds no room does not happen
    let _ = plan.is_empty() || scene.schedule.admit(Room::Aftermath, &plan);
}

/// The capture of an authorised payment, hours later.
pub(super) fn capture(scene: &mut Scene, payment: &Payment, truth: Truth) -> Planned {
    Planned {
        at: payment.at + scene.draw.between(HOUR, 36 * HOUR),
        truth,
        step: Step::Payment(Payment { status: TransactionStatus::Captured, ..*payment }),
    }
}

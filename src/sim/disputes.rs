//! Contested payments, with the networks' own reason codes, and what analysts find out later.

use super::draw::Draw;
use super::ids;
use super::payment::{Payee, Payment, payee_name};
use super::scene::{DAY, HOUR, Scene};
use super::schedule::{Planned, Step};
use super::text::{self, Blanks};
use super::world::World;
use super::{Truth, payments};
use crate::event::{
    Dispute, DisputeStage, Label, Millis, Network, SubjectKind, Text, TransactionStatus, Verdict,
};

/// Why someone contests a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    Fraud,
    NotReceived,
    NotAsDescribed,
    NoCredit,
    Twice,
    Cancelled,
}

/// One stage of a dispute.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contest {
    pub serial: u64,
    pub payment: Payment,
    pub ground: Ground,
    pub stage: DisputeStage,
    /// milliseconds since 1970
    pub opened_at: i64,
    /// days the processor leaves for an answer
    pub due_days: Option<u8>,
    pub told: bool,
}

/// The network's code for that ground. Sources: Visa's, Mastercard's, American Express' and
/// Discover's dispute guides.
fn reason_code(network: Network, ground: Ground, present: bool) -> &'static str {
    match (network, ground) {
        (Network::Visa, Ground::Fraud) if present => "10.3",
        (Network::Visa, Ground::Fraud) => "10.4",
        (Network::Visa, Ground::NotReceived) => "13.1",
        (Network::Visa, Ground::NotAsDescribed) => "13.3",
        (Network::Visa, Ground::NoCredit) => "13.6",
        (Network::Visa, Ground::Twice) => "12.6.1",
        (Network::Visa, Ground::Cancelled) => "13.2",
        (Network::Mastercard, Ground::Fraud) => "4837",
        (Network::Mastercard, Ground::NotReceived) => "4855",
        (Network::Mastercard, Ground::NotAsDescribed | Ground::NoCredit) => "4853",
        (Network::Mastercard, Ground::Twice) => "4834",
        (Network::Mastercard, Ground::Cancelled) => "4841",
        (Network::Amex, Ground::Fraud) if present => "F24",
        (Network::Amex, Ground::Fraud) => "F29",
        (Network::Amex, Ground::NotReceived) => "C08",
        (Network::Amex, Ground::NotAsDescribed) => "C31",
        (Network::Amex, Ground::NoCredit) => "C02",
        (Network::Amex, Ground::Twice) => "P08",
        (Network::Amex, Ground::Cancelled) => "C28",
        (Network::Discover, Ground::Fraud) => "UA",
        (Network::Discover, Ground::NotReceived) => "RG",
        (Network::Discover, Ground::NotAsDescribed) => "RM",
        (Network::Discover, Ground::NoCredit) => "CD",
        (Network::Discover, Ground::Twice) => "DP",
        (Network::Discover, Ground::Cancelled) => "AP",
        (Network::Other, _) => "unauthorised_transfer",
    }
}

impl Contest {
    /// The event, with optional fields left out now and then at the rate of `absent`.
    pub(super) fn event(
        &self,
        event_id: Text<'static>,
        at: i64,
        world: &World,
        absent: f64,
        draw: &mut Draw,
    ) -> Dispute<'static> {
        let payment = &self.payment;
        let present = matches!(payment.payee, Payee::Terminal(_));
        let network = payment.network(world);
        let narrative = self.told.then(|| {
            let blanks = Blanks::new(world, payment.account).paid(
                payment.amount_minor,
                payment.country(world).currency,
                payee_name(payment.payee, world),
            );
            blanks.fill(draw.pick(text::complaints(self.ground)), draw)
        });
        let mut there = || !draw.chance(absent);
        Dispute {
            event_id,
            event_time: Millis(at),
            tenant: Text::from("default"),
            account_id: ids::account(payment.account),
            dispute_id: ids::numbered("dsp-", self.serial, 7),
            transaction_id: ids::transaction(payment.serial),
            network,
            reason_code: Text::from(reason_code(network, self.ground, present)),
            amount_minor: payment.amount_minor,
            currency: Text::from(payment.country(world).currency),
            opened_at: Millis(self.opened_at),
            due_by: self.due_days.map(|days| Millis(self.opened_at + i64::from(days) * DAY)),
            stage: self.stage,
            merchant_id: there().then(|| payment.merchant_id(world)),
            terminal_id: payment.terminal_id().filter(|_| there()),
            card_id: payment.card_id().filter(|_| there()),
            device_id: payment.device_id().filter(|_| there()),
            ip: payment.ip.filter(|_| there()).map(ids::ip),
            transaction_time: there().then_some(Millis(payment.at)),
            narrative,
        }
    }
}

/// A dispute's stages: perhaps an early warning, the chargeback at `at`, later how it ended. The
/// truth is that of the claim itself; how the network ends it is nobody's fraud.
pub(super) fn stages(
    scene: &mut Scene,
    payment: &Payment,
    ground: Ground,
    at: i64,
    truth: Truth,
) -> Vec<Planned> {
    let serial = scene.next_dispute();
    let draw = &mut scene.draw;
    let contest = Contest {
        serial,
        payment: *payment,
        ground,
        stage: DisputeStage::Chargeback,
        opened_at: at,
        due_days: (!draw.chance(0.15)).then(|| draw.pick(&[7, 14, 20, 30])),
        told: draw.chance(0.6),
    };
    let stage =
        |stage, at, truth| Planned { at, truth, step: Step::Dispute(Contest { stage, ..contest }) };
    let mut plan = Vec::with_capacity(3);
    let warned_at = at - draw.between(HOUR, 3 * HOUR);
    if ground == Ground::Fraud && !truth.fraud && warned_at > payment.at && draw.chance(0.15) {
        let mut warning = contest;
        (warning.opened_at, warning.due_days) = (warned_at, Some(1));
        (warning.stage, warning.told) = (DisputeStage::EarlyWarning, false);
        plan.push(Planned { at: warned_at, truth, step: Step::Dispute(warning) });
    }
    plan.push(stage(DisputeStage::Chargeback, at, truth));
    if draw.chance(0.6) {
        let end = match (truth.fraud, draw.weighted(&[0.3, 0.45, 0.25])) {
            (true, _) | (false, 0) => DisputeStage::Won,
            (false, 1) => DisputeStage::Lost,
            (false, _) => DisputeStage::Accepted,
        };
        let ended_at = at + draw.between(3 * DAY, 9 * DAY);
        plan.push(stage(end, ended_at, Truth { fraud: false, ..truth }));
    }
    plan
}

/// A dispute for an honest reason, days after the payment.
pub(super) fn honest(scene: &mut Scene, payment: &Payment) -> Vec<Planned> {
    let present = matches!(payment.payee, Payee::Terminal(_));
    let weights = match (payment.recurring, present) {
        (true, _) => [0.0, 0.0, 0.1, 0.2, 0.7],
        (_, true) => [0.05, 0.35, 0.2, 0.4, 0.0],
        _ => [0.45, 0.3, 0.15, 0.1, 0.0],
    };
    let ground = [
        Ground::NotReceived,
        Ground::NotAsDescribed,
        Ground::NoCredit,
        Ground::Twice,
        Ground::Cancelled,
    ][scene.draw.weighted(&weights)];
    let at = payment.at + scene.draw.between(DAY, 7 * DAY);
    stages(scene, payment, ground, at, Truth::default())
}

/// What a label is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject {
    Transaction { account: u32, serial: u64 },
    Dispute { account: u32, serial: u64 },
    Message { account: u32, conversation: u64, turn: u8 },
    Invoice { company: u32, serial: u64 },
}

/// What someone found out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruling {
    pub subject: Subject,
    pub verdict: Verdict,
    pub source: &'static str,
    pub note: Option<&'static str>,
}

impl Ruling {
    pub(super) fn event(&self, event_id: Text<'static>, at: i64) -> Label<'static> {
        let (account_id, subject_kind, subject_id) = match self.subject {
            Subject::Transaction { account, serial } => {
                (ids::account(account), SubjectKind::Transaction, ids::transaction(serial))
            }
            Subject::Dispute { account, serial } => {
                let id = ids::numbered("dsp-", serial, 7);
                (ids::account(account), SubjectKind::Dispute, id)
            }
            Subject::Message { account, conversation, turn } => {
                let id = super::chats::message_id(conversation, turn);
                (ids::account(account), SubjectKind::Chat, id)
            }
            Subject::Invoice { company, serial } => {
                let company = ids::numbered("co-", u64::from(company), 4);
                (company, SubjectKind::Invoice, ids::numbered("bill-", serial, 7))
            }
        };
        Label {
            event_id,
            event_time: Millis(at),
            tenant: Text::from("default"),
            account_id,
            subject_kind,
            subject_id,
            verdict: self.verdict,
            source: Text::from(self.source),
            note: self.note.map(Text::from),
        }
    }
}

/// An analyst's verdict on a payment or another subject, with one of the notes or none.
pub(super) fn verdict(
    scene: &mut Scene,
    subject: Subject,
    verdict: Verdict,
    at: i64,
    truth: Truth,
) -> Planned {
    let note = scene.draw.pick(text::notes(verdict));
    let note = scene.draw.chance(0.5).then_some(note);
    Planned {
        at,
        truth: Truth { fraud: false, ..truth },
        step: Step::Label(Ruling { subject, verdict, source: "analyst", note }),
    }
}

/// An analyst looks at a genuine payment and finds nothing wrong.
pub(super) fn cleared(scene: &mut Scene, payment: &Payment) -> Planned {
    let at = payment.at + scene.draw.between(HOUR, 2 * DAY);
    let subject = subject(payment);
    verdict(scene, subject, Verdict::Genuine, at, Truth::default())
}

/// The payment as the subject of a label.
pub(super) fn subject(payment: &Payment) -> Subject {
    Subject::Transaction { account: payment.account, serial: payment.serial }
}

/// How likely the victim disputes a fraudulent payment, and an analyst finds it.
#[derive(Clone, Copy)]
pub(super) struct Notice {
    pub disputed: f64,
    pub labelled: f64,
}

/// A fraudulent payment and what follows from it: capture, dispute, label.
pub(super) fn fraud(
    scene: &mut Scene,
    payment: &Payment,
    truth: Truth,
    notice: Notice,
) -> Vec<Planned> {
    let mut plan = vec![Planned { at: payment.at, truth, step: Step::Payment(*payment) }];
    let later = Truth { fraud: false, ..truth };
    let authorized = payment.status == TransactionStatus::Authorized;
    if authorized && matches!(payment.payee, Payee::Shop(_)) && scene.draw.chance(0.45) {
        // as much fraud as the payment it completes
        plan.push(payments::capture(scene, payment, truth));
    }
    let mut known_at = payment.at + delay(scene, 3 * HOUR, 3 * DAY);
    if authorized && payment.card.is_some() && scene.draw.chance(notice.disputed) {
        known_at = payment.at + delay(scene, 5 * HOUR, 5 * DAY);
        plan.extend(stages(scene, payment, Ground::Fraud, known_at, later));
        known_at += delay(scene, HOUR, 2 * DAY);
    }
    if scene.draw.chance(notice.labelled) {
        plan.push(verdict(scene, subject(payment), Verdict::Fraud, known_at, later));
    }
    plan
}

/// Between the two, short ones likelier.
pub(super) fn delay(scene: &mut Scene, low: i64, high: i64) -> i64 {
    scene.draw.log_uniform(low as f64, high as f64) as i64
}

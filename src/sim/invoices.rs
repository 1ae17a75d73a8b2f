//! Bills, expense claims and credit notes, which arrive at companies with accounts of their own
//! (`co-0001`), apart from the people's.
//!
//! A bill waits in the schedule as a few numbers; its lines are drawn from a seed it carries when
//! it becomes an event, so that a duplicate has the very same lines.

use super::Truth;
use super::catalogue::{CATEGORIES, Category, EXPENSES};
use super::draw::Draw;
use super::ids;
use super::places::{COUNTRIES, Country};
use super::scene::{DAY, HOUR, Scene};
use super::schedule::{Planned, Room, Step};
use super::world::World;
use crate::event::{Date, Invoice, InvoiceKind, InvoiceLine, Millis, Text};

/// Employees of a company who hand in claims.
const EMPLOYEES: u32 = 25;

/// Who wants the money.
#[derive(Clone, Copy, Debug)]
pub(super) enum Biller {
    Vendor(u32),
    Employee { number: u32, country: u8, category: u8 },
}

/// How the number differs from the vendor's own, on a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Disguise {
    None,
    Suffix,
    NoSeparators,
    LetterForZero,
    LowerCase,
}

/// A bill in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bill {
    pub serial: u64,
    pub company: u32,
    pub biller: Biller,
    pub kind: InvoiceKind,
    /// the biller's own count
    pub number: u32,
    pub disguise: Disguise,
    /// days since 1970
    pub issued_on: i32,
    /// what the lines are drawn from
    pub lines: u64,
    /// instead of drawn lines, one line with this amount, minor units
    pub part_minor: Option<i64>,
    /// paid to another bank account than the vendor's own
    pub new_bank: Option<u64>,
    /// what the document's hash is drawn from
    pub document: u64,
    pub purchase_order: Option<u32>,
}

impl Bill {
    fn country(&self, world: &World) -> &'static Country {
        let country = match self.biller {
            Biller::Vendor(index) => world.vendor(index).country,
            Biller::Employee { country, .. } => country,
        };
        &COUNTRIES[usize::from(country)]
    }

    fn category(&self, world: &World) -> &'static Category {
        match self.biller {
            Biller::Vendor(index) => &CATEGORIES[usize::from(world.vendor(index).category)],
            Biller::Employee { category, .. } => &EXPENSES[usize::from(category)],
        }
    }

    fn lines(&self, world: &World) -> Vec<InvoiceLine<'static>> {
        let mut draw = Draw::seeded(self.lines);
        let category = self.category(world);
        let sign = if self.kind == InvoiceKind::CreditNote { -1 } else { 1 };
        if let Some(amount) = self.part_minor {
            return vec![line(draw.pick(category.items), 2, sign * amount)];
        }
        let (count, factor) = match self.biller {
            Biller::Vendor(index) => {
                (1 + draw.weighted(&[5.0, 4.0, 3.0, 2.0, 1.0, 1.0]), world.vendor(index).factor)
            }
            Biller::Employee { .. } => (1 + draw.weighted(&[6.0, 2.0, 1.0]), 1.0),
        };
        let usual = category.unit_cents * factor * self.country(world).minor_per_cent;
        (0..count)
            .map(|_| {
                let mut unit = (draw.log_normal(usual, 0.4).round() as i64).max(2);
                let half_units = match self.biller {
                    Biller::Employee { .. } => 2,
                    Biller::Vendor(_) if category.hourly => 1 + i64::from(draw.below(80)),
                    Biller::Vendor(_) => 2 * (1 + i64::from(draw.below(24))),
                };
                // a price that half an hour divides
                unit += unit % 2;
                line(draw.pick(category.items), half_units, sign * unit)
            })
            .collect()
    }

    /// The number as printed.
    fn printed(&self, world: &World) -> String {
        let date = Date(self.issued_on).to_string();
        let year = date.get(..4).unwrap_or_default();
        let n = self.number;
        let prefix = if self.kind == InvoiceKind::CreditNote { "CN-" } else { "" };
        let number = match self.biller {
            Biller::Employee { number, .. } => format!("EXP-{number}-{n:04}"),
            Biller::Vendor(index) => match world.vendor(index).style {
                0 => format!("{prefix}INV-{year}-{n:05}"),
                1 => format!("{prefix}{n:06}"),
                2 => format!("{prefix}RE{n:05}/{}", year.get(2..).unwrap_or_default()),
                _ => format!("{prefix}{}-{n:04}", self.company + 100),
            },
        };
        match self.disguise {
            Disguise::None => number,
            Disguise::Suffix => number + "A",
            Disguise::NoSeparators => number.replace(['-', '/'], ""),
            Disguise::LetterForZero => number.replacen('0', "O", 1),
            Disguise::LowerCase => number.to_lowercase(),
        }
    }

    /// The event, with optional fields left out now and then at the rate of `absent`.
    pub(super) fn event(
        &self,
        event_id: Text<'static>,
        at: i64,
        world: &World,
        absent: f64,
        draw: &mut Draw,
    ) -> Invoice<'static> {
        let country = self.country(world);
        let mut lines = self.lines(world);
        let amount_minor = lines.iter().map(|line| line.amount_minor).sum();
        let mut there = || !draw.chance(absent);
        if !there() {
            lines.clear();
        }
        let (vendor, employee) = match self.biller {
            Biller::Vendor(index) => (Some(index), None),
            Biller::Employee { number, .. } => (None, Some(number)),
        };
        let own_bank = match self.biller {
            Biller::Vendor(index) => u64::from(index),
            Biller::Employee { number, .. } => 1 << 33 | u64::from(number),
        };
        let due_on = vendor.map(|index| Date(self.issued_on + world.vendor(index).terms));
        let bank = self.new_bank.unwrap_or(own_bank) | 1 << 40;
        Invoice {
            event_id,
            event_time: Millis(at),
            tenant: Text::from("default"),
            account_id: ids::numbered("co-", u64::from(self.company), 4),
            invoice_id: ids::numbered("bill-", self.serial, 7),
            kind: self.kind,
            vendor_id: vendor.map(|index| ids::numbered("ven-", u64::from(index), 5)),
            vendor_name: vendor
                .filter(|_| there())
                .map(|index| ids::vendor_name(index, country.legal_form)),
            employee_id: employee.map(|number| ids::numbered("emp-", u64::from(number), 6)),
            number: Text::from(self.printed(world)),
            issued_on: Date(self.issued_on),
            due_on: due_on.filter(|_| there()),
            amount_minor,
            currency: Text::from(country.currency),
            bank_account_hash: there().then(|| ids::hash(bank, 32)),
            purchase_order: self
                .purchase_order
                .filter(|_| there())
                .map(|number| ids::numbered("PO-", u64::from(number), 6)),
            category: there().then(|| Text::from(self.category(world).name)),
            lines,
            document_sha256: there().then(|| ids::hash(self.document, 64)),
        }
    }
}

/// A line of so many half units; the unit price is even or the half units are.
fn line(description: &'static str, half_units: i64, unit: i64) -> InvoiceLine<'static> {
    InvoiceLine {
        description: Text::from(description),
        quantity: half_units as f64 / 2.0,
        unit_price_minor: unit,
        amount_minor: half_units * unit / 2,
    }
}

/// A genuine bill or claim that arrives now; its credit note, if it gets one, is planned.
pub(super) fn arrive(scene: &mut Scene, at: i64) -> Planned {
    let company = scene.draw.below(scene.world.companies);
    // day 0 was a Thursday; offices are closed on Saturday and Sunday
    let weekday = (at.div_euclid(DAY) + 3).rem_euclid(7);
    let claims = if weekday >= 5 { 0.85 } else { 0.3 };
    let bill = if scene.draw.chance(claims) {
        claim(scene, company, at)
    } else {
        let vendor = scene.world.usual_vendor(company, &mut scene.draw);
        let bill = vendor_bill(scene, company, vendor, at);
        if scene.draw.chance(0.03) {
            credit(scene, &bill, at);
        }
        bill
    };
    Planned { at, truth: Truth::default(), step: Step::Invoice(bill) }
}

/// An ordinary bill of that vendor.
pub(super) fn vendor_bill(scene: &mut Scene, company: u32, vendor: u32, at: i64) -> Bill {
    let number = next_number(scene, vendor);
    let draw = &mut scene.draw;
    let posted = draw.weighted(&[3.0, 4.0, 2.0, 1.0, 1.0]) as i64;
    let (lines, document) = (draw.word(), draw.word());
    let purchase_order = draw.chance(0.6).then(|| draw.below(1_000_000));
    Bill {
        serial: scene.next_invoice(),
        company,
        biller: Biller::Vendor(vendor),
        kind: InvoiceKind::Invoice,
        number,
        disguise: Disguise::None,
        issued_on: (at.div_euclid(DAY) - posted) as i32,
        lines,
        part_minor: None,
        new_bank: None,
        document,
        purchase_order,
    }
}

/// The vendor's next number.
pub(super) fn next_number(scene: &mut Scene, vendor: u32) -> u32 {
    let serial = &mut scene.world.vendors[vendor as usize].serial;
    // after a million bills it starts again, so that the printed number keeps its length
    *serial = (*serial + 1) % 1_000_000;
    *serial
}

fn claim(scene: &mut Scene, company: u32, at: i64) -> Bill {
    let draw = &mut scene.draw;
    let number = company * EMPLOYEES + draw.below(EMPLOYEES);
    let biller = Biller::Employee {
        number,
        country: (company as usize % COUNTRIES.len()) as u8,
        category: draw.index(EXPENSES.len()) as u8,
    };
    let days = draw.between(0, 12);
    let (lines, document) = (draw.word(), draw.word());
    let serial = scene.next_invoice();
    Bill {
        serial,
        company,
        biller,
        kind: InvoiceKind::ExpenseClaim,
        number: (serial % 10_000) as u32,
        disguise: Disguise::None,
        issued_on: (at.div_euclid(DAY) - days) as i32,
        lines,
        part_minor: None,
        new_bank: None,
        document,
        purchase_order: None,
    }
}

fn credit(scene: &mut Scene, bill: &Bill, at: i64) {
    let at = at + scene.draw.between(20 * HOUR, 12 * DAY);
    let note = Bill {
        serial: scene.next_invoice(),
        kind: InvoiceKind::CreditNote,
        issued_on: at.div_euclid(DAY) as i32,
        document: scene.draw.word(),
        ..*bill
    };
    // without room the vendor keeps the money
    let _ = scene.schedule.admit(
        Room::Aftermath,
        &[Planned { at, truth: Truth::default(), step: Step::Invoice(note) }],
    );
}

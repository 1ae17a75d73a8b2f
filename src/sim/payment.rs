//! A payment in numbers, small enough to wait in the schedule, and the event it becomes.

use super::draw::Draw;
use super::ids;
use super::places::{CASH, CITIES, COUNTER_TRADES, COUNTRIES, Country, SHOP_TRADES, country_of};
use super::world::World;
use crate::event::{Channel, Millis, Network, Text, Transaction, TransactionStatus};

/// Where the money goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payee {
    Terminal(u32),
    Shop(u32),
    /// a shop that takes the order by phone
    Phone(u32),
    /// a transfer; the number is the beneficiary's
    Beneficiary(u32),
}

/// One step of a payment, and all that its later steps, disputes and labels need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Payment {
    pub serial: u64,
    /// of the first step, milliseconds since 1970
    pub at: i64,
    pub account: u32,
    /// which of the account's cards; `None` for transfers
    pub card: Option<u8>,
    pub payee: Payee,
    /// of the payee's country, or the account's for transfers
    pub amount_minor: i64,
    pub status: TransactionStatus,
    pub entry_mode: Option<&'static str>,
    pub device: Option<u32>,
    pub ip: Option<u32>,
    pub decline_code: Option<&'static str>,
    pub recurring: bool,
}

impl Payment {
    pub(super) fn channel(&self, world: &World) -> Channel {
        match self.payee {
            Payee::Terminal(index) if world.terminal(index).trade == CASH => Channel::Atm,
            Payee::Terminal(_) => Channel::Pos,
            Payee::Shop(_) => Channel::Ecom,
            Payee::Phone(_) => Channel::Moto,
            Payee::Beneficiary(_) => Channel::Transfer,
        }
    }

    /// The country whose money is paid.
    pub(super) fn country(&self, world: &World) -> &'static Country {
        payee_country(self.payee, self.account, world)
    }

    /// Network of the card; transfers have none.
    pub(super) fn network(&self, world: &World) -> Network {
        self.card
            .map_or(Network::Other, |nth| world.account(self.account).networks[usize::from(nth)])
    }

    pub(super) fn merchant_id(&self, world: &World) -> Text<'static> {
        match self.payee {
            Payee::Terminal(index) => {
                ids::numbered("mer-", u64::from(world.terminal(index).merchant), 5)
            }
            Payee::Shop(index) | Payee::Phone(index) => ids::numbered("shop-", u64::from(index), 5),
            // the bank the money leaves from
            Payee::Beneficiary(_) => {
                Text::from(format!("bank-{}", self.country(world).code.to_lowercase()))
            }
        }
    }

    pub(super) fn terminal_id(&self) -> Option<Text<'static>> {
        match self.payee {
            Payee::Terminal(index) => Some(ids::numbered("term-", u64::from(index), 4)),
            _ => None,
        }
    }

    pub(super) fn card_id(&self) -> Option<Text<'static>> {
        self.card.map(|nth| ids::card(World::card(self.account, nth)))
    }

    pub(super) fn device_id(&self) -> Option<Text<'static>> {
        self.device.map(ids::device)
    }

    fn mcc(&self, world: &World) -> Option<&'static str> {
        match self.payee {
            Payee::Terminal(index) => {
                Some(COUNTER_TRADES[usize::from(world.terminal(index).trade)].mcc)
            }
            Payee::Shop(index) | Payee::Phone(index) => {
                Some(SHOP_TRADES[usize::from(world.shop(index).trade)].mcc)
            }
            Payee::Beneficiary(_) => None,
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
    ) -> Transaction<'static> {
        let mut there = || !draw.chance(absent);
        let place = match self.payee {
            Payee::Terminal(index) if there() => {
                let terminal = world.terminal(index);
                Some((terminal.lat, terminal.lon))
            }
            _ => None,
        };
        let online = self.ip.is_some();
        let has_email = online && world.account(self.account).has_email;
        Transaction {
            event_id,
            event_time: Millis(at),
            tenant: Text::from("default"),
            account_id: ids::account(self.account),
            transaction_id: ids::transaction(self.serial),
            card_id: self.card_id(),
            merchant_id: self.merchant_id(world),
            terminal_id: self.terminal_id(),
            amount_minor: self.amount_minor,
            currency: Text::from(self.country(world).currency),
            mcc: self.mcc(world).filter(|_| there()).map(Text::from),
            channel: self.channel(world),
            entry_mode: self.entry_mode.filter(|_| there()).map(Text::from),
            country: there().then(|| Text::from(self.country(world).code)),
            lat: place.map(|(lat, _)| lat),
            lon: place.map(|(_, lon)| lon),
            device_id: self.device.filter(|_| there()).map(ids::device),
            ip: self.ip.filter(|_| there()).map(ids::ip),
            email_hash: (has_email && there()).then(|| ids::short_hash(0xe3a1, self.account)),
            beneficiary_id: match self.payee {
                Payee::Beneficiary(index) => Some(ids::beneficiary(index)),
                _ => None,
            },
            status: self.status,
            decline_code: self.decline_code.map(Text::from),
            recurring: self.recurring,
        }
    }
}

/// The country whose money is paid when `account` pays that payee.
pub(super) fn payee_country(payee: Payee, account: u32, world: &World) -> &'static Country {
    match payee {
        Payee::Terminal(index) => country_of(world.terminal(index).city),
        Payee::Shop(index) | Payee::Phone(index) => {
            &COUNTRIES[usize::from(world.shop(index).country)]
        }
        Payee::Beneficiary(_) => world.account(account).country(),
    }
}

/// How people name the payee.
pub(super) fn payee_name(payee: Payee, world: &World) -> String {
    match payee {
        Payee::Shop(index) | Payee::Phone(index) => ids::shop_name(index),
        Payee::Terminal(index) => {
            let city = CITIES[usize::from(world.terminal(index).city)].name;
            format!("a till in {city}")
        }
        Payee::Beneficiary(_) => "someone I do not know".to_owned(),
    }
}

//! Who lives in the simulated world, settled once from the seed: people, terminals, shops,
//! companies and vendors, and who usually deals with whom.

use super::draw::{Draw, scramble};
use super::places::{CITIES, COUNTER_TRADES, COUNTRIES, Country, SHOP_TRADES, Trade, country_of};
use super::settings::Settings;
use crate::event::Network;

/// A person with an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account {
    pub city: u8,
    /// of what is paid at a grocer's, minor units of the home currency
    pub median_minor: f64,
    /// spread of the logarithm of the amounts
    pub sigma: f64,
    /// how readily the person pays at a given moment, 0.2 to 1
    pub activity: f64,
    /// hours later than others that the person's day begins
    pub lateness: i64,
    /// the first is visited most
    pub terminals: [u32; 4],
    pub shops: [u32; 3],
    pub subscription: u32,
    /// people and landlords who get money regularly
    pub beneficiaries: [u32; 2],
    pub networks: [Network; 2],
    pub cards: u8,
    pub devices: u8,
    pub has_email: bool,
}

impl Account {
    pub(super) fn country(&self) -> &'static Country {
        country_of(self.city)
    }
}

// two million of them have to fit
const _: () = assert!(size_of::<Account>() <= 104);

/// A card terminal or a cash machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    pub merchant: u32,
    pub city: u8,
    pub trade: u8,
    pub lat: f64,
    pub lon: f64,
}

/// A shop on the net.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shop {
    pub country: u8,
    pub trade: u8,
}

/// Whoever sends bills.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vendor {
    pub country: u8,
    pub category: u8,
    /// of a line's unit price beside the category's usual one
    pub factor: f64,
    /// how it prints its numbers
    pub style: u8,
    /// days until its bills are due
    pub terms: i32,
    /// the number of its last bill
    pub serial: u32,
}

/// Everyone and everything that does not change, but for the vendors' serial numbers.
pub(super) struct World {
    pub accounts: Vec<Account>,
    pub terminals: Vec<Terminal>,
    pub shops: Vec<Shop>,
    pub vendors: Vec<Vendor>,
    pub devices: u32,
    pub companies: u32,
}

/// Vendors a company deals with.
const VENDORS_PER_COMPANY: u32 = 15;

impl World {
    pub(super) fn new(settings: &Settings, draw: &mut Draw) -> World {
        let terminals = terminals(settings.terminals, draw);
        let shops = shops(settings.shops, draw);
        let accounts = accounts(settings.accounts, &terminals, &shops, draw);
        let categories = super::catalogue::CATEGORIES.len();
        let vendors = (0..settings.vendors)
            .map(|_| Vendor {
                country: draw.index(COUNTRIES.len()) as u8,
                category: draw.index(categories) as u8,
                factor: draw.log_normal(1.0, 0.5),
                style: draw.below(4) as u8,
                terms: draw.pick(&[14, 30, 30, 30, 45, 60]),
                serial: draw.below(4_000),
            })
            .collect();
        World {
            accounts,
            terminals,
            shops,
            vendors,
            devices: settings.devices,
            companies: settings.companies,
        }
    }

    pub(super) fn account(&self, index: u32) -> &Account {
        &self.accounts[index as usize]
    }

    pub(super) fn terminal(&self, index: u32) -> &Terminal {
        &self.terminals[index as usize]
    }

    pub(super) fn shop(&self, index: u32) -> &Shop {
        &self.shops[index as usize]
    }

    pub(super) fn vendor(&self, index: u32) -> &Vendor {
        &self.vendors[index as usize]
    }

    /// Any account.
    pub(super) fn any_account(&self, draw: &mut Draw) -> u32 {
        draw.index(self.accounts.len()) as u32
    }

    /// Number of the person's n-th card. Unique, as nobody has more than two.
    pub(super) fn card(account: u32, nth: u8) -> u32 {
        account * 2 + u32::from(nth)
    }

    /// Number of the person's n-th device.
    pub(super) fn device(&self, account: u32, nth: u8) -> u32 {
        (account + u32::from(nth) * self.accounts.len() as u32) % self.devices
    }

    /// The person's address at home, in the range carriers share (RFC 6598).
    pub(super) fn home_ip(account: u32) -> u32 {
        shared_ip(scramble(account))
    }

    /// One of the vendors a company deals with.
    pub(super) fn usual_vendor(&self, company: u32, draw: &mut Draw) -> u32 {
        let first = company.wrapping_mul(7);
        first.wrapping_add(draw.below(VENDORS_PER_COMPANY)) % self.vendors.len() as u32
    }
}

/// An address of 100.64.0.0/10.
pub(super) fn shared_ip(bits: u32) -> u32 {
    0x6440_0000 | (bits & 0x003f_ffff)
}

/// An address of 198.18.0.0/15, which stands for data centres here.
pub(super) fn hosted_ip(bits: u32) -> u32 {
    0xc612_0000 | (bits & 0x0001_ffff)
}

fn trade_weights<const N: usize>(trades: &[Trade; N]) -> [f64; N] {
    std::array::from_fn(|index| trades[index].weight)
}

fn near(draw: &mut Draw, degrees: f64) -> f64 {
    round4(degrees + (draw.unit() - 0.5) * 0.24)
}

/// To four decimals, some ten metres.
fn round4(degrees: f64) -> f64 {
    (degrees * 10_000.0).round() / 10_000.0
}

fn terminals(count: u32, draw: &mut Draw) -> Vec<Terminal> {
    let cities: Vec<f64> = CITIES.iter().map(|city| city.weight).collect();
    let trades = trade_weights(&COUNTER_TRADES);
    let mut terminals: Vec<Terminal> = Vec::with_capacity(count as usize);
    for index in 0..count {
        // a third of the tills stand beside another one of the same merchant
        if let Some(last) = terminals.last().copied().filter(|_| draw.chance(0.33)) {
            terminals.push(last);
            continue;
        }
        // every city gets one before chance decides
        let city =
            if (index as usize) < CITIES.len() { index as usize } else { draw.weighted(&cities) };
        terminals.push(Terminal {
            merchant: index,
            city: city as u8,
            trade: draw.weighted(&trades) as u8,
            lat: near(draw, CITIES[city].lat),
            lon: near(draw, CITIES[city].lon),
        });
    }
    terminals
}

fn shops(count: u32, draw: &mut Draw) -> Vec<Shop> {
    let trades = trade_weights(&SHOP_TRADES);
    (0..count)
        .map(|index| Shop {
            country: (index as usize % COUNTRIES.len()) as u8,
            trade: draw.weighted(&trades) as u8,
        })
        .collect()
}

fn accounts(count: u32, terminals: &[Terminal], shops: &[Shop], draw: &mut Draw) -> Vec<Account> {
    let weights: Vec<f64> = CITIES.iter().map(|city| city.weight).collect();
    let mut by_city: Vec<Vec<u32>> = vec![Vec::new(); CITIES.len()];
    for (index, terminal) in terminals.iter().enumerate() {
        by_city[usize::from(terminal.city)].push(index as u32);
    }
    let mut by_country: Vec<Vec<u32>> = vec![Vec::new(); COUNTRIES.len()];
    for (index, shop) in shops.iter().enumerate() {
        by_country[usize::from(shop.country)].push(index as u32);
    }
    let homes: Vec<usize> = (0..CITIES.len()).filter(|city| !by_city[*city].is_empty()).collect();
    let home_weights: Vec<f64> = homes.iter().map(|city| weights[*city]).collect();
    (0..count)
        .map(|_| {
            let city = homes[draw.weighted(&home_weights)];
            let shops_at_home = &by_country[usize::from(CITIES[city].country)];
            account(city, &by_city[city], shops_at_home, shops.len(), draw, count)
        })
        .collect()
}

fn account(
    city: usize,
    terminals: &[u32],
    shops: &[u32],
    shops_anywhere: usize,
    draw: &mut Draw,
    count: u32,
) -> Account {
    let country = country_of(city as u8);
    let shop = |draw: &mut Draw| {
        if shops.is_empty() || draw.chance(0.1) {
            draw.index(shops_anywhere) as u32
        } else {
            draw.pick(shops)
        }
    };
    let favourite_shops = std::array::from_fn(|_| shop(draw));
    let subscription = shop(draw);
    let network = |draw: &mut Draw| match draw.weighted(&[0.52, 0.36, 0.07, 0.05]) {
        1 => Network::Mastercard,
        2 => Network::Amex,
        3 if country.code == "US" => Network::Discover,
        _ => Network::Visa,
    };
    Account {
        city: city as u8,
        median_minor: draw.log_normal(1_900.0, 0.5) * country.minor_per_cent,
        sigma: 0.5 + 0.5 * draw.unit(),
        activity: 0.2 + 0.8 * draw.unit(),
        lateness: draw.between(-2, 3),
        terminals: std::array::from_fn(|_| draw.pick(terminals)),
        shops: favourite_shops,
        subscription,
        beneficiaries: [draw.below(count), draw.below(count / 8 + 1)],
        networks: [network(draw), network(draw)],
        cards: if draw.chance(0.35) { 2 } else { 1 },
        devices: if draw.chance(0.35) { 2 } else { 1 },
        has_email: draw.chance(0.9),
    }
}

//! How the things of the simulated world are called. Letters interrupt every run of digits before
//! it could pass for a card number, so that nothing here is mistaken for one.

use std::fmt::Write;

use super::draw::{Draw, scramble};
use crate::event::Text;

type Owned = Text<'static>;

/// `acct-000123`
pub(super) fn account(index: u32) -> Owned {
    numbered("acct-", u64::from(index), 6)
}

/// `txn-00000001`
pub(super) fn transaction(serial: u64) -> Owned {
    numbered("txn-", serial, 8)
}

/// `card-7f3a09bc`, a token
pub(super) fn card(index: u32) -> Owned {
    Text::from(format!("card-{:08x}", scramble(index)))
}

/// `dev-7f3a09bc`
pub(super) fn device(index: u32) -> Owned {
    Text::from(format!("dev-{:08x}", scramble(index ^ 0x0de1_0000)))
}

/// `ben-7f3a09bc`
pub(super) fn beneficiary(index: u32) -> Owned {
    Text::from(format!("ben-{:08x}", scramble(index ^ 0x0be2_0000)))
}

/// A prefix and a number with leading zeros; written by hand since it happens five times an event.
pub(super) fn numbered(prefix: &str, number: u64, width: usize) -> Owned {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    let mut left = number;
    while left > 0 || digits.len() - start < width {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    let mut text = String::with_capacity(prefix.len() + digits.len() - start);
    text.push_str(prefix);
    text.extend(digits[start..].iter().map(|digit| char::from(*digit)));
    Text::from(text)
}

/// Dotted decimals of an IPv4 address.
pub(super) fn ip(bits: u32) -> Owned {
    Text::from(std::net::Ipv4Addr::from(bits).to_string())
}

/// Hexadecimal digits of a hash, every eighth of them a letter, from a seed.
pub(super) fn hash(seed: u64, digits: usize) -> Owned {
    let mut text = String::with_capacity(digits);
    let mut draw = Draw::seeded(seed);
    let mut word = 0;
    for index in 0..digits {
        if index % 16 == 0 {
            word = draw.word();
        }
        let nibble = (word & 15) as u8;
        word >>= 4;
        let digit = if index % 8 == 7 { 10 + nibble % 6 } else { nibble };
        text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
    }
    Text::from(text)
}

/// A hash that belongs to a number: 16 hexadecimal digits with two letters among them.
pub(super) fn short_hash(salt: u32, index: u32) -> Owned {
    let mut text = String::with_capacity(16);
    for half in [scramble(index ^ salt), scramble(index.wrapping_add(salt))] {
        // writing to a String cannot fail
        let _ = write!(text, "{:07x}", half & 0x0fff_ffff);
        text.push(char::from(b"abcdef"[(half >> 28) as usize % 6]));
    }
    Text::from(text)
}

const FIRST: [&str; 24] = [
    "Alder",
    "Beacon",
    "Cobalt",
    "Dovetail",
    "Ember",
    "Fernhill",
    "Granite",
    "Harbour",
    "Ivory",
    "Juniper",
    "Kestrel",
    "Lantern",
    "Meadow",
    "Northgate",
    "Orchard",
    "Pebble",
    "Quarry",
    "Redwood",
    "Saffron",
    "Thistle",
    "Umber",
    "Velvet",
    "Willow",
    "Yarrow",
];

const SHOP_LAST: [&str; 12] = [
    "Books",
    "Outfitters",
    "Home",
    "Games",
    "Kitchen",
    "Travel",
    "Audio",
    "Garden",
    "Sports",
    "Toys",
    "Market",
    "Streaming",
];

const VENDOR_LAST: [&str; 12] = [
    "Supplies",
    "Consulting",
    "Logistics",
    "Systems",
    "Facilities",
    "Media",
    "Print",
    "Catering",
    "Engineering",
    "Cleaning",
    "Energy",
    "Partners",
];

/// What people call a shop.
pub(super) fn shop_name(index: u32) -> String {
    let index = index as usize;
    let last = SHOP_LAST[(index / FIRST.len()) % SHOP_LAST.len()];
    format!("{} {last}", FIRST[index % FIRST.len()])
}

/// What stands at the head of a vendor's bills.
pub(super) fn vendor_name(index: u32, legal_form: &str) -> Owned {
    let n = index as usize;
    let (first, last) =
        (FIRST[n % FIRST.len()], VENDOR_LAST[(n / FIRST.len()) % VENDOR_LAST.len()]);
    let round = n / (FIRST.len() * VENDOR_LAST.len());
    Text::from(if round == 0 {
        format!("{first} {last} {legal_form}")
    } else {
        format!("{first} & {} {last} {legal_form}", FIRST[round % FIRST.len()])
    })
}

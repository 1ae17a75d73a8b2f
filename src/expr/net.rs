//! Addresses and blocks of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fuel::Fuel;
use super::overloads::Row;
use super::types::Kind::{self, Bool, Int, Ip, Text};
use super::value::{Fault, Value};

pub(super) const ROWS: &[Row] = &[
    Row::plain("isIP", &[Text], Bool, is_ip),
    Row::plain("ip.isCanonical", &[Text], Bool, is_canonical),
    Row::plain("isCIDR", &[Text], Bool, is_cidr),
    Row::method("family", &[Ip], Int, |of, _| {
        Ok(Value::Int(if ip(of)?.is_ipv4() { 4 } else { 6 }))
    }),
    Row::method("isUnspecified", &[Ip], Bool, |of, _| Ok(Value::Bool(ip(of)?.is_unspecified()))),
    Row::method("isLoopback", &[Ip], Bool, |of, _| Ok(Value::Bool(ip(of)?.is_loopback()))),
    Row::method("isGlobalUnicast", &[Ip], Bool, |of, _| {
        Ok(Value::Bool(is_global_unicast(ip(of)?)))
    }),
    Row::method("isLinkLocalMulticast", &[Ip], Bool, |of, _| {
        Ok(Value::Bool(is_link_local_multicast(ip(of)?)))
    }),
    Row::method("isLinkLocalUnicast", &[Ip], Bool, |of, _| {
        Ok(Value::Bool(is_link_local_unicast(ip(of)?)))
    }),
    Row::method("containsIP", &[Kind::Cidr, Ip], Bool, contains_ip),
    Row::method("containsIP", &[Kind::Cidr, Text], Bool, contains_ip),
    Row::method("containsCIDR", &[Kind::Cidr, Kind::Cidr], Bool, contains_cidr),
    Row::method("containsCIDR", &[Kind::Cidr, Text], Bool, contains_cidr),
    Row::method("ip", &[Kind::Cidr], Ip, |of, _| Ok(Value::Ip(cidr(of)?.address))),
    Row::method("masked", &[Kind::Cidr], Kind::Cidr, |of, _| Ok(Value::Cidr(cidr(of)?.masked()))),
    Row::method("prefixLength", &[Kind::Cidr], Int, |of, _| {
        Ok(Value::Int(i64::from(cidr(of)?.prefix)))
    }),
];

/// A block of addresses: an address, and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

/// The bits of an address, from the left, and how many there are.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn leading(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)
}

impl Cidr {
    /// As in `192.168.0.0/24`.
    pub(super) fn parse(text: &str) -> Option<Cidr> {
        let (address, prefix) = text.split_once('/')?;
        let address = parse(address)?;
        let is_plain = !prefix.is_empty()
            && prefix.bytes().all(|byte| byte.is_ascii_digit())
            && (prefix == "0" || !prefix.starts_with('0'));
        let prefix: u8 = prefix.parse().ok().filter(|_| is_plain)?;
        (prefix <= bits(address).1).then_some(Cidr { address, prefix })
    }

    /// Whether an address is in it. An address of the other family is not.
    pub(super) fn has(self, address: IpAddr) -> bool {
        let ((own, size), (other, other_size)) = (bits(self.address), bits(address));
        size == other_size && (own ^ other) & leading(self.prefix) == 0
    }

    fn covers(self, other: Cidr) -> bool {
        self.prefix <= other.prefix && self.has(other.address)
    }

    fn masked(self) -> Cidr {
        let (bits, size) = bits(self.address);
        let kept = bits & leading(self.prefix);
        let address = match size {
            32 => IpAddr::V4(Ipv4Addr::from_bits((kept >> 96) as u32)),
            _ => IpAddr::V6(Ipv6Addr::from_bits(kept)),
        };
        Cidr { address, ..self }
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// An address; a v4 one that is written as v6 by its last four bytes in dots is none.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.parse().ok()?;
    match address {
        IpAddr::V6(v6) if text.contains('.') => v6.to_ipv4_mapped().is_none().then_some(address),
        // one address, however it is written
        IpAddr::V6(v6) => Some(v6.to_ipv4_mapped().map_or(address, IpAddr::V4)),
        IpAddr::V4(_) => Some(address),
    }
}

fn ip(arguments: &[Value<'_>]) -> Result<IpAddr, Fault> {
    match arguments.first() {
        Some(Value::Ip(ip)) => Ok(*ip),
        _ => Err(Fault::Argument),
    }
}

fn cidr(arguments: &[Value<'_>]) -> Result<Cidr, Fault> {
    match arguments.first() {
        Some(Value::Cidr(cidr)) => Ok(*cidr),
        _ => Err(Fault::Argument),
    }
}

fn text<'v>(arguments: &'v [Value<'_>]) -> Result<&'v str, Fault> {
    match arguments.first() {
        Some(Value::Text(text)) => Ok(text),
        _ => Err(Fault::Argument),
    }
}

fn is_ip<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Bool(parse(text(arguments)?).is_some()))
}

fn is_cidr<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    Ok(Value::Bool(Cidr::parse(text(arguments)?).is_some()))
}

fn is_canonical<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let text = text(arguments)?;
    let address = parse(text).ok_or(Fault::Conversion)?;
    Ok(Value::Bool(address.to_string() == text))
}

fn contains_ip<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let address = match arguments.get(1) {
        Some(Value::Ip(address)) => *address,
        Some(Value::Text(text)) => parse(text).ok_or(Fault::Conversion)?,
        _ => return Err(Fault::Argument),
    };
    Ok(Value::Bool(cidr(arguments)?.has(address)))
}

fn contains_cidr<'a>(arguments: &[Value<'a>], _: &mut Fuel) -> Result<Value<'a>, Fault> {
    let other = match arguments.get(1) {
        Some(Value::Cidr(other)) => *other,
        Some(Value::Text(text)) => Cidr::parse(text).ok_or(Fault::Conversion)?,
        _ => return Err(Fault::Argument),
    };
    Ok(Value::Bool(cidr(arguments)?.covers(other)))
}

fn is_link_local_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        // the second byte is flags and scope, of which 2 is the link
        IpAddr::V6(v6) => v6.is_multicast() && v6.octets()[1] & 0x0f == 2,
    }
}

/// One host anywhere, private networks included.
fn is_global_unicast(address: IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || is_broadcast
        || is_link_local_unicast(address))
}

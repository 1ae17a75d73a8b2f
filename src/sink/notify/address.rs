//! Which addresses a webhook may be sent to.
//!
//! A receiver's URL is configuration, but what its name resolves to is the business of whoever runs
//! that name. Unless `allow_private` says otherwise, only addresses of the public internet are
//! connected to, so that nobody turns weir into a way into the network it runs in. The check sits in
//! the resolver: what was checked is what is connected to, and a name that changes its mind between
//! check and connection gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Networks that are not the public internet (IANA special-purpose address registry, IPv4).
const NOT_PUBLIC_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),       // this network, unspecified
    ([10, 0, 0, 0], 8),      // private
    ([100, 64, 0, 0], 10),   // carrier-grade NAT
    ([127, 0, 0, 0], 8),     // loopback
    ([169, 254, 0, 0], 16),  // link-local, metadata services of clouds
    ([172, 16, 0, 0], 12),   // private
    ([192, 0, 0, 0], 24),    // protocol assignments
    ([192, 0, 2, 0], 24),    // documentation
    ([192, 88, 99, 0], 24),  // 6to4 relays
    ([192, 168, 0, 0], 16),  // private
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, broadcast
];

/// Exceptions within 2000::/3, the only part of IPv6 that is routed publicly.
const NOT_PUBLIC_V6: &[([u16; 3], u32)] = &[
    ([0x2001, 0, 0], 23),     // protocol assignments, Teredo
    ([0x2001, 0xdb8, 0], 32), // documentation
    ([0x2002, 0, 0], 16),     // 6to4, which carries any IPv4 address
    ([0x3fff, 0, 0], 20),     // documentation
];

/// Whether the address belongs to the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !NOT_PUBLIC_V4
        .iter()
        .any(|(network, len)| (bits ^ u32::from_be_bytes(*network)) >> (32 - len) == 0)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [.., high, low] = segments;
    let embedded = Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match segments {
        // IPv4-mapped, and NAT64's well-known prefix: what counts is the address inside
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(embedded),
        [first, ..] if first >> 13 != 1 => false,
        _ => {
            let bits = address.to_bits();
            !NOT_PUBLIC_V6.iter().any(|([a, b, c], len)| {
                let network = Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0).to_bits();
                (bits ^ network) >> (128 - len) == 0
            })
        }
    }
}

/// An address that is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{host} is at {address}, expected a public address or allow_private = true")]
pub(super) struct RefusedAddress {
    host: String,
    address: IpAddr,
}

/// Checks a URL's host where it is an address itself, which no resolver gets to see.
///
/// # Errors
/// When it may not be connected to.
pub(super) fn check_literal(url: &reqwest::Url) -> Result<(), RefusedAddress> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) if !is_public(address) => {
            Err(RefusedAddress { host: host.to_owned(), address })
        }
        _ => Ok(()),
    }
}

/// The system's resolver, which hands out public addresses only unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolver {
    pub(super) allow_private: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            // port 0: the client puts the URL's in
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept = keep(name.as_str(), found.collect(), allow_private)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

fn keep(
    host: &str,
    mut found: Vec<SocketAddr>,
    allow_private: bool,
) -> Result<Vec<SocketAddr>, RefusedAddress> {
    let refused = found.iter().find(|found| !is_public(found.ip())).copied();
    if !allow_private {
        found.retain(|found| is_public(found.ip()));
    }
    match refused {
        Some(refused) if found.is_empty() => {
            Err(RefusedAddress { host: host.to_owned(), address: refused.ip() })
        }
        _ => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        for refused in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!is_public(refused.parse().unwrap()), "{refused}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_literal_address_is_seen_however_it_is_spelled() {
        for refused in [
            "http://127.0.0.1/x",
            "http://0x7f.1/x",
            "http://2130706433/",
            "http://017700000001/",
            "https://[::1]:9/",
            "http://[::ffff:169.254.169.254]/",
            "http://10.1.2.3.:80/",
        ] {
            let error = check_literal(&refused.parse().unwrap()).expect_err(refused);
            assert!(error.to_string().contains("allow_private"), "{error}");
        }
        for passed in ["http://1.1.1.1/", "https://example.com/", "http://localhost/"] {
            check_literal(&passed.parse().unwrap()).expect(passed);
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_public_ones_are_used() {
        let parse = |all: &[&str]| -> Vec<SocketAddr> {
            all.iter().map(|one| one.parse().unwrap()).collect()
        };
        let mixed = ["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"];
        let public = parse(&["1.1.1.1:0"]);
        assert_eq!(keep("h", parse(&mixed), false), Ok(public));
        assert_eq!(keep("h", parse(&mixed), true), Ok(parse(&mixed)));
        let refused = keep("h", parse(&["10.0.0.1:0", "[::1]:0"]), false).unwrap_err();
        let expected = "h is at 10.0.0.1, expected a public address or allow_private = true";
        assert_eq!(refused.to_string(), expected);
        assert_eq!(keep("h", Vec::new(), false), Ok(Vec::new()));
    }
}

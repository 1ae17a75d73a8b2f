//! Addresses as events have them. The library's reader takes longer than the look-up itself: addresses in
//! the usual forms are read here, and all others, wrong ones included, are left to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address as events have it.
#[inline]
pub(super) fn address(text: &str) -> Option<IpAddr> {
    match usual(text.as_bytes()) {
        Some(address) => Some(address),
        None => text.parse().ok(),
    }
}

fn usual(text: &[u8]) -> Option<IpAddr> {
    if text.iter().take(5).any(|byte| *byte == b':') { usual6(text) } else { usual4(text) }
}

/// Four numbers without leading zeros.
fn usual4(text: &[u8]) -> Option<IpAddr> {
    let (mut address, mut part, mut digits, mut parts) = (0_u32, 0_u32, 0, 1);
    for byte in text {
        match byte {
            b'0'..=b'9' if digits < 3 && !(digits == 1 && part == 0) => {
                part = part * 10 + u32::from(byte - b'0');
                digits += 1;
            }
            b'.' if digits > 0 && part < 256 => {
                address = address << 8 | part;
                (part, digits, parts) = (0, 0, parts + 1);
            }
            _ => return None,
        }
    }
    let is_whole = parts == 4 && digits > 0 && part < 256;
    is_whole.then(|| IpAddr::V4(Ipv4Addr::from_bits(address << 8 | part)))
}

/// What each byte is as a hexadecimal digit; 16 where it is none.
const HEX: [u8; 256] = {
    let mut values = [16; 256];
    let mut i = 0;
    while i < 16 {
        values[b"0123456789abcdef"[i] as usize] = i as u8;
        values[b"0123456789ABCDEF"[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Eight groups, or two colons in a row in place of some.
fn usual6(text: &[u8]) -> Option<IpAddr> {
    let (mut address, mut group, mut digits, mut groups) = (0_u128, 0_u32, 0, 0);
    let mut gap = None;
    for (i, byte) in text.iter().enumerate() {
        let digit = HEX[usize::from(*byte)];
        if digit < 16 {
            group = group << 4 | u32::from(digit);
            digits += 1;
            if digits > 4 {
                return None;
            }
            continue;
        }
        match byte {
            b':' if digits > 0 => {
                address = address << 16 | u128::from(group);
                (group, digits, groups) = (0, 0, groups + 1);
            }
            b':' if i > 0 && text[i - 1] == b':' && gap.is_none() => gap = Some(groups),
            // only two of them begin an address
            b':' if i == 0 && text.get(1) == Some(&b':') => {}
            _ => return None,
        }
    }
    if digits > 0 {
        address = address << 16 | u128::from(group);
        groups += 1;
    } else if gap != Some(groups) {
        return None;
    }
    match gap {
        None if groups == 8 => {}
        // what stands behind the gap stays, what is before it moves up
        Some(before) if groups < 8 => {
            let behind = (groups - before) * 16;
            let moved = (address >> behind).checked_shl(128 - before * 16).unwrap_or(0);
            address = moved | address & ((1 << behind) - 1);
        }
        _ => return None,
    }
    Some(IpAddr::V6(Ipv6Addr::from_bits(address)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_are_read_as_the_library_reads_them(
            v4 in any::<u32>(),
            v6 in any::<u128>(),
            holes in any::<u128>(),
            text in "[0-9a-fA-F:.]{0,24}",
            groups in "(::)?([0-9a-f]{1,5}:){0,8}(::)?(:[0-9a-f]{1,4}){0,4}(::|:)?",
            numbers in "([0-9]{1,3}\\.){2,4}[0-9]{1,3}",
        ) {
            // groups that are zero make gaps
            let sparse = (0..8).fold(v6, |v6, i| match holes >> i & 1 {
                0 => v6,
                _ => v6 & !(0xffff << (i * 16)),
            });
            let v6 = [v6, sparse, v6 & holes & 0xffff, v6 & 0xffff << 112, 0];
            let mut texts = vec![text, groups, numbers, Ipv4Addr::from(v4).to_string()];
            texts.extend(v6.map(|v6| Ipv6Addr::from(v6).to_string()));
            texts.extend(v6.map(|v6| Ipv6Addr::from(v6).to_string().to_uppercase()));
            for text in texts {
                prop_assert_eq!(address(&text), text.parse().ok(), "{}", text);
                if let Some(read) = usual(text.as_bytes()) {
                    prop_assert_eq!(Ok(read), text.parse(), "{}", text);
                }
            }
            prop_assert!(usual(sparse_text(v6[1]).as_bytes()).is_some());
            prop_assert!(usual(Ipv4Addr::from(v4).to_string().as_bytes()).is_some());
        }
    }

    /// An address of which the library writes no part as IPv4.
    fn sparse_text(v6: u128) -> String {
        Ipv6Addr::from(v6 | 1 << 127).to_string()
    }
}

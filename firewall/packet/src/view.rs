//! Bounded reads and writes at offsets, and addresses as keys hold them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_be_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_be_bytes)
}

/// Writes `value` at `at`; false, and nothing written, where it does not fit.
pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) -> bool {
    match bytes.get_mut(at..at + value.len()) {
        Some(place) => {
            place.copy_from_slice(value);
            true
        }
        None => false,
    }
}

/// The first bytes of an IPv4-mapped IPv6 address (RFC 4291 2.5.5.2).
const MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/// An IPv4 address as flow keys hold it.
#[must_use]
pub fn map_ipv4(address: [u8; 4]) -> [u8; 16] {
    let mut mapped = [0; 16];
    mapped[..12].copy_from_slice(&MAPPED);
    mapped[12..].copy_from_slice(&address);
    mapped
}

/// An address as flow keys hold it.
#[must_use]
pub fn address(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => map_ipv4(v4.octets()),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The address that a flow key holds.
#[must_use]
pub fn to_ip(bytes: &[u8; 16]) -> IpAddr {
    if bytes[..12] == MAPPED {
        IpAddr::V4(Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]))
    } else {
        IpAddr::V6(Ipv6Addr::from(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::{address, to_ip};

    #[test]
    fn an_address_comes_back_as_it_went_in() {
        for text in ["192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "::192.0.2.1"] {
            let ip = text.parse().unwrap();
            assert_eq!(to_ip(&address(ip)), ip);
        }
    }
}

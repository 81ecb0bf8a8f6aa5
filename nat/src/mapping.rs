//! Static translation: one prefix for another of the same length, address by address.
//!
//! The bits beyond the prefix are kept, so each inside address has one outside address and the
//! way back is exact (RFC 2663 §4.1.1, static assignment).

use std::net::IpAddr;

use ipnet::IpNet;
use thiserror::Error;

use crate::address::{bits, from_bits};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticMapping {
    outside: IpNet,
    inside: IpNet,
}

/// Why two prefixes can't stand for one another.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MappingError {
    #[error("{outside} and {inside} are of different families, and NAT64 isn't available")]
    Families { outside: IpNet, inside: IpNet },
    #[error(
        "{outside} and {inside} have different lengths, so that not every address has its counterpart"
    )]
    Lengths { outside: IpNet, inside: IpNet },
}

impl StaticMapping {
    /// Both prefixes without host bits.
    pub fn new(outside: IpNet, inside: IpNet) -> Result<Self, MappingError> {
        if outside.addr().is_ipv4() != inside.addr().is_ipv4() {
            return Err(MappingError::Families { outside, inside });
        }
        if outside.prefix_len() != inside.prefix_len() {
            return Err(MappingError::Lengths { outside, inside });
        }
        Ok(Self {
            outside: outside.trunc(),
            inside: inside.trunc(),
        })
    }

    #[must_use]
    pub fn outside(&self) -> IpNet {
        self.outside
    }

    #[must_use]
    pub fn inside(&self) -> IpNet {
        self.inside
    }

    /// The inside address behind an outside one.
    #[must_use]
    pub fn to_inside(&self, address: IpAddr) -> Option<IpAddr> {
        transfer(address, self.outside, self.inside)
    }

    /// The outside address of an inside one.
    #[must_use]
    pub fn to_outside(&self, address: IpAddr) -> Option<IpAddr> {
        transfer(address, self.inside, self.outside)
    }
}

/// Both of one family and one length, so the host's bits fit.
fn transfer(address: IpAddr, from: IpNet, to: IpNet) -> Option<IpAddr> {
    from.contains(&address).then(|| {
        let host = bits(address) & bits(from.hostmask());
        from_bits(bits(to.network()) | host, address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mapping(outside: &str, inside: &str) -> StaticMapping {
        StaticMapping::new(outside.parse().unwrap(), inside.parse().unwrap()).unwrap()
    }

    #[test]
    fn the_bits_beyond_the_prefix_are_kept() {
        let mapping = mapping("198.51.100.64/26", "10.0.0.128/26");
        let inside = mapping.to_inside("198.51.100.70".parse().unwrap());
        assert_eq!(inside, "10.0.0.134".parse().ok());
        assert_eq!(mapping.to_inside("198.51.100.128".parse().unwrap()), None);
        assert_eq!(mapping.to_outside("2001:db8::1".parse().unwrap()), None);
    }

    #[test]
    fn prefixes_of_other_length_or_family_do_not_pair() {
        let net = |text: &str| text.parse::<IpNet>().unwrap();
        assert!(matches!(
            StaticMapping::new(net("198.51.100.0/24"), net("10.0.0.0/25")),
            Err(MappingError::Lengths { .. })
        ));
        assert!(matches!(
            StaticMapping::new(net("198.51.100.1/32"), net("2001:db8::1/128")),
            Err(MappingError::Families { .. })
        ));
    }

    proptest! {
        #[test]
        fn outside_to_inside_to_outside_is_the_same_ipv4(
            outside: u32, inside: u32, length in 1_u8..=32, host: u32,
        ) {
            let net = |number: u32| IpNet::new(IpAddr::from(number.to_be_bytes()), length).unwrap();
            let mapping = StaticMapping::new(net(outside), net(inside)).unwrap();
            let hosts = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            let address = from_bits(
                bits(mapping.outside().network()) | u128::from(host & hosts),
                mapping.outside().addr(),
            );
            let there = mapping.to_inside(address).unwrap();
            prop_assert!(mapping.inside().contains(&there));
            prop_assert_eq!(mapping.to_outside(there), Some(address));
        }

        #[test]
        fn outside_to_inside_to_outside_is_the_same_ipv6(
            outside: u128, inside: u128, length in 1_u8..=128, host: u128,
        ) {
            let net = |number: u128| IpNet::new(IpAddr::from(number.to_be_bytes()), length).unwrap();
            let mapping = StaticMapping::new(net(outside), net(inside)).unwrap();
            let hosts = u128::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            let address = from_bits(
                bits(mapping.outside().network()) | (host & hosts),
                mapping.outside().addr(),
            );
            let there = mapping.to_inside(address).unwrap();
            prop_assert!(mapping.inside().contains(&there));
            prop_assert_eq!(mapping.to_outside(there), Some(address));
        }
    }
}

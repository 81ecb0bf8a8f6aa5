//! Ranges of addresses: what a pool is made of, and what the appliance answers for.
//!
//! A range is inclusive at both ends and of one family. [`AddressList`] numbers the addresses of
//! several ranges from 0, so that a hash can pick one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rules::address::parse_addresses;
use thiserror::Error;

/// Consecutive addresses of one family, both ends included.
///
/// Ordered by family, then by first address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// Why a text is no range of addresses that hosts can have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error(transparent)]
    Unreadable(#[from] rules::address::AddressError),
    #[error("'{0}' is not one address")]
    NotOne(String),
    #[error("'{0}' is no unicast address")]
    NotUnicast(String),
}

impl AddressError {
    pub(crate) fn suggestion(&self) -> Option<String> {
        match self {
            Self::Unreadable(rules::address::AddressError::HostBits(network)) => {
                Some(network.trunc().to_string())
            }
            Self::Unreadable(_) | Self::NotOne(_) | Self::NotUnicast(_) => None,
        }
    }
}

impl AddressRange {
    /// Reads `192.0.2.1`, `192.0.2.0/28` or `192.0.2.1-192.0.2.9`. Every address must be one that
    /// a host can have.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let set = parse_addresses(text)?;
        let ipv4 = set
            .v4_ranges()
            .map(|(first, last)| (first.into(), last.into()));
        let ipv6 = set
            .v6_ranges()
            .map(|(first, last)| (first.into(), last.into()));
        // One text is one range.
        let found = ipv4
            .chain(ipv6)
            .map(|(first, last)| Self { first, last })
            .next();
        found
            .filter(Self::is_unicast)
            .ok_or_else(|| AddressError::NotUnicast(text.to_owned()))
    }

    /// RFC 1122 §3.2.1.3 and RFC 4291 §2: what can be a host's address on a wire. 240.0.0.0/4
    /// (RFC 1112 §4, "class E") can't, and with it 255.255.255.255.
    fn is_unicast(&self) -> bool {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let (first, last) = (first.octets()[0], last.octets()[0]);
                first > 0 && last < 224 && !(first..=last).contains(&127)
            }
            (first, last) => {
                let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
                first > loopback && !first.is_multicast() && !last.is_multicast()
            }
        }
    }

    #[must_use]
    pub fn first(&self) -> IpAddr {
        self.first
    }

    #[must_use]
    pub fn last(&self) -> IpAddr {
        self.last
    }

    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.first.is_ipv4()
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        // `IpAddr` orders IPv4 before IPv6, so the other family is always outside.
        self.first <= address && address <= self.last
    }

    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// How many addresses; all of IPv6 counts as one less than it is.
    #[must_use]
    pub fn count(&self) -> u128 {
        (bits(self.last) - bits(self.first)).saturating_add(1)
    }

    /// The address `offset` after the first. Past the last, the last.
    fn nth(&self, offset: u32) -> IpAddr {
        let number = bits(self.first).saturating_add(u128::from(offset));
        from_bits(number.min(bits(self.last)), self.first)
    }
}

impl From<IpAddr> for AddressRange {
    fn from(address: IpAddr) -> Self {
        Self {
            first: address,
            last: address,
        }
    }
}

impl From<IpNet> for AddressRange {
    fn from(network: IpNet) -> Self {
        Self {
            first: network.network(),
            last: network.broadcast(),
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// The addresses of one family, numbered from 0. Ranges are sorted and disjoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AddressList {
    /// Each range with the number of its first address.
    ranges: Vec<(u32, AddressRange)>,
    count: u32,
}

impl AddressList {
    /// `None` where there are more than `u32::MAX` addresses.
    pub(crate) fn new(ranges: &[AddressRange]) -> Option<Self> {
        let mut list = Self::default();
        for range in merge(ranges) {
            list.ranges.push((list.count, range));
            list.count = list.count.checked_add(u32::try_from(range.count()).ok()?)?;
        }
        Some(list)
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = AddressRange> {
        self.ranges.iter().map(|(_, range)| *range)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        find(&self.ranges, |(_, range)| range, address)
    }

    /// `None` from `count` on.
    pub(crate) fn get(&self, number: u32) -> Option<IpAddr> {
        if number >= self.count {
            return None;
        }
        let after = self.ranges.partition_point(|(start, _)| *start <= number);
        let (start, range) = self.ranges.get(after.checked_sub(1)?)?;
        Some(range.nth(number - start))
    }
}

/// The same addresses in the fewest ranges, sorted.
pub(crate) fn merge(ranges: &[AddressRange]) -> Vec<AddressRange> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut merged: Vec<AddressRange> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(before) if adjoins(before, &range) => before.last = before.last.max(range.last),
            _ => merged.push(range),
        }
    }
    merged
}

fn adjoins(before: &AddressRange, after: &AddressRange) -> bool {
    before.is_ipv4() == after.is_ipv4() && bits(after.first) <= bits(before.last).saturating_add(1)
}

/// Whether sorted, disjoint ranges hold the address.
pub(crate) fn find<T>(sorted: &[T], range: impl Fn(&T) -> &AddressRange, address: IpAddr) -> bool {
    let after = sorted.partition_point(|item| range(item).first <= address);
    after > 0 && range(&sorted[after - 1]).contains(address)
}

/// One address, such as a host can have.
pub(crate) fn unicast(text: &str) -> Result<IpAddr, AddressError> {
    let range = AddressRange::parse(text)?;
    text.parse()
        .ok()
        .filter(|address| range.first == *address)
        .ok_or_else(|| AddressError::NotOne(text.to_owned()))
}

/// A prefix without host bits, or an address as the longest prefix.
pub(crate) fn unicast_prefix(text: &str) -> Result<IpNet, AddressError> {
    AddressRange::parse(text)?;
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| rules::address::AddressError::Malformed(text.to_owned()).into())
}

pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The address with this number, of the same family as `like`.
pub(crate) fn from_bits(number: u128, like: IpAddr) -> IpAddr {
    match like {
        // An IPv4 number came from an IPv4 address or below one, so nothing is cut off.
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        AddressRange::parse(text).unwrap()
    }

    #[test]
    fn an_address_a_prefix_and_a_range_are_ranges() {
        assert_eq!(range("192.0.2.1").count(), 1);
        assert_eq!(range("192.0.2.16/28").count(), 16);
        assert_eq!(range("192.0.2.1-192.0.2.9").count(), 9);
        assert_eq!(range("2001:db8::/64").count(), 1 << 64);
        assert_eq!(
            range("192.0.2.1 - 192.0.2.9").to_string(),
            "192.0.2.1-192.0.2.9"
        );
    }

    #[test]
    fn what_no_host_can_have_is_refused() {
        for text in [
            "0.0.0.0",
            "0.0.0.0/0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "120.0.0.0-130.0.0.0",
            "::",
            "::1",
            "ff02::1",
        ] {
            let error = AddressRange::parse(text).unwrap_err();
            assert_eq!(error, AddressError::NotUnicast(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_prefix_with_host_bits_suggests_its_network() {
        let error = AddressRange::parse("198.51.100.33/28").unwrap_err();
        assert_eq!(error.suggestion().as_deref(), Some("198.51.100.32/28"));
    }

    #[test]
    fn one_address_is_neither_a_prefix_nor_a_range() {
        assert_eq!(unicast("192.0.2.1"), Ok("192.0.2.1".parse().unwrap()));
        for text in ["192.0.2.0/24", "192.0.2.1/32", "192.0.2.1-192.0.2.2"] {
            assert_eq!(unicast(text), Err(AddressError::NotOne(text.to_owned())));
        }
        assert_eq!(unicast_prefix("192.0.2.1"), unicast_prefix("192.0.2.1/32"));
        assert!(unicast_prefix("192.0.2.1-192.0.2.2").is_err());
    }

    #[test]
    fn a_list_numbers_each_address_once() {
        let written = ["192.0.2.8/30", "192.0.2.1", "192.0.2.10-192.0.2.12"].map(range);
        let list = AddressList::new(&written).unwrap();
        let all: Vec<String> = (0..list.count())
            .map(|number| list.get(number).unwrap().to_string())
            .collect();
        let expected = [
            "192.0.2.1",
            "192.0.2.8",
            "192.0.2.9",
            "192.0.2.10",
            "192.0.2.11",
            "192.0.2.12",
        ];
        assert_eq!(all, expected);
        assert_eq!(list.get(list.count()), None);
        assert!(list.contains("192.0.2.12".parse().unwrap()));
        assert!(!list.contains("192.0.2.7".parse().unwrap()));
    }

    #[test]
    fn ranges_of_two_families_never_merge() {
        let both = ["2001:db8::1", "192.0.2.1"].map(range);
        assert_eq!(merge(&both).len(), 2);
    }
}

//! A pool: addresses and ports that source rules translate to.
//!
//! A pool is what the configuration says, not who uses it: leases are kept by [`crate::Leases`],
//! which outlives it.

use std::net::IpAddr;

use rules::{Located, Place, PortRange, Protocol};

use crate::address::{AddressList, AddressRange};
use crate::ports::{self, ALL_IDENTIFIERS, DEFAULT_PORTS};

#[derive(Clone, Debug)]
pub struct Pool {
    name: String,
    place: Place,
    written: Vec<String>,
    /// As written; `None` where the document leaves it to the default.
    ports: Option<PortRange>,
    ipv4: AddressList,
    ipv6: AddressList,
}

/// Each address that is used costs up to 8 KiB a protocol, and a pool beyond this is a typing
/// error in a prefix length more often than a wish.
pub(crate) const MAX_ADDRESSES: u32 = 65_536;

impl Pool {
    /// `None` where there are more than [`MAX_ADDRESSES`].
    pub(crate) fn new(
        name: &Located<String>,
        written: Vec<String>,
        ranges: &[AddressRange],
        ports: Option<PortRange>,
    ) -> Option<Self> {
        let (ipv4, ipv6): (Vec<AddressRange>, Vec<AddressRange>) =
            ranges.iter().partition(|range| range.is_ipv4());
        let (ipv4, ipv6) = (AddressList::new(&ipv4)?, AddressList::new(&ipv6)?);
        let count = ipv4.count().checked_add(ipv6.count())?;
        (count <= MAX_ADDRESSES).then_some(Self {
            name: name.value.clone(),
            place: name.place,
            written,
            ports,
            ipv4,
            ipv6,
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Addresses, prefixes and ranges as the document has them.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.written
    }

    /// The ports of TCP and UDP.
    #[must_use]
    pub fn ports(&self) -> PortRange {
        self.ports.unwrap_or(DEFAULT_PORTS)
    }

    /// Leases that fit at one time, of one protocol.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        u64::from(self.ipv4.count() + self.ipv6.count()) * u64::from(ports::count(self.ports()))
    }

    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.family(address).contains(address)
    }

    /// Sorted and disjoint.
    pub fn ranges(&self) -> impl Iterator<Item = AddressRange> {
        self.ipv4.ranges().chain(self.ipv6.ranges())
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn agrees_on_ports(&self, other: &Self) -> bool {
        self.ports() == other.ports()
    }

    /// What a protocol may use. A range that was written holds for identifiers too, so that two
    /// appliances can divide an address between them.
    pub(crate) fn ports_for(&self, protocol: Protocol) -> PortRange {
        self.ports.unwrap_or(if ports::is_icmp(protocol) {
            ALL_IDENTIFIERS
        } else {
            DEFAULT_PORTS
        })
    }

    /// The addresses of the same family as `like`.
    pub(crate) fn family(&self, like: IpAddr) -> &AddressList {
        if like.is_ipv4() {
            &self.ipv4
        } else {
            &self.ipv6
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(addresses: &[&str], ports: Option<&str>) -> Option<Pool> {
        let ranges: Vec<_> = addresses
            .iter()
            .map(|text| AddressRange::parse(text).unwrap())
            .collect();
        let ports = ports.map(|text| rules::parse_ports(text, 1).unwrap());
        let name = Located {
            value: "public".to_owned(),
            place: Place::NONE,
        };
        Pool::new(&name, Vec::new(), &ranges, ports)
    }

    #[test]
    fn capacity_is_addresses_times_ports() {
        let pool = pool(&["198.51.100.32/28", "2001:db8::1"], Some("1024-2047")).unwrap();
        assert_eq!(pool.capacity(), 17 * 1024);
    }

    #[test]
    fn a_pool_has_at_most_65536_addresses() {
        assert!(pool(&["10.1.0.0/16"], None).is_some());
        assert!(pool(&["10.1.0.0/16", "10.2.0.1"], None).is_none());
        assert!(pool(&["2001:db8::/64"], None).is_none());
    }

    #[test]
    fn a_written_range_holds_for_icmp_and_the_default_does_not() {
        let written = pool(&["198.51.100.1"], Some("2000-2999")).unwrap();
        assert_eq!(written.ports_for(Protocol::ICMP), written.ports());
        let default = pool(&["198.51.100.1"], None).unwrap();
        assert_eq!(default.ports_for(Protocol::ICMP), ALL_IDENTIFIERS);
        assert_eq!(default.ports_for(Protocol::TCP), DEFAULT_PORTS);
    }
}

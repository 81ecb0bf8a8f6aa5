//! Which addresses of a network are whose: the router has the first, instances and hosts what they ask for or the
//! lowest that is free, and health checks come from the highest.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rules::{Findings, Located};

/// A subnet whose addresses are given away.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) subnet: IpNet,
    /// By address: who has it.
    taken: BTreeMap<IpAddr, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl Pool {
    /// With the router's address taken.
    pub(super) fn new(subnet: IpNet) -> Self {
        let mut pool = Self {
            subnet,
            taken: BTreeMap::new(),
        };
        pool.taken
            .insert(pool.gateway(), "the network's router".to_owned());
        pool
    }

    pub(super) fn gateway(&self) -> IpAddr {
        self.number(self.first())
    }

    pub(super) fn family(&self) -> Family {
        Family::of(self.subnet.addr())
    }

    /// Takes the address that somebody asked for.
    pub(super) fn claim(&mut self, address: &Located<IpAddr>, who: &str, findings: &mut Findings) {
        let number = number_of(address.value);
        if number < self.first() || number > self.last() {
            findings.error(
                address.place,
                format!(
                    "{} is no address for a host in {}",
                    address.value, self.subnet
                ),
            );
        } else if let Some(other) = self.taken.get(&address.value) {
            findings.error(
                address.place,
                format!("{} is already that of {other}", address.value),
            );
        } else {
            self.taken.insert(address.value, who.to_owned());
        }
    }

    /// The lowest that is free.
    pub(super) fn lowest(&mut self, who: &str) -> Option<IpAddr> {
        self.take(self.first()..=self.last(), who)
    }

    /// The highest that is free.
    pub(super) fn highest(&mut self, who: &str) -> Option<IpAddr> {
        self.take((self.first()..=self.last()).rev(), who)
    }

    fn take(&mut self, candidates: impl Iterator<Item = u128>, who: &str) -> Option<IpAddr> {
        let free = candidates
            .map(|number| self.number(number))
            .find(|address| !self.taken.contains_key(address))?;
        self.taken.insert(free, who.to_owned());
        Some(free)
    }

    /// The network's own address is nobody's; of a /31, both are somebody's (RFC 3021).
    fn first(&self) -> u128 {
        let network = number_of(self.subnet.network());
        match self.subnet {
            IpNet::V4(subnet) if subnet.prefix_len() > 30 => network,
            IpNet::V4(_) | IpNet::V6(_) => network + u128::from(self.bits_of_hosts() > 0),
        }
    }

    fn last(&self) -> u128 {
        let network = number_of(self.subnet.network());
        let bits = self.bits_of_hosts();
        let highest = match bits {
            128 => u128::MAX,
            bits => network + ((1 << bits) - 1),
        };
        match self.subnet {
            IpNet::V4(subnet) if subnet.prefix_len() <= 30 => highest - 1,
            IpNet::V4(_) | IpNet::V6(_) => highest,
        }
    }

    fn bits_of_hosts(&self) -> u8 {
        self.subnet.max_prefix_len() - self.subnet.prefix_len()
    }

    fn number(&self, number: u128) -> IpAddr {
        match self.subnet {
            // Between the first and the last of an IPv4 subnet, the upper bits are zero.
            IpNet::V4(_) => Ipv4Addr::from(number as u32).into(),
            IpNet::V6(_) => Ipv6Addr::from(number).into(),
        }
    }
}

fn number_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use rules::Place;

    use super::*;

    fn pool(subnet: &str) -> Pool {
        Pool::new(subnet.parse().unwrap())
    }

    fn claimed(pool: &mut Pool, address: &str) -> Vec<String> {
        let mut findings = Findings::default();
        let address = Located {
            value: address.parse().unwrap(),
            place: Place::NONE,
        };
        pool.claim(&address, "somebody", &mut findings);
        let found = findings.into_sorted().into_iter();
        found.map(|finding| finding.message).collect()
    }

    #[test]
    fn the_router_has_the_first_and_the_rest_is_given_from_both_ends() {
        let mut pool = pool("192.0.2.0/29");
        assert_eq!(pool.gateway().to_string(), "192.0.2.1");
        assert_eq!(pool.lowest("a").unwrap().to_string(), "192.0.2.2");
        assert_eq!(pool.highest("b").unwrap().to_string(), "192.0.2.6");
        assert!(claimed(&mut pool, "192.0.2.3").is_empty());
        assert_eq!(pool.lowest("c").unwrap().to_string(), "192.0.2.4");
        assert_eq!(pool.lowest("d").unwrap().to_string(), "192.0.2.5");
        assert_eq!(pool.lowest("e"), None);
    }

    #[test]
    fn what_is_taken_or_elsewhere_is_refused() {
        let mut pool = pool("192.0.2.0/24");
        let of_router = claimed(&mut pool, "192.0.2.1");
        assert_eq!(
            of_router,
            ["192.0.2.1 is already that of the network's router"]
        );
        assert_eq!(claimed(&mut pool, "192.0.2.255").len(), 1);
        assert_eq!(claimed(&mut pool, "198.51.100.1").len(), 1);
    }

    #[test]
    fn small_and_large_subnets_have_their_ends() {
        assert_eq!(
            pool("192.0.2.6/31").highest("a").unwrap().to_string(),
            "192.0.2.7"
        );
        assert_eq!(pool("192.0.2.6/32").highest("a"), None);
        assert_eq!(
            pool("2001:db8::/64").highest("a").unwrap().to_string(),
            "2001:db8::ffff:ffff:ffff:ffff"
        );
        assert_eq!(pool("::/0").gateway().to_string(), "::1");
    }
}

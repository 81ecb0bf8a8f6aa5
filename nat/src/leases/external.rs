//! One external address: its ports for each protocol, and what was refused.

use std::iter::Sum;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use rules::Protocol;

use crate::port_map::PortMap;

#[derive(Debug)]
pub(super) struct External {
    address: IpAddr,
    tcp: Ports,
    udp: Ports,
    /// An IPv4 address has ICMP queries and an IPv6 address ICMPv6 ones.
    icmp: Ports,
    address_only: AtomicU32,
    refused: AtomicU64,
    other_family: AtomicU64,
}

/// Made when the first port is taken.
type Ports = OnceLock<Box<PortMap>>;

/// What an address, or a pool, has given out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub tcp: u64,
    pub udp: u64,
    pub icmp: u64,
    /// Leases of protocols without ports.
    pub address_only: u64,
    /// Requests for which every port that was tried was in use, counted at the address that was tried first.
    pub refused: u64,
    /// Requests for which there was no address of their family.
    pub other_family: u64,
}

impl Usage {
    #[must_use]
    pub fn leases(&self) -> u64 {
        self.tcp + self.udp + self.icmp + self.address_only
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), |sum, usage| Self {
            tcp: sum.tcp + usage.tcp,
            udp: sum.udp + usage.udp,
            icmp: sum.icmp + usage.icmp,
            address_only: sum.address_only + usage.address_only,
            refused: sum.refused + usage.refused,
            other_family: sum.other_family + usage.other_family,
        })
    }
}

impl External {
    pub(super) fn new(address: IpAddr) -> Self {
        Self {
            address,
            tcp: Ports::new(),
            udp: Ports::new(),
            icmp: Ports::new(),
            address_only: AtomicU32::new(0),
            refused: AtomicU64::new(0),
            other_family: AtomicU64::new(0),
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// `None` for a protocol without ports.
    pub(super) fn ports(&self, protocol: Protocol) -> Option<&PortMap> {
        let ports = match protocol {
            Protocol::TCP => &self.tcp,
            Protocol::UDP => &self.udp,
            Protocol::ICMP | Protocol::ICMPV6 => &self.icmp,
            _ => return None,
        };
        Some(ports.get_or_init(|| Box::new(PortMap::new())))
    }

    pub(super) fn count_address_only(&self) {
        self.address_only.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn uncount_address_only(&self) {
        self.address_only.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_other_family(&self) {
        self.other_family.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn usage(&self) -> Usage {
        let in_use = |ports: &Ports| ports.get().map_or(0, |ports| u64::from(ports.in_use()));
        Usage {
            tcp: in_use(&self.tcp),
            udp: in_use(&self.udp),
            icmp: in_use(&self.icmp),
            address_only: u64::from(self.address_only.load(Ordering::Relaxed)),
            refused: self.refused.load(Ordering::Relaxed),
            other_family: self.other_family.load(Ordering::Relaxed),
        }
    }
}

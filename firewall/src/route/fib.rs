//! Longest-prefix match over the main table, as one immutable snapshot of the kernel's.
//!
//! # Limits
//! The tables `main` and `local` only: no policy routing, no encapsulating routes. Of routes to
//! one prefix the lowest metric counts; over the next hops of a multipath route a hash of the
//! addresses spreads, and weights are ignored.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::counters::InterfaceId;

/// One snapshot. A new one replaces it whenever the kernel's tables change.
#[derive(Clone, Debug, Default)]
pub struct Fib {
    v4: PrefixMap<Ipv4Net, Route>,
    v6: PrefixMap<Ipv6Net, Route>,
    /// Raised with every snapshot.
    pub generation: u32,
    local: rustc_hash::FxHashSet<IpAddr>,
    broadcast: rustc_hash::FxHashSet<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub kind: RouteKind,
    pub metric: u32,
    /// Empty unless the kind is `Forward`.
    pub hops: Vec<Hop>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    Forward,
    /// Answered with an ICMP error.
    Unreachable,
    Prohibit,
    /// Dropped in silence.
    Blackhole,
}

/// One way a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The kernel's number of the device.
    pub ifindex: u32,
    /// `None` where the device is none of the appliance's.
    pub interface: Option<InterfaceId>,
    /// `None` where the destination itself is the neighbour.
    pub via: Option<IpAddr>,
}

/// The next hop's address on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gateway {
    pub interface: InterfaceId,
    pub address: IpAddr,
}

/// Where a destination lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    Forward(Gateway),
    /// One of the appliance's own addresses.
    Local,
    /// A broadcast address of a connected network.
    Broadcast,
    Unreachable,
    Prohibit,
    Blackhole,
    NoRoute,
}

impl Fib {
    /// An empty snapshot.
    #[must_use]
    pub fn of_generation(generation: u32) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    pub fn insert(&mut self, to: IpNet, route: Route) {
        match to {
            IpNet::V4(prefix) => keep_better(&mut self.v4, prefix.trunc(), route),
            IpNet::V6(prefix) => keep_better(&mut self.v6, prefix.trunc(), route),
        }
    }

    /// An address of the appliance, with the prefix of its link.
    pub fn insert_local(&mut self, address: IpNet) {
        self.local.insert(address.addr());
        if let IpNet::V4(prefix) = address
            && prefix.prefix_len() < 31
        {
            self.broadcast.insert(prefix.broadcast().into());
        }
    }

    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        self.local.contains(&address)
    }

    /// `spread` chooses among the next hops of a multipath route.
    #[must_use]
    pub fn lookup(&self, destination: IpAddr, spread: u64) -> Lookup {
        if self.local.contains(&destination) {
            return Lookup::Local;
        }
        if self.broadcast.contains(&destination) {
            return Lookup::Broadcast;
        }
        let Some(route) = self.route(destination) else {
            return Lookup::NoRoute;
        };
        match route.kind {
            RouteKind::Unreachable => Lookup::Unreachable,
            RouteKind::Prohibit => Lookup::Prohibit,
            RouteKind::Blackhole => Lookup::Blackhole,
            RouteKind::Forward => {
                let hop = route
                    .hops
                    .get((spread % route.hops.len().max(1) as u64) as usize);
                match hop {
                    Some(Hop {
                        interface: Some(interface),
                        via,
                        ..
                    }) => Lookup::Forward(Gateway {
                        interface: *interface,
                        address: via.unwrap_or(destination),
                    }),
                    // A device that is not the appliance's: nothing is forwarded there.
                    _ => Lookup::NoRoute,
                }
            }
        }
    }

    /// True where a packet from `source` may arrive on `interface`: the way back leads there
    /// (RFC 3704 2.2, strict reverse path; any of a multipath route's).
    #[must_use]
    pub fn leads_back(&self, source: IpAddr, interface: InterfaceId) -> bool {
        self.route(source).is_some_and(|route| {
            route
                .hops
                .iter()
                .any(|hop| hop.interface == Some(interface))
        })
    }

    /// The route by which a destination that is not an address of the appliance is looked up.
    #[must_use]
    pub fn matching(&self, destination: IpAddr) -> Option<(IpNet, &Route)> {
        match destination {
            IpAddr::V4(v4) => {
                let (prefix, route) = self.v4.get_lpm(&Ipv4Net::from(v4))?;
                Some((IpNet::V4(prefix), route))
            }
            IpAddr::V6(v6) => {
                let (prefix, route) = self.v6.get_lpm(&Ipv6Net::from(v6))?;
                Some((IpNet::V6(prefix), route))
            }
        }
    }

    fn route(&self, destination: IpAddr) -> Option<&Route> {
        self.matching(destination).map(|(_, route)| route)
    }
}

fn keep_better<P: prefix_trie::Prefix>(map: &mut PrefixMap<P, Route>, prefix: P, route: Route) {
    if map
        .get(&prefix)
        .is_none_or(|known| route.metric < known.metric)
    {
        map.insert(prefix, route);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(interface: u16, via: Option<&str>, metric: u32) -> Route {
        let hop = Hop {
            ifindex: 9,
            interface: Some(InterfaceId(interface)),
            via: via.map(|via| via.parse().unwrap()),
        };
        Route {
            kind: RouteKind::Forward,
            metric,
            hops: vec![hop],
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn fib() -> Fib {
        let mut fib = Fib::default();
        fib.insert(
            "0.0.0.0/0".parse().unwrap(),
            forward(1, Some("198.51.100.254"), 0),
        );
        fib.insert("192.0.2.0/24".parse().unwrap(), forward(0, None, 0));
        fib.insert("192.0.2.0/24".parse().unwrap(), forward(1, None, 100));
        fib.insert(
            "203.0.113.0/24".parse().unwrap(),
            Route {
                kind: RouteKind::Prohibit,
                metric: 0,
                hops: vec![],
            },
        );
        fib.insert_local("192.0.2.1/24".parse().unwrap());
        fib
    }

    #[test]
    fn the_longest_prefix_of_the_lowest_metric_decides() {
        let fib = fib();
        let on_link = Gateway {
            interface: InterfaceId(0),
            address: ip("192.0.2.7"),
        };
        assert_eq!(fib.lookup(ip("192.0.2.7"), 0), Lookup::Forward(on_link));
        let default = Gateway {
            interface: InterfaceId(1),
            address: ip("198.51.100.254"),
        };
        assert_eq!(fib.lookup(ip("8.8.8.8"), 0), Lookup::Forward(default));
        assert_eq!(fib.lookup(ip("203.0.113.9"), 0), Lookup::Prohibit);
        assert_eq!(fib.lookup(ip("192.0.2.1"), 0), Lookup::Local);
        assert_eq!(fib.lookup(ip("192.0.2.255"), 0), Lookup::Broadcast);
        assert_eq!(fib.lookup(ip("2001:db8::1"), 0), Lookup::NoRoute);
    }

    #[test]
    fn a_source_may_come_only_from_where_the_way_back_leads() {
        let fib = fib();
        assert!(fib.leads_back(ip("192.0.2.7"), InterfaceId(0)));
        assert!(!fib.leads_back(ip("192.0.2.7"), InterfaceId(1)));
        assert!(fib.leads_back(ip("8.8.8.8"), InterfaceId(1)));
        assert!(!fib.leads_back(ip("2001:db8::1"), InterfaceId(1)));
    }
}

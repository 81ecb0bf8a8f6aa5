//! A description as what the kernel has to be told, in words for `ip`.
//!
//! Every network is a namespace with a bridge, and that namespace's kernel is the network's router. Instances and
//! hosts are namespaces (or containers) on cables to it. A service's instances are 64 slots of a next-hop group at the
//! router on each side (`slots`); a failed instance is taken out by pointing its slots elsewhere.
//!
//! - Next hops go by devices whose link is never down: the kernel forgets those of a device that has no carrier, and
//!   would spread the slots anew. So each such device is a bridge with a cable in it that leads nowhere else.
//! - Instances are next hops with permanent neighbours, as nobody else can have their addresses.
//! - The far end of a transparent instance, or of a cable between routers, is called 169.254.0.2 and fe80::2 (RFC
//!   3927, RFC 4291): names of a neighbour that is permanent, which no packet ever carries.

mod part;
mod router;

use std::fmt;
use std::net::IpAddr;

use super::address::Family;
use super::course::Side;
use super::description::Description;
use super::document::Distribution;

pub(super) use part::{Home, Part};
pub(super) use router::{FOREIGN, Router};

/// Devices of an instance.
pub(super) const MANAGEMENT: &str = "eth0";
pub(super) const LEFT: &str = "eth1";
pub(super) const RIGHT: &str = "eth2";
/// A network's segment, at its router.
const BRIDGE: &str = "br0";

/// What all names of a chain begin with.
pub(super) fn prefix(chain: &str) -> String {
    format!("palisade.{chain}.")
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) chain: String,
    pub(super) distribution: Distribution,
    /// By network.
    pub(super) routers: Vec<Router>,
    /// By service.
    pub(super) services: Vec<ServicePlan>,
    pub(super) hosts: Vec<Part>,
    /// Pairs of routers.
    pub(super) cables: Vec<Cable>,
}

#[derive(Debug)]
pub(super) struct ServicePlan {
    pub(super) instances: Vec<Part>,
    /// Where its slots are.
    pub(super) groups: Vec<Group>,
}

/// A next-hop group: a service's slots at one router, in one family.
#[derive(Debug)]
pub(super) struct Group {
    /// By position.
    pub(super) router: usize,
    pub(super) family: Family,
    pub(super) id: u32,
    /// By instance.
    pub(super) hops: Vec<Hop>,
}

/// How a router reaches something next to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    pub(super) via: IpAddr,
    pub(super) device: String,
    pub(super) mac: Mac,
    /// `via` is on no network of the router's.
    pub(super) onlink: bool,
}

#[derive(Debug)]
pub(super) struct Cable {
    pub(super) routers: [usize; 2],
    /// The same at both.
    pub(super) device: String,
    pub(super) macs: [Mac; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Gives out MACs that are unique in the chain, and the same at every start.
#[derive(Debug)]
struct Macs {
    chain: [u8; 2],
    next: u16,
}

impl Macs {
    fn of(chain: &str) -> Self {
        // FNV-1a: chains that share a host's network should differ, mostly.
        let hash = chain.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let [a, b, ..] = hash.to_be_bytes();
        Self {
            chain: [a, b],
            next: 0,
        }
    }

    fn next(&mut self) -> Mac {
        self.next += 1;
        let [high, low] = self.next.to_be_bytes();
        // Locally administered, IEEE 802-2014 §8.4.
        Mac([0x02, self.chain[0], self.chain[1], 0, high, low])
    }
}

/// Lines for `ip -batch`, `ip -4 -batch` and `ip -6 -batch`, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// Links and next hops, which say themselves what family they are of, if any.
    pub(super) any: String,
    pub(super) v4: String,
    pub(super) v6: String,
}

impl Batch {
    fn add(&mut self, family: Family, line: fmt::Arguments<'_>) {
        let batch = match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        };
        batch.push_str(&format!("{line}\n"));
    }

    fn link(&mut self, line: fmt::Arguments<'_>) {
        self.any.push_str(&format!("{line}\n"));
    }
}

impl Plan {
    pub(super) fn new(description: &Description) -> Self {
        let mut macs = Macs::of(&description.name);
        let mut routers = router::routers(description, &mut macs);
        let mut services = part::services(description, &mut routers, &mut macs);
        let hosts = part::hosts(description, &mut routers, &mut macs);
        let cables = router::cables(description, &mut macs);
        router::lay_courses(description, &mut routers, &mut services, &cables);
        router::lay_probes(description, &mut routers, &services);
        Self {
            chain: description.name.clone(),
            distribution: description.distribution,
            routers,
            services,
            hosts,
            cables,
        }
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        let instances = self.services.iter().flat_map(|service| &service.instances);
        instances.chain(&self.hosts)
    }
}

/// What the far end of a link between routers is called.
fn far_end(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::from([169, 254, 0, 2]),
        Family::V6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 2]),
    }
}

fn side_of<T>(side: Side, left: T, right: T) -> T {
    match side {
        Side::Left => left,
        Side::Right => right,
    }
}

#[cfg(test)]
mod tests;

//! A network's router: its segment, and where it sends what.

use std::fmt;

use std::net::IpAddr;

use ipnet::IpNet;

use super::super::course::{By, Side};
use super::super::description::Description;
use super::super::document::Mode;
use super::super::slots::{SLOTS, Slots};
use super::part::{Home, Part, Port, hop};
use super::{
    BRIDGE, Batch, Cable, Family, Group, Hop, Mac, Macs, ServicePlan, far_end, prefix, side_of,
};

/// Rules of `ip rule`: checks first, then policies, then what a router itself has to say.
const PROBES: u32 = 100;
const POLICIES: u32 = 1000;
const OWN: u32 = 2000;
/// Routing tables.
const FIRST_TABLE: u32 = 1000;
/// Between the numbers of groups; those of a group's next hops follow its own.
const GROUP_STEP: u32 = 1000;
/// The group of devices (`ip link set group`) whose other ends are in others' namespaces. These ends go with them, but
/// only if these are removed themselves do they go at once.
pub(in super::super) const FOREIGN: &str = "1947";
/// Seconds for which the kernel would let a slot that it wants elsewhere rest. It never wants to: no group changes.
const NEVER: u32 = 4_000_000;

#[derive(Debug)]
pub(in super::super) struct Router {
    pub(in super::super) namespace: String,
    mac: Mac,
    addresses: Vec<IpNet>,
    /// Ends of cables so far, and groups.
    ports: usize,
    groups: u32,
    tables: Vec<(Family, String)>,
    routes: Batch,
}

pub(super) fn routers(description: &Description, macs: &mut Macs) -> Vec<Router> {
    let networks = description.networks.iter();
    networks
        .map(|network| Router {
            namespace: prefix(&description.name) + &network.name,
            mac: macs.next(),
            addresses: network
                .pools
                .iter()
                .map(|pool| IpNet::new_assert(pool.gateway(), pool.subnet.prefix_len()))
                .collect(),
            ports: 0,
            groups: 0,
            tables: Vec::new(),
            routes: Batch::default(),
        })
        .collect()
}

/// Routers that policies join straight.
pub(super) fn cables(description: &Description, macs: &mut Macs) -> Vec<Cable> {
    let mut pairs: Vec<[usize; 2]> = Vec::new();
    for step in description.courses.iter().flat_map(|course| &course.steps) {
        let mut pair = [step.at, step.next];
        pair.sort_unstable();
        if step.by == By::Cable && !pairs.contains(&pair) {
            pairs.push(pair);
        }
    }
    let numbered = pairs.into_iter().enumerate();
    numbered
        .map(|(number, routers)| Cable {
            routers,
            device: format!("c{number}"),
            macs: [macs.next(), macs.next()],
        })
        .collect()
}

impl Cable {
    pub(in super::super) fn lay(&self, routers: &[Router]) -> String {
        let [a, b] = self.routers.map(|router| &routers[router].namespace);
        let [mac_a, mac_b] = self.macs;
        let device = &self.device;
        format!(
            "link add name {device} address {mac_a} netns {a} type veth peer name {device} address {mac_b} netns {b}\n"
        )
    }

    /// At one of its routers.
    pub(in super::super) fn set_up(&self) -> Batch {
        let mut batch = Batch::default();
        batch.link(format_args!("link set {} addrgenmode none up", self.device));
        batch
    }

    fn hop(&self, at: usize, family: Family) -> Hop {
        let far = usize::from(self.routers[0] == at);
        Hop {
            via: far_end(family),
            device: self.device.clone(),
            mac: self.macs[far],
            onlink: true,
        }
    }
}

impl Router {
    /// The network's segment and addresses, before there are cables.
    pub(in super::super) fn set_up(&self) -> Batch {
        let mut batch = Batch::default();
        batch.link(format_args!("link set lo up"));
        bridge(&mut batch, BRIDGE, "k", self.mac);
        for address in &self.addresses {
            batch.add(
                Family::of(address.addr()),
                format_args!("address add {address} dev {BRIDGE}"),
            );
        }
        batch
    }

    /// The end of a cable.
    pub(in super::super) fn connect(&self, port: &Port, part: &Part) -> Batch {
        let mut batch = Batch::default();
        let (far, device) = (&port.far, &port.device);
        let bridge_name = match &port.alone {
            None => BRIDGE,
            Some((name, mac)) => {
                bridge(&mut batch, name, &name.replace('t', "k"), *mac);
                name
            }
        };
        if part.home == Home::Theirs {
            batch.link(format_args!("link set {far} group {FOREIGN}"));
        }
        batch.link(format_args!(
            "link set {far} addrgenmode none alias {}:{device} master {bridge_name} up",
            part.name
        ));
        batch
    }

    /// Where it sends what; once all cables are there.
    pub(in super::super) fn routes(&self) -> &Batch {
        &self.routes
    }

    pub(super) fn plug(&mut self, device: &str, addresses: Vec<IpNet>, macs: &mut Macs) -> Port {
        self.ports += 1;
        Port {
            device: device.to_owned(),
            mac: macs.next(),
            router: 0,
            far: format!("p{}", self.ports),
            alone: None,
            addresses,
        }
    }

    pub(super) fn next_group(&mut self) -> u32 {
        self.groups += 1;
        self.groups * GROUP_STEP
    }

    fn add(&mut self, family: Family, line: fmt::Arguments<'_>) {
        self.routes.add(family, line);
    }

    /// The neighbour is permanent: nobody else has this address, and nobody needs to be asked for it.
    fn neighbour(&mut self, family: Family, hop: &Hop) {
        let Hop {
            via, device, mac, ..
        } = hop;
        self.add(
            family,
            format_args!("neighbour replace {via} lladdr {mac} dev {device} nud permanent"),
        );
    }

    fn group(&mut self, group: &Group) {
        let family = group.family;
        for hop in &group.hops {
            self.neighbour(family, hop);
        }
        let owners = *Slots::new(group.hops.len()).owners();
        for (slot, owner) in owners.into_iter().enumerate() {
            let line = group.point("add", slot, owner);
            self.routes.link(format_args!("{line}"));
        }
        let members: Vec<_> = (0..SLOTS)
            .map(|slot| group.hop_id(slot).to_string())
            .collect();
        self.routes.link(
            format_args!(
                "nexthop add id {} group {} type resilient buckets {SLOTS} idle_timer {NEVER} unbalanced_timer 0",
                group.id,
                members.join("/")
            ),
        );
    }

    /// The table whose only route this is.
    fn table(&mut self, family: Family, route: String) -> u32 {
        let wanted = (family, route);
        if let Some(position) = self.tables.iter().position(|known| *known == wanted) {
            return table_number(position);
        }
        let table = table_number(self.tables.len());
        self.add(
            family,
            format_args!("route add default {} table {table}", wanted.1),
        );
        self.tables.push(wanted);
        table
    }
}

fn table_number(position: usize) -> u32 {
    // No chain has so many.
    FIRST_TABLE + u32::try_from(position).unwrap_or(u32::MAX - FIRST_TABLE)
}

/// A bridge whose link is up whatever is connected: `keep` is a cable that leads from it to nowhere.
fn bridge(batch: &mut Batch, name: &str, keep: &str, mac: Mac) {
    batch.link(format_args!(
        "link add {name} address {mac} type bridge mcast_snooping 0"
    ));
    batch.link(format_args!("link add {keep}a type veth peer name {keep}b"));
    batch.link(format_args!("link set {keep}b addrgenmode none up"));
    batch.link(format_args!(
        "link set {keep}a addrgenmode none master {name} up"
    ));
    batch.link(format_args!("link set {name} up"));
}

impl Group {
    pub(in super::super) fn hop_id(&self, slot: usize) -> u32 {
        // There are 64.
        self.id + 1 + u32::try_from(slot).unwrap_or_default()
    }

    /// Which slot a next hop is of.
    pub(in super::super) fn slot(&self, hop_id: u32) -> Option<usize> {
        let slot = hop_id.checked_sub(self.id + 1)?;
        usize::try_from(slot).ok().filter(|&slot| slot < SLOTS)
    }

    /// Points a slot at an instance: `verb` is `add` or `replace`.
    pub(in super::super) fn point(&self, verb: &str, slot: usize, instance: usize) -> String {
        let hop = &self.hops[instance];
        format!("nexthop {verb} id {} {hop}", self.hop_id(slot))
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.via {
            IpAddr::V4(_) => "inet",
            IpAddr::V6(_) => "inet6",
        };
        write!(f, "via {family} {} dev {}", self.via, self.device)?;
        if self.onlink {
            f.write_str(" onlink")?;
        }
        Ok(())
    }
}

/// Policies become rules, in both directions.
pub(super) fn lay_courses(
    description: &Description,
    routers: &mut [Router],
    services: &mut [ServicePlan],
    cables: &[Cable],
) {
    for group in services.iter().flat_map(|service| &service.groups) {
        routers[group.router].group(group);
    }
    for cable in cables {
        for at in cable.routers {
            for family in Family::ALL {
                let hop = cable.hop(at, family);
                routers[at].neighbour(family, &hop);
            }
        }
    }
    let subnet = |network: usize, family| description.networks[network].subnet(family);
    let (mut known, mut reached) = (Vec::new(), Vec::new());
    for course in &description.courses {
        for rule in course.rules() {
            // Two policies may well share a part of their way.
            if known.contains(&rule) {
                continue;
            }
            known.push(rule);
            for &family in &course.families {
                let (Some(source), Some(destination)) = (
                    subnet(rule.source, family),
                    subnet(rule.destination, family),
                ) else {
                    continue;
                };
                let route = match rule.by {
                    By::Cable => cables
                        .iter()
                        .find(|cable| {
                            cable.routers.contains(&rule.at) && cable.routers.contains(&rule.next)
                        })
                        .map(|cable| cable.hop(rule.at, family).to_string()),
                    By::Service { service, .. } => services[service]
                        .groups
                        .iter()
                        .find(|group| group.router == rule.at && group.family == family)
                        .map(|group| format!("nhid {}", group.id)),
                };
                let Some(route) = route else { continue };
                let router = &mut routers[rule.at];
                let table = router.table(family, route);
                router.add(
                    family,
                    format_args!(
                        "rule add priority {POLICIES} from {source} to {destination} lookup {table}"
                    ),
                );
                // The kernel finds the way of an ICMP error before it has a source.
                if !reached.contains(&(rule.at, destination)) {
                    reached.push((rule.at, destination));
                    router.add(
                        family,
                        format_args!(
                            "rule add priority {OWN} iif lo to {destination} lookup {table}"
                        ),
                    );
                }
            }
        }
    }
}

/// What is asked from an instance's own address goes through that instance, there and back.
pub(super) fn lay_probes(
    description: &Description,
    routers: &mut [Router],
    services: &[ServicePlan],
) {
    for (service, plan) in description.services.iter().zip(services) {
        for (position, instance) in service.instances.iter().enumerate() {
            let Some(probe) = instance.probe else {
                continue;
            };
            let family = Family::of(probe.from);
            let host = IpNet::from(probe.from);
            for side in Side::BOTH {
                // The answer goes to the address that it was translated to.
                if side == Side::Right && service.mode == Mode::InNetworkNat {
                    continue;
                }
                let Some(hop) = hop(service, &plan.instances, position, side, family) else {
                    continue;
                };
                let router = &mut routers[side_of(side, service.left, service.right)];
                let table = router.table(family, hop.to_string());
                let direction = side_of(side, "from", "to");
                router.add(
                    family,
                    format_args!("rule add priority {PROBES} {direction} {host} lookup {table}"),
                );
                if side == Side::Left {
                    router.add(family, format_args!("address add {host} dev {BRIDGE}"));
                }
            }
        }
    }
}

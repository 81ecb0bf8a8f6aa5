//! Instances and hosts: where each is, and its cables.

use ipnet::IpNet;

use super::super::configuration::{self, of_family};
use super::super::course::Side;
use super::super::description::{Description, Service};
use super::super::document::Kind;
use super::router::Router;
use super::{
    BRIDGE, Batch, Family, Group, Hop, LEFT, MANAGEMENT, Mac, Macs, RIGHT, ServicePlan, far_end,
    prefix, side_of,
};

#[derive(Debug)]
pub(in super::super) struct Part {
    /// `firewall.1`, `client`.
    pub(in super::super) name: String,
    /// As `ip netns` calls it.
    pub(in super::super) namespace: String,
    pub(in super::super) home: Home,
    pub(in super::super) command: Vec<String>,
    pub(in super::super) palisade: bool,
    /// Its kernel routes between its devices.
    pub(in super::super) forwards: bool,
    /// Its kernel joins left and right.
    bridges: bool,
    pub(in super::super) ports: Vec<Port>,
    /// Destination and gateway.
    routes: Vec<(IpNet, std::net::IpAddr)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Home {
    /// A namespace of the chain's.
    Made,
    /// A container of this image.
    Container(String),
    /// A namespace of the user's.
    Theirs,
}

/// A device, and its cable to a router.
#[derive(Debug)]
pub(in super::super) struct Port {
    pub(in super::super) device: String,
    pub(in super::super) mac: Mac,
    /// By position.
    pub(in super::super) router: usize,
    /// The other end.
    pub(in super::super) far: String,
    /// A bridge of its own at the router, with this MAC, in place of the network's.
    pub(in super::super) alone: Option<(String, Mac)>,
    /// What the kernel is to have; Palisade sees to its own.
    pub(super) addresses: Vec<IpNet>,
}

impl Part {
    /// Makes the cable of a port, both ends where they belong.
    pub(in super::super) fn cable(&self, port: &Port, routers: &[Router]) -> String {
        format!(
            "link add name {} netns {} type veth peer name {} address {} netns {}\n",
            port.far, routers[port.router].namespace, port.device, port.mac, self.namespace,
        )
    }

    /// Inside, once the cables are there.
    pub(in super::super) fn set_up(&self) -> Batch {
        let mut batch = Batch::default();
        if self.home != Home::Theirs {
            batch.link(format_args!("link set lo up"));
        }
        if self.bridges {
            batch.link(format_args!(
                "link add {BRIDGE} type bridge mcast_snooping 0"
            ));
            batch.link(format_args!("link set {BRIDGE} addrgenmode none up"));
        }
        for port in &self.ports {
            let device = &port.device;
            batch.link(format_args!("link set {device} up"));
            if self.bridges && device != MANAGEMENT {
                batch.link(format_args!("link set {device} master {BRIDGE}"));
            }
            for address in &port.addresses {
                match address {
                    IpNet::V4(_) => batch.add(
                        Family::V4,
                        format_args!("address replace {address} dev {device}"),
                    ),
                    IpNet::V6(_) => batch.add(
                        Family::V6,
                        format_args!("address replace {address} dev {device} nodad"),
                    ),
                }
            }
        }
        for (to, via) in &self.routes {
            batch.add(
                Family::of(*via),
                format_args!("route replace {to} via {via}"),
            );
        }
        batch
    }
}

pub(super) fn services(
    description: &Description,
    routers: &mut [Router],
    macs: &mut Macs,
) -> Vec<ServicePlan> {
    let numbered = description.services.iter().enumerate();
    numbered
        .map(|(number, service)| {
            let routes = if service.is_palisade() {
                Vec::new()
            } else {
                configuration::routes(description, number)
            };
            let mut instances = Vec::new();
            for position in 0..service.instances.len() {
                let mut part = instance(description, service, position, routers, macs);
                part.routes.clone_from(&routes);
                instances.push(part);
            }
            let groups = groups(description, service, &instances, routers);
            ServicePlan { instances, groups }
        })
        .collect()
}

fn instance(
    description: &Description,
    service: &Service,
    position: usize,
    routers: &mut [Router],
    macs: &mut Macs,
) -> Part {
    let instance = &service.instances[position];
    let kernels = |addresses: &[IpNet]| {
        if service.is_palisade() {
            Vec::new()
        } else {
            addresses.to_vec()
        }
    };
    let mut ports = Vec::new();
    if let Some(network) = service.management {
        let port = routers[network].plug(MANAGEMENT, instance.management.clone(), macs);
        ports.push(Port {
            router: network,
            ..port
        });
    }
    for side in Side::BOTH {
        let network = side_of(side, service.left, service.right);
        let addresses = kernels(side_of(side, &instance.left, &instance.right));
        let device = side_of(side, LEFT, RIGHT);
        let mut port = Port {
            router: network,
            ..routers[network].plug(device, addresses, macs)
        };
        if !service.is_routed() {
            port.alone = Some((port.far.replace('p', "t"), macs.next()));
        }
        ports.push(port);
    }
    let home = match &service.image {
        Some(image) => Home::Container(image.clone()),
        None => Home::Made,
    };
    let bare = home == Home::Made && service.command.is_empty() && service.kind == Kind::Plain;
    Part {
        name: instance.name.clone(),
        namespace: prefix(&description.name) + &instance.name,
        home,
        command: service.command.clone(),
        palisade: service.is_palisade(),
        forwards: service.kind == Kind::Plain && service.is_routed(),
        bridges: bare && !service.is_routed(),
        ports,
        routes: Vec::new(),
    }
}

/// A group for each side and family that its instances can be reached in. Numbers are the router's.
fn groups(
    description: &Description,
    service: &Service,
    instances: &[Part],
    routers: &mut [Router],
) -> Vec<Group> {
    let mut groups = Vec::new();
    for side in Side::BOTH {
        let router = side_of(side, service.left, service.right);
        for family in Family::ALL {
            let hops: Option<Vec<Hop>> = (0..instances.len())
                .map(|position| hop(service, instances, position, side, family))
                .collect();
            let usable = !service.is_routed()
                || description.networks[service.left].subnet(family).is_some()
                    && description.networks[service.right].subnet(family).is_some();
            if let Some(hops) = hops.filter(|_| usable) {
                let id = routers[router].next_group();
                groups.push(Group {
                    router,
                    family,
                    id,
                    hops,
                });
            }
        }
    }
    groups
}

/// How the router on a side reaches an instance, or what is behind it where it is transparent.
pub(super) fn hop(
    service: &Service,
    instances: &[Part],
    position: usize,
    side: Side,
    family: Family,
) -> Option<Hop> {
    let port = |side| {
        let device = side_of(side, LEFT, RIGHT);
        let ports = &instances[position].ports;
        ports.iter().find(|port| port.device == device)
    };
    let (near, far) = (port(side)?, port(side.other())?);
    if let (Some((device, _)), Some((_, mac))) = (&near.alone, &far.alone) {
        return Some(Hop {
            via: far_end(family),
            device: device.clone(),
            mac: *mac,
            onlink: true,
        });
    }
    let instance = &service.instances[position];
    let addresses = side_of(side, &instance.left, &instance.right);
    Some(Hop {
        via: of_family(addresses, family)?,
        device: BRIDGE.to_owned(),
        mac: near.mac,
        onlink: false,
    })
}

pub(super) fn hosts(
    description: &Description,
    routers: &mut [Router],
    macs: &mut Macs,
) -> Vec<Part> {
    let hosts = description.hosts.iter();
    hosts
        .map(|host| {
            let home = match (&host.namespace, &host.image) {
                (Some(_), _) => Home::Theirs,
                (None, Some(image)) => Home::Container(image.clone()),
                (None, None) => Home::Made,
            };
            let own = prefix(&description.name) + &host.name;
            let port = routers[host.network].plug(&host.device, host.addresses.clone(), macs);
            Part {
                name: host.name.clone(),
                namespace: host.namespace.clone().unwrap_or(own),
                routes: routes_of_host(description, host.network, home == Home::Theirs),
                home,
                command: host.command.clone(),
                palisade: false,
                forwards: false,
                bridges: false,
                ports: vec![Port {
                    router: host.network,
                    ..port
                }],
            }
        })
        .collect()
}

/// Everything, or where others' namespaces have a way out already, the networks that a policy leads to.
fn routes_of_host(
    description: &Description,
    network: usize,
    only_what_is_needed: bool,
) -> Vec<(IpNet, std::net::IpAddr)> {
    let mut routes = Vec::new();
    for family in Family::ALL {
        let Some(gateway) = description.networks[network].gateway(family) else {
            continue;
        };
        if !only_what_is_needed {
            let everything = match family {
                Family::V4 => IpNet::new_assert(std::net::Ipv4Addr::UNSPECIFIED.into(), 0),
                Family::V6 => IpNet::new_assert(std::net::Ipv6Addr::UNSPECIFIED.into(), 0),
            };
            routes.push((everything, gateway));
            continue;
        }
        let ends = description.courses.iter().filter_map(|course| {
            let last = course.steps.last()?.source_after;
            match network {
                network if network == course.from => Some(course.to),
                network if network == course.to && last != network => Some(last),
                _ => None,
            }
        });
        for end in ends {
            if let Some(subnet) = description.networks[end].subnet(family)
                && !routes.contains(&(subnet, gateway))
            {
                routes.push((subnet, gateway));
            }
        }
    }
    routes
}

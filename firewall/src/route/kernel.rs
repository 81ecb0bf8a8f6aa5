//! The kernel's links, addresses, routes and neighbours, read and changed over rtnetlink.

use std::net::IpAddr;

use abi::NeighbourState as Usable;
use futures_util::TryStreamExt;
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressProtocol};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute,
    LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
    NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteNextHop, RouteProtocol, RouteType, RouteVia,
};
use packet::Mac;
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::fib::RouteKind;

/// `rtm_protocol` and `ifa_proto` of what the appliance itself configures, so that a later start
/// knows its own. 80 is unassigned in the kernel's `rtnetlink.h`.
const PROTOCOL: u8 = 80;
/// `RT_TABLE_MAIN`.
const MAIN_TABLE: u32 = 254;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLink {
    pub ifindex: u32,
    pub name: String,
    pub mac: Mac,
    pub mtu_bytes: u32,
    /// Administratively up, with carrier.
    pub up: bool,
    pub is_ethernet: bool,
    pub is_veth: bool,
    /// A veth whose other end is in another network namespace.
    pub peer_elsewhere: bool,
    /// Packets that it could not hand on.
    pub tx_dropped: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelAddress {
    pub ifindex: u32,
    pub address: IpNet,
    /// Set by the appliance, in this run or an earlier one.
    pub own: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRoute {
    pub to: IpNet,
    pub kind: RouteKind,
    pub metric: u32,
    /// Device and gateway of each way; empty unless the kind is `Forward`.
    pub hops: Vec<(u32, Option<IpAddr>)>,
    pub origin: RouteOrigin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOrigin {
    Connected,
    Own,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelNeighbour {
    pub ifindex: u32,
    pub address: IpAddr,
    pub mac: Option<Mac>,
    pub usable: Usable,
    /// The kernel's word for the state.
    pub state: &'static str,
    pub managed: bool,
}

impl KernelNeighbour {
    /// Set by hand, never probed.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.state == "permanent"
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct NetlinkError {
    pub what: String,
    pub source: rtnetlink::Error,
}

impl NetlinkError {
    fn of(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        let what = what.into();
        move |source| Self { what, source }
    }

    /// The kernel's errno, positive.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match &self.source {
            rtnetlink::Error::NetlinkError(message) => message.code.map(|code| -code.get()),
            _ => None,
        }
    }
}

pub async fn links(handle: &Handle) -> Result<Vec<KernelLink>, NetlinkError> {
    let messages: Vec<_> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(NetlinkError::of("reading links"))?;
    Ok(messages.iter().map(link).collect())
}

fn link(message: &LinkMessage) -> KernelLink {
    let flags = message.header.flags;
    let mut link = KernelLink {
        ifindex: message.header.index,
        name: String::new(),
        mac: Mac::default(),
        mtu_bytes: 1_500,
        up: flags.contains(LinkFlags::Up) && flags.contains(LinkFlags::LowerUp),
        is_ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        is_veth: false,
        peer_elsewhere: false,
        tx_dropped: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = mac(bytes).unwrap_or_default(),
            LinkAttribute::Mtu(mtu) => link.mtu_bytes = *mtu,
            LinkAttribute::Stats64(statistics) => link.tx_dropped = statistics.tx_dropped,
            LinkAttribute::LinkNetNsId(_) => link.peer_elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                link.is_veth |= infos
                    .iter()
                    .any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth)));
            }
            _ => {}
        }
    }
    link.peer_elsewhere &= link.is_veth;
    link
}

pub async fn addresses(handle: &Handle) -> Result<Vec<KernelAddress>, NetlinkError> {
    let messages: Vec<_> = handle
        .address()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(NetlinkError::of("reading addresses"))?;
    Ok(messages.iter().filter_map(address).collect())
}

fn address(message: &AddressMessage) -> Option<KernelAddress> {
    let (mut local, mut own) = (None, false);
    for attribute in &message.attributes {
        match attribute {
            // Where both are given (point to point), IFA_LOCAL is the appliance's side.
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => local = local.or(Some(*ip)),
            AddressAttribute::Protocol(protocol) => own = u8::from(*protocol) == PROTOCOL,
            _ => {}
        }
    }
    let address = IpNet::new(local?, message.header.prefix_len).ok()?;
    Some(KernelAddress {
        ifindex: message.header.index,
        address,
        own,
    })
}

pub async fn routes(handle: &Handle) -> Result<Vec<KernelRoute>, NetlinkError> {
    let mut routes = Vec::new();
    let v4 = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<std::net::Ipv6Addr>::new().build();
    for family in [v4, v6] {
        let messages: Vec<_> = handle
            .route()
            .get(family)
            .execute()
            .try_collect()
            .await
            .map_err(NetlinkError::of("reading routes"))?;
        routes.extend(messages.iter().filter_map(route));
    }
    Ok(routes)
}

fn route(message: &RouteMessage) -> Option<KernelRoute> {
    let mut table = u32::from(message.header.table);
    let (mut metric, mut to, mut via, mut device, mut ways) = (0, None, None, None, Vec::new());
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Table(number) => table = *number,
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::Destination(address) => to = ip(address),
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Via(address) => via = via_ip(address),
            RouteAttribute::Oif(index) => device = Some(*index),
            RouteAttribute::MultiPath(hops) => ways.extend(hops.iter().map(way)),
            _ => {}
        }
    }
    if table != MAIN_TABLE {
        return None;
    }
    let kind = match message.header.kind {
        RouteType::Unicast => RouteKind::Forward,
        RouteType::Unreachable => RouteKind::Unreachable,
        RouteType::Prohibit => RouteKind::Prohibit,
        RouteType::BlackHole => RouteKind::Blackhole,
        _ => return None,
    };
    let unspecified = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    if kind == RouteKind::Forward {
        ways.extend(device.map(|device| (device, via)));
    } else {
        ways.clear();
    }
    Some(KernelRoute {
        to: IpNet::new(
            to.unwrap_or(unspecified),
            message.header.destination_prefix_length,
        )
        .ok()?,
        kind,
        metric,
        hops: ways,
        origin: match message.header.protocol {
            RouteProtocol::Kernel => RouteOrigin::Connected,
            protocol if u8::from(protocol) == PROTOCOL => RouteOrigin::Own,
            _ => RouteOrigin::Other,
        },
    })
}

fn way(hop: &RouteNextHop) -> (u32, Option<IpAddr>) {
    let via = hop.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(address) => ip(address),
        RouteAttribute::Via(address) => via_ip(address),
        _ => None,
    });
    (hop.interface_index, via)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

fn via_ip(address: &RouteVia) -> Option<IpAddr> {
    match address {
        RouteVia::Inet(v4) => Some((*v4).into()),
        RouteVia::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

pub async fn neighbours(handle: &Handle) -> Result<Vec<KernelNeighbour>, NetlinkError> {
    let messages: Vec<_> = handle
        .neighbours()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(NetlinkError::of("reading neighbours"))?;
    Ok(messages.iter().filter_map(neighbour).collect())
}

pub fn neighbour(message: &NeighbourMessage) -> Option<KernelNeighbour> {
    let (mut destination, mut link_layer, mut managed) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                destination = Some(IpAddr::from(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                destination = Some(IpAddr::from(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => link_layer = mac(bytes),
            NeighbourAttribute::ExtFlags(flags) => {
                managed = flags.contains(NeighbourExtFlags::Managed);
            }
            _ => {}
        }
    }
    let (usable, state) = match message.header.state {
        NeighbourState::Reachable => (Usable::Resolved, "reachable"),
        NeighbourState::Stale => (Usable::Resolved, "stale"),
        NeighbourState::Delay => (Usable::Resolved, "delay"),
        NeighbourState::Probe => (Usable::Resolved, "probe"),
        NeighbourState::Permanent => (Usable::Resolved, "permanent"),
        NeighbourState::Noarp => (Usable::Resolved, "noarp"),
        NeighbourState::Failed => (Usable::Failed, "failed"),
        NeighbourState::Incomplete => (Usable::Unresolved, "incomplete"),
        _ => (Usable::Unresolved, "none"),
    };
    let usable = if usable == Usable::Resolved && link_layer.is_none() {
        Usable::Unresolved
    } else {
        usable
    };
    Some(KernelNeighbour {
        ifindex: message.header.ifindex,
        address: destination?,
        mac: link_layer,
        usable,
        state,
        managed,
    })
}

/// How a neighbour is to be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolve {
    /// One that the kernel does not have; an error where it does.
    New,
    /// One that it has, too. A permanent one would lose its state: never ask for those.
    Again,
    /// As `Again`, and probed for as long as it is there (`managed`, kernel 5.16 and later), because
    /// no traffic of its own would.
    Keep,
}

/// Asks the kernel to resolve a neighbour (`ip neigh add … use`).
pub async fn resolve(
    handle: &Handle,
    ifindex: u32,
    address: IpAddr,
    how: Resolve,
) -> Result<(), NetlinkError> {
    let mut request = handle
        .neighbours()
        .add(ifindex, address)
        .state(NeighbourState::None)
        .flags(NeighbourFlags::Use);
    if how != Resolve::New {
        request = request.replace();
    }
    if how == Resolve::Keep {
        request
            .message_mut()
            .attributes
            .push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    }
    request
        .execute()
        .await
        .map_err(NetlinkError::of(format!("resolving {address}")))
}

pub async fn add_address(
    handle: &Handle,
    ifindex: u32,
    address: IpNet,
) -> Result<(), NetlinkError> {
    let mut request = handle
        .address()
        .add(ifindex, address.addr(), address.prefix_len())
        .replace();
    let message = request.message_mut();
    message
        .attributes
        .push(AddressAttribute::Protocol(AddressProtocol::from(PROTOCOL)));
    if address.addr().is_ipv6() {
        // No duplicate address detection: the appliance forwards from its first moment on.
        let flags = netlink_packet_route::address::AddressFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    request.execute().await.map_err(|source| {
        let mut error = NetlinkError::of(format!("adding address {address}"))(source);
        // `inet6_addr_add` says so of a device without IPv6; a missing capability is EPERM.
        if error.errno() == Some(libc::EACCES) {
            error.what += ", because IPv6 is off there (sysctl disable_ipv6; `docker network create --ipv6` leaves it on)";
        }
        error
    })
}

pub async fn remove_address(
    handle: &Handle,
    ifindex: u32,
    address: IpNet,
) -> Result<(), NetlinkError> {
    let mut request = handle
        .address()
        .add(ifindex, address.addr(), address.prefix_len());
    let message = request.message_mut().clone();
    handle
        .address()
        .del(message)
        .execute()
        .await
        .map_err(NetlinkError::of(format!("removing address {address}")))
}

/// Adds a route of the appliance's own; one that is there already is replaced.
pub async fn add_route(
    handle: &Handle,
    to: IpNet,
    via: Option<IpAddr>,
    ifindex: Option<u32>,
) -> Result<(), NetlinkError> {
    let message = own_route(to, via, ifindex)?;
    handle
        .route()
        .add(message)
        .replace()
        .execute()
        .await
        .map_err(NetlinkError::of(format!("adding route {to}")))
}

pub async fn remove_route(handle: &Handle, route: &KernelRoute) -> Result<(), NetlinkError> {
    let (ifindex, via) = match route.hops.first() {
        Some((ifindex, via)) => (Some(*ifindex), *via),
        None => (None, None),
    };
    let message = own_route(route.to, via, ifindex)?;
    handle
        .route()
        .del(message)
        .execute()
        .await
        .map_err(NetlinkError::of(format!("removing route {}", route.to)))
}

fn own_route(
    to: IpNet,
    via: Option<IpAddr>,
    ifindex: Option<u32>,
) -> Result<RouteMessage, NetlinkError> {
    let invalid = |_| NetlinkError {
        what: format!("route {to}"),
        source: rtnetlink::Error::RequestFailed,
    };
    let mut builder = RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(to.addr(), to.prefix_len())
        .map_err(invalid)?
        .protocol(RouteProtocol::from(PROTOCOL));
    if let Some(via) = via {
        builder = builder.gateway(via).map_err(invalid)?;
    }
    if let Some(ifindex) = ifindex {
        builder = builder.output_interface(ifindex);
    }
    Ok(builder.build())
}

pub async fn set_up(handle: &Handle, ifindex: u32) -> Result<(), NetlinkError> {
    let message = LinkMessageBuilder::<LinkUnspec>::new()
        .index(ifindex)
        .up()
        .build();
    handle
        .link()
        .set(message)
        .execute()
        .await
        .map_err(NetlinkError::of("setting a device up"))
}

/// Keeps IPv6 off a device: no link-local address, so no discovery traffic of the kernel's own.
pub async fn keep_ipv6_off(handle: &Handle, ifindex: u32) -> Result<(), NetlinkError> {
    let ipv6 = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    let message = LinkMessageBuilder::<LinkUnspec>::new()
        .index(ifindex)
        .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![ipv6]))
        .build();
    handle
        .link()
        .set(message)
        .execute()
        .await
        .map_err(NetlinkError::of("keeping IPv6 off a device"))
}

pub async fn remove_link(handle: &Handle, ifindex: u32) -> Result<(), NetlinkError> {
    handle
        .link()
        .del(ifindex)
        .execute()
        .await
        .map_err(NetlinkError::of("removing a device"))
}

/// A veth pair to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewVeth<'a> {
    pub outer: &'a str,
    pub inner: &'a str,
    /// Queues at each end.
    pub queues: u32,
    pub mtu_bytes: u32,
    /// The MAC of an inner end that takes part in IP and ARP; `None` for one that does not. The
    /// outer end never does.
    pub inner_mac: Option<Mac>,
}

pub async fn add_veth(handle: &Handle, new: &NewVeth<'_>) -> Result<(), NetlinkError> {
    let mut inner = LinkMessage::default();
    inner.attributes = vec![
        LinkAttribute::IfName(new.inner.into()),
        LinkAttribute::Mtu(new.mtu_bytes),
        LinkAttribute::NumTxQueues(new.queues),
        LinkAttribute::NumRxQueues(new.queues),
    ];
    match new.inner_mac {
        Some(mac) => inner
            .attributes
            .push(LinkAttribute::Address(mac.0.to_vec())),
        None => {
            inner.header.flags = LinkFlags::Noarp;
            inner.header.change_mask = LinkFlags::Noarp;
        }
    }
    let message = LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
        .name(new.outer)
        .mtu(new.mtu_bytes)
        .arp(false)
        .append_extra_attribute(LinkAttribute::NumTxQueues(new.queues))
        .append_extra_attribute(LinkAttribute::NumRxQueues(new.queues))
        .set_info_data(InfoData::Veth(InfoVeth::Peer(inner)))
        .build();
    let request = handle.link().add(message);
    request.execute().await.map_err(NetlinkError::of(format!(
        "adding the veth pair {}",
        new.outer
    )))
}

fn mac(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}

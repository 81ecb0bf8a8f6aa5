//! Keeps the workers' picture of the network equal to the kernel's.
//!
//! Whenever a link, an address or a route changes, all three are read anew and published as one
//! snapshot; neighbours are followed one by one. Workers ask for neighbours to be resolved, and
//! are woken when one was.
//!
//! # Limits
//! A table of a million routes takes the kernel seconds to list; changes then show that late.

use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abi::{NeighbourState, PORT_XDP_TRANSMIT, PortRecord};
use afxdp::MappedArray;
use arc_swap::ArcSwap;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use ipnet::IpNet;
use netlink_packet_route::RouteNetlinkMessage;
use packet::Mac;
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::{Handle, MulticastGroup};
use rustc_hash::FxHashSet;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::fib::{Fib, Gateway, Hop, Route};
use super::kernel::{
    self, KernelAddress, KernelLink, KernelNeighbour, KernelRoute, NetlinkError, Resolve,
};
use super::next_hop::{Link, NextHopId, NextHops};
use crate::counters::InterfaceId;

/// Changes come in bursts (an address brings its routes): one reading for all of a burst.
const SETTLE: Duration = Duration::from_millis(2);

/// Messages taken together at most.
const BURST: usize = 1_024;

/// How often the devices' own counters are read.
const STATISTICS: Duration = Duration::from_secs(1);

/// What a worker sees of the network: one consistent snapshot.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    pub fib: Fib,
    /// By `InterfaceId`.
    pub interfaces: Vec<LinkState>,
}

impl Topology {
    /// An interface's own, the preferred one first.
    #[must_use]
    pub fn addresses(&self, interface: InterfaceId) -> Vec<IpAddr> {
        let link = self.interfaces.get(interface.index());
        link.map(|link| link.addresses.iter().map(IpNet::addr).collect())
            .unwrap_or_default()
    }
}

/// How an interface stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    pub up: bool,
    pub mac: Mac,
    pub mtu_bytes: u32,
    pub addresses: Vec<IpNet>,
}

/// An interface as the mirror knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The kernel's device of the interface.
    pub ifindex: u32,
    /// The port's device, whose link the interface needs; the same where there is no VLAN.
    pub port_ifindex: u32,
    pub port: u32,
    pub vlan: u16,
    /// The port's device as `NextHopRecord::egress` has it.
    pub egress: u32,
    /// The other end of a wire.
    pub across: Option<InterfaceId>,
}

/// The shared picture.
#[derive(Debug)]
pub struct Mirror {
    pub topology: ArcSwap<Topology>,
    pub next_hops: NextHops,
    /// By `InterfaceId`; `None` for one whose device is not there.
    interfaces: ArcSwap<Vec<Option<Mirrored>>>,
    /// Asks the follower to publish the interfaces as they are now, and to say when it has.
    publish: UnboundedSender<oneshot::Sender<()>>,
    ports: Arc<MappedArray<PortRecord>>,
    kernel: Mutex<KernelTables>,
    followed: AtomicBool,
}

/// The kernel's tables as last read, for people.
#[derive(Clone, Debug, Default)]
pub struct KernelTables {
    pub links: Vec<KernelLink>,
    pub addresses: Vec<KernelAddress>,
    pub routes: Vec<KernelRoute>,
    pub neighbours: Vec<KernelNeighbour>,
}

/// Follows the kernel until dropped.
pub struct Follower {
    mirror: Arc<Mirror>,
    handle: Handle,
    events: BoxStream<'static, NetlinkPayload<RouteNetlinkMessage>>,
    wanted: UnboundedReceiver<Gateway>,
    asked: UnboundedReceiver<oneshot::Sender<()>>,
    wake: Box<dyn Fn() + Send>,
    generation: u32,
    /// As last published.
    interfaces: Arc<Vec<Option<Mirrored>>>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Mirror {
    /// The receiver is the follower's.
    #[must_use]
    pub fn new(
        interfaces: Vec<Option<Mirrored>>,
        next_hops: NextHops,
        ports: Arc<MappedArray<PortRecord>>,
    ) -> (Self, UnboundedReceiver<oneshot::Sender<()>>) {
        let (publish, asked) = unbounded_channel();
        let mirror = Self {
            topology: ArcSwap::default(),
            next_hops,
            interfaces: ArcSwap::from_pointee(interfaces),
            publish,
            ports,
            kernel: Mutex::default(),
            followed: AtomicBool::new(false),
        };
        (mirror, asked)
    }

    /// Devices have come or gone. When this returns, workers and programs see it.
    pub(crate) async fn set_interfaces(&self, interfaces: Vec<Option<Mirrored>>) {
        if **self.interfaces.load() == interfaces {
            return;
        }
        self.interfaces.store(Arc::new(interfaces));
        let (done, published) = oneshot::channel();
        // Without a follower nothing is published any more, which it has told itself.
        if self.publish.send(done).is_ok() {
            let _ = published.await;
        }
    }

    fn interface(&self, id: InterfaceId) -> Option<Mirrored> {
        self.interfaces.load().get(id.index()).copied().flatten()
    }

    /// Whether changes of the kernel's tables still arrive.
    #[must_use]
    pub fn is_followed(&self) -> bool {
        self.followed.load(Relaxed)
    }

    /// The kernel's word for the state of a neighbour; `None` where it does not know it.
    pub(crate) fn neighbour_state(&self, gateway: Gateway) -> Option<&'static str> {
        let ifindex = self.interface(gateway.interface)?.ifindex;
        let neighbour = self.neighbour(ifindex, gateway.address)?;
        Some(neighbour.state)
    }

    /// What the kernel last said of a neighbour.
    fn neighbour(&self, ifindex: u32, address: IpAddr) -> Option<KernelNeighbour> {
        let kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = kernel.neighbours.iter();
        known
            .find(|known| (known.ifindex, known.address) == (ifindex, address))
            .cloned()
    }

    /// Whoever looks keeps the tables from changing meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&KernelTables) -> T) -> T {
        look(&self.kernel.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[must_use]
    pub fn interface_of(&self, ifindex: u32) -> Option<InterfaceId> {
        let interfaces = self.interfaces.load();
        let mut each = interfaces.iter();
        let position = each.position(|known| known.is_some_and(|it| it.ifindex == ifindex))?;
        Some(InterfaceId(position as u16))
    }

    /// How packets leave by an interface; `None` for one that is gone.
    #[must_use]
    pub fn link(&self, topology: &Topology, interface: InterfaceId) -> Option<Link> {
        let mirrored = self.interface(interface)?;
        let state = topology.interfaces.get(interface.index())?;
        Some(Link {
            port: mirrored.port,
            source: state.mac,
            vlan: mirrored.vlan,
            mtu_bytes: state.mtu_bytes,
            egress: if state.up { mirrored.egress } else { 0 },
        })
    }

    /// The other port of a wire, while its link is up.
    #[must_use]
    pub fn across(&self, port: u16) -> Option<u32> {
        let record = self.ports.get(usize::from(port))?;
        (record.across_egress.load(Relaxed) != 0).then(|| record.across_port.load(Relaxed))
    }

    /// Whether a port takes frames from XDP now.
    #[must_use]
    pub fn transmits(&self, port: u32) -> bool {
        let record = self.ports.get(port as usize);
        record.is_some_and(|record| record.flags.load(Relaxed) & PORT_XDP_TRANSMIT != 0)
    }

    /// The record of a neighbour that the kernel can reach now; nobody is asked for.
    pub(crate) fn adopt(&self, gateway: Gateway) -> Option<NextHopId> {
        let ifindex = self.interface(gateway.interface)?.ifindex;
        let neighbour = self
            .neighbour(ifindex, gateway.address)
            .filter(|neighbour| neighbour.usable == NeighbourState::Resolved)?;
        let id = self.find_or_add(gateway)?;
        self.learn(&neighbour);
        Some(id)
    }

    /// The record of a neighbour, made by how its interface is now where there is none.
    pub(crate) fn find_or_add(&self, gateway: Gateway) -> Option<NextHopId> {
        let link = || self.link(&self.topology.load(), gateway.interface);
        self.next_hops.find_or_add(gateway, link)
    }

    /// What BPF has to know of the ports themselves.
    fn describe_ports(&self, topology: &Topology) {
        let interfaces = self.interfaces.load();
        for (index, mirrored) in (0..).zip(interfaces.iter()) {
            let Some(mirrored) = mirrored else { continue };
            let Some(record) = self.ports.get(mirrored.port as usize) else {
                continue;
            };
            if let Some(link) = self.link(topology, InterfaceId(index)) {
                record.mac.store(link.source.word(), Relaxed);
            }
            let Some(across) = mirrored.across else {
                continue;
            };
            match self.link(topology, across) {
                Some(link) => {
                    let interface = u32::from(across.0);
                    record.across_port.store(link.port, Relaxed);
                    record.across_interface.store(interface, Relaxed);
                    record.across_mtu_bytes.store(link.mtu_bytes, Relaxed);
                    record.across_egress.store(link.egress, Release);
                }
                None => record.across_egress.store(0, Release),
            }
        }
    }

    fn publish(&self, tables: &KernelTables, generation: u32) {
        let mut fib = Fib::of_generation(generation);
        for address in &tables.addresses {
            fib.insert_local(address.address);
        }
        for route in &tables.routes {
            fib.insert(route.to, self.route(route));
        }
        let interfaces = self.link_states(tables).collect();
        let topology = Arc::new(Topology { fib, interfaces });
        self.describe_ports(&topology);
        // A record that is made from here on is made by this; the others are told below.
        self.topology.store(topology.clone());
        for index in 0..topology.interfaces.len() {
            let id = InterfaceId(index as u16);
            match self.link(&topology, id) {
                Some(link) => self.next_hops.set_link(id, &link),
                None => self.next_hops.take_link(id),
            }
        }
    }

    fn link_states(&self, tables: &KernelTables) -> impl Iterator<Item = LinkState> {
        let interfaces = self.interfaces.load_full();
        (0..interfaces.len()).map(move |index| {
            let mirrored = interfaces[index].as_ref();
            mirrored.map_or_else(LinkState::default, |it| link_state(tables, it))
        })
    }

    /// Whether what ways depend on is as it was.
    fn is_same(&self, tables: &KernelTables) -> bool {
        let known = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        tables.routes == known.routes
            && tables.addresses == known.addresses
            && self
                .link_states(tables)
                .eq(self.topology.load().interfaces.iter().cloned())
    }

    fn route(&self, route: &KernelRoute) -> Route {
        let hop = |&(ifindex, via)| Hop {
            ifindex,
            interface: self.interface_of(ifindex),
            via,
        };
        Route {
            kind: route.kind,
            metric: route.metric,
            hops: route.hops.iter().map(hop).collect(),
        }
    }

    /// Records what the kernel knows of a neighbour; true where that can free held packets.
    fn learn(&self, neighbour: &KernelNeighbour) -> bool {
        let Some(interface) = self.interface_of(neighbour.ifindex) else {
            return false;
        };
        let gateway = Gateway {
            interface,
            address: neighbour.address,
        };
        let Some(id) = self.next_hops.find(gateway) else {
            return false;
        };
        self.next_hops
            .set_neighbour(id, neighbour.usable, neighbour.mac.unwrap_or_default());
        neighbour.usable != NeighbourState::Unresolved
    }

    /// Neighbours whose end was not heard of are not known any more.
    fn forget_others(&self, known: &[KernelNeighbour]) {
        let known: FxHashSet<_> = known
            .iter()
            .filter_map(|known| Some((self.interface_of(known.ifindex)?, known.address)))
            .collect();
        self.next_hops
            .forget(|gateway| !known.contains(&(gateway.interface, gateway.address)));
    }

    fn remember(&self, neighbour: KernelNeighbour, gone: bool) {
        let mut kernel = self.kernel.lock().unwrap_or_else(PoisonError::into_inner);
        kernel.neighbours.retain(|known| {
            (known.ifindex, known.address) != (neighbour.ifindex, neighbour.address)
        });
        if !gone {
            kernel.neighbours.push(neighbour);
        }
    }
}

fn link_state(tables: &KernelTables, interface: &Mirrored) -> LinkState {
    let Mirrored {
        ifindex,
        port_ifindex,
        ..
    } = *interface;
    let port_is_up = tables
        .links
        .iter()
        .any(|link| link.ifindex == port_ifindex && link.up);
    let Some(link) = tables.links.iter().find(|link| link.ifindex == ifindex) else {
        return LinkState::default();
    };
    let of_link = tables
        .addresses
        .iter()
        .filter(|address| address.ifindex == ifindex);
    LinkState {
        up: link.up && port_is_up,
        mac: link.mac,
        mtu_bytes: link.mtu_bytes,
        addresses: of_link.map(|address| address.address).collect(),
    }
}

impl Follower {
    /// Reads the kernel's tables once, publishes them, and is ready to follow. `wake` is called
    /// when workers may have something to do.
    pub async fn start(
        mirror: Arc<Mirror>,
        wanted: UnboundedReceiver<Gateway>,
        asked: UnboundedReceiver<oneshot::Sender<()>>,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, NetlinkError> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
            MulticastGroup::Neigh,
        ];
        let (connection, handle, messages) =
            rtnetlink::new_multicast_connection(&groups).map_err(|error| NetlinkError {
                what: format!("opening rtnetlink: {error}"),
                source: rtnetlink::Error::RequestFailed,
            })?;
        tokio::spawn(connection);
        let events = messages.map(|(message, _)| message.payload).boxed();
        let mut follower = Self {
            mirror,
            handle,
            events,
            wanted,
            asked,
            wake: Box::new(wake),
            generation: 0,
            interfaces: Arc::default(),
        };
        follower.read().await?;
        follower.mirror.followed.store(true, Relaxed);
        Ok(follower)
    }

    /// Follows changes for ever; cancel by dropping the future.
    pub async fn run(mut self) {
        let mut statistics = tokio::time::interval(STATISTICS);
        loop {
            tokio::select! {
                _ = statistics.tick() => self.read_statistics().await,
                event = self.events.next() => match event {
                    Some(NetlinkPayload::InnerMessage(message)) => self.event(message).await,
                    // Messages were lost: only a reading tells what they said.
                    Some(NetlinkPayload::Overrun(_)) => self.reread().await,
                    Some(_) => {}
                    None => {
                        self.mirror.followed.store(false, Relaxed);
                        tracing::error!("the kernel closed rtnetlink: routes and neighbours are no longer followed");
                        return;
                    }
                },
                Some(gateway) = self.wanted.recv() => self.resolve(gateway).await,
                Some(done) = self.asked.recv() => {
                    self.reread().await;
                    // Nobody may be waiting any more.
                    let _ = done.send(());
                }
            }
        }
    }

    async fn event(&mut self, message: RouteNetlinkMessage) {
        let mut reread = self.apply(message).await;
        if reread {
            tokio::time::sleep(SETTLE).await;
        }
        // What is queued by now is covered by the reading that follows; a flood of neighbours must
        // not put it off for ever.
        for _ in 0..BURST {
            match tokio::time::timeout(Duration::ZERO, self.events.next()).await {
                Ok(Some(NetlinkPayload::InnerMessage(message))) => {
                    reread |= self.apply(message).await;
                }
                Ok(Some(NetlinkPayload::Overrun(_))) => reread = true,
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        if reread {
            self.reread().await;
        }
    }

    async fn reread(&mut self) {
        if let Err(error) = self.read().await {
            tracing::error!(%error, "cannot read the kernel's tables; the last ones stay in force");
        }
    }

    /// Applies a neighbour's change; true for a change that needs all tables read.
    async fn apply(&mut self, message: RouteNetlinkMessage) -> bool {
        match message {
            RouteNetlinkMessage::NewNeighbour(message) => {
                if let Some(neighbour) = kernel::neighbour(&message) {
                    self.neighbour(neighbour, false).await;
                }
                false
            }
            RouteNetlinkMessage::DelNeighbour(message) => {
                if let Some(mut neighbour) = kernel::neighbour(&message) {
                    neighbour.usable = NeighbourState::Unresolved;
                    self.neighbour(neighbour, true).await;
                }
                false
            }
            _ => true,
        }
    }

    async fn neighbour(&mut self, neighbour: KernelNeighbour, gone: bool) {
        let in_use = self.mirror.learn(&neighbour);
        if in_use {
            (self.wake)();
            if neighbour.usable == NeighbourState::Resolved
                && !neighbour.managed
                && !neighbour.is_permanent()
            {
                let how = Resolve::Keep;
                self.ask(neighbour.ifindex, neighbour.address, how).await;
            }
        }
        self.mirror.remember(neighbour, gone);
    }

    async fn resolve(&mut self, gateway: Gateway) {
        let Some(Mirrored { ifindex, .. }) = self.mirror.interface(gateway.interface) else {
            return;
        };
        // The kernel may know it already, from before there was a record to write it to.
        let known = self.mirror.neighbour(ifindex, gateway.address);
        match known {
            Some(neighbour) if neighbour.usable == NeighbourState::Resolved => {
                self.neighbour(neighbour, false).await;
            }
            Some(_) => {
                self.ask(ifindex, gateway.address, Resolve::Again).await;
            }
            None => {
                if !self.ask(ifindex, gateway.address, Resolve::New).await {
                    self.resolve_unseen(ifindex, gateway.address).await;
                }
            }
        }
    }

    /// The kernel has a neighbour of which word has not come yet, or never would.
    async fn resolve_unseen(&mut self, ifindex: u32, address: IpAddr) {
        let all = kernel::neighbours(&self.handle).await.unwrap_or_default();
        let unseen = all
            .into_iter()
            .find(|known| (known.ifindex, known.address) == (ifindex, address));
        match unseen {
            Some(neighbour) if neighbour.usable == NeighbourState::Resolved => {
                self.neighbour(neighbour, false).await;
            }
            _ => {
                self.ask(ifindex, address, Resolve::Again).await;
            }
        }
    }

    async fn read_statistics(&mut self) {
        if let Ok(links) = kernel::links(&self.handle).await {
            let mut kernel = self
                .mirror
                .kernel
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            kernel.links = links;
        }
    }

    /// False where the kernel refused.
    async fn ask(&mut self, ifindex: u32, address: IpAddr, how: Resolve) -> bool {
        let asked = kernel::resolve(&self.handle, ifindex, address, how).await;
        if let Err(error) = &asked {
            tracing::debug!(%error, %address, ?how, "the kernel does not resolve a neighbour");
        }
        asked.is_ok()
    }

    async fn read(&mut self) -> Result<(), NetlinkError> {
        let tables = KernelTables {
            links: kernel::links(&self.handle).await?,
            addresses: kernel::addresses(&self.handle).await?,
            routes: kernel::routes(&self.handle).await?,
            neighbours: kernel::neighbours(&self.handle).await?,
        };
        // A new generation has every flow's way looked for again.
        let interfaces = self.mirror.interfaces.load_full();
        let is_same = *interfaces == *self.interfaces && self.mirror.is_same(&tables);
        if self.generation == 0 || !is_same {
            self.interfaces = interfaces;
            self.generation = self.generation.wrapping_add(1);
            self.mirror.publish(&tables, self.generation);
        }
        for neighbour in &tables.neighbours {
            self.mirror.learn(neighbour);
        }
        self.mirror.forget_others(&tables.neighbours);
        *self
            .mirror
            .kernel
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = tables;
        (self.wake)();
        Ok(())
    }
}

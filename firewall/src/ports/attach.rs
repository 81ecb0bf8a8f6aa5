//! The ports of an appliance: making them, attaching to them, and taking them away, one by one.

use std::sync::atomic::Ordering::Relaxed;

use abi::{
    MAX_PORTS, PORT_PEER, PORT_UNFILLED, PORT_WIRE, PORT_XDP, PORT_XDP_TRANSMIT, PortRecord,
};
use aya::programs::TcAttachType;
use rtnetlink::Handle;
use tokio::task::spawn_blocking;

use super::claim::{Claim, Seat};
use super::pair::{self, Pair};
use super::programs::{
    AT_PORT, AttachedProgram, Early, Loader, Marks, PRIVATE, PortFacts, Programs, Settings,
};
use super::transmit::Change;
use super::wanted::{Present, Suitable, Wanted, frame_bytes, most_mtu_bytes};
use super::{AttachMode, KernelCounters, PortError, PortId};
use crate::config::{Attach, Config, Device, Interface, Mode};
use crate::route::NextHops;
use crate::route::kernel;

/// One port with its device.
#[derive(Debug)]
pub struct Attached {
    pub id: PortId,
    /// What it is called now.
    pub device: String,
    /// As configured.
    pub wanted: Device,
    pub ifindex: u32,
    pub mode: AttachMode,
    /// As configured, from which the mode follows.
    pub attach: Attach,
    /// `None` for a port attached at XDP.
    pub pair: Option<Pair>,
    /// The VLANs that are interfaces, each with the pair that stands in for it.
    pub vlans: Vec<(u16, Pair)>,
    /// Queues that carry an AF_XDP socket.
    pub queues: u32,
    /// What arrives may have unfilled checksums: XDP on a veth sees packets before the kernel
    /// has finished them.
    pub unfilled_checksums: bool,
    /// A veth whose other end is in another network namespace, and may be redirected to.
    pub peer_elsewhere: bool,
    /// At the port, until [`Ports::attach_ingress`].
    closed: Option<AttachedProgram>,
    /// At the port itself and at its pairs.
    programs: Vec<AttachedProgram>,
    _claim: Claim,
}

impl Attached {
    /// The mark that tells `tc_private` where this port's packets leave; 0 where there is no pair.
    #[must_use]
    pub fn mark(&self) -> u32 {
        if self.pair.is_some() {
            self.egress()
        } else {
            0
        }
    }

    /// The device that sends this port's packets, as `NextHopRecord::egress` has it.
    #[must_use]
    pub fn egress(&self) -> u32 {
        let peer = if self.peer_elsewhere {
            abi::MARK_TO_PEER
        } else {
            0
        };
        self.ifindex | peer
    }

    /// The kernel's device for an interface on this port.
    #[must_use]
    pub fn ifindex_of(&self, vlan: Option<u16>) -> u32 {
        let of_vlan = self.vlans.iter().find(|(known, _)| Some(*known) == vlan);
        of_vlan.map_or(self.ifindex, |(_, pair)| pair.inner_ifindex)
    }

    /// The device that carries the AF_XDP sockets.
    #[must_use]
    pub fn socket_device(&self) -> (&str, u32) {
        match &self.pair {
            Some(pair) => (&pair.inner, pair.inner_ifindex),
            None => (&self.device, self.ifindex),
        }
    }

    /// True for its device, or one that stands in for a VLAN of it.
    #[must_use]
    pub fn has(&self, ifindex: u32) -> bool {
        let mut vlans = self.vlans.iter();
        self.ifindex == ifindex || vlans.any(|(_, pair)| pair.inner_ifindex == ifindex)
    }

    fn devices(&self) -> Vec<u32> {
        let pair = self.pair.as_ref();
        let ends = pair.map(|pair| [pair.outer_ifindex, pair.inner_ifindex]);
        [self.ifindex]
            .into_iter()
            .chain(ends.into_iter().flatten())
            .collect()
    }
}

/// All ports and the host pair.
#[derive(Debug)]
pub struct Ports {
    /// By `PortId`.
    attached: Vec<Option<Attached>>,
    pub host: Pair,
    host_programs: Vec<AttachedProgram>,
    pub programs: Programs,
    pub marks: Marks,
    /// Of a packet's memory; every port's packets fit.
    pub frame_bytes: usize,
    workers: u32,
    pub is_wire: bool,
    seat: Seat,
}

/// What attaching needs to know beyond the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub workers: u32,
    pub marks: Marks,
    pub hash_seed: u64,
    pub hash_multiplier: u64,
}

/// Number of the host pair among the ports: the last.
pub const HOST_PORT: PortId = PortId(MAX_PORTS as u16 - 1);

impl Ports {
    /// Loads the programs, and makes the ports whose devices are there, by the numbers that `number_of`
    /// tells of devices. Nothing passes them yet; on an error nothing is left behind.
    pub async fn prepare(
        handle: &Handle,
        config: &Config,
        plan: &Plan,
        loader: Loader,
        number_of: impl Fn(&Device) -> Option<PortId>,
    ) -> Result<Self, PortError> {
        let present = Present::read(handle).await?;
        let mut suitable = Vec::new();
        for wanted in Wanted::of(config) {
            // One that is not there may come.
            let (Ok(link), Some(id)) = (wanted.find(&present), number_of(&wanted.device)) else {
                continue;
            };
            let found = Suitable::examine(&wanted, link, plan.workers)?;
            suitable.push((id, wanted, found));
        }
        let seat = Seat::take()?;
        pair::remove_leftovers(handle, &present.links, &seat).await?;

        let mtus = suitable.iter().map(|(_, _, it)| it.link.mtu_bytes);
        let frame_bytes = frame_bytes(mtus.max().unwrap_or(0));
        let most = most_mtu_bytes(frame_bytes);
        let host = Pair::for_host(handle, &seat, plan.workers, most).await?;
        let modes = || suitable.iter().map(|(_, _, it)| it.mode);
        let settings = Settings {
            marks: plan.marks,
            host_outer_ifindex: host.outer_ifindex,
            workers: plan.workers,
            hash_seed: plan.hash_seed,
            hash_multiplier: plan.hash_multiplier,
            sessions: config.system.sessions,
            next_hops: NextHops::CAPACITY,
            uses_tc: modes().any(|mode| mode == AttachMode::Tc),
            uses_xdp: modes().any(|mode| mode == AttachMode::Xdp),
        };
        // Verifying them takes longest of all; the pairs are made meanwhile.
        let at_tc = |(_, _, found): &&(_, _, Suitable)| found.mode == AttachMode::Tc;
        let closed = suitable.iter().filter(at_tc);
        let early = Early {
            private: Some(host.inner_ifindex),
            closed: closed
                .map(|(_, _, found)| found.link.name.clone())
                .collect(),
        };
        let loading = spawn_blocking(move || Programs::load(loader, &settings, &early));
        let mut made = Vec::new();
        let pairs = make_pairs(handle, &seat, plan.workers, suitable, &mut made).await;
        let loaded = match loading.await {
            Ok(loaded) => loaded,
            Err(died) => std::panic::resume_unwind(died.into_panic()),
        };
        let (programs, attached) = match pairs.and(loaded) {
            Ok(loaded) => loaded,
            Err(error) => {
                for pair in made.iter().filter_map(|made| made.pair.as_ref()) {
                    pair.remove(handle).await;
                }
                host.remove(handle).await;
                return Err(error);
            }
        };
        let mut ports = Self {
            attached: (0..MAX_PORTS).map(|_| None).collect(),
            host,
            host_programs: attached.private.into_iter().collect(),
            programs,
            marks: plan.marks,
            frame_bytes,
            workers: plan.workers,
            is_wire: config.system.mode == Mode::Wire,
            seat,
        };
        let at_tc = made.iter_mut().filter(|made| made.pair.is_some());
        for (made, closed) in at_tc.zip(attached.closed) {
            made.closed = Some(closed);
        }
        match ports.enter_all(handle, made).await {
            Ok(()) => Ok(ports),
            Err(error) => {
                ports.detach(handle).await;
                Err(error)
            }
        }
    }

    async fn enter_all(&mut self, handle: &Handle, made: Vec<Made>) -> Result<(), PortError> {
        let host_record = PortFacts {
            ifindex: 0,
            outer_ifindex: self.host.outer_ifindex,
            flags: 0,
            queues: self.workers,
        };
        self.programs.set_port(
            HOST_PORT,
            &host_record,
            &[self.host.outer_ifindex, self.host.inner_ifindex],
        )?;
        let mut outcome = Ok(());
        for made in made {
            // After an error, so that its pair is taken away with all others.
            let entered = self.enter(handle, made).await;
            outcome = outcome.and(entered);
        }
        outcome
    }

    /// Makes a port of a device: its pairs, and what the programs know of it. On an error nothing is
    /// left behind.
    pub async fn make(
        &mut self,
        handle: &Handle,
        id: PortId,
        wanted: Wanted,
        found: Suitable,
    ) -> Result<(), PortError> {
        let most = most_mtu_bytes(self.frame_bytes);
        let link = &found.link;
        if self.iter().any(|port| port.ifindex == link.ifindex) {
            let device = link.name.clone();
            return Err(PortError::InUse { device });
        }
        if link.mtu_bytes > most {
            return Err(PortError::FrameSize {
                device: link.name.clone(),
                mtu_bytes: link.mtu_bytes,
                most,
            });
        }
        let made = Made::new(handle, &self.seat, self.workers, id, wanted, found).await?;
        self.enter(handle, made).await
    }

    /// Tells the programs of a port, and makes what stands in for its VLANs. On an error nothing is left
    /// behind.
    async fn enter(&mut self, handle: &Handle, made: Made) -> Result<(), PortError> {
        let Made {
            id,
            wanted,
            pair,
            found,
            closed,
        } = made;
        let Suitable {
            link,
            mode,
            queues,
            vlans,
            claim,
        } = found;
        let port = Attached {
            id,
            unfilled_checksums: mode == AttachMode::Xdp && link.is_veth,
            // What crosses a wire must look to the far end as it is addressed, which a redirect
            // to the peer does not see to.
            peer_elsewhere: link.peer_elsewhere && !self.is_wire,
            device: link.name,
            wanted: wanted.device,
            ifindex: link.ifindex,
            mode,
            attach: wanted.attach,
            pair,
            vlans: Vec::new(),
            queues,
            closed,
            programs: Vec::new(),
            _claim: claim,
        };
        let entered = set_port(&mut self.programs, &port, self.is_wire);
        self.attached[usize::from(id.0)] = Some(port);
        let mut made = entered;
        for vlan in vlans {
            if made.is_ok() {
                made = self.make_vlan(handle, id, vlan).await;
            }
        }
        if made.is_err() {
            self.take_away(handle, id).await;
        }
        made
    }

    /// Makes the stand-in for a VLAN of a port.
    pub async fn make_vlan(
        &mut self,
        handle: &Handle,
        id: PortId,
        vlan: u16,
    ) -> Result<(), PortError> {
        let Some(port) = &self.attached[usize::from(id.0)] else {
            return Ok(());
        };
        let (device, ifindex) = (port.device.clone(), port.ifindex);
        if port.mode == AttachMode::Xdp {
            return Err(PortError::VlanNeedsTc { device, vlan });
        }
        let links = kernel::links(handle).await?;
        let Some(link) = links.iter().find(|link| link.ifindex == ifindex) else {
            return Err(PortError::Gone { device });
        };
        let pair = Pair::for_vlan(handle, &self.seat, id, link, vlan).await?;
        let entered = self.programs.set_vlan(ifindex, vlan, &pair);
        if let Some(port) = &mut self.attached[usize::from(id.0)] {
            port.vlans.push((vlan, pair));
        }
        entered
    }

    pub async fn take_vlan_away(&mut self, handle: &Handle, id: PortId, vlan: u16) {
        let Some(port) = &mut self.attached[usize::from(id.0)] else {
            return;
        };
        let gone = port.vlans.extract_if(.., |(known, _)| *known == vlan);
        for (vlan, pair) in gone {
            self.programs.clear_vlan(port.ifindex, vlan, &pair);
            pair.remove(handle).await;
        }
    }

    /// Attaches the program that leads to the host pair's sockets, which need to be in their map.
    pub fn attach_host(&mut self) -> Result<(), PortError> {
        let at = self.programs.attach_own("tc_host", &self.host.outer)?;
        self.host_programs.push(at);
        Ok(())
    }

    /// Attaches the programs at a port's private pairs. Needs its sockets to be in their map.
    pub fn attach_pairs(&mut self, id: PortId) -> Result<(), PortError> {
        let Some(port) = &mut self.attached[usize::from(id.0)] else {
            return Ok(());
        };
        if let Some(pair) = &port.pair {
            let (inner, ifindex) = (&pair.inner, pair.inner_ifindex);
            let at = self.programs.attach_xdp(PRIVATE, inner, ifindex)?;
            port.programs.push(at);
            let at = self.programs.attach_own("tc_private", &pair.outer)?;
            port.programs.push(at);
        }
        for vlan in port.vlans.iter().map(|(vlan, _)| *vlan).collect::<Vec<_>>() {
            self.attach_vlan(id, vlan)?;
        }
        Ok(())
    }

    pub fn attach_vlan(&mut self, id: PortId, vlan: u16) -> Result<(), PortError> {
        let Some(port) = &mut self.attached[usize::from(id.0)] else {
            return Ok(());
        };
        let mut vlans = port.vlans.iter();
        if let Some((_, pair)) = vlans.find(|(known, _)| *known == vlan) {
            let at = self.programs.attach_own("tc_vlan", &pair.outer)?;
            port.programs.push(at);
        }
        Ok(())
    }

    /// From here on the datapath has every packet that arrives by a port.
    pub fn attach_ingress(&mut self, id: PortId) -> Result<(), PortError> {
        let Some(port) = &mut self.attached[usize::from(id.0)] else {
            return Ok(());
        };
        let (programs, device) = (&mut self.programs, &port.device);
        let at = match (port.closed.take(), port.mode) {
            (Some(closed), _) => programs.open(closed)?,
            (None, AttachMode::Tc) => programs.attach_tc(AT_PORT, device, TcAttachType::Ingress)?,
            (None, AttachMode::Xdp) => programs.attach_xdp("xdp_port", device, port.ifindex)?,
        };
        port.programs.push(at);
        Ok(())
    }

    /// From here on the datapath has what the appliance itself sends by a port.
    pub fn attach_egress(&mut self, id: PortId) -> Result<(), PortError> {
        let Some(port) = &mut self.attached[usize::from(id.0)] else {
            return Ok(());
        };
        let at = TcAttachType::Egress;
        let at = self.programs.attach_tc("tc_egress", &port.device, at)?;
        port.programs.push(at);
        Ok(())
    }

    /// Takes the programs away from a port: it has no packets for the datapath any more.
    pub fn detach_programs(&mut self, id: PortId) {
        if let Some(port) = &mut self.attached[usize::from(id.0)] {
            // Those at the port came last.
            for program in port
                .closed
                .take()
                .into_iter()
                .chain(port.programs.drain(..).rev())
            {
                self.programs.detach(program);
            }
        }
    }

    /// Takes away what was made for a port. Its device may be gone, or be somebody else's by now.
    pub async fn take_away(&mut self, handle: &Handle, id: PortId) {
        self.detach_programs(id);
        let Some(port) = self.attached[usize::from(id.0)].take() else {
            return;
        };
        self.programs.clear_port(id, &port.devices());
        for (vlan, pair) in &port.vlans {
            self.programs.clear_vlan(port.ifindex, *vlan, pair);
        }
        remove_pairs(handle, &port).await;
    }

    pub fn counters(&mut self) -> Result<KernelCounters, PortError> {
        self.programs.counters()
    }

    #[must_use]
    pub fn get(&self, id: PortId) -> Option<&Attached> {
        self.attached.get(usize::from(id.0))?.as_ref()
    }

    /// Those with a device, by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Attached> {
        self.attached.iter().flatten()
    }

    /// The port of an interface, while it has a device.
    #[must_use]
    pub fn port_of(&self, interface: &Interface) -> Option<&Attached> {
        self.iter().find(|port| port.wanted == interface.device)
    }

    /// Takes everything away: first the programs, so that nothing is punted to nowhere.
    pub async fn detach(self, handle: &Handle) {
        drop(self.programs);
        for port in self.attached.iter().flatten() {
            remove_pairs(handle, port).await;
        }
        self.host.remove(handle).await;
    }
}

/// A port that the programs do not know of yet.
struct Made {
    id: PortId,
    wanted: Wanted,
    pair: Option<Pair>,
    found: Suitable,
    /// What closed the port while the programs were verified.
    closed: Option<AttachedProgram>,
}

impl Made {
    async fn new(
        handle: &Handle,
        seat: &Seat,
        workers: u32,
        id: PortId,
        wanted: Wanted,
        found: Suitable,
    ) -> Result<Self, PortError> {
        let pair = match found.mode {
            AttachMode::Tc => {
                let mtu = found.link.mtu_bytes;
                Some(Pair::for_port(handle, seat, id, workers, mtu).await?)
            }
            AttachMode::Xdp => None,
        };
        Ok(Self {
            id,
            wanted,
            pair,
            found,
            closed: None,
        })
    }
}

/// What was made before an error is in `made`, too.
async fn make_pairs(
    handle: &Handle,
    seat: &Seat,
    workers: u32,
    suitable: Vec<(PortId, Wanted, Suitable)>,
    made: &mut Vec<Made>,
) -> Result<(), PortError> {
    for (id, wanted, found) in suitable {
        let mut others = made.iter().map(|other: &Made| other.found.link.ifindex);
        if others.any(|other| other == found.link.ifindex) {
            let device = found.link.name;
            return Err(PortError::InUse { device });
        }
        made.push(Made::new(handle, seat, workers, id, wanted, found).await?);
    }
    Ok(())
}

async fn remove_pairs(handle: &Handle, port: &Attached) {
    let of_vlans = port.vlans.iter().map(|(_, pair)| pair);
    for pair in port.pair.iter().chain(of_vlans) {
        pair.remove(handle).await;
    }
}

fn set_port(programs: &mut Programs, port: &Attached, wire: bool) -> Result<(), PortError> {
    let flags = [
        (port.peer_elsewhere, PORT_PEER),
        (wire, PORT_WIRE),
        (port.mode == AttachMode::Xdp, PORT_XDP),
        (port.unfilled_checksums, PORT_UNFILLED),
    ];
    let facts = PortFacts {
        ifindex: port.ifindex,
        outer_ifindex: port.pair.as_ref().map_or(0, |pair| pair.outer_ifindex),
        flags: flags
            .into_iter()
            .filter_map(|(set, flag)| set.then_some(flag))
            .sum(),
        queues: port.queues,
    };
    programs.set_port(port.id, &facts, &port.devices())
}

/// Whether a port takes frames that XDP redirects to it has changed.
pub(crate) fn set_transmit(ports: &[PortRecord], change: Change) {
    let is_port = |record: &&PortRecord| record.ifindex.load(Relaxed) == change.ifindex;
    if let Some(record) = ports.iter().find(is_port) {
        if change.takes_frames {
            record.flags.fetch_or(PORT_XDP_TRANSMIT, Relaxed);
        } else {
            record.flags.fetch_and(!PORT_XDP_TRANSMIT, Relaxed);
        }
    }
}

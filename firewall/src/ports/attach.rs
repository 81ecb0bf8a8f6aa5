//! Attaching all ports of an appliance, and detaching them.

use std::net::IpAddr;

use std::sync::atomic::Ordering::Relaxed;

use abi::{
    MAX_PORTS, MAX_QUEUES, PORT_PEER, PORT_UNFILLED, PORT_WIRE, PORT_XDP, PORT_XDP_TRANSMIT,
    PortRecord,
};
use afxdp::Umem;
use aya::programs::TcAttachType;
use rtnetlink::Handle;

use super::claim::Claim;
use super::pair::{self, Pair};
use super::programs::{KernelCounters, Marks, PortFacts, Programs, Settings};
use super::transmit::Change;
use super::{AttachMode, PortError, PortId};
use crate::config::{Attach, Config, Interface, Mode};
use crate::route::NextHops;
use crate::route::kernel::{self, KernelLink};

/// One port, attached.
#[derive(Debug)]
pub struct Attached {
    pub id: PortId,
    pub device: String,
    pub ifindex: u32,
    pub mode: AttachMode,
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
}

/// All ports and the host pair.
#[derive(Debug)]
pub struct Ports {
    pub ports: Vec<Attached>,
    pub host: Pair,
    pub programs: Programs,
    pub marks: Marks,
    /// Largest MTU of a port.
    pub mtu_bytes: u32,
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

/// Largest packet a 4,096-byte frame takes without its Ethernet header and tag, and the largest
/// MTU under which a veth accepts an XDP program for linear packets.
const MAX_MTU_BYTES: u32 = 3_498;

impl Ports {
    /// Claims the devices, makes the pairs and loads the programs. Nothing is attached yet; on an
    /// error nothing is left behind.
    pub async fn prepare(handle: &Handle, config: &Config, plan: &Plan) -> Result<Self, PortError> {
        let mut made = Vec::new();
        let result = Self::make(handle, config, plan, &mut made).await;
        if result.is_err() {
            for pair in &made {
                pair.remove(handle).await;
            }
        }
        result
    }

    async fn make(
        handle: &Handle,
        config: &Config,
        plan: &Plan,
        made: &mut Vec<Pair>,
    ) -> Result<Self, PortError> {
        let links = kernel::links(handle).await?;
        let devices = devices(config, &links)?;
        let mut claimed = Vec::new();
        for (attach, link) in devices {
            claimed.push((Claim::take(&link.name, link.ifindex)?, attach, link));
        }
        let ifindexes: Vec<_> = claimed.iter().map(|(_, _, link)| link.ifindex).collect();
        pair::remove_leftovers(handle, &links, &ifindexes).await?;

        let mtu_bytes = claimed
            .iter()
            .map(|(_, _, link)| link.mtu_bytes)
            .max()
            .unwrap_or(1_500);
        let first = ifindexes.first().copied().unwrap_or(0);
        let host = Pair::for_host(handle, first, plan.workers, mtu_bytes).await?;
        made.push(host.clone());
        let modes = || {
            claimed
                .iter()
                .map(|(_, attach, link)| attach_mode(*attach, link))
        };
        let mut programs = Programs::load(&Settings {
            marks: plan.marks,
            host_outer_ifindex: host.outer_ifindex,
            workers: plan.workers,
            hash_seed: plan.hash_seed,
            hash_multiplier: plan.hash_multiplier,
            sessions: config.system.sessions,
            next_hops: NextHops::CAPACITY,
            uses_tc: modes().any(|mode| mode == AttachMode::Tc),
            uses_xdp: modes().any(|mode| mode == AttachMode::Xdp),
        })?;
        let host_record = PortFacts {
            ifindex: 0,
            outer_ifindex: host.outer_ifindex,
            flags: 0,
            queues: plan.workers,
        };
        programs.set_port(
            HOST_PORT,
            &host_record,
            &[host.outer_ifindex, host.inner_ifindex],
        )?;

        let mut ports = Vec::new();
        for (number, (claim, attach, link)) in claimed.into_iter().enumerate() {
            let mode = attach_mode(attach, &link);
            let (pair, queues) = match mode {
                AttachMode::Tc => {
                    let pair =
                        Pair::for_port(handle, link.ifindex, plan.workers, link.mtu_bytes).await?;
                    made.push(pair.clone());
                    (Some(pair), plan.workers)
                }
                AttachMode::Xdp => {
                    let failed = |source| PortError::Device {
                        device: link.name.clone(),
                        source,
                    };
                    let queues = afxdp::device::receive_queues(&link.name).map_err(failed)?;
                    if queues as usize > MAX_QUEUES {
                        return Err(PortError::Queues {
                            device: link.name.clone(),
                            queues,
                            most: MAX_QUEUES,
                        });
                    }
                    (None, queues)
                }
            };
            let vlans = make_vlans(handle, config, mode, &link, made).await?;
            let port = Attached {
                vlans,
                id: PortId(number as u16),
                unfilled_checksums: mode == AttachMode::Xdp && link.is_veth,
                // What crosses a wire must look to the far end as it is addressed, which a redirect
                // to the peer does not see to.
                peer_elsewhere: link.peer_elsewhere && config.system.mode != Mode::Wire,
                device: link.name.clone(),
                ifindex: link.ifindex,
                mode,
                pair,
                queues,
                _claim: claim,
            };
            let wire = config.system.mode == Mode::Wire;
            set_port(&mut programs, &port, wire)?;
            for (vlan, pair) in &port.vlans {
                programs.set_vlan(port.ifindex, *vlan, pair)?;
            }
            ports.push(port);
        }
        Ok(Self {
            ports,
            host,
            programs,
            marks: plan.marks,
            mtu_bytes,
        })
    }

    /// Attaches the programs at the private pairs. Needs the sockets to be in their map.
    pub fn attach_pairs(&mut self) -> Result<(), PortError> {
        for pair in self.ports.iter().filter_map(|port| port.pair.as_ref()) {
            self.programs
                .attach_xdp("xdp_private", &pair.inner, pair.inner_ifindex)?;
            self.programs.attach_own("tc_private", &pair.outer)?;
        }
        for (_, pair) in self.ports.iter().flat_map(|port| &port.vlans) {
            self.programs.attach_own("tc_vlan", &pair.outer)?;
        }
        self.programs
            .attach_xdp("xdp_private", &self.host.inner, self.host.inner_ifindex)?;
        self.programs.attach_own("tc_host", &self.host.outer)
    }

    /// Attaches to the ports themselves: from here on the datapath has every packet. What arrives
    /// comes first; what the appliance itself sends can wait.
    pub fn attach_ports(&mut self) -> Result<(), PortError> {
        for port in &self.ports {
            match port.mode {
                AttachMode::Tc => {
                    self.programs
                        .attach_tc("tc_port", &port.device, TcAttachType::Ingress)?;
                }
                AttachMode::Xdp => {
                    self.programs
                        .attach_xdp("xdp_port", &port.device, port.ifindex)?;
                }
            }
        }
        for port in &self.ports {
            self.programs
                .attach_tc("tc_egress", &port.device, TcAttachType::Egress)?;
        }
        Ok(())
    }

    pub fn counters(&mut self) -> Result<KernelCounters, PortError> {
        self.programs.counters()
    }

    /// Bytes of a frame that takes every port's packets.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        /// Ethernet with two tags.
        const LINK_BYTES: usize = 22;
        let packet = self.mtu_bytes as usize + LINK_BYTES;
        if packet <= Umem::packet_bytes(2_048) {
            2_048
        } else {
            4_096
        }
    }

    /// The port of an interface.
    #[must_use]
    pub fn port_of(&self, interface: &Interface) -> Option<&Attached> {
        self.ports
            .iter()
            .find(|port| port.device == interface.device)
    }

    /// Takes everything away: first the programs, so that nothing is punted to nowhere.
    pub async fn detach(self, handle: &Handle) {
        drop(self.programs);
        for port in &self.ports {
            for pair in port
                .pair
                .iter()
                .chain(port.vlans.iter().map(|(_, pair)| pair))
            {
                pair.remove(handle).await;
            }
        }
        self.host.remove(handle).await;
    }
}

/// The devices of the configuration, each once, in order. Every one that is missing is an error,
/// and so is one that is too large.
fn devices<'a>(
    config: &Config,
    links: &'a [KernelLink],
) -> Result<Vec<(Attach, KernelLink)>, PortError> {
    let mut devices: Vec<(Attach, KernelLink)> = Vec::new();
    for interface in &config.interfaces {
        if devices
            .iter()
            .any(|(_, link)| link.name == interface.device)
        {
            continue;
        }
        let Some(link) = links.iter().find(|link| link.name == interface.device) else {
            let known: Vec<_> = links
                .iter()
                .map(|link: &'a KernelLink| link.name.as_str())
                .filter(|name| !pair::is_private(name))
                .collect();
            return Err(PortError::NoDevice {
                interface: interface.name.clone(),
                device: interface.device.clone(),
                known: known.join(", "),
            });
        };
        if link.mtu_bytes > MAX_MTU_BYTES {
            return Err(PortError::Mtu {
                device: link.name.clone(),
                mtu_bytes: link.mtu_bytes,
                most: MAX_MTU_BYTES,
            });
        }
        devices.push((interface.attach, link.clone()));
    }
    // One number is the host pair's.
    if devices.len() >= MAX_PORTS {
        return Err(PortError::TooMany {
            count: devices.len(),
            most: MAX_PORTS - 1,
        });
    }
    Ok(devices)
}

/// The stand-ins for the VLANs of a port.
async fn make_vlans(
    handle: &Handle,
    config: &Config,
    mode: AttachMode,
    link: &KernelLink,
    made: &mut Vec<Pair>,
) -> Result<Vec<(u16, Pair)>, PortError> {
    let mut vlans = Vec::new();
    let of_port = config
        .interfaces
        .iter()
        .filter(|interface| interface.device == link.name);
    for vlan in of_port.filter_map(|interface| interface.vlan) {
        if mode == AttachMode::Xdp {
            let device = link.name.clone();
            return Err(PortError::VlanNeedsTc { device, vlan });
        }
        let pair = Pair::for_vlan(handle, link, vlan).await?;
        made.push(pair.clone());
        vlans.push((vlan, pair));
    }
    Ok(vlans)
}

/// `auto` is tc for virtual devices, whose packets should stay whole, and XDP for drivers known to
/// have it natively.
fn attach_mode(attach: Attach, link: &KernelLink) -> AttachMode {
    /// Drivers with native XDP and AF_XDP, from the kernel's `Documentation/networking/af_xdp.rst`
    /// and its sources.
    const NATIVE: [&str; 10] = [
        "i40e",
        "ice",
        "igb",
        "igc",
        "ixgbe",
        "mlx5_core",
        "ena",
        "gve",
        "iavf",
        "virtio_net",
    ];
    match attach {
        Attach::Tc => AttachMode::Tc,
        Attach::Xdp => AttachMode::Xdp,
        Attach::Auto => match afxdp::device::driver(&link.name) {
            Ok(driver) if NATIVE.contains(&driver.as_str()) => AttachMode::Xdp,
            _ => AttachMode::Tc,
        },
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
    let mut devices = vec![port.ifindex];
    if let Some(pair) = &port.pair {
        devices.extend([pair.outer_ifindex, pair.inner_ifindex]);
    }
    programs.set_port(port.id, &facts, &devices)
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

/// Addresses that the datapath must answer for: translated ones that the kernel does not have.
pub fn answered(config: &Config) -> Vec<ipnet::IpNet> {
    let own: Vec<IpAddr> = config
        .interfaces
        .iter()
        .flat_map(|interface| interface.addresses.iter().map(ipnet::IpNet::addr))
        .collect();
    let mut prefixes = Vec::new();
    for range in config.nat.translated_addresses() {
        let subnets: Vec<ipnet::IpNet> = match (range.first(), range.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => ipnet::Ipv4Subnets::new(first, last, 0)
                .map(Into::into)
                .collect(),
            (IpAddr::V6(first), IpAddr::V6(last)) => ipnet::Ipv6Subnets::new(first, last, 0)
                .map(Into::into)
                .collect(),
            _ => Vec::new(),
        };
        let single = |subnet: &ipnet::IpNet| subnet.prefix_len() == subnet.max_prefix_len();
        prefixes.extend(
            subnets
                .into_iter()
                .filter(|subnet| !(single(subnet) && own.contains(&subnet.addr()))),
        );
    }
    prefixes
}

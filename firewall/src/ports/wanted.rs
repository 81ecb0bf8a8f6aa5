//! What the configuration wants of a device, and whether the device will do.

use abi::MAX_QUEUES;
use afxdp::Umem;
use rtnetlink::Handle;

use super::{AttachMode, Claim, PortError, pair};
use crate::config::{Attach, Config, Device};
use crate::route::kernel::{self, KernelAddress, KernelLink};

/// A device that interfaces are on, by what they say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub device: Device,
    pub attach: Attach,
    pub vlans: Vec<u16>,
}

impl Wanted {
    /// Each device of the configuration once, in order.
    #[must_use]
    pub fn of(config: &Config) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for interface in &config.interfaces {
            let known = all.iter_mut().find(|it| it.device == interface.device);
            match known {
                Some(known) => known.vlans.extend(interface.vlan),
                None => all.push(Self {
                    device: interface.device.clone(),
                    attach: interface.attach,
                    vlans: interface.vlan.into_iter().collect(),
                }),
            }
        }
        all
    }

    /// Its link, as long as no other port has it.
    ///
    /// # Errors
    /// `NoDevice`, with the names of those that are there.
    pub fn find<'a>(&self, present: &'a Present) -> Result<&'a KernelLink, PortError> {
        let mut links = present.links.iter();
        let found = match &self.device {
            Device::Name(name) => links.find(|link| link.name == *name),
            Device::Mac(mac) => {
                links.find(|link| link.mac == *mac && !pair::is_private(&link.name))
            }
            Device::Network(network) => links.find(|link| {
                let mut addresses = present.addresses.iter();
                addresses.any(|known| {
                    known.ifindex == link.ifindex && network.contains(&known.address.addr())
                })
            }),
        };
        found.ok_or_else(|| {
            let names = present.links.iter().map(|link| link.name.as_str());
            let known: Vec<_> = names.filter(|name| !pair::is_private(name)).collect();
            PortError::NoDevice {
                device: match &self.device {
                    Device::Name(name) => name.clone(),
                    Device::Mac(mac) => format!("with the MAC {mac}"),
                    Device::Network(network) => format!("with an address in {network}"),
                },
                known: known.join(", "),
            }
        })
    }

    /// Whether a link that was found once still is the one.
    #[must_use]
    pub fn is_still(&self, link: &KernelLink) -> bool {
        match &self.device {
            Device::Name(name) => link.name == *name,
            Device::Mac(mac) => link.mac == *mac,
            // Its addresses may change.
            Device::Network(_) => true,
        }
    }
}

/// The devices that there are.
#[derive(Debug)]
pub struct Present {
    pub links: Vec<KernelLink>,
    addresses: Vec<KernelAddress>,
}

impl Present {
    pub async fn read(handle: &Handle) -> Result<Self, PortError> {
        Ok(Self {
            links: kernel::links(handle).await?,
            addresses: kernel::addresses(handle).await?,
        })
    }
}

/// A device that will do, claimed.
#[derive(Debug)]
pub struct Suitable {
    pub link: KernelLink,
    pub mode: AttachMode,
    /// Queues that will carry an AF_XDP socket.
    pub queues: u32,
    pub vlans: Vec<u16>,
    pub claim: Claim,
}

/// Largest packet a 4,096-byte frame takes without its Ethernet header and tag, and the largest
/// MTU under which a veth accepts an XDP program for linear packets.
const MAX_MTU_BYTES: u32 = 3_498;

impl Suitable {
    /// Whether a port can be made of a device; nothing is touched but its claim.
    pub fn examine(wanted: &Wanted, link: &KernelLink, workers: u32) -> Result<Self, PortError> {
        let device = || link.name.clone();
        if !link.is_ethernet {
            return Err(PortError::NotEthernet { device: device() });
        }
        if pair::is_private(&link.name) {
            return Err(PortError::Private { device: device() });
        }
        if link.mtu_bytes > MAX_MTU_BYTES {
            return Err(PortError::Mtu {
                device: device(),
                mtu_bytes: link.mtu_bytes,
                most: MAX_MTU_BYTES,
            });
        }
        let mode = attach_mode(wanted.attach, link);
        let queues = match mode {
            AttachMode::Tc => workers,
            AttachMode::Xdp => {
                if let Some(&vlan) = wanted.vlans.first() {
                    let device = device();
                    return Err(PortError::VlanNeedsTc { device, vlan });
                }
                let queues = afxdp::device::receive_queues(&link.name);
                queues.map_err(|source| PortError::Device {
                    device: device(),
                    source,
                })?
            }
        };
        if queues as usize > MAX_QUEUES {
            return Err(PortError::Queues {
                device: device(),
                queues,
                most: MAX_QUEUES,
            });
        }
        Ok(Self {
            link: link.clone(),
            mode,
            queues,
            vlans: wanted.vlans.clone(),
            claim: Claim::take(&link.name, link.ifindex)?,
        })
    }
}

/// Bytes of a frame that takes packets of such an MTU.
#[must_use]
pub(super) fn frame_bytes(mtu_bytes: u32) -> usize {
    if mtu_bytes <= most_mtu_bytes(2_048) {
        2_048
    } else {
        4_096
    }
}

/// The largest MTU whose packets fit a frame.
#[must_use]
pub(super) fn most_mtu_bytes(frame_bytes: usize) -> u32 {
    /// Ethernet with two tags.
    const LINK_BYTES: usize = 22;
    let packet = (Umem::packet_bytes(frame_bytes) - LINK_BYTES) as u32;
    packet.min(MAX_MTU_BYTES)
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

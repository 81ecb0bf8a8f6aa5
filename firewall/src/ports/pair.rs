//! Private veth pairs: the way between the kernel's path and userspace.

use rtnetlink::Handle;

use super::{PortError, PortId, Seat};
use crate::route::kernel::{self, KernelLink, NewVeth};

/// A pair that the datapath made. The outer end stands beside the port; the inner end carries
/// AF_XDP sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub outer: String,
    pub inner: String,
    pub outer_ifindex: u32,
    pub inner_ifindex: u32,
}

impl Pair {
    /// The pair of a port.
    pub async fn for_port(
        handle: &Handle,
        seat: &Seat,
        port: PortId,
        queues: u32,
        mtu_bytes: u32,
    ) -> Result<Self, PortError> {
        let outer = format!("palp{}.{}", seat.number, port.0);
        Self::make_private(handle, &outer, queues, mtu_bytes).await
    }

    /// The host pair.
    pub async fn for_host(
        handle: &Handle,
        seat: &Seat,
        queues: u32,
        mtu_bytes: u32,
    ) -> Result<Self, PortError> {
        let outer = format!("palh{}", seat.number);
        Self::make_private(handle, &outer, queues, mtu_bytes).await
    }

    /// The pair whose inner end stands in for a VLAN of `parent`: to the kernel it is the device
    /// `eth1.100`, with the parent's MAC.
    pub async fn for_vlan(
        handle: &Handle,
        seat: &Seat,
        port: PortId,
        parent: &KernelLink,
        vlan: u16,
    ) -> Result<Self, PortError> {
        const MOST: usize = 15;
        let outer = format!("palv{}.{}.{vlan}", seat.number, port.0);
        let inner = format!("{}.{vlan}", parent.name);
        let inner = if inner.len() <= MOST {
            inner
        } else {
            format!("{outer}i")
        };
        let new = NewVeth {
            outer: &outer,
            inner: &inner,
            queues: 1,
            mtu_bytes: parent.mtu_bytes,
            inner_mac: Some(parent.mac),
        };
        let pair = Self::make(handle, &new).await?;
        let ready = pair.set_up_vlan(handle).await;
        pair.or_removed(handle, ready).await
    }

    async fn make_private(
        handle: &Handle,
        outer: &str,
        queues: u32,
        mtu_bytes: u32,
    ) -> Result<Self, PortError> {
        let new = NewVeth {
            outer,
            inner: &format!("{outer}i"),
            queues,
            mtu_bytes,
            inner_mac: None,
        };
        let pair = Self::make(handle, &new).await?;
        let ready = pair.set_up(handle).await;
        pair.or_removed(handle, ready).await
    }

    async fn make(handle: &Handle, new: &NewVeth<'_>) -> Result<Self, PortError> {
        kernel::add_veth(handle, new).await.map_err(permitted)?;
        let links = kernel::links(handle).await?;
        let index = |name: &str| {
            links
                .iter()
                .find(|link| link.name == name)
                .map_or(0, |link| link.ifindex)
        };
        Ok(Self {
            outer_ifindex: index(new.outer),
            inner_ifindex: index(new.inner),
            outer: new.outer.into(),
            inner: new.inner.into(),
        })
    }

    /// Readies both ends of a private pair.
    async fn set_up(&self, handle: &Handle) -> Result<(), PortError> {
        // What the sockets at the inner end receive is complete; what leaves there may be large.
        afxdp::device::finish_packets(&self.outer).map_err(|source| PortError::Device {
            device: self.outer.clone(),
            source,
        })?;
        for ifindex in [self.outer_ifindex, self.inner_ifindex] {
            kernel::keep_ipv6_off(handle, ifindex).await?;
            kernel::set_up(handle, ifindex).await?;
        }
        Ok(())
    }

    /// Readies a pair that stands in for a VLAN.
    async fn set_up_vlan(&self, handle: &Handle) -> Result<(), PortError> {
        kernel::keep_ipv6_off(handle, self.outer_ifindex).await?;
        kernel::set_up(handle, self.outer_ifindex).await?;
        kernel::set_up(handle, self.inner_ifindex).await?;
        Ok(())
    }

    /// The pair, if it is ready; else it is removed.
    async fn or_removed(
        self,
        handle: &Handle,
        ready: Result<(), PortError>,
    ) -> Result<Self, PortError> {
        match ready {
            Ok(()) => Ok(self),
            Err(error) => {
                self.remove(handle).await;
                Err(error)
            }
        }
    }

    /// Removes both ends.
    pub async fn remove(&self, handle: &Handle) {
        if let Err(error) = kernel::remove_link(handle, self.outer_ifindex).await {
            tracing::warn!(%error, device = self.outer, "a private device stays behind");
        }
    }
}

/// Removes the pairs that earlier processes left: those of our own seat's number, and those of numbers
/// that nobody has now.
pub(super) async fn remove_leftovers(
    handle: &Handle,
    links: &[KernelLink],
    seat: &Seat,
) -> Result<(), PortError> {
    for link in links.iter().filter(|link| link.is_veth) {
        let Some(number) = seat_of(&link.name) else {
            continue;
        };
        let is_left = number == seat.number || Seat::at(number).is_some();
        if is_left {
            let device = &link.name;
            tracing::info!(device, "removing what an earlier process left behind");
            kernel::remove_link(handle, link.ifindex).await?;
        }
    }
    Ok(())
}

/// The seat in the name of a pair's outer end; `None` for any other device.
fn seat_of(name: &str) -> Option<u16> {
    let kinds = ["palp", "palh", "palv"];
    let rest = kinds.iter().find_map(|kind| name.strip_prefix(kind))?;
    let number = rest.split_once('.').map_or(rest, |(number, _)| number);
    if name.ends_with('i') {
        None
    } else {
        number.parse().ok()
    }
}

/// True for a device that some appliance made for itself.
#[must_use]
pub(crate) fn is_private(name: &str) -> bool {
    let rest = ["palp", "palh", "palv"]
        .iter()
        .find_map(|kind| name.strip_prefix(kind));
    rest.is_some_and(|rest| {
        let number = rest.strip_suffix('i').unwrap_or(rest);
        !number.is_empty()
            && number
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// `EPERM` says what is missing, not which netlink message failed.
pub(super) fn permitted(error: kernel::NetlinkError) -> PortError {
    const EPERM: i32 = 1;
    if error.errno() == Some(EPERM) {
        PortError::NotPermitted { call: error.what }
    } else {
        PortError::Netlink(error)
    }
}

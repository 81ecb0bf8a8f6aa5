//! Private veth pairs: the way between the kernel's path and userspace.

use rtnetlink::Handle;

use super::PortError;
use crate::route::kernel::{self, KernelLink};

/// A pair that the datapath made. The outer end stands beside the port; the inner end carries
/// AF_XDP sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub outer: String,
    pub inner: String,
    pub outer_ifindex: u32,
    pub inner_ifindex: u32,
}

/// What pairs are called, after the device they stand beside.
fn names(kind: char, ifindex: u32) -> (String, String) {
    (
        format!("pal{kind}{ifindex}"),
        format!("pal{kind}{ifindex}i"),
    )
}

impl Pair {
    /// The pair of the port on the device `ifindex`.
    pub async fn for_port(
        handle: &Handle,
        ifindex: u32,
        queues: u32,
        mtu_bytes: u32,
    ) -> Result<Self, PortError> {
        Self::make(handle, names('p', ifindex), queues, mtu_bytes).await
    }

    /// The host pair of the appliance whose first port is on the device `ifindex`.
    pub async fn for_host(
        handle: &Handle,
        ifindex: u32,
        queues: u32,
        mtu_bytes: u32,
    ) -> Result<Self, PortError> {
        Self::make(handle, names('h', ifindex), queues, mtu_bytes).await
    }

    async fn make(
        handle: &Handle,
        (outer, inner): (String, String),
        queues: u32,
        mtu_bytes: u32,
    ) -> Result<Self, PortError> {
        kernel::add_veth(handle, &outer, &inner, queues, mtu_bytes)
            .await
            .map_err(permitted)?;
        let links = kernel::links(handle).await?;
        let index = |name: &str| {
            links
                .iter()
                .find(|link| link.name == name)
                .map_or(0, |link| link.ifindex)
        };
        let pair = Self {
            outer_ifindex: index(&outer),
            inner_ifindex: index(&inner),
            outer,
            inner,
        };
        match pair.set_up(handle).await {
            Ok(()) => Ok(pair),
            Err(error) => {
                pair.remove(handle).await;
                Err(error)
            }
        }
    }

    async fn set_up(&self, handle: &Handle) -> Result<(), PortError> {
        for (device, ifindex) in [
            (&self.outer, self.outer_ifindex),
            (&self.inner, self.inner_ifindex),
        ] {
            let failed = |source| PortError::Device {
                device: device.clone(),
                source,
            };
            afxdp::device::finish_packets(device).map_err(failed)?;
            kernel::keep_ipv6_off(handle, ifindex).await?;
            kernel::set_up(handle, ifindex).await?;
        }
        Ok(())
    }

    /// Removes both ends.
    pub async fn remove(&self, handle: &Handle) {
        if let Err(error) = kernel::remove_link(handle, self.outer_ifindex).await {
            tracing::warn!(%error, device = self.outer, "a private device stays behind");
        }
    }
}

/// Removes the pairs that an earlier process left beside these devices. The claims on the devices
/// are held, so nobody uses them.
pub(super) async fn remove_leftovers(
    handle: &Handle,
    links: &[KernelLink],
    ifindexes: &[u32],
) -> Result<(), PortError> {
    for ifindex in ifindexes {
        for kind in ['p', 'h'] {
            let (outer, _) = names(kind, *ifindex);
            if let Some(link) = links.iter().find(|link| link.name == outer && link.is_veth) {
                tracing::info!(
                    device = outer,
                    "removing what an earlier process left behind"
                );
                kernel::remove_link(handle, link.ifindex).await?;
            }
        }
    }
    Ok(())
}

/// True for a device that some appliance made for itself.
#[must_use]
pub(super) fn is_private(name: &str) -> bool {
    let digits = name
        .strip_prefix("palp")
        .or_else(|| name.strip_prefix("palh"));
    digits.is_some_and(|rest| {
        let number = rest.strip_suffix('i').unwrap_or(rest);
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
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

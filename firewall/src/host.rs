//! What the configuration asks of the namespace's own network stack: addresses and routes.
//!
//! # Limits
//! While an interface waits for its device, a route that the kernel refuses is taken to lead through it,
//! and is set when the device comes.

use ipnet::IpNet;
use rtnetlink::Handle;

use crate::appliance::BootError;
use crate::config::{Config, Interface};
use crate::ports::Ports;
use crate::route::kernel::{self, KernelAddress, KernelRoute, NetlinkError, RouteOrigin};

/// What was set, so that it can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    addresses: Vec<(u32, IpNet)>,
    routes: Vec<KernelRoute>,
}

impl Applied {
    /// Makes the kernel's addresses and routes those of `config`: devices up, own addresses and
    /// routes added, those of an earlier configuration (or an earlier process) removed from the
    /// ports. What others have set is left alone, and so are the devices of another appliance in
    /// the same namespace. What is for an interface without a device is left out.
    pub(crate) async fn apply(
        &mut self,
        handle: &Handle,
        config: &Config,
        ports: &Ports,
    ) -> Result<(), BootError> {
        let wanted: Vec<_> = config
            .interfaces
            .iter()
            .filter_map(|interface| Some((interface, ifindex_of(interface, ports)?)))
            .flat_map(|(interface, ifindex)| {
                interface
                    .addresses
                    .iter()
                    .map(move |address| (interface, ifindex, *address))
            })
            .collect();
        keep_secondary_addresses(ports);
        for known in kernel::addresses(handle).await? {
            let is_wanted =
                |(_, ifindex, address): &(_, u32, IpNet)| is_same(&known, *ifindex, *address);
            if known.own && is_port(ports, known.ifindex) && !wanted.iter().any(is_wanted) {
                kernel::remove_address(handle, known.ifindex, known.address).await?;
            }
        }
        // Read after the removal, with which the kernel may have taken more than was asked for.
        let present = kernel::addresses(handle).await?;
        for interface in &config.interfaces {
            if let Some(ifindex) = ifindex_of(interface, ports) {
                let failed = |source| BootError::Interface {
                    interface: interface.name.clone(),
                    source,
                };
                kernel::set_up(handle, ifindex).await.map_err(failed)?;
            }
        }
        self.addresses.clear();
        for (interface, ifindex, address) in wanted {
            let known = present
                .iter()
                .find(|known| is_same(known, ifindex, address));
            if known.is_none_or(|known| known.own) {
                self.addresses.push((ifindex, address));
            }
            if known.is_none() {
                let failed = |source| BootError::Interface {
                    interface: interface.name.clone(),
                    source,
                };
                kernel::add_address(handle, ifindex, address)
                    .await
                    .map_err(failed)?;
            }
        }
        self.apply_routes(handle, config, ports).await
    }

    async fn apply_routes(
        &mut self,
        handle: &Handle,
        config: &Config,
        ports: &Ports,
    ) -> Result<(), BootError> {
        let is_wanted = |route: &KernelRoute| {
            let mut wanted = config.routes.iter();
            wanted.any(|wanted| wanted.to.trunc() == route.to)
        };
        for route in kernel::routes(handle).await? {
            let is_own = route.origin == RouteOrigin::Own
                && (self.routes.contains(&route) || leads_over_port(&route, ports));
            if is_own && !is_wanted(&route) {
                kernel::remove_route(handle, &route).await?;
            }
        }
        let mut interfaces = config.interfaces.iter();
        let some_wait = interfaces.any(|it| ports.port_of(it).is_none());
        for route in &config.routes {
            let interface = route.interface.and_then(|at| config.interfaces.get(at));
            let ifindex = interface.map(|interface| ifindex_of(interface, ports));
            // Its interface waits.
            if ifindex == Some(None) {
                continue;
            }
            let to = route.to.trunc();
            let added = kernel::add_route(handle, to, route.via, ifindex.flatten()).await;
            match added {
                Err(error) if some_wait && has_no_way(&error) => {
                    tracing::info!(%to, %error, "a route waits for its interface");
                }
                added => added.map_err(|source| BootError::Route {
                    route: route.to.to_string(),
                    source,
                })?,
            }
        }
        self.routes = kernel::routes(handle)
            .await?
            .into_iter()
            .filter(|route| {
                route.origin == RouteOrigin::Own
                    && (is_wanted(route) || leads_over_port(route, ports))
            })
            .collect();
        Ok(())
    }

    /// Takes back what was set. What is gone already is no matter.
    pub(crate) async fn undo(&self, handle: &Handle) {
        for route in &self.routes {
            let _ = kernel::remove_route(handle, route).await;
        }
        for (ifindex, address) in &self.addresses {
            let _ = kernel::remove_address(handle, *ifindex, *address).await;
        }
    }

    /// Takes back what was set on one port's devices, before it is taken away.
    pub(crate) async fn withdraw(&mut self, handle: &Handle, has: impl Fn(u32) -> bool) {
        let leads_there = |route: &mut KernelRoute| route.hops.iter().any(|hop| has(hop.0));
        for route in self.routes.extract_if(.., leads_there) {
            let _ = kernel::remove_route(handle, &route).await;
        }
        for (ifindex, address) in self.addresses.extract_if(.., |(ifindex, _)| has(*ifindex)) {
            let _ = kernel::remove_address(handle, ifindex, address).await;
        }
    }
}

/// The kernel's device for an interface.
fn ifindex_of(interface: &Interface, ports: &Ports) -> Option<u32> {
    let port = ports.port_of(interface)?;
    Some(port.ifindex_of(interface.vlan))
}

/// True for a port's device, or one that stands in for a VLAN of it.
fn is_port(ports: &Ports, ifindex: u32) -> bool {
    ports.iter().any(|port| port.has(ifindex))
}

fn leads_over_port(route: &KernelRoute, ports: &Ports) -> bool {
    let mut hops = route.hops.iter();
    hops.any(|(ifindex, _)| is_port(ports, *ifindex))
}

/// The next hop is on no network of the appliance's.
fn has_no_way(error: &NetlinkError) -> bool {
    const ENETUNREACH: i32 = 101;
    const EHOSTUNREACH: i32 = 113;
    matches!(error.errno(), Some(ENETUNREACH | EHOSTUNREACH))
}

/// Without this the kernel removes every other address of a subnet together with the first,
/// whoever has set it.
fn keep_secondary_addresses(ports: &Ports) {
    for port in ports.iter() {
        let path = format!(
            "/proc/sys/net/ipv4/conf/{}/promote_secondaries",
            port.device
        );
        if let Err(error) = std::fs::write(&path, "1") {
            tracing::debug!(path, %error, "a removed address may take others of its subnet along");
        }
    }
}

fn is_same(known: &KernelAddress, ifindex: u32, address: IpNet) -> bool {
    known.ifindex == ifindex && known.address == address
}

/// The datapath forwards; the kernel must not, or a stopped appliance would be an open door. It
/// stays off when the appliance ends.
pub(crate) fn stop_kernel_forwarding() {
    for path in [
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/ipv6/conf/all/forwarding",
    ] {
        switch_off(path);
    }
}

/// A device that comes later begins by the namespace's defaults, which others may have changed since.
/// A host, which is what the kernel is then to IPv6, would also take its routes from whoever advertises some.
pub(crate) fn stop_kernel_forwarding_at(device: &str) {
    for setting in [
        "ipv4/conf/DEVICE/forwarding",
        "ipv6/conf/DEVICE/forwarding",
        "ipv6/conf/DEVICE/accept_ra",
    ] {
        let path = format!("/proc/sys/net/{}", setting.replace("DEVICE", device));
        // A device without IPv6 has none of its settings.
        if std::fs::exists(&path).unwrap_or(true) {
            switch_off(&path);
        }
    }
}

/// Where these files can't be written, as in a container, IPv4's forwarding is off by netlink
/// ([`crate::route::DeviceSettings`]), and advertisements are dropped at the port.
fn switch_off(path: &str) {
    let is_off = std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "0");
    if is_off {
        return;
    }
    match std::fs::write(path, "0") {
        Err(error) if path.contains("ipv6") && path.ends_with("forwarding") => {
            tracing::warn!(path, %error, "the kernel's own forwarding stays on: without palisade it would forward unfiltered");
        }
        Err(error) => tracing::debug!(path, %error, "a setting of the kernel stays"),
        Ok(()) => {}
    }
}

//! What the configuration asks of the namespace's own network stack: addresses and routes.

use ipnet::IpNet;
use rtnetlink::Handle;

use crate::appliance::BootError;
use crate::config::{Config, Interface};
use crate::ports::Ports;
use crate::route::kernel::{self, KernelAddress, KernelRoute, RouteOrigin};

/// What was set, so that it can be taken back.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    addresses: Vec<(u32, IpNet)>,
    routes: Vec<KernelRoute>,
}

impl Applied {
    /// Makes the kernel's addresses and routes those of `config`: devices up, own addresses and
    /// routes added, those of an earlier configuration (or an earlier process) removed. What others
    /// have set is left alone.
    pub(crate) async fn apply(
        &mut self,
        handle: &Handle,
        config: &Config,
        ports: &Ports,
    ) -> Result<(), BootError> {
        let present = kernel::addresses(handle).await?;
        let wanted: Vec<_> = config
            .interfaces
            .iter()
            .filter_map(|interface| Some((interface, ifindex_of(interface, ports)?)))
            .flat_map(|(interface, ifindex)| {
                let addresses = interface.addresses.iter();
                addresses.map(move |address| (interface, ifindex, *address))
            })
            .collect();
        // Another appliance of this namespace has addresses of its own on its own devices.
        let ours: Vec<_> = ports.ports.iter().map(|port| port.ifindex).collect();
        for known in present
            .iter()
            .filter(|known| known.own && ours.contains(&known.ifindex))
        {
            let still = |(_, ifindex, address): &_| is_same(known, *ifindex, *address);
            if !wanted.iter().any(still) {
                kernel::remove_address(handle, known.ifindex, known.address).await?;
            }
        }
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
        let present = kernel::routes(handle).await?;
        let devices: Vec<_> = config
            .interfaces
            .iter()
            .filter_map(|interface| ifindex_of(interface, ports))
            .collect();
        let is_ours = |route: &&KernelRoute| {
            let leads_here = route
                .hops
                .iter()
                .any(|(device, _)| devices.contains(device));
            route.origin == RouteOrigin::Own && leads_here
        };
        for route in present.iter().filter(is_ours) {
            if !config
                .routes
                .iter()
                .any(|wanted| wanted.to.trunc() == route.to)
            {
                kernel::remove_route(handle, route).await?;
            }
        }
        for route in &config.routes {
            let interface = route
                .interface
                .and_then(|index| config.interfaces.get(index));
            let ifindex = interface.and_then(|interface| ifindex_of(interface, ports));
            kernel::add_route(handle, route.to.trunc(), route.via, ifindex)
                .await
                .map_err(|source| BootError::Route {
                    route: route.to.to_string(),
                    source,
                })?;
        }
        let present = kernel::routes(handle).await?;
        self.routes = present
            .into_iter()
            .filter(|route| is_ours(&route))
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
}

/// The kernel's device for an interface.
fn ifindex_of(interface: &Interface, ports: &Ports) -> Option<u32> {
    ports
        .port_of(interface)
        .map(|port| port.ifindex_of(interface.vlan))
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
        let is_off = std::fs::read_to_string(path).is_ok_and(|value| value.trim() == "0");
        if !is_off && let Err(error) = std::fs::write(path, "0") {
            tracing::warn!(path, %error, "the kernel's own forwarding stays on: without palisade it would forward unfiltered");
        }
    }
}

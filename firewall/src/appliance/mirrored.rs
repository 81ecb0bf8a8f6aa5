//! Which interfaces the mirror shows, and by which devices.

use super::places::Places;
use crate::config::Interface;
use crate::counters::InterfaceId;
use crate::ports::{PortId, Ports};
use crate::route::mirror::Mirrored;

/// By `InterfaceId`: which devices interfaces have, but for those on some ports.
pub(super) fn mirrored(places: &Places, ports: &Ports, going: &[PortId]) -> Vec<Option<Mirrored>> {
    let all = places.interfaces();
    let most = all.iter().map(|(id, _)| id.index() + 1).max();
    let mut mirrored = vec![None; most.unwrap_or(0)];
    for (id, interface) in all {
        let port = ports.port_of(interface);
        let Some(port) = port.filter(|port| !going.contains(&port.id)) else {
            continue;
        };
        let of_vlan = |(vlan, _): &(u16, _)| Some(*vlan) == interface.vlan;
        if interface.vlan.is_some() && !port.vlans.iter().any(of_vlan) {
            continue;
        }
        mirrored[id.index()] = Some(Mirrored {
            ifindex: port.ifindex_of(interface.vlan),
            port_ifindex: port.ifindex,
            port: u32::from(port.id.0),
            vlan: interface.vlan.unwrap_or(0),
            egress: port.egress(),
            across: ports.is_wire.then(|| across(all, *id)).flatten(),
        });
    }
    mirrored
}

/// The other end of a wire, which has two.
fn across(all: &[(InterfaceId, Interface)], id: InterfaceId) -> Option<InterfaceId> {
    let mut others = all.iter().map(|(other, _)| *other);
    others.rfind(|other| *other != id)
}

//! Interfaces, and the one zone that each is in.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use rules::{Findings, Located, Names, Place, ZoneId, check_name, suggest};

use super::device::Device;
use super::document::{self, Attach, Document, Mode};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    pub device: Device,
    /// 1 to 4094.
    pub vlan: Option<u16>,
    pub attach: Attach,
    /// The address with the prefix of its network: host bits are kept.
    pub addresses: Vec<IpNet>,
    pub zone: ZoneId,
}

pub(super) fn compile(
    document: &Document,
    names: &Names,
    findings: &mut Findings,
) -> Vec<Interface> {
    let zones = zones_of_interfaces(document, names, findings);
    let wire = document.system.mode.value == Mode::Wire;
    if wire && document.interfaces.len() != 2 && findings.damaged("interfaces").next().is_none() {
        findings.error(
            document.system.mode.place,
            format!(
                "wire mode joins exactly two interfaces; there are {}",
                document.interfaces.len()
            ),
        );
    }
    let mut seen = Seen::default();
    let mut compiled = Vec::with_capacity(document.interfaces.len());
    for (name, interface) in &document.interfaces {
        check_name(name, "an interface", &["any", "host"], findings);
        let device = check_device(name, interface, &mut seen, findings);
        if let Some(vlan) = interface
            .vlan
            .filter(|vlan| !(1..=4094).contains(&vlan.value))
        {
            findings.error(
                vlan.place,
                format!("{} is no VLAN: from 1 to 4094", vlan.value),
            );
        }
        if let Some(vlan) = interface.vlan
            && interface.attach == Attach::Xdp
        {
            findings.error(
                vlan.place,
                "a VLAN needs attach tc: xdp does not see every tag",
            );
        }
        if let Some(vlan) = interface.vlan.filter(|_| wire) {
            findings.error(
                vlan.place,
                "a wire passes every VLAN: an interface has none of its own",
            );
        }
        let mut addresses = Vec::new();
        for text in &interface.addresses {
            if wire {
                findings.error(text.place, "an interface has no addresses in wire mode");
            } else if let Some(address) = parse_address(text, findings) {
                check_unique(text, address, &mut seen, findings);
                addresses.push(address);
            }
        }
        compiled.push(Interface {
            name: name.value.clone(),
            device,
            vlan: interface.vlan.map(|vlan| vlan.value),
            attach: interface.attach,
            addresses,
            zone: zone_of(name, &zones, findings),
        });
    }
    compiled
}

/// What an earlier interface already has, and where it said so.
#[derive(Default)]
struct Seen<'a> {
    devices: HashMap<(Device, Option<u16>), &'a str>,
    addresses: HashMap<IpAddr, Place>,
}

fn zones_of_interfaces<'a>(
    document: &'a Document,
    names: &Names,
    findings: &mut Findings,
) -> HashMap<&'a str, (&'a str, ZoneId)> {
    let mut zones: HashMap<&str, (&str, ZoneId)> = HashMap::new();
    for (zone, content) in &document.zones {
        let id = names.zone(&zone.value).unwrap_or(ZoneId::HOST);
        for interface in &content.interfaces {
            let known = document.interfaces.get(&interface.value).is_some();
            if !known && !findings.is_damaged("interfaces", &interface.value) {
                let candidates = document
                    .interfaces
                    .iter()
                    .map(|(name, _)| name.value.as_str());
                let suggestion = suggest(&interface.value, candidates);
                let message = format!("no interface is named '{}'", interface.value);
                findings.error_with_suggestion(interface.place, message, suggestion);
            } else if let Some((other, _)) = zones.insert(&interface.value, (&zone.value, id)) {
                findings.error(
                    interface.place,
                    format!(
                        "interface '{}' is already in zone '{other}': it can be in one only",
                        interface.value
                    ),
                );
            }
        }
    }
    zones
}

fn zone_of(
    name: &Located<String>,
    zones: &HashMap<&str, (&str, ZoneId)>,
    findings: &mut Findings,
) -> ZoneId {
    let found = zones.get(name.value.as_str()).map(|(_, zone)| *zone);
    // A zone that could not be read in full may well have it.
    if found.is_none() && findings.damaged("zones").next().is_none() {
        findings.error(
            name.place,
            format!(
                "interface '{}' is in no zone: nothing could ever pass it",
                name.value
            ),
        );
    }
    found.unwrap_or(ZoneId::HOST)
}

fn check_device<'a>(
    name: &'a Located<String>,
    interface: &'a document::Interface,
    seen: &mut Seen<'a>,
    findings: &mut Findings,
) -> Device {
    let text = &interface.device;
    let device = match Device::parse(&text.value) {
        Ok(device) => device,
        Err(problem) => {
            findings.error(text.place, problem);
            // What follows from it need not be said.
            return Device::Name(text.value.clone());
        }
    };
    let vlan = interface.vlan.map(|vlan| vlan.value);
    if let Some(other) = seen.devices.insert((device.clone(), vlan), &name.value) {
        let vlan = vlan
            .map(|vlan| format!(" with VLAN {vlan}"))
            .unwrap_or_default();
        findings.error(
            text.place,
            format!("device '{device}'{vlan} is already interface '{other}'"),
        );
    }
    device
}

fn parse_address(text: &Located<String>, findings: &mut Findings) -> Option<IpNet> {
    let problem = match text.value.parse::<IpNet>() {
        Ok(net) => match unusable(net) {
            None => return Some(net),
            Some(problem) => format!("{net} cannot be an interface's address: {problem}"),
        },
        Err(_) if text.value.parse::<IpAddr>().is_ok() => {
            format!("'{}' has no prefix length, as in 192.0.2.1/24", text.value)
        }
        Err(_) => format!(
            "'{}' is no address with a prefix length, as in 192.0.2.1/24",
            text.value
        ),
    };
    findings.error(text.place, problem);
    None
}

fn unusable(net: IpNet) -> Option<&'static str> {
    let address = net.addr();
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return Some("it is no unicast address of a network");
    }
    match net {
        // RFC 3021: a /31 has neither a network nor a broadcast address; nor has a /32.
        IpNet::V4(net) if net.prefix_len() < 31 && net.addr() == net.network() => {
            Some("it is the address of the network itself")
        }
        IpNet::V4(net) if net.prefix_len() < 31 && net.addr() == net.broadcast() => {
            Some("it is the broadcast address of its network")
        }
        IpNet::V4(_) | IpNet::V6(_) => None,
    }
}

fn check_unique(
    text: &Located<String>,
    address: IpNet,
    seen: &mut Seen<'_>,
    findings: &mut Findings,
) {
    if let Some(first) = seen.addresses.insert(address.addr(), text.place) {
        findings.error(
            text.place,
            format!(
                "the address {} is used twice; first in line {}",
                address.addr(),
                first.line
            ),
        );
    }
}

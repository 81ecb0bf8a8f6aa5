//! From a request to a packet that could be: what can't is refused, and the member named.

use std::net::IpAddr;

use packet::{Family, IcmpRole, icmp_role};
use rules::{IcmpType, Protocol, Tuple, ZoneId};

use super::carried::Carried;
use crate::counters::InterfaceId;
use crate::datapath::Generation;
use crate::route::Fib;
use crate::view::{MatchRequest, WhichConfiguration};

/// RFC 6335 6: the first of the dynamic ports, which clients send from.
const CLIENT_PORT: u16 = 49_152;

/// A member of a request that can't be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{member}: {problem}")]
pub struct MatchError {
    pub member: &'static str,
    pub problem: String,
}

/// A packet that could arrive, and what its session would carry.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) interface: InterfaceId,
    pub(super) zone: ZoneId,
    /// Where it is thought to go.
    pub(super) to: Option<ZoneId>,
    pub(super) tuple: Tuple,
    pub(super) icmp: Option<IcmpType>,
    /// What an ICMP message is for.
    pub(super) role: Option<IcmpRole>,
    pub(super) carried: Option<Carried>,
    pub(super) configuration: WhichConfiguration,
}

impl Asked {
    pub(super) fn of(
        request: &MatchRequest,
        generation: &Generation,
        fib: &Fib,
    ) -> Result<Self, MatchError> {
        if request.source.is_ipv4() != request.destination.is_ipv4() {
            return refuse(
                "destination",
                format!(
                    "{} is of another family than the source",
                    request.destination
                ),
            );
        }
        let (interface, zone) = ingress(request, generation, fib)?;
        let to = request.to.as_deref();
        let protocol = protocol(request)?;
        let icmp = icmp(request, protocol)?;
        Ok(Self {
            interface,
            zone,
            to: to
                .map(|name| zone_named(name, "to", generation))
                .transpose()?,
            tuple: tuple(request, protocol)?,
            icmp,
            role: icmp.map(|icmp| icmp_role(family(request.source), icmp.kind)),
            carried: Carried::of(request, protocol, &generation.config.services)?,
            configuration: request.configuration,
        })
    }
}

pub(super) fn refuse<T>(member: &'static str, problem: impl Into<String>) -> Result<T, MatchError> {
    Err(MatchError {
        member,
        problem: problem.into(),
    })
}

fn ingress(
    request: &MatchRequest,
    generation: &Generation,
    fib: &Fib,
) -> Result<(InterfaceId, ZoneId), MatchError> {
    let interfaces = || generation.interfaces();
    match (&request.from, &request.ingress) {
        (Some(_), Some(_)) => refuse("ingress", "say either from or ingress, not both"),
        (None, None) => refuse("from", "say where it comes from: from, or ingress"),
        (None, Some(name)) => {
            let found = interfaces().find(|(_, interface)| interface.name == *name);
            match found {
                Some((id, interface)) => Ok((id, interface.zone)),
                None => refuse("ingress", format!("there is no interface '{name}'")),
            }
        }
        (Some(name), None) => {
            let zone = zone_named(name, "from", generation)?;
            if zone == ZoneId::HOST {
                return Ok((InterfaceId::HOST, zone));
            }
            let own = interfaces().filter(|(_, interface)| interface.zone == zone);
            let ids: Vec<InterfaceId> = own.map(|(id, _)| id).collect();
            let leads_back = |id: &InterfaceId| fib.leads_back(request.source, *id);
            let by = ids.iter().copied().find(leads_back);
            match by.or(ids.first().copied()) {
                Some(id) => Ok((id, zone)),
                None => refuse("from", format!("zone '{name}' has no interface")),
            }
        }
    }
}

fn zone_named(
    name: &str,
    member: &'static str,
    generation: &Generation,
) -> Result<ZoneId, MatchError> {
    if name == "host" {
        return Ok(ZoneId::HOST);
    }
    let zones = generation.config.rules.zones();
    let found = (1..).zip(zones).find(|(_, zone)| zone.name == name);
    match found {
        Some((number, _)) => Ok(ZoneId(number)),
        None => refuse(member, format!("there is no zone '{name}'")),
    }
}

fn protocol(request: &MatchRequest) -> Result<Protocol, MatchError> {
    let protocol = crate::control::parse_protocol(&request.protocol);
    let protocol = protocol.map_err(|error| MatchError {
        member: "protocol",
        problem: error.problem,
    })?;
    match (protocol, request.source.is_ipv4()) {
        (Protocol::ICMP, false) => refuse("protocol", "in IPv6 it is icmpv6"),
        (Protocol::ICMPV6, true) => refuse("protocol", "in IPv4 it is icmp"),
        _ => Ok(protocol),
    }
}

fn tuple(request: &MatchRequest, protocol: Protocol) -> Result<Tuple, MatchError> {
    let has_ports = matches!(protocol, Protocol::TCP | Protocol::UDP);
    let given = [
        ("source-port", request.source_port),
        ("destination-port", request.destination_port),
    ];
    if let Some((member, _)) = given
        .into_iter()
        .find(|(_, port)| port.is_some() && !has_ports)
    {
        return refuse(member, format!("{protocol} has no ports here"));
    }
    if let Some((member, _)) = given.into_iter().find(|(_, port)| *port == Some(0)) {
        return refuse(member, "0 is no port");
    }
    if has_ports && request.destination_port.is_none() {
        return refuse("destination-port", format!("{protocol} needs one"));
    }
    let source_port = request.source_port.unwrap_or(CLIENT_PORT);
    Ok(Tuple {
        source: request.source,
        destination: request.destination,
        protocol,
        source_port: if has_ports { source_port } else { 0 },
        destination_port: request.destination_port.unwrap_or(0),
    })
}

fn icmp(request: &MatchRequest, protocol: Protocol) -> Result<Option<IcmpType>, MatchError> {
    let echo_request = match protocol {
        Protocol::ICMP => 8,
        Protocol::ICMPV6 => 128,
        _ if request.icmp_type.is_some() => {
            return refuse("icmp-type", format!("{protocol} has no types"));
        }
        _ if request.icmp_code.is_some() => {
            return refuse("icmp-code", format!("{protocol} has no codes"));
        }
        _ => return Ok(None),
    };
    Ok(Some(IcmpType {
        kind: request.icmp_type.unwrap_or(echo_request),
        code: request.icmp_code.unwrap_or(0),
    }))
}

fn family(address: IpAddr) -> Family {
    if address.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    }
}

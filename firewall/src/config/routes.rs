//! Static routes.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use rules::{Findings, Located, suggest};

use super::document::{Document, Mode, Route};
use super::interfaces::Interface;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StaticRoute {
    pub to: IpNet,
    pub via: Option<IpAddr>,
    /// Position in `Config::interfaces`.
    pub interface: Option<usize>,
}

pub(super) fn compile(
    document: &Document,
    interfaces: &[Interface],
    findings: &mut Findings,
) -> Vec<StaticRoute> {
    let mut seen = HashMap::new();
    let mut compiled = Vec::with_capacity(document.routes.len());
    for route in &document.routes {
        if document.system.mode.value == Mode::Wire {
            findings.error(
                route.place,
                "nothing is routed in wire mode: routes need mode routing",
            );
            continue;
        }
        let Some(one) = compile_one(route, interfaces, findings) else {
            continue;
        };
        if let Some(first) = seen.insert(one.to.trunc(), route.place) {
            findings.error(
                route.place,
                format!(
                    "a route to {} is here twice; first in line {}",
                    one.to, first.line
                ),
            );
        }
        compiled.push(one);
    }
    compiled
}

fn compile_one(
    route: &Located<Route>,
    interfaces: &[Interface],
    findings: &mut Findings,
) -> Option<StaticRoute> {
    let Located {
        value: route,
        place,
    } = route;
    let to = prefix(&route.to, findings);
    let via = route
        .via
        .as_ref()
        .map(|via| gateway(via, to, interfaces, findings));
    let interface = route
        .interface
        .as_ref()
        .map(|name| position(name, interfaces, findings));
    if via.is_none() && interface.is_none() && !findings.is_damaged_at(*place) {
        findings.error(
            *place,
            "a route needs a next hop: via, or interface, or both",
        );
    }
    // A part that is there and wrong was reported.
    Some(StaticRoute {
        to: to?,
        via: transposed(via)?,
        interface: transposed(interface)?,
    })
}

fn transposed<T>(part: Option<Option<T>>) -> Option<Option<T>> {
    match part {
        None => Some(None),
        Some(None) => None,
        Some(value) => Some(value),
    }
}

fn prefix(text: &Located<String>, findings: &mut Findings) -> Option<IpNet> {
    match text.value.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Some(net),
        Ok(net) => {
            let suggestion = Some(net.trunc().to_string());
            findings.error_with_suggestion(
                text.place,
                format!("the prefix {net} has host bits set"),
                suggestion,
            );
            None
        }
        Err(_) => {
            findings.error(
                text.place,
                format!("'{}' is no prefix, as in 192.0.2.0/24", text.value),
            );
            None
        }
    }
}

fn gateway(
    text: &Located<String>,
    to: Option<IpNet>,
    interfaces: &[Interface],
    findings: &mut Findings,
) -> Option<IpAddr> {
    let Ok(via) = text.value.parse::<IpAddr>() else {
        findings.error(text.place, format!("'{}' is no address", text.value));
        return None;
    };
    let own = interfaces.iter().any(|interface| {
        interface
            .addresses
            .iter()
            .any(|address| address.addr() == via)
    });
    if via.is_unspecified() || via.is_multicast() || via.is_loopback() {
        findings.error(text.place, format!("{via} cannot be a next hop"));
    } else if own {
        findings.error(
            text.place,
            format!("{via} is the appliance's own address: it cannot be a next hop"),
        );
    } else if to.is_some_and(|to| to.addr().is_ipv4() != via.is_ipv4()) {
        findings.error(
            text.place,
            format!("the next hop {via} is of another address family than the route"),
        );
    }
    Some(via)
}

fn position(
    name: &Located<String>,
    interfaces: &[Interface],
    findings: &mut Findings,
) -> Option<usize> {
    let found = interfaces
        .iter()
        .position(|interface| interface.name == name.value);
    if found.is_none() && !findings.is_damaged("interfaces", &name.value) {
        let suggestion = suggest(
            &name.value,
            interfaces.iter().map(|interface| interface.name.as_str()),
        );
        findings.error_with_suggestion(
            name.place,
            format!("no interface is named '{}'", name.value),
            suggestion,
        );
    }
    found
}

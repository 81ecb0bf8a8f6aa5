//! What a configuration's policies decide about a session of a capture.
//!
//! # Limits
//! There is no network, so nobody knows by which interface a packet came: an address is behind the interface whose prefix, or a static
//! route's, holds it most closely. Where that gives no zones, nothing is said. Nothing is translated, and what names, feeds and
//! schedules stand for is unknown.

use std::iter;
use std::net::IpAddr;

use firewall::config::{Config, InspectionProfile};
use firewall::content::Facts;
use inspection::Endpoints;
use inspection::capture::Report;
use inspection::filter::Question as Asked;
use rules::{Action, Content, Protocol, Question, Tuple, ZoneId};

#[derive(Debug)]
pub(super) struct Decided<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    /// `None` is the default.
    pub(super) policy: Option<&'a str>,
    /// By which its sessions are inspected, if they are.
    pub(super) profile: Option<&'a InspectionProfile>,
    pub(super) action: Action,
}

pub(super) fn of<'a>(
    config: &'a Config,
    endpoints: &Endpoints,
    content: &Content,
) -> Option<Decided<'a>> {
    let from = zone(config, endpoints.initiator.ip())?;
    let to = zone(config, endpoints.responder.ip())?;
    let question = Question {
        from,
        to,
        tuple: Tuple {
            source: endpoints.initiator.ip(),
            destination: endpoints.responder.ip(),
            protocol: Protocol(endpoints.ip_protocol),
            source_port: endpoints.initiator.port(),
            destination_port: endpoints.responder.port(),
        },
        icmp: None,
    };
    let decision = config.rules.decide_knowing(&question, content);
    Some(Decided {
        from: &config.rules.zone(from).name,
        to: &config.rules.zone(to).name,
        policy: decision
            .policy
            .map(|policy| config.rules.policy(policy).name.as_str()),
        profile: decision
            .policy
            .filter(|_| decision.action == Action::Permit)
            .and_then(|policy| config.inspection.of(policy)),
        action: decision.action,
    })
}

/// By each of its requests: what is not permitted ends it, whatever else is.
pub(super) fn of_session<'a>(config: &'a Config, report: &Report) -> Option<Decided<'a>> {
    let known = known(report);
    let requests = report.asked.iter().filter_map(|asked| match asked {
        Asked::Request(request) => Some(known.asking(request)),
        Asked::ServerName(_) | Asked::Unnamed | Asked::Query(_) | Asked::Answer { .. } => None,
    });
    let mut first = None;
    for facts in iter::once(known.clone()).chain(requests) {
        let decided = of(config, &report.endpoints, &content(report, &facts))?;
        if decided.action != Action::Permit {
            return Some(decided);
        }
        first.get_or_insert(decided);
    }
    first
}

/// What is known of a session when it is over.
fn content(report: &Report, facts: &Facts) -> Content {
    let mut content = firewall::content::of(&report.identity, facts);
    content.close();
    content
}

/// With the first request, if there is one.
fn known(report: &Report) -> Facts {
    let noted = |name: &str| {
        let mut attributes = report.attributes.iter();
        let found = attributes.find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    };
    let version = match noted("tls_version") {
        Some("SSL 3.0") => Some(0x0300),
        Some("TLS 1.0") => Some(0x0301),
        Some("TLS 1.1") => Some(0x0302),
        Some("TLS 1.2") => Some(0x0303),
        Some("TLS 1.3") => Some(0x0304),
        Some(_) | None => None,
    };
    let target = noted("http_target").unwrap_or_default();
    Facts::of(noted("http_method"), target, version, noted("tls_ja4"))
}

impl Decided<'_> {
    /// In the words of policies.
    pub(super) fn verdict(&self) -> &'static str {
        verdict(self.action)
    }
}

pub(super) fn verdict(action: Action) -> &'static str {
    match action {
        Action::Permit => "permit",
        Action::Deny => "deny",
        Action::Reject => "reject",
    }
}

/// The appliance's own addresses are in the zone `host`.
fn zone(config: &Config, address: IpAddr) -> Option<ZoneId> {
    let is_own = |interface: &firewall::config::Interface| {
        interface.addresses.iter().any(|own| own.addr() == address)
    };
    if config.interfaces.iter().any(is_own) {
        return Some(ZoneId::HOST);
    }
    let connected = config.interfaces.iter().flat_map(|interface| {
        interface
            .addresses
            .iter()
            .map(|prefix| (prefix.trunc(), interface.zone))
    });
    let routed = config.routes.iter().filter_map(|route| {
        let interface = match (route.interface, route.via) {
            (Some(position), _) => config.interfaces.get(position)?,
            (None, Some(via)) => config.interfaces.iter().find(|interface| {
                interface
                    .addresses
                    .iter()
                    .any(|prefix| prefix.contains(&via))
            })?,
            (None, None) => return None,
        };
        Some((route.to.trunc(), interface.zone))
    });
    connected
        .chain(routed)
        .filter(|(prefix, _)| prefix.contains(&address))
        .max_by_key(|(prefix, _)| prefix.prefix_len())
        .map(|(_, zone)| zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "version: 1
interfaces:
  left: { device: eth1, addresses: [192.0.2.1/24] }
  right: { device: eth2, addresses: [198.51.100.1/24] }
routes:
  - { to: 0.0.0.0/0, via: 198.51.100.254 }
zones:
  trust: { interfaces: [left], host-inbound: [ping] }
  untrust: { interfaces: [right] }
policies:
  - { name: web, from: trust, to: untrust, application: [https], action: permit }
  - { name: rest, from: trust, to: untrust, action: reject }
";

    fn asked(initiator: &str, responder: &str) -> Option<(Option<String>, String)> {
        let config = firewall::config::parse(CONFIG, "test").expect("a configuration");
        let endpoints = Endpoints {
            ip_protocol: 6,
            initiator: initiator.parse().expect("an end"),
            responder: responder.parse().expect("an end"),
        };
        let decided = of(&config, &endpoints, &Content::NEVER)?;
        Some((
            decided.policy.map(str::to_owned),
            decided.verdict().to_owned(),
        ))
    }

    #[test]
    fn zones_are_those_of_the_interfaces_that_the_addresses_are_behind() {
        let some = |policy: Option<&str>, verdict: &str| {
            Some((policy.map(str::to_owned), verdict.to_owned()))
        };
        assert_eq!(
            asked("192.0.2.9:40000", "203.0.113.5:443"),
            some(Some("web"), "permit")
        );
        assert_eq!(
            asked("192.0.2.9:40000", "203.0.113.5:22"),
            some(Some("rest"), "reject")
        );
        assert_eq!(
            asked("203.0.113.5:40000", "192.0.2.9:443"),
            some(None, "deny")
        );
        assert_eq!(
            asked("203.0.113.5:40000", "198.51.100.1:443"),
            some(None, "deny")
        );
        assert_eq!(asked("[2001:db8::1]:1", "192.0.2.9:443"), None);
    }
}

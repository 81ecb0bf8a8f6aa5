//! Whether the policies of an instance let the check of it pass. Where they do not, it is out for ever.
//!
//! # Limits
//! What the instance translates by a rule of its own, names, feeds and schedules are not known before it runs: so this
//! is a warning, and no mistake.

use firewall::config::Config;
use rules::{Action, IcmpType, Protocol, Question, Tuple};

use super::description::{Probe, Service};
use super::document::Check;

/// Echo request, of ICMP (RFC 792) and of ICMPv6 (RFC 4443 §4.1).
const ECHO: IcmpType = IcmpType { kind: 8, code: 0 };
const ECHO_V6: IcmpType = IcmpType { kind: 128, code: 0 };
/// Any of those that a system gives to who asks for none (RFC 6335 §6).
const EPHEMERAL_PORT: u16 = 49152;

/// How an instance is checked, unless the one before has the same configuration.
pub(super) fn first_check(service: &Service, position: usize) -> Option<Probe> {
    let pointer = |position: usize| {
        let given = service.instances[position].given.as_ref();
        given.map(|(_, pointer)| pointer)
    };
    let before = position.checked_sub(1);
    let is_first = before.is_none_or(|before| pointer(before) != pointer(position));
    service.instances[position].probe.filter(|_| is_first)
}

/// What there is to say where the check, which goes from the left to the right, is not permitted.
pub(super) fn excluded(config: &Config, service: &Service, probe: &Probe) -> Option<String> {
    let zone = |name: &str| {
        let mut interfaces = config.interfaces.iter();
        let interface = interfaces.find(|interface| interface.name == name)?;
        Some(interface.zone)
    };
    let (protocol, port, icmp) = match service.health.check {
        Check::Ping if probe.to.is_ipv4() => (Protocol::ICMP, 0, Some(ECHO)),
        Check::Ping => (Protocol::ICMPV6, 0, Some(ECHO_V6)),
        Check::Tcp | Check::Http => (Protocol::TCP, service.health.port, None),
        Check::None => return None,
    };
    let question = Question {
        from: zone("left")?,
        to: zone("right")?,
        tuple: Tuple {
            source: probe.from,
            destination: probe.to,
            protocol,
            source_port: EPHEMERAL_PORT,
            destination_port: port,
        },
        icmp,
    };
    if config.rules.decide(&question).action == Action::Permit {
        return None;
    }
    let asked = match service.health.check {
        Check::Ping | Check::None => "ping".to_owned(),
        Check::Tcp | Check::Http => format!("tcp to port {port}"),
    };
    Some(format!(
        "no policy permits the check of '{}', {asked} from {} to {}: its instances would be out for ever",
        service.name, probe.from, probe.to
    ))
}

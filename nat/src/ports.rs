//! Which ports a translation may use, and how a translated port relates to the inside one.

use rules::{PortRange, Protocol};

/// What a translation uses unless told. Ports below 1024 of the appliance's own addresses are left
/// to its services and to destination rules, which RFC 4787 REQ-3a permits: it only recommends a
/// low port for a low port.
pub const DEFAULT_PORTS: PortRange = PortRange {
    first: FIRST_USER_PORT,
    last: u16::MAX,
};

/// An ICMP query's identifier is no port: all 65,536 are alike (RFC 5508 §3.1).
pub const ALL_IDENTIFIERS: PortRange = PortRange::ALL;

/// 1 to 65,536.
pub(crate) fn count(range: PortRange) -> u32 {
    u32::from(range.last - range.first) + 1
}

/// Whether a lease of this protocol is of a port, or an identifier, beside the address.
#[must_use]
pub fn has_ports(protocol: Protocol) -> bool {
    is_icmp(protocol) || matches!(protocol, Protocol::TCP | Protocol::UDP)
}

pub(crate) fn is_icmp(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::ICMP | Protocol::ICMPV6)
}

/// Which ports an inside port may become: the first choice, and what to take when that is full.
///
/// RFC 4787 REQ-3a: a port below 1024 should become one below 1024, and any other should not. A low
/// port is not worth refusing a session for, so it falls over to the high ones; a high port never
/// becomes a low one, which some services take for a sign of privilege, unless there are no others.
pub(crate) fn classes(
    allowed: PortRange,
    protocol: Protocol,
    inside: u16,
) -> (PortRange, Option<PortRange>) {
    if is_icmp(protocol) {
        return (allowed, None);
    }
    match (
        intersection(allowed, LOW),
        intersection(allowed, DEFAULT_PORTS),
    ) {
        (Some(low), Some(high)) if inside < FIRST_USER_PORT => (low, Some(high)),
        (Some(_), Some(high)) => (high, None),
        _ => (allowed, None),
    }
}

fn intersection(one: PortRange, other: PortRange) -> Option<PortRange> {
    let first = one.first.max(other.first);
    let last = one.last.min(other.last);
    (first <= last).then_some(PortRange { first, last })
}

/// RFC 6335 §6: System (well-known) Ports lie below, User Ports begin here.
const FIRST_USER_PORT: u16 = 1024;

const LOW: PortRange = PortRange {
    first: 1,
    last: FIRST_USER_PORT - 1,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> PortRange {
        rules::parse_ports(text, 1).unwrap()
    }

    #[test]
    fn a_low_port_prefers_low_ones_and_a_high_port_never_gets_one() {
        let wide = range("512-2047");
        let (low, high) = (range("512-1023"), range("1024-2047"));
        assert_eq!(classes(wide, Protocol::TCP, 1023), (low, Some(high)));
        assert_eq!(classes(wide, Protocol::TCP, 1024), (high, None));
        assert_eq!(classes(low, Protocol::UDP, 5000), (low, None));
        assert_eq!(
            classes(DEFAULT_PORTS, Protocol::UDP, 53),
            (DEFAULT_PORTS, None)
        );
    }

    #[test]
    fn an_icmp_identifier_has_no_classes() {
        assert_eq!(
            classes(ALL_IDENTIFIERS, Protocol::ICMP, 5),
            (ALL_IDENTIFIERS, None)
        );
    }
}

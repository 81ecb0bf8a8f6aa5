//! Applications that need no configuration.
//!
//! Names and ports are those of the IANA Service Name and Transport Protocol Port Number Registry
//! and protocol numbers those of the IANA Protocol Numbers registry, except where a line says
//! otherwise.

use std::time::Duration;

use crate::Protocol;
use crate::application::{Application, Term};
use crate::quantity::PortRange;

/// The catalogue, compiled. Where two match, the first names the session, so narrow ones come
/// before broad ones.
pub(crate) fn compile() -> Vec<Application> {
    CATALOGUE
        .iter()
        .map(|&(name, parts)| Application {
            name: name.to_owned(),
            terms: parts.iter().map(Part::compile).collect(),
        })
        .collect()
}

const CATALOGUE: &[(&str, &[Part])] = &[
    ("http", &[tcp(80)]),
    ("https", &[tcp(443)]),
    // HTTP/3, RFC 9114: the registry gives udp/443 to `https`.
    ("quic", &[udp(443)]),
    ("dns", &[udp(53), tcp(53)]),
    ("dns-over-tls", &[tcp(853)]),
    // RFC 792: echo request is type 8; RFC 4443: 128.
    (
        "ping",
        &[icmp(Protocol::ICMP, 8), icmp(Protocol::ICMPV6, 128)],
    ),
    // Unregistered: the UDP probes of traceroute(8) and their usual span.
    ("traceroute", &[udp_range(33_434, 33_534)]),
    ("ssh", &[tcp(22)]),
    ("telnet", &[tcp(23)]),
    ("ftp", &[tcp(21)]),
    ("tftp", &[udp(69)]),
    ("rsync", &[tcp(873)]),
    ("smtp", &[tcp(25)]),
    ("submission", &[tcp(587)]),
    ("submissions", &[tcp(465)]),
    ("imap", &[tcp(143)]),
    ("imaps", &[tcp(993)]),
    ("pop3", &[tcp(110)]),
    ("pop3s", &[tcp(995)]),
    ("ntp", &[udp(123)]),
    ("snmp", &[udp(161)]),
    ("snmp-trap", &[udp(162)]),
    ("syslog", &[udp(514)]),
    ("syslog-tls", &[tcp(6514)]),
    ("ldap", &[tcp(389), udp(389)]),
    ("ldaps", &[tcp(636)]),
    ("kerberos", &[tcp(88), udp(88)]),
    ("radius", &[udp_range(1812, 1813)]),
    ("tacacs", &[tcp(49)]),
    ("netbios", &[udp_range(137, 138), tcp(139)]),
    ("smb", &[tcp(445)]),
    ("nfs", &[tcp(2049), udp(2049)]),
    ("rdp", &[tcp(3389), udp(3389)]),
    ("vnc", &[tcp(5900)]),
    ("mysql", &[tcp(3306)]),
    ("postgresql", &[tcp(5432)]),
    ("mssql", &[tcp(1433)]),
    ("oracle", &[tcp(1521)]),
    ("mongodb", &[tcp(27_017)]),
    ("redis", &[tcp(6379)]),
    ("elasticsearch", &[tcp(9200)]),
    ("amqp", &[tcp(5672)]),
    ("mqtt", &[tcp(1883)]),
    ("kubernetes-api", &[tcp(6443)]),
    ("sip", &[udp(5060), tcp(5060)]),
    ("h323", &[tcp(1720)]),
    ("rtsp", &[tcp(554)]),
    ("dhcp", &[udp_range(67, 68)]),
    ("dhcpv6", &[udp_range(546, 547)]),
    ("bgp", &[tcp(179)]),
    ("bfd", &[udp_range(3784, 3785)]),
    ("ospf", &[protocol(89)]),
    ("vrrp", &[protocol(112)]),
    ("pim", &[protocol(103)]),
    ("igmp", &[protocol(2)]),
    // RFC 7296 and, behind NAT, RFC 3947: an idle association is kept alive every few minutes.
    (
        "ike",
        &[
            udp(500).idle(Duration::from_secs(300)),
            udp(4500).idle(Duration::from_secs(300)),
        ],
    ),
    ("esp", &[protocol(50).idle(Duration::from_secs(1_800))]),
    ("ah", &[protocol(51).idle(Duration::from_secs(1_800))]),
    ("gre", &[protocol(47)]),
    ("l2tp", &[udp(1701)]),
    ("pptp", &[tcp(1723)]),
    ("openvpn", &[udp(1194), tcp(1194)]),
    // The registry has no name for it; the port is that of WireGuard's documentation.
    ("wireguard", &[udp(51_820)]),
    ("vxlan", &[udp(4789)]),
    ("geneve", &[udp(6081)]),
    ("icmp", &[protocol(1)]),
    ("icmpv6", &[protocol(58)]),
    ("tcp", &[protocol(6)]),
    ("udp", &[protocol(17)]),
    ("sctp", &[protocol(132)]),
];

/// One term of a built-in application.
struct Part {
    protocol: Protocol,
    ports: Option<PortRange>,
    icmp_type: Option<u8>,
    idle_timeout: Option<Duration>,
}

impl Part {
    const fn idle(self, timeout: Duration) -> Self {
        Self {
            idle_timeout: Some(timeout),
            ..self
        }
    }

    fn compile(&self) -> Term {
        Term {
            protocol: self.protocol,
            source_ports: Box::default(),
            destination_ports: self.ports.into_iter().collect(),
            icmp_type: self.icmp_type,
            icmp_code: None,
            idle_timeout: self.idle_timeout,
        }
    }
}

const fn tcp(port: u16) -> Part {
    Part {
        protocol: Protocol::TCP,
        ports: Some(PortRange::one(port)),
        icmp_type: None,
        idle_timeout: None,
    }
}

const fn udp(port: u16) -> Part {
    udp_range(port, port)
}

const fn udp_range(first: u16, last: u16) -> Part {
    Part {
        protocol: Protocol::UDP,
        ports: Some(PortRange { first, last }),
        icmp_type: None,
        idle_timeout: None,
    }
}

const fn icmp(protocol: Protocol, kind: u8) -> Part {
    Part {
        protocol,
        ports: None,
        icmp_type: Some(kind),
        idle_timeout: None,
    }
}

const fn protocol(number: u8) -> Part {
    Part {
        protocol: Protocol(number),
        ports: None,
        icmp_type: None,
        idle_timeout: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<_> = CATALOGUE.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CATALOGUE.len());
    }
}

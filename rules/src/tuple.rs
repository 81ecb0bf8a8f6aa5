//! The words in which `rules` and `nat` are asked: addresses, protocol and ports, never a header.

use std::fmt;
use std::net::IpAddr;

/// An IP protocol number, as in the IPv4 `protocol` or the last IPv6 `next header` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u8);

impl Protocol {
    pub const ICMP: Self = Self(1);
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);
    pub const GRE: Self = Self(47);
    pub const ESP: Self = Self(50);
    pub const ICMPV6: Self = Self(58);
    pub const SCTP: Self = Self(132);
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ICMP => f.write_str("icmp"),
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self::GRE => f.write_str("gre"),
            Self::ESP => f.write_str("esp"),
            Self::ICMPV6 => f.write_str("icmpv6"),
            Self::SCTP => f.write_str("sctp"),
            Self(number) => write!(f, "{number}"),
        }
    }
}

/// One direction of a conversation.
///
/// An ICMP query carries its identifier as the port of the side that asks, and 0 on the side that
/// answers: request `source_port = id`, reply `destination_port = id`. Protocols without ports
/// carry 0 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tuple {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: Protocol,
    pub source_port: u16,
    pub destination_port: u16,
}

impl Tuple {
    /// The same conversation seen from the other end.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            protocol: self.protocol,
            source_port: self.destination_port,
            destination_port: self.source_port,
        }
    }
}

/// Type and code of an ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IcmpType {
    pub kind: u8,
    pub code: u8,
}

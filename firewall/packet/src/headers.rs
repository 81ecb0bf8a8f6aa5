//! Frame in, checked headers out.

use abi::{DropReason, FlowKey};

use crate::ethernet::{self, Ethernet};
use crate::{ipv4, ipv6, transport};

/// Reads a frame. What it returns was checked against `frame`: every offset lies inside it, and
/// stays so as long as the frame is not made shorter.
pub fn parse(frame: &[u8], checksums: Checksums) -> Result<Parsed, DropReason> {
    let link = Ethernet::parse(frame).ok_or(DropReason::MalformedEthernet)?;
    let network = match link.ethertype {
        ethernet::IPV4 => ipv4::parse(frame, link.length)?,
        ethernet::IPV6 => ipv6::parse(frame, link.length)?,
        _ => return Ok(Parsed::Other(link)),
    };
    let transport = match network.fragment {
        Some(Fragment { offset, .. }) if offset > 0 => Transport::LaterFragment,
        _ => transport::parse(frame, &network, checksums)?,
    };
    let (source_port, destination_port) = transport.ports();
    Ok(Parsed::Ip(Headers {
        link,
        family: network.family,
        l3: link.length,
        l4: network.l4,
        end: network.end,
        ttl_hops: network.ttl_hops,
        may_fragment: network.may_fragment,
        fragment: network.fragment,
        key: FlowKey {
            source: network.source,
            destination: network.destination,
            source_port: source_port.to_be_bytes(),
            destination_port: destination_port.to_be_bytes(),
            protocol: network.protocol,
            padding: 0,
            scope: 0,
        },
        transport,
    }))
}

/// What to make of transport checksums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// What changes a session's state must have a right one; data is left to the host to verify.
    Verify,
    /// They may be unfilled yet: see [`crate::complete_checksum`].
    Unfilled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    Ip(Headers),
    Other(Ethernet),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// The headers of an IP packet in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    pub link: Ethernet,
    pub family: Family,
    /// Where the IP header starts.
    pub l3: usize,
    /// Where the transport header starts.
    pub l4: usize,
    /// Where the IP packet ends; what the frame holds behind it is padding.
    pub end: usize,
    /// TTL or hop limit.
    pub ttl_hops: u8,
    /// IPv4 without DF.
    pub may_fragment: bool,
    /// `None` for a whole packet, an IPv6 atomic fragment (RFC 6946) included.
    pub fragment: Option<Fragment>,
    /// Addresses, ports and protocol; scope 0.
    pub key: FlowKey,
    pub transport: Transport,
}

impl Headers {
    /// Length of the IP packet, header included.
    #[must_use]
    pub fn ip_bytes(&self) -> usize {
        self.end - self.l3
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    pub id: u32,
    /// Position of the payload in the whole packet's payload, in bytes.
    pub offset: usize,
    /// More fragments follow.
    pub more: bool,
    /// Where the fragment's payload starts in the frame.
    pub payload: usize,
}

/// What follows the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp(TcpHeader),
    Udp {
        source_port: u16,
        destination_port: u16,
    },
    IcmpQuery(IcmpHeader),
    IcmpError(IcmpHeader),
    /// ICMP that is neither: redirects, router and neighbour discovery, MLD.
    IcmpOther(IcmpHeader),
    Other,
    /// Not the first fragment: the transport header is elsewhere.
    LaterFragment,
}

impl Transport {
    fn ports(&self) -> (u16, u16) {
        match *self {
            Self::Tcp(TcpHeader {
                source_port,
                destination_port,
                ..
            })
            | Self::Udp {
                source_port,
                destination_port,
            } => (source_port, destination_port),
            Self::IcmpQuery(IcmpHeader {
                identifier,
                from_responder: false,
                ..
            }) => (identifier, 0),
            Self::IcmpQuery(IcmpHeader {
                identifier,
                from_responder: true,
                ..
            }) => (0, identifier),
            Self::IcmpError(_) | Self::IcmpOther(_) | Self::Other | Self::LaterFragment => (0, 0),
        }
    }
}

/// RFC 9293 3.1, as the session table needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpHeader {
    pub source_port: u16,
    pub destination_port: u16,
    pub sequence: u32,
    pub acknowledgment: u32,
    pub window: u16,
    pub flags: crate::tcp::Flags,
    /// Length of the header with its options.
    pub header_bytes: usize,
    /// Length of the payload.
    pub payload_bytes: usize,
    /// RFC 7323 shift count; only read from a SYN.
    pub window_scale: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpHeader {
    pub kind: u8,
    pub code: u8,
    /// Of a query; 0 otherwise.
    pub identifier: u16,
    /// A reply.
    pub from_responder: bool,
}

/// What the network layer found.
pub(crate) struct Network {
    pub(crate) family: Family,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
    pub(crate) protocol: u8,
    pub(crate) ttl_hops: u8,
    pub(crate) may_fragment: bool,
    pub(crate) fragment: Option<Fragment>,
    pub(crate) l4: usize,
    pub(crate) end: usize,
}

#[cfg(test)]
mod tests {
    use abi::DropReason;
    use std::vec;

    use super::{Checksums, Headers, Parsed, Transport, parse};
    use crate::frames::{Frame, Layer4, samples};

    fn headers(frame: &Frame) -> Headers {
        match parse(&frame.build(), Checksums::Verify) {
            Ok(Parsed::Ip(headers)) => headers,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_malformed_is_dropped_for_its_reason() {
        let reason = |name| match name {
            "three-tags" | "empty" | "link-header-cut" => Some(DropReason::MalformedEthernet),
            "ipv4-loose-source-route" => Some(DropReason::SourceRoute),
            "ipv4-option-too-long"
            | "ipv4-option-of-no-length"
            | "ipv4-header-cut"
            | "ipv4-packet-cut"
            | "ipv4-version-5"
            | "ipv4-short-header" => Some(DropReason::MalformedIpv4),
            "ipv6-header-cut" | "ipv6-packet-cut" => Some(DropReason::MalformedIpv6),
            "ipv4-fragment-beyond-the-end" => Some(DropReason::FragmentMalformed),
            "ipv6-hop-by-hop-late"
            | "ipv6-routing-type-0"
            | "ipv6-segments-left"
            | "ipv6-nine-extensions"
            | "ipv6-two-fragment-headers" => Some(DropReason::ExtensionHeader),
            "ipv4-checksum" => Some(DropReason::Ipv4Checksum),
            "ipv4-tcp-checksum" | "ipv4-error-checksum" => Some(DropReason::L4Checksum),
            "ipv4-tcp-data-offset" => Some(DropReason::MalformedTcp),
            "ipv4-udp-length" => Some(DropReason::MalformedUdp),
            _ => None,
        };
        for (name, frame) in samples() {
            assert_eq!(
                parse(&frame, Checksums::Verify).err(),
                reason(name),
                "{name}"
            );
        }
    }

    #[test]
    fn unfilled_checksums_are_not_judged() {
        for (name, frame) in samples() {
            if matches!(name, "ipv4-tcp-checksum" | "ipv4-error-checksum") {
                assert!(parse(&frame, Checksums::Unfilled).is_ok(), "{name}");
            }
        }
    }

    #[test]
    fn what_is_not_ip_keeps_its_link_header() {
        let arp = samples()
            .into_iter()
            .find(|(name, _)| *name == "arp")
            .unwrap()
            .1;
        assert!(
            matches!(parse(&arp, Checksums::Verify), Ok(Parsed::Other(link)) if link.ethertype == 0x0806)
        );
    }

    #[test]
    fn padding_is_not_part_of_the_packet() {
        let frame = Frame {
            payload: vec![1],
            padding: 17,
            ..Frame::v4(Layer4::Udp { ports: (7, 8) })
        };
        let headers = headers(&frame);
        assert_eq!((headers.l3, headers.l4, headers.end), (14, 34, 43));
        assert_eq!(headers.ip_bytes(), 29);
    }

    #[test]
    fn a_query_has_its_identifier_where_its_sender_stands() {
        let ports = |kind| {
            let key = headers(&Frame::v4(Layer4::Icmp {
                kind,
                word: [0x0102, 9],
            }))
            .key;
            (key.source_port, key.destination_port)
        };
        assert_eq!(ports(8), ([1, 2], [0, 0]));
        assert_eq!(ports(0), ([0, 0], [1, 2]));
        assert_eq!(ports(5), ([0, 0], [0, 0]));
    }

    #[test]
    fn an_atomic_fragment_is_a_whole_packet() {
        let frame = Frame {
            fragment: Some((0, false)),
            ..Frame::v6(Layer4::Udp { ports: (7, 8) })
        };
        let headers = headers(&frame);
        assert_eq!((headers.fragment, headers.l4), (None, 62));
        assert_eq!(headers.key.source_port, [0, 7]);
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let frame = Frame {
            fragment: Some((1_480, true)),
            payload: vec![1; 16],
            ..Frame::v6(Layer4::Udp { ports: (7, 8) })
        };
        let headers = headers(&frame);
        assert_eq!(headers.transport, Transport::LaterFragment);
        assert_eq!(
            headers
                .fragment
                .map(|fragment| (fragment.id, fragment.offset, fragment.more)),
            Some((0x1234, 1_480, true))
        );
        assert_eq!(
            (headers.key.protocol, headers.key.source_port),
            (17, [0, 0])
        );
    }

    #[test]
    fn headers_before_a_fragment_count_into_the_whole_packet() {
        let of = |extensions, payload_bytes| {
            let frame = Frame {
                fragment: Some((65_520, false)),
                payload: vec![1; payload_bytes],
                extensions,
                ..Frame::v6(Layer4::Raw(17))
            };
            parse(&frame.build(), Checksums::Verify).err()
        };
        assert_eq!(of(vec![], 15), None);
        assert_eq!(of(vec![], 16), Some(DropReason::FragmentMalformed));
        assert_eq!(
            of(vec![(60, vec![1, 4, 0, 0, 0, 0])], 8),
            Some(DropReason::FragmentMalformed)
        );
    }

    #[test]
    fn a_first_fragment_must_hold_the_transport_header() {
        for (transport, reason) in [
            (6, DropReason::MalformedTcp),
            (17, DropReason::MalformedUdp),
            (1, DropReason::MalformedIcmp),
        ] {
            let frame = Frame {
                fragment: Some((0, true)),
                payload: vec![0; 8],
                ..Frame::v4(Layer4::Raw(transport))
            };
            let expected = if transport == 1 { None } else { Some(reason) };
            assert_eq!(parse(&frame.build(), Checksums::Verify).err(), expected);
        }
    }

    #[test]
    fn icmp_of_the_other_family_is_malformed() {
        let malformed = Err(DropReason::MalformedIcmp);
        assert_eq!(
            parse(&Frame::v4(Layer4::Raw(58)).build(), Checksums::Verify),
            malformed
        );
        assert_eq!(
            parse(&Frame::v6(Layer4::Raw(1)).build(), Checksums::Verify),
            malformed
        );
    }
}

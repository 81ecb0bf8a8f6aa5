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

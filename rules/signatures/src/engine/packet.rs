//! What rules can ask of a single packet's headers.

use std::net::IpAddr;

use super::session::Session;
use crate::buffer::Direction;
use crate::rule::{IpOption, PacketTest, StreamSide};

/// A packet as it is forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    pub direction: Direction,
    /// What the transport protocol carries; of ICMP, what is behind its eight bytes of header.
    pub payload: &'a [u8],
    pub headers: PacketHeaders<'a>,
}

/// What a protocol doesn't have is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct PacketHeaders<'a> {
    pub ttl: u8,
    pub tos: u8,
    /// IPv4 only.
    pub identification: Option<u16>,
    /// As in IPv4's header: 1 more fragments, 2 don't fragment, 4 reserved.
    pub fragment_bits: u8,
    /// In units of 8 bytes.
    pub fragment_offset: u16,
    /// It was put together from fragments.
    pub is_reassembled: bool,
    /// The numbers of the options of an IPv4 header.
    pub ip_options: &'a [u8],
    pub tcp: Option<TcpHeader>,
    pub icmp: Option<IcmpHeader>,
}

#[derive(Clone, Copy, Debug)]
pub struct TcpHeader {
    /// The eight bits of RFC 9293 and RFC 3168.
    pub flags: u8,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub window: u16,
    pub maximum_segment: Option<u16>,
}

#[derive(Clone, Copy, Debug)]
pub struct IcmpHeader {
    pub kind: u8,
    pub code: u8,
    /// Of echo and other queries.
    pub id: Option<u16>,
    pub sequence: Option<u16>,
}

/// Whether a test holds. Without a packet only what is about the session can.
pub(crate) fn holds(test: &PacketTest, packet: Option<&Packet<'_>>, session: &Session) -> bool {
    if let PacketTest::StreamSize(side, bounds) = test {
        let [to_responder, to_initiator] = session.stream_bytes;
        let initiator = bounds.holds(to_responder);
        let responder = bounds.holds(to_initiator);
        return match side {
            StreamSide::Initiator => initiator,
            StreamSide::Responder => responder,
            StreamSide::Both => initiator && responder,
            StreamSide::Either => initiator || responder,
        };
    }
    let Some(packet) = packet else {
        return false;
    };
    let headers = &packet.headers;
    let tcp = headers.tcp.as_ref();
    let icmp = headers.icmp.as_ref();
    match test {
        PacketTest::PayloadSize(bounds) => bounds.holds(packet.payload.len() as u64),
        PacketTest::TcpFlags {
            want,
            mode,
            ignored,
        } => tcp.is_some_and(|tcp| mode.holds(*want, tcp.flags & !ignored)),
        PacketTest::Fragment { want, mode } => mode.holds(*want, headers.fragment_bits),
        PacketTest::FragmentOffset(bounds) => bounds.holds(headers.fragment_offset.into()),
        PacketTest::Ttl(bounds) => bounds.holds(headers.ttl.into()),
        PacketTest::Tos(bounds) => bounds.holds(headers.tos.into()),
        PacketTest::Identification(bounds) => headers
            .identification
            .is_some_and(|id| bounds.holds(id.into())),
        PacketTest::IpProtocol(bounds) => bounds.holds(session.endpoints.protocol.into()),
        PacketTest::IpOption(IpOption::Any) => !headers.ip_options.is_empty(),
        PacketTest::IpOption(IpOption::Number(number)) => headers.ip_options.contains(number),
        PacketTest::SameAddress => same(session.endpoints.initiator, session.endpoints.responder),
        PacketTest::Sequence(number) => tcp.is_some_and(|tcp| tcp.sequence == *number),
        PacketTest::Acknowledgement(number) => {
            tcp.is_some_and(|tcp| tcp.acknowledgement == *number)
        }
        PacketTest::Window(bounds) => tcp.is_some_and(|tcp| bounds.holds(tcp.window.into())),
        PacketTest::MaximumSegment(bounds) => tcp
            .and_then(|tcp| tcp.maximum_segment)
            .is_some_and(|size| bounds.holds(size.into())),
        PacketTest::IcmpType(bounds) => icmp.is_some_and(|icmp| bounds.holds(icmp.kind.into())),
        PacketTest::IcmpCode(bounds) => icmp.is_some_and(|icmp| bounds.holds(icmp.code.into())),
        PacketTest::IcmpId(bounds) => icmp
            .and_then(|icmp| icmp.id)
            .is_some_and(|id| bounds.holds(id.into())),
        PacketTest::IcmpSequence(bounds) => icmp
            .and_then(|icmp| icmp.sequence)
            .is_some_and(|sequence| bounds.holds(sequence.into())),
        PacketTest::StreamSize(..) => false,
    }
}

fn same(initiator: IpAddr, responder: IpAddr) -> bool {
    initiator == responder
}

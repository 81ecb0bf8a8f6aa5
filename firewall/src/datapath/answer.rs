//! What the datapath says itself: ICMP errors, TCP resets, and answers for translated addresses.
//!
//! RFC 1812 4.3 and RFC 4443 2.4 say when an error may be sent; RFC 9293 3.10.7.1 what a reset
//! carries. Answers go back the way the packet came.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use abi::DropReason;
use packet::checksum::Sum;
use packet::{Headers, Mac, Transport};
use pnet_packet::Packet as _;
use pnet_packet::arp::{ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::icmp::{IcmpCode, IcmpType, MutableIcmpPacket};
use pnet_packet::icmpv6::{Icmpv6Code, Icmpv6Type, MutableIcmpv6Packet};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv4::MutableIpv4Packet;
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::udp::MutableUdpPacket;

use super::worker::Walk;
use super::{Admitted, Arrival, Packet, Stop};
use crate::clock::Timestamp;
use crate::counters::InterfaceId;
use crate::ports::PortId;
use crate::route::Lookup;

/// An ICMP error in both families: type and code.
#[derive(Clone, Copy, Debug)]
struct ErrorKind {
    v4: (u8, u8),
    v6: (u8, u8),
}

/// RFC 792, RFC 4443 3.3.
const TIME_EXCEEDED: ErrorKind = ErrorKind {
    v4: (11, 0),
    v6: (3, 0),
};
/// RFC 792 net unreachable; RFC 4443 3.1 no route to destination.
const NO_ROUTE: ErrorKind = ErrorKind {
    v4: (3, 0),
    v6: (1, 0),
};
/// RFC 792 host unreachable; RFC 4443 3.1 address unreachable.
const HOST_UNREACHABLE: ErrorKind = ErrorKind {
    v4: (3, 1),
    v6: (1, 3),
};
/// What Linux answers for a route of type unreachable: RFC 792 host unreachable; RFC 4443 3.1 no
/// route to destination.
const UNREACHABLE_ROUTE: ErrorKind = ErrorKind {
    v4: (3, 1),
    v6: (1, 0),
};
/// RFC 1812 5.2.7.1, RFC 4443 3.1: communication administratively prohibited.
const PROHIBITED: ErrorKind = ErrorKind {
    v4: (3, 13),
    v6: (1, 1),
};
/// RFC 1191 4, RFC 4443 3.2.
const TOO_BIG: ErrorKind = ErrorKind {
    v4: (3, 4),
    v6: (2, 0),
};

/// RFC 1812 4.3.2.3: as much of the packet as fits without the error exceeding 576 bytes.
const MAX_ERROR_V4: usize = 576;
/// RFC 4443 3: without it exceeding the minimum IPv6 MTU.
const MAX_ERROR_V6: usize = 1_280;
const TTL: u8 = 64;

/// What is said to a packet's sender in the name of whom it was for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    Segment {
        sequence: u32,
        acknowledgment: u32,
        flags: packet::tcp::Flags,
    },
    Datagram,
}

/// RFC 9293 3.1 without options, RFC 768.
const TCP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;

impl Walk<'_> {
    /// RFC 1812 5.3.1: what would leave with a TTL of 0 is answered instead.
    pub(crate) fn check_ttl(&mut self, admitted: Admitted) -> Result<Admitted, Stop> {
        if admitted.packet.headers.ttl_hops > 1
            || admitted.interface == InterfaceId::HOST
            || self.generation.is_wire()
        {
            return Ok(admitted);
        }
        self.error(&admitted, TIME_EXCEEDED, 0);
        Err(admitted.drop(DropReason::TtlExpired))
    }

    pub(crate) fn unreachable(&mut self, admitted: Admitted, reason: DropReason) -> Stop {
        let kind = match reason {
            DropReason::NoRoute => NO_ROUTE,
            _ => HOST_UNREACHABLE,
        };
        self.error(&admitted, kind, 0);
        admitted.drop(reason)
    }

    /// A route says that there is no way (`ip route add unreachable`).
    pub(crate) fn route_unreachable(&mut self, admitted: Admitted) -> Stop {
        self.error(&admitted, UNREACHABLE_ROUTE, 0);
        admitted.drop(DropReason::RouteForbids)
    }

    /// A route says that nobody may (`ip route add prohibit`).
    pub(crate) fn route_prohibited(&mut self, admitted: Admitted) -> Stop {
        self.error(&admitted, PROHIBITED, 0);
        admitted.drop(DropReason::RouteForbids)
    }

    pub(crate) fn too_big(&mut self, admitted: Admitted, mtu_bytes: u32) -> Stop {
        self.error(&admitted, TOO_BIG, mtu_bytes);
        admitted.drop(DropReason::TooBig)
    }

    /// A TCP connection is reset, anything else is told that it is prohibited.
    pub(crate) fn reject(&mut self, admitted: &Admitted) {
        match admitted.packet.headers.transport {
            Transport::Tcp(_) => self.reset(admitted),
            // An error from an address of its own would be a martian to the kernel.
            _ if admitted.interface == InterfaceId::HOST => {
                let destination = packet::to_ip(&admitted.packet.headers.key.destination);
                self.error_from(destination, admitted, PROHIBITED, 0);
            }
            _ => self.error(admitted, PROHIBITED, 0),
        }
    }

    /// ARP requests and neighbour solicitations for translated addresses; the kernel answers for
    /// its own. Everything else that is not IP has no business here.
    pub(crate) fn answer_address_request(
        &mut self,
        arrival: Arrival,
        link: &packet::Ethernet,
    ) -> Stop {
        let port = arrival.port;
        let Some((interface, _)) = self.generation.interface_at(port, link.vlan) else {
            let interface = self.interface_for_count(port);
            return arrival.drop(interface, DropReason::UnknownVlan);
        };
        let Some(mac) = self
            .topology
            .interfaces
            .get(interface.index())
            .map(|link| link.mac)
        else {
            return arrival.drop(interface, DropReason::NotIp);
        };
        let bytes = self.umem.bytes(&arrival.frame);
        match bytes
            .get(link.length..)
            .and_then(|arp| arp_reply(arp, mac, |target| self.answers_for(target)))
        {
            Some(reply) => {
                let header = link_header(link.source, mac, link.vlan, [0x08, 0x06]);
                self.say(&header, &reply, port, interface);
                self.umem.free(arrival.frame);
                Stop::Consumed
            }
            None => arrival.drop(interface, DropReason::NotIp),
        }
    }

    /// A neighbour solicitation that the kernel does not answer (RFC 4861 7.2.3, 7.2.4).
    pub(crate) fn answer_solicitation(&mut self, admitted: Admitted) -> Stop {
        let packet = &admitted.packet;
        // RFC 4861 7.1.1: from this link only; RFC 6980: never in fragments.
        let is_whole = packet.headers.fragment.is_none() && packet.rest.is_empty();
        if packet.headers.ttl_hops != 255 || !is_whole {
            return admitted.drop(DropReason::IcmpUnsolicited);
        }
        let bytes = self
            .umem
            .bytes(&packet.frame)
            .get(packet.headers.l4..packet.headers.end)
            .unwrap_or_default();
        let target = bytes
            .get(8..24)
            .and_then(|target| <[u8; 16]>::try_from(target).ok())
            .map(Ipv6Addr::from);
        let mac = self
            .topology
            .interfaces
            .get(admitted.interface.index())
            .map(|link| link.mac);
        let (Some(target), Some(mac)) = (
            target.filter(|target| self.answers_for((*target).into())),
            mac,
        ) else {
            return admitted.drop(DropReason::IcmpUnsolicited);
        };
        let IpAddr::V6(asker) = packet::to_ip(&packet.headers.key.source) else {
            return admitted.drop(DropReason::IcmpUnsolicited);
        };
        // RFC 4861 7.2.4: a prober without an address is answered to all nodes, unsolicited.
        let (to, flags) = if asker.is_unspecified() {
            (Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0x20)
        } else {
            (asker, 0x60)
        };
        let mut message = vec![136, 0, 0, 0, flags, 0, 0, 0];
        message.extend(target.octets());
        message.extend([2, 1]);
        message.extend(mac.0);
        let reply = ipv6_icmp(target, to, 255, message);
        let link = packet.link();
        let header = link_header(link.source, mac, link.vlan, [0x86, 0xdd]);
        let (port, interface) = (packet.port, admitted.interface);
        self.say(&header, &reply, port, interface);
        let packet = admitted.packet;
        self.umem.free(packet.frame);
        Stop::Consumed
    }

    fn answers_for(&self, target: IpAddr) -> bool {
        self.generation.config.nat.is_translated(target) || self.topology.fib.is_local(target)
    }

    fn reset(&mut self, admitted: &Admitted) {
        let headers = &admitted.packet.headers;
        let Transport::Tcp(segment) = &headers.transport else {
            return;
        };
        if segment.flags.has(packet::tcp::Flags::RST) || !self.limiter.take(self.now) {
            return;
        }
        let mut buffer = [0; 20];
        let Some(mut reset) = MutableTcpPacket::new(&mut buffer) else {
            return;
        };
        reset.set_source(segment.destination_port);
        reset.set_destination(segment.source_port);
        reset.set_data_offset(5);
        if segment.flags.has(packet::tcp::Flags::ACK) {
            reset.set_sequence(segment.acknowledgment);
            reset.set_flags(pnet_packet::tcp::TcpFlags::RST);
        } else {
            let counted = u32::from(segment.flags.has(packet::tcp::Flags::SYN))
                + u32::from(segment.flags.has(packet::tcp::Flags::FIN));
            reset.set_acknowledgement(
                segment
                    .sequence
                    .wrapping_add(segment.payload_bytes as u32)
                    .wrapping_add(counted),
            );
            reset.set_flags(pnet_packet::tcp::TcpFlags::RST | pnet_packet::tcp::TcpFlags::ACK);
        }
        let key = &headers.key;
        let ends = (packet::to_ip(&key.destination), packet::to_ip(&key.source));
        if let Some((reply, _)) = tcp_packet(ends, reset) {
            self.reply(admitted, &reply);
        }
    }

    /// Ends a connection for whom a segment was meant to, as if its sender had: the reset stands where the segment's data would.
    pub(crate) fn reset_onward(&mut self, admitted: &Admitted) {
        let headers = &admitted.packet.headers;
        let Transport::Tcp(segment) = &headers.transport else {
            return;
        };
        if admitted.interface == InterfaceId::HOST || !self.limiter.take(self.now) {
            return;
        }
        let mut buffer = [0; 20];
        let Some(mut reset) = MutableTcpPacket::new(&mut buffer) else {
            return;
        };
        reset.set_source(segment.source_port);
        reset.set_destination(segment.destination_port);
        reset.set_sequence(segment.sequence);
        reset.set_acknowledgement(segment.acknowledgment);
        reset.set_data_offset(5);
        reset.set_flags(pnet_packet::tcp::TcpFlags::RST | pnet_packet::tcp::TcpFlags::ACK);
        let key = &headers.key;
        let ends = (packet::to_ip(&key.source), packet::to_ip(&key.destination));
        let Some((packet, ethertype)) = tcp_packet(ends, reset) else {
            return;
        };
        let link = admitted.packet.link();
        let header = link_header(link.destination, link.source, link.vlan, ethertype);
        self.walk_copy(&[&header[..], &packet].concat(), admitted.packet.port);
    }

    /// Answers a packet's sender as whom it was for would.
    pub(crate) fn say_for_destination(&mut self, admitted: &Admitted, said: Said, payload: &[u8]) {
        let key = &admitted.packet.headers.key;
        let ends = (packet::to_ip(&key.destination), packet::to_ip(&key.source));
        let [from, to] = [key.destination_port, key.source_port].map(u16::from_be_bytes);
        let reply = match said {
            Said::Segment {
                sequence,
                acknowledgment,
                flags,
            } => {
                let mut buffer = vec![0; TCP_HEADER_BYTES + payload.len()];
                let Some(mut segment) = MutableTcpPacket::new(&mut buffer) else {
                    return;
                };
                segment.set_source(from);
                segment.set_destination(to);
                segment.set_sequence(sequence);
                segment.set_acknowledgement(acknowledgment);
                segment.set_data_offset(5);
                segment.set_flags(flags.0);
                // Without room its sender could not even end the connection.
                segment.set_window(u16::MAX);
                segment.set_payload(payload);
                tcp_packet(ends, segment).map(|(reply, _)| reply)
            }
            Said::Datagram => {
                let mut buffer = vec![0; UDP_HEADER_BYTES + payload.len()];
                let length = buffer.len() as u16;
                let Some(mut datagram) = MutableUdpPacket::new(&mut buffer) else {
                    return;
                };
                datagram.set_source(from);
                datagram.set_destination(to);
                datagram.set_length(length);
                datagram.set_payload(payload);
                udp_packet(ends, datagram)
            }
        };
        if let Some(reply) = reply {
            self.reply(admitted, &reply);
        }
    }

    /// Gives a datagram another payload. False, and nothing changed, where it came in fragments or there is no room.
    pub(crate) fn replace_datagram(&mut self, packet: &mut Packet, payload: &[u8]) -> bool {
        let begin = packet.headers.l4 + UDP_HEADER_BYTES;
        let (true, Some(head)) = (
            packet.rest.is_empty(),
            self.umem
                .bytes(&packet.frame)
                .get(..begin)
                .map(<[u8]>::to_vec),
        ) else {
            return false;
        };
        let Some(mut frame) = self.umem.copy_in(&[&head, payload].concat()) else {
            return false;
        };
        let mut headers = packet.headers;
        headers.end = begin + payload.len();
        if !packet::fill_datagram(self.umem.bytes_mut(&mut frame), &headers) {
            self.umem.free(frame);
            return false;
        }
        packet.headers = headers;
        self.umem.free(std::mem::replace(&mut packet.frame, frame));
        true
    }

    fn error(&mut self, admitted: &Admitted, kind: ErrorKind, mtu_bytes: u32) {
        if let Some(source) = self.error_source_address(admitted) {
            self.error_from(source, admitted, kind, mtu_bytes);
        }
    }

    fn error_from(&mut self, source: IpAddr, admitted: &Admitted, kind: ErrorKind, mtu_bytes: u32) {
        let headers = &admitted.packet.headers;
        if !may_be_told(headers) || !self.limiter.take(self.now) {
            return;
        }
        let bytes = self.umem.bytes(&admitted.packet.frame);
        let quoted = bytes.get(headers.l3..headers.end).unwrap_or_default();
        let reply = match (source, packet::to_ip(&headers.key.source)) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let quoted = &quoted[..quoted.len().min(MAX_ERROR_V4 - 28)];
                let mut message = vec![0; 8];
                // RFC 1191 4: the next hop's MTU in the low half of the unused word.
                message[4..8].copy_from_slice(&mtu_bytes.min(0xffff).to_be_bytes());
                message.extend(quoted);
                if let Some(mut icmp) = MutableIcmpPacket::new(&mut message) {
                    icmp.set_icmp_type(IcmpType(kind.v4.0));
                    icmp.set_icmp_code(IcmpCode(kind.v4.1));
                    icmp.set_checksum(pnet_packet::icmp::checksum(&icmp.to_immutable()));
                }
                ipv4(from, to, 1, &message)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let quoted = &quoted[..quoted.len().min(MAX_ERROR_V6 - 48)];
                let mut message = vec![kind.v6.0, kind.v6.1, 0, 0];
                message.extend(mtu_bytes.to_be_bytes());
                message.extend(quoted);
                ipv6_icmp(from, to, TTL, message)
            }
            _ => return,
        };
        self.reply(admitted, &reply);
    }

    /// RFC 1812 4.3.2.4: the address of the interface the packet came in by. A wire has none, and
    /// speaks for the destination.
    fn error_source_address(&self, admitted: &Admitted) -> Option<IpAddr> {
        let key = &admitted.packet.headers.key;
        if self.generation.is_wire() {
            return Some(packet::to_ip(&key.destination));
        }
        let to = packet::to_ip(&key.source);
        let own = &self
            .topology
            .interfaces
            .get(admitted.interface.index())?
            .addresses;
        let same_family = || {
            own.iter()
                .filter(|own| own.addr().is_ipv4() == to.is_ipv4())
        };
        let routable = |own: &&ipnet::IpNet| !matches!(own.addr(), IpAddr::V6(v6) if v6.is_unicast_link_local());
        same_family()
            .find(|own| own.contains(&to))
            .or_else(|| same_family().find(routable))
            .or_else(|| same_family().next())
            .map(ipnet::IpNet::addr)
    }

    /// Sends an IP packet back to where `admitted` came from.
    fn reply(&mut self, admitted: &Admitted, packet: &[u8]) {
        let link = admitted.packet.link();
        let ethertype = if packet.first().is_some_and(|byte| byte >> 4 == 6) {
            [0x86, 0xdd]
        } else {
            [0x08, 0x00]
        };
        if admitted.interface == InterfaceId::HOST {
            return self.tell_host(admitted, ethertype, packet);
        }
        let header = link_header(link.source, link.destination, link.vlan, ethertype);
        self.say(&header, packet, admitted.packet.port, admitted.interface);
    }

    /// Gives an answer to the kernel's own stack, as if it had come by the interface that the packet
    /// would have left by.
    fn tell_host(&mut self, admitted: &Admitted, ethertype: [u8; 2], packet: &[u8]) {
        let key = &admitted.packet.headers.key;
        let spread = self.shared.table.hash().spread(key);
        let destination = packet::to_ip(&key.destination);
        let Lookup::Forward(gateway) = self.topology.fib.lookup(destination, spread) else {
            return;
        };
        let link = self.topology.interfaces.get(gateway.interface.index());
        let place = self.generation.place(gateway.interface);
        let (Some(link), Some((port, vlan))) = (link, place) else {
            return;
        };
        let header = link_header(link.mac, link.mac, vlan, ethertype);
        let injector = self.shared.injectors.get(port);
        let bytes = [&header, packet].concat();
        if injector.is_none_or(|injector| injector.send(&bytes).is_err()) {
            self.counters
                .drop(InterfaceId::HOST, DropReason::HostDelivery);
        }
    }

    fn say(&mut self, link: &[u8], packet: &[u8], port: PortId, interface: InterfaceId) {
        let bytes = [link, packet].concat();
        match self.umem.copy_in(&bytes) {
            Some(frame) => {
                self.counters.sent[interface.index()].add(packet.len());
                self.send(frame, port, interface);
            }
            None => self.counters.drop(interface, DropReason::RxNoFrame),
        }
    }
}

/// RFC 1122 3.2.2, RFC 4443 2.4 (e): no error about an error, about what was not sent to one host,
/// or to a sender that is not one host.
fn may_be_told(headers: &Headers) -> bool {
    let about_icmp_error = matches!(
        headers.transport,
        Transport::IcmpError(_) | Transport::IcmpOther(_)
    );
    let later_fragment = headers.transport == Transport::LaterFragment;
    let source = packet::to_ip(&headers.key.source);
    let destination = packet::to_ip(&headers.key.destination);
    let group = headers.link.destination.is_group() || destination.is_multicast();
    !(about_icmp_error
        || later_fragment
        || group
        || source.is_unspecified()
        || source.is_multicast())
}

fn link_header(to: Mac, from: Mac, vlan: u16, ethertype: [u8; 2]) -> Vec<u8> {
    let mut header = Vec::with_capacity(18);
    header.extend(to.0);
    header.extend(from.0);
    if vlan != 0 {
        header.extend([0x81, 0x00]);
        header.extend(vlan.to_be_bytes());
    }
    header.extend(ethertype);
    header
}

/// A segment between two ends, its checksum filled in, and its ethertype.
fn tcp_packet(
    ends: (IpAddr, IpAddr),
    mut segment: MutableTcpPacket<'_>,
) -> Option<(Vec<u8>, [u8; 2])> {
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let sum = pnet_packet::tcp::ipv4_checksum(&segment.to_immutable(), &from, &to);
            segment.set_checksum(sum);
            Some((ipv4(from, to, 6, segment.packet()), [0x08, 0x00]))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let sum = pnet_packet::tcp::ipv6_checksum(&segment.to_immutable(), &from, &to);
            segment.set_checksum(sum);
            Some((ipv6(from, to, 6, TTL, segment.packet()), [0x86, 0xdd]))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

/// A datagram between two ends, its checksum filled in.
fn udp_packet(ends: (IpAddr, IpAddr), mut datagram: MutableUdpPacket<'_>) -> Option<Vec<u8>> {
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let sum = pnet_packet::udp::ipv4_checksum(&datagram.to_immutable(), &from, &to);
            datagram.set_checksum(sum);
            Some(ipv4(from, to, 17, datagram.packet()))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let sum = pnet_packet::udp::ipv6_checksum(&datagram.to_immutable(), &from, &to);
            datagram.set_checksum(sum);
            Some(ipv6(from, to, 17, TTL, datagram.packet()))
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
    }
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20 + payload.len()];
    let total = bytes.len() as u16;
    if let Some(mut ip) = MutableIpv4Packet::new(&mut bytes) {
        ip.set_version(4);
        ip.set_header_length(5);
        ip.set_total_length(total);
        ip.set_flags(pnet_packet::ipv4::Ipv4Flags::DontFragment);
        ip.set_ttl(TTL);
        ip.set_next_level_protocol(IpNextHeaderProtocol(protocol));
        ip.set_source(from);
        ip.set_destination(to);
        ip.set_payload(payload);
        ip.set_checksum(pnet_packet::ipv4::checksum(&ip.to_immutable()));
    }
    bytes
}

fn ipv6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 40 + payload.len()];
    if let Some(mut ip) = MutableIpv6Packet::new(&mut bytes) {
        ip.set_version(6);
        ip.set_payload_length(payload.len() as u16);
        ip.set_next_header(IpNextHeaderProtocol(protocol));
        ip.set_hop_limit(hop_limit);
        ip.set_source(from);
        ip.set_destination(to);
        ip.set_payload(payload);
    }
    bytes
}

/// An ICMPv6 message: `message` starts with type, code and an empty checksum.
fn ipv6_icmp(from: Ipv6Addr, to: Ipv6Addr, hop_limit: u8, mut message: Vec<u8>) -> Vec<u8> {
    if let Some(mut icmp) = MutableIcmpv6Packet::new(&mut message) {
        let (kind, code) = (icmp.get_icmpv6_type().0, icmp.get_icmpv6_code().0);
        icmp.set_icmpv6_type(Icmpv6Type(kind));
        icmp.set_icmpv6_code(Icmpv6Code(code));
        icmp.set_checksum(0);
    }
    let sum = Sum::default()
        .pseudo_header(&from.octets(), 58, message.len())
        .bytes(&to.octets())
        .bytes(&message);
    message[2..4].copy_from_slice(&sum.checksum().to_be_bytes());
    ipv6(from, to, 58, hop_limit, &message)
}

/// RFC 826: the reply to a request for an address that `answers_for` says yes to.
fn arp_reply(arp: &[u8], mac: Mac, answers_for: impl Fn(IpAddr) -> bool) -> Option<Vec<u8>> {
    let request = ArpPacket::new(arp)?;
    let asks = request.get_operation() == ArpOperations::Request
        && answers_for(request.get_target_proto_addr().into());
    // A probe for one's own address (RFC 5227 2.1.1) is answered too: the address is in use.
    if !asks {
        return None;
    }
    let mut bytes = arp.get(..28)?.to_vec();
    let mut reply = MutableArpPacket::new(&mut bytes)?;
    reply.set_operation(ArpOperations::Reply);
    reply.set_target_hw_addr(request.get_sender_hw_addr());
    reply.set_target_proto_addr(request.get_sender_proto_addr());
    reply.set_sender_hw_addr(mac.0.into());
    reply.set_sender_proto_addr(request.get_target_proto_addr());
    Some(bytes)
}

/// A token bucket: RFC 1812 4.3.2.8, RFC 4443 2.4 (f).
#[derive(Debug)]
pub(crate) struct RateLimiter {
    tokens: u32,
    filled: Timestamp,
}

impl RateLimiter {
    /// As Linux's `icmp_msgs_per_sec` and twice its `icmp_msgs_burst`.
    const PER_SECOND: u32 = 1_000;
    const BURST: u32 = 100;

    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            tokens: Self::BURST,
            filled: now,
        }
    }

    /// True where something may be said now.
    pub(crate) fn take(&mut self, now: Timestamp) -> bool {
        let interval = Duration::from_secs(1) / Self::PER_SECOND;
        let earned = (now.since(self.filled).as_nanos() / interval.as_nanos()) as u64;
        if earned > 0 {
            self.tokens = u64::from(self.tokens)
                .saturating_add(earned)
                .min(u64::from(Self::BURST)) as u32;
            self.filled = now;
        }
        let may = self.tokens > 0;
        self.tokens = self.tokens.saturating_sub(1);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_limited_in_rate_and_not_for_ever() {
        let mut limiter = RateLimiter::new(Timestamp(0));
        let said = (0..1_000).filter(|_| limiter.take(Timestamp(0))).count();
        assert_eq!(said, 100);
        let later = Timestamp(0) + Duration::from_millis(10);
        assert_eq!((0..1_000).filter(|_| limiter.take(later)).count(), 10);
    }

    #[test]
    fn an_arp_request_for_a_translated_address_is_answered() {
        let mut request = vec![
            0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 9, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0, 192, 0, 2, 7,
        ];
        let ours: IpAddr = "192.0.2.7".parse().unwrap();
        let reply = arp_reply(&request, Mac([2, 0, 0, 0, 0, 1]), |target| target == ours).unwrap();
        assert_eq!(&reply[6..8], [0, 2]);
        assert_eq!(&reply[8..14], [2, 0, 0, 0, 0, 1]);
        assert_eq!(&reply[14..18], [192, 0, 2, 7]);
        assert_eq!(&reply[24..28], [192, 0, 2, 9]);
        request[27] = 8;
        assert!(arp_reply(&request, Mac([2, 0, 0, 0, 0, 1]), |target| target == ours).is_none());
    }
}

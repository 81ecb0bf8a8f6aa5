//! Frames to send: well-formed ones built with pnet, and wrong ones.
//!
//! ```
//! use palisade_tests::decode;
//! use palisade_tests::frames::Frame;
//! use palisade_tests::lab::Chain;
//!
//! let frame = Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC)
//!     .ip("192.0.2.10", "198.51.100.10")
//!     .udp(1024, 53)
//!     .payload(b"hello")
//!     .build();
//! decode::verify_transport_checksum(&frame).unwrap();
//! ```

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use pnet_packet::ethernet::{EtherType, EtherTypes, MutableEthernetPacket};
use pnet_packet::icmp::MutableIcmpPacket;
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::{self, Ipv4Packet, MutableIpv4Packet};
use pnet_packet::ipv6::MutableIpv6Packet;
use pnet_packet::tcp::MutableTcpPacket;
use pnet_packet::udp::MutableUdpPacket;
use pnet_packet::util;
use pnet_packet::vlan::MutableVlanPacket;

use crate::lab::{Host, MacAddr};
use crate::socket::PacketSocket;

const ETHERNET_BYTES: usize = 14;

/// Sends frames from a device exactly as they are.
pub fn send(host: &Host, device: &str, frames: &[Vec<u8>]) -> Result<()> {
    let socket = PacketSocket::sender(host, device)?;
    for frame in frames {
        socket
            .send(frame)
            .with_context(|| format!("cannot send {} bytes from {device}", frame.len()))?;
    }
    Ok(())
}

/// A frame in the making. What is not said gets an ordinary value; lengths and checksums are filled in.
#[derive(Debug, Clone)]
pub struct Frame {
    source_mac: MacAddr,
    destination_mac: MacAddr,
    vlans: Vec<u16>,
    ethertype: Option<u16>,
    addresses: Option<(IpAddr, IpAddr)>,
    ttl_hops: u8,
    traffic_class: u8,
    identification: u32,
    dont_fragment: bool,
    fragment: Option<(usize, bool)>,
    ip_options: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
    transport: Transport,
    payload: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Transport {
    Raw {
        protocol: u8,
    },
    Udp {
        ports: (u16, u16),
    },
    Tcp {
        ports: (u16, u16),
        flags: u8,
        sequence: u32,
        acknowledgement: u32,
        window: u16,
        options: Vec<u8>,
    },
    Icmp {
        kind: u8,
        code: u8,
        rest: u32,
    },
}

impl Frame {
    pub fn between(source: MacAddr, destination: MacAddr) -> Self {
        Self {
            source_mac: source,
            destination_mac: destination,
            vlans: Vec::new(),
            ethertype: None,
            addresses: None,
            ttl_hops: 64,
            traffic_class: 0,
            identification: 1,
            dont_fragment: false,
            fragment: None,
            ip_options: Vec::new(),
            extensions: Vec::new(),
            // RFC 3692: for experiments.
            transport: Transport::Raw { protocol: 253 },
            payload: Vec::new(),
        }
    }

    /// Adds a VLAN tag inside those that are there.
    #[must_use]
    pub fn vlan(mut self, identifier: u16) -> Self {
        self.vlans.push(identifier);
        self
    }

    /// Something that is not IP: the payload follows the Ethernet header.
    #[must_use]
    pub fn ethertype(mut self, ethertype: u16) -> Self {
        self.ethertype = Some(ethertype);
        self
    }

    /// Source and destination.
    ///
    /// # Panics
    /// If one is no address, or they are of two families.
    #[must_use]
    pub fn ip(self, source: &str, destination: &str) -> Self {
        let parse = |text: &str| {
            text.parse()
                .unwrap_or_else(|error| panic!("{text}: {error}"))
        };
        self.addresses(parse(source), parse(destination))
    }

    /// As [`Frame::ip`].
    #[must_use]
    pub fn addresses(mut self, source: IpAddr, destination: IpAddr) -> Self {
        assert_eq!(
            source.is_ipv4(),
            destination.is_ipv4(),
            "two address families in one packet"
        );
        self.addresses = Some((source, destination));
        self
    }

    #[must_use]
    pub fn ttl(mut self, hops: u8) -> Self {
        self.ttl_hops = hops;
        self
    }

    /// DSCP and ECN, the whole byte.
    #[must_use]
    pub fn traffic_class(mut self, value: u8) -> Self {
        self.traffic_class = value;
        self
    }

    #[must_use]
    pub fn identification(mut self, identification: u32) -> Self {
        self.identification = identification;
        self
    }

    #[must_use]
    pub fn dont_fragment(mut self) -> Self {
        self.dont_fragment = true;
        self
    }

    /// Makes it a fragment. Only the first one (offset 0) has a transport header; its checksum covers what is here.
    #[must_use]
    pub fn fragment(mut self, offset_bytes: usize, more: bool) -> Self {
        self.fragment = Some((offset_bytes, more));
        self
    }

    /// IPv4 options, padded with zeros to a multiple of four.
    #[must_use]
    pub fn ip_options(mut self, options: &[u8]) -> Self {
        self.ip_options = padded(options, 4, 0);
        self
    }

    /// An IPv6 extension header. `body` follows the next-header and length bytes, padded to a multiple of eight.
    #[must_use]
    pub fn extension(mut self, protocol: u8, body: &[u8]) -> Self {
        self.extensions.push((protocol, padded(body, 8, 2)));
        self
    }

    #[must_use]
    pub fn udp(mut self, source_port: u16, destination_port: u16) -> Self {
        self.transport = Transport::Udp {
            ports: (source_port, destination_port),
        };
        self
    }

    /// Flags from `pnet_packet::tcp::TcpFlags`.
    #[must_use]
    pub fn tcp(mut self, source_port: u16, destination_port: u16, flags: u8) -> Self {
        self.transport = Transport::Tcp {
            ports: (source_port, destination_port),
            flags,
            sequence: 0,
            acknowledgement: 0,
            window: 65_535,
            options: Vec::new(),
        };
        self
    }

    /// Sequence and acknowledgement number, window, and options of the TCP segment begun with [`Frame::tcp`].
    ///
    /// # Panics
    /// If it is not TCP.
    #[must_use]
    pub fn tcp_state(mut self, at: u32, acknowledged: u32, open: u16, with: &[u8]) -> Self {
        let Transport::Tcp {
            sequence,
            acknowledgement,
            window,
            options,
            ..
        } = &mut self.transport
        else {
            panic!("not a TCP segment");
        };
        (*sequence, *acknowledgement, *window, *options) =
            (at, acknowledged, open, padded(with, 4, 0));
        self
    }

    /// ICMP over IPv4, ICMPv6 over IPv6; `rest` is the header's second word.
    #[must_use]
    pub fn icmp(mut self, kind: u8, code: u8, rest: u32) -> Self {
        self.transport = Transport::Icmp { kind, code, rest };
        self
    }

    /// An echo request of the packet's address family, so set the addresses first.
    #[must_use]
    pub fn echo_request(self, identifier: u16, sequence: u16) -> Self {
        let kind = if self.is_ipv4() { 8 } else { 128 };
        self.icmp(kind, 0, u32::from(identifier) << 16 | u32::from(sequence))
    }

    /// Any other protocol: the payload follows the IP header.
    #[must_use]
    pub fn protocol(mut self, protocol: u8) -> Self {
        self.transport = Transport::Raw { protocol };
        self
    }

    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// Adds zeros to the payload until the whole frame has this length.
    #[must_use]
    pub fn pad_to(mut self, frame_bytes: usize) -> Self {
        let missing = frame_bytes.saturating_sub(self.build().len());
        self.payload.resize(self.payload.len() + missing, 0);
        self
    }

    /// The frame's bytes.
    pub fn build(&self) -> Vec<u8> {
        let (ethertype, content) = match (self.ethertype, self.addresses) {
            (Some(ethertype), _) => (EtherType(ethertype), self.payload.clone()),
            (None, Some((IpAddr::V4(source), IpAddr::V4(destination)))) => {
                (EtherTypes::Ipv4, self.ipv4(source, destination))
            }
            (None, Some((IpAddr::V6(source), IpAddr::V6(destination)))) => {
                (EtherTypes::Ipv6, self.ipv6(source, destination))
            }
            (None, _) => (EtherType(0x88b5), self.payload.clone()),
        };
        let mut frame = vec![0; ETHERNET_BYTES];
        let mut ethernet = MutableEthernetPacket::new(&mut frame).expect("as long as the header");
        ethernet.set_source(self.source_mac.0.into());
        ethernet.set_destination(self.destination_mac.0.into());
        ethernet.set_ethertype(if self.vlans.is_empty() {
            ethertype
        } else {
            EtherTypes::Vlan
        });
        for (position, identifier) in self.vlans.iter().enumerate() {
            let mut tag = [0; 4];
            let mut vlan = MutableVlanPacket::new(&mut tag).expect("as long as the tag");
            vlan.set_vlan_identifier(*identifier);
            vlan.set_ethertype(if position + 1 == self.vlans.len() {
                ethertype
            } else {
                EtherTypes::Vlan
            });
            frame.extend(tag);
        }
        frame.extend(content);
        frame
    }

    fn ipv4(&self, source: std::net::Ipv4Addr, destination: std::net::Ipv4Addr) -> Vec<u8> {
        let (protocol, content) = self.transport();
        let header_bytes = 20 + self.ip_options.len();
        let mut packet = vec![0; header_bytes];
        packet[20..].copy_from_slice(&self.ip_options);
        let mut ip = MutableIpv4Packet::new(&mut packet).expect("as long as the header");
        ip.set_version(4);
        ip.set_header_length((header_bytes / 4) as u8);
        ip.set_dscp(self.traffic_class >> 2);
        ip.set_ecn(self.traffic_class & 3);
        ip.set_total_length((header_bytes + content.len()) as u16);
        ip.set_identification(self.identification as u16);
        let (offset_bytes, more) = self.fragment.unwrap_or_default();
        ip.set_fragment_offset((offset_bytes / 8) as u16);
        ip.set_flags(u8::from(self.dont_fragment) << 1 | u8::from(more));
        ip.set_ttl(self.ttl_hops);
        ip.set_next_level_protocol(protocol);
        ip.set_source(source);
        ip.set_destination(destination);
        ip.set_checksum(ipv4::checksum(&ip.to_immutable()));
        packet.extend(content);
        packet
    }

    fn ipv6(&self, source: std::net::Ipv6Addr, destination: std::net::Ipv6Addr) -> Vec<u8> {
        let (mut protocol, mut content) = self.transport();
        if let Some((offset_bytes, more)) = self.fragment {
            let offset_and_flags = (offset_bytes as u16 & !7) | u16::from(more);
            let mut header = vec![protocol.0, 0];
            header.extend(offset_and_flags.to_be_bytes());
            header.extend(self.identification.to_be_bytes());
            header.extend(content);
            (protocol, content) = (IpNextHeaderProtocols::Ipv6Frag, header);
        }
        for (extension, body) in self.extensions.iter().rev() {
            let mut header = vec![protocol.0, ((body.len() + 2) / 8 - 1) as u8];
            header.extend(body);
            header.extend(content);
            (protocol, content) = (IpNextHeaderProtocol(*extension), header);
        }
        let mut packet = vec![0; 40];
        let mut ip = MutableIpv6Packet::new(&mut packet).expect("as long as the header");
        ip.set_version(6);
        ip.set_traffic_class(self.traffic_class);
        ip.set_payload_length(content.len() as u16);
        ip.set_next_header(protocol);
        ip.set_hop_limit(self.ttl_hops);
        ip.set_source(source);
        ip.set_destination(destination);
        packet.extend(content);
        packet
    }

    /// The transport header with its checksum, and the payload.
    fn transport(&self) -> (IpNextHeaderProtocol, Vec<u8>) {
        let later_fragment = self.fragment.is_some_and(|(offset, _)| offset > 0);
        let (protocol, mut header, checksum_at) = match &self.transport {
            Transport::Raw { protocol } => {
                return (IpNextHeaderProtocol(*protocol), self.payload.clone());
            }
            Transport::Udp { ports } => (IpNextHeaderProtocols::Udp, self.udp_header(*ports), 6),
            Transport::Tcp { .. } => (IpNextHeaderProtocols::Tcp, self.tcp_header(), 16),
            Transport::Icmp { kind, code, rest } => {
                let protocol = if self.is_ipv4() {
                    IpNextHeaderProtocols::Icmp
                } else {
                    IpNextHeaderProtocols::Icmpv6
                };
                (protocol, icmp_header(*kind, *code, *rest), 2)
            }
        };
        if later_fragment {
            return (protocol, self.payload.clone());
        }
        header.extend(&self.payload);
        let skip_word = checksum_at / 2;
        let mut checksum = match self.addresses {
            Some((IpAddr::V4(source), IpAddr::V4(destination)))
                if protocol != IpNextHeaderProtocols::Icmp =>
            {
                util::ipv4_checksum(&header, skip_word, &[], &source, &destination, protocol)
            }
            Some((IpAddr::V6(source), IpAddr::V6(destination))) => {
                util::ipv6_checksum(&header, skip_word, &[], &source, &destination, protocol)
            }
            _ => util::checksum(&header, skip_word),
        };
        if protocol == IpNextHeaderProtocols::Udp && checksum == 0 {
            // RFC 768: zero would mean that there is none.
            checksum = 0xffff;
        }
        header[checksum_at..checksum_at + 2].copy_from_slice(&checksum.to_be_bytes());
        (protocol, header)
    }

    fn udp_header(&self, (source_port, destination_port): (u16, u16)) -> Vec<u8> {
        let mut header = vec![0; 8];
        let mut udp = MutableUdpPacket::new(&mut header).expect("as long as the header");
        udp.set_source(source_port);
        udp.set_destination(destination_port);
        udp.set_length((8 + self.payload.len()) as u16);
        header
    }

    fn tcp_header(&self) -> Vec<u8> {
        let Transport::Tcp {
            ports,
            flags,
            sequence,
            acknowledgement,
            window,
            options,
        } = &self.transport
        else {
            return Vec::new();
        };
        let mut header = vec![0; 20 + options.len()];
        header[20..].copy_from_slice(options);
        let data_offset = (header.len() / 4) as u8;
        let mut tcp = MutableTcpPacket::new(&mut header).expect("as long as the header");
        tcp.set_source(ports.0);
        tcp.set_destination(ports.1);
        tcp.set_sequence(*sequence);
        tcp.set_acknowledgement(*acknowledgement);
        tcp.set_data_offset(data_offset);
        tcp.set_flags(*flags);
        tcp.set_window(*window);
        header
    }

    fn is_ipv4(&self) -> bool {
        self.addresses.is_none_or(|(source, _)| source.is_ipv4())
    }
}

fn icmp_header(kind: u8, code: u8, rest: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    let mut icmp = MutableIcmpPacket::new(&mut header).expect("as long as the header");
    icmp.set_icmp_type(pnet_packet::icmp::IcmpType(kind));
    icmp.set_icmp_code(pnet_packet::icmp::IcmpCode(code));
    header.extend(rest.to_be_bytes());
    header
}

/// Zeros added until `before` bytes and these are a multiple of `unit`.
fn padded(bytes: &[u8], unit: usize, before: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes.resize((bytes.len() + before).next_multiple_of(unit) - before, 0);
    bytes
}

/// Cuts an untagged IPv4 frame into fragments whose packets have at most `mtu` bytes.
pub fn fragments(frame: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>> {
    let (ethernet, packet) = frame
        .split_at_checked(ETHERNET_BYTES)
        .context("no Ethernet header")?;
    let ip = Ipv4Packet::new(packet).context("no IPv4 header")?;
    ensure!(
        ip.get_version() == 4 && ip.get_header_length() == 5,
        "only IPv4 without options can be cut"
    );
    ensure!(mtu >= 28, "an MTU of {mtu} has no room for data");
    let (header, data) = packet.split_at(20);
    let step = (mtu - 20) & !7;
    let pieces = data.chunks(step).enumerate().map(|(position, piece)| {
        let mut fragment = [ethernet, header, piece].concat();
        let mut ip =
            MutableIpv4Packet::new(&mut fragment[ETHERNET_BYTES..]).expect("has the header");
        ip.set_total_length((20 + piece.len()) as u16);
        ip.set_fragment_offset((position * step / 8) as u16);
        ip.set_flags(u8::from((position + 1) * step < data.len()));
        ip.set_checksum(ipv4::checksum(&ip.to_immutable()));
        fragment
    });
    Ok(pieces.collect())
}

/// Wrong in one way each: what no firewall may forward or stumble over. Every one is UDP or TCP from 192.0.2.10 to
/// 198.51.100.10 over IPv4, or the same between 2001:db8:1::10 and 2001:db8:2::10.
pub fn malformed(source: MacAddr, destination: MacAddr) -> Vec<(&'static str, Vec<u8>)> {
    let ipv4 = Frame::between(source, destination).ip("192.0.2.10", "198.51.100.10");
    let ipv6 = Frame::between(source, destination).ip("2001:db8:1::10", "2001:db8:2::10");
    let udp = ipv4.clone().udp(1024, 9).payload(&[0; 32]).build();
    let tcp = ipv4.clone().tcp(1024, 9, 0x02).build();
    let udp6 = ipv6.clone().udp(1024, 9).payload(&[0; 32]).build();
    let changed = |frame: &[u8], at: usize, bytes: &[u8]| {
        let mut frame = frame.to_vec();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        mend_ipv4_checksum(&mut frame);
        frame
    };
    let mut bad_checksum = udp.clone();
    bad_checksum[24] ^= 0xff;
    vec![
        ("IPv4 header cut short", udp[..30].to_vec()),
        ("IPv4 version 5", changed(&udp, 14, &[0x55])),
        ("IPv4 header length 4 words", changed(&udp, 14, &[0x44])),
        (
            "IPv4 header longer than the packet",
            changed(&udp, 14, &[0x4f, 0, 0, 40]),
        ),
        (
            "IPv4 total length beyond the frame",
            changed(&udp, 16, &1400_u16.to_be_bytes()),
        ),
        (
            "IPv4 total length below the header",
            changed(&udp, 16, &16_u16.to_be_bytes()),
        ),
        ("IPv4 header checksum wrong", bad_checksum),
        (
            "IPv4 source is a multicast address",
            changed(&udp, 26, &[224, 0, 0, 1]),
        ),
        (
            "IPv4 source is loopback",
            changed(&udp, 26, &[127, 0, 0, 1]),
        ),
        (
            "IPv4 fragment beyond 65,535 bytes",
            changed(&udp, 20, &[0x1f, 0xff]),
        ),
        (
            "UDP header cut short by the total length",
            changed(&udp, 16, &24_u16.to_be_bytes()),
        ),
        (
            "UDP length beyond the packet",
            changed(&udp, 38, &100_u16.to_be_bytes()),
        ),
        (
            "UDP length below the header",
            changed(&udp, 38, &7_u16.to_be_bytes()),
        ),
        ("TCP data offset 4 words", changed(&tcp, 46, &[0x40])),
        (
            "TCP data offset beyond the packet",
            changed(&tcp, 46, &[0xf0]),
        ),
        ("TCP without flags", changed(&tcp, 47, &[0])),
        ("TCP with SYN and FIN", changed(&tcp, 47, &[0x03])),
        ("IPv6 header cut short", udp6[..40].to_vec()),
        (
            "IPv6 payload length beyond the frame",
            changed(&udp6, 18, &1400_u16.to_be_bytes()),
        ),
        ("IPv6 extension header beyond the packet", {
            let frame = ipv6.clone().extension(0, &[]).udp(1024, 9).build();
            changed(&frame, 55, &[200])
        }),
        (
            "IPv6 source is a multicast address",
            changed(&udp6, 22, &[0xff]),
        ),
    ]
}

/// Computes the header checksum of an untagged IPv4 frame anew, if it has a header.
pub fn mend_ipv4_checksum(frame: &mut [u8]) {
    if frame.get(12..14) != Some(&[0x08, 0x00]) {
        return;
    }
    let header_bytes = usize::from(frame[ETHERNET_BYTES] & 0x0f) * 4;
    if let Some(header) = frame.get_mut(ETHERNET_BYTES..ETHERNET_BYTES + header_bytes.max(20)) {
        let checksum = util::checksum(header, 5);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{self, decode};
    use crate::lab::Chain;

    fn ipv4() -> Frame {
        Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC).ip("192.0.2.10", "198.51.100.10")
    }

    fn ipv6() -> Frame {
        Frame::between(Chain::CLIENT_MAC, Chain::FW_LEFT_MAC).ip("2001:db8:1::10", "2001:db8:2::10")
    }

    #[test]
    fn every_kind_of_frame_has_valid_checksums() {
        for base in [
            ipv4(),
            ipv6(),
            ipv4().vlan(7),
            ipv4().ip_options(&[1, 1, 1]),
            ipv6().extension(60, &[1, 2]),
        ] {
            for frame in [
                base.clone().udp(1, 2).payload(b"odd"),
                base.clone()
                    .tcp(1, 2, 0x12)
                    .tcp_state(7, 8, 9, &[2, 4, 5, 0xb4])
                    .payload(b"x"),
                base.clone().echo_request(3, 4).payload(b"even"),
            ] {
                let frame = frame.build();
                decode::verify_network_checksum(&frame).expect("network checksum");
                decode::verify_transport_checksum(&frame).expect("transport checksum");
                assert!(decode(&frame).expect("well-formed").transport != decode::Transport::Other);
            }
        }
    }

    #[test]
    fn a_flipped_bit_breaks_a_checksum() {
        let mut frame = ipv6().udp(1, 2).payload(b"payload").build();
        decode::verify_transport_checksum(&frame).expect("valid");
        *frame.last_mut().expect("not empty") ^= 1;
        decode::verify_transport_checksum(&frame).expect_err("no longer");
    }

    #[test]
    fn fragments_carry_the_whole_packet() {
        let frame = ipv4().udp(1, 2).payload(&[7; 3000]).build();
        let fragments = fragments(&frame, 1500).expect("can be cut");
        assert_eq!(fragments.len(), 3);
        let mut data: Vec<u8> = Vec::new();
        for fragment in &fragments {
            decode::verify_network_checksum(fragment).expect("network checksum");
            assert!(decode(fragment).expect("well-formed").fragment.is_some());
            data.extend(&fragment[34..]);
        }
        assert_eq!(data, frame[34..]);
    }

    #[test]
    fn a_frame_is_padded_to_the_length_asked_for() {
        assert_eq!(ipv4().udp(1, 2).pad_to(60).build().len(), 60);
        assert_eq!(ipv6().udp(1, 2).pad_to(1514).build().len(), 1514);
    }
}

//! What a frame says, and whether its checksums hold: a second opinion that shares no code with the appliance.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::tcp::TcpPacket;
use pnet_packet::udp::UdpPacket;
use pnet_packet::vlan::VlanPacket;

use crate::lab::MacAddr;

/// An IP packet in an Ethernet frame, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    pub source_mac: MacAddr,
    pub destination_mac: MacAddr,
    /// The outermost tag inside the frame; see also [`Captured::vlan`](crate::capture::Captured).
    pub vlan: Option<u16>,
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl_hops: u8,
    pub fragment: Option<Fragment>,
    /// After IPv6's extension headers.
    pub protocol: u8,
    pub transport: Transport,
    /// What follows the transport header, or the IP header of a later fragment.
    pub payload: Vec<u8>,
}

impl Decoded {
    /// Type and code of an ICMP or ICMPv6 message.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        match self.transport {
            Transport::Icmp { kind, code, .. } => Some((kind, code)),
            _ => None,
        }
    }

    /// RFC 792, RFC 4443 2.1.
    pub fn is_icmp_error(&self) -> bool {
        match (self.icmp(), self.source) {
            (Some((kind, _)), IpAddr::V4(_)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
            (Some((kind, _)), IpAddr::V6(_)) => kind < 128,
            (None, _) => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    pub identification: u32,
    pub offset_bytes: usize,
    pub more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp {
        source_port: u16,
        destination_port: u16,
    },
    Tcp {
        source_port: u16,
        destination_port: u16,
        flags: u8,
        sequence: u32,
        acknowledgement: u32,
        window: u16,
    },
    /// ICMP or ICMPv6: `rest` is the header's second word, and the payload follows it.
    Icmp { kind: u8, code: u8, rest: u32 },
    /// Another protocol, or a fragment without a transport header.
    Other,
}

impl Transport {
    /// Source and destination port, if there are any.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match *self {
            Self::Udp {
                source_port,
                destination_port,
            }
            | Self::Tcp {
                source_port,
                destination_port,
                ..
            } => Some((source_port, destination_port)),
            Self::Icmp { .. } | Self::Other => None,
        }
    }
}

/// What an ICMP error says about the packet that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    pub source: IpAddr,
    pub destination: IpAddr,
    /// Source and destination port, of TCP and UDP.
    pub ports: Option<(u16, u16)>,
}

/// Takes a frame apart. Fails on what is not IP, or is cut short.
pub fn decode(frame: &[u8]) -> Result<Decoded> {
    let ethernet = EthernetPacket::new(frame).context("no Ethernet header")?;
    let network = network(frame)?;
    let (transport, payload) = network.transport()?;
    Ok(Decoded {
        source_mac: MacAddr(ethernet.get_source().octets()),
        destination_mac: MacAddr(ethernet.get_destination().octets()),
        vlan: network.vlan,
        source: network.source,
        destination: network.destination,
        ttl_hops: network.ttl_hops,
        fragment: network.fragment,
        protocol: network.protocol.0,
        transport,
        payload: payload.to_vec(),
    })
}

/// Takes apart the packet that an ICMP error quotes, which may be cut short after its ports.
pub fn decode_quoted(packet: &[u8]) -> Result<Quoted> {
    let network = network_layer(packet, None, false)?;
    let ports = match (network.protocol, network.payload) {
        (IpNextHeaderProtocols::Udp | IpNextHeaderProtocols::Tcp, [a, b, c, d, ..]) => {
            Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
        }
        _ => None,
    };
    Ok(Quoted {
        source: network.source,
        destination: network.destination,
        ports,
    })
}

/// Takes apart a packet that an ICMP error quotes whole, and verifies every checksum of it.
pub fn decode_quoted_whole(packet: &[u8]) -> Result<Decoded> {
    let ethertype = if packet.first().is_some_and(|byte| byte >> 4 == 6) {
        [0x86, 0xdd]
    } else {
        [0x08, 0x00]
    };
    let frame = [[0; 12].as_slice(), &ethertype, packet].concat();
    verify_network_checksum(&frame)?;
    verify_transport_checksum(&frame)?;
    decode(&frame)
}

/// RFC 791: the header's checksum. IPv6 has none.
pub fn verify_network_checksum(frame: &[u8]) -> Result<()> {
    if let Some(header) = network(frame)?.ipv4_header {
        ensure!(
            ones_complement_sum([header]) == 0xffff,
            "the IPv4 header checksum is wrong"
        );
    }
    Ok(())
}

/// The checksum of TCP, UDP (RFC 768: zero means none, over IPv4 only), ICMP or ICMPv6. Fragments have none of their
/// own.
pub fn verify_transport_checksum(frame: &[u8]) -> Result<()> {
    let network = network(frame)?;
    if network.fragment.is_some() {
        return Ok(());
    }
    let is_ipv4 = network.source.is_ipv4();
    let sum = match network.protocol {
        IpNextHeaderProtocols::Icmp if is_ipv4 => ones_complement_sum([network.payload]),
        IpNextHeaderProtocols::Udp if is_ipv4 && network.payload.get(6..8) == Some(&[0, 0]) => {
            return Ok(());
        }
        IpNextHeaderProtocols::Udp | IpNextHeaderProtocols::Tcp | IpNextHeaderProtocols::Icmpv6 => {
            ones_complement_sum([network.pseudo_header()?.as_slice(), network.payload])
        }
        _ => return Ok(()),
    };
    ensure!(
        sum == 0xffff,
        "the checksum of {} is wrong",
        network.protocol
    );
    Ok(())
}

/// A checksum that a sender left to its device: only the pseudo-header's sum stands in the field (what Linux calls
/// `CHECKSUM_PARTIAL`), and whoever fills it in later relies on that.
pub fn verify_unfilled_checksum(frame: &[u8]) -> Result<()> {
    let network = network(frame)?;
    let at = match network.protocol {
        IpNextHeaderProtocols::Tcp => 16,
        IpNextHeaderProtocols::Udp => 6,
        other => bail!("{other} leaves no checksum to a device"),
    };
    let field = network.payload.get(at..at + 2).context("no checksum")?;
    let sum = ones_complement_sum([network.pseudo_header()?.as_slice()]);
    ensure!(
        field == sum.to_be_bytes(),
        "the unfilled checksum of {} is {field:x?}, not {sum:#x}",
        network.protocol
    );
    Ok(())
}

struct Network<'a> {
    vlan: Option<u16>,
    source: IpAddr,
    destination: IpAddr,
    ttl_hops: u8,
    fragment: Option<Fragment>,
    protocol: IpNextHeaderProtocol,
    ipv4_header: Option<&'a [u8]>,
    /// As long as the header says, without padding.
    payload: &'a [u8],
}

impl<'a> Network<'a> {
    fn transport(&self) -> Result<(Transport, &'a [u8])> {
        if self
            .fragment
            .is_some_and(|fragment| fragment.offset_bytes > 0)
        {
            return Ok((Transport::Other, self.payload));
        }
        let (transport, header_bytes) = match self.protocol {
            IpNextHeaderProtocols::Udp => {
                let udp = UdpPacket::new(self.payload).context("the UDP header is cut short")?;
                (
                    Transport::Udp {
                        source_port: udp.get_source(),
                        destination_port: udp.get_destination(),
                    },
                    8,
                )
            }
            IpNextHeaderProtocols::Tcp => {
                let tcp = TcpPacket::new(self.payload).context("the TCP header is cut short")?;
                let transport = Transport::Tcp {
                    source_port: tcp.get_source(),
                    destination_port: tcp.get_destination(),
                    flags: tcp.get_flags(),
                    sequence: tcp.get_sequence(),
                    acknowledgement: tcp.get_acknowledgement(),
                    window: tcp.get_window(),
                };
                (transport, usize::from(tcp.get_data_offset()) * 4)
            }
            IpNextHeaderProtocols::Icmp | IpNextHeaderProtocols::Icmpv6 => {
                let icmp: &[u8; 8] = self
                    .payload
                    .first_chunk()
                    .context("the ICMP header is cut short")?;
                let [kind, code, _, _, rest @ ..] = *icmp;
                (
                    Transport::Icmp {
                        kind,
                        code,
                        rest: u32::from_be_bytes(rest),
                    },
                    8,
                )
            }
            _ => (Transport::Other, 0),
        };
        let payload = self
            .payload
            .get(header_bytes..)
            .context("the transport header is longer than the packet")?;
        Ok((transport, payload))
    }

    /// RFC 793 and RFC 8200, section 8.1.
    fn pseudo_header(&self) -> Result<Vec<u8>> {
        let mut header = Vec::with_capacity(40);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                header.extend(source.octets());
                header.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                header.extend(source.octets());
                header.extend(destination.octets());
            }
            _ => bail!("two address families in one packet"),
        }
        header.extend(u32::try_from(self.payload.len())?.to_be_bytes());
        header.extend([0, 0, 0, self.protocol.0]);
        Ok(header)
    }
}

fn network(frame: &[u8]) -> Result<Network<'_>> {
    let ethernet = EthernetPacket::new(frame).context("no Ethernet header")?;
    let mut ethertype = ethernet.get_ethertype();
    let mut rest = &frame[EthernetPacket::minimum_packet_size()..];
    let mut outer_vlan = None;
    while matches!(ethertype, EtherTypes::Vlan | EtherTypes::QinQ) {
        let vlan = VlanPacket::new(rest).context("the VLAN tag is cut short")?;
        outer_vlan.get_or_insert(vlan.get_vlan_identifier());
        ethertype = vlan.get_ethertype();
        rest = &rest[VlanPacket::minimum_packet_size()..];
    }
    ensure!(is_ip(ethertype), "not IP but {ethertype}");
    network_layer(rest, outer_vlan, true)
}

fn is_ip(ethertype: EtherType) -> bool {
    matches!(ethertype, EtherTypes::Ipv4 | EtherTypes::Ipv6)
}

/// A complete packet must be as long as its header says; a quoted one may be shorter.
fn network_layer(packet: &[u8], vlan: Option<u16>, complete: bool) -> Result<Network<'_>> {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => ipv4(packet, vlan, complete),
        Some(6) => ipv6(packet, vlan, complete),
        other => bail!("IP version {other:?}"),
    }
}

fn ipv4(packet: &[u8], vlan: Option<u16>, complete: bool) -> Result<Network<'_>> {
    let ip = Ipv4Packet::new(packet).context("the IPv4 header is cut short")?;
    let header_bytes = usize::from(ip.get_header_length()) * 4;
    let end = usize::from(ip.get_total_length());
    ensure!(
        !complete || end <= packet.len(),
        "the IPv4 packet is cut short"
    );
    let end = end.min(packet.len());
    ensure!(
        (20..=end).contains(&header_bytes),
        "an IPv4 header of {header_bytes} bytes"
    );
    let (offset, more) = (ip.get_fragment_offset(), ip.get_flags() & 1 == 1);
    let fragment = Fragment {
        identification: ip.get_identification().into(),
        offset_bytes: usize::from(offset) * 8,
        more,
    };
    Ok(Network {
        vlan,
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        ttl_hops: ip.get_ttl(),
        fragment: (more || offset > 0).then_some(fragment),
        protocol: ip.get_next_level_protocol(),
        ipv4_header: Some(&packet[..header_bytes]),
        payload: &packet[header_bytes..end],
    })
}

fn ipv6(packet: &[u8], vlan: Option<u16>, complete: bool) -> Result<Network<'_>> {
    let ip = Ipv6Packet::new(packet).context("the IPv6 header is cut short")?;
    let end = 40 + usize::from(ip.get_payload_length());
    ensure!(
        !complete || end <= packet.len(),
        "the IPv6 packet is cut short"
    );
    let mut network = Network {
        vlan,
        source: ip.get_source().into(),
        destination: ip.get_destination().into(),
        ttl_hops: ip.get_hop_limit(),
        fragment: None,
        protocol: ip.get_next_header(),
        ipv4_header: None,
        payload: &packet[40..end.min(packet.len())],
    };
    // RFC 8200, section 4.
    while matches!(
        network.protocol,
        IpNextHeaderProtocols::Hopopt
            | IpNextHeaderProtocols::Ipv6Route
            | IpNextHeaderProtocols::Ipv6Frag
            | IpNextHeaderProtocols::Ipv6Opts
    ) {
        let header: &[u8; 8] = network
            .payload
            .first_chunk()
            .context("an extension header is cut short")?;
        let mut header_bytes = 8 + usize::from(header[1]) * 8;
        if network.protocol == IpNextHeaderProtocols::Ipv6Frag {
            let [_, _, offset_high, offset_low, identification @ ..] = *header;
            let offset_and_flags = u16::from_be_bytes([offset_high, offset_low]);
            network.fragment = Some(Fragment {
                identification: u32::from_be_bytes(identification),
                offset_bytes: usize::from(offset_and_flags & !7),
                more: offset_and_flags & 1 == 1,
            });
            header_bytes = 8;
        }
        network.protocol = IpNextHeaderProtocol(header[0]);
        network.payload = network
            .payload
            .get(header_bytes..)
            .context("an extension header is cut short")?;
        if network
            .fragment
            .is_some_and(|fragment| fragment.offset_bytes > 0)
        {
            break;
        }
    }
    Ok(network)
}

/// RFC 1071. Every part but the last must have an even length.
fn ones_complement_sum<const N: usize>(parts: [&[u8]; N]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

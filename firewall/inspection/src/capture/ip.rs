//! IP and transport headers, read leniently: a capture may have cut a packet off, and left its checksums unfilled.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::fragments::{Fragment, Fragments};
use crate::bytes::Bytes;
use crate::session::{TCP, UDP};

/// A packet's ends and content.
#[derive(Debug)]
pub(super) struct Packet<'a> {
    pub(super) ip_protocol: u8,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    /// As the IP header says it.
    pub(super) ip_bytes: u64,
    pub(super) tcp: Option<Tcp>,
    /// What signatures ask of the IP header.
    pub(super) ip: Ip,
    pub(super) payload: Cow<'a, [u8]>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Tcp {
    pub(super) sequence: u32,
    pub(super) acknowledgment: u32,
    /// RFC 9293 3.1: FIN, SYN, RST, PSH, ACK, URG from the lowest bit on.
    pub(super) flags: u8,
    pub(super) window: u16,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ip {
    pub(super) ttl_hops: u8,
    pub(super) tos: u8,
    pub(super) identification: Option<u16>,
    pub(super) is_reassembled: bool,
}

struct Network<'a> {
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    fragment: Option<Fragment>,
    ip: Ip,
    ip_bytes: u64,
    payload: &'a [u8],
}

/// `None`: no IP packet, or a fragment whose packet is not whole yet.
pub(super) fn read<'a>(packet: &'a [u8], fragments: &mut Fragments) -> Option<Packet<'a>> {
    let network = match packet.at(0)? >> 4 {
        4 => v4(packet)?,
        6 => v6(packet)?,
        _ => return None,
    };
    let payload = match network.fragment {
        None => Cow::Borrowed(network.payload),
        Some(fragment) => {
            let key = (network.source, network.destination, network.protocol);
            Cow::Owned(fragments.take(key, fragment, network.payload)?)
        }
    };
    transport(&network, payload)
}

fn v4(packet: &[u8]) -> Option<Network<'_>> {
    let header = usize::from(packet.at(0)? & 0xf) * 4;
    // 0 is what segmentation offload leaves: the packet is as long as it is.
    let total = match usize::from(packet.be16(2)?) {
        0 => packet.len(),
        total => total,
    };
    if header < 20 || total < header {
        return None;
    }
    let address = |at| Some(IpAddr::from(Ipv4Addr::from(packet.be32(at)?)));
    let fragmentation = packet.be16(6)?;
    let offset = usize::from(fragmentation & 0x1fff) * 8;
    let more = fragmentation & 0x2000 != 0;
    Some(Network {
        source: address(12)?,
        destination: address(16)?,
        protocol: packet.at(9)?,
        fragment: (more || offset > 0).then_some(Fragment {
            id: u32::from(packet.be16(4)?),
            offset,
            more,
        }),
        ip: Ip {
            ttl_hops: packet.at(8)?,
            tos: packet.at(1)?,
            identification: packet.be16(4),
            is_reassembled: more || offset > 0,
        },
        ip_bytes: total as u64,
        payload: packet.get(header..total.min(packet.len()))?,
    })
}

fn v6(packet: &[u8]) -> Option<Network<'_>> {
    let address = |at| {
        let bytes: [u8; 16] = packet.part(at, 16)?.try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(bytes)))
    };
    let length = usize::from(packet.be16(4)?);
    let end = if length == 0 {
        packet.len()
    } else {
        (40 + length).min(packet.len())
    };
    let mut protocol = packet.at(6)?;
    let mut rest = packet.get(40..end)?;
    let mut fragment = None;
    // RFC 8200 4: extension headers take eight bytes at least, so the loop ends with the packet.
    loop {
        let header = match protocol {
            // Hop-by-hop, routing, destination options, mobility.
            0 | 43 | 60 | 135 => (usize::from(rest.at(1)?) + 1) * 8,
            // RFC 4302 2.2.
            51 => (usize::from(rest.at(1)?) + 2) * 4,
            44 => {
                let word = rest.be16(2)?;
                let (offset, more) = (usize::from(word & !7), word & 1 == 1);
                if more || offset > 0 {
                    fragment = Some(Fragment {
                        id: rest.be32(4)?,
                        offset,
                        more,
                    });
                }
                8
            }
            _ => break,
        };
        protocol = rest.at(0)?;
        rest = rest.get(header..)?;
        if fragment.is_some_and(|fragment| fragment.offset > 0) {
            break;
        }
    }
    Some(Network {
        source: address(8)?,
        destination: address(24)?,
        protocol,
        fragment,
        ip: Ip {
            ttl_hops: packet.at(7)?,
            tos: (packet.be16(0)? >> 4) as u8,
            identification: None,
            is_reassembled: fragment.is_some(),
        },
        ip_bytes: 40 + length as u64,
        payload: rest,
    })
}

fn transport<'a>(network: &Network<'_>, payload: Cow<'a, [u8]>) -> Option<Packet<'a>> {
    let bytes: &[u8] = &payload;
    let (ports, tcp, skip) = match network.protocol {
        TCP => {
            let header = usize::from(bytes.at(12)? >> 4) * 4;
            let tcp = Tcp {
                sequence: bytes.be32(4)?,
                acknowledgment: bytes.be32(8)?,
                flags: bytes.at(13)?,
                window: bytes.be16(14)?,
            };
            if header < 20 {
                return None;
            }
            ((bytes.be16(0)?, bytes.be16(2)?), Some(tcp), header)
        }
        UDP => ((bytes.be16(0)?, bytes.be16(2)?), None, 8),
        _ => ((0, 0), None, 0),
    };
    // RFC 768: what lies behind the length is not the datagram's. 0 stands for a jumbogram, or nothing was filled in.
    let end = match (network.protocol, bytes.be16(4)) {
        (UDP, Some(length)) if length >= 8 => usize::from(length).min(bytes.len()),
        _ => bytes.len(),
    };
    let skip = skip.min(end);
    let payload = match payload {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[skip..end]),
        Cow::Owned(bytes) => Cow::Owned(bytes[skip..end].to_vec()),
    };
    Some(Packet {
        ip_protocol: network.protocol,
        source: SocketAddr::new(network.source, ports.0),
        destination: SocketAddr::new(network.destination, ports.1),
        ip_bytes: network.ip_bytes,
        tcp,
        ip: network.ip,
        payload,
    })
}

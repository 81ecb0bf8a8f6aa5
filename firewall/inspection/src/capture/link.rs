//! What stands in front of the IP header: tcpdump.org, "Link-layer header types".

use pcap_parser::Linktype;

use crate::bytes::Bytes;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;
const SERVICE_VLAN: u16 = 0x88a8;
const OLD_SERVICE_VLAN: u16 = 0x9100;
const PPPOE_SESSION: u16 = 0x8864;
const MPLS: u16 = 0x8847;

/// The IP packet, `Some(None)` where there is none in it; `None` for a link type that is not read.
pub(super) fn network(link: Linktype, bytes: &[u8]) -> Option<Option<&[u8]>> {
    Some(match link {
        Linktype::ETHERNET => bytes
            .be16(12)
            .and_then(|kind| ethertype(kind, bytes.after(14))),
        // 101 is the registered number, 12 and 14 what some systems write for it.
        Linktype(12 | 14 | 101 | 228 | 229) => Some(bytes),
        // The family in the byte order of the machine that wrote it, or of the network; the IP version tells as much.
        Linktype::NULL | Linktype::LOOP => bytes.get(4..),
        Linktype::LINUX_SLL => bytes
            .be16(14)
            .and_then(|kind| ethertype(kind, bytes.after(16))),
        Linktype(276) => bytes
            .be16(0)
            .and_then(|kind| ethertype(kind, bytes.after(20))),
        Linktype(9) => point_to_point(bytes),
        _ => return None,
    })
    .map(|packet| {
        packet.filter(|packet| matches!(packet.first().map(|first| first >> 4), Some(4 | 6)))
    })
}

fn ethertype(kind: u16, bytes: &[u8]) -> Option<&[u8]> {
    let (mut kind, mut rest) = (kind, bytes);
    // Tags and labels are as many as the frame has room for.
    loop {
        match kind {
            IPV4 | IPV6 => return Some(rest),
            VLAN | SERVICE_VLAN | OLD_SERVICE_VLAN => {
                kind = rest.be16(2)?;
                rest = rest.after(4);
            }
            PPPOE_SESSION => return point_to_point(rest.after(6)),
            MPLS => {
                let is_last = rest.at(2)? & 1 == 1;
                rest = rest.after(4);
                if is_last {
                    return Some(rest);
                }
            }
            _ => return None,
        }
    }
}

/// RFC 1661 2, with the HDLC framing of RFC 1662 or without.
fn point_to_point(bytes: &[u8]) -> Option<&[u8]> {
    let bytes = bytes.strip_prefix(&[0xff, 0x03]).unwrap_or(bytes);
    match bytes.be16(0)? {
        0x0021 | 0x0057 => Some(bytes.after(2)),
        _ if matches!(bytes[0], 0x21 | 0x57) => Some(bytes.after(1)),
        _ => None,
    }
}

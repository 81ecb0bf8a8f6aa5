//! Tunnels' control: L2TP (RFC 2661 3.1 and 4.4.1), PPTP (RFC 2637 2), Teredo (RFC 4380 5.1).

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const L2TP: Dissector = Dissector {
    protocol: Protocol::L2tp,
    tcp: None,
    udp: Some(l2tp),
    tcp_ports: &[],
    udp_ports: &[1_701],
};

pub(crate) const PPTP: Dissector = Dissector {
    protocol: Protocol::Pptp,
    tcp: Some(pptp),
    udp: None,
    tcp_ports: &[1_723],
    udp_ports: &[],
};

pub(crate) const TEREDO: Dissector = Dissector {
    protocol: Protocol::Teredo,
    tcp: None,
    udp: Some(teredo),
    tcp_ports: &[],
    udp_ports: &[3_544],
};

/// A control message: its bits, its length, and the AVP that says which it is.
fn l2tp(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    if payload.be16(0)? & 0xcb0f != 0xc802 {
        return Some(Answer::maybe_if(
            datagram.has_port(1_701) && payload.at(1)? & 0xf == 2,
        ));
    }
    let fits = usize::from(payload.be16(2)?) == payload.len();
    // Without a message it acknowledges.
    let is_message =
        payload.len() == 12 || (payload.be16(12)? & 0x3ff == 8 && payload.be32(14)? == 0);
    Some(Answer::certain_if(fits && is_message))
}

fn pptp(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        let length = bytes.be16(0)?;
        if !(12..=512).contains(&length) || !matches!(bytes.be16(2)?, 1 | 2) {
            return Some(Answer::NotForMe);
        }
        Some(Answer::certain_if(bytes.be32(4)? == 0x1a2b_3c4d))
    }))
}

/// An IPv6 packet, behind authentication (1) and origin (0) or neither, one of whose ends is Teredo's or local.
fn teredo(datagram: &Datagram<'_>) -> Option<Answer> {
    let mut packet = datagram.payload;
    if packet.be16(0)? == 1 {
        packet = packet.after(13 + usize::from(packet.at(2)?) + usize::from(packet.at(3)?));
    }
    if packet.be16(0)? == 0 {
        packet = packet.after(8);
    }
    let is_packet = packet.at(0)? >> 4 == 6 && usize::from(packet.be16(4)?) + 40 == packet.len();
    let is_end = |at: usize| {
        packet
            .be32(at)
            .is_some_and(|prefix| prefix == 0x2001_0000 || prefix >> 16 == 0xfe80)
    };
    if !is_packet || !(is_end(8) || is_end(24)) {
        return Some(Answer::NotForMe);
    }
    Some(if datagram.has_port(3_544) {
        Answer::Certain
    } else {
        Answer::Likely
    })
}

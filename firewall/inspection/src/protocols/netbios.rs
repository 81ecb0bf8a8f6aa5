//! NetBIOS over TCP and UDP: RFC 1002 4.2 (names), 4.3 (sessions), 4.4 (datagrams).

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::NetBios,
    tcp: Some(tcp),
    udp: Some(udp),
    tcp_ports: &[139],
    udp_ports: &[137, 138],
};

/// RFC 1001 14.1: 16 bytes as 32 letters.
fn is_name(bytes: &[u8]) -> Option<bool> {
    let letters = bytes.part(1, 32)?;
    Some(bytes.at(0)? == 32 && letters.iter().all(|letter| (b'A'..=b'P').contains(letter)))
}

fn udp(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    // A datagram: its type, and the source port in the header.
    if (0x10..=0x16).contains(&payload.at(0)?) && payload.be16(8)? == 138 {
        return Some(Answer::Certain);
    }
    // A question or an answer, of type NB or NBSTAT, or behind a scope.
    let (questions, answers) = (payload.be16(4)?, payload.be16(6)?);
    let rest = payload.after(12);
    let is_kind = rest.at(33) != Some(0) || matches!(rest.be16(34), Some(0x20 | 0x21));
    let has_name = questions <= 1 && answers <= 1 && is_name(rest).unwrap_or(false) && is_kind;
    // Nothing else is at both ports, however damaged.
    let is_here = datagram.source_port == datagram.destination_port
        && matches!(datagram.source_port, 137 | 138);
    Some(if has_name {
        Answer::Certain
    } else {
        Answer::likely_if(is_here)
    })
}

fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    if first.at(0)? != 0x81 {
        return Some(Answer::NotForMe);
    }
    if first.at(1)? > 1 || first.be16(2)? < 68 {
        return Some(Answer::NotForMe);
    }
    Some(Answer::certain_if(is_name(first.after(4))?))
}

//! RADIUS: RFC 2865 3 and 5, RFC 2866, RFC 5176.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Radius,
    tcp: None,
    udp: Some(recognise),
    tcp_ports: &[],
    udp_ports: PORTS,
};

const PORTS: &[u16] = &[1_812, 1_813, 1_645, 1_646, 3_799];
const HEADER_BYTES: usize = 20;

/// Attributes must fill the packet; a few do so by chance, hence the number of them.
fn recognise(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let length = usize::from(payload.be16(2)?);
    if !matches!(payload.at(0)?, 1..=5 | 11..=13 | 40..=45)
        || !(HEADER_BYTES..=4_096).contains(&length)
    {
        return Some(Answer::NotForMe);
    }
    let is_port = PORTS.iter().any(|port| datagram.has_port(*port));
    let damaged = Answer::likely_if(is_port && payload.len() >= HEADER_BYTES);
    let Some(mut attributes) = payload.get(HEADER_BYTES..length) else {
        return Some(damaged);
    };
    let mut count = 0;
    while let Some(size) = attributes.at(1) {
        let Some(rest) = attributes.get(usize::from(size)..).filter(|_| size >= 2) else {
            return Some(damaged);
        };
        attributes = rest;
        count += 1;
    }
    Some(match count {
        _ if !attributes.is_empty() => damaged,
        3.. => Answer::Certain,
        1 | 2 => Answer::Likely,
        _ => Answer::maybe_if(is_port),
    })
}

//! DHCP: RFC 2131 2; DHCPv6: RFC 8415 8.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Dhcp,
    tcp: None,
    udp: Some(v4),
    tcp_ports: &[],
    udp_ports: &[67, 68],
};

pub(crate) const V6: Dissector = Dissector {
    protocol: Protocol::Dhcpv6,
    tcp: None,
    udp: Some(v6),
    tcp_ports: &[],
    udp_ports: &[546, 547],
};

/// RFC 2131 3: "the first four octets of the options field".
const COOKIE: u32 = 0x6382_5363;

fn v4(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let is_message = matches!(payload.at(0)?, 1 | 2) && payload.at(2)? <= 16;
    Some(Answer::certain_if(
        is_message && payload.be32(236)? == COOKIE,
    ))
}

/// Options must fill the message exactly, RFC 8415 21.1.
fn v6(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let is_relayed = matches!(payload.at(0)?, 12 | 13);
    let ports = datagram.has_port(546) || datagram.has_port(547);
    if !ports || !(1..=36).contains(&payload.at(0)?) {
        return Some(Answer::NotForMe);
    }
    let mut rest = payload.get(if is_relayed { 34 } else { 4 }..)?;
    while !rest.is_empty() {
        let length = usize::from(rest.be16(2)?);
        rest = rest.get(4 + length..)?;
    }
    Some(Answer::Certain)
}

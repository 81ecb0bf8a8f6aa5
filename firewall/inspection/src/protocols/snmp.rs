//! SNMP: RFC 1157 4 (v1), RFC 1901 3 (v2c), RFC 3412 6 (v3).

use super::ber;
use crate::Protocol;
use crate::identify::{Answer, Datagram, Dissector};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Snmp,
    tcp: None,
    udp: Some(recognise),
    tcp_ports: &[161],
    udp_ports: &[161, 162],
};

fn recognise(datagram: &Datagram<'_>) -> Option<Answer> {
    let (tag, length, message) = ber::header(datagram.payload)?;
    let (version, rest) = ber::integer(message)?;
    if tag != 0x30 || length > message.len() {
        return Some(Answer::NotForMe);
    }
    let (tag, length, content) = ber::header(rest)?;
    Some(match (version, tag) {
        // A community, then one of the PDUs.
        (0 | 1, 0x04) => Answer::certain_if(matches!(content.get(length)?, 0xa0..=0xa8)),
        // Global data begin with the message's number.
        (3, 0x30) => Answer::certain_if(ber::integer(content).is_some()),
        _ => Answer::NotForMe,
    })
}

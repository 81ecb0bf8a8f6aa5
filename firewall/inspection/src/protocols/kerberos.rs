//! Kerberos 5: RFC 4120 5.4 to 5.9; over TCP behind a length (7.2.2).

use super::ber;
use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Kerberos,
    tcp: Some(tcp),
    udp: Some(udp),
    tcp_ports: &[88, 464],
    udp_ports: &[88, 464],
};

/// APPLICATION tags of messages, from AS-REQ to KRB-ERROR.
const TAGS: [u8; 10] = [0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x74, 0x75, 0x76, 0x7e];

fn udp(datagram: &Datagram<'_>) -> Option<Answer> {
    message(datagram.payload)
}

fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        if bytes.be32(0)? < 16 || bytes.at(0)? != 0 || !TAGS.contains(&bytes.at(4)?) {
            return Some(Answer::NotForMe);
        }
        message(bytes.after(4))
    }))
}

fn message(bytes: &[u8]) -> Option<Answer> {
    if !TAGS.contains(&bytes.at(0)?) {
        return Some(Answer::NotForMe);
    }
    let (_, _, sequence) = ber::header(bytes)?;
    if sequence.at(0)? != 0x30 {
        return Some(Answer::NotForMe);
    }
    let (_, _, fields) = ber::header(sequence)?;
    // pvno [0] or [1], then msg-type, which is the APPLICATION tag's number.
    let version = fields.part(0, 5)?;
    let kind = fields.part(5, 5)?;
    Some(Answer::certain_if(
        matches!(version, [0xa0 | 0xa1, 3, 2, 1, 5])
            && matches!(kind, [0xa1 | 0xa2, 3, 2, 1, number] if *number == bytes[0] & 0x1f),
    ))
}

//! WireGuard: Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel", 5.4.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::WireGuard,
    tcp: None,
    udp: Some(recognise),
    tcp_ports: &[],
    udp_ports: &[51_820],
};

const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const COOKIE: u8 = 3;
const DATA: u8 = 4;

/// A type, three zeros, and the length that the type has. A response names the initiation's sender.
fn recognise(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    if payload.be24(1)? != 0 {
        return Some(Answer::NotForMe);
    }
    let other = |kind: u8| {
        datagram
            .other
            .filter(|other| other.bytes().at(0) == Some(kind) && other.bytes().be24(1) == Some(0))
    };
    Some(match (payload.at(0)?, payload.len()) {
        // The second MAC is zeros unless the responder is under load.
        (INITIATION, 148) if payload[132..].iter().all(|byte| *byte == 0) => Answer::Certain,
        (INITIATION, 148) => Answer::Likely,
        // Some fill it up to look like something else.
        (INITIATION, 149..) => Answer::Maybe,
        (RESPONSE, 92..) => match other(INITIATION) {
            Some(initiation) if initiation.bytes().part(4, 4) == payload.part(8, 4) => {
                Answer::Certain
            }
            Some(_) => Answer::NotForMe,
            None if payload.len() > 92 => Answer::Maybe,
            None if payload[76..].iter().all(|byte| *byte == 0) => Answer::Certain,
            None => Answer::Likely,
        },
        (COOKIE, 64) => Answer::Likely,
        // A counter that goes on from the one before, for the same receiver.
        (DATA, length) if length >= 32 && length % 16 == 0 => match datagram.before {
            Some(before)
                if before.bytes().part(0, 8) == payload.part(0, 8)
                    && before.bytes().le32(12) == payload.le32(12)
                    && payload.le32(8)?.wrapping_sub(before.bytes().le32(8)?) <= 64 =>
            {
                Answer::Certain
            }
            Some(before) if before.bytes().at(0) == Some(DATA) => Answer::Maybe,
            _ => Answer::likely_if(payload.le32(12)? == 0),
        },
        _ => Answer::NotForMe,
    })
}

//! IKE: RFC 7296 3.1 (version 2), RFC 2408 3.1 (version 1); ESP in UDP: RFC 3948 2.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector};

pub(crate) const IKE: Dissector = Dissector {
    protocol: Protocol::Ike,
    tcp: None,
    udp: Some(ike),
    tcp_ports: &[],
    udp_ports: &[500],
};

pub(crate) const ESP: Dissector = Dissector {
    protocol: Protocol::Esp,
    tcp: None,
    udp: Some(esp),
    tcp_ports: &[],
    udp_ports: &[NAT_PORT],
};

/// RFC 3948 2.
const NAT_PORT: u16 = 4_500;
const HEADER_BYTES: usize = 28;

fn ike(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    let plain = header(payload);
    if plain == Some(Answer::Certain) {
        return plain;
    }
    // RFC 3948 2.2: the marker that keeps it from being ESP.
    if payload.be32(0)? == 0 {
        return header(payload.after(4));
    }
    Some(Answer::NotForMe)
}

fn header(message: &[u8]) -> Option<Answer> {
    let (next, version, exchange, flags) = (
        message.at(16)?,
        message.at(17)?,
        message.at(18)?,
        message.at(19)?,
    );
    let length = message.be32(24)? as usize;
    let has_initiator = message.part(0, 8)?.iter().any(|byte| *byte != 0);
    let fits = length == message.len() && length >= HEADER_BYTES && has_initiator;
    Some(Answer::certain_if(
        fits && match version {
            0x10 => next <= 20 && matches!(exchange, 1..=6 | 32 | 33) && flags & 0xf8 == 0,
            0x20 => {
                (next == 0 || (33..=54).contains(&next))
                    && (34..=44).contains(&exchange)
                    && flags & 0xc7 == 0
            }
            _ => false,
        },
    ))
}

/// An SPI from 256 on, and numbers that go up. A single byte of ones keeps the mapping open.
fn esp(datagram: &Datagram<'_>) -> Option<Answer> {
    let payload = datagram.payload;
    if !datagram.has_port(NAT_PORT) {
        return Some(Answer::NotForMe);
    }
    if payload == [0xff] {
        return Some(Answer::Maybe);
    }
    let (spi, number) = (payload.be32(0)?, payload.be32(4)?);
    if spi < 256 || payload.len() < 24 {
        return Some(Answer::NotForMe);
    }
    let goes_on = datagram.before.is_some_and(|before| {
        before.bytes().be32(0) == Some(spi)
            && before
                .bytes()
                .be32(4)
                .is_some_and(|known| (1..=64).contains(&number.wrapping_sub(known)))
    });
    Some(if goes_on {
        Answer::Certain
    } else {
        Answer::Likely
    })
}

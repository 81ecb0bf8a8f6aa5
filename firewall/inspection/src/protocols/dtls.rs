//! DTLS: RFC 9147, RFC 6347.
//!
//! # Limits
//! Of a hello in fragments those that come in order are put together.

use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector};
use crate::parser::{Next, Output, Parser};
use crate::protocols::tls::handshake::{Handshake, Message};
use crate::protocols::tls::hello::Carrier;
use crate::{Direction, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Dtls,
    tcp: None,
    udp: Some(recognise),
    tcp_ports: &[],
    udp_ports: &[],
};

/// RFC 6347 4.1.
const RECORD_BYTES: usize = 13;
/// RFC 6347 4.2.2.
const FRAGMENT_BYTES: usize = 12;
const HANDSHAKE: u8 = 22;

fn recognise(datagram: &Datagram<'_>) -> Option<Answer> {
    records(datagram.payload)
}

pub(crate) fn is_records(datagram: &[u8]) -> bool {
    records(datagram) == Some(Answer::Certain)
}

fn records(datagram: &[u8]) -> Option<Answer> {
    let mut rest = datagram;
    let mut records = 0;
    while !rest.is_empty() {
        let is_version = matches!(rest.be16(1)?, 0xfeff | 0xfefd | 0x0100);
        if !(20..=26).contains(&rest.at(0)?) || !is_version {
            // A record is whole or it is none, but what follows may be a DTLS 1.3 record with a short header.
            return Some(if records > 0 && rest[0] >> 5 == 1 {
                Answer::Certain
            } else {
                Answer::NotForMe
            });
        }
        rest = rest.get(RECORD_BYTES + usize::from(rest.be16(11)?)..)?;
        records += 1;
    }
    Some(Answer::Certain)
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Dtls {
        handshake: Handshake::new(Carrier::Datagram),
        next: [(0, 0); 2],
        records: 0,
    })
}

#[derive(Debug)]
struct Dtls {
    handshake: Handshake,
    /// Message and offset that come next, by direction.
    next: [(u16, u32); 2],
    records: u32,
}

/// Of a handshake with its retransmissions.
const MOST_RECORDS: u32 = 64;

impl Parser for Dtls {
    fn data(&mut self, direction: Direction, datagram: &[u8], output: &mut Output<'_>) -> Next {
        let mut rest = datagram;
        while let Some(length) = rest.be16(11) {
            self.records += 1;
            let Some(record) = rest.part(RECORD_BYTES, usize::from(length)) else {
                break;
            };
            let is_plain = rest.be16(3) == Some(0);
            if rest[0] == HANDSHAKE && is_plain && self.fragments(direction, record, output) {
                return Next::Done;
            }
            rest = rest.after(RECORD_BYTES + record.len());
        }
        if self.records > MOST_RECORDS {
            output.complete();
            return Next::Done;
        }
        Next::More
    }
}

impl Dtls {
    /// Whether nothing more can be read.
    fn fragments(&mut self, direction: Direction, record: &[u8], output: &mut Output<'_>) -> bool {
        let mut rest = record;
        while let (Some(kind), Some(length), Some(message), Some(offset), Some(part)) = (
            rest.at(0),
            rest.be24(1),
            rest.be16(4),
            rest.be24(6),
            rest.be24(9),
        ) {
            let Some(body) = rest.part(FRAGMENT_BYTES, part as usize) else {
                break;
            };
            rest = rest.after(FRAGMENT_BYTES + body.len());
            let next = &mut self.next[direction.index()];
            // A first hello without a cookie is followed by another, whose number need not be 1 in a capture.
            if offset == 0 && message > next.0 && next.1 == 0 {
                next.0 = message;
            }
            if (message, offset) != *next || offset + part > length {
                continue;
            }
            let header = [
                kind,
                (length >> 16) as u8,
                (length >> 8) as u8,
                length as u8,
            ];
            let mut result = Ok(false);
            if offset == 0 {
                result = self.handshake.data(direction, &header, output);
            }
            if let Ok(false) = result {
                result = self.handshake.data(direction, body, output);
            }
            let next = &mut self.next[direction.index()];
            *next = if offset + part == length {
                (message.wrapping_add(1), 0)
            } else {
                (message, offset + part)
            };
            if self.handshake.has(Message::ServerHello) {
                output.complete();
            }
            match result {
                Ok(false) => (),
                Ok(true) | Err(_) => return true,
            }
        }
        false
    }
}

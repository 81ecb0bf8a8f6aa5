//! DNS: RFC 1035 4 (messages), RFC 7766 (over TCP); mDNS (RFC 6762) and LLMNR (RFC 4795) are the same messages on ports of
//! their own.
//!
//! # Limits
//! Of a message over TCP the first 4 KiB are read, of a message 64 records.

pub(crate) mod message;

use std::time::Duration;

use crate::identify::{Answer, Datagram, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
use crate::{Anomaly, Direction, DnsAnswer, Fact, HostSource, Protocol};
use message::Header;

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Dns,
    tcp: Some(tcp),
    udp: Some(dns),
    tcp_ports: &[53],
    udp_ports: &[53],
};

pub(crate) const MDNS: Dissector = Dissector {
    protocol: Protocol::Mdns,
    tcp: None,
    udp: Some(mdns),
    tcp_ports: &[],
    udp_ports: &[MDNS_PORT],
};

pub(crate) const LLMNR: Dissector = Dissector {
    protocol: Protocol::Llmnr,
    tcp: None,
    udp: Some(llmnr),
    tcp_ports: &[],
    udp_ports: &[LLMNR_PORT],
};

/// RFC 6762 3.
const MDNS_PORT: u16 = 5_353;
/// RFC 4795 2.
const LLMNR_PORT: u16 = 5_355;
/// RFC 1002 4.2: the name service's messages are DNS's with names of their own.
const NETBIOS_PORT: u16 = 137;
const KEPT_BYTES: usize = 4 << 10;

fn dns(datagram: &Datagram<'_>) -> Option<Answer> {
    if [MDNS_PORT, LLMNR_PORT, NETBIOS_PORT]
        .into_iter()
        .any(|port| is_among_neighbours(datagram, port))
    {
        return Some(Answer::NotForMe);
    }
    let Some(message) = message::read(datagram.payload) else {
        // At its own port even what is damaged is nothing else.
        let is_here = datagram.has_port(53) && datagram.payload.len() >= Header::BYTES;
        return Some(Answer::likely_if(is_here));
    };
    // There, too, what would be odd elsewhere is excused, such as a message that is cut off.
    if datagram.has_port(53) {
        return Some(Answer::Certain);
    }
    Some(if message.is_sound {
        Answer::Certain
    } else {
        Answer::Maybe
    })
}

/// Whoever asks a server does so from whatever port it likes.
pub(crate) fn is_among_neighbours(datagram: &Datagram<'_>, port: u16) -> bool {
    datagram.has_port(port) && !datagram.has_port(53)
}

fn mdns(datagram: &Datagram<'_>) -> Option<Answer> {
    message::read(datagram.payload)?;
    Some(Answer::certain_if(is_among_neighbours(datagram, MDNS_PORT)))
}

fn llmnr(datagram: &Datagram<'_>) -> Option<Answer> {
    message::read(datagram.payload)?;
    Some(Answer::certain_if(is_among_neighbours(
        datagram, LLMNR_PORT,
    )))
}

fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        let length = usize::from(u16::from_be_bytes(*bytes.first_chunk()?));
        let is_port = seen.initiator_port == 53 || seen.responder_port == 53;
        let message = &bytes[2..bytes.len().min(2 + length)];
        if length < Header::BYTES {
            return Some(Answer::NotForMe);
        }
        let header = Header::read(message)?;
        if !header.is_plausible() {
            return Some(Answer::NotForMe);
        }
        if message.len() < length {
            return Some(Answer::Maybe);
        }
        Some(match message::read(message) {
            Some(message) if message.is_sound || is_port => Answer::Certain,
            Some(_) | None => Answer::NotForMe,
        })
    }))
}

pub(crate) fn parser(protocol: Protocol) -> Box<dyn Parser> {
    Box::new(Dns {
        protocol,
        sides: Default::default(),
        queries: 0,
    })
}

#[derive(Debug)]
struct Dns {
    protocol: Protocol,
    /// Over TCP: the message that has begun, by direction.
    sides: [Side; 2],
    queries: u32,
}

#[derive(Debug, Default)]
struct Side {
    kept: Vec<u8>,
    length: [u8; 2],
    length_bytes: usize,
    left: usize,
}

impl Parser for Dns {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        if !output.endpoints.is_tcp() {
            self.message(direction, bytes, output);
            return Next::More;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let side = &mut self.sides[direction.index()];
            if side.left == 0 {
                side.length[side.length_bytes] = rest[0];
                side.length_bytes += 1;
                rest = &rest[1..];
                if side.length_bytes == 2 {
                    side.length_bytes = 0;
                    side.left = usize::from(u16::from_be_bytes(side.length));
                    side.kept.clear();
                }
                continue;
            }
            let (part, behind) = rest.split_at(rest.len().min(side.left));
            rest = behind;
            side.left -= part.len();
            let room = KEPT_BYTES.saturating_sub(side.kept.len());
            side.kept.extend_from_slice(&part[..part.len().min(room)]);
            if side.left == 0 {
                let message = std::mem::take(&mut side.kept);
                self.message(direction, &message, output);
            }
        }
        Next::More
    }

    fn held_bytes(&self) -> usize {
        self.sides.iter().map(|side| side.kept.capacity()).sum()
    }
}

impl Dns {
    fn message(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) {
        let Some(message) = message::read(bytes) else {
            output.anomaly(direction, Anomaly::DnsMalformed);
            return;
        };
        let transaction = if message.header.is_response() {
            self.queries.saturating_sub(1)
        } else {
            self.queries += 1;
            self.queries - 1
        };
        if let Some(question) = &message.question {
            if !message.header.is_response() {
                let fact = Fact::DnsQuery {
                    name: &question.name,
                    kind: question.kind,
                };
                output.fact(direction, transaction, fact);
            }
            output.host(&question.name, HostSource::Session);
        }
        if message.header.is_response() {
            let code = message.header.response_code();
            output.fact(direction, transaction, Fact::DnsResponse { code });
        }
        let question = message.question.as_ref().map(|question| &*question.name);
        for answer in &message.answers {
            let fact = Fact::DnsAnswer(DnsAnswer {
                name: &answer.name,
                question,
                kind: answer.kind,
                ttl_seconds: answer.ttl_seconds,
                address: answer.address,
            });
            output.fact(direction, transaction, fact);
            // What was asked for is what the address is wanted as, whatever names lie between.
            if let (Protocol::Dns, Direction::Reverse, Some(address), Some(name)) =
                (self.protocol, direction, answer.address, question)
            {
                output.inspector.names.learn(
                    output.endpoints.initiator.ip(),
                    address,
                    name,
                    Duration::from_secs(u64::from(answer.ttl_seconds)),
                    output.now,
                );
            }
        }
        // Who has not asked yet may do so.
        if message.question.is_some() {
            output.complete();
        }
    }
}

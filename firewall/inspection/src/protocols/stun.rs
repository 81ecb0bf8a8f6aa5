//! STUN and TURN: RFC 8489 5, RFC 8656; over TCP as they are. RFC 7983: what comes after them at the same
//! ports, DTLS or RTP, is what the session is for.

use super::{dtls, rtp};
use crate::bytes::Bytes;
use crate::identify::{Answer, Datagram, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
use crate::{Direction, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Stun,
    tcp: Some(tcp),
    udp: Some(udp),
    tcp_ports: &[3_478],
    udp_ports: &[3_478, 19_302],
};

const HEADER_BYTES: usize = 20;
const COOKIE: u32 = 0x2112_a442;

fn udp(datagram: &Datagram<'_>) -> Option<Answer> {
    message(datagram.payload, true)
}

/// Behind a two-byte length (RFC 4571) or without.
fn tcp(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        let framed = bytes.be16(0)?;
        let plain = message(bytes, false);
        if plain != Some(Answer::NotForMe) || framed < HEADER_BYTES as u16 {
            return plain;
        }
        message(bytes.after(2), false)
    }))
}

fn message(bytes: &[u8], is_whole: bool) -> Option<Answer> {
    let (kind, length) = (bytes.be16(0)?, usize::from(bytes.be16(2)?));
    if kind >> 14 != 0 {
        return Some(Answer::NotForMe);
    }
    // Not everybody pads attributes to four bytes, but with the cookie and its length it is nothing else.
    let cookie = bytes.be32(4)?;
    let fits = !is_whole || bytes.len() >= HEADER_BYTES + length;
    if cookie == COOKIE {
        return Some(Answer::certain_if(fits));
    }
    if !length.is_multiple_of(4) {
        return Some(Answer::NotForMe);
    }
    if !is_whole {
        return Some(Answer::NotForMe);
    }
    // RFC 3489 had no cookie. Its binding requests, with attributes that fill the message.
    if !matches!(kind, 0x0001 | 0x0101 | 0x0111) || bytes.len() != HEADER_BYTES + length {
        return Some(Answer::NotForMe);
    }
    let mut attributes = bytes.after(HEADER_BYTES);
    while !attributes.is_empty() {
        attributes = attributes.get(4 + usize::from(attributes.be16(2)?)..)?;
    }
    Some(Answer::Likely)
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::<Stun>::default()
}

#[derive(Debug, Default)]
struct Stun {
    datagrams: u32,
    /// Source and number of the RTP packets that came last, by direction, and how many went on from each other.
    rtp: [Option<(u32, u16, u32)>; 2],
}

/// Candidates are tried for a few seconds before anything else is sent.
const MOST_DATAGRAMS: u32 = 64;
/// As many as RTP needs to be told without STUN before it.
const CONSECUTIVE: u32 = 2;

impl Parser for Stun {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        self.datagrams += 1;
        if output.endpoints.is_tcp() || self.datagrams > MOST_DATAGRAMS {
            return Next::Done;
        }
        match bytes.first() {
            Some(20..=63) if dtls::is_records(bytes) => {
                output.refine(Protocol::Dtls, Some(Protocol::Stun), true);
                Next::Become(dtls::parser(), bytes.len())
            }
            Some(128..=191) if rtp::is_rtp(bytes) => self.rtp(direction, bytes, output),
            Some(_) | None => Next::More,
        }
    }
}

impl Stun {
    fn rtp(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        let (Some(source), Some(number)) = (bytes.be32(8), bytes.be16(2)) else {
            return Next::More;
        };
        let last = &mut self.rtp[direction.index()];
        let count = match *last {
            Some((known, before, count))
                if known == source && (1..=8).contains(&number.wrapping_sub(before)) =>
            {
                count + 1
            }
            Some(_) | None => 0,
        };
        *last = Some((source, number, count));
        if count < CONSECUTIVE {
            return Next::More;
        }
        // As in `rtp`: behind something else it is likely at best.
        output.refine(Protocol::Rtp, Some(Protocol::Stun), false);
        Next::Done
    }
}

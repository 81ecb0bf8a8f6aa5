//! SIP: RFC 3261 7; RTSP (RFC 7826, RFC 2326) begins in the same way.

use crate::bytes::Bytes;
use crate::identify::{Answer, BEGINNING_BYTES, Datagram, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::gathered::{Gathered, Look, Opening};
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Sip,
    tcp: Some(|seen| Some(seen.either(|bytes| message(bytes, b"SIP/2.0")))),
    udp: Some(udp),
    tcp_ports: &[5_060],
    udp_ports: &[5_060],
};

pub(crate) const RTSP: Dissector = Dissector {
    protocol: Protocol::Rtsp,
    tcp: Some(rtsp),
    udp: None,
    tcp_ports: &[554, 8_554],
    udp_ports: &[],
};

fn udp(datagram: &Datagram<'_>) -> Option<Answer> {
    // RFC 5626 3.5.1 and what clients send to keep a mapping open.
    let is_blank = datagram
        .payload
        .iter()
        .all(|byte| matches!(byte, b'\r' | b'\n' | 0));
    if is_blank && datagram.payload.len() <= 4 {
        return Some(Answer::maybe_if(datagram.has_port(5_060)));
    }
    message(datagram.payload, b"SIP/2.0")
}

fn rtsp(seen: &Seen<'_>) -> Option<Answer> {
    let answer = |bytes: &[u8]| match message(bytes, b"RTSP/1.0") {
        Some(Answer::NotForMe) => message(bytes, b"RTSP/2.0"),
        answer => answer,
    };
    Some(seen.either(answer))
}

/// A request line that ends with the version, or a status line that begins with it.
fn message(bytes: &[u8], version: &[u8]) -> Option<Answer> {
    match bytes.begins(version) {
        Some(true) => return Some(Answer::certain_if(bytes.at(version.len())? == b' ')),
        None => return None,
        Some(false) => (),
    }
    let Some(method) = bytes.iter().take(20).position(|byte| *byte == b' ') else {
        let is_method = bytes
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || *byte == b'_');
        return Some(Answer::maybe_if(bytes.len() < 20 && is_method));
    };
    let is_method = method >= 3
        && bytes[..method]
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || *byte == b'_');
    match bytes.line() {
        Some(line) => Some(Answer::certain_if(
            is_method && line.ends_with(version) && line.len() > version.len() + method + 1,
        )),
        None => Some(Answer::maybe_if(is_method && bytes.len() < BEGINNING_BYTES)),
    }
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Gathered::new(Head))
}

/// Each direction's first head.
#[derive(Debug)]
struct Head;

impl Opening for Head {
    fn look(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        is_all: bool,
        output: &mut Output<'_>,
    ) -> Look {
        if !is_all && memchr::memmem::find(bytes, b"\r\n\r\n").is_none() {
            return Look::Wait;
        }
        for line in bytes.split(|byte| *byte == b'\n').take(64) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                break;
            }
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let value = line[colon + 1..].trim_ascii();
            match &line[..colon].to_ascii_lowercase()[..] {
                b"user-agent" | b"server" => output.fact(direction, 0, Fact::Software(value)),
                b"from" | b"f" => output.fact(
                    direction,
                    0,
                    Fact::Name {
                        what: "sip_from",
                        value,
                    },
                ),
                b"to" | b"t" => output.fact(
                    direction,
                    0,
                    Fact::Name {
                        what: "sip_to",
                        value,
                    },
                ),
                _ => (),
            }
        }
        output.complete();
        Look::Enough
    }
}

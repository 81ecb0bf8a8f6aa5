//! PostgreSQL: its documentation, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.

use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Output, Parser};
use crate::protocols::gathered::{Gathered, Look, Opening};
use crate::protocols::tls;
use crate::{Direction, Fact, Protocol};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::PostgreSql,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[5_432],
    udp_ports: &[],
};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
const CANCEL: [u8; 8] = [0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e];
/// Version 3.0 to 3.2.
const START: [u8; 2] = [0, 3];

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    let known = [SSL_REQUEST, GSS_REQUEST, CANCEL];
    if known
        .iter()
        .any(|message| first.begins(message) == Some(true))
    {
        return Some(Answer::Certain);
    }
    let (length, version) = (first.be32(0)?, first.part(4, 4)?);
    if version[..2] != START || version[2] != 0 || version[3] > 2 || !(9..=10_000).contains(&length)
    {
        return Some(Answer::NotForMe);
    }
    // Parameters are pairs of texts; the user is the one that must be there, and nearly always the first.
    let parameter = first.part(8, 5)?;
    Some(if parameter == b"user\0" {
        Answer::Certain
    } else {
        Answer::maybe_if(
            parameter
                .iter()
                .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | 0)),
        )
    })
}

pub(crate) fn parser() -> Box<dyn Parser> {
    Box::new(Gathered::new(PostgreSql::default()))
}

#[derive(Debug, Default)]
struct PostgreSql {
    /// Bytes of the requests for encryption; each is answered by one byte.
    asked_bytes: usize,
    answers: usize,
}

impl Opening for PostgreSql {
    fn look(
        &mut self,
        direction: Direction,
        bytes: &[u8],
        is_all: bool,
        output: &mut Output<'_>,
    ) -> Look {
        if direction == Direction::Reverse {
            return match bytes.get(self.answers) {
                Some(b'S' | b'G') if self.asked_bytes > 0 => {
                    Look::Become(tls::parser(), self.answers + 1)
                }
                Some(b'N') if self.asked_bytes > 0 => {
                    self.answers += 1;
                    Look::Wait
                }
                Some(_) => Look::Enough,
                None => Look::Wait,
            };
        }
        let mut message = bytes.after(self.asked_bytes);
        while message.starts_with(&SSL_REQUEST) || message.starts_with(&GSS_REQUEST) {
            self.asked_bytes += SSL_REQUEST.len();
            message = bytes.after(self.asked_bytes);
        }
        let length = message.be32(0).map_or(usize::MAX, |length| length as usize);
        if message.len() < length && !is_all {
            return Look::Wait;
        }
        let message = &message[..message.len().min(length)];
        if message.part(4, 2) == Some(&START) {
            let texts: Vec<&[u8]> = message.after(8).split(|byte| *byte == 0).take(32).collect();
            for pair in texts.chunks_exact(2) {
                match pair[0] {
                    b"user" => output.fact(direction, 0, Fact::User(pair[1])),
                    b"database" => {
                        let (what, value) = ("database", pair[1]);
                        output.fact(direction, 0, Fact::Name { what, value });
                    }
                    _ => (),
                }
            }
        }
        Look::Done
    }
}

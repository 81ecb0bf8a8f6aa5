//! PostgreSQL: its documentation, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest, CancelRequest.

use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};
use crate::parser::{Next, Output, Parser};
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
    Box::<PostgreSql>::default()
}

#[derive(Debug, Default)]
struct PostgreSql {
    asked_for_tls: bool,
}

impl Parser for PostgreSql {
    fn data(&mut self, direction: Direction, bytes: &[u8], output: &mut Output<'_>) -> Next {
        match direction {
            Direction::Forward if bytes.starts_with(&SSL_REQUEST) => {
                self.asked_for_tls = true;
                Next::More
            }
            Direction::Reverse if self.asked_for_tls => match bytes.first() {
                Some(b'S') => Next::Become(tls::parser(), bytes.len() - 1),
                Some(b'N') => {
                    self.asked_for_tls = false;
                    Next::More
                }
                Some(_) | None => Next::Done,
            },
            Direction::Forward if bytes.part(4, 2) == Some(&START) => {
                let texts: Vec<&[u8]> = bytes.after(8).split(|byte| *byte == 0).take(32).collect();
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
                Next::Done
            }
            Direction::Forward | Direction::Reverse => Next::Done,
        }
    }
}

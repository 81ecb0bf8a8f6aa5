//! X11: "X Window System Protocol", 8, Connection Setup.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::X11,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[6_000, 6_001, 6_010],
    udp_ports: &[],
};

/// Byte order, an unused byte, version 11.0, the lengths of the authorization's name and data, and two unused bytes.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    let setup: [&[u8]; 2] = [b"l\0\x0b\0\0\0", b"B\0\0\x0b\0\0"];
    if setup.iter().all(|start| first.begins(start) == Some(false)) {
        return Some(Answer::NotForMe);
    }
    let lengths = first.part(6, 6)?;
    let is_short = if first[0] == b'l' {
        lengths[1] == 0 && lengths[3] == 0
    } else {
        lengths[0] == 0 && lengths[2] == 0
    };
    Some(Answer::certain_if(is_short && lengths[4..] == [0, 0]))
}

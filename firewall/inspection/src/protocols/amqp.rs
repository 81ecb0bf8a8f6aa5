//! AMQP: OASIS, "AMQP Version 1.0", 2.2; and 0-9-1, 2.3.5.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Amqp,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[5_672],
    udp_ports: &[],
};

const FRAME_END: u8 = 0xce;

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| match bytes.begins(b"AMQP") {
        None => None,
        Some(true) => {
            // A protocol's number and a version.
            let version = bytes.part(4, 4)?;
            Some(Answer::certain_if(matches!(
                version,
                [0, 0, 9, 0..=2] | [1, 1, 0, 9..=10] | [1, 1, 8..=9, _] | [0 | 2 | 3, 1, 0, 0]
            )))
        }
        Some(false) => frame(bytes),
    }))
}

/// In the middle of a session of 0-9-1: frames, each with its end where its length says.
fn frame(bytes: &[u8]) -> Option<Answer> {
    let kind = bytes.at(0)?;
    if !matches!(kind, 1..=3 | 8) {
        return Some(Answer::NotForMe);
    }
    let length = bytes.be32(3)?;
    // 8 is a heartbeat, which is empty.
    if length > 1 << 20 || (kind == 8) != (length == 0) {
        return Some(Answer::NotForMe);
    }
    let end = 7 + length as usize;
    if bytes.len() <= end {
        return Some(Answer::Maybe);
    }
    if bytes[end] != FRAME_END {
        return Some(Answer::NotForMe);
    }
    // Classes from connection (10) to tx (90) and confirm (85).
    let known = kind != 1 || matches!(bytes.be16(7)?, 10 | 20 | 30 | 40 | 50 | 60 | 85 | 90);
    Some(if known && kind == 1 {
        Answer::Certain
    } else {
        Answer::likely_if(known)
    })
}

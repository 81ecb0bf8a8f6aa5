//! Cassandra: its sources' `doc/native_protocol_v4.spec`, 2 and 4.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Cassandra,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[9_042],
    udp_ports: &[],
};

const STARTUP: u8 = 1;
const OPTIONS: u8 = 5;

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    let version = first.at(0)?;
    if !(3..=5).contains(&version) || first.at(1)? > 0x1f {
        return Some(Answer::NotForMe);
    }
    let (operation, length) = (first.at(4)?, first.be32(5)?);
    match operation {
        // A map that has the language's version.
        STARTUP if length < 4_096 => {
            let body = first.after(9);
            let map = &body[..body.len().min(length as usize)];
            if memchr::memmem::find(map, b"CQL_VERSION").is_some() {
                return Some(Answer::Certain);
            }
            Some(Answer::maybe_if(map.len() < length as usize))
        }
        OPTIONS if length == 0 => {
            let second = seen.second();
            if second.is_empty() {
                return Some(Answer::Likely);
            }
            // SUPPORTED, or ERROR, from the same version or an older one.
            let answers = second.at(0)? & 0x80 != 0 && (second.at(0)? & 0x7f) <= version;
            Some(Answer::certain_if(
                answers && matches!(second.at(4)?, 0 | 6),
            ))
        }
        _ => Some(Answer::NotForMe),
    }
}

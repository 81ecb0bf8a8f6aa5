//! Kafka: its documentation, "Protocol Messages": request header v1 and v2.

use crate::Protocol;
use crate::bytes::{Bytes, is_printable};
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Kafka,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[9_092],
    udp_ports: &[],
};

/// What asks is who began; the answer has the request's correlation number behind its length.
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    let first = seen.first();
    let (length, key, version) = (first.be32(0)?, first.be16(4)?, first.be16(6)?);
    if !(10..=100_000_000).contains(&length) || key > 92 || version > 20 {
        return Some(Answer::NotForMe);
    }
    let client = first.be16(12)?;
    // 0xffff: no name.
    if client != 0xffff {
        let name = first.part(14, usize::from(client.min(256)))?;
        if client == 0 || client > 256 || !name.iter().all(|byte| is_printable(*byte)) {
            return Some(Answer::NotForMe);
        }
    }
    let second = seen.second();
    if second.is_empty() {
        return Some(Answer::maybe_if(client != 0xffff).max(Answer::maybe_if(key == 18)));
    }
    let answers = second.part(4, 4)? == first.part(8, 4)? && second.be32(0)? >= 4;
    Some(Answer::certain_if(answers))
}

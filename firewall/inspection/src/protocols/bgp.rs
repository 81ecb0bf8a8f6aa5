//! BGP: RFC 4271 4.1.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Bgp,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[179],
    udp_ports: &[],
};

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        if !bytes.begins(&[0xff; 16])? {
            return Some(Answer::NotForMe);
        }
        // RFC 8654 allows longer ones.
        let length = bytes.be16(16)?;
        Some(Answer::certain_if(
            length >= 19 && matches!(bytes.at(18)?, 1..=5),
        ))
    }))
}

//! VNC's RFB: RFC 6143 7.1.1.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Vnc,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[5_900, 5_901],
    udp_ports: &[],
};

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        if !bytes.begins(b"RFB ")? {
            return Some(Answer::NotForMe);
        }
        let version = bytes.part(4, 8)?;
        let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
        Some(Answer::certain_if(
            digits(&version[..3])
                && version[3] == b'.'
                && digits(&version[4..7])
                && version[7] == b'\n',
        ))
    }))
}

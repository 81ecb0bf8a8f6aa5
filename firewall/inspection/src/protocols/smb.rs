//! SMB: MS-SMB2 2.1 and 2.2.1, MS-CIFS 2.2.3.1; in NetBIOS's session messages.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Smb,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[445],
    udp_ports: &[],
};

/// Plain (FF, FE), encrypted (FD), compressed (FC).
fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| {
        if bytes.at(0)? != 0 || bytes.be24(1)? < 32 {
            return Some(Answer::NotForMe);
        }
        let magic = bytes.part(4, 4)?;
        Some(Answer::certain_if(
            magic[0] >= 0xfc && &magic[1..] == b"SMB",
        ))
    }))
}

//! rsync's daemon: its sources' `csprotocol.txt`.

use crate::Protocol;
use crate::bytes::Bytes;
use crate::identify::{Answer, Dissector, Seen};

pub(crate) const DISSECTOR: Dissector = Dissector {
    protocol: Protocol::Rsync,
    tcp: Some(recognise),
    udp: None,
    tcp_ports: &[873],
    udp_ports: &[],
};

fn recognise(seen: &Seen<'_>) -> Option<Answer> {
    Some(seen.either(|bytes| Some(Answer::certain_if(bytes.begins(b"@RSYNCD: ")?))))
}
